"""A hand-written module tried before it is trained: each phase, and what its algorithm asks for."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from composer.algorithms.base import AlgorithmConfig
from composer.columns import Columns
from composer.distributions._apart import Apart
from composer.distributions.base import (
    ActionDistribution,
    Distribution,
    DistributionConfig,
)
from composer.errors import ContractError, ModuleError
from composer.module.audition import Audition, example, paste_of, require_finite
from composer.module.own_code import OwnCode
from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.optimisers.base import require_parts
from composer.seeds import seeded
from composer.spaces import (
    describe,
    leaf_spaces,
    misfit,
)


@dataclass(frozen=True)
class ModulePart:
    """A submodule of a hand-written module."""

    name: str
    type: str
    """Its class."""
    parameters: int
    """Trainable ones."""


@dataclass(frozen=True)
class Trial:
    """What was seen of a module that was made to be looked at, and thrown away."""

    parameters: int
    """Trainable ones."""
    parts: tuple[ModulePart, ...]
    drops: tuple[str, ...]
    """What its inference-only form goes without."""
    max_seq_len: int | None
    """Steps of the sequences that it is trained on; None without a memory."""


def try_module(
    make: Callable[[bool], RLModule], code: OwnCode, algorithm: AlgorithmConfig | None
) -> Trial:
    """Makes a module, and acts and computes with it on random observations.

    Args:
        make: Gives a new module; True leaves out what only training needs.
        code: Its class.
        algorithm: What will train it; None where nothing will.

    Raises:
        ModuleError: If the class raises, or returns what cannot be acted on.
        ContractError: If it does not return what the algorithm learns from.
    """
    module = make(False)
    with code.telling("named its non-inference attributes"):
        drops = module.non_inference_parts()
    with seeded(0):
        if algorithm is not None and algorithm.learns_from is not None:
            with code.telling("said what distributes its actions"):
                _require_trainable(module, code, algorithm, algorithm.learns_from)
        step = _act(module, code, "")
        if drops:
            without = f" without {', '.join(map(repr, drops))}, which it says acting does not need"
            _act(make(True), code, without)
        if algorithm is not None:
            Audition(module, code, algorithm, step).run()
    if algorithm is not None:
        require_parts(algorithm.optimiser, module)
    parts = (
        ModulePart(name, type(part).__name__, _size(part)) for name, part in module.named_children()
    )
    max_seq_len = module.max_seq_len if module.is_stateful else None
    return Trial(_size(module), tuple(parts), drops, max_seq_len)


def _act(module: RLModule, code: OwnCode, without: str) -> Step:
    """A step of either kind; the one that explores."""
    obs, mask = example(module)
    steps = []
    for deterministic, how in ((True, "acted"), (False, "explored")):
        with code.telling(how + without):
            step = module.act(obs, deterministic=deterministic, action_mask=mask)
            if step.dist_inputs is not None:
                phase = "inference" if deterministic else "exploration"
                who = f"`forward_{phase}` of {code.module_class.__name__}"
                require_finite(step.dist_inputs, who, Columns.ACTION_DIST_INPUTS, obs)
            if wrong := misfit(module.action_space, step.env_actions, "the action", axes=1):
                raise ModuleError(wrong)
            steps.append(step)
    return steps[-1]


def _require_trainable(
    module: RLModule,
    code: OwnCode,
    algorithm: AlgorithmConfig,
    able: tuple[type[DistributionConfig], ...],
) -> None:
    """Refuses a distribution through which the algorithm's gradient does not go."""
    parts = Apart(_of_zeros(module.distribution_for("train"))).parts
    for part, space in zip(parts, leaf_spaces(module.action_space), strict=True):
        configs = [config() for config in able]
        fitting = [_of_zeros(c.bind(space)) for c in configs if c.refusal(space) is None]
        if type(part) not in map(type, fitting):
            names = " or ".join(f"`{type(d).__module__}.{type(d).__name__}`" for d in fitting)
            paste = f", for instance\n{paste_of(type(fitting[0]))}" if not parts[1:] else ""
            raise ContractError(
                f"{code.module_class.__name__} has a {type(part).__name__} for {describe(space)}, "
                f"and {algorithm.type} learns from {names}: let `get_train_action_dist_cls` return "
                f"that{paste}"
            )


def _of_zeros(maker: ActionDistribution) -> Distribution:
    return maker(torch.zeros(1, maker.inputs_dim))


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
