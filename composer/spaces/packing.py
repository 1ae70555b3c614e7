"""Samples packed into arrays, a function for each class of space."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer.spaces.kinds import PLAIN, space_class
from composer.spaces.trees import Nested, map_structure

MISTAKES = (TypeError, ValueError, LookupError, AttributeError, RuntimeError, OverflowError)
"""What is raised by values that are not of their space."""
_LINK = spaces.Box(0, np.iinfo(np.int64).max, (2,), np.int64)
"""From one node to another, by their indices."""


@functools.singledispatch
def pack(space: gym.Space, samples: list[Any]) -> Nested:
    """The canonical batch `(B, …)` of samples; of none, arrays of the right form without rows.

    Raises:
        CompositionError: For a space class that nobody registered.
        MISTAKES: If a sample is not of the space.
    """
    raise TypeError(f"no batch of {space_class(space).__name__}")


@pack.register(spaces.Box)
@pack.register(spaces.Discrete)
@pack.register(spaces.MultiDiscrete)
@pack.register(spaces.MultiBinary)
def _(space: gym.Space[Any], samples: list[Any]) -> np.ndarray:
    arrays = [np.asarray(sample, dtype=space.dtype) for sample in samples]
    return _of_shape(space, np.stack(arrays) if arrays else _none(space))


@pack.register
def _(space: spaces.Dict, samples: list[Any]) -> Nested:
    return {key: pack(child, [s[key] for s in samples]) for key, child in space.items()}


@pack.register
def _(space: spaces.Tuple, samples: list[Any]) -> Nested:
    return tuple(pack(c, [s[i] for s in samples]) for i, c in enumerate(space.spaces))


@pack.register
def _(space: spaces.Text, samples: list[str]) -> Nested:
    codes, shortest, longest = _codes(space.character_set), space.min_length, space.max_length
    if not all(shortest <= len(text) <= longest for text in samples):
        raise ValueError("a text of another length")
    packed = [codes[character] for text in samples for character in text]
    return _padded(np.array(packed, np.int64), samples)


@pack.register
def _(space: spaces.Sequence, samples: list[Any]) -> Nested:
    if not space.stack:
        return _padded(pack(space.feature_space, [*itertools.chain(*samples)]), samples)
    packed = _joined(space.feature_space, samples)
    return _padded(packed, [column(space.feature_space, sample) for sample in samples])


@pack.register
def _(space: spaces.Graph, samples: list[Any]) -> Nested:
    nodes = [nodes for nodes, _, _ in samples]
    batched = {"nodes": _padded(_joined(space.node_space, nodes), nodes)}
    if space.edge_space is not None:
        edges = [() if edges is None else edges for _, edges, _ in samples]
        links = [() if links is None else links for _, _, links in samples]
        batched["edges"] = _padded(_joined(space.edge_space, edges), edges)
        linked = _padded(_joined(_LINK, links), links)
        if not np.array_equal(linked["lengths"], batched["edges"]["lengths"]):
            raise ValueError("not as many links as edges")
        counts = batched["nodes"]["lengths"].clip(min=1)[:, None, None]
        batched["links"] = ends = linked["values"]
        if (ends < 0).any() or (ends >= counts).any():
            raise ValueError("a link to a node that does not exist")
    return batched


@pack.register
def _(space: spaces.OneOf, samples: list[Any]) -> Nested:
    branch = np.array([branch for branch, _ in samples], np.int64)
    if not np.isin(branch, range(len(space.spaces))).all():
        raise ValueError("a branch that does not exist")
    drawn = [[value for own, value in samples if own == i] for i in range(len(space.spaces))]
    return {
        "branch": branch,
        "values": tuple(
            _scattered(pack(child, drawn[i]), branch == i) for i, child in enumerate(space.spaces)
        ),
    }


def _joined(space: gym.Space, stacks: Sequence[Any]) -> Nested:
    """All elements of several stacks in one batch; a stack has one more axis than an element."""
    if isinstance(space, spaces.Dict):
        return {key: _joined(child, [s[key] for s in stacks]) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_joined(c, [s[i] for s in stacks]) for i, c in enumerate(space.spaces))
    if not isinstance(space, PLAIN):
        return pack(space, [*itertools.chain(*stacks)])
    arrays = [np.asarray(stack, space.dtype) for stack in stacks if len(stack)]
    return _of_shape(space, np.concatenate([_none(space), *arrays]))


def column(space: gym.Space, stack: Any) -> Sequence[Any]:
    """One leaf of a stack, all of which are equally long: as long as the stack."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        by_key = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space)
        columns = [column(child, stack[key]) for key, child in by_key]
        if len({*map(len, columns)}) > 1:
            raise ValueError("the parts of a stack are not equally long")
        return columns[0]
    return stack


def _padded(packed: Nested, rows: Sequence[Any]) -> Nested:
    """Elements row after row, `(sum of lengths, …)`, as values `(B, L, …)` with lengths."""
    lengths = np.array([len(row) for row in rows], np.int64)
    longest = int(lengths.max(initial=1))
    return {
        "values": _scattered(packed, np.arange(longest) < lengths[:, None]),
        "lengths": lengths,
    }


def _scattered(packed: Nested, where: np.ndarray) -> Nested:
    """Leaves `(M, …)` laid where a mask has its M true elements, zeros elsewhere."""

    def scatter(leaf: np.ndarray) -> np.ndarray:
        spread = np.zeros((*where.shape, *leaf.shape[1:]), leaf.dtype)
        spread[where] = leaf
        return spread

    return map_structure(scatter, packed)


def _none(space: gym.Space[Any]) -> np.ndarray:
    return np.zeros((0, *(space.shape or ())), space.dtype)


def _of_shape(space: gym.Space[Any], array: np.ndarray) -> np.ndarray:
    if array.shape[1:] != space.shape:
        raise ValueError("an element of another shape")
    return array


@functools.lru_cache
def _codes(character_set: frozenset[str]) -> dict[str, int]:
    return {character: i for i, character in enumerate(sorted(character_set))}
