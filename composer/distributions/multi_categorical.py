"""`multi_categorical`: several choices at once, independent of one another."""

import functools
from abc import ABC
from typing import Any, Literal

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor

from composer.config import Size
from composer.distributions.base import (
    ActionDistribution,
    ActionMap,
    Distribution,
    DistributionConfig,
)
from composer.distributions.categorical import MASKED_LOGIT, CategoricalDistribution
from composer.errors import CompositionError, Problem
from composer.spaces import Nested, category_counts, describe, is_real, leaves

ALWAYS_BUILT = 65_536
"""So many logits fit into any memory."""


class MultiCategoricalConfig(DistributionConfig):
    """A probability for each choice of a MultiDiscrete, or for each integer of a small Box."""

    type: Literal["multi_categorical"] = "multi_categorical"
    max_integers: Size = 256
    """Most integers between the bounds of a Box's component; a MultiDiscrete has no such limit."""

    def refusal(self, space: gym.Space) -> str | None:
        is_integers = isinstance(space, spaces.Box) and not is_real(space)
        if is_integers or isinstance(space, spaces.MultiDiscrete):
            return None
        kinds = "a MultiDiscrete space or a Box of integers"
        return f"`multi_categorical` acts in {kinds}, not {describe(space)}"

    def resolve(self, space: gym.Space) -> "MultiCategoricalConfig":
        counts = category_counts(space)
        if isinstance(space, spaces.Box) and max(counts) > self.max_integers:
            raise CompositionError(
                Problem(
                    f"a component of {describe(space)} has {max(counts):,} integers, and each of "
                    "them would have a logit of its own\n"
                    "where they are steps of one quantity, wrap the environment by `env.wrappers` "
                    "so that its actions are floats, or a MultiDiscrete of fewer",
                    path="max_integers",
                    value=self.max_integers,
                    fix=f"max_integers={max(counts)}" if sum(counts) <= ALWAYS_BUILT else None,
                )
            )
        return self

    def in_dim(self, space: gym.Space) -> int:
        return MultiCategoricalDistribution.required_input_dim(space)

    def build(self, space: gym.Space) -> ActionDistribution:
        return self.bind(space)

    def bind(self, space: gym.Space) -> ActionDistribution:
        return MultiCategoricalDistribution.for_space(space)


class ComponentsDistribution(Distribution, ABC):
    """A categorical for each component, independent; actions are `(*B, *shape)` int64, from 0."""

    each: CategoricalDistribution
    """Those of all components, `(*B, C, K)`."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self._shaped(self.each.sample(generator))

    def deterministic(self) -> Tensor:
        """The most probable choice of each component, so the most probable action."""
        return self._shaped(self.each.deterministic())

    def log_prob(self, actions: Tensor) -> Tensor:
        """actions: `(*B, *shape)` integers."""
        return self.each.log_prob(self._flat(actions)).sum(-1)

    def entropy(self) -> Tensor:
        return self.each.entropy().sum(-1)

    def kl(self, other: Any) -> Tensor:
        return self.each.kl(other.each).sum(-1)


class MultiCategoricalDistribution(ComponentsDistribution):
    """Inputs are the logits of all components, one after the other, `(*B, ΣK)`.

    A mask is `(*B, ΣK)` too, True where a choice may be taken; or Gymnasium's own, nested tuples
    with an array `(*B, K)` for each component.
    """

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Nested = None) -> None:
        super().__init__(inputs, action_map, mask)
        places = _places(action_map.counts, inputs.device)
        if mask is not None:
            mask = _spread(torch.cat(leaves(mask), -1).bool(), places, False)
        self.each = CategoricalDistribution(_spread(inputs, places, MASKED_LOGIT), action_map, mask)
        self.places = places

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        return sum(category_counts(space))

    @property
    def log_probs(self) -> Tensor:
        """Log-probability of each choice, one component after the other, `(*B, ΣK)`."""
        return self.each.log_probs[..., self.places < self.inputs.shape[-1]]


def _spread(flat: Tensor, places: Tensor, padding: float) -> Tensor:
    """`(*B, ΣK)` → `(*B, C, max K)`, filled up with padding."""
    padded = torch.cat([flat, flat.new_full((*flat.shape[:-1], 1), padding)], -1)
    return padded.index_select(-1, places.flatten()).unflatten(-1, places.shape)


@functools.lru_cache(maxsize=64)
def _places(counts: tuple[int, ...], device: torch.device) -> Tensor:
    """Where each component's choices stand among all, `(C, max K)`; ΣK where it has no more."""
    places = torch.full((len(counts), max(counts)), sum(counts))
    start = 0
    for component, count in enumerate(counts):
        places[component, :count] = torch.arange(start, start + count)
        start += count
    return places.to(device)
