"""The module that a blueprint builds: trunks, heads and a distribution."""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import gymnasium as gym
import torch
from torch import Tensor, nn

from composer.apis import API, TargetNetworkAPI
from composer.columns import Columns
from composer.distributions.base import ActionDistribution, Distribution
from composer.heads._auxiliary import AuxiliaryHead, Transition
from composer.memories.base import State
from composer.module.io_specs import Specs, TensorSpec
from composer.module.rl_module import RLModule
from composer.module.space_specs import space_specs
from composer.module.trunk import Trunk
from composer.running_norm import running_norms
from composer.spaces import Nested


class Recipe(Protocol):
    """What a module was built from."""

    def to_data(self) -> dict[str, Any]:
        """The recipe as JSON data."""
        ...


@dataclass(frozen=True)
class HeadPart:
    """A built head and how it stands in the graph."""

    module: nn.Module
    reads: str
    """A trunk."""
    detached: bool
    """Its loss does not train the trunk."""
    column: str
    """Where its output goes."""
    explores: bool
    """It also runs while collecting."""
    acts: bool = False
    """Actions are chosen by what it gives."""
    has_noise: bool = False
    """Its module takes `noisy`."""
    method: str = "forward"
    """By which an algorithm asks it for all its columns."""
    takes_actions: bool = False
    """It reads features ‖ real actions."""
    shape: str | None = None
    """Axes of what `module` gives, where that is said."""


@dataclass(frozen=True)
class TrunkEnds:
    """What goes into a trunk and comes out of it."""

    space: gym.Space
    key: str | int | None
    """The entry of the observation that it takes; None for all of it."""
    width: int


@dataclass(frozen=True)
class AuxiliaryPart:
    """A built auxiliary head and how it stands in the graph."""

    module: AuxiliaryHead
    reads: str
    """A trunk."""
    detached: bool
    """Its loss does not train the trunk."""
    weight: float
    """Of its loss."""


