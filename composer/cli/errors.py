"""An error in a terminal: colours, wrapped text, and lines to type that are never broken."""

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from composer.errors import ComposerError, Problem

WRAPPED = ("message", "valid")
STYLES = {"message": "", "set by": "yellow", "valid": "", "try": "bold green"}


def show(error: ComposerError, console: Console | None = None) -> None:
    """Prints what `str(error)` says; in a terminal, problems of several lines stand apart."""
    _tell(Text(error.head, "bold red"), error.problems, console or Console(stderr=True))


def show_notes(notes: Sequence[Problem], console: Console) -> None:
    """Prints what a run is too short for, if there is anything, in the form of an error."""
    if notes:
        _tell(Text("the run is short for what is set", "bold yellow"), notes, console)


def _tell(head: Text, problems: Sequence[Problem], console: Console) -> None:
    if not console.is_terminal:
        plain = "\n".join([head.plain, *(problem.render() for problem in problems)])
        console.print(plain, soft_wrap=True, highlight=False, markup=False)
        return
    _print(head, console)
    apart = len(problems) > 1 and any("\n" in item.render() for item in problems)
    for problem in problems:
        if apart:
            console.print()
        _show(problem, console)


def _show(problem: Problem, console: Console) -> None:
    for index, (kind, text) in enumerate(problem.lines()):
        is_labelled = kind not in ("path", "message")
        label = Text(" " * (2 if index == 0 else 4)).append(f"{kind:<8}" * is_labelled, "dim")
        for line in _wrapped(text, console.width - len(label)) if kind in WRAPPED else [text]:
            _print(label + _styled(kind, line), console)
            label = Text(" " * len(label))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False)


def _styled(kind: str, text: str) -> Text:
    if kind == "path":
        path, separator, value = text.partition(" = ")
        return Text.assemble((path, "bold cyan"), (separator, "dim"), (value, "magenta"))
    styled = Text(text, STYLES[kind])
    styled.highlight_regex(r"`[^`]+`", "bold")
    return styled


def _print(line: Text, console: Console) -> None:
    console.print(line, soft_wrap=True, highlight=False)
