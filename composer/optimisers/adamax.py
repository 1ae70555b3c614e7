"""`adamax`: Adam by the largest gradient (Kingma and Ba, 2015, arXiv:1412.6980, sec. 7.1)."""

from typing import Literal

import torch

from composer.config import Positive
from composer.optimisers.base import Betas, OptimiserConfig


class AdamaxConfig(OptimiserConfig):
    """Adam by the largest gradient (Kingma and Ba, 2015, arXiv:1412.6980, sec. 7.1)."""

    type: Literal["adamax"] = "adamax"

    torch_class = torch.optim.Adamax

    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
