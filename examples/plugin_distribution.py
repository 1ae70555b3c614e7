"""A distribution of your own, in one file. Nothing of Composer is edited.

    composer train env=pendulum plugins=[plugin_distribution] model/distribution=laplace

from the directory of this file; or installed, with an entry point in the group
`composer.plugins`, without naming it at all.
"""

import math
from typing import Any, Literal

import gymnasium as gym
import torch
from torch import Tensor

from composer.distributions.base import (
    ActionDistribution,
    ActionMap,
    Distribution,
    DistributionConfig,
)
from composer.spaces import Nested, describe, flat_dim, is_real

LOG_2 = math.log(2)


class LaplaceConfig(DistributionConfig):
    """A Laplace distribution a component: more often near its mean and far away than a normal."""

    type: Literal["laplace"] = "laplace"

    def refusal(self, space: gym.Space) -> str | None:
        if is_real(space):
            return None
        return f"`laplace` acts in a Box of floats, not {describe(space)}"

    def in_dim(self, space: gym.Space) -> int:
        return LaplaceDistribution.required_input_dim(space)

    def build(self, space: gym.Space) -> ActionDistribution:
        return self.bind(space)

    def bind(self, space: gym.Space) -> ActionDistribution:
        return LaplaceDistribution.for_space(space)


class LaplaceDistribution(Distribution):
    """Inputs are means and the logarithms of scales, `(*B, 2A)`.

    Bounds of the space are [-1, 1] here; what lies beyond them is clipped for the environment.
    """

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Nested = None) -> None:
        super().__init__(inputs, action_map, mask)
        self.mean, self.log_scale = inputs.chunk(2, -1)  # (*B, A) each
        self.scale = self.log_scale.exp()

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        return 2 * flat_dim(space)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """By the inverse of the distribution function."""
        mean = self.mean.detach()
        uniform = torch.rand(mean.shape, generator=generator, device=mean.device) - 0.5
        far = torch.log1p(-2 * uniform.abs()) * uniform.sign()
        return self._shaped(mean - self.scale.detach() * far)

    def deterministic(self) -> Tensor:
        return self._shaped(self.mean)

    def log_prob(self, actions: Tensor) -> Tensor:
        """actions: `(*B, *shape)` floats in the normalised space."""
        far = (self._flat(actions) - self.mean).abs() / self.scale
        return (-far - self.log_scale - LOG_2).sum(-1)

    def entropy(self) -> Tensor:
        return (1 + LOG_2 + self.log_scale).sum(-1)

    def kl(self, other: Any) -> Tensor:
        far = (self.mean - other.mean).abs()
        mine = self.scale * torch.exp(-far / self.scale) + far
        return (mine / other.scale + other.log_scale - self.log_scale - 1).sum(-1)


def main() -> None:
    """Shows the model that `model/distribution=laplace` gives."""
    from composer import Experiment

    print(Experiment.load(["env=pendulum", "model/distribution=laplace"]).blueprint.explain())


if __name__ == "__main__":
    main()
