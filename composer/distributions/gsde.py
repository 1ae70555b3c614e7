"""`gsde`: generalised state-dependent exploration (Raffin et al., 2021, arXiv:2005.05719)."""

from typing import Annotated, Literal

import gymnasium as gym
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from composer.config import Size
from composer.distributions.base import (
    ActionDistribution,
    ActionMap,
    Distribution,
    DistributionConfig,
)
from composer.distributions.diag_gaussian import DiagGaussianDistribution
from composer.noisy import HoldsNoise
from composer.spaces import Nested, describe, flat_dim, is_real

EPSILON = 1e-6
"""Added to variances, as in stable-baselines3."""


class GSDEConfig(DistributionConfig):
    """Noise that is a function of the state, the same one for many steps: smooth exploration."""

    type: Literal["gsde"] = "gsde"
    latent_dim: Size = 64
    """Width of z, which the noise is a function of."""
    log_std_init: Annotated[float, Field(ge=-20.0, le=2.0)] = 0.0
    """Where the log-std of an action starts, in nats of the normalised space."""
    resample_every: Size | None = None
    """Steps after which the noise is drawn anew, besides at the start of each rollout."""

    def refusal(self, space: gym.Space) -> str | None:
        if is_real(space):
            return None
        return f"`gsde` acts in a Box of floats, not {describe(space)}"

    def in_dim(self, space: gym.Space) -> int:
        return flat_dim(space) + self.latent_dim

    def build(self, space: gym.Space) -> "GSDE":
        return GSDE(
            bound=self.bind(space),
            action_dim=flat_dim(space),
            latent_dim=self.latent_dim,
            log_std_init=self.log_std_init,
            resample_every=self.resample_every,
        )

    def bind(self, space: gym.Space) -> ActionDistribution:
        return GSDEDistribution.for_space(space)


class GSDE(ActionDistribution, HoldsNoise):
    """Completes means ‖ z, `(*B, A + L)`: an action is the mean and zᵀε, ε ~ N(0, σ²) `(L, A)`.

    ε is held until it is drawn anew; before it is drawn for the first time, each sample has an ε of
    its own. As in stable-baselines3, noise trains σ and not z. Beyond the paper, z is scaled to
    length 1, so that the log-std starts at `log_std_init` whatever the policy's output layer is.
    """

    noise: Tensor
    """The ε for any batch but one of the environments; zeros where none was drawn."""
    noises: Tensor
    """An ε for each environment, `(N, L, A)`."""

    def __init__(
        self,
        *,
        bound: ActionDistribution,
        action_dim: int,
        latent_dim: int,
        log_std_init: float,
        resample_every: int | None,
    ) -> None:
        super().__init__()
        self.bound = bound
        self.inputs_dim = bound.inputs_dim
        self.in_dim = action_dim + latent_dim
        self.sizes = action_dim, latent_dim
        self.resample_every = resample_every
        self.log_std = nn.Parameter(torch.full((latent_dim, action_dim), log_std_init))
        self.register_buffer("noise", torch.zeros(latent_dim, action_dim))
        self.register_buffer("noises", torch.zeros(0, latent_dim, action_dim), persistent=False)

    def resample_noise(self, step: int, num_envs: int, generator: torch.Generator | None) -> None:
        """At the first step, and then as often as is said."""
        every = self.resample_every
        if step == 0 or (every is not None and step % every == 0):
            std = self.log_std.detach().exp()
            drawn = std.new_empty((num_envs, *std.shape)).normal_(generator=generator)
            self.noises = std * drawn
            self.noise.copy_(self.noises[0])

    def inputs(self, outputs: Tensor) -> Tensor:
        """Means ‖ log-stds ‖ zᵀε ‖ whether ε is held, `(*B, 3A + 1)`."""
        mean, z = outputs.split(self.sizes, -1)
        z = normalize(z.detach(), dim=-1)
        log_std = 0.5 * (z.square() @ (2 * self.log_std).exp() + EPSILON).log()
        if z.shape[:-1] == self.noises.shape[:1]:
            perturbation = torch.einsum("nl,nla->na", z, self.noises)
        else:
            perturbation = z @ self.noise
        held = self.noise.any().to(mean.dtype).expand(*mean.shape[:-1], 1)
        return torch.cat([mean, log_std, perturbation, held], -1)

    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        self.require_width(inputs)
        return self.bound(inputs, mask)


class GSDEDistribution(Distribution):
    """Inputs are means ‖ log-stds ‖ perturbations ‖ whether these are held, `(*B, 3A + 1)`.

    Where a perturbation is held, the sample is the mean and it. Densities are those of an action
    whose noise is not known: normal, with a standard deviation of √(z²·σ²) (eq. 8).
    """

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Nested = None) -> None:
        super().__init__(inputs, action_map, mask)
        dim = inputs.shape[-1] // 3
        self.base = DiagGaussianDistribution(inputs[..., : 2 * dim], action_map)
        self.perturbation, self.held = inputs[..., 2 * dim : -1], inputs[..., -1:]

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        return 3 * flat_dim(space) + 1

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        held = self._shaped((self.base.mean + self.perturbation).detach())
        fresh = self.base.sample(generator)
        is_held = self.held.reshape(self.held.shape[:-1] + (1,) * len(self.shape)).bool()
        return torch.where(is_held, held, fresh)

    def deterministic(self) -> Tensor:
        """The mean."""
        return self.base.deterministic()

    def log_prob(self, actions: Tensor) -> Tensor:
        """actions: `(*B, *shape)` floats in the normalised space."""
        return self.base.log_prob(actions)

    def entropy(self) -> Tensor:
        return self.base.entropy()

    def kl(self, other: "GSDEDistribution") -> Tensor:
        return self.base.kl(other.base)
