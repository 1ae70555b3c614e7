"""`residual_mlp`: a Box of any rank, flattened, through residual blocks."""

from typing import Literal, Self

import gymnasium as gym
from torch import nn

from composer.config import Size
from composer.encoders._scaling import ScaledConfig
from composer.encoders.mlp import MLPEncoder
from composer.layers import (
    ACTIVATIONS,
    ZEROS,
    Activation,
    BiasInitializer,
    Initializer,
    KernelInitializer,
    Residual,
    linear,
    orthogonal,
)
from composer.spaces import describe, flat_dim


class ResidualMLPEncoderConfig(ScaledConfig):
    """Pre-norm residual blocks, as SimBa's (Lee et al., 2024, arXiv:2410.09754, section 4).

    A linear layer, the blocks, and a layer norm. A block adds to its input what two linear layers
    make of its layer norm. SimBa also normalises the observation by running statistics: that is
    `norm: running`.
    """

    type: Literal["residual_mlp"] = "residual_mlp"
    features: Size = 128
    """Width between the blocks, and of what leaves."""
    blocks: Size = 2
    expansion: Size = 4
    """Width inside a block, in multiples of `features`."""
    activation: Activation = "relu"
    input_initializer: KernelInitializer | None = orthogonal(1.0)
    """Of the first layer."""
    kernel_initializer: KernelInitializer | None = Initializer(type="kaiming_normal")
    bias_initializer: BiasInitializer | None = ZEROS

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, gym.spaces.Box):
            return None
        return f"`residual_mlp` takes a Box, not {describe(space)}"

    def resolve(self, space: gym.Space) -> Self:
        assert isinstance(space, gym.spaces.Box)
        return self.with_scaling(space)

    def out_dim(self, space: gym.Space) -> int:
        return self.features

    def build(self, space: gym.Space) -> MLPEncoder:
        assert isinstance(space, gym.spaces.Box)
        bias = self.bias_initializer
        return MLPEncoder(
            rank=len(space.shape),
            scaling=self.scaler(space),
            layers=nn.Sequential(
                linear(flat_dim(space), self.features, self.input_initializer, bias),
                *(self._block() for _ in range(self.blocks)),
                nn.LayerNorm(self.features),
            ),
        )

    def _block(self) -> Residual:
        narrow, wide = self.features, self.features * self.expansion
        kernel, bias = self.kernel_initializer, self.bias_initializer
        return Residual(
            nn.LayerNorm(narrow),
            linear(narrow, wide, kernel, bias),
            ACTIVATIONS[self.activation](),
            linear(wide, narrow, kernel, bias),
        )
