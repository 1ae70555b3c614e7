"""What a module takes and gives, column by column, and what keeps a batch from being that."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from composer.errors import ModuleError, Problem, did_you_mean, nearest, nearest_first

DTYPES = {
    str(value).removeprefix("torch."): value
    for value in vars(torch).values()
    if isinstance(value, torch.dtype)
}


@dataclass(frozen=True)
class TensorSpec:
    """The shape and dtype of a tensor.

    An axis is a number, a name, `?` for any size, or one `*name` for any number of axes. Axes of
    one name are of one size in all columns: `TensorSpec("*B, 4")`, `TensorSpec("2, *B, n")`.
    """

    shape: str | Sequence[str | int]
    dtype: str | torch.dtype | None = None
    """`"float32"`; any by default."""
    exact: bool = True
    """False: other real dtypes will do, where the module casts them."""
    axes: tuple[str | int, ...] = field(init=False, compare=False, repr=False)
    """The shape, axis by axis."""

    def __post_init__(self) -> None:
        words = self.shape.split(",") if isinstance(self.shape, str) else self.shape
        texts = [text for word in words if (text := str(word).strip())]
        wrong = [text for text in texts if not _AXIS.fullmatch(text)]
        if wrong or sum(text.startswith("*") for text in texts) > 1:
            raise ModuleError(
                f"{self.shape!r} is no shape of a TensorSpec: its axes are numbers, names, `?`, "
                'and at most one `*name`, as in "*B, 4"'
            )
        dtype = None if self.dtype is None else str(self.dtype).removeprefix("torch.")
        if dtype is not None and dtype not in DTYPES:
            message = f"`{dtype}` is no dtype of torch{did_you_mean(dtype, DTYPES)}"
            raise ModuleError(Problem(message, valid=nearest_first(dtype, DTYPES)))
        axes = tuple(int(text) if text.isdigit() else text for text in texts)
        for name, value in (("axes", axes), ("shape", ", ".join(texts)), ("dtype", dtype)):
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return _words(self.axes, self.dtype)


_AXIS = re.compile(r"\d+|\?|\*?[A-Za-z_]\w*")

Path = tuple[str | int, ...]
Leaf = TensorSpec | type | None
Specs = Mapping[Any, Any] | Sequence[Any]
"""Columns, by their keys: a mapping to a TensorSpec, a class, None for anything, or a mapping in
turn; or a list of keys alone. A key is a name, `"actions | action_dist_inputs"` for either of two,
or the path to what is nested, `("obs", "image")`.
"""
Bound = dict[str, tuple[tuple[int, ...], str]]
"""By an axis's name: its size, and the column that has it."""


def flat(specs: Specs, whose: str = "the specs") -> dict[Path, Leaf]:
    """The same columns by their paths.

    Raises:
        ModuleError: If they are not of the form of `Specs`.
    """
    if isinstance(specs, str) or not isinstance(specs, Mapping | Sequence):
        raise ModuleError(
            f"{whose}: {specs!r} is neither a list of keys, nor a mapping from keys to TensorSpec, "
            "a class or None"
        )
    found: dict[Path, Leaf] = {}
    by_key = specs if isinstance(specs, Mapping) else dict.fromkeys(specs)
    for key, spec in by_key.items():
        path = key if isinstance(key, tuple) else (key,)
        if spec is None or isinstance(spec, TensorSpec | type):
            found[path] = spec
        else:
            found |= {(*path, *inner): leaf for inner, leaf in flat(spec, whose).items()}
    return found


def misfits(
    specs: Mapping[Path, Leaf], values: Any, bound: Bound, exact: bool = False
) -> Iterator[str]:
    """What keeps values from being as the specs say, in words: each column, what was expected, and
    what was given.

    Args:
        specs: As `flat` gives them.
        values: A batch, or what a forward returned.
        bound: The sizes of named axes that are known; gains those of `values`.
        exact: Also what `TensorSpec.exact` lets pass.
    """
    lost: set[Path] = set()
    for path, spec in specs.items():
        found, value, rest = _walked(values, path)
        at = path[: len(path) - len(rest)]
        if not rest:
            if words := _misfit(spec, value, _named(found), bound, exact):
                yield f"`{_named(found)}`: {words}"
            continue
        given = _given(value)
        if isinstance(value, Mapping | tuple):
            at, given = (*at, rest[0]), f"nothing{_instead(rest[0], value, found)}"
            found = (*found, rest[0])
        if at not in lost:
            lost.add(at)
            expected = _expected(spec) if at == path else _inside(specs, at)
            yield f"`{_named(found)}`: expected {expected}, given {given}"


