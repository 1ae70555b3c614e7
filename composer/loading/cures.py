"""Words that cannot be read or would do nothing, and what was probably meant."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException

from composer.errors import Problem, line_to_type, nearest
from composer.loading.files import ConfigFiles
from composer.loading.naming import FREE
from composer.loading.words import Typed, on_command_line


def parsed(word: str) -> Override | None:
    """The override that a word is, if it is one."""
    try:
        override = OverridesParser.create().parse_overrides([word])[0]
    except HydraException:
        return None
    return override if override.key_or_group else None


def unreadable(words: Sequence[str], files: ConfigFiles, sweeps: bool) -> Iterator[Problem]:
    """A problem for each word that is no override, or for several that were meant as one."""
    for problem in _unreadable(words, files):
        meant = map(parsed, shlex.split(problem.fix or ""))
        is_sweep = any(override and override.is_sweep_override() for override in meant)
        fix = f"{_SWEEP} {problem.fix}" if is_sweep and not sweeps else problem.fix
        yield replace(problem, fix=fix)


_SWEEP = "composer train -m"


def _unreadable(words: Sequence[str], files: ConfigFiles) -> Iterator[Problem]:
    start = 0
    while start < len(words):
        cut = _cut(words[start:])
        if cut > 1:
            yield _together(words[start : start + cut])
        elif parsed(words[start]) is None:
            problem = _alone(words[start], files)
            yield replace(problem, origin=on_command_line(words[start]))
        start += cut


def _cut(words: Sequence[str]) -> int:
    """How many words from the first on the shell has made of one."""
    for count in range(2, len(words) + 1):
        before = " ".join(words[: count - 1])
        if not (_JOINT.search(f"{before[-1:]} {words[count - 1]}") or _is_open(before)):
            break
        is_one = any(parsed(word) is None for word in words[:count])
        if is_one and _is_readable(_joined(words[:count])):
            return count
    return 1


_JOINT = re.compile(r"[=,:] |^. [=,:\])}]")
"""Where two words follow one another that were one."""


def _is_open(text: str) -> bool:
    return sum(map(text.count, "[{(")) > sum(map(text.count, ")}]"))


def _joined(words: Sequence[str]) -> str:
    key, separator, value = " ".join(words).partition("=")
    value = re.sub(r"(?<=[^\s,:\[{]) +(?=[^\s,:\]}])", ", ", value.strip())
    return f"{key.strip()}{separator}{value}"


def _is_readable(word: str) -> bool:
    return "=" in word and not word.endswith("=") and parsed(word) is not None


def _together(words: Sequence[str]) -> Problem:
    is_apart = any("=" in (word[:1], word[-1:]) for word in words)
    rule = "write no spaces around `=`" if is_apart else "put it in quotes"
    return Problem(
        f"`{' '.join(words)}` reaches Composer as {len(words)} words: {rule}",
        origin=on_command_line(" ".join(words)),
        fix=for_shell(_joined(words)),
    )


def _is_run(word: str) -> bool:
    with suppress(OSError):  # a name may be too long for one
        return Path(word, "experiment.json").is_file()
    return False


def _alone(word: str, files: ConfigFiles) -> Problem:
    key, separator, value = word.partition("=")
    parts = word.split()
    if word and _is_run(word):
        message = f"`{word}` is the directory of a run, which `eval`, `resume` and `diff` take"
        return Problem(message, fix=f"composer eval {shlex.quote(word)}")
    if len(parts) > 1 and all(map(_is_readable, parts)):
        message = f"`{word}` is {len(parts)} words in one: quotes go around each"
        return Problem(message, fix=" ".join(map(for_shell, parts)))
    meant = _option(key, value, files) or next(filter(_is_readable, _meant(word)), None)
    if not (separator and key and value):
        message = f"`{word}` cannot be read: expected `key=value`"
        meant = meant or _named(word, files) or next(_begun(word), None)
    elif key.strip() != key or value.strip() != value:
        message = f"`{word}` cannot be read: there are no spaces around `=`"
    elif "[" in key:
        message = f"the key of `{word}` cannot be read: a list is given as a whole"
    elif parsed(f"{key}=1") is None:
        message = f"the key of `{word}` cannot be read: it is made of names with dots between them"
    else:
        message = f"the value of `{word}` cannot be read; text with special characters is quoted"
    return (
        Problem(message, fix=for_shell(meant)) if meant else Problem(message, valid=files.groups())
    )


def _option(key: str, value: str, files: ConfigFiles) -> str | None:
    """`env=atari/pong` and `model/encoder=cnn`, for `env=atari=pong` and `model=encoder=cnn`."""
    option = value.replace("=", "/")
    folder, _, name = option.rpartition("/")
    if folder and option in files.options(key):
        return f"{key}={option}"
    return f"{key}/{folder}={name}" if folder and f"{key}/{folder}" in files.base else None


def _begun(word: str) -> Iterator[str]:
    """`seed=…`, for a key that stands alone."""
    if re.fullmatch(r"[A-Za-z_][\w.]*=?", word, re.ASCII) and _is_readable(f"{word.rstrip('=')}=1"):
        yield f"{word.rstrip('=')}=…"


def _meant(word: str) -> Iterator[str]:
    """What a word may have been meant to be, the likeliest first."""
    yield re.sub(r"^([\w./]+)\s*(?::|==)\s*", r"\1=", word)
    key, _, value = word.partition("=")
    key, value = key.strip(), value.strip().rstrip(",;")
    if not key:  # `=env=cartpole`
        yield value
    if not value:
        return
    key, index = re.sub(r"\[\d*\]$", "", key), re.search(r"\[\d*\]$", key)
    value = f"[{value}]" if index and value[0] != "[" else value
    key = re.sub(r"\.{2,}", ".", re.sub(r"[^\w./~+@-]", "", key, flags=re.ASCII)).strip(".")
    yield f"{key}={value.strip(_QUOTES) if _NUMBER.fullmatch(value.strip(_QUOTES)) else value}"
    yield f"{key}=[{value.strip('()')}]" if value[0] == "(" else ""
    if value[0] in "[{":
        yield f"{key}=" + _QUOTED_KEY.sub(r"\1\2:", value)
        yield f"{key}={value.replace('=', ':')}"
        yield f"{key}=[{value[1:-1]}]" if re.fullmatch(r"\{[\d, ]+\}", value) else ""
        yield from (f"{key}={value}{end}" for end in ("]", "}", "]}", "}}"))
        yield f"{key}={value[:-1]}"
        yield re.sub(r",(?=\s*[],}])", "", f"{key}={value}")
    yield f"{key}={re.sub(r',(?: *,)+', ',', value)}"  # `seed=0,,1`
    yield f"{key}='{value.strip(_QUOTES).replace(_QUOTES[0], '')}'"


_QUOTES = "'\""
_QUOTED_KEY = re.compile(r"([{,]\s*)[\"']([^\"':]+)[\"']\s*:")
"""Which Hydra's grammar does not have: there a key is without quotes."""
_NUMBER = re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?")


