"""Storage: columns of what N environments did, step by step, in memory allocated once."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from composer.columns import Columns
from composer.masks import FREE
from composer.spaces import Nested, leaves, map_structure, zeros

FILL = {Columns.ACTION_MASK: FREE}
"""What stands where nothing was written, if not 0: steps before the first mask were free."""


class Storage:
    """Columns `(N, T, …)`, each a tree of arrays at its own dtype.

    Ragged leaves are as long as the longest that ever came.

    Args:
        num_envs: N.
    """

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.arrays: dict[str, Nested] = {}

    def add(self, column: str, dtype: type[np.generic], length: int) -> None:
        """A column of one number a step, zeros at first."""
        self.arrays[column] = np.zeros((self.num_envs, length), dtype)

    def add_space(self, column: str, space: gym.Space, length: int) -> None:
        """A column of samples of a space, in their canonical batch."""
        self.arrays[column] = zeros(space, (self.num_envs, length))

    def write(self, column: str, t: int, value: Nested, length: int) -> None:
        """Lays `(N, …)` at step t; a column that is new is allocated by what it brings.

        Args:
            column: Its name.
            t: Which of its steps.
            value: A tree of arrays or tensors.
            length: T, for a new column.
        """
        value = map_structure(_array, value)
        if column not in self.arrays:
            self._allocate(column, value, length, axes=1)
        self.arrays[column] = _put(self.arrays[column], t, value)

    def clear(self, column: str, t: int) -> None:
        """Step t as it was before anything was written."""
        for leaf in leaves(self.arrays[column]):
            leaf[:, t] = FILL.get(column, 0)

    def load(self, column: str, value: Nested, length: int) -> None:
        """Replaces a column by one of T steps that begins with `value`, `(N, at most T, …)`."""
        self._allocate(column, value, length, axes=2)
        map_structure(lay_first, self.arrays[column], value)

    def _allocate(self, column: str, like: Nested, length: int, axes: int) -> None:
        lead, fill = (self.num_envs, length), FILL.get(column, 0)
        self.arrays[column] = map_structure(
            lambda leaf: np.full((*lead, *leaf.shape[axes:]), fill, leaf.dtype), like
        )


def lay_first(whole: np.ndarray, part: np.ndarray) -> None:
    """Writes the first steps of `(N, T, …)`."""
    whole[:, : part.shape[1]] = part


def _array(leaf: Any) -> np.ndarray:
    return leaf.detach().cpu().numpy() if isinstance(leaf, torch.Tensor) else np.asarray(leaf)


def _put(whole: Nested, t: int, part: Nested) -> Nested:
    """Lays `(N, …)` at step t of `(N, T, …)`; what is longer makes the whole longer."""
    if isinstance(whole, dict):
        return {key: _put(inner, t, part[key]) for key, inner in whole.items()}
    if isinstance(whole, tuple):
        return tuple(_put(inner, t, value) for inner, value in zip(whole, part, strict=True))
    step = whole[:, t]
    if part.shape == step.shape:
        step[...] = part
        return whole
    whole = _grown(whole, part.shape[1:])
    whole[:, t] = 0
    whole[(slice(None), t, *map(slice, part.shape[1:]))] = part
    return whole


def _grown(whole: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`(N, T, …)` with room for a shape along every axis; zeros where there was none."""
    room = tuple(max(pair) for pair in zip(whole.shape[2:], shape, strict=True))
    if room == whole.shape[2:]:
        return whole
    grown = np.zeros((*whole.shape[:2], *room), whole.dtype)
    grown[tuple(map(slice, whole.shape))] = whole
    return grown
