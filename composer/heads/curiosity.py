"""`curiosity`: pay for what cannot be predicted yet (Pathak et al., 2017, arXiv:1705.05363)."""

from typing import ClassVar, Literal

import gymnasium as gym
import torch
from torch import Tensor, nn

from composer.columns import Columns
from composer.config import Fraction, Listed, NotNegative, Size
from composer.heads._auxiliary import (
    AuxiliaryHeadConfig,
    ComposedIntrinsicReward,
    PayingHead,
    Transition,
)
from composer.heads._codes import Code, action_code, normalised_space, uncoded, widths
from composer.heads._decoder import Decoder
from composer.heads.next_state import unencoded


class CuriosityHeadConfig(AuxiliaryHeadConfig):
    """An inverse model, φ(s), φ(s') → a, and a forward one, φ(s), a → φ(s'), over features φ.

    The reward is η/2 · ‖φ̂(s') - φ(s')‖² (eq. 6), the loss (1 - β) · L_I + β/2 · ‖φ̂(s') - φ(s')‖²
    (eq. 5 and 7). The inverse model keeps in φ what actions have a hand in: let φ be a trunk of its
    own, `auxiliary`, or the policy's.
    """

    type: Literal["curiosity"] = "curiosity"
    hidden: Listed[Size] = (256,)
    """Of each of the two models."""
    reward_scale: NotNegative = 0.01
    """η."""
    forward_weight: Fraction = 0.2
    """β: the forward model's part of the loss; the rest is the inverse model's."""

    spans_a_step: ClassVar[bool] = True
    offers = ComposedIntrinsicReward

    @property
    def inputs(self) -> tuple[str, ...]:
        return (Columns.ACTIONS, Columns.NEXT_OBS)

    def refusal(self, space: gym.Space, action_space: gym.Space) -> str | None:
        return None if uncoded(action_space) is None else unencoded(self.type, action_space)

    def in_dim(self, features: int, space: gym.Space, action_space: gym.Space) -> int:
        return 2 * features + sum(widths(normalised_space(action_space)))

    def out_dim(self, features: int, space: gym.Space, action_space: gym.Space) -> int:
        return features + sum(widths(normalised_space(action_space)))

    def build(self, features: int, space: gym.Space, action_space: gym.Space) -> "CuriosityHead":
        actions = normalised_space(action_space)
        outputs = [self.output(self.width(2 * features), width) for width in widths(actions)]
        return CuriosityHead(
            inverse_model=Decoder(hidden=self.stack(2 * features), outputs=outputs),
            forward_model=self.layers(features + sum(widths(actions)), features),
            actions=action_code(actions),
            features=features,
            reward_scale=self.reward_scale,
            forward_weight=self.forward_weight,
        )


class CuriosityHead(PayingHead):
    """The two models."""

    def __init__(
        self,
        *,
        inverse_model: Decoder,
        forward_model: nn.Module,
        actions: Code,
        features: int,
        reward_scale: float,
        forward_weight: float,
    ) -> None:
        super().__init__()
        self.inverse_model = inverse_model
        self.forward_model = forward_model
        self.actions = actions
        self.features = features
        self.reward_scale = reward_scale
        self.forward_weight = forward_weight

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: φ(s) ‖ a ‖ φ(s') `(*B, 2F + A)` → φ̂(s') ‖ â `(*B, F + A)`."""
        sizes = [self.features, inputs.shape[-1] - 2 * self.features, self.features]
        features, _, after = inputs.split(sizes, -1)
        guessed = self.inverse_model(torch.cat([features, after], -1))
        return torch.cat([self.forward_model(inputs[..., : -self.features]), *guessed], -1)

    def errors(self, seen: Transition) -> Tensor:
        both = torch.cat([seen.features, seen.next_features], -1)
        inverse = self.actions.error(self.inverse_model(both), seen.actions)
        return (1 - self.forward_weight) * inverse + self.forward_weight * self.surprise(seen)

    def rewards(self, seen: Transition) -> Tensor:
        return self.reward_scale * self.surprise(seen)

    def surprise(self, seen: Transition) -> Tensor:
        """Half the squared distance of what was predicted, `(*B,)`."""
        inputs = torch.cat([seen.features, self.actions(seen.actions)], -1)
        return 0.5 * (self.forward_model(inputs) - seen.next_features).square().sum(-1)
