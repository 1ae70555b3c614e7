"""`value`: features → the value of the state."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import gymnasium as gym
from torch import Tensor, nn

from composer.apis import ValueFunctionAPI
from composer.columns import Columns
from composer.distributions.base import DistributionConfig
from composer.heads.base import OutputHeadConfig


class ComposedValueFunction(ValueFunctionAPI):
    """What a composed module gains by a value head."""

    run_head: Callable[..., Tensor]

    def compute_values(
        self, batch: Mapping[str, Any], embeddings: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        return self.run_head(Columns.VF_PREDS, batch, embeddings)


class ValueHeadConfig(OutputHeadConfig):
    """One number a state."""

    type: Literal["value"] = "value"

    side = "critic"
    column = Columns.VF_PREDS
    explores = True
    offers = ComposedValueFunction

    def out_dim(self, action_space: gym.Space, distribution: DistributionConfig) -> int:
        return 1

    def output_shape(self, out_dim: int) -> str:
        return "*B"

    def build(self, in_dim: int, out_dim: int) -> "ValueHead":
        return ValueHead(layers=self.layers(in_dim, out_dim))


class ValueHead(nn.Module):
    """The layers, without the last axis."""

    def __init__(self, *, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: Tensor) -> Tensor:
        """features: `(*B, F)` → `(*B,)`."""
        return self.layers(features).squeeze(-1)
