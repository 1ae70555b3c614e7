"""Pooling: many elements → one, by the mean, the largest, the sum, attention or recurrence."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from composer.config import Family, Size


class PoolingConfig(Family, family="pooling"):
    """How the features of many elements become those of one; the width stays."""

    keeps_order: ClassVar[bool] = False
    """Elements in another order may give something else."""

    @abstractmethod
    def build(self, features: int) -> "Pooling":
        """The module for elements of so many features."""


class Pooling(nn.Module, ABC):
    """Elements `(*B, L, F)` → `(*B, F)`; zeros where there is no valid element."""

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """values: `(*B, L, F)` float; mask: `(*B, L)` bool, True of the valid elements, None where
        all are → `(*B, F)`. What stands in the others makes no difference.
        """
        if not values.shape[-2]:
            return values.sum(-2)
        if mask is None:
            mask = torch.ones(values.shape[:-1], dtype=torch.bool, device=values.device)
        valid = mask.unsqueeze(-1)  # (*B, L, 1)
        pooled = self.pool(values.masked_fill(~valid, 0.0), valid)
        return pooled.masked_fill(~valid.any(-2), 0.0)

    @abstractmethod
    def pool(self, values: Tensor, valid: Tensor) -> Tensor:
        """values: `(*B, L, F)`, L ≥ 1, zeros where they are not valid; valid: `(*B, L, 1)` bool →
        `(*B, F)`, finite and with finite gradients even where nothing is valid.
        """


class MeanPoolingConfig(PoolingConfig):
    """The mean of the valid elements."""

    type: Literal["mean"] = "mean"

    def build(self, features: int) -> "MeanPooling":
        return MeanPooling()


class MeanPooling(Pooling):
    """The mean of the valid elements."""

    def pool(self, values: Tensor, valid: Tensor) -> Tensor:
        return values.sum(-2) / valid.sum(-2).clamp(min=1)


class MaxPoolingConfig(PoolingConfig):
    """The largest of the valid elements, by feature."""

    type: Literal["max"] = "max"

    def build(self, features: int) -> "MaxPooling":
        return MaxPooling()


class MaxPooling(Pooling):
    """The largest of the valid elements, by feature."""

    def pool(self, values: Tensor, valid: Tensor) -> Tensor:
        return _without_invalid(values, valid).amax(-2)


class SumPoolingConfig(PoolingConfig):
    """The sum of the valid elements, which tells how many there are (Zaheer et al., 2017)."""

    type: Literal["sum"] = "sum"

    def build(self, features: int) -> "SumPooling":
        return SumPooling()


class SumPooling(Pooling):
    """The sum of the valid elements."""

    def pool(self, values: Tensor, valid: Tensor) -> Tensor:
        return values.sum(-2)


class AttentionPoolingConfig(PoolingConfig):
    """A mean with learnt weights: each head's query says what to look for."""

    type: Literal["attention"] = "attention"
    heads: Size = 4

    def build(self, features: int) -> "AttentionPooling":
        return AttentionPooling(features=features, heads=self.heads)


class AttentionPooling(Pooling):
    """Multi-head attention (Vaswani et al., 2017, section 3.2) of one learnt query.

    That is the pooling of Set Transformer (Lee et al., 2019, arXiv:1810.00825, section 3.2) with
    one seed, without its residual connections, layer norms and feed-forward layers. A head is
    `features // heads` wide, at least 1. Keys have no bias, as the softmax would cancel it.
    """

    def __init__(self, *, features: int, heads: int) -> None:
        super().__init__()
        size = max(1, features // heads)
        self.heads = heads
        self.query = nn.Parameter(torch.randn(heads, size))
        self.keys = nn.Linear(features, heads * size, bias=False)
        self.values = nn.Linear(features, heads * size)
        self.out = nn.Linear(heads * size, features)

    def pool(self, values: Tensor, valid: Tensor) -> Tensor:
        keys = self.keys(values).unflatten(-1, self.query.shape)  # (*B, L, heads, size)
        scores = (keys * self.query).sum(-1) / math.sqrt(self.query.shape[-1])  # (*B, L, heads)
        weights = _without_invalid(scores, valid).softmax(-2)
        looked_at = self.values(values).unflatten(-1, self.query.shape)
        return self.out((weights.unsqueeze(-1) * looked_at).sum(-3).flatten(-2))


class GRUPoolingConfig(PoolingConfig):
    """What a recurrent network (Cho et al., 2014) says after the last element."""

    keeps_order: ClassVar[bool] = True

    type: Literal["gru"] = "gru"

    def build(self, features: int) -> "GRUPooling":
        return GRUPooling(features=features)


class GRUPooling(Pooling):
    """The output of a GRU at the last valid element; the valid ones come first."""

    def __init__(self, *, features: int) -> None:
        super().__init__()
        self.features = features
        self.gru = nn.GRU(features, features, batch_first=True)

    def pool(self, values: Tensor, valid: Tensor) -> Tensor:
        outputs, _ = self.gru(values.reshape(-1, *values.shape[-2:]))
        outputs = outputs.reshape(values.shape)
        last = (valid.sum(-2, keepdim=True) - 1).clamp(min=0)  # (*B, 1, 1)
        return outputs.gather(-2, last.expand(*last.shape[:-1], self.features)).squeeze(-2)


def _without_invalid(values: Tensor, valid: Tensor) -> Tensor:
    """The values, those that are not valid as small as can be."""
    return values.masked_fill(~valid, torch.finfo(values.dtype).min)
