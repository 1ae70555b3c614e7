"""Networks and their slower copies, as a module names them."""

from typing import Any

from torch import nn

from composer.apis import TargetNetworkAPI
from composer.errors import ModuleError
from composer.modes import learners

Pairs = list[tuple[nn.Module, nn.Module]]
"""Networks with their slower copies."""


def target_pairs(module: TargetNetworkAPI) -> Pairs:
    """What `get_target_network_pairs` returns, looked at.

    Raises:
        ModuleError: If it returns something else.
    """
    pairs: Any = module.get_target_network_pairs()
    listed = list(pairs) if isinstance(pairs, list | tuple) else [pairs]
    if not all(map(_is_pair, listed)):
        found = ", ".join(type(item).__name__ for item in listed)
        raise ModuleError(
            f"{type(module).__name__} must return pairs of modules from "
            f"`get_target_network_pairs`, [(network, copy)], and returns "
            f"{type(pairs).__name__} of {found}"
        )
    return listed


def _is_pair(item: object) -> bool:
    parts = list(item) if isinstance(item, list | tuple) else []
    return len(parts) == 2 and all(isinstance(part, nn.Module) for part in parts)


def copied_learners(pairs: Pairs) -> list[nn.Module]:
    """The parts of copies that would do otherwise while they learn; a part that a network shares
    with its copy is none.
    """
    shared = {part for network, _ in pairs for part in network.modules()}
    copied = (part for _, copy in pairs for part in learners(copy))
    return [part for part in copied if part not in shared]
