"""What keeps values from being of a space, in words."""

import functools
from collections.abc import Mapping
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from composer.spaces.describing import describe
from composer.spaces.forms import is_canonical, is_sample
from composer.spaces.kinds import PLAIN, is_known
from composer.spaces.packing import MISTAKES, column, pack
from composer.spaces.trees import Nested, leaves, map_structure


class _Misfit(Exception):
    """Values are not of a space; its text says why."""


def misfit(
    space: gym.Space, values: Nested, name: str = "the observation", axes: int | None = None
) -> str | None:
    """What keeps values from being a batch of a space, in words; None where they fit.

    Looks at structure, kind and shape, at what counts or is an index, and at a text's length; at
    nothing in a space of a class that nobody registered.

    Args:
        space: Of a single environment.
        values: In any form that `canonical` takes.
        name: What the words call them.
        axes: How many leading axes there must be, 0 for one sample; any number by default.
    """
    try:
        _check(space, values, name, axes)
    except _Misfit as wrong:
        return str(wrong)
    except MISTAKES as error:  # a form that nothing below foresees
        return f"{name} is not of the form of {describe(space)}: {error!r}"
    return None


def _check(space: gym.Space, values: Nested, name: str, axes: int | None) -> None:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        wanted = Mapping if isinstance(space, spaces.Dict) else tuple
        inner = _by_key(space.spaces)
        given = _by_key(values) if isinstance(values, wanted) else {}
        if given.keys() != inner.keys():
            raise _Misfit(f"{name} is not nested as {describe(space)} is")
        for key, child in inner.items():
            _check(child, given[key], f"{name}[{key!r}]", axes)
    elif isinstance(space, PLAIN):
        _check_array(space, values, name, axes)
    elif not is_known(type(space)):
        return
    elif axes != 0 and is_canonical(space, values):
        _check_canonical(space, values, name)
    elif axes == 0 or (axes is None and is_sample(space, values)):
        _check_sample(space, values, name)
    elif isinstance(values, tuple | list) or (isinstance(values, np.ndarray) and values.ndim):
        for i, sample in enumerate(values):
            _check_sample(space, sample, f"{name}[{i}]")
    else:
        _refuse(space, values, name)


def _by_key(parts: Nested) -> dict[Any, Any]:
    return dict(parts.items() if isinstance(parts, Mapping) else enumerate(parts))


def _check_array(space: gym.Space[Any], values: Any, name: str, axes: int | None) -> None:
    array, shape = _numbers(values, name), space.shape or ()
    start = array.ndim - len(shape)
    if start < 0 or array.shape[start:] != shape or axes not in (None, start):
        lead = ["*B"] if axes is None else ["B"] * axes
        wanted = f"({', '.join([*lead, *map(str, shape)])})" if lead else str(shape)
        raise _Misfit(f"{name} has the shape {array.shape}, where {describe(space)} needs {wanted}")
    if isinstance(space, spaces.Discrete):
        _check_range(space, array, space.start, space.start + space.n, name)


def _numbers(values: Any, name: str) -> np.ndarray:
    try:
        array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
        array = np.asarray(array)
    except (TypeError, ValueError) as error:
        raise _Misfit(f"{name} is no array: {error}") from None
    if array.dtype.kind not in "biuf":
        raise _Misfit(f"{name} is of {array.dtype}, not of numbers")
    return array


def _check_range(space: gym.Space, array: np.ndarray, low: Any, high: Any, name: str) -> None:
    wrong = array[(array < low) | (array >= high)]
    if wrong.size:
        raise _Misfit(f"{name} has {wrong.flat[0]}, which is not in {describe(space)}")


def _refuse(space: gym.Space, value: Any, name: str) -> NoReturn:
    raise _Misfit(
        f"{name} is of the type {type(value).__name__}, which is not in {describe(space)}"
    )


# --- one sample


@functools.singledispatch
def _check_sample(space: gym.Space, sample: Any, name: str) -> None:
    try:
        pack(space, [sample])
    except MISTAKES as error:
        raise _Misfit(f"{name} cannot be batched as {describe(space)}: {error!r}") from None


@_check_sample.register
def _(space: spaces.Text, sample: Any, name: str) -> None:
    if not isinstance(sample, str):
        _refuse(space, sample, name)
    _check_text_length(space, len(sample), name)
    if wrong := [character for character in sample if character not in space.character_set]:
        raise _Misfit(f"{name} has the character {wrong[0]!r}, which is not in {describe(space)}")


def _check_text_length(space: spaces.Text, length: int, name: str) -> None:
    if not space.min_length <= length <= space.max_length:
        raise _Misfit(f"{name} has {length} characters, which is not in {describe(space)}")


@_check_sample.register
def _(space: spaces.Sequence, sample: Any, name: str) -> None:
    if space.stack:
        _check(space.feature_space, sample, name, 1)
        try:
            column(space.feature_space, sample)
        except ValueError as error:
            raise _Misfit(f"{name}: {error}") from None
    elif isinstance(sample, tuple | list):
        for i, element in enumerate(sample):
            _check(space.feature_space, element, f"{name}[{i}]", 0)
    else:
        _refuse(space, sample, name)


@_check_sample.register
def _(space: spaces.Graph, sample: Any, name: str) -> None:
    if not isinstance(sample, tuple) or len(sample) != 3:
        _refuse(space, sample, name)
    nodes, edges, links = sample
    _check(space.node_space, nodes, f"{name}.nodes", 1)
    if (edges is None) != (links is None):
        raise _Misfit(f"{name} has edges without edge_links, or edge_links without edges")
    if space.edge_space is not None and edges is not None:
        _check(space.edge_space, edges, f"{name}.edges", 1)
        links = _numbers(links, f"{name}.edge_links")
        if links.shape != (len(edges), 2):
            raise _Misfit(f"{name}.edge_links has the shape {links.shape}, not {(len(edges), 2)}")
        _check_links(links, len(nodes), f"{name}.edge_links")


