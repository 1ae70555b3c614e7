"""`adamw`: Adam with weight decay of its own (Loshchilov and Hutter, 2019, arXiv:1711.05101)."""

from typing import Literal

import torch

from composer.config import NotNegative, Positive
from composer.optimisers.base import Betas, OptimiserConfig


class AdamWConfig(OptimiserConfig):
    """Adam with weight decay of its own (Loshchilov and Hutter, 2019, arXiv:1711.05101)."""

    type: Literal["adamw"] = "adamw"

    torch_class = torch.optim.AdamW
    fused = True

    weight_decay: NotNegative = 0.01
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    amsgrad: bool = False
