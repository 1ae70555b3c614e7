"""Rollouts: what each environment saw and did, `(N, T)`, in memory that is used again."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from composer.columns import Columns
from composer.module.step import Step
from composer.spaces import Nested, to_tensors
from composer.training.carried import NOTHING, Carried
from composer.training.storage import Storage


class Rollout:
    """Columns for T steps of N environments.

    `obs` (the canonical batch of the space, at its own dtype), `is_first`, and for a memory
    `prev_actions` and `prev_rewards` have T + 1 steps: the last is what followed, from which values
    are bootstrapped. Ragged leaves are as long as the longest that ever came. Under next-step
    autoreset the step after an episode's end is a dummy: its observation is the episode's *final*
    one, its action is ignored, and `loss_mask` is False there. The columns that depend on the
    module (`actions`, `action_logp`, `action_dist_inputs`, `vf_preds`, `state_in`, `action_mask`)
    are allocated at the first step, by what it brings.

    Args:
        observation_space: Of a single environment.
        num_envs: N.
        steps: T.
        state_every: States are kept where sequences of so many steps begin, and after the last:
            `state_in` is `(N, ⌈T / state_every⌉ + 1, …)`.
    """

    def __init__(
        self, observation_space: gym.Space, num_envs: int, steps: int, state_every: int = 1
    ) -> None:
        self.num_envs = num_envs
        self.steps = steps
        self.state_every = state_every
        self.storage = Storage(num_envs)
        self.arrays = self.storage.arrays
        self.storage.add_space(Columns.OBS, observation_space, steps + 1)
        self.storage.add(Columns.IS_FIRST, np.bool_, steps + 1)
        self.storage.add(Columns.REWARDS, np.float32, steps)
        for column in (Columns.TERMINATEDS, Columns.TRUNCATEDS, Columns.LOSS_MASK):
            self.storage.add(column, np.bool_, steps)

    def write_observation(
        self, t: int, obs: Nested, is_first: np.ndarray, memory: Carried = NOTHING
    ) -> None:
        """What was seen at step t, up to T: `(N, …)`, and what a memory knew of before."""
        self.storage.write(Columns.OBS, t, obs, self.steps + 1)
        self.arrays[Columns.IS_FIRST][:, t] = is_first
        for column, value in memory.items():
            if column != Columns.STATE_IN:
                self.storage.write(column, t, value, self.steps + 1)
            elif t % self.state_every == 0 or t == self.steps:
                cuts = -(-self.steps // self.state_every)
                place = cuts if t == self.steps else t // self.state_every
                self.storage.write(column, place, value, cuts + 1)

    def write_action(self, t: int, step: Step, action_mask: Nested = None) -> None:
        """What the module did at step t."""
        for column, value in (
            (Columns.ACTIONS, step.actions),
            (Columns.ACTION_LOGP, step.log_prob),
            (Columns.ACTION_DIST_INPUTS, step.dist_inputs),
            (Columns.VF_PREDS, step.value),
            (Columns.ACTION_MASK, action_mask),
        ):
            if value is not None:
                self.storage.write(column, t, value, self.steps)

    def write_outcome(
        self,
        t: int,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        counted: np.ndarray,
    ) -> None:
        """What came of it, `(N,)` each; `counted` is False at dummy steps."""
        self.arrays[Columns.REWARDS][:, t] = rewards
        self.arrays[Columns.TERMINATEDS][:, t] = terminated
        self.arrays[Columns.TRUNCATEDS][:, t] = truncated
        self.arrays[Columns.LOSS_MASK][:, t] = counted

    def batch(self, device: torch.device) -> dict[str, Any]:
        """The columns as tensors; on the CPU they share memory with the rollout."""
        return {column: to_tensors(array, device) for column, array in self.arrays.items()}
