"""Reward scaling by the running standard deviation of the discounted return."""

import math
from typing import Any

import numpy as np
import torch

from composer.columns import Columns
from composer.returns import discounted
from composer.training.rollouts import Rollout


class RewardScale:
    """Divides a rollout's rewards by the standard deviation of the return so far.

    The statistics take in a whole rollout, then scale it, so that one rollout has one scale.
    Reported returns are never scaled.

    Args:
        num_envs: N.
        gamma: Discount factor of the return.
    """

    def __init__(self, num_envs: int, gamma: float) -> None:
        self.gamma = gamma
        self.carry = torch.zeros(num_envs)
        self.count, self.mean, self.squares = 0.0, 0.0, 0.0

    def restart(self) -> None:
        """New episodes begin everywhere; what was learnt about the scale stays."""
        self.carry.zero_()

    def __call__(self, rollout: Rollout) -> None:
        """Scales the rollout's rewards in place."""
        rewards = rollout.arrays[Columns.REWARDS]
        ended = rollout.arrays[Columns.TERMINATEDS] | rollout.arrays[Columns.TRUNCATEDS]
        returns, self.carry = discounted(
            torch.from_numpy(rewards), torch.from_numpy(ended), self.gamma, self.carry
        )
        self._take_in(returns.numpy()[rollout.arrays[Columns.LOSS_MASK]])
        rewards /= self.deviation

    @property
    def deviation(self) -> float:
        """Standard deviation of the discounted return; 1 while it has not varied."""
        variance = self.squares / self.count if self.count else 0.0
        return math.sqrt(variance) if variance > 0 else 1.0

    def _take_in(self, values: np.ndarray) -> None:
        """Merges the moments of a batch (Chan et al., 1983)."""
        count, mean = float(values.size), float(values.mean(dtype=np.float64))
        squares = float(((values - mean) ** 2).sum(dtype=np.float64))
        total = self.count + count
        shift = mean - self.mean
        self.squares += squares + shift * shift * self.count * count / total
        self.mean += shift * count / total
        self.count = total

    def get_state(self) -> dict[str, Any]:
        """The statistics as JSON data."""
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def set_state(self, state: dict[str, Any]) -> None:
        """Loads what `get_state` gave."""
        self.count, self.mean, self.squares = state["count"], state["mean"], state["squares"]
