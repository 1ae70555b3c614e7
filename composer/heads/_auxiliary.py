"""What auxiliary heads share: a loss of their own, a weight, and what they see of a transition."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import torch
from torch import Tensor, nn

from composer.apis import IntrinsicRewardAPI, SelfSupervisedLossAPI
from composer.columns import Columns
from composer.config import Listed, NotNegative, Size
from composer.heads.base import HeadConfig
from composer.layers import Activation
from composer.spaces import Nested


@dataclass(frozen=True)
class Transition:
    """A batch as one trunk sees it; what is not asked for is not computed."""

    batch: Mapping[str, Any]
    observed: Callable[[Nested], Nested]
    """What the trunk takes of an observation."""
    encoded: Callable[[Nested], Tensor]
    """Features `(*B, F)` of an observation, without gradient where the head is detached."""
    normalised: Callable[[Nested], Nested]
    """Actions as they are kept → in the normalised space."""
    embedding: Tensor | None = None
    """The features of `obs`, where they are known."""

    @functools.cached_property
    def features(self) -> Tensor:
        """Of `obs`, `(*B, F)`."""
        known = self.embedding
        return self.encoded(self.batch[Columns.OBS]) if known is None else known

    @functools.cached_property
    def next_features(self) -> Tensor:
        """Of `next_obs`, `(*B, F)`."""
        return self.encoded(self.batch[Columns.NEXT_OBS])

    @property
    def obs(self) -> Nested:
        """What the trunk takes of it, `(*B, …)`."""
        return self.observed(self.batch[Columns.OBS])

    @property
    def next_obs(self) -> Nested:
        """What the trunk takes of it, `(*B, …)`."""
        return self.observed(self.batch[Columns.NEXT_OBS])

    @property
    def actions(self) -> Nested:
        """In the normalised space, `(*B, …)`."""
        return self.normalised(self.batch[Columns.ACTIONS])


class AuxiliaryHead(nn.Module, ABC):
    """Learns something that no algorithm asks for, by which its trunk may learn too."""

    @abstractmethod
    def errors(self, seen: Transition) -> Tensor:
        """What it minimises the mean of, `(*B,)`."""


class PayingHead(AuxiliaryHead):
    """Also pays for transitions."""

    @abstractmethod
    def rewards(self, seen: Transition) -> Tensor:
        """Intrinsic rewards, `(*B,)`."""


class ComposedSelfSupervision(SelfSupervisedLossAPI):
    """What a composed module gains by an auxiliary head."""

    auxiliary_heads: Callable[..., list[tuple[str, float, AuxiliaryHead, Transition]]]

    def compute_self_supervised_loss(
        self, batch: Mapping[str, Any], out: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        heads = self.auxiliary_heads(batch, out.get(Columns.EMBEDDINGS))
        counted = batch.get(Columns.LOSS_MASK, ...)
        return {
            role: weight * head.errors(seen)[counted].mean() for role, weight, head, seen in heads
        }


class ComposedIntrinsicReward(ComposedSelfSupervision, IntrinsicRewardAPI):
    """What a composed module gains by one that pays."""

    def compute_intrinsic_rewards(self, batch: Mapping[str, Any]) -> Tensor:
        heads = self.auxiliary_heads(batch)
        paid = [head.rewards(seen) for _, _, head, seen in heads if isinstance(head, PayingHead)]
        return torch.stack(paid).sum(0)


class AuxiliaryHeadConfig(HeadConfig):
    """Features → a loss of its own, which every algorithm adds to what it minimises.

    It trains the trunk that it `reads`, unless `stop_gradient` names that trunk.
    """

    weight: NotNegative = 1.0
    """What its loss is multiplied by."""
    hidden: Listed[Size] = (64,)
    activation: Activation = "relu"

    side = "auxiliary"
    offers = ComposedSelfSupervision

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that it reads beside the features."""
        return ()

    spans_a_step: ClassVar[bool]
    """It learns from what a single step leads to."""

    @property
    def otherwise(self) -> dict[str, Any]:
        """Fields by which it may learn from what it refuses."""
        return {}

    @abstractmethod
    def refusal(self, space: gym.Space, action_space: gym.Space) -> str | None:
        """Why it cannot learn from what its trunk takes and the actions, or None where it can."""

    @abstractmethod
    def in_dim(self, features: int, space: gym.Space, action_space: gym.Space) -> int:
        """Width of what goes into its module.

        Args:
            features: F of its trunk.
            space: What its trunk takes of an observation.
            action_space: Of the environment.
        """

    @abstractmethod
    def out_dim(self, features: int, space: gym.Space, action_space: gym.Space) -> int:
        """Width of what its module gives."""

    @abstractmethod
    def build(self, features: int, space: gym.Space, action_space: gym.Space) -> AuxiliaryHead:
        """The module: `(*B, in_dim)` → `(*B, out_dim)`."""
