"""Names of trunks and heads: fit to be attributes of a module, and each output given once."""

import functools

import gymnasium as gym

from composer.composition.layout import Layout, column, said
from composer.errors import CompositionError, Problem
from composer.fixes import entry_line, line
from composer.heads.base import HeadConfig
from composer.module.composed import ComposedRLModule
from composer.module.rl_module import RLModule


def require_names(layout: Layout) -> None:
    """Refuses names that no module can have, and heads of which two give one output.

    Raises:
        CompositionError: For each of them.
    """
    heads = layout.heads
    taken = _taken_names() | {name for head in heads.values() for name in dir(head.offers)}
    trunks = layout.trunks
    problems = []
    for path, names in (("model.trunks", trunks), ("model.heads", heads)):
        for name in names:
            if path == "model.trunks" and name == "main" and name in layout.further:
                wrong = "is the name of the main trunk; its encoder is model.encoder"
            elif name in trunks and name in heads:
                wrong = "is both a trunk and a head"
            elif not name.isidentifier() or name.startswith("_"):
                wrong = "is not a name: use letters, digits and underscores, a letter first"
            elif name in taken:
                wrong = "is taken: every module has an attribute of that name"
            else:
                continue
            problems.append(Problem(f"`{name}` {wrong}", path=f"{path}.{name}", value="…"))
    first: dict[str, str] = {}
    for role, head in heads.items():
        given = column(head)
        other = role if given is None else first.setdefault(given, role)
        if other != role:
            problems.append(
                Problem(
                    f"heads `{other}` and `{role}` both give {given}; name one of them",
                    path=f"model.heads.{role}",
                    value=head.type,
                    fix=_one_head(other, role, head),
                )
            )
    if problems:
        raise CompositionError(*problems)


@functools.cache
def _taken_names() -> frozenset[str]:
    """Attributes of every module, those it gains when it is made included."""
    choice = gym.spaces.Discrete(1)
    own = "distribution", "target"
    return frozenset([*dir(ComposedRLModule), *dir(RLModule(choice, choice)), *own])


def _one_head(other: str, role: str, head: HeadConfig) -> str:
    """The line by which one head alone gives what two do: the role's own type, where that
    gives something else, or the head in the place of the other.
    """
    own = HeadConfig.members[role] if role in HeadConfig.tags() else None
    if own is not None and getattr(own, "column", None) != column(head):
        return line(f"model.heads.{role}.type", role)
    place, data = f"model.heads.{other}", {"type": head.type, **said(head)}
    if head.type == other or len(data) == 1:
        return entry_line(place, data)
    return line(place, data)
