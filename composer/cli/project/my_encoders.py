"""An encoder of your own. Others may stand beside it in this file."""

from typing import Literal

import gymnasium as gym
import torch
from torch import Tensor, nn

from composer.encoders.base import EncoderConfig
from composer.layers import HiddenLayers
from composer.spaces import describe


class SymlogEncoderConfig(HiddenLayers, EncoderConfig):
    """Large numbers are squashed (Hafner et al., 2023, eq. 9), then linear layers."""

    type: Literal["symlog"] = "symlog"
    scale: float = 1.0
    """What the observation is multiplied by before it is squashed."""

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
            return None
        return f"`symlog` takes a vector, a Box of rank 1, not {describe(space)}"

    def out_dim(self, space: gym.Space) -> int:
        return self.width(gym.spaces.flatdim(space))

    def build(self, space: gym.Space) -> "SymlogEncoder":
        return SymlogEncoder(scale=self.scale, layers=self.stack(gym.spaces.flatdim(space)))


class SymlogEncoder(nn.Module):
    """sign(x) · log(1 + |x|), then the layers."""

    def __init__(self, *, scale: float, layers: nn.Module) -> None:
        super().__init__()
        self.scale = scale
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, D)` → `(*B, F)` float32."""
        x = self.scale * obs.float()
        return self.layers(torch.sign(x) * torch.log1p(x.abs()))
