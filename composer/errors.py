"""Kinds of error a user can cause, and how one is shown.

Three layers, never mixed: the schema (`ConfigError`), the composition of parts for a space
(`CompositionError`) and what an algorithm requires (`ContractError`). A layer reports all its
problems at once.
"""

import difflib
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One mistake: where, what, and what to type instead."""

    message: str
    path: str = ""
    """Dotted, as typed: `model.encoder.hidden`."""
    value: object = None
    """What was given; shown only where `path` is."""
    origin: str | None = None
    """Where it was set: the override's own text, or `file:line`."""
    valid: tuple[str, ...] = ()
    """The names that would have been right."""
    fix: str | None = None
    """A line to type."""

    def lines(self) -> Iterator[tuple[str, str]]:
        """What is shown, line by line, and what each line is."""
        if self.path:
            yield "path", f"{self.path} = {shown(self.value)}"
        for line in self.message.splitlines():
            yield "message", line
        if self.origin:
            yield "set by", self.origin
        if self.valid:
            yield "valid", ", ".join([self.valid[0], *folded(self.valid[1:])])
        if self.fix:
            yield "try", self.fix

    def render(self) -> str:
        """The problem as plain text, its first line the path and the value."""
        lines = [
            text if kind in ("path", "message") else f"{kind:<8}{text}"
            for kind, text in self.lines()
        ]
        return "\n".join(f"  {'' if i == 0 else '  '}{line}" for i, line in enumerate(lines))

    def to_data(self) -> dict[str, Any]:
        """The problem as JSON data; a value that JSON has no word for is text."""
        return {
            "path": self.path,
            "value": self.value if _is_json(self.value) else shown(self.value),
            "message": self.message,
            "origin": self.origin,
            "valid": list(self.valid),
            "fix": self.fix,
        }


class ComposerError(Exception):
    """Base of every error a user can cause."""

    title = "error"

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(Problem(p) if isinstance(p, str) else p for p in problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join([self.head, *(problem.render() for problem in self.problems)])

    @property
    def head(self) -> str:
        """The title, and how many problems there are where it is not one."""
        count = len(self.problems)
        return self.title if count == 1 else f"{count} errors: {self.title}"

    def to_data(self) -> dict[str, Any]:
        """The error as JSON data."""
        return {"error": self.title, "problems": [item.to_data() for item in self.problems]}


class UsageError(ComposerError):
    """The command line is not one that Composer has."""

    title = "the command cannot be read"


class OutputError(ComposerError):
    """What was asked for cannot be written."""

    title = "nothing was written"


class ConfigError(ComposerError):
    """The configuration names or values something that the schema does not know."""

    title = "the configuration is not valid"


class CompositionError(ComposerError):
    """The parts asked for do not fit the environment's spaces or one another."""

    title = "no model can be composed"


class ContractError(ComposerError):
    """The module lacks a capability that the algorithm requires."""

    title = "the module does not offer what the algorithm requires"


class ModuleError(ComposerError):
    """A module was used or written in a way that it cannot honour."""

    title = "the module cannot do this"


class CheckpointError(ComposerError):
    """A checkpoint is missing, damaged, or does not fit."""

    title = "the checkpoint cannot be used"


class RunDirectoryError(ComposerError):
    """A run's directory cannot be made, is none, or is in use."""

    title = "the run directory cannot be used"


class EnvironmentFailure(ComposerError):
    """The environment could not be made, or raised while it ran."""

    title = "the environment failed"


class TrainingError(ComposerError):
    """Training had to stop."""

    title = "training stopped"


def nearest(name: str, names: Iterable[str], closeness: float = 0.55) -> str | None:
    """The name closest to `name`, or None where nothing is close.

    One that begins with `name` comes first, one that `name` begins with last.
    """
    by_lower = {candidate.lower(): candidate for candidate in names}
    if begun := [key for key in by_lower if len(name) > 1 and key.startswith(name.lower())]:
        return by_lower[min(begun, key=len)]
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=closeness)
    close += [key for key in by_lower if len(key) > 2 and name.lower().startswith(key)]
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`; did you mean `x`?`, or nothing."""
    close = nearest(name, names)
    return f"; did you mean `{close}`?" if close else ""


def nearest_first(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """All names, the one closest to `name` first."""
    ordered = sorted(names)
    close = nearest(name, ordered)
    return tuple(sorted(ordered, key=lambda candidate: candidate != close))


def folded(names: Sequence[str], most: int = 8) -> list[str]:
    """The names as a person wants them: more than `most` of one folder as `atari/… (104)`."""
    folders = Counter(name.rpartition("/")[0] for name in names)
    found = (
        f"{folder}/… ({folders[folder]})" if folder and folders[folder] > most else name
        for name, folder in ((name, name.rpartition("/")[0]) for name in names)
    )
    return list(dict.fromkeys(found))


def at_path(problem: Problem, prefix: str) -> Problem:
    """The same problem, its path below `prefix`."""
    path = ".".join(part for part in (prefix, problem.path) if part)
    return replace(problem, path=path)


def shown(value: object) -> str:
    """A value as YAML's flow style would have it, cut to a line."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(shown(item) for item in value)}]"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    else:
        text = str(value) or "''"
    return text if len(text) <= 120 else text[:117] + "..."


def line_to_type(path: str, value: object) -> str:
    """`path=value` for a shell: pasted as it is, it sets the path to this very value."""
    return f"{path}={shlex.quote(_override(value))}"


def _override(value: object) -> str:
    """A value as Hydra's grammar of overrides has it."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_override, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_override(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, bool | int | float):
        return shown(value)
    text = str(value)
    if _BARE.fullmatch(text) and text.lower() not in ("true", "false", "null", "nan", "inf"):
        return text
    escaped = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ('\\"' if m[2] else ""), text)
    return f'"{escaped}"'


_BARE = re.compile(r"(?:\.{0,2}/|[A-Za-z_])[\w./:@%+*?-]*", re.ASCII)
"""Text that Hydra's grammar takes for text without quotes."""


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
