"""Values of a space as vectors, and how far a prediction is from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from composer.encoders._choices import Positions, counts, positions
from composer.encoders._scaling import rescale
from composer.spaces import (
    Nested,
    category_counts,
    child_spaces,
    describe,
    flat_dim,
    is_real,
    leaf_spaces,
)

PLAIN = spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary


def uncoded(space: gym.Space) -> str | None:
    """What there is inside that has no vector of one length; None where there is no such thing."""
    return next(
        (describe(leaf) for leaf in leaf_spaces(space) if not isinstance(leaf, PLAIN)), None
    )


def code_of(space: gym.Space) -> "Code":
    """The code of observations as the environment gives them, bounded numbers scaled to [0, 1]."""
    return Code([(path, _leaf(leaf, _scaled)) for path, leaf in _paths(space)])


def action_code(space: gym.Space) -> "Code":
    """The code of actions, in the normalised space that `normalised_space` gave."""
    return Code([(path, _leaf(leaf, _clamped)) for path, leaf in _paths(space)])


def normalised_space(space: gym.Space) -> gym.Space:
    """The space that the actions of one lie in once they are normalised, but for their clipping."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: normalised_space(child) for key, child in space.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([normalised_space(child) for child in space.spaces])
    if is_real(space):
        bounded = np.isfinite(space.low) & np.isfinite(space.high)
        high = np.where(bounded, 1.0, np.inf).astype(np.float32)
        return spaces.Box(-high, high, dtype=np.float32)
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(space.n)
    if isinstance(space, spaces.MultiDiscrete | spaces.Box):
        return spaces.MultiDiscrete(np.reshape(category_counts(space), space.shape))
    return space


def widths(space: gym.Space) -> list[int]:
    """Numbers that the code has for each leaf."""
    return [flat_dim(leaf) for leaf in leaf_spaces(space)]


class LeafCode(nn.Module, ABC):
    """Values of a space that is no composite."""

    @abstractmethod
    def forward(self, values: Tensor) -> Tensor:
        """values: `(*B, *shape)` → `(*B, dim)` float32."""

    @abstractmethod
    def error(self, predicted: Tensor, values: Tensor) -> Tensor:
        """The mean over the components: predicted `(*B, dim)`, values `(*B, *shape)` → `(*B,)`."""


class NumbersCode(LeafCode):
    """Numbers as they are scaled; errors are squared."""

    def __init__(self, *, rank: int, scaling: nn.Module) -> None:
        super().__init__()
        self.rank = rank
        self.scaling = scaling

    def forward(self, values: Tensor) -> Tensor:
        return _flat(self.scaling(values), self.rank)

    def error(self, predicted: Tensor, values: Tensor) -> Tensor:
        return (predicted - self(values)).square().mean(-1)


class BitsCode(LeafCode):
    """Bits as they are; of a prediction, the logit of each; errors are cross-entropies in nats."""

    def __init__(self, *, rank: int) -> None:
        super().__init__()
        self.rank = rank

    def forward(self, values: Tensor) -> Tensor:
        return _flat(values.float(), self.rank)

    def error(self, predicted: Tensor, values: Tensor) -> Tensor:
        each = functional.binary_cross_entropy_with_logits(
            predicted, self(values), reduction="none"
        )
        return each.mean(-1)


class ChoicesCode(LeafCode):
    """Choices as one-hot vectors; of a prediction, logits; errors are cross-entropies in nats."""

    def __init__(self, *, positions: Positions, counts: list[int]) -> None:
        super().__init__()
        self.positions = positions
        self.counts = counts

    def forward(self, values: Tensor) -> Tensor:
        index = self.positions(values)  # (*B, components)
        hot = torch.zeros(*index.shape[:-1], sum(self.counts), device=index.device)
        return hot.scatter_(-1, index, 1.0)

    def error(self, predicted: Tensor, values: Tensor) -> Tensor:
        branches = predicted.split(self.counts, -1)
        log_probs = torch.cat([branch.log_softmax(-1) for branch in branches], -1)
        return -log_probs.gather(-1, self.positions(values)).mean(-1)


class Clamp(nn.Module):
    """What the environment does with a normalised action that lies beyond a bound."""

    low: Tensor
    high: Tensor

    def __init__(self, *, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """values: `(*B, *shape)` → the same shape."""
        return values.clamp(self.low, self.high)


class Code(nn.Module):
    """The leaves of a space, one behind the other; where there are several, each weighs the same.

    Args:
        leaves: Each with the keys that lead to it.
    """

    def __init__(self, leaves: list[tuple[tuple[str | int, ...], LeafCode]]) -> None:
        super().__init__()
        self.paths = [path for path, _ in leaves]
        self.leaves = nn.ModuleList(leaf for _, leaf in leaves)

    def forward(self, values: Nested) -> Tensor:
        """values: nested as the space is, `(*B, …)` → `(*B, dim)` float32."""
        vectors = [leaf(_at(values, path)) for path, leaf in self._parts()]
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors, -1)

    def error(self, predicted: list[Tensor], values: Nested) -> Tensor:
        """How far off a prediction is, the mean over the leaves.

        Args:
            predicted: Of each leaf, `(*B, dim)`.
            values: Nested as the space is, `(*B, …)`.

        Returns:
            `(*B,)`.
        """
        parts = zip(predicted, self._parts(), strict=True)
        each = [leaf.error(own, _at(values, path)) for own, (path, leaf) in parts]
        return torch.stack(each).mean(0)

    def _parts(self) -> Iterator[tuple[tuple[str | int, ...], LeafCode]]:
        for path, leaf in zip(self.paths, self.leaves, strict=True):
            assert isinstance(leaf, LeafCode)
            yield path, leaf


def _leaf(space: gym.Space, scaling: Callable[[spaces.Box], nn.Module]) -> LeafCode:
    rank = len(space.shape or ())
    if isinstance(space, spaces.Box):
        return NumbersCode(rank=rank, scaling=scaling(space))
    if isinstance(space, spaces.MultiBinary):
        return BitsCode(rank=rank)
    return ChoicesCode(positions=positions(space), counts=counts(space))


def _scaled(space: spaces.Box) -> nn.Module:
    return rescale(space, "unit")


def _clamped(space: spaces.Box) -> nn.Module:
    return Clamp(low=torch.as_tensor(space.low), high=torch.as_tensor(space.high))


def _paths(
    space: gym.Space, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], gym.Space]]:
    """The leaves, in the order of `leaf_spaces`."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        yield path, space
        return
    key_of: Callable[[str], str | int] = str if isinstance(space, spaces.Dict) else int
    for key, child in (child_spaces(space) or {}).items():
        yield from _paths(child, (*path, key_of(key)))


def _at(values: Nested, path: tuple[str | int, ...]) -> Tensor:
    for key in path:
        values = values[key]
    return values


def _flat(values: Tensor, rank: int) -> Tensor:
    """`(*B, *shape)` → `(*B, components)`."""
    if rank == 1:
        return values
    return values.flatten(-rank) if rank else values.unsqueeze(-1)
