"""`diag_gaussian`: independent normal distributions, one for each component of a Box."""

import math
from typing import Any, Literal

import gymnasium as gym
import torch
from pydantic import model_validator
from torch import Tensor, nn

from composer.distributions.base import (
    ActionDistribution,
    ActionMap,
    Distribution,
    DistributionConfig,
)
from composer.errors import Problem
from composer.problems import invalid_keys
from composer.spaces import Nested, describe, flat_dim, is_real

LOG_2PI = math.log(2 * math.pi)


class GaussianConfig(DistributionConfig):
    """Means by the policy, and standard deviations that depend on the state or do not."""

    log_std: Literal["independent", "dependent"] = "independent"
    """Of the state: one free parameter a component, or a second half of the policy's outputs."""
    log_std_init: float = 0.0
    """Where the log-std starts, in nats of the normalised space."""
    log_std_min: float = -20.0
    log_std_max: float = 2.0

    @model_validator(mode="after")
    def _ordered(self) -> "GaussianConfig":
        low, start, high = self.log_std_min, self.log_std_init, self.log_std_max
        if low > high:
            message = f"log_std_min {low} is above log_std_max {high}"
        elif not low <= start <= high:
            message = (
                f"log_std_init {start} must lie between log_std_min {low} and log_std_max {high}"
            )
        else:
            return self
        names = ("log_std_min", "log_std_max", "log_std_init")
        name = next(name for name in names if name in self.model_fields_set)
        raise invalid_keys((name, getattr(self, name), Problem(message)))

    def in_dim(self, space: gym.Space) -> int:
        return flat_dim(space) * (2 if self.log_std == "dependent" else 1)

    def build(self, space: gym.Space) -> "DiagGaussian":
        return DiagGaussian(
            bound=self.bind(space),
            free_log_std=self.log_std == "independent",
            log_std_init=self.log_std_init,
            log_std_min=self.log_std_min,
            log_std_max=self.log_std_max,
        )


class DiagGaussianConfig(GaussianConfig):
    """A normal distribution a component, in the normalised space; actions are clipped to bounds."""

    type: Literal["diag_gaussian"] = "diag_gaussian"

    def refusal(self, space: gym.Space) -> str | None:
        if is_real(space):
            return None
        return f"`diag_gaussian` acts in a Box of floats, not {describe(space)}"

    def bind(self, space: gym.Space) -> ActionDistribution:
        return DiagGaussianDistribution.for_space(space)


class DiagGaussian(ActionDistribution):
    """Completes means by a free log-std, or clips the one the policy gives."""

    log_std: nn.Parameter | None

    def __init__(
        self,
        *,
        bound: ActionDistribution,
        free_log_std: bool,
        log_std_init: float,
        log_std_min: float,
        log_std_max: float,
    ) -> None:
        super().__init__()
        self.bound = bound
        self.inputs_dim = bound.inputs_dim
        self.dim = bound.inputs_dim // 2
        self.in_dim = self.dim if free_log_std else 2 * self.dim
        self.log_std_init, self.log_std_min, self.log_std_max = (
            log_std_init,
            log_std_min,
            log_std_max,
        )
        free = nn.Parameter(torch.full((self.dim,), log_std_init)) if free_log_std else None
        self.register_parameter("log_std", free)

    def inputs(self, outputs: Tensor) -> Tensor:
        """Means ‖ log-stds, `(*B, 2A)`."""
        if self.log_std is not None:
            log_std = self.log_std.clamp(self.log_std_min, self.log_std_max)
            return torch.cat([outputs, log_std.expand_as(outputs)], -1)
        mean, log_std = outputs.split(self.dim, -1)
        log_std = (log_std + self.log_std_init).clamp(self.log_std_min, self.log_std_max)
        return torch.cat([mean, log_std], -1)

    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        self.require_width(inputs)
        return self.bound(inputs, mask)


class DiagGaussianDistribution(Distribution):
    """Inputs are means ‖ log-stds `(*B, 2A)`; actions are `(*B, *shape)` floats, unclipped."""

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Nested = None) -> None:
        super().__init__(inputs, action_map, mask)
        self.mean, self.log_std = inputs.chunk(2, -1)  # (*B, A) each

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        return 2 * flat_dim(space)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        with torch.no_grad():
            return self.rsample(generator)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        """As `sample`, with the gradient of mean and std."""
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self._shaped(self.mean + noise * self.log_std.exp())

    def deterministic(self) -> Tensor:
        """The mean."""
        return self._shaped(self.mean)

    def log_prob(self, actions: Tensor) -> Tensor:
        """actions: `(*B, *shape)` floats in the normalised space."""
        z = (self._flat(actions) - self.mean) * (-self.log_std).exp()
        return (-0.5 * (z * z + LOG_2PI) - self.log_std).sum(-1)

    def entropy(self) -> Tensor:
        return (self.log_std + 0.5 * (1 + LOG_2PI)).sum(-1)

    def kl(self, other: Any) -> Tensor:
        ratio = (2 * (self.log_std - other.log_std)).exp()
        shift = ((self.mean - other.mean) * (-other.log_std).exp()).square()
        return (0.5 * (ratio + shift - 1) + other.log_std - self.log_std).sum(-1)
