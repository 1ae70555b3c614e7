"""Losses that a module has by itself: every algorithm adds them to what it minimises."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from composer.algorithms._sequences import with_next
from composer.apis import SelfSupervisedLossAPI
from composer.module.rl_module import RLModule


def own_losses(
    module: RLModule, batch: Mapping[str, Any], out: Mapping[str, Any] | None = None
) -> dict[str, Tensor]:
    """The module's own losses, each with its weight, by the name of its metric; {} of most modules.

    Args:
        module: What is trained.
        batch: As `SelfSupervisedLossAPI.compute_self_supervised_loss` takes it.
        out: What `forward_train` returned for it; None where nobody has called that yet.
    """
    if not isinstance(module, SelfSupervisedLossAPI):
        return {}
    batch = with_next(batch)
    out = module.forward_train(batch) if out is None else out
    losses = module.compute_self_supervised_loss(batch, out)
    return {f"auxiliary/{name}": loss for name, loss in losses.items()}


def summed(losses: Iterable[Tensor]) -> Tensor | float:
    """One loss; 0 of none."""
    return sum(losses, 0.0)


def gradients(losses: Iterable[Tensor], parameters: Sequence[Tensor]) -> dict[Tensor, Tensor]:
    """The gradient of the losses' sum by parameter, where they depend on it."""
    total = summed(losses)
    if not isinstance(total, Tensor) or not total.requires_grad or not parameters:
        return {}
    found = torch.autograd.grad(total, parameters, allow_unused=True)
    pairs = zip(parameters, found, strict=True)
    return {parameter: gradient for parameter, gradient in pairs if gradient is not None}
