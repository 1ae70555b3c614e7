"""`joint`: Dict and Tuple actions, a distribution for each part, independent of one another."""

import functools
import operator
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor

from composer.distributions._composite import (
    CompositeDistributionConfig,
    JoinedActionDistribution,
    KeyedDistribution,
    child_mask,
)
from composer.distributions.base import ActionDistribution, Distribution
from composer.spaces import Nested, child_spaces, describe


class JointConfig(CompositeDistributionConfig):
    """A distribution for each part of a Dict or Tuple, independent of one another."""

    type: Literal["joint"] = "joint"

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Dict | spaces.Tuple):
            return None
        return f"`joint` acts in a Dict or a Tuple, not {describe(space)}"

    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        return child_spaces(space) or {}

    def join(self, space: gym.Space, parts: Mapping[str, ActionDistribution]) -> ActionDistribution:
        return Joint(space=space, parts=parts)


class Joint(JoinedActionDistribution):
    """The children's inputs stand one behind the other."""

    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        """mask: nested as the space is, `(*B, …)`; a part that is missing is free."""
        _, pieces = self.pieces(inputs)
        children = {k: part(pieces[k], child_mask(mask, k)) for k, part in self.parts.items()}
        return JointDistribution(inputs, self.space, children)


class JointDistribution(KeyedDistribution):
    """Inputs are those of all children; actions are nested as the space is."""

    def sample(self, generator: torch.Generator | None = None) -> Nested:
        return self.nested({k: child.sample(generator) for k, child in self.children.items()})

    def deterministic(self) -> Nested:
        """Each child's own."""
        return self.nested({k: child.deterministic() for k, child in self.children.items()})

    def log_prob(self, actions: Nested) -> Tensor:
        """actions: nested, each part normalised as its child says."""
        given = self.by_key(actions)
        return summed(child.log_prob(given[key]) for key, child in self.children.items())

    def entropy(self) -> Tensor:
        return summed(child.entropy() for child in self.children.values())

    def to_deterministic(self) -> "JointDistribution":
        children = {key: child.to_deterministic() for key, child in self.children.items()}
        return JointDistribution(self.inputs, self.space, children)

    def kl(self, other: Any) -> Tensor:
        return summed(child.kl(other.children[key]) for key, child in self.children.items())


def summed(values: Iterable[Tensor]) -> Tensor:
    return functools.reduce(operator.add, values)
