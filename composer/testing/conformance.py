"""Checks that a part of one's own is as Composer needs it."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate
from torch import Tensor

from composer.blueprint.blueprint import Blueprint
from composer.catalog.catalog import Catalog
from composer.columns import Columns
from composer.composition import compose
from composer.distributions.base import Distribution, DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.module.rl_module import RLModule
from composer.spaces import (
    Nested,
    batch,
    category_counts,
    describe,
    leaves,
    map_structure,
    samples,
    to_tensors,
)

ACTIONS = 3
OBSERVED = spaces.Box(-1.0, 1.0, (3,), np.float32)
LEADING_AXES = ((), (4,), (2, 3))
PHASES = ("train", "exploration", "inference")

Require = Callable[[bool, str], None]
"""Raises, with what does not hold in words, where it does not hold."""


def check_encoder(config: EncoderConfig, space: gym.Space) -> None:
    """Tries an encoder in the ways in which it will be used.

    It is composed, written as JSON and read again, built, run in all three phases on batches with
    no, one and two leading axes, trained by a step of gradients, saved and loaded.

    Args:
        config: The encoder's settings.
        space: An observation space that the encoder takes.

    Raises:
        CompositionError: If the encoder refuses the space.
        AssertionError: Says what does not hold.
    """
    require = functools.partial(_require, "encoder")
    blueprint = compose(space, spaces.Discrete(ACTIONS), model={"encoder": config})
    _require_config(require, config, space, blueprint)
    module = blueprint.build(seed=0)
    batches = [_samples(space, lead) for lead in LEADING_AXES]
    _require_width(require, Catalog.default().encoder(space, config).config, space, batches)
    for lead, obs in zip(LEADING_AXES, batches, strict=True):
        shape = (*lead, ACTIONS)
        for phase, output in _outputs(module, obs).items():
            require(output.shape == shape, f"{phase} gives {tuple(output.shape)}, not {shape}")
            require(bool(output.isfinite().all()), f"{phase} gives numbers that are not finite")
    _require_twins(require, blueprint, batches)
    _outputs(module, _samples(space, (8,)))["forward_train"].sum().backward()
    _require_gradients(require, module)


def check_distribution(config: DistributionConfig, space: gym.Space) -> None:
    """Tries a distribution in the ways in which it will be used.

    It is composed, written as JSON and read again, built, and sampled in all three phases with no,
    one and two leading axes: shapes, densities, entropies and divergences, samples that
    `env.step` takes, inputs that stand alone, masks that forbid nothing; then it is trained by a
    step of gradients, saved and loaded.

    Args:
        config: The distribution's settings.
        space: An action space that the distribution acts in.

    Raises:
        CompositionError: If the distribution refuses the space.
        AssertionError: Says what does not hold.
    """
    require = functools.partial(_require, "distribution")
    initializer = {"type": "orthogonal", "gain": 1.0}
    head = {"output_kernel_initializer": initializer}
    model = {"distribution": config, "heads": {"policy": head}}
    blueprint = compose(OBSERVED, space, model=model)
    _require_config(require, config, space, blueprint)
    resolved = Catalog.default().distribution(space, config).config
    _require_widths(require, resolved, space)
    module, other = blueprint.build(seed=0), blueprint.build(seed=1)
    bound = resolved.bind(space)
    batches = [_samples(OBSERVED, lead) for lead in LEADING_AXES]
    for lead, obs in zip(LEADING_AXES, batches, strict=True):
        for phase in PHASES:
            out = getattr(module, f"forward_{phase}")({Columns.OBS: obs})
            inputs, mask = out[Columns.ACTION_DIST_INPUTS], _nothing_forbidden(space, lead)
            made = module.action_distribution(out, phase)
            _require_acts(require, made, space, lead)
            _require_informs(require, made, other.action_distribution(_of(other, obs)), lead)
            for what, same in {
                "made by another module from the same inputs": other.action_distribution(out),
                "bound to complete inputs": bound(inputs),
                "with a mask that forbids nothing": module.action_distribution(out, phase, mask),
            }.items():
                _require_same(require, made, same, f"{what}, it is another one")
    _require_flattens(require, module, batches[-1])
    _require_twins(require, blueprint, batches)
    made = module.action_distribution(_of(module, _samples(OBSERVED, (8,))))
    given = [made.log_prob(made.sample(_generator())), made.entropy()]
    learnt = [leaf.sum() for leaf in (*given, *leaves(made.deterministic())) if leaf.requires_grad]
    require(bool(learnt) or not resolved.has_density, "nothing it computes has a gradient")
    if learnt:
        torch.stack(learnt).sum().backward()
        _require_gradients(require, module)


# --- what holds of a distribution


def _require_acts(
    require: Require, made: Distribution, space: gym.Space, lead: tuple[int, ...]
) -> None:
    """Samples and deterministic actions have a density, and are what the environment takes."""
    sampled, certain = made.sample(_generator()), made.deterministic()
    for how, actions in (("sample", sampled), ("deterministic", certain)):
        shapes = [tuple(leaf.shape) for leaf in leaves(actions)]
        leads = all(shape[: len(lead)] == lead for shape in shapes)
        require(leads, f"`{how}` gives {shapes} where the leading axes are {lead}")
        _require_numbers(require, made.log_prob(actions), lead, f"the `log_prob` of `{how}`")
        for action in _single_actions(space, made.to_env(actions), lead):
            require(_contains(space, action), f"`to_env` of `{how}` gives {action!r}, outside")
    require(not any(leaf.requires_grad for leaf in leaves(sampled)), "`sample` has a gradient")
    require(_equal(made.sample(_generator()), sampled), "of one generator, it samples otherwise")
    always = made.to_deterministic()
    require(_equal(always.sample(), certain), "`to_deterministic` samples something else")
    require(_equal(always.deterministic(), certain), "`to_deterministic` has another action")


def _require_informs(
    require: Require, made: Distribution, other: Distribution, lead: tuple[int, ...]
) -> None:
    _require_numbers(require, made.entropy(), lead, "the `entropy`")
    own, divergence = made.kl(made), made.kl(other)
    _require_numbers(require, own, lead, "the `kl` from itself")
    require(bool((own.abs() < 1e-4).all()), "the `kl` from itself is not 0")
    shape = tuple(divergence.shape)
    require(shape == lead, f"the `kl` has the shape {shape}, not {lead}")
    require(bool((divergence > -1e-4).all()), "the `kl` from another one is not at least 0")


def _require_same(require: Require, made: Distribution, same: Distribution, what: str) -> None:
    actions = made.sample(_generator())
    require(_equal(same.sample(_generator()), actions), f"{what}: it samples otherwise")
    require(torch.equal(same.log_prob(actions), made.log_prob(actions)), f"{what}: `log_prob`")


def _require_flattens(require: Require, module: RLModule, obs: Nested) -> None:
    """Two leading axes are one, in another shape."""
    out = _of(module, obs)
    inputs = out[Columns.ACTION_DIST_INPUTS]
    made = module.action_distribution(out)
    flat = module.action_distribution({Columns.ACTION_DIST_INPUTS: inputs.flatten(0, 1)})
    actions = made.sample(_generator())
    one = flat.log_prob(map_structure(lambda leaf: leaf.flatten(0, 1), actions))
    close = torch.allclose(one, made.log_prob(actions).flatten(), atol=1e-5)
    require(close, "the `log_prob` of two leading axes is not that of one")


def _require_widths(require: Require, config: DistributionConfig, space: gym.Space) -> None:
    part, bound, in_dim = config.build(space), config.bind(space), config.in_dim(space)
    require(part.in_dim == in_dim, f"it takes {part.in_dim}, but its `in_dim` says {in_dim}")
    require(
        bound.inputs_dim == part.inputs_dim,
        f"built it makes {part.inputs_dim} inputs, bound it takes {bound.inputs_dim}",
    )
    require(not list(bound.parameters()), "bound to complete inputs, it has parameters")


def _require_numbers(require: Require, values: Tensor, lead: tuple[int, ...], what: str) -> None:
    shape = tuple(values.shape)
    require(shape == lead, f"{what} has the shape {shape}, not {lead}")
    require(bool(values.isfinite().all()), f"{what} is not finite")


def _single_actions(space: gym.Space, actions: Nested, lead: tuple[int, ...]) -> list[Any]:
    """What single environments take; of two leading axes, nothing."""
    if len(lead) > 1:
        return []
    return list(iterate(batch_space(space, *lead), actions)) if lead else [actions]


def _contains(space: gym.Space, action: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's, of a number where a Box is of rank 0
        return space.contains(action)


def _nothing_forbidden(space: gym.Space, lead: tuple[int, ...]) -> Nested:
    """A mask of all that can be chosen; None where nothing is chosen."""
    if isinstance(space, spaces.Dict):
        return {key: _nothing_forbidden(child, lead) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_nothing_forbidden(child, lead) for child in space.spaces)
    if isinstance(space, spaces.OneOf):
        branches = torch.ones(*lead, len(space.spaces), dtype=torch.bool)
        values = tuple(_nothing_forbidden(child, lead) for child in space.spaces)
        return {"branch": branches, "values": values}
    if isinstance(space, spaces.MultiBinary):
        return torch.full((*lead, *space.shape), 2)
    choices = sum(category_counts(space))
    return torch.ones(*lead, choices, dtype=torch.bool) if choices else None


# --- what holds of every part


def _require_config(require: Require, config: Any, space: gym.Space, blueprint: Blueprint) -> None:
    require(Blueprint.from_json(blueprint.to_json()) == blueprint, "its JSON is not the config")
    resolved = config.resolve(space)
    require(resolved.resolve(space) == resolved, "resolved twice, it is another config")


def _require_width(
    require: Require, config: EncoderConfig, space: gym.Space, batches: list[Nested]
) -> None:
    encoder = config.build(space)
    for lead, obs in zip(LEADING_AXES, batches, strict=True):
        features, shape = encoder(obs), (*lead, config.out_dim(space))
        require(
            features.shape == shape and features.dtype == torch.float32,
            f"of {describe(space)} with leading axes {lead} it makes {tuple(features.shape)} "
            f"{features.dtype}, but its `out_dim` says {shape} torch.float32",
        )


def _require_twins(require: Require, blueprint: Blueprint, batches: list[Nested]) -> None:
    """The same seed, or the same state, is the same module."""
    module, again = blueprint.build(seed=0), blueprint.build(seed=0)
    other = blueprint.build(seed=1)
    other.set_state(module.get_state())
    for obs in batches:
        outputs = _outputs(module, obs)
        for twin, claim in ((again, "built with the same seed"), (other, "with its state loaded")):
            require(
                _equal(_outputs(twin, obs), outputs), f"{claim}, a second one gives other outputs"
            )


def _require_gradients(require: Require, module: RLModule) -> None:
    for name, parameter in module.named_parameters():
        require(parameter.grad is not None, f"no gradient reaches `{name}`")
        is_finite = parameter.grad is not None and bool(parameter.grad.isfinite().all())
        require(is_finite, f"the gradient of `{name}` is not finite")


def _samples(space: gym.Space, lead: tuple[int, ...]) -> Any:
    """Observations as tensors with these leading axes, always the same ones."""
    flat = batch(space, samples(space, math.prod(lead)))
    return to_tensors(map_structure(lambda leaf: leaf.reshape((*lead, *leaf.shape[1:])), flat))


def _of(module: RLModule, obs: Nested) -> dict[str, Any]:
    return module.forward_train({Columns.OBS: obs})


def _outputs(module: RLModule, obs: Any) -> dict[str, Tensor]:
    """What the policy head gives, by phase."""
    phases = (module.forward_train, module.forward_exploration, module.forward_inference)
    return {
        phase.__name__: phase({Columns.OBS: obs})[Columns.ACTION_DIST_INPUTS] for phase in phases
    }


def _generator() -> torch.Generator:
    """Always the same stream."""
    return torch.Generator().manual_seed(0)


def _equal(one: Nested, other: Nested) -> bool:
    return all(map(torch.equal, leaves(one), leaves(other)))


def _require(part: str, holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"the {part} does not do what it must: {what}")
