"""What modules with a memory learn from: rollouts cut into sequences, and sequences of a replay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from composer.columns import Columns
from composer.module.rl_module import RLModule
from composer.spaces import Nested, map_structure

FOR_MEMORY = (Columns.STATE_IN, Columns.IS_FIRST, Columns.PREV_ACTIONS, Columns.PREV_REWARDS)
"""Columns that a memory takes beside the observations."""
NOW, AFTER, AFTER_SLOW = "now", "after", "after_slow"


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


@dataclass(frozen=True)
class View:
    """States that networks are asked about: those of a batch, or some of the steps of sequences."""

    columns: Mapping[str, Any]
    """What networks are given: `obs` `(M, …)`; of sequences `(B, T, …)`, and what memories take."""
    places: Tensor | None = None
    """Of sequences, which of their B · T steps are asked about, `(M,)`; None: all there is."""

    def pick(self, values: Tensor, axis: int = 0) -> Tensor:
        """Values for each step of the columns, from `axis` on → for each state, `(…, M, …)`."""
        if self.places is None:
            return values
        return values.flatten(axis, axis + 1).index_select(axis, self.places)

    def lay(self, values: Tensor) -> Tensor:
        """Values for each state `(M, …)` → for each step of the columns, 0 where none was asked
        about. States that are one step need the same value, as `alike` gives.
        """
        if self.places is None:
            return values
        lead = self.columns[Columns.IS_FIRST].shape
        laid = values.new_zeros(lead.numel(), *values.shape[1:])
        return laid.index_copy(0, self.places, values).unflatten(0, lead)

    def alike(self, values: Tensor) -> Tensor:
        """What is drawn for each state `(M, …)`, the same for states that are one step: where
        transitions of several steps end together.
        """
        if self.places is None:
            return values
        states = torch.arange(len(values), device=values.device)
        firsts = states.new_full((self.columns[Columns.IS_FIRST].numel(),), len(values))
        firsts = firsts.scatter_reduce(0, self.places, states, "amin")
        return values[firsts[self.places]]


def now(batch: Mapping[str, Any]) -> View:
    """Where transitions begin."""
    return batch[NOW] if NOW in batch else View({Columns.OBS: batch[Columns.OBS]})


def after(batch: Mapping[str, Any]) -> View:
    """Where they end, for the networks that learn."""
    return batch[AFTER] if AFTER in batch else View({Columns.OBS: batch[Columns.NEXT_OBS]})


def after_slow(batch: Mapping[str, Any]) -> View:
    """The same for their slower copies, whose memories have states of their own."""
    return batch[AFTER_SLOW] if AFTER_SLOW in batch else after(batch)


def unrolled(module: RLModule, batch: Mapping[str, Any], burn_in: int) -> Mapping[str, Any]:
    """The transitions that count in sequences of a replay, side by side.

    Over the burn-in memories only get their states, without gradient; the copies' memories begin
    where the sequences do.

    Args:
        module: What learns.
        batch: From `Replay.sample`, where it draws sequences; one of transitions stays as it is.
        burn_in: Steps before those that are learnt from.

    Returns:
        Columns `(M, …)` as of transitions, `now`, `after` and `after_slow` for the networks.
    """
    if Columns.NEXT_INDEX not in batch:
        return batch
    mask = batch[Columns.LOSS_MASK]
    rows, steps = mask.nonzero(as_tuple=True)
    ends = batch[Columns.NEXT_INDEX][rows, steps]
    seen = {name: batch[name] for name in (Columns.OBS, *FOR_MEMORY) if name in batch}
    learnt = _warmed(module, seen, burn_in) if burn_in else seen
    length = seen[Columns.IS_FIRST].shape[1]
    rest = length - burn_in
    columns = {
        name: counted(batch[name], mask)
        for name in (Columns.ACTIONS, Columns.REWARDS, Columns.TERMINATEDS, Columns.DISCOUNTS)
    }
    if Columns.ACTION_MASK in batch:
        masks = batch[Columns.ACTION_MASK]
        columns[Columns.ACTION_MASK] = map_structure(lambda leaf: leaf[rows, steps], masks)
        columns[Columns.NEXT_ACTION_MASK] = map_structure(lambda leaf: leaf[rows, ends], masks)
    return {
        **columns,
        Columns.WEIGHTS: batch[Columns.WEIGHTS][rows],
        NOW: View(learnt, rows * rest + steps - burn_in),
        AFTER: View(learnt, rows * rest + ends - burn_in),
        AFTER_SLOW: View(seen, rows * length + ends),
    }


def _warmed(module: RLModule, seen: Mapping[str, Any], burn_in: int) -> dict[str, Any]:
    """The steps after the burn-in, with the states after it."""
    steps = {name: value for name, value in seen.items() if name != Columns.STATE_IN}
    before = map_structure(lambda leaf: leaf[:, :burn_in], steps)
    with torch.no_grad():
        out = module.forward_train({**before, Columns.STATE_IN: seen[Columns.STATE_IN]})
    rest = map_structure(lambda leaf: leaf[:, burn_in:], steps)
    return {**rest, Columns.STATE_IN: out[Columns.STATE_OUT]}


def with_next(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """Sequences of a replay with `next_obs` beside each of their T steps; others as they are."""
    if Columns.NEXT_INDEX not in batch:
        return batch
    ends = batch[Columns.NEXT_INDEX]
    rows = torch.arange(len(ends), device=ends.device).unsqueeze(1)
    steps = {
        name: map_structure(lambda leaf: leaf[:, : ends.shape[1]], batch[name])
        for name in (Columns.OBS, *FOR_MEMORY[1:], Columns.ACTIONS, Columns.ACTION_MASK)
        if name in batch
    }
    following = map_structure(lambda leaf: leaf[rows, ends], batch[Columns.OBS])
    kept = {name: batch[name] for name in (Columns.STATE_IN, Columns.LOSS_MASK)}
    return {**steps, **kept, Columns.NEXT_OBS: following}
