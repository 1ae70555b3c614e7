"""Gymnasium's spaces: facts that rules ask about, batching, and JSON."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeGuard, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from pydantic import InstanceOf, PlainSerializer, PlainValidator

from composer.errors import CompositionError

Nested = Any
"""Arrays or tensors nested as a space is: a leaf, a dict by key, or a tuple."""
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
    """Elements of a Box; the one-hot width of anything discrete; 0 where no size is fixed."""
    dtype: str | None
    bounded: bool
    """Every component has a finite lower and upper bound."""
    image: bool
    layout: Layout | None
    """The axes of an image, in their order."""
    key: str
    """The dotted path inside a composite space; empty at the root."""


def facts(space: gym.Space, key: str = "") -> SpaceFacts:
    """The facts of a space."""
    layout = image_layout(space)
    return SpaceFacts(
        kind=kind(space),
        rank=None if space.shape is None else len(space.shape),
        shape=space.shape,
        size=flat_dim(space),
        dtype=None if space.dtype is None else str(space.dtype),
        bounded=not isinstance(space, spaces.Box) or space.is_bounded(),
        image=layout is not None,
        layout=layout,
        key=key,
    )


def kind(space: gym.Space) -> str:
    """`MultiDiscrete` as `multi_discrete`; a user's own class by its own name."""
    name = next(c.__name__ for c in type(space).__mro__ if c is type(space) or c in _KINDS)
    return (
        "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
        .lstrip("_")
        .replace("one_of", "oneof")
    )


