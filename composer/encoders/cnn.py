"""`cnn`: images of any size through convolutions, then linear layers."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import gymnasium as gym
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from composer.config import Auto, AutoOr, Config, Listed, Size
from composer.encoders._image import ImageEncoderConfig
from composer.errors import CompositionError, Problem
from composer.layers import ACTIVATIONS, ConvInitializer, initialised, orthogonal
from composer.problems import invalid_value
from composer.spaces import describe


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


class CNNEncoderConfig(ImageEncoderConfig):
    """Convolutions derived from the image's size; 84×84 gives the stack of Mnih et al. (2015).

    Bytes and other ranges that start at 0 are scaled to [0, 1] inside the module.
    """

    type: Literal["cnn"] = "cnn"
    filters: AutoOr[Filters] = Auto()
    conv_initializer: ConvInitializer | None = orthogonal()
    conv_layer_norm: bool = False
    """Normalise the channels of each pixel between a convolution and its activation."""

    def resolve(self, space: gym.Space) -> Self:
        resolved = self.with_pixels(space)
        if isinstance(self.filters, Auto):
            _, height, width = resolved.in_shape(space)
            resolved = resolved.model_copy(update={"filters": derive_filters(height, width)})
        resolved.out_shape(space)
        return resolved

    def out_shape(self, space: gym.Space) -> tuple[int, int, int]:
        """Channels, height and width after the last convolution.

        Raises:
            CompositionError: Where a kernel is larger than what is left of the image.
        """
        assert not isinstance(self.filters, Auto)
        channels, *sides = self.in_shape(space)
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

    def convolutions(self, space: gym.Space) -> nn.Sequential:
        assert not isinstance(self.filters, Auto)
        channels, *sides = self.in_shape(space)
        layers: list[nn.Module] = []
        for layer in self.filters:
            if layer.padding == "same":
                layers.append(nn.ZeroPad2d(_same_padding(layer, sides)))
            conv = nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride)
            layers.append(initialised(conv, self.conv_initializer, self.bias_initializer))
            if self.conv_layer_norm:
                layers.append(ChannelNorm(layer.channels))
            layers.append(ACTIVATIONS[self.activation]())
            sides = [layer.out_size(size, axis) for axis, size in enumerate(sides)]
            channels = layer.channels
        return nn.Sequential(*layers)


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


def _same_padding(layer: ConvLayer, sides: list[int]) -> tuple[int, int, int, int]:
    """Left, right, top and bottom, so that a stride of 1 keeps the size."""
    pads = []
    for axis in (1, 0):
        out = layer.out_size(sides[axis], axis)
        total = max(0, (out - 1) * layer.stride[axis] + layer.kernel[axis] - sides[axis])
        pads += [total // 2, total - total // 2]
    return pads[0], pads[1], pads[2], pads[3]


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of each pixel."""

    def forward(self, input: Tensor) -> Tensor:
        """`(B, C, H, W)` → the same shape."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)
