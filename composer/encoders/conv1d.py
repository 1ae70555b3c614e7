"""`conv1d`: a time series through convolutions over time, then linear layers."""

from typing import Annotated, ClassVar, Literal, Self

import gymnasium as gym
from gymnasium import spaces

from composer.config import Auto, AutoOr, Listed
from composer.encoders._filters import LISTED, Convolution, FilteredConfig, per_axis, shorthand
from composer.spaces import describe

OneAxis = Annotated[tuple[int], per_axis("time")]
"""A number of steps."""


class Convolution1d(Convolution):
    """One convolution; `[32, 8, 4]` is short for 32 channels, kernel 8, stride 4."""

    kernel: OneAxis
    stride: OneAxis = (1,)


Filters = Annotated[Listed[Annotated[Convolution1d, shorthand(Convolution1d)]], LISTED]


class Conv1DEncoderConfig(FilteredConfig):
    """Convolutions over time, derived from the number of steps, over a Box of rank 2."""

    axes: ClassVar[tuple[str, ...]] = ("c", "t")
    layer: ClassVar[type[Convolution]] = Convolution1d
    unit: ClassVar[str] = "time step"

    type: Literal["conv1d"] = "conv1d"
    layout: Literal["tc", "ct"] = "tc"
    """Rows are time steps and columns channels (`tc`), or the other way round (`ct`)."""
    filters: AutoOr[Filters] = Auto()

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Box) and len(space.shape) == 2:
            return None
        return f"`conv1d` takes a time series, a Box of rank 2, not {describe(space)}"

    def resolve(self, space: gym.Space) -> Self:
        assert isinstance(space, spaces.Box)
        return self.with_scaling(space).with_filters(space)
