"""`adagrad`: Adagrad (Duchi et al., 2011)."""

from typing import Literal

import torch

from composer.config import NotNegative, Positive
from composer.optimisers.base import OptimiserConfig


class AdagradConfig(OptimiserConfig):
    """Adagrad (Duchi et al., 2011)."""

    type: Literal["adagrad"] = "adagrad"

    torch_class = torch.optim.Adagrad

    lr_decay: NotNegative = 0.0
    initial_accumulator_value: NotNegative = 0.0
    eps: Positive = 1e-10
