"""What a graph costs, found without allocating it."""

from collections.abc import Sequence

import torch

from composer.blueprint.nodes import Node


def count_parameters(nodes: Sequence[Node]) -> dict[str, int]:
    """Trainable parameters by node, counted on the meta device."""
    with torch.device("meta"):
        return {node.name: sum(p.numel() for p in node.build().parameters()) for node in nodes}
