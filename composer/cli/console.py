"""The console that verbs print to, and the forms that several of them print."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import rich.console
from rich.table import Table
from rich.text import Text


class Console(rich.console.Console):
    """Rich's, but that `composer` itself answers where nobody reads any more."""

    def on_broken_pipe(self) -> NoReturn:
        raise


def print_json(data: Any) -> None:
    """What `--json` prints."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(
    console: rich.console.Console,
    titles: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    numbers: Iterable[str] = (),
    whole: Iterable[str] = (),
) -> None:
    """Columns under their titles, folded to a terminal's width; elsewhere a line a row.

    Args:
        console: Where to.
        titles: Of the columns.
        rows: Their cells.
        numbers: Titles of columns that stand to the right.
        whole: Titles of columns whose words a narrow terminal does not break, names for instance.
    """
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in titles:
        table.add_column(
            Text(title),
            justify="right" if title in numbers else "left",
            no_wrap=title in whole,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    if console.is_terminal:
        console.print(table)
        return
    wide = console.options.update_width(UNBROKEN)
    for line in console.render_lines(table, wide, pad=False):
        text = "".join(segment.text for segment in line).rstrip()
        console.print(text, soft_wrap=True, highlight=False, markup=False)


UNBROKEN = 10_000
"""Letters of a line that nothing folds."""
