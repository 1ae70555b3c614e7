"""Features → a prediction of the values of a space, the reverse of an encoder."""

import math
from collections.abc import Sequence

import gymnasium as gym
from torch import Tensor, nn

from composer.encoders.cnn import Convolution2d
from composer.heads.base import HeadConfig
from composer.layers import ACTIVATIONS
from composer.spaces import flat_dim, image_layout, leaf_spaces

AXES = "tchw"
"""The order in which an image is made; frames and channels are side by side."""


def decoder(config: HeadConfig, in_dim: int, space: gym.Space) -> "Decoder":
    """The hidden layers of a head, then for each leaf of a space an output layer, or a picture."""
    width = config.width(in_dim)
    outputs = [
        config.output(width, flat_dim(leaf))
        if image_layout(leaf) is None
        else picture(config, width, leaf)
        for leaf in leaf_spaces(space)
    ]
    return Decoder(hidden=config.stack(in_dim), outputs=outputs)


class Decoder(nn.Module):
    """Hidden layers that all leaves share, and what makes each leaf."""

    def __init__(self, *, hidden: nn.Module, outputs: Sequence[nn.Module]) -> None:
        super().__init__()
        self.hidden = hidden
        self.outputs = nn.ModuleList(outputs)

    def forward(self, features: Tensor) -> list[Tensor]:
        """features: `(*B, F)` → of each leaf `(*B, dim)`, as `Code.error` takes it."""
        hidden = self.hidden(features)
        return [output(hidden) for output in self.outputs]


def picture(config: HeadConfig, in_dim: int, space: gym.Space) -> "Picture":
    """The convolutions that `cnn` derives for an image, transposed and in reverse."""
    layout = image_layout(space)
    assert layout is not None
    assert space.shape is not None
    sizes = dict(zip(layout, space.shape, strict=True))
    channels, height, width = sizes.get("t", 1) * sizes.get("c", 1), sizes["h"], sizes["w"]
    layers: list[nn.Module] = []
    for filters in Convolution2d.derived((height, width)):
        small = filters.out_sizes((height, width))
        axes = zip((height, width), small, filters.kernel, filters.stride, strict=True)
        rest = [size - (least - 1) * stride - kernel for size, least, kernel, stride in axes]
        layer = nn.ConvTranspose2d(
            filters.channels,
            channels,
            filters.kernel,
            filters.stride,
            output_padding=(rest[0], rest[1]),
        )
        layers = [ACTIVATIONS[config.activation](), layer, *layers]
        channels, (height, width) = filters.channels, small
    start = (channels, height, width)
    made = [axis for axis in AXES if axis in layout]
    return Picture(
        start=config.output(in_dim, math.prod(start)),
        shape=start,
        layers=nn.Sequential(*layers),
        sizes=tuple(sizes[axis] for axis in made),
        order=tuple(made.index(axis) for axis in layout),
    )


class Picture(nn.Module):
    """Features → the pixels of an image, in the image's own order.

    Args:
        start: Features → the smallest maps, flattened.
        shape: Channels, height and width of these.
        layers: `(B, *shape)` → the image, frames and channels side by side.
        sizes: Of the axes that there are of `AXES`, in that order.
        order: Where each axis of the image stands among them.
    """

    def __init__(
        self,
        *,
        start: nn.Module,
        shape: tuple[int, ...],
        layers: nn.Module,
        sizes: tuple[int, ...],
        order: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.start = start
        self.shape = shape
        self.layers = layers
        self.sizes = sizes
        self.order = (0, *(axis + 1 for axis in order))

    def forward(self, features: Tensor) -> Tensor:
        """features: `(*B, F)` → `(*B, pixels)`."""
        lead = features.shape[:-1]
        maps = self.start(features.reshape(math.prod(lead), features.shape[-1]))
        image = self.layers(maps.reshape(maps.shape[0], *self.shape))
        image = image.reshape(image.shape[0], *self.sizes).permute(self.order)
        return image.reshape(*lead, math.prod(self.sizes))
