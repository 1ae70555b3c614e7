"""`deterministic`: always the same action, as in DDPG and TD3."""

from typing import Literal

import gymnasium as gym
from torch import Tensor

from composer.distributions.base import (
    ActionDistribution,
    ActionMap,
    DeterministicDistribution,
    Distribution,
    DistributionConfig,
    refuse_unless_bounded,
)
from composer.spaces import Nested, flat_dim


class DeterministicConfig(DistributionConfig):
    """The tanh of the policy's outputs is the action; whoever explores adds noise."""

    type: Literal["deterministic"] = "deterministic"

    has_density = False

    def refusal(self, space: gym.Space) -> str | None:
        return refuse_unless_bounded(self.type, space)

    def in_dim(self, space: gym.Space) -> int:
        return flat_dim(space)

    def build(self, space: gym.Space) -> ActionDistribution:
        return self.bind(space)

    def bind(self, space: gym.Space) -> ActionDistribution:
        return Deterministic(space=space)


class Deterministic(ActionDistribution):
    """Inputs are the actions themselves in the normalised space, flat, `(*B, A)`."""

    def __init__(self, *, space: gym.Space) -> None:
        super().__init__()
        self.action_map = ActionMap(space)
        self.shape = space.shape or ()
        self.in_dim = self.inputs_dim = flat_dim(space)

    def inputs(self, outputs: Tensor) -> Tensor:
        return outputs.tanh()

    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        self.require_width(inputs)
        actions = inputs.reshape((*inputs.shape[:-1], *self.shape))
        return DeterministicDistribution(actions, self.action_map, mask)
