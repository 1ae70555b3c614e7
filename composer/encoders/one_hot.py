"""`one_hot`: Discrete, MultiDiscrete and MultiBinary observations."""

from typing import Literal

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor, nn

from composer.encoders._choices import positions
from composer.encoders.base import EncoderConfig
from composer.layers import HiddenLayers
from composer.spaces import describe, flat_dim


class OneHotEncoderConfig(HiddenLayers, EncoderConfig):
    """A one-hot vector for each component, concatenated, through linear layers."""

    type: Literal["one_hot"] = "one_hot"

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
            return None
        return f"`one_hot` takes Discrete, MultiDiscrete or MultiBinary, not {describe(space)}"

    def out_dim(self, space: gym.Space) -> int:
        return self.width(flat_dim(space))

    def build(self, space: gym.Space) -> nn.Module:
        width = flat_dim(space)
        layers = self.stack(width)
        if isinstance(space, spaces.MultiBinary):
            return BitsEncoder(rank=len(space.shape or ()), layers=layers)
        return OneHotEncoder(positions=positions(space), width=width, layers=layers)


class OneHotEncoder(nn.Module):
    """A one at the position of each component's choice."""

    def __init__(self, *, positions: nn.Module, width: int, layers: nn.Module) -> None:
        super().__init__()
        self.positions = positions
        self.width = width
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, *shape)` integers → `(*B, F)` float32."""
        index = self.positions(obs)  # (*B, components)
        hot = torch.zeros(*index.shape[:-1], self.width, device=index.device)
        return self.layers(hot.scatter_(-1, index, 1.0))


class BitsEncoder(nn.Module):
    """Bits are taken as they are."""

    def __init__(self, *, rank: int, layers: nn.Module) -> None:
        super().__init__()
        self.rank = rank
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, *shape)` of 0 and 1 → `(*B, F)` float32."""
        return self.layers(obs.flatten(-self.rank).float())
