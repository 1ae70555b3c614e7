"""`continuous_q`: features ‖ real actions → their value, by several critics."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import gymnasium as gym
from torch import Tensor, nn

from composer.apis import ContinuousQAPI
from composer.columns import Columns
from composer.config import Listed, Size
from composer.distributions.base import DistributionConfig
from composer.heads._ensemble import ensemble, of_first
from composer.heads.base import OutputHeadConfig
from composer.layers import Activation
from composer.spaces import choice_counts


class ComposedContinuousQ(ContinuousQAPI):
    """What a composed module gains by a Q head of real actions."""

    run_head: Callable[..., Tensor]

    def compute_action_values(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        return {Columns.QF_PREDS: self.run_head(Columns.QF_PREDS, batch)}

    def compute_first_action_values(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        return {Columns.QF_PREDS: self.run_head(Columns.QF_PREDS, batch, method="first")}


class ContinuousQHeadConfig(OutputHeadConfig):
    """The value of given real actions; of discrete ones beside them, one for each choice."""

    type: Literal["continuous_q"] = "continuous_q"
    hidden: Listed[Size] = (256, 256)
    activation: Activation = "relu"
    n_critics: Size = 2
    """Critics that share nothing but what the head reads."""
    n_quantiles: Size = 1
    """More than 1: so many quantiles of the return (Dabney et al., 2018, arXiv:1710.10044),
    instead of its mean."""

    side = "critic"
    column = Columns.QF_PREDS
    explores = False
    takes_actions = True
    offers = ComposedContinuousQ

    def out_dim(self, action_space: gym.Space, distribution: DistributionConfig) -> int:
        return max(1, sum(choice_counts(action_space)))

    def build(self, in_dim: int, out_dim: int) -> "ContinuousQHead":
        width = out_dim * self.n_quantiles
        return ContinuousQHead(
            critics=ensemble([self.layers(in_dim, width) for _ in range(self.n_critics)]),
            shape=tuple(size for size in (out_dim, self.n_quantiles) if size > 1),
        )


class ContinuousQHead(nn.Module):
    """Critics side by side."""

    def __init__(self, *, critics: nn.Sequential, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.critics = critics
        self.shape = shape

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: features ‖ actions `(*B, F + A)` → `(n_critics, *B[, n][, n_quantiles])`."""
        values = self.critics(inputs)
        return values.reshape(*values.shape[:-1], *self.shape)

    def first(self, inputs: Tensor) -> Tensor:
        """The same of the first critic alone: `(*B, F + A)` → `(*B[, n][, n_quantiles])`."""
        values = of_first(self.critics, inputs)
        return values.reshape(*values.shape[:-1], *self.shape)
