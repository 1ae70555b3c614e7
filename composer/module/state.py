"""Weights by name: which part holds them, and what keeps those of one module from another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from composer.errors import ModuleError, Problem, did_you_mean, nearest, nearest_first

MOST_LINES = 16
"""Of a difference; further ones are counted."""


@dataclass(frozen=True)
class Weights:
    """A module's parameters and buffers, and the parts that hold them."""

    whose: str
    """What the module is called where it lacks something."""
    tensors: Mapping[str, Tensor]
    parts: tuple[str, ...]
    """As `composer explain` names them, a trunk before what stands inside it."""
    recipe: Mapping[str, Any]
    """From which the module is built."""

    @classmethod
    def of(cls, whose: str, recipe: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Weights":
        """Of a module with this recipe: the nodes of a composed one, else its attributes."""
        nodes = _nodes(recipe)
        names = [name.partition(".")[0] for name in nodes or tensors]
        parts = [*dict.fromkeys([*names, *sorted(nodes, key=lambda name: name.count("."))])]
        held = tuple(part for part in parts if _inside([part], tensors))
        return cls(whose, tensors, held, recipe)

    def inside(self, parts: Sequence[str]) -> dict[str, Tensor]:
        """Those that the parts hold."""
        return _inside(parts, self.tensors)

    def no_part(self, part: str) -> Problem:
        """The problem of a name that stands for none of the weights."""
        if part in _nodes(self.recipe):
            message = f"the part `{part}` of {self.whose} has no weights"
            return Problem(message, valid=nearest_first(part, self.parts))
        return no_part(self.whose, part, self.parts)


def no_part(whose: str, part: str, parts: Sequence[str]) -> Problem:
    """The problem of a name that stands for no part; those there are, the nearest first."""
    message = f"{whose} has no part `{part}`{did_you_mean(part, parts)}"
    return Problem(message, valid=nearest_first(part, parts))


def loading_problems(own: Weights, given: Weights, parts: Sequence[str]) -> Iterator[Problem]:
    """What keeps a module's parts from taking the given weights: each part that one of both lacks,
    and all that has another shape.
    """
    lacking = {
        part: next((side for side in (own, given) if not side.inside([part])), None)
        for part in parts
    }
    yield from (side.no_part(part) for part, side in lacking.items() if side)
    wrong = [
        part
        for part, side in lacking.items()
        if not side and state_difference(own.inside([part]), given.inside([part]))
    ]
    if wrong:
        listed = f"{', '.join(f'`{part}`' for part in wrong)} of {given.whose}"
        difference = state_difference(own.inside(wrong), given.inside(wrong))
        fits = "does not fit" if len(wrong) == 1 else "do not fit"
        yield Problem(f"{listed} {fits} {own.whose}:\n{difference}")


def loadable(own: Weights, given: Weights, parts: Sequence[str]) -> list[str]:
    """The parts nearest to those asked for that can be loaded: themselves, what stands inside
    them, or those of the nearest names; all there are where none is asked for.
    """
    fitting = [part for part in own.parts if not any(loading_problems(own, given, [part]))]
    wanted: list[str] = []
    for part in parts or own.parts:
        inside = [name for name in fitting if within(name, [part])]
        close = None if own.inside([part]) else nearest(part, fitting)
        wanted += inside or ([close] if close else [])
    return [part for part in dict.fromkeys(wanted) if not _is_below(part, wanted)]


def require_loadable(own: Weights, given: Weights, parts: Sequence[str]) -> None:
    """Refuses parts that cannot be loaded, and parts that are none.

    Raises:
        ModuleError: With the parts nearest to those asked for that can be.
    """
    problems = list(loading_problems(own, given, parts))
    if not parts:
        problems = [Problem("no part is named; leave `component` out to load them all")]
    if problems:
        right = loadable(own, given, parts)
        fix = f"component={(right if right[1:] else right[0])!r}" if right else None
        raise ModuleError(*(replace(problem, fix=fix) for problem in problems))


def state_difference(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """What keeps a state from fitting, a line each; empty if it fits."""
    lines = [f"  missing     {name} {tuple(own[name].shape)}" for name in own if name not in given]
    lines += [
        f"  unexpected  {name} {tuple(given[name].shape)}" for name in given if name not in own
    ]
    lines += [
        f"  shape       {name}: expected {tuple(tensor.shape)}, given {tuple(given[name].shape)}"
        for name, tensor in own.items()
        if name in given and given[name].shape != tensor.shape
    ]
    more = len(lines) - MOST_LINES
    return "\n".join([*lines[:MOST_LINES], *([f"  … and {more} more"] if more > 0 else [])])


def within(name: str, parts: Iterable[str]) -> bool:
    """Whether a dotted name is one of the parts, or stands inside one."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def _nodes(recipe: Mapping[str, Any]) -> list[str]:
    return [node["name"] for node in recipe.get("blueprint", {}).get("nodes", ())]


def _inside(parts: Sequence[str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if within(name, parts)}


def _is_below(name: str, parts: Iterable[str]) -> bool:
    return any(name.startswith(f"{part}.") for part in parts)