def _named(word: str, files: ConfigFiles) -> str | None:
    """`env=pendulum`, for an option of a group that stands alone."""
    options = {option: group for group in files.base for option in files.options(group)}
    close = nearest(word, options, closeness=0.75)
    return f"{options[close]}={close}" if close else None


def contradictions(overrides: Sequence[Override]) -> Iterator[Problem]:
    """A problem for each word that says otherwise what an earlier one says; mappings are merged."""
    said: dict[str, Override] = {}
    for override in overrides:
        key = override.key_or_group.replace("/", ".")
        earlier = said.pop(key, None)
        if override.is_delete() or isinstance(override.value(), dict):
            continue
        said[key] = override
        if earlier is not None and earlier.value() != override.value():
            yield _contradiction(str(earlier.input_line), str(override.input_line))


def undone(typed: Sequence[Typed]) -> Iterator[Problem]:
    """A problem for each plain value below which another word sets something, unless it names a
    part of which that is a field.
    """
    for plain in typed:
        for other in typed:
            below = other.path[len(plain.path) :]
            if below and other.path[: len(plain.path)] == plain.path and not _fit(plain, other):
                yield _contradiction(plain.word, other.word)


def _fit(plain: Typed, other: Typed) -> bool:
    """Whether what is said below a value can stand beside it."""
    if not isinstance(plain.value, str) or FREE in plain.path:
        return isinstance(plain.value, dict | list)
    return other.path != (*plain.path, "type") or other.value == plain.value


def _contradiction(earlier: str, word: str) -> Problem:
    return Problem(
        f"`{earlier}` and `{word}` cannot both be: give one",
        origin=on_command_line(word),
        fix=for_shell(word),
    )


def by_id(group: str, name: str, files: ConfigFiles) -> str | None:
    """What takes an environment that is named as Gymnasium names its own.

    `env=atari/pong` for ALE's `Pong-v5`, where a folder of the group has the game; else
    `env.id=LunarLander-v3`.
    """
    named = re.fullmatch(r"([\w:./-]+)-v\d+", name) if group == "env" else None
    if named is None:
        return None
    games = (option for option in files.options(group) if "/" in option)
    plain = named[1].lower()
    found = (game for game in games if game.rpartition("/")[2].replace("_", "") == plain)
    game = next(found, None)
    return f"{group}={game}" if game else line_to_type("env.id", name)


def several(override: Override, files: ConfigFiles) -> Problem:
    """The problem of `seed=0,1` where one value is wanted."""
    word, key, text = override.input_line, override.key_or_group, override.get_value_string()
    values = override.value()
    is_plain = isinstance(values, ChoiceSweep) and values.simple_form
    may_be_list = is_plain and key.replace(".", "/") not in files.base
    return Problem(
        f"`{word}` is several values, which only a sweep takes"
        + (f"; a list is written {key}=[{text}]" if may_be_list else ""),
        fix=f"{_SWEEP} {for_shell(str(word))}",
    )


def unused(override: Override, sweeps: bool) -> Problem | None:
    """The problem of a setting of Hydra's that a single run, or a sweep, does not use."""
    word = str(override.input_line)
    value = "" if override.is_delete() else override.get_value_string()
    is_run_dir = override.key_or_group == "hydra.run.dir"
    if is_run_dir and sweeps:
        cure, fix = "a sweep has hydra.sweep.dir", for_shell(f"hydra.sweep.dir={value}")
    elif is_run_dir:
        cure, fix = "train has --run-dir", f"composer train --run-dir {for_shell(value)}"
    elif not sweeps:
        cure, fix = "only a sweep has Hydra's settings", f"{_SWEEP} {for_shell(word)}"
    else:
        return None
    return Problem(f"`{word}` would have no effect: {cure}", fix=fix)


def for_shell(word: str) -> str:
    """A word as it can be pasted into a shell."""
    is_plain = re.search(r"[\"$`!\\]", word) is None
    if shlex.quote(word.replace("…", "_")) == word.replace("…", "_"):
        return word
    return f'"{word}"' if "'" in word and is_plain else shlex.quote(word)
