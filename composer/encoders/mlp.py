"""`mlp`: a Box of any rank, flattened, through linear layers."""

from typing import Literal, Self

import gymnasium as gym
from torch import Tensor, nn

from composer.encoders._scaling import ScaledConfig
from composer.layers import HiddenLayers
from composer.spaces import describe, flat_dim


class MLPEncoderConfig(ScaledConfig, HiddenLayers):
    """Linear layers over the flattened observation; bounded integers are scaled to [0, 1]."""

    type: Literal["mlp"] = "mlp"

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, gym.spaces.Box):
            return None
        return f"`mlp` takes a Box, not {describe(space)}"

    def resolve(self, space: gym.Space) -> Self:
        assert isinstance(space, gym.spaces.Box)
        return self.with_scaling(space)

    def out_dim(self, space: gym.Space) -> int:
        return self.width(flat_dim(space))

    def build(self, space: gym.Space) -> "MLPEncoder":
        assert isinstance(space, gym.spaces.Box)
        return MLPEncoder(
            rank=len(space.shape),
            scaling=self.scaler(space),
            layers=self.stack(flat_dim(space)),
        )


class MLPEncoder(nn.Module):
    """Scales, flattens and applies the layers."""

    def __init__(self, *, rank: int, scaling: nn.Module, layers: nn.Module) -> None:
        super().__init__()
        self.rank = rank
        self.scaling = scaling
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, *shape)` of the space's dtype → `(*B, F)` float32."""
        x = self.scaling(obs)
        if self.rank != 1:
            x = x.flatten(-self.rank) if self.rank else x.unsqueeze(-1)
        return self.layers(x)
