"""What encoders that convolve share: which axis is which, the layers behind."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor, nn

from composer.config import Auto, Listed, Size
from composer.encoders._scaling import ScaledConfig
from composer.layers import Activation, HiddenLayers


class ConvolvedConfig(ScaledConfig, HiddenLayers):
    """Convolutions, then linear layers over what they leave."""

    axes: ClassVar[tuple[str, ...]]
    """What is convolved, as letters of a layout: channels first; axes in one entry are merged."""

    layout: Any = Auto()
    """A letter for each axis."""
    hidden: Listed[Size] = (512,)
    """Linear layers behind the flattened convolutions."""
    activation: Activation = "relu"

    @abstractmethod
    def out_shape(self, space: gym.Space) -> tuple[int, ...]:
        """Channels and sizes after the convolutions; the config is resolved."""

    @abstractmethod
    def convolutions(self, space: gym.Space) -> nn.Module:
        """`(B, *in_shape)` → `(B, *out_shape)`."""

    def in_shape(self, space: gym.Space) -> tuple[int, ...]:
        """Channels and sizes, in the order of `axes`."""
        assert space.shape is not None
        sizes = dict(zip(self.layout, space.shape, strict=True))
        return tuple(math.prod(sizes.get(axis, 1) for axis in merged) for merged in self.axes)

    def out_dim(self, space: gym.Space) -> int:
        return self.width(math.prod(self.out_shape(space)))

    def build(self, space: gym.Space) -> "ConvolvedEncoder":
        assert isinstance(space, spaces.Box)
        order = (axis for merged in self.axes for axis in merged if axis in self.layout)
        return ConvolvedEncoder(
            order=tuple(self.layout.index(axis) for axis in order),
            shape=self.in_shape(space),
            scaling=self.scaler(space),
            convolutions=self.convolutions(space),
            layers=self.stack(math.prod(self.out_shape(space))),
        )


class ConvolvedEncoder(nn.Module):
    """Scales, brings channels to the front, convolves, flattens and applies the layers.

    Args:
        order: The observation's axes, in the order in which they are convolved.
        shape: Channels and sizes of what is convolved, merged axes being one.
        scaling: Numbers of any dtype → float32.
        convolutions: `(B, *shape)` → maps.
        layers: `(B, flattened maps)` → `(B, F)`.
    """

    def __init__(
        self,
        *,
        order: tuple[int, ...],
        shape: tuple[int, ...],
        scaling: nn.Module,
        convolutions: nn.Module,
        layers: nn.Module,
    ) -> None:
        super().__init__()
        self.rank = len(order)
        self.order = (0, *(axis + 1 for axis in order))
        self.shape = shape
        self.scaling = scaling
        self.convolutions = convolutions
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, …)`, the axes of the layout, any dtype → `(*B, F)` float32."""
        lead = obs.shape[: -self.rank]
        x = self.scaling(obs.reshape(math.prod(lead), *obs.shape[-self.rank :]))
        x = x.permute(self.order)
        x = x.reshape(x.shape[0], *self.shape)
        x = self.layers(self.convolutions(x).flatten(1))
        return x.reshape(*lead, x.shape[-1])
