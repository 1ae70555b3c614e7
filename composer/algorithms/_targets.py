"""What values should be, and the slower copies of networks that say so."""

import torch
from torch import Tensor

from composer.algorithms.base import Batch
from composer.apis import TargetNetworkAPI
from composer.columns import Columns


def move_targets(module: TargetNetworkAPI, tau: float) -> None:
    """Moves each copy towards its original by the fraction `tau`; buffers are taken as they are."""
    pairs = module.get_target_network_pairs()
    with torch.no_grad():
        slow = [own for _, copy in pairs for own in copy.parameters()]
        fast = [new for network, _ in pairs for new in network.parameters()]
        if slow:
            torch._foreach_lerp_(slow, fast, tau)  # pyright: ignore[reportPrivateImportUsage]
        for network, copy in pairs:
            for own, new in zip(copy.buffers(), network.buffers(), strict=True):
                own.copy_(new)


def goals(values: Tensor, batch: Batch) -> Tensor:
    """R + γᵏ · value of what followed, unless the episode ended there.

    Args:
        values: `(B,)`, or several of each transition `(B, Z)`.
        batch: Transitions.
    """
    names = (Columns.REWARDS, Columns.DISCOUNTS, Columns.TERMINATEDS)
    shape = (-1, *[1] * (values.dim() - 1))
    rewards, discounts, terminated = (batch[name].reshape(shape) for name in names)
    return rewards + discounts * (1.0 - terminated.float()) * values
