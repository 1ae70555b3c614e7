"""`autoregressive`: Dict and Tuple actions, each part drawn in the knowledge of those before it."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn.functional import one_hot

from composer.composites import Keys
from composer.distributions._composite import (
    CompositeDistributionConfig,
    JoinedActionDistribution,
    KeyedDistribution,
    child_mask,
)
from composer.distributions.base import ActionDistribution, Distribution
from composer.distributions.joint import JointDistribution, summed
from composer.errors import CompositionError, Problem, did_you_mean, nearest_first
from composer.spaces import (
    Nested,
    category_counts,
    child_spaces,
    describe,
    flat_dim,
    is_real,
    map_structure,
)

MOST_PREFIXES = 256
"""Up to so many ways to begin, expectations are sums over all of them."""
FEWEST_SAMPLES = 16
"""Beyond, they are means over samples, at least so many."""


class AutoregressiveConfig(CompositeDistributionConfig):
    """Like `joint`, but each part knows those before it, so that they can depend on one another.

    The policy gives, beside what each part's own distribution takes, a matrix for each pair of
    parts: it is multiplied by the earlier part's action (one-hot where it is a choice) and added
    to the later part's inputs. So a choice of n and then one of m has m · n further outputs.
    """

    type: Literal["autoregressive"] = "autoregressive"
    order: Keys = ()
    """Keys in the order in which they are drawn; those left out follow, in the space's order."""

    def refusal(self, space: gym.Space) -> str | None:
        if not isinstance(space, spaces.Dict | spaces.Tuple):
            return f"`autoregressive` acts in a Dict or a Tuple, not {describe(space)}"
        unfixed = [key for key, child in (child_spaces(space) or {}).items() if not flat_dim(child)]
        if not unfixed:
            return None
        return (
            f"`autoregressive` needs parts that are vectors of a fixed length, and `{unfixed[0]}` "
            f"of {describe(space)} is none"
        )

    def resolve(self, space: gym.Space) -> "AutoregressiveConfig":
        keys = self.child_spaces(space)
        problems = [_no_key(key, keys, space) for key in self.order if key not in keys]
        if len(set(self.order)) < len(self.order):
            problems.append(Problem("a part is drawn once", "order", list(self.order)))
        if problems:
            raise CompositionError(*problems)
        order = dict.fromkeys([*self.order, *keys])
        return self.model_copy(update={"order": tuple(order)})

    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        return child_spaces(space) or {}

    def own_dim(self, space: gym.Space) -> int:
        inner = self._inner(space)
        dims = {key: child.bind(its_space).inputs_dim for key, (child, its_space) in inner.items()}
        return sum(matrix.size for matrix in self._matrices(space, dims))

    def join(self, space: gym.Space, parts: Mapping[str, ActionDistribution]) -> ActionDistribution:
        dims = {key: part.inputs_dim for key, part in parts.items()}
        matrices = self._matrices(space, dims)
        return Autoregressive(space=space, parts=parts, order=self.order, matrices=matrices)

    def _matrices(self, space: gym.Space, dims: Mapping[str, int]) -> list["Matrix"]:
        inner = self.child_spaces(space)
        return [
            Matrix(later, earlier, dims[later], flat_dim(inner[earlier]))
            for earlier, later in itertools.combinations(self.order, 2)
        ]


@dataclass(frozen=True)
class Matrix:
    """What an earlier part's action does to a later one's inputs."""

    later: str
    earlier: str
    rows: int
    columns: int

    @property
    def size(self) -> int:
        return self.rows * self.columns


def _no_key(key: str, keys: Mapping[str, Any], space: gym.Space) -> Problem:
    names = nearest_first(key, keys)
    message = f"{describe(space)} has no part `{key}`{did_you_mean(key, names)}"
    return Problem(message, "order", key, valid=names)


class Autoregressive(JoinedActionDistribution):
    """The matrices, then the inputs of each part where nothing is known of the others."""

    def __init__(
        self,
        *,
        space: gym.Space,
        parts: Mapping[str, ActionDistribution],
        order: Sequence[str],
        matrices: Sequence[Matrix],
    ) -> None:
        super().__init__(space=space, parts=parts, own_dim=sum(matrix.size for matrix in matrices))
        self.order = tuple(order)
        self.matrices = tuple(matrices)

    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        """mask: nested as the space is, `(*B, …)`; a part that is missing is free."""
        own, pieces = self.pieces(inputs)
        flat = own.split([matrix.size for matrix in self.matrices], -1)
        between = {
            (matrix.later, matrix.earlier): weights.unflatten(-1, (matrix.rows, matrix.columns))
            for matrix, weights in zip(self.matrices, flat, strict=True)
        }
        chain = Chain(self.order, child_spaces(self.space) or {}, self.parts, pieces, between, mask)
        return AutoregressiveDistribution(inputs, self.space, chain)


Known = Mapping[str, Tensor]
"""Actions of earlier parts as vectors, by key: `(*B, …, columns)`."""