def image_layout(space: gym.Space) -> Layout | None:
    """The axes of an image-like Box of rank 2 to 4, or None where it is no image.

    Image-like: bytes, or one finite range for all elements. Of rank 3, one outer axis holds the
    channels: it is neither longer than 16 nor longer than the two sides; a tie goes to channels
    last. Of rank 4, up to 16 such images are stacked. Of rank 2, there is one channel; where it
    is not of bytes, both sides have 16 elements or more.
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
    """Elements of a Box, the one-hot width of anything discrete, 0 where no size is fixed."""
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


@flat_dim.register(spaces.Dict)
@flat_dim.register(spaces.Tuple)
def _(space: spaces.Dict | spaces.Tuple) -> int:
    sizes = [flat_dim(child) for child in (child_spaces(space) or {}).values()]
    return sum(sizes) if all(sizes) else 0


@flat_dim.register
def _(space: spaces.MultiBinary) -> int:
    return math.prod(space.shape)


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


def describe(space: gym.Space) -> str:
    """A space in a few words: `Box(84, 84, 4) uint8`, `Discrete(2)`."""
    if isinstance(space, spaces.Box):
        return f"Box{space.shape} {space.dtype}"
    if isinstance(space, spaces.Discrete):
        start = f", start={space.start}" if space.start else ""
        return f"Discrete({space.n}{start})"
    if isinstance(space, spaces.MultiDiscrete):
        return f"MultiDiscrete({space.nvec.tolist()})"
    if isinstance(space, spaces.MultiBinary):
        return f"MultiBinary({space.n})"
    if isinstance(space, spaces.Dict):
        inner = ", ".join(f"{key}: {describe(child)}" for key, child in space.items())
        return f"Dict({inner})"
    if isinstance(space, spaces.Tuple | spaces.OneOf):
        return f"{type(space).__name__}({', '.join(map(describe, space.spaces))})"
    return str(space)


def require_usable(space: gym.Space, what: str) -> None:
    """Refuses what no model can take: not a space, or one without elements.

    Raises:
        CompositionError: Says which part of the space is empty.
    """
    if not isinstance(space, gym.Space):
        raise CompositionError(
            f"the {what} space is {space!r}; it must be a gymnasium.Space, for instance "
            "env.observation_space"
        )
    children = child_spaces(space)
    if children is not None and not children:
        raise CompositionError(f"the {what} space {describe(space)} has no parts")
    for child in (children or {}).values():
        require_usable(child, what)
    if children is None and space.shape is not None and 0 in space.shape:
        raise CompositionError(f"the {what} space {describe(space)} has no elements")


def child_spaces(space: gym.Space) -> dict[str, gym.Space] | None:
    """What stands inside a Dict by key, inside a Tuple or OneOf by index; None of others."""
    if isinstance(space, spaces.Dict):
        return dict(space.spaces)
    if isinstance(space, spaces.Tuple | spaces.OneOf):
        return {str(index): child for index, child in enumerate(space.spaces)}
    return None


def map_structure(function: Callable[..., Any], *trees: Nested) -> Nested:
    """Applies `function` to the leaves of trees of one structure (dicts and tuples)."""
    first = trees[0]
    if isinstance(first, Mapping):
        return {key: map_structure(function, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, tuple):
        return tuple(map_structure(function, *parts) for parts in zip(*trees, strict=True))
    return function(*trees)


def leaves(tree: Nested) -> list[Any]:
    """The leaves of a tree, in the order of its keys."""
    if isinstance(tree, Mapping):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def to_tensors(values: Nested, device: torch.device | str | None = None) -> Nested:
    """Arrays as tensors of the same dtype, sharing memory where they can."""
    if isinstance(values, Mapping | tuple):
        return map_structure(lambda leaf: to_tensors(leaf, device), values)
    tensor = values if isinstance(values, torch.Tensor) else torch.as_tensor(_shareable(values))
    return tensor if device is None else tensor.to(device)


def _shareable(values: Any) -> np.ndarray:
    """An array that a tensor can lie over: writable, and read forwards along every axis."""
    array = np.asarray(values)
    return array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy()


def misfit(space: gym.Space, values: Nested, name: str = "the observation") -> str | None:
    """What keeps values from being a batch `(*B, …)` of a space, in words; None where they fit.

    Looks at structure, kind and shape, and at the range of a Discrete space.
    """
    if isinstance(space, spaces.Dict | spaces.Tuple):
        kind_wanted = Mapping if isinstance(space, spaces.Dict) else tuple
        inner = _by_key(space.spaces)
        given = _by_key(values) if isinstance(values, kind_wanted) else {}
        if given.keys() != inner.keys():
            return f"{name} is not nested as {describe(space)} is"
        parts = (misfit(child, given[key], f"{name}[{key!r}]") for key, child in inner.items())
        return next(filter(None, parts), None)
    if space.shape is None:
        return None
    try:
        array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
        array = np.asarray(array)
    except (TypeError, ValueError) as error:
        return f"{name} is no array: {error}"
    if array.dtype.kind not in "biuf":
        return f"{name} is of {array.dtype}, not of numbers"
    start = array.ndim - len(space.shape)
    if start < 0 or array.shape[start:] != space.shape:
        shape = ", ".join(["*B", *map(str, space.shape)])
        return f"{name} has the shape {array.shape}, where {describe(space)} needs ({shape})"
    if isinstance(space, spaces.Discrete):
        wrong = array[(array < space.start) | (array >= space.start + space.n)]
        return f"{name} has {wrong[0]}, which is not in {describe(space)}" if wrong.size else None
    return None


def _by_key(parts: Nested) -> dict[Any, Any]:
    return dict(parts.items() if isinstance(parts, Mapping) else enumerate(parts))


def batch(space: gym.Space, samples: Sequence[Nested]) -> Nested:
    """Samples of a space as one batch of arrays, `(B, …)` at each leaf."""
    if isinstance(space, spaces.Dict):
        return {key: batch(child, [s[key] for s in samples]) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(batch(c, [s[i] for s in samples]) for i, c in enumerate(space.spaces))
    return np.stack([np.asarray(sample, dtype=space.dtype) for sample in samples])


def leading_shape(space: gym.Space, values: Nested) -> tuple[int, ...]:
    """The leading axes `*B` of a batch of a space, in its canonical form."""
    if isinstance(space, spaces.Dict):
        key, child = next(iter(space.items()))
        return leading_shape(child, values[key])
    if isinstance(space, spaces.Tuple):
        return leading_shape(space.spaces[0], values[0])
    return tuple(values.shape[: len(values.shape) - len(space.shape or ())])


def leaf_spaces(space: gym.Space) -> Nested:
    """The tree of a space's leaves: dicts and tuples outside, Box, Discrete, … inside."""
    if isinstance(space, spaces.Dict):
        return {key: leaf_spaces(child) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(leaf_spaces(child) for child in space.spaces)
    return space


# --- JSON


def space_to_data(space: gym.Space) -> dict[str, Any]:
    """A space as JSON data.

    Raises:
        CompositionError: For a space class that Composer does not know.
    """
    writer = _KINDS.get(type(space))
    if writer is None:
        raise CompositionError(f"a {type(space).__name__} space cannot be written to a file")
    return {"space": type(space).__name__, **writer[0](space)}


def space_from_data(data: Any) -> gym.Space:
    """A space from its JSON data; a space is returned as it is."""
    if isinstance(data, gym.Space):
        return data
    name = data.get("space") if isinstance(data, Mapping) else data
    reader = {cls.__name__: pair[1] for cls, pair in _KINDS.items()}.get(str(name))
    if reader is None:
        raise ValueError(f"no space is called {name!r}")
    try:
        return reader(dict(data))
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no {name} space: {error!r}") from None


def _bounds_to_data(bound: np.ndarray) -> Any:
    values = [
        str(v) if isinstance(v, float) and not math.isfinite(v) else v
        for v in bound.ravel().tolist()
    ]
    return values[0] if values and all(value == values[0] for value in values) else values


def _bounds_from_data(data: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if not isinstance(data, list):
        return np.full(shape, float(data) if isinstance(data, str) else data, dtype)
    values = [float(value) if isinstance(value, str) else value for value in data]
    return np.array(values, dtype).reshape(shape)


def _box_to_data(space: spaces.Box) -> dict[str, Any]:
    return {
        "shape": list(space.shape),
        "dtype": str(space.dtype),
        "low": _bounds_to_data(space.low),
        "high": _bounds_to_data(space.high),
    }


def _box_from_data(data: dict[str, Any]) -> spaces.Box:
    shape, dtype = tuple(data["shape"]), np.dtype(data["dtype"])
    low, high = (_bounds_from_data(data[key], shape, dtype) for key in ("low", "high"))
    return spaces.Box(low, high, shape, dtype.type)


def _integers(array: Any) -> Any:
    return np.asarray(array).tolist()


_KINDS: dict[type, tuple[Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], gym.Space]]]
_KINDS = {
    spaces.Box: (_box_to_data, _box_from_data),
    spaces.Discrete: (
        lambda s: {"n": int(s.n), "start": int(s.start), "dtype": str(s.dtype)},
        lambda d: spaces.Discrete(d["n"], start=d["start"], dtype=np.dtype(d["dtype"]).type),
    ),
    spaces.MultiDiscrete: (
        lambda s: {
            "nvec": _integers(s.nvec),
            "start": _integers(s.start),
            "dtype": str(s.dtype),
        },
        lambda d: spaces.MultiDiscrete(
            np.array(d["nvec"]), start=np.array(d["start"]), dtype=np.dtype(d["dtype"]).type
        ),
    ),
    spaces.MultiBinary: (
        lambda s: {"n": _integers(s.n)},
        lambda d: spaces.MultiBinary(d["n"]),
    ),
    spaces.Text: (
        lambda s: {
            "max_length": s.max_length,
            "min_length": s.min_length,
            "charset": "".join(sorted(s.character_set)),
        },
        lambda d: spaces.Text(d["max_length"], min_length=d["min_length"], charset=d["charset"]),
    ),
    spaces.Dict: (
        lambda s: {"spaces": [[key, space_to_data(child)] for key, child in s.items()]},
        lambda d: spaces.Dict([(key, space_from_data(child)) for key, child in d["spaces"]]),
    ),
    spaces.Tuple: (
        lambda s: {"spaces": [space_to_data(child) for child in s.spaces]},
        lambda d: spaces.Tuple([space_from_data(child) for child in d["spaces"]]),
    ),
    spaces.OneOf: (
        lambda s: {"spaces": [space_to_data(child) for child in s.spaces]},
        lambda d: spaces.OneOf([space_from_data(child) for child in d["spaces"]]),
    ),
    spaces.Sequence: (
        lambda s: {"element": space_to_data(s.feature_space), "stack": s.stack},
        lambda d: spaces.Sequence(space_from_data(d["element"]), stack=d["stack"]),
    ),
    spaces.Graph: (
        lambda s: {
            "nodes": space_to_data(s.node_space),
            "edges": None if s.edge_space is None else space_to_data(s.edge_space),
        },
        lambda d: spaces.Graph(
            cast(Any, space_from_data(d["nodes"])),
            cast(Any, d["edges"] and space_from_data(d["edges"])),
        ),
    ),
}

SpaceField = Annotated[
    InstanceOf[gym.Space], PlainValidator(space_from_data), PlainSerializer(space_to_data)
]
"""A space as a field of a config."""
