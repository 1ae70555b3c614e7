"""`cnn`: images of any size through convolutions, then linear layers."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from composer.config import Auto, AutoOr, Config, Listed, Size
from composer.encoders.base import EncoderConfig
from composer.errors import CompositionError, Problem
from composer.layers import (
    ACTIVATIONS,
    Activation,
    ConvInitializer,
    HiddenLayers,
    initialised,
    orthogonal,
)
from composer.problems import invalid_value
from composer.spaces import Layout, describe, image_layout


def _both_axes(value: object) -> tuple[object, ...]:
    sizes = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(sizes) != 2 or not all(type(size) is int and size > 0 for size in sizes):
        raise invalid_value("expected a positive whole number, or two: for height and for width")
    return sizes


Pair = Annotated[Listed[Size], Field(min_length=2, max_length=2)]
PerAxis = Annotated[
    tuple[int, int], BeforeValidator(_both_axes, json_schema_input_type=Size | Pair)
]
"""A size for both axes, or one for height and one for width."""


class ConvLayer(Config):
    """One convolution; `[32, 8, 4]` is short for 32 channels, kernel 8, stride 4."""

    channels: Size
    kernel: PerAxis
    stride: PerAxis = (1, 1)
    padding: Literal["valid", "same"] = "valid"

    def out_size(self, size: int, axis: int) -> int:
        """Pixels along one axis after the convolution; 0 or less where the kernel is too large."""
        if self.padding == "same":
            return math.ceil(size / self.stride[axis])
        return (size - self.kernel[axis]) // self.stride[axis] + 1


def _layer(value: object) -> object:
    if not isinstance(value, list | tuple):
        return value
    if not 2 <= len(value) <= 4:
        raise invalid_value(
            "a convolution is [channels, kernel, stride, padding], the last two of which may be "
            f"left out; this has {len(value)} value{'s' * (len(value) != 1)}"
        )
    return dict(zip(("channels", "kernel", "stride", "padding"), value, strict=False))


def _layers(value: object) -> object:
    is_list = isinstance(value, list | tuple)
    if is_list and all(isinstance(item, list | tuple | Mapping | ConvLayer) for item in value):
        return value
    raise invalid_value("expected a list of convolutions, each a list: [[32,8,4],[64,4,2]]")


Layer = Annotated[
    ConvLayer, BeforeValidator(_layer, json_schema_input_type=ConvLayer | Listed[Any])
]
Filters = Annotated[Listed[Layer], BeforeValidator(_layers, json_schema_input_type=Listed[Layer])]


class CNNEncoderConfig(HiddenLayers, EncoderConfig):
    """Convolutions derived from the image's size; 84×84 gives the stack of Mnih et al. (2015).

    Bytes and other ranges that start at 0 are scaled to [0, 1] inside the module.
    """

    type: Literal["cnn"] = "cnn"
    filters: AutoOr[Filters] = Auto()
    layout: AutoOr[Layout] = Auto()
    """Channels last (`hwc`) or first (`chw`)."""
    hidden: Listed[Size] = (512,)
    """Linear layers behind the flattened convolutions."""
    activation: Activation = "relu"
    conv_initializer: ConvInitializer | None = orthogonal()

    def refusal(self, space: gym.Space) -> str | None:
        if not isinstance(space, spaces.Box) or len(space.shape) != 3:
            return f"`cnn` takes an image, a Box of rank 3, not {describe(space)}"
        if isinstance(self.layout, Auto) and image_layout(space) is None:
            return (
                f"`cnn` cannot tell which axis of {describe(space)} holds the channels: "
                "give `layout`, hwc or chw"
            )
        return None

    def resolve(self, space: gym.Space) -> Self:
        layout = image_layout(space) if isinstance(self.layout, Auto) else self.layout
        _, height, width = _sizes(space, layout)
        auto = isinstance(self.filters, Auto)
        filters = derive_filters(height, width) if auto else self.filters
        resolved = self.model_copy(update={"layout": layout, "filters": filters})
        resolved.out_shape(space)
        return resolved

    def out_shape(self, space: gym.Space) -> tuple[int, int, int]:
        """Channels, height and width after the last convolution.

        Raises:
            CompositionError: Where a kernel is larger than what is left of the image.
        """
        assert not isinstance(self.filters, Auto)
        channels, *sides = _sizes(space, self.layout)
        for index, layer in enumerate(self.filters):
            out = [layer.out_size(size, axis) for axis, size in enumerate(sides)]
            if min(out) < 1 or any(
                kernel > 2 * size for kernel, size in zip(layer.kernel, sides, strict=True)
            ):
                raise CompositionError(
                    Problem(
                        f"only {sides[0]}×{sides[1]} pixels are left of {describe(space)} where "
                        "this convolution begins, too few for its kernel",
                        path=f"filters[{index}].kernel",
                        value=layer.kernel,
                        fix="filters=auto",
                    )
                )
            channels, sides = layer.channels, out
        return channels, sides[0], sides[1]

    def out_dim(self, space: gym.Space) -> int:
        return self.width(math.prod(self.out_shape(space)))

    def build(self, space: gym.Space) -> "CNNEncoder":
        assert isinstance(space, spaces.Box)
        assert not isinstance(self.filters, Auto)
        channels, *sides = _sizes(space, self.layout)
        layers: list[nn.Module] = []
        for layer in self.filters:
            if layer.padding == "same":
                layers.append(nn.ZeroPad2d(_same_padding(layer, sides)))
            conv = nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride)
            layers.append(initialised(conv, self.conv_initializer, self.bias_initializer))
            layers.append(ACTIVATIONS[self.activation]())
            sides = [layer.out_size(size, axis) for axis, size in enumerate(sides)]
            channels = layer.channels
        high = float(np.max(space.high))
        scaled = float(np.min(space.low)) == 0.0 and math.isfinite(high) and high > 1.0
        return CNNEncoder(
            channels_last=self.layout == "hwc",
            scale=1.0 / high if scaled else 1.0,
            convolutions=nn.Sequential(*layers),
            layers=self.stack(math.prod(self.out_shape(space))),
        )


def derive_filters(height: int, width: int) -> tuple[ConvLayer, ...]:
    """Convolutions for an image of any size.

    Each axis is brought down on its own: kernel 8 and stride 4 while it has 60 pixels or more,
    kernel 4 and stride 2 while it has 12 or more, then kernel 3 once (or what is left of the
    axis). An axis that needs fewer layers waits with kernel 1.
    """
    axes = [_derive_axis(size) for size in (height, width)]
    depth = max(len(axis) for axis in axes)
    layers = [[(1, 1)] * (depth - len(axis)) + axis for axis in axes]
    return tuple(
        ConvLayer(
            channels=32 if index == 0 else 64,
            kernel=(along_height[0], along_width[0]),
            stride=(along_height[1], along_width[1]),
        )
        for index, (along_height, along_width) in enumerate(zip(*layers, strict=True))
    )


def _derive_axis(size: int) -> list[tuple[int, int]]:
    steps = []
    while size >= 12:
        kernel, stride = (8, 4) if size >= 60 else (4, 2)
        steps.append((kernel, stride))
        size = (size - kernel) // stride + 1
    return [*steps, (min(3, size), 1)]


def _sizes(space: gym.Space, layout: Any) -> tuple[int, int, int]:
    """Channels, height and width of an image space."""
    assert space.shape is not None
    first, middle, last = space.shape
    return (last, first, middle) if layout == "hwc" else (first, middle, last)


def _same_padding(layer: ConvLayer, sides: list[int]) -> tuple[int, int, int, int]:
    """Left, right, top and bottom, so that a stride of 1 keeps the size."""
    pads = []
    for axis in (1, 0):
        out = layer.out_size(sides[axis], axis)
        total = max(0, (out - 1) * layer.stride[axis] + layer.kernel[axis] - sides[axis])
        pads += [total // 2, total - total // 2]
    return pads[0], pads[1], pads[2], pads[3]


class CNNEncoder(nn.Module):
    """Scales, brings channels to the front, convolves, flattens and applies the layers."""

    def __init__(
        self, *, channels_last: bool, scale: float, convolutions: nn.Module, layers: nn.Module
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.scale = scale
        self.convolutions = convolutions
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, H, W, C)` or `(*B, C, H, W)`, any dtype → `(*B, F)` float32."""
        lead = obs.shape[:-3]
        x = obs.reshape(math.prod(lead), *obs.shape[-3:]).float()
        if self.scale != 1.0:
            x = x * self.scale
        if self.channels_last:
            x = x.permute(0, 3, 1, 2)
        x = self.layers(self.convolutions(x).flatten(1))
        return x.reshape(*lead, x.shape[-1])
