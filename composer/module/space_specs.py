"""The specs of a batch of a space: its canonical form (`composer.spaces.batch`) in tensors."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from composer.module.io_specs import TensorSpec
from composer.spaces import Nested, batch

NestedSpecs = TensorSpec | dict[Any, Any]
"""A TensorSpec, or such by key; the parts of a tuple by 0, 1, …"""


def space_specs(space: gym.Space[Any]) -> NestedSpecs:
    """The leaves of a canonical batch, nested as it is: `*B`, then the space's own axes.

    An axis that is as long as the batch needs has a name of its own: L, N or E, then L2, …. Other
    real dtypes will do, as encoders cast what they are given.
    """
    return _Leaves().of(space, ("*B",))


def leaf_specs(tree: Nested, lead: tuple[str, ...] = ("*B",)) -> NestedSpecs:
    """The specs of a batch that is there, `(B, …)` at each leaf.

    Args:
        tree: Arrays or tensors.
        lead: What takes the place of B.
    """
    if isinstance(tree, Mapping | tuple):
        parts = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        return {key: leaf_specs(part, lead) for key, part in parts}
    return TensorSpec((*lead, *tree.shape[1:]), str(tree.dtype), exact=False)


@dataclass
class _Leaves:
    """Counts the axes that have names."""

    counts: dict[str, Iterator[int]] = field(
        default_factory=lambda: defaultdict(lambda: itertools.count(1))
    )

    def of(self, space: gym.Space[Any], lead: tuple[str, ...]) -> NestedSpecs:
        if isinstance(space, spaces.Dict):
            return {key: self.of(child, lead) for key, child in space.items()}
        if isinstance(space, spaces.Tuple):
            return {i: self.of(child, lead) for i, child in enumerate(space.spaces)}
        lengths = TensorSpec(lead, "int64", exact=False)
        if isinstance(space, spaces.Text):
            longest = (*lead, self.axis("L"))
            return {"values": TensorSpec(longest, "int64", exact=False), "lengths": lengths}
        if isinstance(space, spaces.Sequence):
            longest = (*lead, self.axis("L"))
            return {"values": self.of(space.feature_space, longest), "lengths": lengths}
        if isinstance(space, spaces.Graph):
            most = (*lead, self.axis("N"))
            graph: dict[Any, Any] = {
                "nodes": {"values": self.of(space.node_space, most), "lengths": lengths}
            }
            if space.edge_space is not None:
                most = (*lead, self.axis("E"))
                graph["edges"] = {"values": self.of(space.edge_space, most), "lengths": lengths}
                graph["links"] = TensorSpec((*most, 2), "int64", exact=False)
            return graph
        if isinstance(space, spaces.OneOf):
            parts = {i: self.of(child, lead) for i, child in enumerate(space.spaces)}
            return {"branch": lengths, "values": parts}
        return leaf_specs(batch(space, []), lead)

    def axis(self, letter: str) -> str:
        count = next(self.counts[letter])
        return letter if count == 1 else f"{letter}{count}"