@dataclass(frozen=True)
class Chain:
    """The parts' distributions, each given what is known of those before it."""

    order: tuple[str, ...]
    spaces: Mapping[str, gym.Space]
    parts: Mapping[str, ActionDistribution]
    pieces: Mapping[str, Tensor]
    """Each part's inputs where nothing is known."""
    between: Mapping[tuple[str, str], Tensor]
    """By later and earlier part, `(*B, rows, columns)`."""
    mask: Nested

    def part(self, key: str, known: Known) -> Distribution:
        """A part's distributions `(*B,)`, each for what is known `(*B, columns)`."""
        inputs = self.pieces[key]
        for earlier, vector in known.items():
            inputs = inputs + (self.between[key, earlier] @ vector.unsqueeze(-1)).squeeze(-1)
        return self.parts[key](inputs, child_mask(self.mask, key))

    def parts_given(self, key: str, known: Known, count: int) -> Distribution:
        """The same `(*B, P)`, for P = `count` ways to begin: known `(*B, P, columns)`."""
        inputs = self.pieces[key].unsqueeze(-2)
        inputs = inputs.expand(*inputs.shape[:-2], count, -1)
        for earlier, vectors in known.items():
            inputs = inputs + vectors @ self.between[key, earlier].transpose(-1, -2)
        mask = child_mask(self.mask, key)
        if mask is not None:
            lead = inputs.dim() - 2
            shape = (*inputs.shape[:lead], count)
            mask = map_structure(
                lambda leaf: leaf.unsqueeze(lead).expand(*shape, *leaf.shape[lead:]), mask
            )
        return self.parts[key](inputs, mask)

    def run(self, act: Callable[[Distribution, str], Nested]) -> tuple[dict[str, Any], Known]:
        """Each part's distribution by key, in turn, where `act` says what each does."""
        known: dict[str, Tensor] = {}
        given: dict[str, Distribution] = {}
        for key in self.order:
            given[key] = self.part(key, known)
            known[key] = vector(self.spaces[key], act(given[key], key))
        return given, known


class AutoregressiveDistribution(KeyedDistribution):
    """Inputs are the matrices and those of each part; actions are nested as the space is."""

    def __init__(self, inputs: Tensor, space: gym.Space, chain: Chain) -> None:
        unconditional = {key: chain.part(key, {}) for key in chain.parts}
        super().__init__(inputs, space, unconditional)
        self.chain = chain

    def sample(self, generator: torch.Generator | None = None) -> Nested:
        drawn: dict[str, Nested] = {}

        def act(part: Distribution, key: str) -> Nested:
            drawn[key] = part.sample(generator)
            return drawn[key]

        self.chain.run(act)
        return self.nested(drawn)

    def deterministic(self) -> Nested:
        """Step by step: each part's own, given that of those before it."""
        given, _ = self.chain.run(lambda part, _: part.deterministic())
        return self.nested({key: part.deterministic() for key, part in given.items()})

    def to_deterministic(self) -> JointDistribution:
        given, _ = self.chain.run(lambda part, _: part.deterministic())
        children = {key: given[key].to_deterministic() for key in self.children}
        return JointDistribution(self.inputs, self.space, children)

    def log_prob(self, actions: Nested) -> Tensor:
        """actions: nested, each part normalised as its child says."""
        taken = self.by_key(actions)
        given, _ = self.chain.run(lambda _, key: taken[key])
        return summed(part.log_prob(taken[key]) for key, part in given.items())

    def entropy(self) -> Tensor:
        """By the chain rule; exact while the ways to begin are few, else estimated from samples.

        The samples are always the same ones; the gradient of an estimate leaves out how the parts
        that are sampled change.
        """
        return self._expected(lambda part, _: part.entropy())

    def kl(self, other: Any) -> Tensor:
        """By the chain rule, as `entropy`."""
        return self._expected(lambda part, its: part.kl(its), other.chain)

    def _expected(
        self, value: Callable[[Distribution, Any], Tensor], other: Chain | None = None
    ) -> Tensor:
        """The sum over the parts of what is expected of each, by this distribution's actions."""
        chain, lead = self.chain, self.inputs.shape[:-1]
        weights, known = self.inputs.new_ones((*lead, 1)), {}  # (*B, P); (*B, P, columns) by key
        total = self.inputs.new_zeros(lead)
        generator = torch.Generator(self.inputs.device).manual_seed(0)
        for key in chain.order:
            count = weights.shape[-1]
            part = chain.parts_given(key, known, count)
            its = None if other is None else other.parts_given(key, known, count)
            total = total + (weights * value(part, its)).sum(-1)
            if key == chain.order[-1]:
                break
            space = chain.spaces[key]
            choices = all_actions(space, MOST_PREFIXES // count)
            ways = -(-FEWEST_SAMPLES // count) if choices is None else len(choices)
            weights = weights.repeat_interleave(ways, -1)
            known = {k: vectors.repeat_interleave(ways, -2) for k, vectors in known.items()}
            part = chain.parts_given(key, known, count * ways)
            if choices is None:
                actions, weights = part.sample(generator), weights / ways
            else:
                each = choices.to(weights.device).repeat(count, *[1] * (choices.dim() - 1))
                actions = each.expand(*lead, *each.shape)
                weights = weights * part.log_prob(actions).exp()
            known[key] = vector(space, actions)
        return total


def all_actions(space: gym.Space, most: int) -> Tensor | None:
    """Every action `(K, *shape)`, counted from 0; None if there are more than `most`."""
    kinds = spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    counts = category_counts(space) if isinstance(space, kinds) else (most + 1,)
    if math.prod(counts) > most:
        return None
    rows = torch.cartesian_prod(*map(torch.arange, counts))
    return rows.reshape(-1, *(space.shape or ()))


def vector(space: gym.Space, actions: Nested) -> Tensor:
    """Normalised actions as vectors `(*B, columns)`: choices one-hot, whole numbers up to 1."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = actions.values() if isinstance(actions, Mapping) else actions
        inner = zip((child_spaces(space) or {}).values(), parts, strict=True)
        return torch.cat([vector(child, part) for child, part in inner], -1)
    rank = len(space.shape or ())
    flat = actions.flatten(-rank) if rank else actions.unsqueeze(-1)
    counts = category_counts(space)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        hot = [one_hot(flat[..., i].long(), count) for i, count in enumerate(counts)]
        return torch.cat(hot, -1).float()
    if isinstance(space, spaces.Box) and not is_real(space):
        return flat / flat.new_tensor(counts).sub(1).clamp(min=1)
    return flat.float()
