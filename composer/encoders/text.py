"""`text`: texts, a learnt vector for each character, pooled."""

from typing import Literal

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor, nn

from composer.config import Size
from composer.encoders._packing import within
from composer.encoders._pooled import PooledLayers
from composer.encoders.base import EncoderConfig
from composer.spaces import Nested, describe


class TextEncoderConfig(PooledLayers, EncoderConfig):
    """A learnt vector for each character, and its place, through linear layers and pooled.

    Places are told because the mean of characters alone is the same of "on" and "no".
    """

    type: Literal["text"] = "text"
    size: Size = 32
    """Width of a character's vector."""

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Text):
            return None
        return f"`text` takes a Text, not {describe(space)}"

    def out_dim(self, space: gym.Space) -> int:
        return self.pooled_dim(self.size)

    def build(self, space: gym.Space) -> "TextEncoder":
        assert isinstance(space, spaces.Text)
        return TextEncoder(
            table=nn.Embedding(len(space.character_set), self.size), pooled=self.pooled(self.size)
        )


class TextEncoder(nn.Module):
    """Looks up a row for each character, and pools them."""

    def __init__(self, *, table: nn.Module, pooled: nn.Module) -> None:
        super().__init__()
        self.table = table
        self.pooled = pooled

    def forward(self, obs: Nested) -> Tensor:
        """obs: `{"values": (*B, L), "lengths": (*B,)}` integers → `(*B, F)` float32.

        A text of no characters is pooled to zeros.
        """
        values = obs["values"]
        return self.pooled(self.table(values), within(obs["lengths"], values))
