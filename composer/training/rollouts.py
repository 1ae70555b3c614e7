"""Rollouts: what each environment saw and did, `(N, T)`, in memory that is used again."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from composer.columns import Columns
from composer.masks import FREE
from composer.module.rl_module import Step
from composer.spaces import Nested, leaf_spaces, map_structure, to_tensors


class Rollout:
    """Columns for T steps of N environments.

    `obs` (nested as the space, at the space's own dtype) and `is_first` have T + 1 steps: the last
    is what followed, from which values are bootstrapped. Under next-step autoreset the step after
    an episode's end is a dummy: its observation is the episode's *final* one, its action is
    ignored, and `loss_mask` is False there. The columns that depend on the module (`actions`,
    `action_logp`, `action_dist_inputs`, `vf_preds`, `state_in`, `action_mask`) are allocated at
    the first step, by what it brings.

    Args:
        observation_space: Of a single environment.
        num_envs: N.
        steps: T.
    """

    def __init__(self, observation_space: gym.Space, num_envs: int, steps: int) -> None:
        self.num_envs = num_envs
        self.steps = steps
        self.arrays: dict[str, Nested] = {
            Columns.OBS: map_structure(
                lambda space: np.zeros((num_envs, steps + 1, *space.shape), space.dtype),
                leaf_spaces(observation_space),
            ),
            Columns.IS_FIRST: np.zeros((num_envs, steps + 1), np.bool_),
            Columns.REWARDS: np.zeros((num_envs, steps), np.float32),
            Columns.TERMINATEDS: np.zeros((num_envs, steps), np.bool_),
            Columns.TRUNCATEDS: np.zeros((num_envs, steps), np.bool_),
            Columns.LOSS_MASK: np.zeros((num_envs, steps), np.bool_),
        }

    def write_observation(
        self, t: int, obs: Nested, is_first: np.ndarray, state: Nested = None
    ) -> None:
        """What was seen at step t, up to T: `(N, …)`, and the state the module saw it in."""
        _put(self.arrays[Columns.OBS], t, obs)
        self.arrays[Columns.IS_FIRST][:, t] = is_first
        if state is not None:
            self._write(Columns.STATE_IN, t, state, self.steps + 1)

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
                # Steps before the first mask were free.
                fill = FREE if column == Columns.ACTION_MASK else 0
                self._write(column, t, value, self.steps, fill)

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

    def _write(self, column: str, t: int, value: Nested, length: int, fill: int = 0) -> None:
        value = map_structure(_array, value)
        if column not in self.arrays:
            self.arrays[column] = map_structure(
                lambda leaf: np.full((self.num_envs, length, *leaf.shape[1:]), fill, leaf.dtype),
                value,
            )
        _put(self.arrays[column], t, value)

    def batch(self, device: torch.device) -> dict[str, Any]:
        """The columns as tensors; on the CPU they share memory with the rollout."""
        return {column: to_tensors(array, device) for column, array in self.arrays.items()}


def _array(leaf: Any) -> np.ndarray:
    return leaf.detach().cpu().numpy() if isinstance(leaf, torch.Tensor) else np.asarray(leaf)


def _put(target: Nested, t: int, value: Nested) -> None:
    if isinstance(target, np.ndarray):
        target[:, t] = value
    else:
        keys = target if isinstance(target, dict) else range(len(target))
        for key in keys:
            _put(target[key], t, value[key])
