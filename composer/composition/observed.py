"""What a trunk takes of an observation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from composer.errors import CompositionError, Problem, did_you_mean, nearest_first
from composer.fixes import line
from composer.masks import mask_key
from composer.spaces import child_spaces, describe


@dataclass(frozen=True)
class Observed:
    """What a trunk takes of an observation."""

    space: gym.Space
    key: str | int | None = None
    """The entry it is; None where it is the whole observation, or several entries of it."""


def without_mask(observation_space: gym.Space, action_space: gym.Space) -> gym.Space:
    """What there is to encode: the observation, without the key that says what may be done.

    Raises:
        CompositionError: If that key fits no mask of the actions, or nothing is left beside it.
    """
    key = mask_key(observation_space, action_space)
    if key is None:
        return observation_space
    entries = child_spaces(observation_space) or {}
    left = {name: space for name, space in entries.items() if name != key}
    if not left:
        raise CompositionError(
            f"the observation space {describe(observation_space)} is only a mask of the actions: "
            "there is nothing to observe"
        )
    return gym.spaces.Dict(left)


def observed(space: gym.Space, keys: Sequence[str] | None, path: str) -> Observed:
    """The part of an observation that a trunk takes.

    Raises:
        CompositionError: If there are no keys, or not this one.
    """
    if keys is None:
        return Observed(space)
    entries = child_spaces(space)
    if entries is None:
        message = f"{describe(space)} has no keys to choose from"
        raise CompositionError(Problem(message, path, list(keys), fix=f"~{path}"))
    problems = [_no_key(key, keys, space, entries, path) for key in keys if key not in entries]
    if not keys:
        message = "a trunk that takes nothing has nothing to encode"
        problems.append(Problem(message, path, [], valid=tuple(entries), fix=f"~{path}"))
    is_dict = isinstance(space, gym.spaces.Dict)
    if not is_dict and len(keys) > 1:
        message = f"of {describe(space)} a trunk takes one entry, or all"
        one = int(nearest_first(keys[0], entries)[0])
        problems.append(Problem(message, path, list(keys), fix=line(path, [one])))
    if problems:
        raise CompositionError(*problems)
    if len(keys) == 1:
        return Observed(entries[keys[0]], keys[0] if is_dict else int(keys[0]))
    return Observed(gym.spaces.Dict({key: entries[key] for key in keys}))


def _no_key(
    key: str, keys: Sequence[str], space: gym.Space, entries: Mapping[str, Any], path: str
) -> Problem:
    """The problem of a trunk that takes what is not there."""
    names = nearest_first(key, entries)
    right = [names[0] if each == key else each for each in keys]
    message = f"{describe(space)} has no key `{key}`{did_you_mean(key, names)}"
    return Problem(message, path, key, valid=names, fix=line(path, right))
