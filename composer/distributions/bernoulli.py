"""`bernoulli`: bits, each set or not, independent of one another."""

from typing import Literal

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor

from composer.distributions.base import ActionDistribution, ActionMap, DistributionConfig
from composer.distributions.categorical import CategoricalDistribution
from composer.distributions.multi_categorical import ComponentsDistribution
from composer.errors import ModuleError
from composer.spaces import Nested, describe, flat_dim


class BernoulliConfig(DistributionConfig):
    """A probability for each bit of a MultiBinary space."""

    type: Literal["bernoulli"] = "bernoulli"

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.MultiBinary):
            return None
        return f"`bernoulli` acts in a MultiBinary space, not {describe(space)}"

    def in_dim(self, space: gym.Space) -> int:
        return BernoulliDistribution.required_input_dim(space)

    def build(self, space: gym.Space) -> ActionDistribution:
        return self.bind(space)

    def bind(self, space: gym.Space) -> ActionDistribution:
        return BernoulliDistribution.for_space(space)


class BernoulliDistribution(ComponentsDistribution):
    """Inputs are the log-odds that each bit is set, `(*B, A)`.

    A mask is Gymnasium's own, `(*B, *shape)` integers: 0 where a bit must not be set, 1 where it
    must be, 2 where it is free.
    """

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Nested = None) -> None:
        super().__init__(inputs, action_map, mask)
        if mask is not None:
            mask = self._allowed(self._flat(mask))
        logits = torch.stack([torch.zeros_like(inputs), inputs], -1)  # (*B, A, 2)
        self.each = CategoricalDistribution(logits, action_map, mask)

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        return flat_dim(space)

    def _allowed(self, mask: Tensor) -> Tensor:
        """Whether a bit may be 0, and whether it may be 1, `(*B, A, 2)`."""
        if mask.dtype == torch.bool or ((mask < 0) | (mask > 2)).any():
            raise ModuleError(
                "a mask of a MultiBinary space is of integers: 0 where a bit must not be set, 1 "
                "where it must be, 2 where it is free"
            )
        return torch.stack([mask != 1, mask != 0], -1)
