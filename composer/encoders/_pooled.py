"""Elements that stand in an order: each through linear layers, pooled, and through further ones."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from composer.config import Listed, Size
from composer.encoders._pooling import MeanPoolingConfig, PoolingConfig
from composer.layers import HiddenLayers


class PooledLayers(HiddenLayers):
    """How the features of a row of elements become those of the whole."""

    positions: Annotated[int, Field(ge=0)] = 16
    """Features that tell an element its place, sinusoids of wavelengths from 2π to 10 000 · 2π
    (Vaswani et al., 2017, section 3.5). They stand beside the element's own, where the paper adds
    them. With 0 only `pool: gru` knows the order."""
    element_hidden: Listed[Size] = (64,)
    """Linear layers over each element; `activation`, norm and initializers are those of `hidden`.
    Without any, the mean of elements and places has no trace of which stood where."""
    pool: PoolingConfig = MeanPoolingConfig()
    """How many elements become one: `mean`, `max`, `sum`, `attention` or `gru`."""
    hidden: Listed[Size] = (64,)
    """Linear layers behind the pooling."""

    def pooled_dim(self, in_dim: int) -> int:
        """Features that leave, from those of an element."""
        return self.width(self._element_dim(in_dim))

    def pooled(self, in_dim: int) -> "Pooled":
        """`(*B, L, in_dim)` and which are valid → `(*B, pooled_dim)`."""
        features = self._element_dim(in_dim)
        return Pooled(
            positions=self.positions,
            elements=self.stack(in_dim + self.positions, self.element_hidden),
            pooling=self.pool.build(features),
            layers=self.stack(features),
        )

    def _element_dim(self, in_dim: int) -> int:
        return self.width(in_dim + self.positions, self.element_hidden)


class Pooled(nn.Module):
    """Tells elements their places, applies layers to each, pools them and applies further layers.

    Args:
        positions: Features P of a place.
        elements: `(*B, L, F + P)` → `(*B, L, E)`.
        pooling: `(*B, L, E)`, `(*B, L)` bool → `(*B, E)`.
        layers: `(*B, E)` → `(*B, G)`.
    """

    def __init__(
        self, *, positions: int, elements: nn.Module, pooling: nn.Module, layers: nn.Module
    ) -> None:
        super().__init__()
        self.positions = positions
        self.elements = elements
        self.pooling = pooling
        self.layers = layers

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """values: `(*B, L, F)` float; mask: `(*B, L)` bool, True of the valid ones → `(*B, G)`."""
        places = sinusoids(values.shape[-2], self.positions, values.device)
        places = places.expand(*values.shape[:-1], self.positions)
        x = self.elements(torch.cat((values, places), -1))
        return self.layers(self.pooling(x, mask))


def sinusoids(length: int, size: int, device: torch.device) -> Tensor:
    """Features of the places 0, 1, … of a row: `(length, size)`, sines and cosines in turn."""
    halves = torch.arange((size + 1) // 2, device=device)
    rates = torch.exp(-math.log(10_000) * 2 * halves / max(1, size))
    angles = torch.arange(length, device=device).unsqueeze(-1) * rates  # (length, halves)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)[:, :size]
