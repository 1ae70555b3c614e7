"""What every driver promises."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from torch import Tensor

from composer.algorithms.base import AlgorithmConfig
from composer.environments.base import TrainingReward
from composer.module.rl_module import RLModule
from composer.optimisers._schedule import Elapsed
from composer.training.collector import Episode


@dataclass(frozen=True)
class Iteration:
    """What one iteration of a driver did."""

    env_steps: int
    episodes: list[Episode]
    metrics: dict[str, float]


class Driver(ABC):
    """A way of training: gathers data with environments and feeds an algorithm."""

    @abstractmethod
    def restart(self, seed: int) -> None:
        """Begins new episodes everywhere, with environments seeded by `seed`."""

    @abstractmethod
    def iterate(
        self, elapsed: Elapsed, before_update: Callable[[], None] = lambda: None
    ) -> Iteration:
        """Gathers data once and learns from it.

        Args:
            elapsed: How far training has come.
            before_update: Called between the two: what comes next changes the driver and its
                module, and until it has ended neither can be saved.
        """

    @abstractmethod
    def get_tensors(self) -> dict[str, Tensor]:
        """State that is tensors: the optimiser's and the random streams'."""

    @abstractmethod
    def get_numbers(self) -> dict[str, Any]:
        """Further state, as JSON data."""

    @abstractmethod
    def set_state(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Loads what `get_tensors` and `get_numbers` gave."""


def make_driver(
    config: AlgorithmConfig,
    module: RLModule,
    envs: gym.vector.VectorEnv,
    seed: int,
    training_reward: TrainingReward = "raw",
) -> Driver:
    """The driver an algorithm names: `build` of `composer/training/<driver>.py`."""
    return importlib.import_module(f"composer.training.{config.driver}").build(
        config, module, envs, seed, training_reward
    )
