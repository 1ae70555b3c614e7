"""`dirichlet`: shares that sum to one, such as the weights of a portfolio."""

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
)
from composer.spaces import Nested, describe, flat_dim, is_real

LOG_2 = math.log(2)


class DirichletConfig(DistributionConfig):
    """A Dirichlet distribution with one peak: an action has no negative part and sums to one."""

    type: Literal["dirichlet"] = "dirichlet"

    def refusal(self, space: gym.Space) -> str | None:
        if is_real(space):
            unit = not space.low.any() and bool((space.high == 1).all())
            if unit and len(space.shape) == 1 and space.shape[0] > 1:
                return None
            bounds = f" between {space.low.min():g} and {space.high.max():g}"
        else:
            bounds = ""
        return (
            "`dirichlet` acts in a Box of floats of one axis, two or more shares between 0 and 1, "
            f"not {describe(space)}{bounds}"
        )

    def in_dim(self, space: gym.Space) -> int:
        return DirichletDistribution.required_input_dim(space)

    def build(self, space: gym.Space) -> ActionDistribution:
        return self.bind(space)

    def bind(self, space: gym.Space) -> ActionDistribution:
        return DirichletDistribution.for_space(space)


class DirichletDistribution(Distribution):
    """Inputs x, `(*B, A)`, give concentrations α = 1 + softplus(x): the density has one peak.

    A share s in [0, 1] is 2s - 1 in the normalised space; actions are `(*B, A)` floats there. The
    density is that on the simplex, which has A - 1 dimensions.
    """

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Nested = None) -> None:
        super().__init__(inputs, action_map, mask)
        # Where softplus is 0, the smallest number keeps the peak of a flat density in its middle.
        self.excess = softplus(inputs).clamp(min=torch.finfo(inputs.dtype).tiny)  # α - 1, (*B, A)
        self.alpha = 1 + self.excess

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        return flat_dim(space)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """By gamma variables; at least a rounding error away from 0."""
        gamma = torch._standard_gamma  # pyright: ignore[reportPrivateImportUsage]
        parts = gamma(self.alpha.detach(), generator=generator)
        return _normalised(parts)

    def deterministic(self) -> Tensor:
        """The mode, (α - 1) / Σ(α - 1)."""
        return _normalised(self.excess)

    def log_prob(self, actions: Tensor) -> Tensor:
        """actions: `(*B, A)` floats in the normalised space."""
        log_shares = torch.log1p(actions) - LOG_2
        return (self.excess * log_shares).sum(-1) - self._log_beta()

    def entropy(self) -> Tensor:
        total = self.alpha.sum(-1)
        parts = (self.excess * self.alpha.digamma()).sum(-1)
        return self._log_beta() + (total - self.alpha.shape[-1]) * total.digamma() - parts

    def kl(self, other: Any) -> Tensor:
        difference = self.alpha - other.alpha
        expected = self.alpha.digamma() - self.alpha.sum(-1, keepdim=True).digamma()
        return other._log_beta() - self._log_beta() + (difference * expected).sum(-1)

    def _log_beta(self) -> Tensor:
        """The logarithm of B(α), over the simplex of twice the size, `(*B,)`."""
        stretched = (self.alpha.shape[-1] - 1) * LOG_2
        return self.alpha.lgamma().sum(-1) - self.alpha.sum(-1).lgamma() + stretched


def _normalised(parts: Tensor) -> Tensor:
    """Positive numbers as shares of their sum, in the normalised space."""
    shares = parts / parts.sum(-1, keepdim=True)
    return (2 * shares - 1).clamp(min=torch.finfo(parts.dtype).eps - 1)
