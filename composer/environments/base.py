"""What every environment config promises."""

from abc import abstractmethod
from typing import Literal

import gymnasium as gym
from gymnasium.vector import VectorEnv

from composer.config import Family, Size
from composer.errors import Problem

TrainingReward = Literal["raw", "sign"]


class EnvironmentConfig(Family, family="environment", default="gym"):
    """Where experience comes from.

    A vector environment made here resets in Gymnasium's *next-step* mode: the step that ends an
    episode returns its final observation; the step after it ignores its action and returns the
    first observation of the next episode, with reward 0 and neither flag set. Whatever goes wrong
    in `reset` or `step` arrives as an `EnvironmentFailure`, and has closed the environments.
    """

    num_envs: Size = 8
    action_mask: Literal["auto", "none"] = "auto"
    """`auto`: what `info["action_mask"]` forbids is not done; `none`: nothing says so."""
    training_reward: TrainingReward = "raw"
    """What is learnt from: the reward, or its sign. Reported returns are raw."""

    @property
    def has_masks(self) -> bool:
        """Whether what `info` says of allowed actions is passed on."""
        return self.action_mask == "auto"

    def problems(self) -> list[Problem]:
        """What is wrong with the settings, found without making an environment."""
        return []

    def for_evaluation(self) -> "EnvironmentConfig":
        """The same environment where it is not trained in: an episode there is a whole one."""
        return self

    @abstractmethod
    def spaces(self) -> tuple[gym.Space, gym.Space]:
        """The observation space and the action space of a single environment."""

    @abstractmethod
    def make(self, num_envs: int | None = None) -> VectorEnv:
        """`num_envs` environments behind one interface; the config's own number where None.

        Where `action_mask` is `none`, their `info` has no mask.
        """
