"""In which form a ragged leaf is given: canonical, one sample, or several of them."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from composer.spaces.kinds import PLAIN


def is_ragged(space: gym.Space) -> bool:
    """Whether a batch of the space is of another form than a vector environment returns."""
    if isinstance(space, spaces.Dict):
        return any(map(is_ragged, space.values()))
    if isinstance(space, spaces.Tuple):
        return any(map(is_ragged, space.spaces))
    return not isinstance(space, PLAIN)


def is_canonical(space: gym.Space, given: Any) -> bool:
    """Whether a ragged leaf is arrays already, by its keys."""
    if isinstance(space, spaces.Text | spaces.Sequence):
        keys = {"values", "lengths"}
    elif isinstance(space, spaces.Graph):
        keys = {"nodes"} if space.edge_space is None else {"nodes", "edges", "links"}
    elif isinstance(space, spaces.OneOf):
        keys = {"branch", "values"}
    else:
        return isinstance(given, Mapping | np.ndarray | torch.Tensor)
    return isinstance(given, Mapping) and given.keys() == keys


def is_sample(space: gym.Space, given: Any) -> bool:
    """Whether a ragged leaf, which is not canonical, is a single sample and no tuple of them."""
    if isinstance(space, spaces.Text):
        return isinstance(given, str)
    if isinstance(space, spaces.Graph):
        return isinstance(given, spaces.GraphInstance)
    if isinstance(space, spaces.OneOf):
        return isinstance(given, tuple) and len(given) == 2 and not isinstance(given[0], tuple)
    if isinstance(space, spaces.Sequence) and not space.stack:
        return isinstance(given, tuple) and not (given and isinstance(given[0], tuple | list))
    return not isinstance(given, tuple | list)
