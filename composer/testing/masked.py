"""A problem that only a masked policy solves."""

from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class MaskedBandit(gym.Env[Any, np.int64]):
    """At each step half of the arms are forbidden; the last of those allowed pays, the others not.

    There is nothing to see but the mask. A forbidden arm costs what the right one pays. When the
    episode is over, its mask allows nothing.

    Args:
        arms: An even number.
        steps: In an episode; the right arm pays 1 / steps.
        where: The mask is in `info`, or it is the key `action_mask` of the observation.
    """

    optimal_return: ClassVar[float] = 1.0
    random_return: ClassVar[float] = 1 / 4 - 1 / 2

    def __init__(
        self, arms: int = 4, steps: int = 3, where: Literal["info", "key"] = "info"
    ) -> None:
        nothing = spaces.Box(0.0, 1.0, (1,), np.float32)
        mask = spaces.Box(0, 1, (arms,), np.int8)
        keyed = spaces.Dict({"action_mask": mask, "nothing": nothing})
        self.observation_space = keyed if where == "key" else nothing
        self.action_space = spaces.Discrete(arms)
        self.arms, self.steps, self.where = arms, steps, where

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = self.steps
        return self._observe()

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        right = self.mask.nonzero()[0].max()
        pay = 1.0 if action == right else 0.0 if self.mask[action] else -1.0
        self.left -= 1
        obs, info = self._observe()
        return obs, pay / self.steps, self.left == 0, False, info

    def _observe(self) -> tuple[Any, dict[str, Any]]:
        self.mask = np.zeros(self.arms, np.int8)
        if self.left:
            self.mask[self.np_random.permutation(self.arms)[: self.arms // 2]] = 1
        nothing = np.ones(1, np.float32)
        if self.where == "key":
            return {"action_mask": self.mask, "nothing": nothing}, {}
        return nothing, {"action_mask": self.mask}
