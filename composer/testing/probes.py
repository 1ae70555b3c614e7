"""Environments with nothing to learn, whose every number is known beforehand."""

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

End = Literal["terminated", "truncated"]


class Counter(gym.Env[np.ndarray, np.int64]):
    """Observation and reward are the number of steps taken in the episode; actions do nothing.

    Args:
        length: Steps in an episode, whose return is then 1 + 2 + … + length.
        end: The flag that its last step sets.
    """

    def __init__(self, length: int = 3, end: End = "terminated") -> None:
        self.observation_space = spaces.Box(0.0, np.inf, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length = length
        self.end = end
        self.count = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.count += 1
        obs = np.full(1, self.count, np.float32)
        over = self.count == self.length
        terminated, truncated = over and self.end == "terminated", over and self.end == "truncated"
        return obs, float(self.count), terminated, truncated, {}


class CounterVector(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Counter's own vector form, which resets in next-step mode."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, length: int = 3, end: End = "terminated") -> None:
        single = Counter(length, end)
        self.num_envs = num_envs
        self.single_observation_space = single.observation_space
        self.single_action_space = single.action_space
        self.observation_space = batch_space(single.observation_space, num_envs)
        self.action_space = batch_space(single.action_space, num_envs)
        self.length = length
        self.end = end
        self.counts = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.counts = np.zeros(self.num_envs, np.int64)
        return self._observe(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        self.counts = np.where(self.counts == self.length, 0, self.counts + 1)
        over, never = self.counts == self.length, np.zeros(self.num_envs, np.bool_)
        terminated, truncated = (over, never) if self.end == "terminated" else (never, over)
        return self._observe(), self.counts.astype(np.float64), terminated, truncated, {}

    def _observe(self) -> np.ndarray:
        return self.counts[:, None].astype(np.float32)  # (N, 1)


class Raises(gym.Env[np.ndarray, np.int64]):
    """Raises a ValueError at a step, or in `reset` where `at` is 0; its episodes do not end."""

    def __init__(self, at: int = 3) -> None:
        self.observation_space = spaces.Box(0.0, np.inf, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.at = at
        self.count = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return self._observe(), 0.0, False, False, {}

    def _observe(self) -> np.ndarray:
        if self.count == self.at:
            raise ValueError(f"step {self.count}, as it was told to: 100%")
        return np.full(1, self.count, np.float32)
