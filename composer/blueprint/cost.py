"""What a graph costs, found without allocating it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from composer.blueprint.nodes import Node
from composer.errors import CompositionError, Problem


def count_parameters(nodes: Sequence[Node]) -> dict[str, int]:
    """Trainable parameters by node, counted on the meta device.

    Raises:
        CompositionError: Where a part is larger than torch can count.
    """
    counts = {}
    for node in nodes:
        with torch.device("meta"), fitting_in_memory(node):
            counts[node.name] = sum(p.numel() for p in node.build().parameters())
    return counts


@contextmanager
def fitting_in_memory(node: Node) -> Iterator[None]:
    """Says which part is too large where torch says only that one is.

    Raises:
        CompositionError: Where the part cannot be allocated.
    """
    try:
        yield
    except (MemoryError, RuntimeError, TypeError) as error:
        if not re.search("overflow|allocate|out of memory", str(error), re.IGNORECASE):
            raise
        raise CompositionError(_too_large(node)) from None


def _too_large(node: Node) -> Problem:
    config: Any = node.config  # pyright: ignore[reportAttributeAccessIssue]
    return Problem(
        f"{node.takes()} → {node.out_dim} by {config.type} needs more memory than there is",
        node.place,
        {name: value for name, value in config.altered().items() if name != "reads"},
    )
