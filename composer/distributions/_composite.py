"""What distributions over composite spaces share: a child for each space inside."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import cast

import gymnasium as gym
import torch
from torch import Tensor

from composer.composites import Composite, part_names
from composer.config import AutoOr, Frozen, FrozenDict
from composer.distributions.base import ActionDistribution, Distribution, DistributionConfig
from composer.errors import ModuleError
from composer.spaces import Nested


class CompositeDistributionConfig(Composite, DistributionConfig):
    """A distribution that consists of distributions."""

    children: Frozen[AutoOr[DistributionConfig]] = FrozenDict()

    @abstractmethod
    def join(self, space: gym.Space, parts: Mapping[str, ActionDistribution]) -> ActionDistribution:
        """The whole distribution, around its children as they are built."""

    def own_dim(self, space: gym.Space) -> int:
        """Width that the policy head must give beside what the children take."""
        return 0

    def in_dim(self, space: gym.Space) -> int:
        inner = self._inner(space).values()
        return self.own_dim(space) + sum(child.in_dim(child_space) for child, child_space in inner)

    def build(self, space: gym.Space) -> ActionDistribution:
        return self.join(space, {k: c.build(s) for k, (c, s) in self._inner(space).items()})

    def bind(self, space: gym.Space) -> ActionDistribution:
        return self.join(space, {k: c.bind(s) for k, (c, s) in self._inner(space).items()})

    def _inner(self, space: gym.Space) -> dict[str, tuple[DistributionConfig, gym.Space]]:
        """Each child with what it acts in."""
        found = {}
        for key, child_space in self.child_spaces(space).items():
            child = self.children[key]
            assert isinstance(child, DistributionConfig)
            found[key] = child, child_space
        return found


class JoinedActionDistribution(ActionDistribution):
    """Holds a part for each child; its inputs are its own, then those of each child in order."""

    def __init__(
        self, *, space: gym.Space, parts: Mapping[str, ActionDistribution], own_dim: int = 0
    ) -> None:
        super().__init__()
        self.space = space
        self.in_dims = [own_dim, *(part.in_dim for part in parts.values())]
        self.inputs_dims = [own_dim, *(part.inputs_dim for part in parts.values())]
        self.in_dim, self.inputs_dim = sum(self.in_dims), sum(self.inputs_dims)
        self._names = part_names(parts)
        for key, part in parts.items():
            self.add_module(self._names[key], part)

    @property
    def parts(self) -> dict[str, ActionDistribution]:
        """The children's parts by key."""
        return {k: cast(ActionDistribution, self._modules[n]) for k, n in self._names.items()}

    def inputs(self, outputs: Tensor) -> Tensor:
        own, *pieces = outputs.split(self.in_dims, -1)
        parts = zip(self.parts.values(), pieces, strict=True)
        return torch.cat([own, *(part.inputs(piece) for part, piece in parts)], -1)

    def pieces(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The joint's own inputs, and those of each child by key."""
        self.require_width(inputs)
        own, *pieces = inputs.split(self.inputs_dims, -1)
        return own, dict(zip(self._names, pieces, strict=True))


class JoinedDistribution(Distribution):
    """Base of the distributions that consist of distributions."""

    def __init__(
        self, inputs: Tensor, space: gym.Space, children: Mapping[str, Distribution]
    ) -> None:
        self.inputs = inputs
        self.space = space
        self.children = children

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        raise ModuleError(
            f"the width of {cls.__name__} depends on its children: return "
            "`self.catalog.distribution(self.action_space).config.bind(self.action_space)` instead"
        )


def child_mask(mask: Nested, key: str) -> Nested:
    """A child's part of a nested mask, which may leave out what is free."""
    if mask is None:
        return None
    return mask.get(key) if isinstance(mask, Mapping) else mask[int(key)]
