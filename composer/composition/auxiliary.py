"""Auxiliary heads: refused where they cannot learn from what their trunks take."""

from collections.abc import Mapping

import gymnasium as gym

from composer.composition.layout import Layout
from composer.composition.observed import Observed
from composer.errors import CompositionError, Problem
from composer.fixes import line
from composer.heads._auxiliary import AuxiliaryHeadConfig


def require_learnable(layout: Layout, observed: Mapping[str, Observed]) -> None:
    """Refuses auxiliary heads that cannot learn.

    Args:
        layout: Whose heads.
        observed: What the trunks take that they read.

    Raises:
        CompositionError: For each of them.
    """
    problems = []
    for role, head in layout.heads.items():
        if not isinstance(head, AuxiliaryHeadConfig):
            continue
        space = observed[layout.reads[role]].space
        refusal = head.refusal(space, layout.action_space)
        if refusal is not None:
            fix = _way_out(role, head, space, layout.action_space)
            problems.append(Problem(refusal, f"model.heads.{role}", head.type, fix=fix))
    if problems:
        raise CompositionError(*problems)


def _way_out(
    role: str, head: AuxiliaryHeadConfig, space: gym.Space, action_space: gym.Space
) -> str:
    """The line by which an auxiliary head learns from what it can, or else goes."""
    path = f"model.heads.{role}"
    for name, value in head.otherwise.items():
        if head.model_copy(update={name: value}).refusal(space, action_space) is None:
            return line(f"{path}.{name}", value)
    entries = space.spaces if isinstance(space, gym.spaces.Dict) else {}
    able = [key for key, entry in entries.items() if head.refusal(entry, action_space) is None]
    if not able:
        return f"~{path}"
    trunk = head.reads or head.side
    place = "model.observe" if trunk == "main" else f"model.trunks.{trunk}.observe"
    return line(place, able)
