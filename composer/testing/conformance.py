"""Checks that a part of one's own is as Composer needs it."""

import copy
import math
from typing import Any

import gymnasium as gym
import torch

from composer.blueprint.blueprint import Blueprint
from composer.catalog.catalog import Catalog
from composer.columns import Columns
from composer.composition import compose
from composer.encoders.base import EncoderConfig
from composer.module.rl_module import RLModule
from composer.spaces import batch, describe, map_structure, to_tensors

ACTIONS = 3
LEADING_AXES = ((), (4,), (2, 3))


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
    blueprint = compose(space, gym.spaces.Discrete(ACTIONS), model={"encoder": config})
    _require(Blueprint.from_json(blueprint.to_json()) == blueprint, "its JSON is not the config")
    resolved = Catalog.default().encoder(space, config).config
    again = Catalog.default().encoder(space, resolved).config
    _require(again == resolved, "resolved twice, it is another config")
    _require_width(resolved, space)
    module = blueprint.build(seed=0)
    again, other = blueprint.build(seed=0), blueprint.build(seed=1)
    other.set_state(module.get_state())
    for lead in LEADING_AXES:
        obs = _samples(space, lead)
        outputs = _outputs(module, obs)
        shape = (*lead, ACTIONS)
        for phase, output in outputs.items():
            _require(output.shape == shape, f"{phase} gives {tuple(output.shape)}, not {shape}")
            _require(bool(output.isfinite().all()), f"{phase} gives numbers that are not finite")
        for twin, claim in ((again, "built with the same seed"), (other, "with its state loaded")):
            same = all(map(torch.equal, _outputs(twin, obs).values(), outputs.values()))
            _require(same, f"{claim}, a second one gives other outputs")
    _outputs(module, _samples(space, (8,)))["forward_train"].square().sum().backward()
    for name, parameter in module.named_parameters():
        _require(parameter.grad is not None, f"no gradient reaches `{name}`")
        is_finite = parameter.grad is not None and bool(parameter.grad.isfinite().all())
        _require(is_finite, f"the gradient of `{name}` is not finite")


def _require_width(config: EncoderConfig, space: gym.Space) -> None:
    encoder = config.build(space)
    for lead in LEADING_AXES:
        features, shape = encoder(_samples(space, lead)), (*lead, config.out_dim(space))
        _require(
            features.shape == shape and features.dtype == torch.float32,
            f"of {describe(space)} with leading axes {lead} it makes {tuple(features.shape)} "
            f"{features.dtype}, but its `out_dim` says {shape} torch.float32",
        )


def _samples(space: gym.Space, lead: tuple[int, ...]) -> Any:
    """Observations as tensors with these leading axes, always the same ones."""
    space = copy.deepcopy(space)
    space.seed(0)
    flat = batch(space, [space.sample() for _ in range(math.prod(lead))])
    return to_tensors(map_structure(lambda leaf: leaf.reshape((*lead, *leaf.shape[1:])), flat))


def _outputs(module: RLModule, obs: Any) -> dict[str, torch.Tensor]:
    """What the policy head gives, by phase."""
    phases = (module.forward_train, module.forward_exploration, module.forward_inference)
    return {
        phase.__name__: phase({Columns.OBS: obs})[Columns.ACTION_DIST_INPUTS] for phase in phases
    }


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"the encoder does not do what it must: {what}")
