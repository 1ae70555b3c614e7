"""`reconstruction`: features → the observation that they were made of."""

from typing import ClassVar, Literal

import gymnasium as gym
import torch
from torch import Tensor

from composer.heads._auxiliary import AuxiliaryHead, AuxiliaryHeadConfig, Transition
from composer.heads._codes import Code, code_of, uncoded, widths
from composer.heads._decoder import Decoder, decoder


class ReconstructionHeadConfig(AuxiliaryHeadConfig):
    """What its trunk saw, from the trunk's features: squared errors, or cross-entropies of choices.

    Bounded numbers are scaled to [0, 1]. Every key of a Dict weighs the same, whatever its size. An
    image is made by transposed convolutions.
    """

    type: Literal["reconstruction"] = "reconstruction"

    spans_a_step: ClassVar[bool] = False

    def refusal(self, space: gym.Space, action_space: gym.Space) -> str | None:
        if (odd := uncoded(space)) is None:
            return None
        return f"`reconstruction` makes {MADE}, not {odd}"

    def in_dim(self, features: int, space: gym.Space, action_space: gym.Space) -> int:
        return features

    def out_dim(self, features: int, space: gym.Space, action_space: gym.Space) -> int:
        return sum(widths(space))

    def build(
        self, features: int, space: gym.Space, action_space: gym.Space
    ) -> "ReconstructionHead":
        return ReconstructionHead(decoder=decoder(self, features, space), code=code_of(space))


MADE = "Box, Discrete, MultiDiscrete and MultiBinary observations, and a Dict or Tuple of them"


class ReconstructionHead(AuxiliaryHead):
    """A decoder, and what it should have given."""

    def __init__(self, *, decoder: Decoder, code: Code) -> None:
        super().__init__()
        self.decoder = decoder
        self.code = code

    def forward(self, features: Tensor) -> Tensor:
        """features: `(*B, F)` → the observation, its choices as logits, `(*B, dim)`."""
        return torch.cat(self.decoder(features), -1)

    def errors(self, seen: Transition) -> Tensor:
        return self.code.error(self.decoder(seen.features), seen.obs)
