"""An error in a terminal: colours, wrapped text, and lines to type that are never broken."""

import textwrap

from rich.console import Console
from rich.text import Text

from composer.errors import ComposerError, Problem

WRAPPED = ("message", "valid")
STYLES = {"message": "", "set by": "yellow", "valid": "", "try": "bold green"}


def show(error: ComposerError, console: Console | None = None) -> None:
    """Prints what `str(error)` says; in a terminal, problems of several lines stand apart."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        console.print(str(error), soft_wrap=True, highlight=False, markup=False)
        return
    _print(Text(error.head, "bold red"), console)
    apart = len(error.problems) > 1 and any("\n" in item.render() for item in error.problems)
    for problem in error.problems:
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
