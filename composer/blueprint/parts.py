"""Modules of one's own in the place of a blueprint's parts."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from composer.blueprint.nodes import CombineNode, EncoderNode, HeadNode, Node
from composer.errors import CompositionError, Problem, did_you_mean, nearest, nearest_first, shown
from composer.module.composed import Recipe
from composer.spaces import describe, map_structure

REPLACED = "replaced"
"""In the JSON of a module: the parts that its blueprint does not describe, and their classes."""


@dataclass(frozen=True)
class Altered:
    """The recipe of a module some of whose parts are not the blueprint's."""

    blueprint: Recipe
    parts: Mapping[str, nn.Module]

    def to_data(self) -> dict[str, Any]:
        """The blueprint, and by whose class each of the parts was replaced."""
        classes = {
            name: f"{type(part).__module__}.{type(part).__qualname__}"
            for name, part in self.parts.items()
        }
        return {**self.blueprint.to_data(), REPLACED: classes}


def replacements(parts: Mapping[str, nn.Module] | None) -> dict[str, nn.Module]:
    """The parts that are given, by the name of a node.

    Raises:
        CompositionError: If they are no mapping.
    """
    if not isinstance(parts, Mapping | None):
        rule = "parts are torch modules by the name of a node, a mapping"
        example = "parts={'main.encoder': my_encoder}"
        raise CompositionError(Problem(rule, "parts", parts, fix=example))
    return dict(parts or {})


def require_fitting(parts: Mapping[str, nn.Module], nodes: Sequence[Node]) -> None:
    """Runs each part once in the place of its node.

    Args:
        parts: By the name of a node.
        nodes: The blueprint's.

    Raises:
        CompositionError: For every part that is no encoder or head of the blueprint, cannot take
            what the node takes, or gives another shape.
    """
    by_name = {
        node.name: node for node in nodes if isinstance(node, EncoderNode | CombineNode | HeadNode)
    }
    problems = [
        Problem("stands inside another part that is replaced", f"parts[{name!r}]", "…")
        for name in parts
        if inside(name, parts)
    ]
    problems += [
        problem for name, part in parts.items() for problem in _problems(name, part, by_name)
    ]
    if problems:
        raise CompositionError(*problems)


def _problems(name: str, part: object, nodes: Mapping[str, Node]) -> Iterator[Problem]:
    path = f"parts[{name!r}]"
    if name not in nodes:
        close = nearest(name, nodes)
        yield Problem(
            f"the model has no encoder or output head `{name}`{did_you_mean(name, nodes)}",
            path,
            type(part).__name__,
            valid=nearest_first(name, nodes),
            fix=f"parts={{{close!r}: …}}" if close else None,
        )
        return
    node = nodes[name]
    if not isinstance(part, nn.Module):
        yield Problem("a part is a torch module, built already", path, shown(part))
        return
    example = tuple(map(_twice, node.example() or ()))
    takes = describe(node.space) if isinstance(node, EncoderNode | CombineNode) else node.takes()
    wanted = _shape(_without_trace(node.build(), example))
    try:
        given = _shape(_without_trace(part, example))
    except Exception as error:  # a person's module may raise anything
        given = f"{type(error).__name__}: {error}"
    if given != wanted:
        yield Problem(f"expected {takes} → {wanted}, given {given}", path, type(part).__name__)


def inside(name: str, parts: Iterable[str]) -> bool:
    """Whether a node stands inside one of the parts."""
    return any(name.startswith(f"{part}.") for part in parts)


def _twice(example: Any) -> Any:
    """A batch of one as a batch of two, which a lost axis would not survive."""
    return map_structure(lambda leaf: torch.cat([leaf, leaf]), example)


def _without_trace(part: nn.Module, example: tuple[Any, ...]) -> Any:
    """What a copy of the part gives, so that no statistic of its own moves."""
    with torch.no_grad():
        return copy.deepcopy(part).cpu().eval()(*example)


def _shape(value: Any) -> str:
    """`(*B, 64) float32`; of what is no batch of two, its own shape or class."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    dtype = str(value.dtype).removeprefix("torch.")
    if value.shape[:1] != (2,):
        return f"{tuple(value.shape)} {dtype} for 2 observations"
    return f"({', '.join(['*B', *map(str, value.shape[1:])])}) {dtype}"
