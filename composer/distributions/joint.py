"""`joint`: Dict and Tuple actions, a distribution for each part, independent of one another."""

import functools
import operator
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from pydantic import BeforeValidator
from torch import Tensor

from composer.composites import by_index
from composer.config import AutoOr, Frozen, FrozenDict, Listed
from composer.distributions._composite import (
    CompositeDistributionConfig,
    JoinedActionDistribution,
    JoinedDistribution,
    child_mask,
)
from composer.distributions.base import ActionDistribution, Distribution, DistributionConfig
from composer.spaces import Nested, describe

Children = Annotated[
    Frozen[AutoOr[DistributionConfig]],
    BeforeValidator(
        by_index,
        json_schema_input_type=Frozen[AutoOr[DistributionConfig]]
        | Listed[AutoOr[DistributionConfig]],
    ),
]
"""By key, by index, or as a list."""


class JointConfig(CompositeDistributionConfig):
    """A distribution for each part of a Dict or Tuple, independent of one another."""

    type: Literal["joint"] = "joint"
    children: Children = FrozenDict()

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Dict | spaces.Tuple):
            return None
        return f"`joint` acts in a Dict or a Tuple, not {describe(space)}"

    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        return parts_of(space)

    def join(self, space: gym.Space, parts: Mapping[str, ActionDistribution]) -> ActionDistribution:
        return Joint(space=space, parts=parts)


class Joint(JoinedActionDistribution):
    """The children's inputs stand one behind the other."""

    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        """mask: nested as the space is, `(*B, …)`; a part that is missing is free."""
        _, pieces = self.pieces(inputs)
        children = {k: part(pieces[k], child_mask(mask, k)) for k, part in self.parts.items()}
        return JointDistribution(inputs, self.space, children)


class JointDistribution(JoinedDistribution):
    """Inputs are those of all children; actions are nested as the space is."""

    def sample(self, generator: torch.Generator | None = None) -> Nested:
        return self._nested({k: child.sample(generator) for k, child in self.children.items()})

    def deterministic(self) -> Nested:
        """Each child's own."""
        return self._nested({k: child.deterministic() for k, child in self.children.items()})

    def log_prob(self, actions: Nested) -> Tensor:
        """actions: nested, each part normalised as its child says."""
        given = self._by_key(actions)
        return _sum(child.log_prob(given[key]) for key, child in self.children.items())

    def entropy(self) -> Tensor:
        return _sum(child.entropy() for child in self.children.values())

    def kl(self, other: Any) -> Tensor:
        return _sum(child.kl(other.children[key]) for key, child in self.children.items())

    def to_env(self, actions: Nested) -> Nested:
        """What `env.step` takes, nested as the space is."""
        given = self._by_key(actions)
        return self._nested({k: child.to_env(given[k]) for k, child in self.children.items()})

    def to_deterministic(self) -> "JointDistribution":
        children = {key: child.to_deterministic() for key, child in self.children.items()}
        return JointDistribution(self.inputs, self.space, children)

    def _nested(self, by_key: dict[str, Tensor | np.ndarray]) -> Nested:
        return by_key if isinstance(self.space, spaces.Dict) else tuple(by_key.values())

    def _by_key(self, actions: Nested) -> Mapping[str, Any]:
        if isinstance(actions, Mapping):
            return actions
        return dict(zip(self.children, actions, strict=True))


def parts_of(space: gym.Space) -> dict[str, gym.Space]:
    """What each child acts in, by key or by index."""
    assert isinstance(space, spaces.Dict | spaces.Tuple)
    if isinstance(space, spaces.Dict):
        return dict(space.spaces)
    return {str(index): child for index, child in enumerate(space.spaces)}


def _sum(values: Iterable[Tensor]) -> Tensor:
    return functools.reduce(operator.add, values)
