"""What every head config promises."""

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, Self

import gymnasium as gym
from pydantic import BeforeValidator, ValidationInfo
from torch import nn

from composer.apis import API, APIs, known_apis
from composer.config import Family, Listed, Size, invalid_value
from composer.distributions.base import DistributionConfig
from composer.layers import (
    ZEROS,
    BiasInitializer,
    HiddenLayers,
    KernelInitializer,
    linear,
    orthogonal,
)


def _trunks(value: object, head: ValidationInfo) -> object:
    if value is True:
        message = "the trunks that the head does not train are named: the one that it reads"
        raise invalid_value(message, meant=[[head.data.get("reads") or "main"]])
    return value


class HeadConfig(HiddenLayers, Family, family="head"):
    """What reads the features of a trunk, by layers of its own and an output layer."""

    hidden: Listed[Size] = ()
    reads: str | None = None
    """The trunk it reads; by default that of its side, if there is one, else `main`."""
    stop_gradient: Annotated[Listed[str], BeforeValidator(_trunks)] = ()
    """Trunks that this head's loss does not train."""
    output_kernel_initializer: KernelInitializer | None = orthogonal(1.0)
    output_bias_initializer: BiasInitializer | None = ZEROS

    side: ClassVar[Literal["actor", "critic", "auxiliary"]]
    """The trunk of this name is read where the model has one."""
    offers: ClassVar[type[API]]
    """What a composed module gains by it, as a class."""
    acts: ClassVar[bool] = False
    """Actions can be chosen by what it gives."""

    @classmethod
    def apis(cls) -> APIs:
        """What a composed module can do because it has this head."""
        return frozenset(api for api in known_apis() if issubclass(cls.offers, api))

    def resolve(self, action_space: gym.Space) -> Self:
        """The same config with every derived field filled in for the space."""
        return self

    def layers(self, in_dim: int, out_dim: int) -> nn.Sequential:
        """The hidden layers and the output layer."""
        return nn.Sequential(*self.stack(in_dim), self.output(self.width(in_dim), out_dim))

    def output(self, in_dim: int, out_dim: int) -> nn.Linear:
        """An output layer."""
        return linear(in_dim, out_dim, self.output_kernel_initializer, self.output_bias_initializer)


class OutputHeadConfig(HeadConfig):
    """Features → the outputs of one role, of which an algorithm makes a loss."""

    column: ClassVar[str]
    """Where its output goes."""
    explores: ClassVar[bool]
    """It also runs while collecting, as the head does that actions are chosen by."""

    takes_actions: ClassVar[bool] = False
    """It reads features ‖ real actions, so it runs only where actions are given."""

    method: ClassVar[str] = "forward"
    """Of its module: what gives all its columns."""

    @property
    def has_noise(self) -> bool:
        """Its module takes `noisy`, which is True but in inference."""
        return False

    @abstractmethod
    def out_dim(self, action_space: gym.Space, distribution: DistributionConfig) -> int:
        """Width of the output layer."""

    def output_shape(self, out_dim: int) -> str | None:
        """Axes of what its module gives, as `TensorSpec` has them; None where it does not say."""
        return None

    @abstractmethod
    def build(self, in_dim: int, out_dim: int) -> nn.Module:
        """Features `(*B, in_dim)` → the role's outputs."""
