"""Elements of a space, where one needs some without an environment."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer.spaces.batching import batch
from composer.spaces.describing import inner_spaces
from composer.spaces.trees import Nested, to_tensors


def samples(space: gym.Space, count: int, seed: int = 0) -> list[Any]:
    """Elements of a space, of one seed always the same ones.

    The space's own stream of random numbers goes on as if nothing was drawn.
    """
    space = copy.deepcopy(space)
    _count_from_start(space)
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def example_of(space: gym.Space) -> Nested:
    """A batch of one element, as tensors."""
    return to_tensors(batch(space, samples(space, 1)))


def _count_from_start(space: gym.Space) -> None:
    """Writes the Discretes of Graphs as Boxes: Gymnasium draws them as if they started at 0."""
    if isinstance(space, spaces.Graph):
        space.node_space = _as_box(space.node_space)
        space.edge_space = space.edge_space and _as_box(space.edge_space)
    for inner in inner_spaces(space) or ():
        _count_from_start(inner)


def _as_box(space: spaces.Box | spaces.Discrete) -> spaces.Box:
    if isinstance(space, spaces.Box):
        return space
    first, dtype = int(space.start), np.dtype(space.dtype).type
    return spaces.Box(first, first + int(space.n) - 1, (), dtype)
