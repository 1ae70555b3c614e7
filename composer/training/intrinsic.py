"""Intrinsic rewards: what a module pays beside the environment.

They are added to what an algorithm learns from, on the scale that the module gives them: where
rewards are scaled, after that. Episodes' returns and evaluation are the environment's alone.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from composer.algorithms._sequences import counted, with_next
from composer.apis import IntrinsicRewardAPI
from composer.columns import Columns
from composer.module.rl_module import RLModule
from composer.spaces import Nested, map_structure

AT_ONCE = 1024
"""Steps of a rollout that a module pays for at a time."""

Paid = tuple[dict[str, Any], dict[str, Tensor]]
"""The batch with both rewards in one, and what there is to log."""


def pay_rollout(module: RLModule, batch: Mapping[str, Any]) -> Paid:
    """Adds to the rewards `(N, T)` of a rollout, but to those of dummy steps."""
    if not isinstance(module, IntrinsicRewardAPI):
        return dict(batch), {}
    counts = batch[Columns.LOSS_MASK]  # (N, T)
    columns = {
        Columns.OBS: map_structure(lambda leaf: leaf[:, :-1], batch[Columns.OBS]),
        Columns.NEXT_OBS: map_structure(lambda leaf: leaf[:, 1:], batch[Columns.OBS]),
        Columns.ACTIONS: batch[Columns.ACTIONS],
    }
    steps = counted(columns, counts)
    size = int(counts.sum())
    parts = [slice(start, start + AT_ONCE) for start in range(0, size, AT_ONCE)]
    paid = torch.cat([_paid(module, map_structure(lambda x, at=at: x[at], steps)) for at in parts])
    rewards = batch[Columns.REWARDS].clone()
    rewards[counts] += paid
    return {**batch, Columns.REWARDS: rewards}, _logged(paid)


def pay_transitions(module: RLModule, batch: Mapping[str, Any]) -> Paid:
    """Adds to the rewards `(B,)` of transitions of one step, by what the module is now; of
    sequences `(B, T)` to those of the steps that count.
    """
    if not isinstance(module, IntrinsicRewardAPI):
        return dict(batch), {}
    if Columns.LOSS_MASK not in batch:
        paid = _paid(module, batch)
        return {**batch, Columns.REWARDS: batch[Columns.REWARDS] + paid}, _logged(paid)
    counts, sequences = batch[Columns.LOSS_MASK], with_next(batch)
    columns = (Columns.OBS, Columns.NEXT_OBS, Columns.ACTIONS)
    paid = _paid(module, {name: counted(sequences[name], counts) for name in columns})
    rewards = batch[Columns.REWARDS].clone()
    rewards[counts] += paid
    return {**batch, Columns.REWARDS: rewards}, _logged(paid)


def _paid(module: IntrinsicRewardAPI, batch: Nested) -> Tensor:
    with torch.no_grad():
        return module.compute_intrinsic_rewards(batch)


def _logged(paid: Tensor) -> dict[str, Tensor]:
    return {"intrinsic_reward": paid.mean()}