def _misfit(spec: Leaf, value: Any, column: str, bound: Bound, exact: bool) -> str | None:
    clash = ""
    if isinstance(spec, TensorSpec) and isinstance(value, Tensor):
        clash = _clash(spec.axes, tuple(value.shape), column, bound)
        if clash is None and _is_of_dtype(value, spec, exact):
            return None
    elif spec is None or (isinstance(spec, type) and isinstance(value, spec)):
        return None
    return f"expected {_expected(spec)}{clash or ''}, given {_given(value)}"


def _walked(values: Any, path: Path) -> tuple[Path, Any, Path]:
    """How far a path leads: the keys that are there, what they lead to, and the rest."""
    found: Path = ()
    for i, key in enumerate(path):
        inner = _by_key(values)
        name = next((name for name in str(key).split(" | ") if name in inner), key)
        if name not in inner:
            return found, values, path[i:]
        found, values = (*found, name), inner[name]
    return found, values, ()


def _by_key(values: Any) -> dict[Any, Any]:
    """What is nested in values; None is nothing."""
    inner = dict(enumerate(values)) if isinstance(values, tuple) else values
    if not isinstance(inner, Mapping):
        return {}
    return {key: value for key, value in inner.items() if value is not None}


def _named(path: Path) -> str:
    return ".".join(str(key).replace(" | ", "` or `") for key in path)


def _instead(key: str | int, values: Any, found: Path) -> str:
    """What may have been meant by a key that is missing."""
    there = {str(name): _named((*found, name)) for name in _by_key(values)}
    close = nearest(str(key), there)
    if close is not None:
        return f"; did you mean it by `{there[close]}`?"
    return f" beside {', '.join(f'`{name}`' for name in there.values())}" if there else ""


def _inside(specs: Mapping[Path, Leaf], at: Path) -> str:
    """What must be nested at a path."""
    keys = list(dict.fromkeys(path[len(at)] for path in specs if path[: len(at)] == at))
    if all(isinstance(key, int) for key in keys):
        return f"a tuple of {len(keys)}"
    return f"a mapping with {', '.join(f'`{key}`' for key in keys)}"


def _expected(spec: Leaf) -> str:
    if spec is None:
        return "any value"
    return spec.__name__ if isinstance(spec, type) else str(spec)


def _given(value: Any) -> str:
    if isinstance(value, Tensor):
        return _words(tuple(value.shape), str(value.dtype).removeprefix("torch."))
    return type(value).__name__


def _words(axes: Sequence[str | int], dtype: object) -> str:
    shape = f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"
    return f"{shape} {dtype}" if dtype else shape


def _is_of_dtype(value: Tensor, spec: TensorSpec, exact: bool) -> bool:
    is_same = spec.dtype is None or value.dtype == DTYPES[str(spec.dtype)]
    return is_same or not (spec.exact or exact or value.dtype.is_complex)


def _clash(
    axes: tuple[str | int, ...], shape: tuple[int, ...], column: str, bound: Bound
) -> str | None:
    """None where a shape has the axes, whose names it binds; else words of the size that they have
    elsewhere, empty where it is not that.
    """
    star = next((i for i, axis in enumerate(axes) if str(axis).startswith("*")), None)
    behind = 0 if star is None else len(axes) - star - 1
    end = len(shape) - behind
    if len(shape) != len(axes) if star is None else end < star:
        return ""
    lead = [(size,) for size in shape[:star]]
    sizes = lead if star is None else [*lead, shape[star:end], *((size,) for size in shape[end:])]
    by_axis = list(zip(axes, sizes, strict=True))
    if any(isinstance(axis, int) and size != (axis,) for axis, size in by_axis):
        return ""
    for axis, size in by_axis:
        if isinstance(axis, int) or axis == "?":
            continue
        known, where = bound.setdefault(axis, (size, column))
        if known != size:
            number = str(known if axis.startswith("*") else known[0])
            return f", where {axis} is {number} as in `{where}`"
    return None
