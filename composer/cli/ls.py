"""`composer ls`: what there is to choose from."""

import argparse
from collections.abc import Sequence

from composer.cli.console import Console, print_json, print_table
from composer.errors import folded
from composer.listing import KINDS, Listing, Row, find_kind


def run(args: argparse.Namespace) -> int:
    """Prints a table of each kind that is named, or a line of each kind there is."""
    names, words = names_and_words(args.words)
    kinds = [find_kind(name).name for name in names] or [kind.name for kind in KINDS]
    listing = Listing(words, args.config_dir, with_spaces=args.spaces)
    found = {kind: listing.rows(kind) for kind in dict.fromkeys(kinds)}
    console = Console()
    if args.json:
        print_json(found)
    elif names:
        for kind, rows in found.items():
            if len(found) > 1:
                console.print(f"\n{kind}", style="bold")
            _show(console, rows)
    else:
        summary: list[Row] = [
            {"kind": kind, "count": str(len(rows)), "names": folded([str(r["name"]) for r in rows])}
            for kind, rows in found.items()
        ]
        _show(console, summary)
    return 0


def names_and_words(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Plain names, and the words that change a configuration: `key=value`, `~key`."""
    words = [word for word in given if "=" in word or word.startswith("~")]
    return [word for word in given if word not in words], words


def _show(console: Console, rows: Sequence[Row]) -> None:
    """A column without content is left out, and where things come from if all are built in."""
    columns = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    if all(row.get("origin") == "built in" for row in rows):
        columns = [name for name in columns if name != "origin"]
    cells = [[_text(row[name]) for name in columns] for row in rows]
    print_table(console, columns, cells, numbers=("count",), whole=("kind", "name", "id"))


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
