"""Whether an algorithm can train a hand-written module: each API that it requires is tried."""

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from composer.algorithms._sequences import FOR_MEMORY
from composer.algorithms.base import AlgorithmConfig, OffPolicyConfig
from composer.apis import (
    API,
    ContinuousQAPI,
    IntrinsicRewardAPI,
    PolicyAPI,
    QNetAPI,
    SelfSupervisedLossAPI,
    TargetNetworkAPI,
    ValueFunctionAPI,
)
from composer.columns import Columns
from composer.distributions._apart import Apart
from composer.distributions.base import (
    DeterministicDistribution,
    Distribution,
)
from composer.distributions.greedy import GreedyDistribution
from composer.errors import ContractError, ModuleError, Problem
from composer.masks import free_mask, mask_key
from composer.module.io_specs import Bound, TensorSpec, flat, misfits
from composer.module.own_code import OwnCode
from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.seeds import seeded
from composer.spaces import (
    Nested,
    batch,
    category_counts,
    choice_counts,
    leaves,
    map_structure,
    to_tensors,
)

ROWS = 2
"""Observations that a module is tried on: one would hide a lost axis."""
STEPS = 3
"""Of the sequences that one with a memory is tried on."""
LARGE = 1e6
"""Beyond it an observation, which is drawn from all its space, may overflow."""


def example(module: RLModule) -> tuple[Nested, Nested]:
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
class Audition:
    """Whether an algorithm can train the module: what `CHECKS` has for each API it requires."""

    module: RLModule
    code: OwnCode
    algorithm: AlgorithmConfig
    step: Step
    batch: dict[str, Any] = field(default_factory=dict)
    out: Mapping[str, Any] = field(default_factory=dict)
    """What `forward_train` returned for the batch."""
    lead: tuple[int, ...] = (ROWS,)
    """Axes of the batch: of a module with a memory `(ROWS, STEPS)`."""

    def run(self) -> None:
        by, module = self.algorithm.type, self.module
        with self.code.telling("was asked for its state"):
            state = module.get_initial_state(ROWS)
            length = module.max_seq_len
        if state and (problems := self._sequence_problems(length)):
            raise ContractError(*problems)
        drawn = self.step.log_prob
        explores_by_itself = (
            self.algorithm.learns_from is None and not self.algorithm.uses_log_probs
        )
        if explores_by_itself and drawn is not None and drawn.any():
            self.refuse(
                f"draws its actions where it explores, and {by} explores by itself: let "
                "`get_train_action_dist_cls` return a distribution of the best one, for instance\n"
                + paste_of(GreedyDistribution)
            )
        obs, mask = example(module)
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
        if state:
            self._take_sequences(state)
        with self.code.telling("computed what the loss needs"):
            self.out = module.forward_train(self.batch)
            if state and self._burns_in and Columns.STATE_OUT not in self.out:
                self.refuse(
                    f"returns no `{Columns.STATE_OUT}` from `forward_train`, and that is what a "
                    "burn-in is for"
                )
            asked = {*self.algorithm.required_apis(), *filter(module.offers, OWN)}
            ordered = sorted(asked, key=lambda api: api.label())
            learnt = [CHECKS[api](self).sum() for api in ordered if api in CHECKS]
            loss = sum(term for term in learnt if term.requires_grad)
            if isinstance(loss, Tensor):
                loss.backward()

    @property
    def _burns_in(self) -> bool:
        return isinstance(self.algorithm, OffPolicyConfig) and bool(self.algorithm.replay.burn_in)

    def _sequence_problems(self, max_seq_len: Any) -> list[Problem]:
        """The problem of the sequences that a module with a memory is trained on."""
        path = "model.config.max_seq_len"
        if isinstance(max_seq_len, int) and max_seq_len > 0:
            return self.algorithm.memory_problems(max_seq_len, path)
        rule = "sequences have a number of steps, 1 or more"
        return [Problem(rule, path, max_seq_len, fix=f"{path}=20")]

    def _take_sequences(self, state: Nested) -> None:
        """Makes the batch one of sequences, each of one observation again and again."""
        self.lead = (ROWS, STEPS)
        steps = map_structure(lambda leaf: torch.stack([leaf] * STEPS, 1), self.batch)
        is_first = torch.zeros(self.lead, dtype=torch.bool, device=self.module.device)
        self.batch = {
            **steps,
            Columns.STATE_IN: to_tensors(state, self.module.device),
            Columns.IS_FIRST: is_first,
            Columns.LOSS_MASK: ~is_first,
            Columns.PREV_ACTIONS: steps[Columns.ACTIONS],
            Columns.PREV_REWARDS: is_first.float(),
        }

    @property
    def seen(self) -> dict[str, Any]:
        """What networks are asked about: observations, and what a memory takes beside them."""
        return {name: self.batch[name] for name in (Columns.OBS, *FOR_MEMORY) if name in self.batch}

    @functools.cached_property
    def distribution(self) -> Apart:
        """Of what `forward_train` returned."""
        mask = self.batch.get(Columns.ACTION_MASK)
        return Apart(self.module.action_distribution(self.out, "train", mask))

    def require(self, method: str, given: Mapping[str, Any], **specs: TensorSpec) -> None:
        """Refuses what a method returned for the batch, unless it is as the specs say."""
        lead = (ROWS,) if method == "forward_exploration" else self.lead
        bound: Bound = {"*B": (lead, Columns.OBS)}
        name, by = self.code.module_class.__name__, self.algorithm.type
        if not isinstance(given, Mapping):
            columns = ", ".join(f"`{column}`" for column in specs)
            raise ContractError(
                f"`{method}` of {name} must return a mapping with {columns}, not "
                f"{type(given).__name__}"
            )
        if wrong := list(misfits(flat(specs), given, bound)):
            raise ContractError(
                *(
                    f"`{method}` of {name} must return {words}; {by} learns from it"
                    for words in wrong
                )
            )
        for column in specs:
            require_finite(given[column], f"`{method}` of {name}", column, self.batch[Columns.OBS])

    def require_gradient(self, method: str, values: Tensor) -> None:
        """Refuses what a method returned, if nothing can be learnt by it."""
        if not values.requires_grad:
            self.refuse(
                f"returns from `{method}` what has no gradient, and {self.algorithm.type} learns "
                "by gradients: it needs parameters, and neither `torch.no_grad()` nor `.detach()`"
            )

    def refuse(self, what: str) -> NoReturn:
        """Raises a ContractError that says what the module does."""
        raise ContractError(f"{self.code.module_class.__name__} {what}")


