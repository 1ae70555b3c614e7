"""Argparse, with errors that look like Composer's others."""

import argparse
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from composer.errors import Problem, UsageError, did_you_mean, nearest, nearest_first

RUN_METAVARS = ("RUN", "A", "B")
"""The metavars of arguments that a run's directory may stand for."""


class Parser(argparse.ArgumentParser):
    """Reads the words after a verb."""

    words: tuple[str, ...] = ()
    """What is being read."""

    def __init__(self, prog: str, summary: str) -> None:
        super().__init__(
            prog=prog,
            description=f"{summary[0].upper()}{summary[1:].removesuffix(', …')}.",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """What the words say.

        Raises:
            UsageError: With the words that are wrong.
        """
        self.words = tuple(words)
        args, unknown = self.parse_known_intermixed_args(words)
        unknown += [word for word in getattr(args, "words", ()) if word.startswith("-")]
        if unknown:  # a word after an unknown flag is counted wrongly
            flags = [word for word in unknown if word.startswith("-")]
            raise UsageError(*map(self._unknown, flags or unknown))
        run = self._named("RUN") if self._named("KEY=VALUE") else None
        given = getattr(args, run.dest) if run else ""
        if "=" in given and not Path(given).exists():  # `composer eval total_steps=2e5`
            raise UsageError(self._missing(run, "RUN"))
        return args

    def print_help(self, file: Any = None) -> None:
        print(self.format_help(), end="", file=file, flush=True)

    def error(self, message: str) -> NoReturn:
        """Argparse's own errors."""
        missing = re.fullmatch(r"the following arguments are required: (.+)", message)
        if missing:
            names = missing[1].split(", ")
            raise UsageError(
                *(self._missing(self._named(name), name, len(names)) for name in names)
            )
        about = re.fullmatch(r"argument (\S+): (.+)", message, re.DOTALL)
        if about and about[2] == "expected one argument":
            raise UsageError(f"`{about[1]}` needs a value")
        if about and about[2].startswith("not allowed with argument "):
            other = about[2].removeprefix("not allowed with argument ")
            raise UsageError(f"`{other}` and `{about[1]}` cannot be given together")
        raise UsageError(f"`{about[1]}`: {about[2]}" if about else message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        close = nearest(value, action.choices)
        mended = [f"{close}" if word == value else word for word in self.words]
        raise UsageError(
            Problem(
                f"`{[action.metavar or action.dest, *action.option_strings][-1]}` cannot be "
                f"`{value}`{did_you_mean(value, action.choices)}",
                valid=nearest_first(value, action.choices),
                fix=self._line(mended) if close else None,
            )
        )

    def _named(self, name: str) -> argparse.Action | None:
        return next((item for item in self._actions if name in (item.metavar, item.dest)), None)

    def _missing(self, action: argparse.Action | None, name: str, count: int = 1) -> Problem:
        """An argument that is not given, one of `count`; the line to type gives them all."""
        valid = tuple(action.choices or ()) if action else ()
        runs = newest_runs() if name in RUN_METAVARS else []
        examples = [item for item in valid or runs if item not in self.words][:count]
        about = f": {action.help}" if action and action.help else ""
        return Problem(
            f"{name} is not given{about}",
            valid=valid,
            fix=self._line([*examples, *self.words]) if len(examples) == count else None,
        )

    def _line(self, words: Iterable[str]) -> str:
        return shlex.join([*self.prog.split(), *words])

    def _unknown(self, word: str) -> Problem:
        if not word.startswith("-"):
            return Problem(f"`{word}` is one word too many")
        flag, separator, value = word.partition("=")
        flags = [name for item in self._actions for name in item.option_strings]
        bare = {name.lstrip("-"): name for name in flags}  # dashes make no flag like another
        close = bare.get(nearest(flag.lstrip("-"), bare) or "")
        mended = [f"{close}{separator}{value}" if item == word else item for item in self.words]
        if not close and self._named("KEY=VALUE") and (words := _as_setting(self.words, word)):
            message = f"`{self.prog}` has no flag `{flag}`; a setting is written without dashes"
            return Problem(message, fix=self._line(words))
        return Problem(
            f"`{self.prog}` has no flag `{flag}`" + (f"; did you mean `{close}`?" if close else ""),
            valid=nearest_first(close or flag, (name for name in flags if name.startswith("--"))),
            fix=self._line(mended) if close else None,
        )


def _as_setting(words: Sequence[str], flag: str) -> list[str] | None:
    """The words with `--seed=3`, or `--seed` and the `3` after it, as `seed=3`."""
    place = words.index(flag)
    before, setting, after = words[:place], flag.lstrip("-"), list(words[place + 1 :])
    if "=" not in setting:
        if not after or "=" in after[0] or after[0].startswith("-"):
            return None
        setting += f"={after.pop(0)}"
    return [*before, setting, *after]


def unknown_verb(words: Sequence[str], verbs: Iterable[str]) -> UsageError:
    """The error of a command line whose first word is no verb."""
    verb, *rest = words
    verbs = list(verbs)
    if "=" in verb:
        message, right = f"a verb comes before `{verb}`", ["train", *words]
    elif verb.startswith("-"):
        message, right = f"a verb comes before `{verb}`", ["--help"]
    else:
        close = nearest(verb, verbs)
        message = f"there is no verb `{verb}`{did_you_mean(verb, verbs)}"
        right = [close, *rest] if close else ["--help"]
    fix = shlex.join(["composer", *right])
    return UsageError(Problem(message, valid=nearest_first(verb, verbs), fix=fix))


def newest_runs() -> list[str]:
    """The runs below `runs/`, the newest first."""
    found = Path("runs").glob("*/experiment.json")
    newest_first = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    return [str(path.parent) for path in newest_first]
