"""The settings by which a part of one blueprint becomes what it is in another."""

from collections.abc import Mapping, Sequence
from typing import Any

from composer.blueprint.blueprint import Blueprint
from composer.blueprint.nodes import Node
from composer.errors import line_to_type

FOLLOWING = ("name", "reason", "out_dim", "in_dim", "in_dims", "features", "config")
"""What a node has beside its own settings, or because of other nodes' settings."""


def words_to_match(own: Blueprint, other: Blueprint, parts: Sequence[str]) -> str:
    """`model.encoder.hidden=[64,64]`: what to type so that the parts are as they are in the other.

    Empty where no settings alone would do: another space, another type, a further trunk that is
    not as the main one.
    """
    words: dict[str, None] = {}
    for name, node in own.by_name.items():
        if not any(f"{name}.".startswith(f"{part}.") for part in parts):
            continue
        twin = other.by_name.get(name)
        if twin is None or _fixed(node) != _fixed(twin):
            return ""
        before, after = _config(node), _config(twin)
        if before == after:
            continue
        main = name.replace(node.trunk, "main", 1)
        if main in own.by_name and main in other.by_name:
            if [_config(side.by_name[main]) for side in (own, other)] != [before, after]:
                return ""
            node = own.by_name[main]
        if before["type"] != after["type"]:
            return ""
        changed = (key for key in after if after[key] != before.get(key))
        words |= dict.fromkeys(line_to_type(f"{node.place}.{key}", after[key]) for key in changed)
    return " ".join(words)


def _fixed(node: Node) -> dict[str, Any]:
    return {key: value for key, value in node.to_data().items() if key not in FOLLOWING}


def _config(node: Node) -> Mapping[str, Any]:
    return node.to_data()["config"]
