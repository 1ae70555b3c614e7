"""How the numbers of a Box are scaled and normalised before a network sees them."""

from collections import OrderedDict
from typing import Literal, Self

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from composer.config import Auto, AutoOr
from composer.encoders.base import EncoderConfig
from composer.errors import CompositionError, Problem
from composer.running_norm import RunningNorm
from composer.spaces import describe, image_layout

Scaling = Literal["none", "unit", "symmetric"]


class ScaledConfig(EncoderConfig):
    """An encoder of a Box, whose numbers are brought to a scale first."""

    scaling: AutoOr[Scaling] = Auto()
    """`unit`: from a component's bounds to [0, 1]; `symmetric`: to [-1, 1]; a component without
    bounds stays as it is. `auto` is `unit` for integers and for pixels from 0 to more than 1,
    `none` for other floats."""
    norm: Literal["none", "running"] = "none"
    """`running`: after `scaling`, each component less its running mean, divided by its running
    standard deviation, clipped to ±10. What was collected is taken in after each update."""

    def with_scaling(self, space: gym.spaces.Box) -> Self:
        """The same config, with a scaling that is not `auto`.

        Raises:
            CompositionError: Where there are no bounds to scale by.
        """
        if isinstance(self.scaling, Auto):
            return self.model_copy(update={"scaling": _usual(space)})
        if self.scaling != "none" and not has_bounds(space).any():
            raise CompositionError(
                Problem(
                    f"no component of {describe(space)} has two finite bounds to scale by",
                    path="scaling",
                    value=self.scaling,
                    fix="scaling=none",
                )
            )
        return self

    def scaler(self, space: gym.spaces.Box, components: tuple[int, ...] | None = None) -> nn.Module:
        """Numbers of the space → float32, scaled and normalised; the config is resolved.

        Args:
            space: Of the observations.
            components: The last axes, which have statistics of their own; all axes by default.
        """
        scale = rescale(space, self.scaling)
        if self.norm == "none":
            return scale
        norm = RunningNorm(shape=space.shape if components is None else components)
        return nn.Sequential(OrderedDict(scale=scale, norm=norm))


def has_bounds(space: gym.spaces.Box) -> np.ndarray:
    """Which components have two finite bounds, `shape` bool.

    Gymnasium writes "no bound" of an integer as the end of its type; a type of 16 bits or fewer
    is taken to use its whole range.
    """
    if not np.issubdtype(space.dtype, np.integer):
        with np.errstate(over="ignore"):
            span = space.high.astype(np.float32) - space.low.astype(np.float32)
        return np.isfinite(span)
    ends = np.iinfo(space.dtype.name)
    if ends.bits <= 16:
        return np.ones(space.shape, np.bool_)
    return (space.high < ends.max) & ((space.low > ends.min) | (ends.min == 0))


def _usual(space: gym.spaces.Box) -> Scaling:
    if np.issubdtype(space.dtype, np.integer):
        return "unit" if has_bounds(space).any() else "none"
    are_pixels = image_layout(space) is not None and space.low.min() == 0.0
    return "unit" if are_pixels and space.high.max() > 1.0 else "none"


class Rescale(nn.Module):
    """Numbers of any dtype as float32, centred and divided; None where that is not needed."""

    center: Tensor | None
    width: Tensor | None

    def __init__(self, *, center: Tensor | None, width: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("center", center, persistent=False)
        self.register_buffer("width", width, persistent=False)

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, *shape)` → the same shape, float32."""
        x = obs.float()
        if self.center is not None:
            x = x - self.center
        return x if self.width is None else x / self.width


def rescale(space: gym.spaces.Box, scaling: Scaling | Auto) -> Rescale:
    """The scaling as a part of a module; one number where all components are scaled alike."""
    assert not isinstance(scaling, Auto)
    if scaling == "none":
        return Rescale(center=None, width=None)
    bounded = has_bounds(space)
    low = np.where(bounded, space.low, 0.0).astype(np.float64)
    high = np.where(bounded, space.high, 1.0).astype(np.float64)
    center, width = low, high - low
    if scaling == "symmetric":
        center, width = np.where(bounded, (low + high) / 2, 0.0), np.where(bounded, width / 2, 1.0)
    return Rescale(
        center=_unless(0.0, center), width=_unless(1.0, np.where(width == 0.0, 1.0, width))
    )


def _unless(idle: float, values: np.ndarray) -> Tensor | None:
    """The values as a tensor, of rank 0 where they are all the same; None where that is `idle`."""
    first = values.flat[0]
    if not (values == first).all():
        return torch.as_tensor(values, dtype=torch.float32)
    return None if first == idle else torch.tensor(first, dtype=torch.float32)
