"""`radam`: Rectified Adam (Liu et al., 2020, arXiv:1908.03265)."""

from typing import Literal

import torch

from composer.config import Positive
from composer.optimisers.base import Betas, OptimiserConfig


class RAdamConfig(OptimiserConfig):
    """Rectified Adam (Liu et al., 2020, arXiv:1908.03265)."""

    type: Literal["radam"] = "radam"

    torch_class = torch.optim.RAdam

    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    decoupled_weight_decay: bool = False
