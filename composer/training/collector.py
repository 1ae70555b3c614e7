"""Collector: steps a vector environment and fills rollouts."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch

from composer.environments.base import TrainingReward
from composer.executors import Executor
from composer.module.step import Step
from composer.spaces import Nested
from composer.training.infos import info_of
from composer.training.masks import MaskReader
from composer.training.observations import with_canonical_observations


@dataclass(frozen=True)
class Episode:
    """A finished episode; `return_` is the sum of raw rewards."""

    return_: float
    length: int
    env: int
    info: dict[str, Any] = field(default_factory=dict)
    """The environment's own `info` of the last step."""


class Record(Protocol):
    """What is filled step by step: a rollout, or a replay."""

    steps: int
    """T, steps of each environment that are added at a time."""

    def write_observation(
        self, t: int, obs: Nested, is_first: np.ndarray, state: Nested = None
    ) -> None:
        """What was seen at step t, up to T."""
        ...

    def write_action(self, t: int, step: Step, action_mask: Nested = None) -> None:
        """What was done there."""
        ...

    def write_outcome(
        self,
        t: int,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        counted: np.ndarray,
    ) -> None:
        """What came of it; `counted` is False at dummy steps."""
        ...


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
        self.envs = with_canonical_observations(envs)
        self.executor = executor
        self.initial_state = initial_state or None
        self.generator = generator
        self.stored = np.sign if training_reward == "sign" else np.asarray
        self.num_envs = envs.num_envs
        self.read_mask = MaskReader(envs)

    def restart(self, seed: int) -> None:
        """Begins new episodes everywhere."""
        self.obs, infos = self.envs.reset(seed=seed)
        self.is_first = np.ones(self.num_envs, np.bool_)
        self.ended = np.zeros(self.num_envs, np.bool_)
        self.state = self.initial_state
        self.returns = np.zeros(self.num_envs)
        self.lengths = np.zeros(self.num_envs, np.int64)
        self.action_mask = self.read_mask(self.obs, infos, self.ended, self.lengths)

    def collect(self, rollout: Record) -> tuple[int, list[Episode]]:
        """Fills a rollout, or adds to a replay.

        Returns:
            Environment steps taken, dummy steps not counted, and the episodes that ended.
        """
        episodes: list[Episode] = []
        counted_steps = 0
        for t in range(rollout.steps):
            rollout.write_observation(t, self.obs, self.is_first, self.state)
            self.executor.resample_noise(t, self.num_envs, self.generator)
            step = self.executor.act(
                self.obs,
                self.state,
                action_mask=self.action_mask,
                is_first=self.is_first if self.state is not None else None,
                generator=self.generator,
            )
            rollout.write_action(t, step, self.action_mask)
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
            self.action_mask = self.read_mask(obs, infos, self.ended, self.lengths)
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