class ComposedRLModule(RLModule):
    """Runs the trunks that are read, then the heads.

    Trunks and heads are submodules under their own names: `main.encoder`, `policy`, `value`.
    """

    _is_whole = False
    """Its parts come after `setup`."""

    def __init__(
        self,
        *,
        recipe: Recipe,
        observation_space: gym.Space,
        action_space: gym.Space,
        trunks: Mapping[str, Trunk],
        ends: Mapping[str, TrunkEnds],
        heads: Mapping[str, HeadPart],
        auxiliary: Mapping[str, AuxiliaryPart],
        distribution: ActionDistribution | None,
        max_seq_len: int,
        targets: tuple[str, ...],
        dropped: tuple[str, ...],
        inference_only: bool,
    ) -> None:
        super().__init__(observation_space, action_space, inference_only=inference_only)
        self._recipe = recipe
        self._heads = dict(heads)
        self._by_column = {head.column: head for head in heads.values()}
        self._non_inference = dropped
        if inference_only:
            self._dropped = dropped
        for name, trunk in trunks.items():
            self.add_module(name, trunk)
        for role, head in (*heads.items(), *auxiliary.items()):
            self.add_module(role, head.module)
        if distribution is not None:
            self.distribution = distribution
        self._trunks = dict(trunks)
        self._memories = {
            name: trunk.memory for name, trunk in trunks.items() if trunk.memory is not None
        }
        self._ends = dict(ends)
        self._auxiliary = dict(auxiliary)
        self._max_seq_len = max_seq_len
        self._copied = targets
        self._is_whole = True
        self.renew_targets()
        self._training = tuple(role for role, head in heads.items() if not head.takes_actions)
        self._exploring = tuple(role for role, head in heads.items() if head.explores)
        self._inferring = tuple(role for role in heads if role not in dropped)

    def renew_targets(self) -> None:
        if self._is_whole:
            super().renew_targets()

    @classmethod
    @functools.cache
    def offering(cls, apis: frozenset[type[API]]) -> type["ComposedRLModule"]:
        """The class whose instances are also instances of `apis`."""
        own = [api for api in apis if not any(api in other.__mro__[1:] for other in apis)]
        ordered = sorted(own, key=lambda api: api.__name__)
        return type("ComposedRLModule", (cls, *ordered), {"__module__": cls.__module__})

    def get_train_action_dist_cls(self) -> ActionDistribution:
        return self.distribution

    def get_initial_state(self, batch_size: int = 1) -> dict[str, State]:
        """By trunk, what its memory knows where episodes begin, leaves `(batch_size, …)`."""
        return {name: memory.initial_state(batch_size) for name, memory in self._memories.items()}

    @property
    def max_seq_len(self) -> int:
        """As the trunks' memories say; of several the least."""
        return self._max_seq_len

    def _run(
        self, batch: Mapping[str, Any], roles: tuple[str, ...], noisy: bool = True
    ) -> dict[str, Any]:
        embeddings: dict[str, Tensor] = {}
        states: dict[str, State] = {}
        out: dict[str, Any] = {Columns.EMBEDDINGS: embeddings}
        for role in roles:
            head = self._heads[role]
            features = embeddings.get(head.reads)
            if features is None:
                features = embeddings[head.reads] = self._trunks[head.reads](batch, states)
            features = features.detach() if head.detached else features
            output = head.module(features, noisy) if head.has_noise else head.module(features)
            if head.acts:
                out[Columns.ACTION_DIST_INPUTS] = self.distribution.inputs(output)
            if head.column != Columns.ACTION_DIST_INPUTS:
                out[head.column] = output
        if self._memories:
            for name in self._memories:
                if name not in embeddings:
                    embeddings[name] = self._trunks[name](batch, states)
            out[Columns.STATE_OUT] = states
        return out

    def _forward_train(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._run(batch, self._training)

    def _forward_exploration(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._run(batch, self._exploring)

    def _forward_inference(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._run(batch, self._inferring, noisy=False)

    def input_specs_train(self) -> Specs:
        return self._input_specs(self._training) | self._state(Columns.STATE_IN, "*S")

    def input_specs_exploration(self) -> Specs:
        return self._input_specs(self._exploring) | self._state(Columns.STATE_IN)

    def input_specs_inference(self) -> Specs:
        return self._input_specs(self._inferring) | self._state(Columns.STATE_IN)

    def output_specs_train(self) -> Specs:
        return self._output_specs(self._training) | self._state(Columns.STATE_OUT, "*S")

    def output_specs_exploration(self) -> Specs:
        return self._output_specs(self._exploring) | self._state(Columns.STATE_OUT)

    def output_specs_inference(self) -> Specs:
        return self._output_specs(self._inferring) | self._state(Columns.STATE_OUT)

    def _input_specs(self, roles: tuple[str, ...]) -> dict[str, Any]:
        """The entries of the observation that the heads' trunks take."""
        entries: dict[Any, Any] = {}
        for ends in map(self._ends.__getitem__, self._read_by(roles)):
            specs = space_specs(ends.space)
            if ends.key is None and isinstance(specs, TensorSpec):
                return {Columns.OBS: specs}
            entries |= specs if isinstance(specs, dict) and ends.key is None else {ends.key: specs}
        return {Columns.OBS: entries}

    def _output_specs(self, roles: tuple[str, ...]) -> dict[str, Any]:
        """The columns of heads, and the features that they read."""
        widths = {trunk: self._ends[trunk].width for trunk in self._read_by(roles)}
        specs: dict[str, Any] = {Columns.EMBEDDINGS: {t: _rows(w) for t, w in widths.items()}}
        for head in map(self._heads.__getitem__, roles):
            specs[head.column] = head.shape and TensorSpec(head.shape, "float32", exact=False)
            if head.acts:
                specs[Columns.ACTION_DIST_INPUTS] = _rows(self.distribution.inputs_dim)
        return specs

    def _read_by(self, roles: tuple[str, ...]) -> list[str]:
        read = (self._heads[role].reads for role in roles)
        return list(dict.fromkeys([*read, *self._memories]))

    def _observe(self, obs: Nested) -> None:
        for trunk in self._trunks.values():
            trunk.encode(obs)

    def run_head(
        self,
        column: str,
        batch: Mapping[str, Any],
        embeddings: Mapping[str, Tensor] | None = None,
        method: str | None = None,
    ) -> Any:
        """What the head of a column gives, from features where they are given, else from
        observations; by the method of its module that an algorithm asks, or by another.
        """
        head = self._by_column[column]
        features = (embeddings or {}).get(head.reads)
        if features is None:
            features = self._trunks[head.reads](batch)
        features = features.detach() if head.detached else features
        return _asked(head, head.module, features, batch, method)

    def auxiliary_heads(
        self, batch: Mapping[str, Any], embeddings: Mapping[str, Tensor] | None = None
    ) -> list[tuple[str, float, AuxiliaryHead, Transition]]:
        """Each auxiliary head by its role, with its weight and what it sees of a batch."""
        known = embeddings or {}
        return [
            (role, part.weight, part.module, self._transition(part, batch, known.get(part.reads)))
            for role, part in self._auxiliary.items()
        ]

    def _transition(
        self, part: AuxiliaryPart, batch: Mapping[str, Any], embedding: Tensor | None
    ) -> Transition:
        trunk = self._trunks[part.reads]

        def encoded(obs: Nested) -> Tensor:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not part.detached):
                return trunk.encode(obs)

        if trunk.memory is not None:
            embedding = None  # the head reads what goes into the memory
        elif embedding is not None and part.detached:
            embedding = embedding.detach()
        return Transition(batch, trunk.observed, encoded, self._kept.normalised, embedding)

    @functools.cached_property
    def _kept(self) -> Distribution:
        """A distribution for how actions are kept, whatever the policy."""
        zeros = torch.zeros(1, self.distribution.inputs_dim, device=self.device)
        with torch.no_grad():
            return self.distribution(zeros)

    def non_inference_parts(self) -> tuple[str, ...]:
        return self._non_inference

    def recipe(self) -> dict[str, Any]:
        return {"blueprint": self._recipe.to_data()}


class ComposedTargets(TargetNetworkAPI):
    """What a composed module gains by heads that have slower copies."""

    target: nn.ModuleDict
    distribution: ActionDistribution
    _heads: dict[str, HeadPart]
    _copied: tuple[str, ...]
    get_submodule: Callable[[str], nn.Module]

    def make_target_networks(self) -> None:
        """Copies the heads that targets are computed from, and the trunks they read.

        Running norms are not copied: a copy sees observations as its original does.
        """
        shared = {id(norm): norm for norm in running_norms(cast("nn.Module", self))}
        parts = [name for role in self._copied for name in (self._heads[role].reads, role)]
        copies = {
            name: copy.deepcopy(self.get_submodule(name), shared) for name in dict.fromkeys(parts)
        }
        for network in copies.values():
            for parameter in network.parameters():
                parameter.requires_grad_(False)
        self.target = nn.ModuleDict(copies)

    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Each network with its copy."""
        return [(self.get_submodule(name), network) for name, network in self.target.items()]

    def forward_target(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        with torch.no_grad():
            for role in self._copied:
                head = self._heads[role]
                if head.takes_actions is not (Columns.ACTIONS in batch):
                    continue
                features = self.target[head.reads](batch)
                given = _asked(head, self.target[role], features, batch)
                if head.acts and head.column == Columns.ACTION_DIST_INPUTS:
                    given = self.distribution.inputs(given)
                out |= given if isinstance(given, dict) else {head.column: given}
        return out


def _rows(width: int) -> TensorSpec:
    return TensorSpec(("*B", width), "float32", exact=False)


def _asked(
    head: HeadPart,
    module: nn.Module,
    features: Tensor,
    batch: Mapping[str, Any],
    method: str | None = None,
) -> Any:
    """What a head, or its copy, gives for features, and for actions where it takes them."""
    if head.takes_actions:
        features = torch.cat([features, batch[Columns.ACTIONS]], -1)
    return getattr(module, method or head.method)(features)
