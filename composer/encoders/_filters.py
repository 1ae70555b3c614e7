"""Stacks of convolutions along any number of axes, given or derived from the sizes."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import gymnasium as gym
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from composer.config import Auto, Config, Listed, Size
from composer.encoders._convolved import ConvolvedConfig
from composer.errors import CompositionError, Problem
from composer.layers import ACTIVATIONS, ConvInitializer, initialised, orthogonal
from composer.problems import invalid_value
from composer.spaces import describe

PADDED = {
    1: (nn.ConstantPad1d, nn.Conv1d),
    2: (nn.ConstantPad2d, nn.Conv2d),
    3: (nn.ConstantPad3d, nn.Conv3d),
}
"""Padding and convolution along so many axes."""
_WORDS = {2: "two", 3: "three"}


class Convolution(Config):
    """One convolution; `[32, 8, 4]` is short for 32 channels, kernel 8, stride 4."""

    channels: Size
    kernel: Any
    """Annotated by each class with `per_axis`, as `stride` is."""
    stride: Any
    padding: Literal["valid", "same"] = "valid"

    @classmethod
    def derived(cls, sizes: Sequence[int]) -> tuple[Self, ...]:
        """Convolutions for axes of any sizes.

        Each axis is brought down on its own: kernel 8 and stride 4 while it has 60 elements or
        more, kernel 4 and stride 2 while it has 12 or more, then kernel 3 once (or what is left
        of the axis). An axis that needs fewer layers waits with kernel 1.
        """
        axes = [_derive_axis(size) for size in sizes]
        depth = max(len(axis) for axis in axes)
        layers = zip(*([(1, 1)] * (depth - len(axis)) + axis for axis in axes), strict=True)
        return tuple(
            cls.parse(
                {
                    "channels": 32 if index == 0 else 64,
                    "kernel": tuple(kernel for kernel, _ in along),
                    "stride": tuple(stride for _, stride in along),
                }
            )
            for index, along in enumerate(layers)
        )

    def out_sizes(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Sizes after the convolution; 0 or less where the kernel is too large."""
        axes = zip(sizes, self.kernel, self.stride, strict=True)
        if self.padding == "same":
            return tuple(math.ceil(size / stride) for size, _, stride in axes)
        return tuple((size - kernel) // stride + 1 for size, kernel, stride in axes)

    def least_sizes(self, out: Sequence[int]) -> list[int]:
        """The smallest sizes before the convolution that leave as many as `out` after it."""
        axes = zip(out, self.kernel, self.stride, strict=True)
        if self.padding == "same":  # of which half a kernel at most lies beyond the edge
            return [max((o - 1) * stride + 1, -(-kernel // 2)) for o, kernel, stride in axes]
        return [(o - 1) * stride + kernel for o, kernel, stride in axes]

    def pads(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Before and behind each axis, the last axis first, so that a stride of 1 keeps sizes."""
        out = self.out_sizes(sizes)
        totals = [
            max(0, (after - 1) * stride + kernel - size)
            for after, stride, kernel, size in zip(
                out, self.stride, self.kernel, sizes, strict=True
            )
        ]
        return tuple(pad for total in reversed(totals) for pad in (total // 2, total - total // 2))


def _derive_axis(size: int) -> list[tuple[int, int]]:
    steps = []
    while size >= 12:
        kernel, stride = (8, 4) if size >= 60 else (4, 2)
        steps.append((kernel, stride))
        size = (size - kernel) // stride + 1
    return [*steps, (min(3, size), 1)]


def per_axis(*names: str) -> BeforeValidator:
    """Takes one size for all axes of these names, or one for each."""
    count = len(names)
    expected = "expected a positive whole number"
    if count > 1:
        expected += f", or {_WORDS[count]}: for {', for '.join(names[:-1])} and for {names[-1]}"

    def spread(value: object) -> tuple[object, ...]:
        sizes = tuple(value) if isinstance(value, list | tuple) else (value,) * count
        if len(sizes) != count or not all(type(size) is int and size > 0 for size in sizes):
            raise invalid_value(expected)
        return sizes

    each = Annotated[Listed[Size], Field(min_length=count, max_length=count)]
    return BeforeValidator(spread, json_schema_input_type=Size | each)


def shorthand(layer: type[Convolution]) -> BeforeValidator:
    """Takes a convolution that is written as a list."""
    return BeforeValidator(_layer, json_schema_input_type=layer | Listed[Any])


def _layer(value: object) -> object:
    if not isinstance(value, list | tuple):
        return value
    if not 2 <= len(value) <= 4:
        raise invalid_value(
            "a convolution is [channels, kernel, stride, padding], the last two of which may be "
            f"left out; this has {len(value)} value{'s' * (len(value) != 1)}"
        )
    return dict(zip(("channels", "kernel", "stride", "padding"), value, strict=False))


_USUAL_KERNEL = 8
"""In a flat list of whole numbers, greater ones are channels: each of a convolution of its own."""


def _layers(value: object) -> object:
    is_list = isinstance(value, list | tuple)
    if is_list and all(isinstance(item, list | tuple | Mapping | Convolution) for item in value):
        return value
    items = list(value) if isinstance(value, list | tuple) else []
    is_flat = all(type(item) is int and item > 0 for item in items)
    is_one = is_flat and 1 < len(items) < 4 and max(items[1:]) <= _USUAL_KERNEL
    widths = items if is_flat and not is_one else []
    raise invalid_value(
        "expected a list of convolutions, each a list: [[32,8,4],[64,4,2]]",
        meant=[[[width, 3, 1, "same"] for width in widths]] if widths else [],
    )


LISTED = BeforeValidator(_layers)
"""Says what a list of convolutions looks like where something else was given."""


class FilteredConfig(ConvolvedConfig):
    """Convolutions one after the other."""

    layer: ClassVar[type[Convolution]]
    unit: ClassVar[str] = "pixel"

    filters: Any = Auto()
    """A list of the class's `layer`."""
    conv_initializer: ConvInitializer | None = orthogonal()
    conv_layer_norm: bool = False
    """Normalise the channels of each place between a convolution and its activation."""

    def with_filters(self, space: gym.Space) -> Self:
        """The same config, its filters filled in; all else is resolved.

        Raises:
            CompositionError: Where a kernel is larger than what is left of the observation.
        """
        resolved = self
        if isinstance(self.filters, Auto):
            filters = self.layer.derived(self.in_shape(space)[1:])
            resolved = self.model_copy(update={"filters": filters})
        resolved.out_shape(space)
        return resolved

    def out_shape(self, space: gym.Space) -> tuple[int, ...]:
        """Channels and sizes after the last convolution.

        Raises:
            CompositionError: Where a kernel is larger than what is left of the observation.
        """
        channels, *sizes = self.in_shape(space)
        for index, layer in enumerate(self.filters):
            out = layer.out_sizes(sizes)
            if min(out) < 1 or any(
                kernel > 2 * size for kernel, size in zip(layer.kernel, sizes, strict=True)
            ):
                raise CompositionError(
                    Problem(
                        f"only {self._counted(sizes)} left of {describe(space)} where this "
                        "convolution begins, too few for its kernel\n"
                        f"the convolutions need {self._least()} or more",
                        path=f"filters[{index}].kernel",
                        value=layer.kernel,
                        fix="filters=auto",
                    )
                )
            channels, sizes = layer.channels, out
        return channels, *sizes

    def _least(self) -> str:
        """The smallest sizes that all convolutions fit: `36×36 pixels`."""
        sizes = [1] * len(self.filters[0].kernel)
        for layer in reversed(self.filters):
            sizes = layer.least_sizes(sizes)
        return f"{'×'.join(map(str, sizes))} {self.unit}s"

    def _counted(self, sizes: Sequence[int]) -> str:
        verb = " is" if math.prod(sizes) == 1 else "s are"
        return f"{'×'.join(map(str, sizes))} {self.unit}{verb}"

    def convolutions(self, space: gym.Space) -> nn.Sequential:
        channels, *sizes = self.in_shape(space)
        padded, convolution = PADDED[len(sizes)]
        layers: list[nn.Module] = []
        for layer in self.filters:
            if layer.padding == "same":
                layers.append(padded(layer.pads(sizes), 0.0))
            conv = convolution(channels, layer.channels, layer.kernel, layer.stride)
            layers.append(initialised(conv, self.conv_initializer, self.bias_initializer))
            if self.conv_layer_norm:
                layers.append(ChannelNorm(layer.channels))
            layers.append(ACTIVATIONS[self.activation]())
            channels, sizes = layer.channels, layer.out_sizes(sizes)
        return nn.Sequential(*layers)


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of each place."""

    def forward(self, input: Tensor) -> Tensor:
        """`(B, C, …)` → the same shape."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)