def _check_links(links: np.ndarray, nodes: Any, name: str) -> None:
    """Links `(E, 2)`; nodes is how many there are, of all or of each link `(E, 1)`."""
    wrong = links[(links < 0) | (links >= nodes)]
    if wrong.size:
        raise _Misfit(f"{name} has {wrong[0]}, but there is no such node")


@_check_sample.register
def _(space: spaces.OneOf, sample: Any, name: str) -> None:
    if not isinstance(sample, tuple) or len(sample) != 2:
        _refuse(space, sample, name)
    branch, value = sample
    if branch not in range(len(space.spaces)):
        raise _Misfit(f"{name} has the branch {branch}, which is not in {describe(space)}")
    _check(space.spaces[branch], value, f"{name}[1]", 0)


# --- the canonical batch


@functools.singledispatch
def _check_canonical(space: gym.Space, values: Nested, name: str) -> None:
    """Of a class of one's own: what it makes of no samples says which form it has."""
    _check_like(space, pack(space, []), values, name)


def _check_like(space: gym.Space, empty: Nested, values: Nested, name: str) -> None:
    if isinstance(empty, Mapping | tuple):
        inner, given = _by_key(empty), _by_key(values) if type(values) is type(empty) else {}
        if given.keys() != inner.keys():
            raise _Misfit(f"{name} is not nested as a batch of {describe(space)} is")
        for key, part in inner.items():
            _check_like(space, part, given[key], f"{name}[{key!r}]")
    else:
        array, shape = _numbers(values, name), empty.shape[1:]
        if array.ndim < len(shape) or array.shape[array.ndim - len(shape) :] != shape:
            wanted = f"({', '.join(['*B', *map(str, shape)])})"
            raise _Misfit(
                f"{name} has the shape {array.shape}, where {describe(space)} needs {wanted}"
            )


@_check_canonical.register
def _(space: spaces.Text, values: Nested, name: str) -> None:
    codes, lengths, _ = _unpadded(values, name)
    for length in (lengths.min(initial=space.max_length), lengths.max(initial=space.min_length)):
        _check_text_length(space, int(length), name)
    _check_range(space, codes, 0, len(space.character_set), f"{name}['values']")


@_check_canonical.register
def _(space: spaces.Sequence, values: Nested, name: str) -> None:
    elements, _, _ = _unpadded(values, name)
    _check(space.feature_space, elements, f"{name}['values']", 1)


@_check_canonical.register
def _(space: spaces.Graph, values: Nested, name: str) -> None:
    nodes, counts, _ = _unpadded(values["nodes"], f"{name}['nodes']")
    _check(space.node_space, nodes, f"{name}['nodes']['values']", 1)
    if space.edge_space is None:
        return
    edges, lengths, mask = _unpadded(values["edges"], f"{name}['edges']")
    _check(space.edge_space, edges, f"{name}['edges']['values']", 1)
    padded = {"values": values["links"], "lengths": lengths}
    links, _, _ = _unpadded(padded, f"{name}['links']")
    if links.shape[1:] != (2,):
        raise _Misfit(f"{name}['links'] does not end in an axis of 2")
    nodes_of = np.broadcast_to(counts[..., None], mask.shape)[mask]
    _check_links(links, nodes_of[:, None], f"{name}['links']")


@_check_canonical.register
def _(space: spaces.OneOf, values: Nested, name: str) -> None:
    branch = _numbers(values["branch"], f"{name}['branch']")
    _check_range(space, branch, 0, len(space.spaces), f"{name}['branch']")
    parts = values["values"]
    if not isinstance(parts, tuple) or len(parts) != len(space.spaces):
        raise _Misfit(f"{name}['values'] is no tuple of {len(space.spaces)} parts")
    for i, child in enumerate(space.spaces):
        where = f"{name}['values'][{i}]"
        _check(child, _where(branch == i, parts[i], where), where, 1)


def _unpadded(padded: Nested, name: str) -> tuple[Nested, np.ndarray, np.ndarray]:
    """What lies within the lengths, row after row; the lengths; and where it lay."""
    if not isinstance(padded, Mapping) or padded.keys() != {"values", "lengths"}:
        raise _Misfit(f"{name} has not the keys 'values' and 'lengths'")
    lengths = _numbers(padded["lengths"], f"{name}['lengths']")
    first = _numbers(leaves(padded["values"])[0], f"{name}['values']")
    if first.ndim <= lengths.ndim:
        raise _Misfit(f"{name}['values'] has the shape {first.shape}, but needs (*B, L, …)")
    longest = first.shape[lengths.ndim]
    wrong = lengths[(lengths < 0) | (lengths > longest)]
    if wrong.size:
        raise _Misfit(f"{name}['lengths'] has {wrong[0]}, but there are {longest} values")
    mask = np.arange(longest) < lengths[..., None]
    return _where(mask, padded["values"], f"{name}['values']"), lengths, mask


def _where(mask: np.ndarray, values: Nested, name: str) -> Nested:
    """The leaves where a mask over their leading axes is true."""

    def taken(leaf: Any) -> np.ndarray:
        array = _numbers(leaf, name)
        if array.shape[: mask.ndim] != mask.shape:
            raise _Misfit(f"{name} has the shape {array.shape}, but the batch has {mask.shape}")
        return array[mask]

    return map_structure(taken, values)