def _check_policy(audition: Audition) -> Tensor:
    """Log-probabilities of what was explored, `(ROWS,)`."""
    by = audition.algorithm.type
    if audition.step.log_prob is None:
        audition.refuse(
            f"returns `{Columns.ACTIONS}` alone where it explores, and {by} learns from their "
            f"log-probability: return `{Columns.ACTION_DIST_INPUTS}` too, or alone"
        )
    audition.require("forward_train", audition.out, action_dist_inputs=TensorSpec("*B, inputs"))
    audition.require_gradient("forward_train", audition.out[Columns.ACTION_DIST_INPUTS])
    if not audition.algorithm.uses_log_probs:
        return audition.out[Columns.ACTION_DIST_INPUTS]
    distribution = audition.distribution.distribution
    if isinstance(distribution, DeterministicDistribution):
        audition.refuse(
            "has a distribution in training that always gives one and the same action, and "
            f"{by} learns from the log-probability of what was sampled"
        )
    return distribution.log_prob(audition.batch[Columns.ACTIONS])


def _check_values(audition: Audition) -> Tensor:
    """Values of the observations, `(ROWS,)`."""
    module: Any = audition.module
    computed = module.compute_values(audition.batch, audition.out.get(Columns.EMBEDDINGS))
    given = {
        "compute_values": computed,
        "forward_train": audition.out.get(Columns.VF_PREDS),
        "forward_exploration": audition.step.value,
    }
    module.compute_values(audition.batch)  # as what follows a rollout is valued
    for method, values in given.items():
        if values is not None or method == "compute_values":
            audition.require(method, {Columns.VF_PREDS: values}, vf_preds=TensorSpec("*B"))
    audition.require_gradient("compute_values", computed)
    return computed


