"""Observations in their canonical batch, whatever form a vector environment gives them."""

from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv, VectorWrapper

from composer.errors import EnvironmentFailure
from composer.spaces import Nested, canonical, is_ragged


def with_canonical_observations(envs: VectorEnv) -> VectorEnv:
    """The environments, their observations as `composer.spaces.canonical` makes them.

    Where these are arrays already, the environments are returned as they are.
    """
    return _Canonical(envs) if is_ragged(envs.single_observation_space) else envs


class _Canonical(VectorWrapper):
    """Its spaces still say what the environments give, not what `reset` and `step` return."""

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Nested, dict[str, Any]]:
        obs, infos = self.env.reset(seed=seed, options=options)
        return _canonical(self.single_observation_space, obs), infos

    def step(self, actions: Any) -> tuple[Nested, Any, Any, Any, dict[str, Any]]:
        obs, *outcome, infos = self.env.step(actions)
        return _canonical(self.single_observation_space, obs), *outcome, infos


def _canonical(space: gym.Space, obs: Nested) -> Nested:
    try:
        return canonical(space, obs)
    except ValueError as error:
        raise EnvironmentFailure(
            f"an environment returned what is not in its observation space: {error}"
        ) from error
