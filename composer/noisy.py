"""Noise that parts of a module hold: drawn for exploration, absent from inference."""

from typing import cast

import torch
from torch import Tensor, nn


class HoldsNoise:
    """A part of a module that holds noise until it is drawn anew."""

    def resample_noise(self, step: int, num_envs: int, generator: torch.Generator | None) -> None:
        """Draws the noise anew where it is due.

        Args:
            step: Of a rollout, from 0; or of an evaluation.
            num_envs: Rows of the batches that follow, each with noise of its own.
            generator: What it is drawn from; torch's global one by default.
        """
        raise NotImplementedError


class NoisyLinear(nn.Module, HoldsNoise):
    """A linear layer whose weights are noisy, by factorised Gaussian noise.

    Fortunato et al., 2018 (arXiv:1706.10295), equations 9 to 11: the weights are μ + σ ⊙ ε with
    ε = f(ε_out) f(ε_in)ᵀ and f(x) = sign(x) √|x|; those of the bias are μ + σ ⊙ f(ε_out).

    Args:
        linear: What holds the means, as it was initialised.
        sigma: σ is this over √(inputs) at first.
    """

    inner: Tensor
    """f(ε_in), `(rows, in)`: a row for each of the batch, or one for all; zeros before a draw."""
    outer: Tensor
    """f(ε_out), `(rows, out)`."""

    def __init__(self, linear: nn.Linear, sigma: float) -> None:
        super().__init__()
        first = sigma / linear.in_features**0.5
        self.weight = linear.weight
        self.bias = linear.bias
        self.weight_sigma = nn.Parameter(torch.full_like(linear.weight, first))
        self.bias_sigma = nn.Parameter(torch.full_like(linear.bias, first))
        self.register_buffer("inner", torch.zeros(1, linear.in_features), persistent=False)
        self.register_buffer("outer", torch.zeros(1, linear.out_features), persistent=False)

    def resample_noise(self, step: int, num_envs: int, generator: torch.Generator | None) -> None:
        """At every step."""
        self.inner = _factor(self.inner, num_envs, generator)
        self.outer = _factor(self.outer, num_envs, generator)

    def forward(self, features: Tensor, noisy: bool) -> Tensor:
        """features: `(*B, in)` → `(*B, out)`; without noise by the means alone."""
        means = nn.functional.linear(features, self.weight, self.bias)
        if not noisy:
            return means
        inner, outer = self.inner, self.outer
        if features.dim() != 2 or len(inner) != len(features):  # not the batch it was drawn for
            inner, outer = inner[0], outer[0]
        return means + outer * nn.functional.linear(
            features * inner, self.weight_sigma, self.bias_sigma
        )


class Stack(nn.Sequential):
    """Layers one after the other, some of them noisy."""

    def forward(self, input: Tensor, noisy: bool = False) -> Tensor:
        """input: `(*B, in)` → `(*B, out)`."""
        for layer in self:
            input = layer(input, noisy) if isinstance(layer, NoisyLinear) else layer(input)
        return input


def stack(layers: nn.Sequential, sigma: float | None) -> Stack:
    """The same layers, the linear ones noisy where there is a sigma."""
    made = list(layers)
    if sigma is not None:
        made = [NoisyLinear(each, sigma) if isinstance(each, nn.Linear) else each for each in made]
    return Stack(*made)


def held_noise(module: nn.Module) -> list[HoldsNoise]:
    """The parts of a module that hold noise."""
    return [cast("HoldsNoise", part) for part in module.modules() if isinstance(part, HoldsNoise)]


def _factor(like: Tensor, rows: int, generator: torch.Generator | None) -> Tensor:
    drawn = like.new_empty((rows, like.shape[-1])).normal_(generator=generator)
    return drawn.sign() * drawn.abs().sqrt()
