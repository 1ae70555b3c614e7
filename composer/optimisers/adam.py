"""`adam`: Adam (Kingma and Ba, 2015, arXiv:1412.6980)."""

from typing import Literal

import torch

from composer.config import Positive
from composer.optimisers.base import Betas, OptimiserConfig


class AdamConfig(OptimiserConfig):
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980)."""

    type: Literal["adam"] = "adam"

    torch_class = torch.optim.Adam
    fused = True

    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    amsgrad: bool = False
