"""`cnn3d`: stacked frames through convolutions over time, height and width."""

from typing import Annotated, ClassVar, Literal, Self

import gymnasium as gym

from composer.config import Auto, AutoOr, Listed
from composer.encoders._filters import LISTED, Convolution, FilteredConfig, per_axis, shorthand
from composer.encoders._image import ImageEncoderConfig

PerAxis = Annotated[tuple[int, int, int], per_axis("time", "height", "width")]
"""A size for all axes, or one for time, one for height and one for width."""


class Convolution3d(Convolution):
    """One convolution; `[32, 3, 2]` is short for 32 channels, kernel 3, stride 2."""

    kernel: PerAxis
    stride: PerAxis = (1, 1, 1)


Filters = Annotated[Listed[Annotated[Convolution3d, shorthand(Convolution3d)]], LISTED]


class CNN3DEncoderConfig(ImageEncoderConfig, FilteredConfig):
    """Convolutions over the frames too, where `cnn` takes frames for channels.

    They are derived from the number of frames and their size, each axis on its own.
    """

    axes: ClassVar[tuple[str, ...]] = ("c", "t", "h", "w")
    taken: ClassVar[str] = "stacked frames, a Box of rank 4"
    ranks: ClassVar[tuple[int, ...]] = (4,)
    layer: ClassVar[type[Convolution]] = Convolution3d

    type: Literal["cnn3d"] = "cnn3d"
    layout: AutoOr[Literal["thwc", "tchw"]] = Auto()  # pyright: ignore[reportIncompatibleVariableOverride]
    """Time, and channels last or first in each frame."""
    filters: AutoOr[Filters] = Auto()

    def resolve(self, space: gym.Space) -> Self:
        return self.with_pixels(space).with_filters(space)
