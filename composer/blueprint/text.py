"""An explanation as lines of text, each piece with a style: plain, in a terminal, on a page."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from composer.blueprint.explain import Explanation, Part, Setting
from composer.errors import shown

Style = Literal["", "name", "title", "number", "value", "faint"]
WIDTH = 100


class Piece(NamedTuple):
    """Text of one style."""

    text: str
    style: Style = ""


Line = tuple[Piece, ...]


def plain(explanation: Explanation) -> str:
    """The lines without their styles."""
    lines = styled(explanation)
    return "\n".join("".join(piece.text for piece in line).rstrip() for line in lines)


def styled(
    explanation: Explanation, width: int = WIDTH, *, every_setting: bool = False
) -> Iterator[Line]:
    """Spaces, then a paragraph a part, then sums, and what the experiment sets.

    Args:
        explanation: What there is to say.
        width: Letters to a line.
        every_setting: Show all that a part leaves at its defaults, not only a line of it.
    """
    mask = f"the observation's `{explanation.mask_key}`, which is not encoded"
    yield from fields(
        {
            "observation": explanation.observation,
            "action": explanation.action,
            **({"action mask": mask} if explanation.mask_key else {}),
            "algorithm": explanation.algorithm or "none: a policy head only",
        },
        width,
    )
    yield ()
    yield from _table(explanation, width, every_setting)
    yield ()
    total, left = explanation.total, explanation.inference_total
    drops = ", ".join(explanation.drops)
    yield from fields(
        {
            "parameters": f"{total.parameters:,} ({_size(total.bytes)})",
            **_copies(explanation),
            "multiply-adds": f"{total.multiply_adds:,} for one observation",
            "offers": ", ".join(explanation.offers) or "nothing",
            "required": ", ".join(explanation.requires) or "nothing",
            "inference-only": f"drops {drops}; {left.parameters:,} parameters are left"
            if drops
            else "drops nothing",
            "fingerprint": explanation.fingerprint,
        },
        width,
    )
    if explanation.settings:
        yield ()
        yield from changes(explanation.settings, width)


def _copies(explanation: Explanation) -> dict[str, str]:
    names, count = ", ".join(explanation.copied), explanation.copied_total.parameters
    return {"targets": f"slower copies of {names}: {count:,} parameters more"} if names else {}


def fields(rows: Mapping[str, str], width: int) -> Iterator[Line]:
    """A line for each title and its text, folded beside the title."""
    column = max(map(len, rows)) + 2
    for title, text in rows.items():
        first, *further = textwrap.wrap(text, max(20, width - column))
        yield Piece(title.ljust(column), "title"), Piece(first)
        yield from ((Piece(" " * column + line),) for line in further)


def _table(explanation: Explanation, width: int, every_setting: bool) -> Iterator[Line]:
    """A row and a paragraph for each part."""
    titles = ("part", "is", "in → out", "params", "mul-adds", "bytes")
    rows = [
        (
            part.name,
            part.type,
            f"{textwrap.shorten(part.takes, 40, placeholder=' …')} → {part.out_dim}",
            f"{part.cost.parameters:,}",
            f"{part.cost.multiply_adds:,}",
            _size(part.cost.bytes),
        )
        for part in explanation.parts
    ]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    yield tuple(Piece(piece.text, "title") for piece in _row(titles, widths))
    by_name = {part.name: part for part in explanation.parts}
    for part, row in zip(explanation.parts, rows, strict=True):
        yield _row(row, widths)
        yield from _paragraph(part, by_name.get(_in_main(part)), width, every_setting)


_STYLES: tuple[Style, ...] = ("name", "", "", "number", "number", "number")


def _row(cells: tuple[str, ...], widths: list[int]) -> Line:
    """Words to the left, numbers to the right."""
    return tuple(
        Piece(
            ("  " if index else "")
            + (cell.rjust(width) if _STYLES[index] == "number" else cell.ljust(width)),
            _STYLES[index],
        )
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )


def _paragraph(part: Part, main: Part | None, width: int, every_setting: bool) -> Iterator[Line]:
    """Why a part is as it is; of one as it is in the main trunk, no more than that."""
    again = main if main is not None and _is_same(part, main) else None
    if again is None or part.reason != again.reason:
        yield from _wrapped(part.reason, width)
    if again is not None:
        yield from _wrapped(f"as {again.name}", width)
    elif part.rejected:
        yield from _wrapped(f"not {'; not '.join(_rejections(part))}", width, "faint")
    if part.kind in ("memory", "head", "auxiliary"):
        reads = ", ".join(map(_source, part.inputs))
        yield from _wrapped(f"reads {reads}" + ", detached" * part.detached, width)
    if len(part.read_by) > 1 and part.kind != "head":
        yield from _wrapped(f"shared by {_listed(part.read_by, 'and')}", width)
    if again is None:
        yield from _settings(part, width, every_setting)


def _source(name: str) -> str:
    """`main` for the end of the trunk, `main.encoder` or `main.memory`."""
    return name.removesuffix(".encoder").removesuffix(".memory")


def _settings(part: Part, width: int, every_setting: bool) -> Iterator[Line]:
    for setting in part.settings:
        if not setting.is_default:
            by = f"set by {setting.set_by}" if setting.set_by else ""
            yield from _set(_named(setting), by, width)
    defaults = ", ".join(_named(setting) for setting in part.settings if setting.is_default)
    if defaults and not every_setting:
        defaults = textwrap.shorten(defaults, width - 4, placeholder=" …")
    yield from _wrapped(defaults, width, "faint")


def _in_main(part: Part) -> str:
    """What a part of a further trunk is called in the main one; nothing for all others."""
    trunk, _, path = part.name.partition(".")
    return (
        f"main.{path}" if part.kind in ("encoder", "combine", "memory") and trunk != "main" else ""
    )


def _is_same(part: Part, other: Part) -> bool:
    said = ("type", "takes", "settings", "rejected")
    return all(getattr(part, name) == getattr(other, name) for name in said)


def _rejections(part: Part) -> Iterator[str]:
    """Rules that were tried in vain, those that ask the same together."""
    rules: dict[str, list[str]] = {}
    for rule, mismatch in part.rejected.items():
        rules.setdefault(mismatch, []).append(f"`{rule}`")
    return (f"{_listed(names, 'or')}: {mismatch}" for mismatch, names in rules.items())


def changes(settings: Sequence[Setting], width: int) -> Iterator[Line]:
    """A table of values and what set them; its first column as wide as leaves room for both."""
    rows = [(f"{item.path}={brief(item.value)}", item.set_by or "") for item in settings]
    room = width - 6 - max(len(by) for _, by in rows)
    column = max((len(value) for value, _ in rows if len(value) <= room), default=0)
    title = "set otherwise than by default"
    yield (
        Piece(title.ljust(column + 6), "title"),
        Piece("by" if column > len(title) else "", "title"),
    )
    for value, by in rows:
        yield from _set(value, by, width, column)


def _set(value: str, by: str, width: int, column: int = 0) -> Iterator[Line]:
    """A value that is no default, and what set it: on the same line where there is room."""
    *above, (last,) = _wrapped(value, width, "value")
    yield from above
    start = max(len(last.text), 4 + column) + 2
    if start + len(by) <= width:
        yield Piece(last.text.ljust(start), "value"), Piece(by, "faint")
    else:
        yield (last,)
        yield from _wrapped(f"  {by}", width, "faint")


def _named(setting: Setting) -> str:
    return f"{setting.name}={brief(setting.value)}"


def _wrapped(text: str, width: int, style: Style = "") -> Iterator[Line]:
    lines = textwrap.wrap(text, max(40, width), initial_indent="    ", subsequent_indent="      ")
    return ((Piece(line, style),) for line in lines)


def _listed(names: Sequence[str], before_last: str) -> str:
    *first, last = names
    return f"{', '.join(first)} {before_last} {last}" if first else last


def _size(count: int) -> str:
    """Bytes with three digits: `36.6 kB`."""
    size, unit = float(count), 0
    while size >= 999.5 and unit < 4:
        size, unit = size / 1000, unit + 1
    digits = 0 if unit == 0 or size >= 99.95 else 1
    return f"{size:.{digits}f} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def brief(value: Any) -> str:
    """`{type: orthogonal, gain: 1.41421}` as `orthogonal(gain=1.414)`."""
    if isinstance(value, dict) and "type" in value:
        arguments = ", ".join(f"{k}={brief(v)}" for k, v in value.items() if k != "type")
        return f"{value['type']}({arguments})" if arguments else str(value["type"])
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {brief(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_row_of, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def _row_of(item: Any) -> str:
    """An item of a list; of a mapping without a type, as a convolution is, the values."""
    is_row = isinstance(item, dict) and "type" not in item
    return " ".join(map(brief, item.values())) if is_row else brief(item)
