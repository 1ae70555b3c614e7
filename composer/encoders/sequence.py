"""`sequence`: Sequence observations, one encoder for all elements, pooled."""

from collections.abc import Mapping
from typing import Literal

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor, nn

from composer.encoders._composite import CompositeEncoderConfig
from composer.encoders._packing import packed, scattered, within
from composer.encoders._pooled import PooledLayers
from composer.spaces import Nested, describe


class SequenceEncoderConfig(PooledLayers, CompositeEncoderConfig):
    """Elements through the encoder `element`, then with their places through linear layers, pooled.

    The order of the elements makes a difference; with `positions: 0` they are a set.
    """

    type: Literal["sequence"] = "sequence"

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Sequence):
            return None
        return f"`sequence` takes a Sequence, not {describe(space)}"

    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        assert isinstance(space, spaces.Sequence)
        return {"element": space.feature_space}

    def joined_dim(self, space: gym.Space, widths: Mapping[str, int]) -> int:
        return self.pooled_dim(widths["element"])

    def join(
        self, space: gym.Space, parts: Mapping[str, nn.Module], widths: Mapping[str, int]
    ) -> "SequenceEncoder":
        return SequenceEncoder(**parts, pooled=self.pooled(widths["element"]))


class SequenceEncoder(nn.Module):
    """Encodes the valid elements of all sequences in one batch, and pools those of each."""

    def __init__(self, *, element: nn.Module, pooled: nn.Module) -> None:
        super().__init__()
        self.element = element
        self.pooled = pooled

    def forward(self, obs: Nested) -> Tensor:
        """obs: `{"values": each leaf (*B, L, …), "lengths": (*B,)}` → `(*B, F)` float32.

        A sequence of no elements is pooled to zeros.
        """
        mask = within(obs["lengths"], obs["values"])
        features = self.element(packed(obs["values"], mask))  # (M, F)
        return self.pooled(scattered(features, mask), mask)
