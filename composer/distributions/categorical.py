"""`categorical`: one of K actions."""

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
from composer.errors import ModuleError
from composer.spaces import describe

MASKED_LOGIT = -1e9
"""Low enough that its probability is exactly 0, finite so that 0·log 0 and its gradient are 0."""


class CategoricalConfig(DistributionConfig):
    """A probability for each action of a Discrete space."""

    type: Literal["categorical"] = "categorical"

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Discrete):
            return None
        return f"`categorical` acts in a Discrete space, not {describe(space)}"

    def in_dim(self, space: gym.Space) -> int:
        return CategoricalDistribution.required_input_dim(space)

    def build(self, space: gym.Space) -> ActionDistribution:
        return self.bind(space)

    def bind(self, space: gym.Space) -> ActionDistribution:
        return CategoricalDistribution.for_space(space)


class CategoricalDistribution(Distribution):
    """Inputs are logits `(*B, K)`; actions are indices `(*B,)` int64, counted from 0.

    A mask is `(*B, K)`, True where an action may be taken.
    """

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Tensor | None = None) -> None:
        super().__init__(inputs, action_map, mask)
        logits = inputs
        if mask is not None:
            mask = mask.bool()  # Gymnasium's own masks are int8
            if not mask.any(-1).all():
                raise ModuleError("an action mask allows no action at all")
            logits = logits.masked_fill(~mask, MASKED_LOGIT)
        self.log_probs = torch.log_softmax(logits, -1)  # (*B, K)

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        assert isinstance(space, spaces.Discrete)
        return int(space.n)

    @property
    def probs(self) -> Tensor:
        """Probabilities, `(*B, K)`."""
        return self.log_probs.exp()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """By the exponential race: the smallest of Exp(1) / p is an index drawn by p."""
        race = torch.empty_like(self.log_probs).exponential_(generator=generator)
        return (self.log_probs.detach().exp() / race).argmax(-1)

    def deterministic(self) -> Tensor:
        """The most probable action."""
        return self.log_probs.argmax(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """actions: `(*B,)` integers."""
        return self.log_probs.gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.probs * self.log_probs).sum(-1)

    def kl(self, other: Any) -> Tensor:
        return (self.probs * (self.log_probs - other.log_probs)).sum(-1)
