"""`beta`: a beta distribution a component, between finite bounds (Chou et al., 2017)."""

import math
from typing import Any, Literal

import gymnasium as gym
import torch
from torch import Tensor
from torch.nn.functional import softplus

from composer.distributions.base import (
    ActionDistribution,
    ActionMap,
    Distribution,
    DistributionConfig,
    refuse_unless_bounded,
)
from composer.spaces import Nested, flat_dim

LOG_2 = math.log(2)


class BetaConfig(DistributionConfig):
    """A beta distribution a component, with one peak: no action is clipped."""

    type: Literal["beta"] = "beta"

    def refusal(self, space: gym.Space) -> str | None:
        return refuse_unless_bounded(self.type, space)

    def in_dim(self, space: gym.Space) -> int:
        return BetaDistribution.required_input_dim(space)

    def build(self, space: gym.Space) -> ActionDistribution:
        return self.bind(space)

    def bind(self, space: gym.Space) -> ActionDistribution:
        return BetaDistribution.for_space(space)


class BetaDistribution(Distribution):
    """Inputs x ‖ y, `(*B, 2A)`, give α = 1 + softplus(x), β = 1 + softplus(y).

    So α, β > 1, and the density has one peak (Chou et al., 2017, section 5). It is stretched from
    [0, 1] over the normalised space. Actions are `(*B, *shape)` floats, inside the bounds.
    """

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Nested = None) -> None:
        super().__init__(inputs, action_map, mask)
        # Where softplus is 0, the smallest number keeps the peak of a flat density in its middle.
        excess = softplus(inputs).clamp(min=torch.finfo(inputs.dtype).tiny)
        self.over_alpha, self.over_beta = excess.chunk(2, -1)  # α - 1 and β - 1, (*B, A) each
        self.alpha, self.beta = 1 + self.over_alpha, 1 + self.over_beta

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        return 2 * flat_dim(space)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """By two gamma variables; at least a rounding error away from the bounds."""
        gamma = torch._standard_gamma  # pyright: ignore[reportPrivateImportUsage]
        up = gamma(self.alpha.detach(), generator=generator)
        down = gamma(self.beta.detach(), generator=generator)
        inside = 1 - torch.finfo(up.dtype).eps
        return self._shaped(((up - down) / (up + down)).clamp(-inside, inside))

    def deterministic(self) -> Tensor:
        """The mode, (α - 1) / (α + β - 2) stretched."""
        total = self.over_alpha + self.over_beta
        return self._shaped((self.over_alpha - self.over_beta) / total)

    def log_prob(self, actions: Tensor) -> Tensor:
        """actions: `(*B, *shape)` floats in the normalised space."""
        flat = self._flat(actions)
        powers = self.over_alpha * torch.log1p(flat) + self.over_beta * torch.log1p(-flat)
        scale = (self.over_alpha + self.over_beta + 1) * LOG_2
        return (powers - scale - self._log_beta()).sum(-1)

    def entropy(self) -> Tensor:
        mine = self.over_alpha * self.alpha.digamma() + self.over_beta * self.beta.digamma()
        joint = (self.over_alpha + self.over_beta) * (self.alpha + self.beta).digamma()
        return (self._log_beta() - mine + joint + LOG_2).sum(-1)

    def kl(self, other: Any) -> Tensor:
        alpha, beta = self.alpha - other.alpha, self.beta - other.beta
        joint = (alpha + beta) * (self.alpha + self.beta).digamma()
        mine = alpha * self.alpha.digamma() + beta * self.beta.digamma()
        return (other._log_beta() - self._log_beta() + mine - joint).sum(-1)

    def _log_beta(self) -> Tensor:
        """The logarithm of B(α, β), `(*B, A)`."""
        return self.alpha.lgamma() + self.beta.lgamma() - (self.alpha + self.beta).lgamma()
