"""How the features of several children become one vector."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from composer.config import Family, Size
from composer.encoders._pooling import AttentionPooling


class CombinerConfig(Family, family="combiner", default="concat"):
    """The features of several children → features `(*B, F)`."""

    @abstractmethod
    def out_dim(self, widths: Sequence[int]) -> int:
        """Features F, from those of the children."""

    @abstractmethod
    def build(self, widths: Sequence[int]) -> nn.Module:
        """The module: a list of `(*B, F_i)` → `(*B, F)`."""


class ConcatConfig(CombinerConfig):
    """One behind the other."""

    type: Literal["concat"] = "concat"

    def out_dim(self, widths: Sequence[int]) -> int:
        return sum(widths)

    def build(self, widths: Sequence[int]) -> nn.Module:
        return Concat()


class Concat(nn.Module):
    """One behind the other."""

    def forward(self, features: list[Tensor]) -> Tensor:
        """`(*B, F_i)` each → `(*B, ΣF_i)`."""
        return features[0] if len(features) == 1 else torch.cat(features, -1)


class SumConfig(CombinerConfig):
    """Each is brought to one width by a linear layer of its own, then they are added."""

    type: Literal["sum"] = "sum"
    width: Size = 128

    def out_dim(self, widths: Sequence[int]) -> int:
        return self.width

    def build(self, widths: Sequence[int]) -> nn.Module:
        return Sum(projections=_projections(widths, self.width))


class Sum(nn.Module):
    """Projects and adds."""

    def __init__(self, *, projections: nn.ModuleList) -> None:
        super().__init__()
        self.projections = projections

    def forward(self, features: list[Tensor]) -> Tensor:
        """`(*B, F_i)` each → `(*B, width)`."""
        return _projected(self.projections, features).sum(-2)


class AttentionConfig(CombinerConfig):
    """Each is brought to one width; then a mean with weights that depend on what they say."""

    type: Literal["attention"] = "attention"
    width: Size = 128
    heads: Size = 4

    def out_dim(self, widths: Sequence[int]) -> int:
        return self.width

    def build(self, widths: Sequence[int]) -> nn.Module:
        return Attention(
            projections=_projections(widths, self.width),
            pooling=AttentionPooling(features=self.width, heads=self.heads),
        )


class Attention(nn.Module):
    """Projects, so that each child is one element, and pools the elements by attention."""

    def __init__(self, *, projections: nn.ModuleList, pooling: AttentionPooling) -> None:
        super().__init__()
        self.projections = projections
        self.pooling = pooling

    def forward(self, features: list[Tensor]) -> Tensor:
        """`(*B, F_i)` each → `(*B, width)`."""
        return self.pooling(_projected(self.projections, features))


def _projections(widths: Sequence[int], width: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(each, width) for each in widths)


def _projected(projections: nn.ModuleList, features: list[Tensor]) -> Tensor:
    """One token for each child, `(*B, children, width)`."""
    return torch.stack([p(f) for p, f in zip(projections, features, strict=True)], -2)