def _check_q_values(audition: Audition, method: str = "compute_q_values") -> Tensor:
    """Values of every action, `(ROWS, n)`; of several critics, which an actor may have,
    `(n_critics, ROWS, n)`.
    """
    given = getattr(audition.module, method)(audition.batch)
    n = sum(category_counts(audition.module.action_space))
    values = given.get(Columns.QF_PREDS) if isinstance(given, Mapping) else None
    has_actor = PolicyAPI in audition.algorithm.required_apis()
    several = has_actor and isinstance(values, Tensor) and values.dim() == 3
    shape = f"n_critics, *B, {n}" if several else f"*B, {n}"
    audition.require(method, given, qf_preds=TensorSpec(shape))
    if method == "compute_q_values":
        audition.require_gradient(method, given[Columns.QF_PREDS])
    return given[Columns.QF_PREDS]


def _check_action_values(audition: Audition, method: str = "compute_action_values") -> Tensor:
    """Values of the actions that were explored, `(n_critics, ROWS, …)`."""
    actions = audition.distribution.normalised(audition.batch[Columns.ACTIONS])
    actions = actions.detach().requires_grad_()  # (ROWS, A)
    given = getattr(audition.module, method)({**audition.seen, Columns.ACTIONS: actions})
    n = sum(choice_counts(audition.module.action_space))
    heads = audition.algorithm.heads().values()
    is_distributional = any(getattr(head, "n_quantiles", 1) > 1 for head in heads)
    last = f", {n}" if n else ", n_quantiles" if is_distributional else ""
    audition.require(method, given, qf_preds=TensorSpec(f"n_critics, *B{last}"))
    values = given[Columns.QF_PREDS]
    dropped = getattr(audition.algorithm, "top_quantiles_to_drop_per_net", 0)
    if is_distributional and values.shape[-1] <= dropped:
        audition.refuse(
            f"has {values.shape[-1]} of the quantiles that {audition.algorithm.type} learns by, of "
            f"which it leaves out the {dropped} highest: `{method}` returns more for each critic"
        )
    if method == "compute_action_values":
        audition.require_gradient(method, values)
        gradient = torch.autograd.grad(values.sum(), actions, retain_graph=True, allow_unused=True)
        if gradient[0] is None:
            audition.refuse(
                f"gives values that do not depend on the actions, and {audition.algorithm.type} "
                f"follows their gradient: `{method}` reads `{Columns.ACTIONS}`, `(*B, A)`"
            )
    return values


def _check_targets(audition: Audition) -> Tensor:
    """What the copies say of the observations, and otherwise when they are others."""
    copies = _copies(audition)
    with torch.no_grad(), seeded(0):
        before = _said_by_targets(audition)
    with torch.no_grad(), seeded(0), _scrambled(copies):
        after = _said_by_targets(audition)
    if any(torch.equal(one, other) for one, other in zip(before, after, strict=True)):
        audition.refuse(
            "has a `forward_target` that does not use the copies: those that "
            "`get_target_network_pairs` returns, [(network, copy)], each copy behind its network"
        )
    return before[-1]


def _copies(audition: Audition) -> list[nn.Module]:
    """The slower copies of networks, each once what it copies has been looked at."""
    listed = audition.module.target_pairs()
    if not listed:
        audition.refuse(
            "must return pairs of modules from `get_target_network_pairs`, "
            "[(network, copy)], and returns nothing"
        )
    for network, target in listed:
        if any(own is new for own in target.parameters() for new in network.parameters()):
            audition.refuse(
                "gives as a target network one that shares weights with what it copies: "
                "`copy.deepcopy` it in `make_target_networks`"
            )
        if _shapes(network) != _shapes(target):
            audition.refuse(
                f"gives as a target network a {type(target).__name__} whose weights are of other "
                f"shapes than those of the {type(network).__name__} that it copies"
            )
    return [target for _, target in listed]


def _shapes(module: nn.Module) -> list[list[torch.Size]]:
    return [[tensor.shape for tensor in all_()] for all_ in (module.parameters, module.buffers)]


