"""Collector: steps a vector environment and fills rollouts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from composer.environments.base import TrainingReward
from composer.executors import Executor
from composer.spaces import Nested
from composer.training.rollouts import Rollout


@dataclass(frozen=True)
class Episode:
    """A finished episode; `return_` is the sum of raw rewards."""

    return_: float
    length: int
    env: int
    info: dict[str, Any] = field(default_factory=dict)
    """The environment's own `info` of the last step."""


class Collector:
    """Acts in N environments; remembers where each of them is.

    Args:
        envs: A vector environment in next-step autoreset mode.
        executor: What acts.
        initial_state: The module's state for N episodes that begin; {} or None without a memory.
        generator: The stream that actions are sampled from.
        training_reward: What of a reward goes into rollouts; episodes have all of it.
    """

    def __init__(
        self,
        envs: gym.vector.VectorEnv,
        executor: Executor,
        initial_state: Nested,
        generator: torch.Generator,
        training_reward: TrainingReward = "raw",
    ) -> None:
        self.envs = envs
        self.executor = executor
        self.initial_state = initial_state or None
        self.generator = generator
        self.stored = np.sign if training_reward == "sign" else np.asarray
        self.num_envs = envs.num_envs

    def restart(self, seed: int) -> None:
        """Begins new episodes everywhere."""
        self.obs, _ = self.envs.reset(seed=seed)
        self.is_first = np.ones(self.num_envs, np.bool_)
        self.ended = np.zeros(self.num_envs, np.bool_)
        self.state = self.initial_state
        self.returns = np.zeros(self.num_envs)
        self.lengths = np.zeros(self.num_envs, np.int64)

    def collect(self, rollout: Rollout) -> tuple[int, list[Episode]]:
        """Fills the rollout.

        Returns:
            Environment steps taken, dummy steps not counted, and the episodes that ended.
        """
        episodes: list[Episode] = []
        counted_steps = 0
        for t in range(rollout.steps):
            rollout.write_observation(t, self.obs, self.is_first, self.state)
            step = self.executor.act(
                self.obs,
                self.state,
                is_first=self.is_first if self.state is not None else None,
                generator=self.generator,
            )
            rollout.write_action(t, step)
            obs, rewards, terminated, truncated, infos = self.envs.step(step.env_actions)
            counted = ~self.ended
            rollout.write_outcome(
                t,
                self.stored(rewards) * counted,
                terminated & counted,
                truncated & counted,
                counted,
            )
            counted_steps += int(counted.sum())
            self.returns += np.where(counted, rewards, 0.0)
            self.lengths += counted
            self.is_first, self.ended = self.ended, (terminated | truncated) & counted
            if self.ended.any():
                episodes += self._finish(infos)
            self.obs, self.state = obs, step.state
        rollout.write_observation(rollout.steps, self.obs, self.is_first, self.state)
        return counted_steps, episodes

    def _finish(self, infos: dict[str, Any]) -> list[Episode]:
        episodes = []
        for env in np.flatnonzero(self.ended).tolist():
            episodes.append(
                Episode(float(self.returns[env]), int(self.lengths[env]), env, info_of(infos, env))
            )
            self.returns[env] = 0.0
            self.lengths[env] = 0
        return episodes


def info_of(infos: Mapping[str, Any], env: int) -> dict[str, Any]:
    """One environment's `info` out of a vector environment's."""
    return {
        key: _of_one(value, env)
        for key, value in infos.items()
        if not key.startswith("_") and key != "final_obs" and _present(infos, key, env)
    }


def _of_one(value: Any, env: int) -> Any:
    if isinstance(value, Mapping):
        return info_of(value, env)
    return value[env] if isinstance(value, np.ndarray) else value


def _present(infos: Mapping[str, Any], key: str, env: int) -> bool:
    mask = infos.get(f"_{key}")
    return bool(mask is None or mask[env])
