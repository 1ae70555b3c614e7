"""Two experiments or models side by side: what differs, and what follows from it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from composer.blueprint.blueprint import Blueprint
from composer.blueprint.nodes import Node
from composer.spaces import describe

ABSENT = object()
"""The value of a setting that one side does not have."""


@dataclass(frozen=True)
class Difference:
    """Something that has another value on either side; `ABSENT` where a side lacks it."""

    path: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Comparison:
    """What differs between two sides, and what follows."""

    settings: list[Difference]
    """Of the experiments, by dotted path; empty where a side is a blueprint alone."""
    parts: list[Difference]
    """Nodes of the blueprints, by name; what differs inside one as `differences` finds it."""
    same_parts: list[str]
    """Nodes that are alike, so that one takes the weights of the other."""
    parameters: tuple[int, int]
    follows: list[str] = field(default_factory=list)
    """Sentences."""


def differences(a: object, b: object, path: str = "") -> Iterator[Difference]:
    """The leaves of two configurations that differ, in the order of the first.

    A list is one value, and a bare string beside a mapping is short for its `type`. Where only one
    side has a mapping, its leaves are named.
    """
    if isinstance(a, Mapping) and a and isinstance(b, str):
        b = {"type": b}
    elif isinstance(a, str) and isinstance(b, Mapping) and b:
        a = {"type": a}
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            below = f"{path}.{key}" if path else str(key)
            yield from differences(a.get(key, ABSENT), b.get(key, ABSENT), below)
    elif isinstance(a, Mapping) and a and b is ABSENT:
        yield from differences(a, {}, path)
    elif isinstance(b, Mapping) and b and a is ABSENT:
        yield from differences({}, b, path)
    elif type(a) is not type(b) or a != b:
        yield Difference(path, a, b)


def compare(
    a: Blueprint,
    b: Blueprint,
    settings: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None,
) -> Comparison:
    """Compares two models, and the experiments they come from where both are known.

    Args:
        a: One model.
        b: The other.
        settings: The experiments as `Experiment.to_data` gives them.
    """
    nodes_a, nodes_b = a.by_name, b.by_name
    parts, same = [], []
    for name in dict.fromkeys([*nodes_a, *nodes_b]):
        part = Difference(name, nodes_a.get(name, ABSENT), nodes_b.get(name, ABSENT))
        alike = ABSENT not in (part.a, part.b) and not any(node_differences(part))
        same.append(name) if alike else parts.append(part)
    return Comparison(
        settings=list(differences(*settings)) if settings else [],
        parts=parts,
        same_parts=same,
        parameters=(a.parameter_count, b.parameter_count),
        follows=[
            *_of_spaces(a, b),
            *_of_weights(parts, [name for name in same if a.parameter_counts[name]]),
            *_of_apis(a, b),
        ],
    )


def node_differences(part: Difference) -> Iterator[Difference]:
    """What differs inside a node that both sides have; its reason is left out."""
    data_a, data_b = (_graph_data(node) for node in (part.a, part.b))
    yield from differences(data_a, data_b)


def _graph_data(node: Node) -> dict[str, Any]:
    return {key: value for key, value in node.to_data().items() if key not in ("name", "reason")}


def _of_spaces(a: Blueprint, b: Blueprint) -> Iterator[str]:
    for kind in ("observation", "action"):
        one, other = (getattr(side, f"{kind}_space") for side in (a, b))
        if one != other:
            yield (
                f"the {kind} spaces differ ({describe(one)}, {describe(other)}): neither model "
                "acts in the other's environment"
            )


def _of_weights(parts: list[Difference], same: list[str]) -> Iterator[str]:
    if not parts:
        yield "the models are the same: weights of either fit the other"
    elif same:
        yield f"weights carry over in {', '.join(same)}"
    else:
        yield "no weights carry over"


def _of_apis(a: Blueprint, b: Blueprint) -> Iterator[str]:
    offers = [{api.label() for api in side.apis} for side in (a, b)]
    for side, only in (("A", offers[0] - offers[1]), ("B", offers[1] - offers[0])):
        if only:
            yield f"only {side} offers {', '.join(sorted(only))}"
    dropped = [side.non_inference_parts for side in (a, b)]
    if dropped[0] != dropped[1]:
        texts = (", ".join(parts) or "nothing" for parts in dropped)
        yield "the inference-only form drops {} in A, {} in B".format(*texts)
