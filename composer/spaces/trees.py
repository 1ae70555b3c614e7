"""Trees of arrays or tensors: dicts and tuples, nested as a space is."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

Nested = Any
"""Arrays or tensors nested as a space is: a leaf, a dict by key, or a tuple."""


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
