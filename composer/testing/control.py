"""Problems of a few steps, or of a continuous action."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Chain(gym.Env[np.int64, np.int64]):
    """Going left (0) ends the episode with 0.1; going right (1) five times in a row pays 1.

    The observation is the position. Under a discount of γ the way right is worth γ⁴ at the start.
    """

    optimal_return: ClassVar[float] = 1.0
    random_return: ClassVar[float] = 2**-5 * 1.0 + (1 - 2**-5) * 0.1

    def __init__(self, length: int = 5) -> None:
        self.observation_space = spaces.Discrete(length + 1)
        self.action_space = spaces.Discrete(2)
        self.length = length
        self.position = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = 0
        return np.int64(self.position), {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        if action == 0:
            return np.int64(self.position), 0.1, True, False, {}
        self.position += 1
        arrived = self.position == self.length
        return np.int64(self.position), float(arrived), arrived, False, {}


class Lock(gym.Env[np.int64, np.int64]):
    """At each place one arm goes on, any other back to the start; only the end pays, 1.

    The observation is the place. Episodes are truncated after `3 · length` steps. Random arms reach
    the end once in `arms ** length` tries: whoever is paid by the environment alone learns nothing.
    """

    optimal_return: ClassVar[float] = 1.0

    def __init__(self, length: int = 10, arms: int = 4) -> None:
        self.observation_space = spaces.Discrete(length + 1)
        self.action_space = spaces.Discrete(arms)
        self.length = length
        self.right = [(place * place + 1) % arms for place in range(length)]
        self.place = 0
        self.steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.steps = 0
        return np.int64(0), {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        self.place = self.place + 1 if action == self.right[self.place] else 0
        self.steps += 1
        opened = self.place == self.length
        late = self.steps == 3 * self.length and not opened
        return np.int64(self.place), float(opened), opened, late, {}


class Reach1D(gym.Env[np.ndarray, np.ndarray]):
    """One step: hit the observed target t in [-1, 1] with an action a in [-2, 3]; -(a - t)²."""

    optimal_return: ClassVar[float] = 0.0
    random_return: ClassVar[float] = -(25 / 12 + 0.5**2 + 1 / 3)  # -(Var a + (E a)² + Var t)

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Box(-2.0, 3.0, (1,), np.float32)
        self.target = np.zeros(1, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.target = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.target, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.target, -float((action - self.target)[0] ** 2), True, False, {}


class JointReach(gym.Env[np.ndarray, dict[str, Any]]):
    """Reach1D by one of two arms, the second of which is mirrored; the observation tells which.

    The right arm pays -(a - t)², or -(-a - t)² of the mirrored one; the wrong one costs 1 more.
    """

    optimal_return: ClassVar[float] = 0.0
    random_return: ClassVar[float] = Reach1D.random_return - 1 / 2

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Dict(
            arm=spaces.Discrete(2), hand=spaces.Box(-2.0, 3.0, (1,), np.float32)
        )
        self.obs = np.zeros(2, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        arm = self.np_random.choice([-1.0, 1.0])
        self.obs = np.array([self.np_random.uniform(-1, 1), arm], np.float32)
        return self.obs, {}

    def step(self, action: dict[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        target, right = self.obs
        side = 1.0 if action["arm"] == 0 else -1.0
        missed = float((side * action["hand"][0] - target) ** 2)
        return self.obs, -missed - float(side != right), True, False, {}


class ReachTruncated(gym.Env[np.ndarray, np.ndarray]):
    """Reach1D with a new target each step and 1 more reward, truncated after eight steps.

    The end cannot be seen coming, so the optimal value is 1 / (1 - γ) everywhere. A critic that
    takes truncation for termination finds less.
    """

    optimal_return: ClassVar[float] = 8.0
    random_return: ClassVar[float] = 8 * (1 + Reach1D.random_return)

    def __init__(self, steps: int = 8) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Box(-2.0, 3.0, (1,), np.float32)
        self.steps = steps
        self.elapsed = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.elapsed = 0
        return self._new_target(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = 1 - float((action - self.target)[0] ** 2)
        self.elapsed += 1
        return self._new_target(), reward, False, self.elapsed == self.steps, {}

    def _new_target(self) -> np.ndarray:
        self.target = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.target
