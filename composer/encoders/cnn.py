"""`cnn`: images of any size through convolutions, then linear layers."""

from typing import Annotated, ClassVar, Literal, Self

import gymnasium as gym

from composer.config import Auto, AutoOr, Listed
from composer.encoders._filters import LISTED, Convolution, FilteredConfig, per_axis, shorthand
from composer.encoders._image import ImageEncoderConfig

PerAxis = Annotated[tuple[int, int], per_axis("height", "width")]
"""A size for both axes, or one for height and one for width."""


class Convolution2d(Convolution):
    """One convolution; `[32, 8, 4]` is short for 32 channels, kernel 8, stride 4."""

    kernel: PerAxis
    stride: PerAxis = (1, 1)


Filters = Annotated[Listed[Annotated[Convolution2d, shorthand(Convolution2d)]], LISTED]


class CNNEncoderConfig(ImageEncoderConfig, FilteredConfig):
    """Convolutions derived from the image's size; 84×84 gives the stack of Mnih et al. (2015).

    Bytes and other ranges that start at 0 are scaled to [0, 1] inside the module.
    """

    layer: ClassVar[type[Convolution]] = Convolution2d

    type: Literal["cnn"] = "cnn"
    filters: AutoOr[Filters] = Auto()

    def resolve(self, space: gym.Space) -> Self:
        return self.with_pixels(space).with_filters(space)