def _said_by_targets(audition: Audition) -> list[Tensor]:
    """All that an algorithm asks the copies for."""
    module: Any = audition.module
    required, algorithm, said = audition.algorithm.required_apis(), audition.algorithm, []
    if any(algorithm.heads()[role].acts and role == "policy" for role in algorithm.targets()):
        given = module.forward_target(audition.seen)
        spec = TensorSpec(("*B", audition.out[Columns.ACTION_DIST_INPUTS].shape[-1]))
        audition.require("forward_target", given, action_dist_inputs=spec)
        said.append(given[Columns.ACTION_DIST_INPUTS])
    if ContinuousQAPI in required:
        return [*said, _check_action_values(audition, "forward_target")]
    if QNetAPI in required:
        return [*said, _check_q_values(audition, "forward_target")]
    return [*said, next(iter(module.forward_target(audition.batch).values()))]


@contextmanager
def _scrambled(modules: list[nn.Module]) -> Iterator[None]:
    """Meanwhile their parameters are others; gradients of what was computed before stay."""
    own = [(p, p.data) for module in modules for p in module.parameters()]
    for parameter, data in own:
        parameter.data = data + 0.01 * torch.randn_like(data)
    try:
        yield
    finally:
        for parameter, data in own:
            parameter.data = data


def _check_own_losses(audition: Audition) -> Tensor:
    """The module's own losses, `(losses,)`."""
    module: Any = audition.module
    losses = module.compute_self_supervised_loss(audition.batch, audition.out)
    by_name = losses if isinstance(losses, Mapping) else {}
    shapes = {
        name: tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        for name, loss in by_name.items()
    }
    if not shapes or any(shapes.values()):
        found = shapes or f"{type(losses).__name__} of {losses}"
        audition.refuse(
            "gives losses of its own in another form: `compute_self_supervised_loss` returns "
            f"scalars by name, {{name: ()}}, here {found}"
        )
    return torch.stack(list(losses.values()))


def _check_own_rewards(audition: Audition) -> Tensor:
    """What the module pays for the transitions, `(ROWS,)`."""
    module: Any = audition.module
    batch = audition.batch
    if Columns.STATE_IN in batch:  # it pays step by step
        names = (Columns.OBS, Columns.NEXT_OBS, Columns.ACTIONS)
        batch = {name: map_structure(lambda leaf: leaf[:, 0], batch[name]) for name in names}
    rewards = module.compute_intrinsic_rewards(batch)
    if not isinstance(rewards, Tensor) or rewards.shape != (ROWS,):
        found = tuple(rewards.shape) if isinstance(rewards, Tensor) else type(rewards).__name__
        audition.refuse(
            f"gives rewards of the shape {found} for {ROWS} transitions; "
            f"`compute_intrinsic_rewards` returns (*B,), here {(ROWS,)}"
        )
    return rewards.detach()


OWN = (SelfSupervisedLossAPI, IntrinsicRewardAPI)
"""What every algorithm uses of a module that has it."""
CHECKS: Mapping[type[API], Callable[[Audition], Tensor]] = {
    PolicyAPI: _check_policy,
    ValueFunctionAPI: _check_values,
    QNetAPI: _check_q_values,
    ContinuousQAPI: _check_action_values,
    TargetNetworkAPI: _check_targets,
    SelfSupervisedLossAPI: _check_own_losses,
    IntrinsicRewardAPI: _check_own_rewards,
}
"""By the API that an algorithm requires or uses: whether the module does it, and part of a loss."""


def require_finite(values: Tensor, who: str, column: str, obs: Nested) -> None:
    """Refuses NaN and infinity, but where observations themselves are so large."""
    if values.isfinite().all() or any((leaf.double().abs() > LARGE).any() for leaf in leaves(obs)):
        return
    raise ModuleError(f"{who} returns `{column}` with values that are not finite: nan or inf")


def paste_of(distribution: type[Distribution]) -> str:
    """A method that brings a distribution."""
    return (
        "def get_train_action_dist_cls(self):\n"
        f"    return {distribution.__name__}    # from {distribution.__module__}"
    )
