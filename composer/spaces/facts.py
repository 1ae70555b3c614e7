"""Facts of a space that rules ask about."""

import dataclasses
import functools
import math
from typing import Literal, TypeGuard

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer.spaces.kinds import kind

Layout = Literal["hwc", "chw", "hw", "thwc", "tchw"]
"""The axes of an image: height, width, channels; `t` are frames that are stacked."""


@dataclasses.dataclass(frozen=True)
class SpaceFacts:
    """What a rule may ask about one space."""

    kind: str
    """The space's class in lower case: `box`, `discrete`, `multi_discrete`, …"""
    rank: int | None
    shape: tuple[int, ...] | None
    size: int
    """Elements of a Box; the one-hot width of anything discrete; of a Dict or Tuple, the sum of
    its parts. 0 where no size is fixed."""
    dtype: str | None
    bounded: bool
    """Every component has a finite lower and upper bound."""
    image: bool
    """It is an image, or a Dict or Tuple which holds one somewhere: a rule that means the image
    itself also asks for the `kind`."""
    layout: Layout | None
    """The axes of an image, in their order; None for everything but a Box."""
    key: str
    """The dotted path inside a composite space; empty at the root."""


def facts(space: gym.Space, key: str = "") -> SpaceFacts:
    """The facts of a space."""
    return SpaceFacts(
        kind=kind(space),
        rank=None if space.shape is None else len(space.shape),
        shape=space.shape,
        size=flat_dim(space),
        dtype=None if space.dtype is None else str(space.dtype),
        bounded=_is_bounded(space),
        image=_holds_image(space),
        layout=image_layout(space),
        key=key,
    )


def child_spaces(space: gym.Space) -> dict[str, gym.Space] | None:
    """The parts of a Dict by key, of a Tuple or OneOf by "0", "1", …; None of any other space."""
    if isinstance(space, spaces.Dict):
        return dict(space.spaces)
    if isinstance(space, spaces.Tuple | spaces.OneOf):
        return {str(i): child for i, child in enumerate(space.spaces)}
    return None


def _parts(space: gym.Space) -> tuple[gym.Space, ...]:
    """What is always there together: the parts of a Dict or Tuple."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return ()
    return tuple((child_spaces(space) or {}).values())


def _is_bounded(space: gym.Space) -> bool:
    if isinstance(space, spaces.Box):
        return space.is_bounded()
    return all(map(_is_bounded, _parts(space)))


def _holds_image(space: gym.Space) -> bool:
    return image_layout(space) is not None or any(map(_holds_image, _parts(space)))


def image_layout(space: gym.Space) -> Layout | None:
    """The axes of an image-like Box of rank 2 to 4, or None where it is no image.

    Image-like: bytes, or one finite range for all elements. Of rank 3, one outer axis holds the
    channels: it is neither longer than 16 nor longer than the two sides; a tie goes to channels
    last. A board, of bits over a square, may have any number of planes. Of rank 4, up to 16 such
    images are stacked. Of rank 2, there is one channel; where it is not of bytes, both sides have
    16 elements or more.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3, 4):
        return None
    is_bytes = space.dtype == np.uint8
    if not is_bytes and not _has_one_range(space):
        return None
    if len(space.shape) == 2:
        return "hw" if is_bytes or min(space.shape) >= 16 else None
    *frames, first, middle, last = space.shape
    if max(frames, default=1) > 16:
        return None
    if space.dtype == np.bool_ and not frames and (first == middle) != (middle == last):
        return "hwc" if first == middle else "chw"
    if last <= min(16, first, middle):
        return "thwc" if frames else "hwc"
    if first <= min(16, middle, last):
        return "tchw" if frames else "chw"
    return None


def _has_one_range(space: spaces.Box) -> bool:
    """Every element has the same two finite bounds."""
    return space.is_bounded() and all(
        np.array_equal(bound, np.full_like(bound, bound.flat[0]))
        for bound in (space.low, space.high)
    )


@functools.singledispatch
def flat_dim(space: gym.Space) -> int:
    """Elements of a Box, the one-hot width of anything discrete, 0 where no size is fixed.

    Of a Dict or Tuple it is the sum of its parts, if all of them are fixed.
    """
    return 0


@flat_dim.register
def _(space: spaces.Box) -> int:
    return math.prod(space.shape)


@flat_dim.register
def _(space: spaces.Discrete) -> int:
    return int(space.n)


@flat_dim.register
def _(space: spaces.MultiDiscrete) -> int:
    return int(space.nvec.sum())


@flat_dim.register
def _(space: spaces.MultiBinary) -> int:
    return math.prod(space.shape)


@flat_dim.register(spaces.Dict)
@flat_dim.register(spaces.Tuple)
def _(space: gym.Space) -> int:
    sizes = [flat_dim(child) for child in _parts(space)]
    return sum(sizes) if all(sizes) else 0


def leaf_spaces(space: gym.Space) -> list[gym.Space]:
    """The spaces inside nested Dicts and Tuples, in their order."""
    parts = _parts(space)
    return [leaf for part in parts for leaf in leaf_spaces(part)] if parts else [space]


def real_dim(space: gym.Space) -> int:
    """Components of the Boxes of floats that a space is, or that it has inside."""
    return sum(flat_dim(leaf) for leaf in leaf_spaces(space) if is_real(leaf))


def choice_counts(space: gym.Space) -> tuple[int, ...]:
    """As `category_counts`, of everything discrete that a space is, or that it has inside."""
    return tuple(n for leaf in leaf_spaces(space) for n in category_counts(leaf))


def is_real(space: gym.Space) -> TypeGuard[spaces.Box]:
    """Whether a space is a Box of floats."""
    return isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)


def category_counts(space: gym.Space) -> tuple[int, ...]:
    """How many values each component of a discrete space can have; a Box of integers is one."""
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(space.nvec.ravel().tolist())
    if isinstance(space, spaces.MultiBinary):
        return (2,) * math.prod(space.shape)
    if isinstance(space, spaces.Box) and not is_real(space):
        lows, highs = space.low.ravel().tolist(), space.high.ravel().tolist()
        return tuple(int(high) - int(low) + 1 for low, high in zip(lows, highs, strict=True))
    return ()
