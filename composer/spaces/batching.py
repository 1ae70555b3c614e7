"""The canonical batch of a space's samples: arrays `(*B, …)`, ragged ones with their lengths.

- Box, Discrete, MultiDiscrete, MultiBinary: an array `(*B, *shape)` of the space's dtype.
- Dict: a dict by key; Tuple: a tuple.
- Text: `{"values": (*B, L) int64, "lengths": (*B,) int64}`; a value is an index into
  `sorted(space.character_set)`.
- Sequence: `{"values": the elements, each leaf (*B, L, …), "lengths": (*B,) int64}`, stacked or
  not.
- Graph: `{"nodes": {"values": (*B, N, …), "lengths": (*B,)}}`, and with an edge space `"edges":
  {"values": (*B, E, …), "lengths": (*B,)}` and `"links": (*B, E, 2) int64`.
- OneOf: `{"branch": (*B,) int64, "values": (child 0, child 1, …)}`.

L, N and E are the longest of the batch, at least 1. What lies behind a length, and in the
children that were not drawn, is zero, which need not be an element of the space.
"""

import copy
from collections.abc import Iterable

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer.spaces.forms import is_canonical, is_ragged, is_sample
from composer.spaces.kinds import PLAIN
from composer.spaces.misfits import misfit
from composer.spaces.packing import MISTAKES, pack
from composer.spaces.trees import Nested, leaves, map_structure, to_tensors


def batch(space: gym.Space, samples: Iterable[Nested]) -> Nested:
    """Samples of a space as one canonical batch, `(B, …)` at each leaf.

    Raises:
        CompositionError: For a space class that nobody registered.
        ValueError: If a sample is not of the space; says why.
    """
    samples = list(samples)
    try:
        return pack(space, samples)
    except MISTAKES as error:
        wrong = (misfit(space, s, f"sample {i}", axes=0) for i, s in enumerate(samples))
        if words := next(filter(None, wrong), None):
            raise ValueError(words) from error
        raise


def canonical(space: gym.Space, obs: Nested) -> Nested:
    """The canonical batch of what an environment returns; a canonical one is returned as it is.

    Args:
        space: Of a single environment.
        obs: What a Gymnasium vector environment returns, where the ragged leaves are tuples of N
            samples; or what a single environment returns, if its form says that it is one: not
            for a class of one's own, nor a Sequence whose elements are tuples.

    Raises:
        CompositionError: For a space class that nobody registered.
        ValueError: If a leaf is not of the space; says why.
    """
    if not is_ragged(space):
        return obs
    try:
        return _canonical(space, obs)
    except MISTAKES as error:
        if words := misfit(space, obs):
            raise ValueError(words) from error
        raise


def _canonical(space: gym.Space, obs: Nested) -> Nested:
    if isinstance(space, spaces.Dict):
        return {key: _canonical(child, obs[key]) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_canonical(c, part) for c, part in zip(space.spaces, obs, strict=True))
    if isinstance(space, PLAIN) or is_canonical(space, obs):
        return obs
    if is_sample(space, obs):
        return map_structure(lambda leaf: leaf[0], pack(space, [obs]))
    return pack(space, list(obs))


def zeros(space: gym.Space, lead: tuple[int, ...]) -> Nested:
    """A canonical batch `(*lead, …)` of zeros, its ragged leaves as short as can be."""
    return map_structure(
        lambda leaf: np.zeros((*lead, *leaf.shape[1:]), leaf.dtype), pack(space, [])
    )


def example_of(space: gym.Space) -> Nested:
    """A batch of one sample of a space, always the same, as tensors."""
    space = copy.deepcopy(space)
    space.seed(0)
    return to_tensors(batch(space, [space.sample()]))


def leading_axes(space: gym.Space, obs: Nested) -> tuple[int, ...]:
    """`*B` of a canonical batch."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        key, child = next(iter(parts))
        return leading_axes(child, obs[key])
    leaf, empty = leaves(obs)[0], leaves(pack(space, []))[0]
    return tuple(leaf.shape[: leaf.ndim + 1 - empty.ndim])
