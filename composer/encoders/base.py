"""What every encoder config promises."""

from abc import abstractmethod
from typing import ClassVar, Self

import gymnasium as gym
from torch import nn

from composer.config import Family


class EncoderConfig(Family, family="encoder"):
    """Observation → features `(*B, F)`."""

    learns: ClassVar[bool] = True
    """It has weights; one that has none is proposed last."""

    @abstractmethod
    def refusal(self, space: gym.Space) -> str | None:
        """Why this encoder cannot take the space, or None where it can."""

    def resolve(self, space: gym.Space) -> Self:
        """The same config with every derived field filled in for the space."""
        return self

    @abstractmethod
    def out_dim(self, space: gym.Space) -> int:
        """Features F; the config is resolved and takes the space."""

    @abstractmethod
    def build(self, space: gym.Space) -> nn.Module:
        """The module: a batch of observations as the environment gives them → `(*B, F)`."""
