"""`nadam`: Adam with Nesterov's momentum (Dozat, 2016)."""

from typing import Literal

import torch

from composer.config import NotNegative, Positive
from composer.optimisers.base import Betas, OptimiserConfig


class NAdamConfig(OptimiserConfig):
    """Adam with Nesterov's momentum (Dozat, 2016)."""

    type: Literal["nadam"] = "nadam"

    torch_class = torch.optim.NAdam

    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    momentum_decay: NotNegative = 4e-3
    decoupled_weight_decay: bool = False
