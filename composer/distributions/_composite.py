"""What distributions over composite spaces share: a child for each space inside."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, cast

import gymnasium as gym
import torch
from gymnasium import spaces
from pydantic import BeforeValidator
from torch import Tensor

from composer.composites import Composite, by_index, part_names
from composer.config import AutoOr, Frozen, FrozenDict, Listed
from composer.distributions.base import ActionDistribution, Distribution, DistributionConfig
from composer.errors import ModuleError
from composer.masks import mask_part
from composer.spaces import Nested

Children = Annotated[
    Frozen[AutoOr[DistributionConfig]],
    BeforeValidator(
        by_index,
        json_schema_input_type=Frozen[AutoOr[DistributionConfig]]
        | Listed[AutoOr[DistributionConfig]],
    ),
]
"""By key, by index, or as a list."""


class CompositeDistributionConfig(Composite, DistributionConfig):
    """A distribution that consists of distributions."""

    children: Children = FrozenDict()

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


class KeyedDistribution(JoinedDistribution):
    """Base of the distributions over a Dict or a Tuple; actions are nested as the space is."""

    def to_env(self, actions: Nested) -> Nested:
        """What `env.step` takes, nested as the space is."""
        given = self.by_key(actions)
        return self.nested({k: child.to_env(given[k]) for k, child in self.children.items()})

    def normalised(self, actions: Nested) -> Nested:
        given = self.by_key(actions)
        return self.nested({k: child.normalised(given[k]) for k, child in self.children.items()})

    def nested(self, by_key: Mapping[str, Nested]) -> Nested:
        """What stands by key or index, nested as the space is."""
        is_dict = isinstance(self.space, spaces.Dict)
        return dict(by_key) if is_dict else tuple(by_key[key] for key in self.children)

    def by_key(self, actions: Nested) -> Mapping[str, Nested]:
        """What is nested as the space is, by key or index."""
        if isinstance(actions, Mapping):
            return actions
        return dict(zip(self.children, actions, strict=True))


def child_mask(mask: Nested, key: str) -> Nested:
    """A child's part of a nested mask, which may leave out what is free."""
    return mask_part(mask, int(key) if isinstance(mask, tuple) else key)
