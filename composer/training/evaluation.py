"""Evaluation: whole episodes, shared out evenly among environments of its own."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import gymnasium as gym
import numpy as np
import torch
from pydantic import Field

from composer.columns import Columns
from composer.config import Config, Size, Steps
from composer.environments.base import TrainingReward
from composer.executors import Executor
from composer.spaces import Nested
from composer.training.carried import carried, learnt_from, started
from composer.training.masks import MaskReader
from composer.training.observations import with_canonical_observations


class EvaluationConfig(Config):
    """When and how the policy is evaluated; also once at the end of training."""

    every: Steps = 25_000
    """Environment steps between evaluations; 0 for none but the last."""
    episodes: Size = 20
    num_envs: Size = 10
    deterministic: bool = True
    """Take the distribution's deterministic action instead of a sample."""
    max_length: Size = 100_000
    """Steps after which an episode is cut; only one without a limit of its own gets there."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """`null` is derived from the experiment's seed. Every evaluation starts from the same seed."""


@dataclass(frozen=True)
class EvaluationResult:
    """Raw returns and lengths of whole episodes."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    cut: int = 0
    """Episodes among them that had no end of their own in `max_length` steps."""

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    def metrics(self) -> dict[str, float]:
        """By name, for loggers."""
        return {
            "return": self.mean,
            "return_std": float(np.std(self.returns)),
            "return_min": float(np.min(self.returns)),
            "return_max": float(np.max(self.returns)),
            "length": float(np.mean(self.lengths)),
        }


class EvaluationStopped(Exception):
    """An evaluation was asked to stop: there is no result."""


def evaluate(
    executor: Executor,
    envs: gym.vector.VectorEnv,
    episodes: int,
    *,
    seed: int,
    deterministic: bool = True,
    max_length: int = 100_000,
    initial_state: Nested = None,
    training_reward: TrainingReward = "raw",
    should_stop: Callable[[], bool] = lambda: False,
) -> EvaluationResult:
    """Runs episodes from their beginnings.

    Each environment owes its share of the episodes, whatever their lengths: taking the first that
    end would count short ones too often.

    Args:
        executor: What acts.
        envs: A vector environment in next-step autoreset mode.
        episodes: How many in all.
        seed: Of the environments, and of the samples where actions are sampled.
        deterministic: Take the distribution's deterministic action.
        max_length: Steps after which an episode is counted as it is, and is the last of its
            environment: some policies walk into a wall for ever.
        initial_state: The module's state for N episodes that begin.
        training_reward: What of a reward a memory is given; returns have all of it.
        should_stop: Asked at every step.

    Raises:
        EvaluationStopped: If `should_stop` said so.
    """
    envs = with_canonical_observations(envs)
    count = envs.num_envs
    owed = np.full(count, episodes // count) + (np.arange(count) < episodes % count)
    generator = torch.Generator(executor.device).manual_seed(seed)
    obs, infos = envs.reset(seed=seed)
    returns, lengths = np.zeros(count), np.zeros(count, np.int64)
    is_first, ended = np.ones(count, np.bool_), np.zeros(count, np.bool_)
    read_mask = MaskReader(envs)
    given = learnt_from(training_reward)
    memory = started(initial_state)
    finished: list[list[tuple[float, int]]] = [[] for _ in range(count)]
    cut, steps = 0, itertools.count()
    while owed.any():
        if should_stop():
            raise EvaluationStopped
        if not deterministic:
            executor.resample_noise(next(steps), count, generator)
        step = executor.act(
            obs,
            memory.get(Columns.STATE_IN),
            deterministic,
            action_mask=read_mask(obs, infos, ended, lengths),
            is_first=is_first if memory else None,
            prev_actions=memory.get(Columns.PREV_ACTIONS),
            prev_rewards=memory.get(Columns.PREV_REWARDS),
            generator=generator,
        )
        obs, rewards, terminated, truncated, infos = envs.step(step.env_actions)
        counted = ~ended
        returns += np.where(counted, rewards, 0.0)
        lengths += counted
        is_first, ended = ended, (terminated | truncated) & counted
        memory = carried(step, given(rewards))
        for env in np.flatnonzero(ended).tolist():
            if owed[env]:
                owed[env] -= 1
                finished[env].append((float(returns[env]), int(lengths[env])))
            returns[env], lengths[env] = 0.0, 0
        for env in np.flatnonzero((lengths >= max_length) & (owed > 0)).tolist():
            owed[env] = 0
            finished[env].append((float(returns[env]), int(lengths[env])))
            cut += 1
    flat = [episode for row in finished for episode in row]
    return EvaluationResult(
        tuple(return_ for return_, _ in flat), tuple(length for _, length in flat), cut
    )
