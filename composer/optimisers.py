"""Optimisers, learning-rate schedules, and optimiser state by parameter name."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from composer.errors import CheckpointError

Schedule = Literal["constant", "linear", "cosine"]
"""How a learning rate falls from its start to 0 at the end of training."""


def schedule_factor(schedule: Schedule, progress: float) -> float:
    """What the learning rate is multiplied by.

    Args:
        schedule: The curve.
        progress: Fraction of the environment steps done, in [0, 1].
    """
    if schedule == "linear":
        return 1.0 - progress
    return 0.5 * (1.0 + math.cos(math.pi * progress)) if schedule == "cosine" else 1.0


def adam(module: nn.Module, *, lr: float, eps: float) -> torch.optim.Adam:
    """Adam over the trainable parameters, each once, in one fused group."""
    return adam_over([p for p in module.parameters() if p.requires_grad], lr=lr, eps=eps)


def adam_over(parameters: Sequence[Tensor], *, lr: float, eps: float) -> torch.optim.Adam:
    """Adam over these parameters, in one fused group."""
    return torch.optim.Adam(parameters, lr=lr, eps=eps, fused=True)


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = lr


def named_state(optimiser: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimiser's tensors as `<parameter>/<key>`, whatever its layout in memory."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value.detach().clone()
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def load_named_state(
    optimiser: torch.optim.Optimizer, module: nn.Module, state: Mapping[str, Tensor]
) -> None:
    """Loads what `named_state` gave; nothing of the state before is left.

    Raises:
        CheckpointError: If the state names parameters that the module does not have, or has other
            shapes; nothing is loaded.
    """
    parameters = dict(module.named_parameters())
    for key, value in state.items():
        parameter = parameters.get(key.rpartition("/")[0])
        if parameter is None or (value.dim() and value.shape != parameter.shape):
            raise CheckpointError(f"the optimiser's state `{key}` does not fit the module")
    optimiser.state.clear()
    for key, value in state.items():
        name, _, field = key.rpartition("/")
        parameter = parameters[name]
        optimiser.state[parameter][field] = value.to(parameter.device).clone()
