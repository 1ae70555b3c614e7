"""Rollouts: what each environment saw and did, `(N, T)`, in memory that is used again."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from composer.columns import Columns
from composer.masks import FREE
from composer.module.rl_module import Step
from composer.spaces import Nested, map_structure, to_tensors, zeros


class Rollout:
    """Columns for T steps of N environments.

    `obs` (the canonical batch of the space, at its own dtype) and `is_first` have T + 1 steps: the
    last is what followed, from which values are bootstrapped. Ragged leaves are as long as the
    longest that ever came. Under next-step autoreset the step after an episode's end is a dummy:
    its observation is the episode's *final* one, its action is ignored, and `loss_mask` is False
    there. The columns that depend on the module (`actions`, `action_logp`, `action_dist_inputs`,
    `vf_preds`, `state_in`, `action_mask`) are allocated at the first step, by what it brings.

    Args:
        observation_space: Of a single environment.
        num_envs: N.
        steps: T.
    """

    def __init__(self, observation_space: gym.Space, num_envs: int, steps: int) -> None:
        self.num_envs = num_envs
        self.steps = steps
        self.arrays: dict[str, Nested] = {
            Columns.OBS: zeros(observation_space, (num_envs, steps + 1)),
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
        self.arrays[Columns.OBS] = _put(self.arrays[Columns.OBS], t, obs)
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
        self.arrays[column] = _put(self.arrays[column], t, value)

    def batch(self, device: torch.device) -> dict[str, Any]:
        """The columns as tensors; on the CPU they share memory with the rollout."""
        return {column: to_tensors(array, device) for column, array in self.arrays.items()}


def _array(leaf: Any) -> np.ndarray:
    return leaf.detach().cpu().numpy() if isinstance(leaf, torch.Tensor) else np.asarray(leaf)


def _put(whole: Nested, t: int, part: Nested) -> Nested:
    """Lays `(N, …)` at step t of `(N, T, …)`; what is longer makes the whole longer."""
    if isinstance(whole, dict):
        return {key: _put(inner, t, part[key]) for key, inner in whole.items()}
    if isinstance(whole, tuple):
        return tuple(_put(inner, t, value) for inner, value in zip(whole, part, strict=True))
    step = whole[:, t]
    if part.shape == step.shape:
        step[...] = part
        return whole
    whole = _grown(whole, part.shape[1:])
    whole[:, t] = 0
    whole[(slice(None), t, *map(slice, part.shape[1:]))] = part
    return whole


def _grown(whole: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`(N, T, …)` with room for a shape along every axis; zeros where there was none."""
    room = tuple(max(pair) for pair in zip(whole.shape[2:], shape, strict=True))
    if room == whole.shape[2:]:
        return whole
    grown = np.zeros((*whole.shape[:2], *room), whole.dtype)
    grown[tuple(map(slice, whole.shape))] = whole
    return grown
