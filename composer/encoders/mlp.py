"""`mlp`: a Box of any rank, flattened, through linear layers."""

from typing import Literal

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from composer.encoders.base import EncoderConfig
from composer.layers import HiddenLayers
from composer.spaces import describe, flat_dim


class MLPEncoderConfig(HiddenLayers, EncoderConfig):
    """Linear layers over the flattened observation; bounded integers are scaled to [0, 1]."""

    type: Literal["mlp"] = "mlp"

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, gym.spaces.Box):
            return None
        return f"`mlp` takes a Box, not {describe(space)}"

    def out_dim(self, space: gym.Space) -> int:
        return self.width(flat_dim(space))

    def build(self, space: gym.Space) -> "MLPEncoder":
        assert isinstance(space, gym.spaces.Box)
        low, high = _integer_range(space)
        return MLPEncoder(
            rank=len(space.shape), low=low, high=high, layers=self.stack(flat_dim(space))
        )


def _integer_range(space: gym.spaces.Box) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """The bounds of integers, [0, 1] where there are none, so that those stay as they are.

    Gymnasium writes "no bound" of an integer as the end of its type.
    """
    if not np.issubdtype(space.dtype, np.integer):
        return None, None
    ends = np.iinfo(space.dtype.name)
    wide = ends.bits > 16
    free = wide & ((space.high == ends.max) | ((space.low == ends.min) & (ends.min < 0)))
    bounds = (np.where(free, 0, space.low), np.where(free, 1, space.high))
    low, high = (torch.as_tensor(bound.astype(np.float32)) for bound in bounds)
    return low, high


class MLPEncoder(nn.Module):
    """Flattens, scales integers by their bounds, and applies the layers."""

    low: Tensor | None
    span: Tensor | None

    def __init__(
        self, *, rank: int, low: Tensor | None, high: Tensor | None, layers: nn.Module
    ) -> None:
        super().__init__()
        self.rank = rank
        self.register_buffer("low", low, persistent=False)
        span = None if low is None or high is None else (high - low).clamp(min=1.0)
        self.register_buffer("span", span, persistent=False)
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, *shape)` of the space's dtype → `(*B, F)` float32."""
        x = obs.float()
        if self.low is not None and self.span is not None:
            x = (x - self.low) / self.span
        if self.rank != 1:
            x = x.flatten(-self.rank) if self.rank else x.unsqueeze(-1)
        return self.layers(x)
