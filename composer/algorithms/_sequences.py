"""Rollouts cut into sequences, for modules with a memory."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from composer.columns import Columns
from composer.spaces import Nested, map_structure


def cut(columns: Mapping[str, Nested], length: int) -> dict[str, Nested]:
    """Steps side by side, in sequences of one length.

    Args:
        columns: `(N, T, …)` or `(N, T + 1, …)`; with `loss_mask`, and with `state_in` where the
            sequences begin, as `Rollout` keeps it.
        length: L. Where it does not divide T, the last sequence of each environment repeats its
            last step, which does not count there.

    Returns:
        `(S, L, …)`, of `state_in` `(S, …)`: S is N · ⌈T / L⌉, less the sequences in which no step
        counts.
    """
    mask = columns[Columns.LOSS_MASK]
    num_envs, steps = mask.shape
    count = -(-steps // length)
    times = torch.arange(count * length, device=mask.device).view(count, length)
    rows = torch.arange(num_envs, device=mask.device).view(-1, 1, 1)

    def sequences(leaf: Tensor) -> Tensor:
        return leaf[rows, times.clamp(max=steps - 1)].flatten(0, 1)

    found = {
        column: map_structure(sequences, value)
        for column, value in columns.items()
        if column != Columns.STATE_IN
    }
    found[Columns.LOSS_MASK] &= (times < steps).repeat(num_envs, 1)
    states = columns[Columns.STATE_IN]
    found[Columns.STATE_IN] = map_structure(lambda leaf: leaf[:, :count].flatten(0, 1), states)
    counts = found[Columns.LOSS_MASK].any(1)
    return {column: counted(value, counts) for column, value in found.items()}


def counted(value: Any, mask: Tensor) -> Any:
    """What counts of a tree: of `(S, L, …)` by a mask `(S, L)` steps, by one `(S,)` sequences."""
    return map_structure(lambda leaf: leaf[mask], value)
