"""Heads whose one purpose is to train a trunk, where that has nothing to train."""

from collections.abc import Iterator, Sequence

from composer.apis import IntrinsicRewardAPI
from composer.blueprint.cost import count_parameters
from composer.blueprint.nodes import AuxiliaryNode, CombineNode, EncoderNode, Node
from composer.catalog.catalog import fitting_types
from composer.encoders.base import EncoderConfig
from composer.errors import Problem
from composer.fixes import line
from composer.places import choice_of


def idle_heads(nodes: Sequence[Node]) -> Iterator[Problem]:
    """The problem of each; one that is detached from its trunk, or pays, has another purpose."""
    for node in nodes:
        if not isinstance(node, AuxiliaryNode) or node.stop_gradient:
            continue
        pays = IntrinsicRewardAPI in node.head.apis()
        encoders = [
            other
            for other in nodes
            if isinstance(other, EncoderNode | CombineNode) and other.trunk == node.trunk
        ]
        if pays or any(count_parameters(encoders).values()):
            continue
        yield Problem(
            f"the trunk `{node.trunk}`, which `{node.head.type}` is there to train, has no weights",
            node.place,
            node.head.type,
            fix=_with_weights(encoders[-1]),
        )


def _with_weights(encoder: EncoderNode | CombineNode) -> str | None:
    """The line by which an encoder has something to train."""
    if "hidden" in type(encoder.config).model_fields:
        return line(f"{encoder.place}.hidden", [64])
    able = fitting_types(EncoderConfig, encoder.space)
    return f"{choice_of(encoder.place)}={able[0]}" if able else None
