"""A hand-written module tried before it is trained: each phase, and what its algorithm asks for."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from composer.algorithms.base import AlgorithmConfig
from composer.apis import (
    API,
    IntrinsicRewardAPI,
    PolicyAPI,
    QNetAPI,
    SelfSupervisedLossAPI,
    TargetNetworkAPI,
    ValueFunctionAPI,
)
from composer.columns import Columns
from composer.distributions.base import DeterministicDistribution
from composer.errors import ContractError, ModuleError
from composer.masks import free_mask, mask_key
from composer.module.own_code import OwnCode
from composer.module.rl_module import RLModule, Step
from composer.seeds import seeded
from composer.spaces import Nested, batch, category_counts, map_structure, misfit, to_tensors

ROWS = 2
"""Observations that a module is tried on: one would hide a lost axis."""


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
        step = _act(module, code, "")
        if drops:
            without = f" without {', '.join(map(repr, drops))}, which it says acting does not need"
            _act(make(True), code, without)
        if algorithm is not None:
            _Audition(module, code, algorithm, step).run()
    parts = (
        ModulePart(name, type(part).__name__, _size(part)) for name, part in module.named_children()
    )
    return Trial(_size(module), tuple(parts), drops)


def _act(module: RLModule, code: OwnCode, without: str) -> Step:
    """A step of either kind; the one that explores."""
    obs, mask = _example(module)
    steps = []
    for deterministic, how in ((True, "acted"), (False, "explored")):
        with code.telling(how + without):
            step = module.act(obs, deterministic=deterministic, action_mask=mask)
            if wrong := misfit(module.action_space, step.env_actions, "the action", axes=1):
                raise ModuleError(wrong)
            steps.append(step)
    return steps[-1]


def _example(module: RLModule) -> tuple[Nested, Nested]:
    """Observations of the space, and a mask that forbids nothing where they hold one."""
    space = copy.deepcopy(module.observation_space)
    space.seed(0)
    obs: Any = batch(space, [space.sample() for _ in range(ROWS)])
    key = mask_key(space, module.action_space)
    if key is None:
        return to_tensors(obs, module.device), None
    obs[key] = map_structure(np.ones_like, obs[key])
    return to_tensors(obs, module.device), free_mask(module.action_space, (ROWS,))


@dataclass
class _Audition:
    """Whether an algorithm can train the module: what `CHECKS` has for each API it requires."""

    module: RLModule
    code: OwnCode
    algorithm: AlgorithmConfig
    step: Step
    batch: dict[str, Any] = field(default_factory=dict)
    out: Mapping[str, Any] = field(default_factory=dict)
    """What `forward_train` returned for the batch."""

    def run(self) -> None:
        by, module = self.algorithm.type, self.module
        with self.code.telling("was asked for its state"):
            if module.is_stateful:
                self.refuse(
                    "carries a state from step to step: it acts, is saved and is evaluated, but "
                    f"{by} cannot train it yet"
                )
        drawn = self.step.log_prob
        if not self.algorithm.uses_log_probs and drawn is not None and drawn.any():
            self.refuse(
                f"draws its actions where it explores, and {by} explores by itself: let "
                "`get_train_action_dist_cls` return a distribution of the best one, for instance "
                "`composer.distributions.greedy.GreedyDistribution`"
            )
        obs, mask = _example(module)
        columns = {
            Columns.OBS: obs,
            Columns.NEXT_OBS: obs,
            Columns.ACTIONS: self.step.actions,
            Columns.ACTION_MASK: mask,
        }
        self.batch = {
            name: to_tensors(column, module.device)
            for name, column in columns.items()
            if column is not None
        }
        with self.code.telling("computed what the loss needs"):
            self.out = module.forward_train(self.batch)
            asked = {*self.algorithm.required_apis(), *filter(module.offers, OWN)}
            ordered = sorted(asked, key=lambda api: api.label())
            learnt = [CHECKS[api](self).sum() for api in ordered if api in CHECKS]
            loss = sum(term for term in learnt if term.requires_grad)
            if not isinstance(loss, Tensor):
                self.refuse(
                    f"computes nothing that has a gradient, and {by} learns by gradients: it needs "
                    "parameters, and a `_forward` without `torch.no_grad()` or `.detach()`"
                )
            loss.backward()

    def q_values(self, method: str, compute: Callable[..., Mapping[str, Any]]) -> Tensor:
        """What a method says of every action, `(ROWS, n)`, once its shape is known to be right."""
        values = compute(self.batch).get(Columns.QF_PREDS)
        shape = (ROWS, sum(category_counts(self.module.action_space)))
        if values is None or values.shape != shape:
            found = "none" if values is None else f"of the shape {tuple(values.shape)}"
            self.refuse(
                f"gives values of actions {found}; `{method}` returns {{{Columns.QF_PREDS!r}: "
                f"(*B, n)}}, here {shape}"
            )
        return values

    def refuse(self, what: str) -> NoReturn:
        """Raises a ContractError that says what the module does."""
        raise ContractError(f"{self.code.module_class.__name__} {what}")


def _check_policy(audition: _Audition) -> Tensor:
    """Log-probabilities of what was explored, `(ROWS,)`."""
    out, by = audition.out, audition.algorithm.type
    inputs = out.get(Columns.ACTION_DIST_INPUTS)
    if audition.step.log_prob is None:
        audition.refuse(
            f"returns `{Columns.ACTIONS}` alone where it explores, and {by} learns from their "
            f"log-probability: return `{Columns.ACTION_DIST_INPUTS}` too, or alone"
        )
    if inputs is None:
        audition.refuse(
            f"returns no `{Columns.ACTION_DIST_INPUTS}` from `forward_train` (it returns "
            f"{', '.join(map(repr, out)) or 'nothing'}), and {by} learns from the "
            "log-probability of actions"
        )
    mask = audition.batch.get(Columns.ACTION_MASK)
    distribution = audition.module.action_distribution(out, "train", mask)
    if not audition.algorithm.uses_log_probs:
        return inputs
    if isinstance(distribution, DeterministicDistribution):
        audition.refuse(
            "has a distribution in training that always gives one and the same action, and "
            f"{by} learns from the log-probability of what was sampled"
        )
    return distribution.log_prob(audition.batch[Columns.ACTIONS])


def _check_values(audition: _Audition) -> Tensor:
    """Values of the observations, `(ROWS,)`."""
    module: Any = audition.module
    computed = module.compute_values(audition.batch, audition.out.get(Columns.EMBEDDINGS))
    given = {
        "compute_values": computed,
        "forward_train": audition.out.get(Columns.VF_PREDS),
        "forward_exploration": audition.step.value,
    }
    for method, values in given.items():
        if values is not None and values.shape != (ROWS,):
            audition.refuse(
                f"gives values of the shape {tuple(values.shape)} for {ROWS} observations; "
                f"`{method}` returns (*B,), here {(ROWS,)}: `.squeeze(-1)` removes an axis of one"
            )
    return computed


def _check_q_values(audition: _Audition) -> Tensor:
    """Values of every action, `(ROWS, n)`."""
    module: Any = audition.module
    return audition.q_values("compute_q_values", module.compute_q_values)


def _check_targets(audition: _Audition) -> Tensor:
    """What the copies say of the observations."""
    module: Any = audition.module
    for network, target in module.get_target_network_pairs():
        if any(own is new for own in target.parameters() for new in network.parameters()):
            audition.refuse(
                "gives as a target network one that shares weights with what it copies: "
                "`copy.deepcopy` it in `make_target_networks`"
            )
    if QNetAPI not in audition.algorithm.required_apis():
        return next(iter(module.forward_target(audition.batch).values()))
    return audition.q_values("forward_target", module.forward_target)


def _check_own_losses(audition: _Audition) -> Tensor:
    """The module's own losses, `(losses,)`."""
    module: Any = audition.module
    losses = module.compute_self_supervised_loss(audition.batch, audition.out)
    by_name = losses if isinstance(losses, Mapping) else {}
    shapes = {name: tuple(loss.shape) for name, loss in by_name.items()}
    if not shapes or any(shapes.values()):
        found = shapes or f"{type(losses).__name__} of {losses}"
        audition.refuse(
            "gives losses of its own in another form: `compute_self_supervised_loss` returns "
            f"scalars by name, {{name: ()}}, here {found}"
        )
    return torch.stack(list(losses.values()))


def _check_own_rewards(audition: _Audition) -> Tensor:
    """What the module pays for the transitions, `(ROWS,)`."""
    module: Any = audition.module
    rewards = module.compute_intrinsic_rewards(audition.batch)
    if not isinstance(rewards, Tensor) or rewards.shape != (ROWS,):
        found = tuple(rewards.shape) if isinstance(rewards, Tensor) else type(rewards).__name__
        audition.refuse(
            f"gives rewards of the shape {found} for {ROWS} transitions; "
            f"`compute_intrinsic_rewards` returns (*B,), here {(ROWS,)}"
        )
    return rewards.detach()


OWN = (SelfSupervisedLossAPI, IntrinsicRewardAPI)
"""What every algorithm uses of a module that has it."""
CHECKS: Mapping[type[API], Callable[[_Audition], Tensor]] = {
    PolicyAPI: _check_policy,
    ValueFunctionAPI: _check_values,
    QNetAPI: _check_q_values,
    TargetNetworkAPI: _check_targets,
    SelfSupervisedLossAPI: _check_own_losses,
    IntrinsicRewardAPI: _check_own_rewards,
}
"""By the API that an algorithm requires or uses: whether the module does it, and part of a loss."""


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
