"""`rmsprop`: RMSprop (Tieleman and Hinton, 2012)."""

from typing import Literal

import torch

from composer.config import Fraction, NotNegative, Positive
from composer.optimisers.base import OptimiserConfig


class RMSpropConfig(OptimiserConfig):
    """RMSprop (Tieleman and Hinton, 2012)."""

    type: Literal["rmsprop"] = "rmsprop"

    torch_class = torch.optim.RMSprop

    alpha: Fraction = 0.99
    """Of the running mean of the gradient's square."""
    eps: Positive = 1e-8
    momentum: NotNegative = 0.0
    centered: bool = False
