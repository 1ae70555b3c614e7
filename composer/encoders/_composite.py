"""What encoders of composite spaces share: a child for each space inside, and what joins them."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated

import gymnasium as gym
import torch
from pydantic import BeforeValidator
from torch import Tensor, nn

from composer.composites import Composite, by_index, part_names
from composer.config import AutoOr, Frozen, FrozenDict, Listed, Size
from composer.encoders._combine import CombinerConfig, ConcatConfig
from composer.encoders.base import EncoderConfig
from composer.layers import HiddenLayers
from composer.spaces import Nested, leading_axes

Indexed = Annotated[
    Frozen[AutoOr[EncoderConfig]],
    BeforeValidator(
        by_index,
        json_schema_input_type=Frozen[AutoOr[EncoderConfig]] | Listed[AutoOr[EncoderConfig]],
    ),
]
"""Children by index, or as a list."""


class CompositeEncoderConfig(Composite, EncoderConfig):
    """An encoder that consists of encoders, and of what joins their features."""

    children: Frozen[AutoOr[EncoderConfig]] = FrozenDict()

    @abstractmethod
    def joined_dim(self, space: gym.Space, widths: Mapping[str, int]) -> int:
        """Features F, from those of the children."""

    @abstractmethod
    def join(
        self, space: gym.Space, parts: Mapping[str, nn.Module], widths: Mapping[str, int]
    ) -> nn.Module:
        """The whole encoder, around its children as they are built."""

    def out_dim(self, space: gym.Space) -> int:
        return self.joined_dim(space, self._widths(space))

    def build(self, space: gym.Space) -> nn.Module:
        inner = self.child_spaces(space)
        parts = {key: self._child(key).build(child) for key, child in inner.items()}
        return self.join(space, parts, self._widths(space))

    def _widths(self, space: gym.Space) -> dict[str, int]:
        inner = self.child_spaces(space)
        return {key: self._child(key).out_dim(child) for key, child in inner.items()}

    def _child(self, key: str) -> EncoderConfig:
        child = self.children[key]
        assert isinstance(child, EncoderConfig)
        return child


class KeyedEncoderConfig(CompositeEncoderConfig, HiddenLayers):
    """The children's features, combined, then through linear layers."""

    combine: CombinerConfig = ConcatConfig()
    """How the children's features become one vector."""
    hidden: Listed[Size] = ()

    def joined_dim(self, space: gym.Space, widths: Mapping[str, int]) -> int:
        return self.width(self.combine.out_dim(list(widths.values())))

    def join(
        self, space: gym.Space, parts: Mapping[str, nn.Module], widths: Mapping[str, int]
    ) -> "KeyedEncoder":
        sizes = list(widths.values())
        is_tuple = isinstance(space, gym.spaces.Tuple)
        return KeyedEncoder(
            parts=parts,
            keys=tuple(int(key) if is_tuple else key for key in parts),
            combiner=self.combine.build(sizes),
            layers=self.stack(self.combine.out_dim(sizes)),
        )


class KeyedEncoder(nn.Module):
    """Encodes the entries of a dict or a tuple, each by a part under its own name."""

    def __init__(
        self,
        *,
        parts: Mapping[str, nn.Module],
        keys: tuple[str | int, ...],
        combiner: nn.Module,
        layers: nn.Module,
    ) -> None:
        super().__init__()
        self._combiner = combiner
        self._layers = layers
        names = part_names(parts)
        self._names_of = dict(zip(names.values(), keys, strict=True))
        for key, part in parts.items():
            self.add_module(names[key], part)

    def forward(self, obs: Nested) -> Tensor:
        """obs: a dict or a tuple of observations, `(*B, …)` each → `(*B, F)` float32."""
        parts = self._modules
        features = [parts[name](obs[key]) for name, key in self._names_of.items()]  # pyright: ignore[reportOptionalCall]
        return self._layers(self._combiner(features))


class FeaturesOf(nn.Module):
    """Stands for an encoder where only the shape of what it gives matters."""

    def __init__(self, *, space: gym.Space, width: int) -> None:
        super().__init__()
        self.space = space
        self.width = width

    def forward(self, obs: Nested) -> Tensor:
        """obs: `(*B, …)` → zeros `(*B, width)`."""
        return torch.zeros(*leading_axes(self.space, obs), self.width)
