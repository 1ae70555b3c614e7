"""`greedy`: the action of the highest value, as in DQN."""

from typing import Any, Literal

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor

from composer.distributions.base import (
    ActionDistribution,
    ActionMap,
    Distribution,
    DistributionConfig,
)
from composer.distributions.multi_categorical import MultiCategoricalDistribution
from composer.spaces import Nested, category_counts, describe


class GreedyConfig(DistributionConfig):
    """Takes the choice of the highest value, of a MultiDiscrete in each component."""

    type: Literal["greedy"] = "greedy"

    has_density = False

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            return None
        return f"`greedy` acts in a Discrete or MultiDiscrete space, not {describe(space)}"

    def in_dim(self, space: gym.Space) -> int:
        return GreedyDistribution.required_input_dim(space)

    def build(self, space: gym.Space) -> ActionDistribution:
        return self.bind(space)

    def bind(self, space: gym.Space) -> ActionDistribution:
        return GreedyDistribution.for_space(space)


class GreedyDistribution(Distribution):
    """Inputs are values, one choice after the other, `(*B, ΣK)`; all mass is on the best.

    A mask is `(*B, ΣK)`, True where a choice may be taken. Actions are `(*B, *shape)` int64, from
    0.
    """

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Nested = None) -> None:
        super().__init__(inputs, action_map, mask)
        self.best = MultiCategoricalDistribution(inputs, action_map, mask).deterministic()

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        return sum(category_counts(space))

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.best

    def deterministic(self) -> Tensor:
        """The choice of the highest value."""
        return self.best

    def log_prob(self, actions: Tensor) -> Tensor:
        """0 for the best action, -inf for any other."""
        same = (self._flat(actions) == self._flat(self.best)).all(-1)
        return torch.where(same, 0.0, -torch.inf)

    def entropy(self) -> Tensor:
        return torch.zeros(self.inputs.shape[:-1], device=self.inputs.device)

    def kl(self, other: Any) -> Tensor:
        return -other.log_prob(self.best)
