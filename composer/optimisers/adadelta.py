"""`adadelta`: Adadelta (Zeiler, 2012, arXiv:1212.5701)."""

from typing import Literal

import torch

from composer.config import Fraction, Positive
from composer.optimisers.base import OptimiserConfig


class AdadeltaConfig(OptimiserConfig):
    """Adadelta (Zeiler, 2012, arXiv:1212.5701)."""

    type: Literal["adadelta"] = "adadelta"

    torch_class = torch.optim.Adadelta

    rho: Fraction = 0.9
    """Of the running means of the squares of gradient and step."""
    eps: Positive = 1e-6
