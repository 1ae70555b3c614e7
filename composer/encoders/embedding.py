"""`embedding`: Discrete and MultiDiscrete observations with many choices."""

from typing import Literal, Self

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor, nn

from composer.config import Auto, AutoOr, Size
from composer.encoders._choices import counts, positions
from composer.encoders.base import EncoderConfig
from composer.layers import HiddenLayers
from composer.spaces import describe, flat_dim


class EmbeddingEncoderConfig(HiddenLayers, EncoderConfig):
    """A learnt vector for each choice of each component, then linear layers."""

    type: Literal["embedding"] = "embedding"
    size: AutoOr[Size] = Auto()
    """Width of a vector; `auto` is min(600, 1.6 · n^0.56) of the component with most choices, the
    rule of fastai's tabular models (Howard and Gugger, 2020)."""
    combine: Literal["concat", "sum"] = "concat"
    """How the vectors of several components become one."""

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            return None
        return f"`embedding` takes Discrete or MultiDiscrete, not {describe(space)}"

    def resolve(self, space: gym.Space) -> Self:
        if not isinstance(self.size, Auto):
            return self
        size = min(600, round(1.6 * max(counts(space)) ** 0.56))
        return self.model_copy(update={"size": size})

    def out_dim(self, space: gym.Space) -> int:
        return self.width(self._combined(space))

    def _combined(self, space: gym.Space) -> int:
        assert not isinstance(self.size, Auto)
        return self.size * (len(counts(space)) if self.combine == "concat" else 1)

    def build(self, space: gym.Space) -> "EmbeddingEncoder":
        assert not isinstance(self.size, Auto)
        return EmbeddingEncoder(
            positions=positions(space),
            table=nn.Embedding(flat_dim(space), self.size),
            sums=self.combine == "sum",
            layers=self.stack(self._combined(space)),
        )


class EmbeddingEncoder(nn.Module):
    """Looks up a row for each component; the tables of all components lie in one."""

    def __init__(
        self, *, positions: nn.Module, table: nn.Module, sums: bool, layers: nn.Module
    ) -> None:
        super().__init__()
        self.positions = positions
        self.table = table
        self.sums = sums
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, *shape)` integers → `(*B, F)` float32."""
        rows = self.table(self.positions(obs))  # (*B, components, size)
        return self.layers(rows.sum(-2) if self.sums else rows.flatten(-2))
