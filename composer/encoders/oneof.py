"""`oneof`: OneOf observations, an encoder for each branch."""

from collections.abc import Mapping
from typing import Literal

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor, nn

from composer.config import FrozenDict, Listed, Size
from composer.encoders._composite import CompositeEncoderConfig, Indexed
from composer.encoders._packing import packed, scattered
from composer.layers import HiddenLayers
from composer.spaces import Nested, describe


class OneOfEncoderConfig(HiddenLayers, CompositeEncoderConfig):
    """The branch that was drawn through its own encoder, with a learnt vector of which it is.

    The features of each branch are brought to one width by a linear layer of its own, and the
    vector of the branch is added, before the linear layers.
    """

    type: Literal["oneof"] = "oneof"
    children: Indexed = FrozenDict()
    """By index, or as a list."""
    features: Size = 64
    """The width that all branches are brought to."""
    hidden: Listed[Size] = (64,)

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.OneOf):
            return None
        return f"`oneof` takes a OneOf, not {describe(space)}"

    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        assert isinstance(space, spaces.OneOf)
        return {str(index): child for index, child in enumerate(space.spaces)}

    def joined_dim(self, space: gym.Space, widths: Mapping[str, int]) -> int:
        return self.width(self.features)

    def join(
        self, space: gym.Space, parts: Mapping[str, nn.Module], widths: Mapping[str, int]
    ) -> "OneOfEncoder":
        return OneOfEncoder(
            parts=parts,
            projections=nn.ModuleList(nn.Linear(w, self.features) for w in widths.values()),
            branches=nn.Embedding(len(parts), self.features),
            layers=self.stack(self.features),
        )


class OneOfEncoder(nn.Module):
    """Encodes each branch for the rows that drew it.

    Args:
        parts: An encoder for each branch, by its index; `(M, …)` → `(M, F_i)`.
        projections: Of each branch, `(M, F_i)` → `(M, G)`.
        branches: `(*B,)` → `(*B, G)`.
        layers: `(*B, G)` → `(*B, F)`.
    """

    def __init__(
        self,
        *,
        parts: Mapping[str, nn.Module],
        projections: nn.ModuleList,
        branches: nn.Module,
        layers: nn.Module,
    ) -> None:
        super().__init__()
        self.projections = projections
        self.branches = branches
        self.layers = layers
        self._names = tuple(parts)
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, obs: Nested) -> Tensor:
        """obs: `{"branch": (*B,), "values": (child 0 (*B, …), …)}` → `(*B, F)` float32."""
        branch = obs["branch"]
        x = self.branches(branch)  # (*B, G)
        for index, (name, projection) in enumerate(zip(self._names, self.projections, strict=True)):
            drew = branch == index
            features = self.get_submodule(name)(packed(obs["values"][index], drew))
            x = x + scattered(projection(features), drew)
        return self.layers(x)
