"""`sgd`: stochastic gradient descent, with momentum where it is asked for."""

from typing import Literal, Self

import torch
from pydantic import model_validator

from composer.config import NotNegative
from composer.errors import Problem
from composer.optimisers.base import OptimiserConfig
from composer.problems import invalid_keys


class SGDConfig(OptimiserConfig):
    """Stochastic gradient descent, with momentum where it is asked for."""

    type: Literal["sgd"] = "sgd"

    torch_class = torch.optim.SGD
    fused = True

    momentum: NotNegative = 0.0
    dampening: NotNegative = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and not (self.momentum and not self.dampening):
            problem = Problem("nesterov needs a momentum, and no dampening")
            raise invalid_keys(("nesterov", True, problem))
        return self
