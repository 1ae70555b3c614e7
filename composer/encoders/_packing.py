"""Ragged batches: the valid elements alone, and their features back in their places."""

import torch
from torch import Tensor

from composer.spaces import Nested, leaves, map_structure


def within(lengths: Tensor, values: Nested) -> Tensor:
    """Which elements are valid.

    Args:
        lengths: `(*B,)` integers.
        values: Padded elements, each leaf `(*B, L, …)`.

    Returns:
        `(*B, L)` bool.
    """
    longest = leaves(values)[0].shape[lengths.dim()]
    return torch.arange(longest, device=lengths.device) < lengths.unsqueeze(-1)


def packed(values: Nested, mask: Tensor) -> Nested:
    """The M elements where a mask over the leading axes of every leaf is true: `(M, …)` each."""
    return map_structure(lambda leaf: leaf[mask], values)


def scattered(features: Tensor, mask: Tensor) -> Tensor:
    """Features `(M, F)` where the mask `(*B,)` has its M true elements: `(*B, F)`, else zeros."""
    spread = features.new_zeros(*mask.shape, features.shape[-1])
    spread[mask] = features
    return spread
