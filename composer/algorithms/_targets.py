"""Slower copies of networks, and what they follow."""

import torch

from composer.apis import TargetNetworkAPI


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
