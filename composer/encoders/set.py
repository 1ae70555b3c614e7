"""`set`: a matrix whose rows are elements in no order."""

from typing import Annotated, Literal, Self

import gymnasium as gym
from gymnasium import spaces
from pydantic import AfterValidator
from torch import Tensor, nn

from composer.config import Listed, Size
from composer.encoders._pooling import MeanPoolingConfig, PoolingConfig
from composer.encoders._scaling import ScaledConfig
from composer.layers import HiddenLayers
from composer.problems import invalid_value
from composer.spaces import describe


def _without_order(pool: PoolingConfig) -> PoolingConfig:
    if not pool.keeps_order:
        return pool
    tags = [tag for tag in PoolingConfig.tags() if not PoolingConfig.members[tag].keeps_order]
    raise invalid_value(f"a set has no order, and `{pool.type}` goes by it", tags)


class SetEncoderConfig(ScaledConfig, HiddenLayers):
    """Each row of a Box of rank 2 through linear layers, then pooled, whatever their order.

    That is Deep Sets (Zaheer et al., 2017, arXiv:1703.06114), or with `pool: attention` near to
    Set Transformer. With `norm: running` all rows share the statistics of a column.
    """

    type: Literal["set"] = "set"
    element_hidden: Listed[Size] = (64, 64)
    """Linear layers over each row; `activation`, norm and initializers are those of `hidden`."""
    pool: Annotated[PoolingConfig, AfterValidator(_without_order)] = MeanPoolingConfig()
    hidden: Listed[Size] = (64,)
    """Linear layers behind the pooling."""

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Box) and len(space.shape) == 2:
            return None
        return f"`set` takes rows of numbers, a Box of rank 2, not {describe(space)}"

    def resolve(self, space: gym.Space) -> Self:
        assert isinstance(space, spaces.Box)
        return self.with_scaling(space)

    def out_dim(self, space: gym.Space) -> int:
        return self.width(self._element_dim(space))

    def _element_dim(self, space: gym.Space) -> int:
        assert space.shape is not None
        return self.width(space.shape[-1], self.element_hidden)

    def build(self, space: gym.Space) -> "SetEncoder":
        assert isinstance(space, spaces.Box)
        columns = space.shape[-1]
        features = self._element_dim(space)
        return SetEncoder(
            scaling=self.scaler(space, components=(columns,)),
            elements=self.stack(columns, self.element_hidden),
            pooling=self.pool.build(features),
            layers=self.stack(features),
        )


class SetEncoder(nn.Module):
    """Scales, applies layers to each row, pools the rows and applies further layers.

    Args:
        scaling: Numbers of any dtype → float32.
        elements: `(*B, rows, columns)` → `(*B, rows, E)`.
        pooling: `(*B, rows, E)` → `(*B, E)`.
        layers: `(*B, E)` → `(*B, F)`.
    """

    def __init__(
        self, *, scaling: nn.Module, elements: nn.Module, pooling: nn.Module, layers: nn.Module
    ) -> None:
        super().__init__()
        self.scaling = scaling
        self.elements = elements
        self.pooling = pooling
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, rows, columns)` of the space's dtype → `(*B, F)` float32."""
        return self.layers(self.pooling(self.elements(self.scaling(obs))))
