"""Action masks: their form for each action space, and the observation's key that holds one.

In its canonical form a mask is, with leading axes `*B`:

    Discrete(n)                       (*B, n) bool, True where an action may be taken
    MultiDiscrete, a Box of integers  (*B, ΣK) bool, the components one after the other
    MultiBinary                       (*B, *shape) int8: 0 never set, 1 always set, 2 free
    Dict, Tuple                       nested as the space is
    any other                         (): it has no choices to forbid
"""

import contextlib
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer.errors import CompositionError, Problem, line_to_type
from composer.spaces import Nested, category_counts, describe, leaves

MASK_KEY = "action_mask"
"""The name of a mask, in `info` and in a Dict observation."""
FREE = 2
"""A bit that may be set or not; as a bool, a choice that may be taken."""


def free_mask(space: gym.Space, lead: tuple[int, ...] = ()) -> Nested:
    """The canonical mask that forbids nothing, `(*lead, …)`."""
    if isinstance(space, spaces.Dict):
        return {key: free_mask(child, lead) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(free_mask(child, lead) for child in space.spaces)
    shape, dtype = _leaf(space)
    return np.full((*lead, *shape), FREE, dtype) if shape else ()


def canonical_mask(space: gym.Space, mask: Nested, lead: tuple[int, ...] = ()) -> Nested:
    """A mask as an environment gives it, arrays of 0 and 1 with the axes `lead`, as canonical.

    What it says nothing of is allowed: an absent key, None, (). The mask of a MultiDiscrete may be
    Gymnasium's own, nested tuples with an array for each component.

    Raises:
        ValueError: Says what form was expected.
    """
    if mask is None or (isinstance(mask, tuple) and not mask):
        return free_mask(space, lead)
    if isinstance(space, spaces.Dict) and isinstance(mask, Mapping):
        if not mask.keys() - space.keys():
            return {key: canonical_mask(s, mask.get(key), lead) for key, s in space.items()}
    elif isinstance(space, spaces.Tuple) and isinstance(mask, tuple):
        if len(mask) == len(space.spaces):
            return tuple(map(canonical_mask, space.spaces, mask, itertools.repeat(lead)))
    else:
        with contextlib.suppress(ValueError):  # arrays of other lengths than one another
            return _canonical_leaf(space, mask, lead)
    given = f", not {mask.shape[len(lead) :]}" if isinstance(mask, np.ndarray) else ""
    raise ValueError(f"the action mask of {describe(space)} must be {mask_form(space)}{given}")


def _canonical_leaf(space: gym.Space, mask: Nested, lead: tuple[int, ...]) -> Nested:
    shape, dtype = _leaf(space)
    array = np.concatenate(leaves(mask), -1) if isinstance(mask, tuple) else np.asarray(mask)
    if not shape or array.shape != (*lead, *shape) or array.dtype.kind not in "biuf":
        raise ValueError
    return array.astype(dtype)


def allows_nothing(space: gym.Space, mask: Nested) -> Any:
    """Where a canonical mask leaves a component without any choice, `(*B,)` bool."""
    if isinstance(space, spaces.Dict):
        return _any(allows_nothing(child, mask[key]) for key, child in space.items())
    if isinstance(space, spaces.Tuple):
        return _any(map(allows_nothing, space.spaces, mask))
    counts = category_counts(space)
    if not counts or isinstance(space, spaces.MultiBinary):
        return np.False_
    starts = [0, *itertools.accumulate(counts[:-1])]
    return ~np.logical_or.reduceat(mask, starts, -1).all(-1)


def mask_part(mask: Nested, key: Any) -> Nested:
    """A child's part of the mask of a Dict or a Tuple; None where it says nothing of the child."""
    if mask is None or (isinstance(mask, Mapping) and key not in mask):
        return None
    part = mask[key]
    return None if isinstance(part, Mapping | tuple) and not leaves(part) else part


def mask_form(space: gym.Space) -> str:
    """What a mask of a space looks like, in words."""
    if isinstance(space, spaces.Dict):
        parts = (f"{key}: {mask_form(s)}" for key, s in space.items() if _has_choices(s))
        return f"a dict of {{{', '.join(parts)}}}"
    if isinstance(space, spaces.Tuple):
        parts = (mask_form(s) if _has_choices(s) else "None" for s in space.spaces)
        return f"a tuple of ({', '.join(parts)})"
    if not _has_choices(space):
        return "left out: there is nothing to choose"
    values = "0, 1 and 2 (free)" if isinstance(space, spaces.MultiBinary) else "0 and 1"
    return f"{_leaf(space)[0]} of {values}"


def mask_key(observation_space: gym.Space, action_space: gym.Space) -> str | None:
    """The key of a Dict observation that holds the mask of the action, or None.

    Raises:
        CompositionError: If there is a key of that name that cannot be a mask of the actions.
    """
    if not isinstance(observation_space, spaces.Dict) or MASK_KEY not in observation_space.spaces:
        return None
    given = observation_space[MASK_KEY]
    if _is_mask_of(given, action_space):
        return MASK_KEY
    others = [key for key in observation_space if key != MASK_KEY]
    wrapper = {
        "path": "gymnasium.wrappers.FilterObservation",
        "kwargs": {"filter_keys": others},
    }
    raise CompositionError(
        Problem(
            f"the key `{MASK_KEY}` of the observation is {describe(given)}, which is no mask of "
            f"the actions {describe(action_space)}\n"
            f"their mask would be {mask_form(action_space)}\n"
            "rename the key by a wrapper, or leave it out",
            fix=line_to_type("env.wrappers", [wrapper]) if others else None,
        )
    )


def _leaf(space: gym.Space) -> tuple[tuple[int, ...], type]:
    """Shape and dtype of a leaf's mask; () where there is nothing to choose."""
    if isinstance(space, spaces.MultiBinary):
        return space.shape, np.int8
    counts = category_counts(space)
    return ((sum(counts),) if counts else ()), np.bool_


def _has_choices(space: gym.Space) -> bool:
    children = space.spaces if isinstance(space, spaces.Dict | spaces.Tuple) else None
    if children is None:
        return bool(_leaf(space)[0])
    return any(map(_has_choices, children.values() if isinstance(children, dict) else children))


def _is_mask_of(given: gym.Space, space: gym.Space) -> bool:
    if isinstance(space, spaces.Dict):
        return isinstance(given, spaces.Dict) and all(
            key in space.spaces and _is_mask_of(child, space[key]) for key, child in given.items()
        )
    if isinstance(space, spaces.Tuple):
        return isinstance(given, spaces.Tuple) and (
            len(given.spaces) == len(space.spaces)
            and all(map(_is_mask_of, given.spaces, space.spaces))
        )
    if isinstance(given, spaces.Tuple) and isinstance(space, spaces.MultiDiscrete):
        parts = _tuple_leaves(given)
        sizes = [part.shape for part in parts]
        return sizes == [(n,) for n in category_counts(space)] and all(map(_highest_is, parts))
    highest = FREE if isinstance(space, spaces.MultiBinary) else 1
    shape = _leaf(space)[0]
    return bool(shape) and given.shape == shape and _highest_is(given, highest)


def _tuple_leaves(space: gym.Space) -> list[gym.Space]:
    if not isinstance(space, spaces.Tuple):
        return [space]
    return [leaf for child in space.spaces for leaf in _tuple_leaves(child)]


def _highest_is(space: gym.Space, highest: int = 1) -> bool:
    """Whether all values of a space lie between 0 and `highest`, and may reach it."""
    if isinstance(space, spaces.Box):
        return bool((space.low >= 0).all() and (space.high == highest).all())
    if isinstance(space, spaces.MultiDiscrete):
        return bool((space.nvec + space.start == highest + 1).all() and not space.start.any())
    return isinstance(space, spaces.MultiBinary) and highest == 1


def _any(parts: Any) -> Any:
    return functools.reduce(np.logical_or, parts, np.False_)
