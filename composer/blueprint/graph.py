"""What every picture of a blueprint shows: boxes and arrows."""

import re
import textwrap
from dataclasses import dataclass

from composer.blueprint.explain import Explanation, Part


@dataclass(frozen=True)
class Box:
    """A part, or what goes in or comes out."""

    title: str
    lines: tuple[str, ...]
    kind: str
    """A part's kind, or `space`."""
    gives: str = ""
    """How many features leave it."""
    training_only: bool = False
    tip: str = ""
    """Why it is there."""


@dataclass(frozen=True)
class Arrow:
    """From one box to another, by their names."""

    source: str
    target: str
    gives: str = ""
    """How many features go over it."""
    detached: bool = False
    """Nothing is trained through it."""


@dataclass(frozen=True)
class Graph:
    """What every picture shows."""

    boxes: dict[str, Box]
    arrows: tuple[Arrow, ...]


COLOURS = {
    "space": "#64748b",
    "encoder": "#2563eb",
    "combine": "#0e7490",
    "memory": "#7c3aed",
    "head": "#15803d",
    "auxiliary": "#65a30d",
    "distribution": "#b45309",
    "joint": "#b45309",
}
OTHER = "#64748b"
"""The colour of a kind that has none of its own."""
_ACTIONS, _MASK = "actions", "action mask"
_SAID = {"auxiliary": "auxiliary head", "combine": "encoder", "joint": "distribution"}
"""What a kind is for people, where it is another word."""


def graph_of(explanation: Explanation) -> Graph:
    """The parts, the columns that they read from a batch, and the actions."""
    names = {part.name for part in explanation.parts}
    columns = dict.fromkeys(
        name for part in explanation.parts for name in part.inputs if name not in names
    )
    boxes = {
        name: Box(name, _folded(explanation.observation if name == "obs" else ""), "space")
        for name in columns
    }
    boxes |= {part.name: _box(part) for part in explanation.parts}
    arrows = [
        Arrow(name, part.name, _given(boxes[name], part), part.detached)
        for part in explanation.parts
        for name in part.inputs
    ]
    acting = [part.name for part in explanation.parts if _acts(part) and not part.read_by]
    if acting and explanation.mask_key:
        boxes[_MASK] = Box(explanation.mask_key, ("of obs, not encoded",), "space")
        arrows += [Arrow(_MASK, name) for name in acting]
    if acting:
        boxes[_ACTIONS] = Box(_ACTIONS, _folded(explanation.action), "space")
        arrows += [Arrow(name, _ACTIONS) for name in acting]
    return Graph(boxes, tuple(arrows))


def _acts(part: Part) -> bool:
    return _SAID.get(part.kind, part.kind) == "distribution"


def _given(source: Box, target: Part) -> str:
    """How many features go from one to the other; of a head, each distribution takes its own."""
    return target.takes if source.kind == "head" and _acts(target) else source.gives


def _box(part: Part) -> Box:
    takes = _folded(part.takes) if part.kind == "encoder" else ()
    count = part.cost.parameters
    cost = (f"{count:,} parameter{'s' * (count > 1)}",) if count else ()
    said = _SAID.get(part.kind, part.kind)
    return Box(
        part.name,
        (f"{part.type} {said}" if part.type != part.name else said, *takes, *cost),
        part.kind,
        gives="" if _acts(part) else str(part.out_dim),
        training_only=not part.inference,
        tip=part.reason,
    )


def _folded(space: str) -> tuple[str, ...]:
    """A space on lines of its own, one for each key of a Dict."""
    inside = re.fullmatch(r"Dict\((.+)\)", space)
    if inside:
        return tuple(textwrap.shorten(key, 40, placeholder=" …") for key in _entries(inside[1]))
    return tuple(textwrap.wrap(space, 30, max_lines=5, placeholder=" …"))


def _entries(text: str) -> list[str]:
    """What stands between commas, those within brackets aside."""
    entries, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            entries.append("")
        else:
            entries[-1] += letter
    return [entry.strip() for entry in entries]
