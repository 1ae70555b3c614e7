"""Who reads which trunk: every head one that there is, and every trunk a head that reads it."""

from collections.abc import Mapping

from composer.composition.layout import Layout, said
from composer.errors import CompositionError, Problem, did_you_mean, nearest, nearest_first
from composer.fixes import entry_line, line
from composer.heads.base import HeadConfig
from composer.model_config import TrunkConfig


def require_readers(layout: Layout) -> None:
    """Refuses heads that name a trunk which is not there, or not theirs, and trunks that nobody
    reads.

    Raises:
        CompositionError: For each of them.
    """
    trunks, reads = layout.trunks, layout.reads
    problems = []
    for role, head in layout.heads.items():
        path = f"model.heads.{role}"
        if head.reads is not None and head.reads not in trunks:
            problems.append(_no_trunk(head.reads, trunks, f"{path}.reads"))
        for name in head.stop_gradient:
            if name not in trunks:
                problems.append(_no_trunk(name, trunks, f"{path}.stop_gradient"))
            elif name != reads[role]:
                message = f"head `{role}` reads `{reads[role]}`, so it cannot detach `{name}`"
                place = f"{path}.stop_gradient"
                fix = line(place, [reads[role]])
                problems.append(Problem(message, place, name, valid=(reads[role],), fix=fix))
    meant = [nearest(name, trunks) for name in reads.values() if name not in trunks]
    used = (*reads.values(), *meant, *layout.laid_out, "main")
    problems += [_unread(name, trunks[name], layout.heads) for name in trunks if name not in used]
    if problems:
        raise CompositionError(*problems)


def _no_trunk(name: str, trunks: Mapping[str, TrunkConfig], path: str) -> Problem:
    """The problem of a head that names a trunk which the model lacks."""
    names = nearest_first(name, trunks)
    message = f"there is no trunk `{name}`{did_you_mean(name, names)}"
    right = [names[0]] if path.endswith("stop_gradient") else names[0]
    return Problem(message, path, name, valid=names, fix=line(path, right))


def _unread(name: str, trunk: TrunkConfig, heads: Mapping[str, HeadConfig]) -> Problem:
    """The problem of a trunk that the user declared and nobody reads."""
    by_side = {head.side: role for role, head in heads.items()}
    others = by_side.keys() - {name}
    data = said(trunk)
    if right := nearest(name, others):
        fix = entry_line(f"model.trunks.{right}", data)
    else:
        fix = line(f"model.heads.{by_side.get(name, list(heads)[-1])}.reads", name)
    return Problem(
        f"no head reads the trunk `{name}`{did_you_mean(name, others)}\n"
        "a head reads the trunk that its `reads` names, else that of its side",
        path=f"model.trunks.{name}",
        value=data,
        valid=nearest_first(name, by_side),
        fix=fix,
    )
