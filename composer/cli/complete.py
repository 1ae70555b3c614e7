"""What a shell offers on TAB: the line up to the cursor → words, each with its meaning."""

import argparse
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from composer.cli.arguments import RUN_METAVARS, newest_runs
from composer.cli.main import VERBS, parser_of
from composer.cli.overrides import Offer, Overrides
from composer.errors import ComposerError
from composer.loading.files import ConfigFiles

FREE = ("*", "+")
"""`nargs` of an argument that takes any number of words."""
KINDS = (
    *("encoders", "memories", "heads", "distributions"),
    *("algorithms", "optimisers", "apis", "environments", "experiments", "rules"),
)
"""What `composer ls` lists."""

FILES = {"RUN": (), "DIR": (), "A": (".json",), "B": (".json",)}
"""How the files end that an argument takes beside directories, by metavar; any file otherwise."""


def run() -> int:
    """Prints what fits `COMP_LINE` up to `COMP_POINT`: a word a line, its meaning after a tab."""
    line = os.environ.get("COMP_LINE", "")
    for word, meaning in offers(line[: int(os.environ.get("COMP_POINT", len(line)))]):
        print(f"{word}\t{meaning}" if meaning else word)
    return 0


def offers(line: str) -> list[Offer]:
    """The words that may stand where the line ends, the program's name being its first."""
    *words, current = _split(line)
    found: dict[str, str] = {}
    for word, meaning in _offers(words[1:], current):
        if word.startswith(current):
            found[word] = found.get(word) or meaning
    return list(found.items())


def _split(line: str) -> list[str]:
    """The words of a line that is not complete; the last is the one being typed."""
    end = "\0"  # so that the last word is there when it is empty
    for closing in ("", "'", '"'):
        try:
            *words, last = shlex.split(line + end + closing)
        except ValueError:  # a quote is open
            continue
        return [*words, last.removesuffix(end)]
    return [""]


def _offers(words: Sequence[str], current: str) -> Iterator[Offer]:
    if not words or words[0] == "help":
        if len(words) < 2:
            yield from ((verb, summary) for verb, (summary, _) in VERBS.items())
        if not words:
            yield "help", "say more about a verb"
        if not words and current.startswith("-"):
            yield from (("--help", ""), ("--version", ""))
    elif words[0] in VERBS:
        yield from _Verb(words[0], words[1:]).offers(current)


class _Verb:
    """A verb and what has been typed after it."""

    def __init__(self, verb: str, words: Sequence[str]) -> None:
        actions = parser_of(verb)._actions
        self.verb = verb
        self.flags = {name: action for action in actions for name in action.option_strings}
        self.arguments = [action for action in actions if not action.option_strings]
        self.given: dict[str, str] = {}
        self.positional: list[str] = []
        self.overrides: list[str] = []
        self.waiting: str | None = None
        """A flag whose value is being typed."""
        for word in words:
            self._read(word)

    def _read(self, word: str) -> None:
        name, separator, value = word.partition("=")
        if self.waiting is not None:
            self.given[self.waiting], self.waiting = word, None
        elif word.startswith("-"):
            self.given[name] = value
            takes_value = name in self.flags and self.flags[name].nargs != 0
            self.waiting = name if takes_value and not separator else None
        else:
            (self.overrides if separator else self.positional).append(word)

    def offers(self, current: str) -> Iterator[Offer]:
        flag, separator, value = current.partition("=")
        if self.waiting is not None:
            yield from _values(self.flags[self.waiting], current)
        elif flag in self.flags and separator:
            values = _values(self.flags[flag], value)
            yield from ((f"{flag}={word}", meaning) for word, meaning in values)
        elif current.startswith("-"):
            unused = (item for item in self.flags.items() if item[0] not in self.given)
            yield from ((name, action.help or "") for name, action in unused)
        elif (argument := self._argument(current)) is not None:
            if argument.dest == "words":
                overrides = self._overrides()
                yield from ((name, "") for name in _names(self.verb, overrides.files))
                yield from overrides.offers(current)
            else:
                if self.verb == "diff":
                    yield from ((name, "") for name in self._files().options("experiment"))
                yield from _values(argument, current)

    def _argument(self, current: str) -> argparse.Action | None:
        """The positional argument that the word being typed is for."""
        taken, free = len(self.positional), [a for a in self.arguments if a.nargs in FREE]
        if taken < len(self.arguments) and not (free and "=" in current):
            return self.arguments[taken]
        return free[-1] if free else None

    def _files(self) -> ConfigFiles:
        config_dir = self.given.get("--config-dir")
        try:
            return ConfigFiles.of(os.path.expanduser(config_dir) if config_dir else None)
        except ComposerError:  # of which the verb will tell
            return ConfigFiles()

    def _overrides(self) -> Overrides:
        of_a_run = any(action.metavar == "RUN" for action in self.arguments)
        run = _experiment(*self.positional[:1]) if of_a_run else None
        return Overrides(self._files(), self.overrides, run)


def _names(verb: str, files: ConfigFiles) -> Iterable[str]:
    """The plain words that a verb takes beside `key=value`."""
    if verb == "ls":
        return KINDS
    if verb == "schema":
        schemas = files.roots[0].joinpath("schema")
        names = ("experiment", *files.base)
        return [name for name in names if schemas.joinpath(f"{name}.json").is_file()]
    return ()


def _experiment(directory: str = "") -> object:
    """What the `experiment.json` of a run, or of a checkpoint, holds; `{}` without one."""
    path = Path(os.path.expanduser(directory)) / "experiment.json"
    try:
        return json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError):  # of which the verb will tell
        return {}


def _values(action: argparse.Action, current: str) -> Iterator[Offer]:
    """What may follow a flag, or stand for an argument."""
    if action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif action.type is None:
        runs = newest_runs() if action.metavar in RUN_METAVARS else []
        yield from ((run, "") for run in runs)
        for path in _paths(current, FILES.get(str(action.metavar), ("",))):
            if not any(f"{run}/".startswith(path) for run in runs):
                yield path, ""


def _paths(current: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Directories, and the files whose names end as one of the suffixes says."""
    folder, separator, name = current.rpartition("/")
    try:
        entries = sorted(os.scandir(os.path.expanduser(folder + separator) or "."), key=str)
    except OSError:  # there is no such directory
        return
    for entry in entries:
        is_hidden = entry.name.startswith(".") and not name.startswith(".")
        if not is_hidden and (entry.is_dir() or entry.name.endswith(suffixes)):
            yield f"{folder}{separator}{entry.name}{'/' if entry.is_dir() else ''}"
