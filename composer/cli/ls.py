"""`composer ls`: what there is to choose from."""

import argparse
import json
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from composer.listing import KINDS, Listing, Row, find_kind


def run(args: argparse.Namespace) -> int:
    """Prints a table of each kind that is named, or a line of each kind there is."""
    names, words = names_and_words(args.words)
    kinds = [find_kind(name).name for name in names] or [kind.name for kind in KINDS]
    listing = Listing(words, args.config_dir, with_spaces=args.spaces)
    found = {kind: listing.rows(kind) for kind in dict.fromkeys(kinds)}
    console = Console()
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif names:
        for kind, rows in found.items():
            if len(found) > 1:
                console.print(f"\n{kind}", style="bold")
            _show(console, rows)
    else:
        summary: list[Row] = [
            {"kind": kind, "count": str(len(rows)), "names": [str(row["name"]) for row in rows]}
            for kind, rows in found.items()
        ]
        _show(console, summary)
    return 0


def names_and_words(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Plain names, and the words that change a configuration: `key=value`, `~key`."""
    words = [word for word in given if "=" in word or word.startswith("~")]
    return [word for word in given if word not in words], words


def _show(console: Console, rows: Sequence[Row]) -> None:
    """A table in a terminal, aligned text elsewhere; a column without content is left out."""
    columns = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    cells = [[_text(row[name]) for name in columns] for row in rows]
    if console.is_terminal:
        table = Table(box=SIMPLE)
        for name in columns:
            table.add_column(name, overflow="fold")
        for line in cells:
            table.add_row(*map(Text, line))
        console.print(table)
        return
    lines = [columns, *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        console.print("  ".join(padded).rstrip(), soft_wrap=True, highlight=False, markup=False)


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
