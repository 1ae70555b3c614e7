"""`one_hot`: Discrete, MultiDiscrete and MultiBinary observations."""

from typing import Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

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

    def build(self, space: gym.Space) -> "OneHotEncoder":
        layers = self.stack(flat_dim(space))
        if isinstance(space, spaces.MultiBinary):
            return OneHotEncoder(
                counts=None, start=None, rank=len(space.shape or ()), layers=layers
            )
        assert isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
        counts = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n
        return OneHotEncoder(
            counts=np.asarray(counts).ravel().tolist(),
            start=np.asarray(space.start).ravel().tolist(),
            rank=len(space.shape or ()),
            layers=layers,
        )


class OneHotEncoder(nn.Module):
    """Counts from each component's start; bits (`counts` None) are taken as they are."""

    offset: Tensor | None

    def __init__(
        self,
        *,
        counts: list[int] | None,
        start: list[int] | None,
        rank: int,
        layers: nn.Module,
    ) -> None:
        super().__init__()
        self.rank = rank
        self.width = sum(counts) if counts else 0
        offset = None
        if counts is not None:
            first = torch.tensor([0, *counts[:-1]]).cumsum(0)
            offset = first - torch.tensor(start)
        self.register_buffer("offset", offset, persistent=False)
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, *shape)` integers → `(*B, F)` float32."""
        x = obs.flatten(-self.rank) if self.rank else obs.unsqueeze(-1)
        if self.offset is None:
            return self.layers(x.float())
        index = x.long() + self.offset  # (*B, components), positions in the concatenation
        hot = torch.zeros(*index.shape[:-1], self.width, device=index.device)
        return self.layers(hot.scatter_(-1, index, 1.0))
