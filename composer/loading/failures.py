"""Hydra's and OmegaConf's exceptions, in one sentence with the file and line they are about."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import yaml
from hydra.errors import MissingConfigException
from omegaconf.errors import (
    GrammarParseError,
    InterpolationResolutionError,
    KeyValidationError,
    OmegaConfBaseException,
)

from composer.errors import ComposerError, ConfigError, Problem, did_you_mean, nearest_first
from composer.loading.files import YamlFile, pairs
from composer.loading.words import Words

_WORD = "Error merging override "


@contextmanager
def explained(read: Words, word: str | None = None) -> Iterator[None]:
    """Turns whatever Hydra and OmegaConf raise into a ConfigError, at `word` if it is given."""
    try:
        yield
    except ComposerError:
        raise
    except Exception as error:  # a bad file makes Hydra raise ValueError, AssertionError, OSError …
        problem = _problem(error, read)
        if word is not None:
            problem = replace(problem, origin=f"{word} (command line)")
        raise ConfigError(problem) from error


def _problem(error: BaseException, read: Words) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        return _syntax(error, read)
    if isinstance(error, MissingConfigException):
        return _missing(error, read)
    if isinstance(error, RecursionError):
        return _circle(read)
    if isinstance(error, OmegaConfBaseException):
        return _of_value(error, read)
    if error.__cause__ is not None and (not str(error) or str(error).startswith(_WORD)):
        inner = _problem(error.__cause__, read)
        word = read.spelling(str(error).removeprefix(_WORD))
        return replace(inner, origin=f"{word} (command line)") if str(error) else inner
    return _told(error, read)


def _syntax(error: yaml.MarkedYAMLError, read: Words) -> Problem:
    """A file that is no YAML, or has a key twice."""
    mark, text = error.problem_mark or error.context_mark, error.problem or error.context
    if mark is None:
        return Problem(f"a file is not valid YAML: {text}")
    file, line = read.files.at(mark.name), mark.line + 1
    return Problem(f"{file.place(line) if file else mark.name} is not valid YAML: {text}")


def _missing(error: MissingConfigException, read: Words) -> Problem:
    """A defaults list that names what does not exist."""
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = read.files.options(group)
    if group and not options:
        groups = read.files.groups()
        message = f"there is no group `{group}`{did_you_mean(group, groups)}"
        valid = nearest_first(group, groups)
    else:
        message = f"there is no {group or 'file'} `{option}`{did_you_mean(option, options)}"
        valid = nearest_first(option, options)
    lines = (
        file.place(choice.line)
        for file in _reached(read)
        for choice in file.choices()
        if (choice.group, choice.option) == (group, option)
    )
    return Problem(message, origin=next(lines, None), valid=valid)


def _circle(read: Words) -> Problem:
    """Files that list one another."""

    def search(file: YamlFile, trail: tuple[str, ...]) -> tuple[str, ...] | None:
        if file.name in trail:
            return (*trail[trail.index(file.name) :], file.name)
        found = (read.files.find(f"{item.group}/{item.option}") for item in file.choices())
        circles = (search(other, (*trail, file.name)) for other in found if other is not None)
        return next(filter(None, circles), None)

    circle = next(filter(None, (search(file, ()) for file in _reached(read))), None)
    if circle is None:
        return Problem("a value or a file refers to itself", origin=_places(read))
    first = read.files.find(circle[0])
    return Problem(
        f"files list one another in a circle: {' → '.join(circle)}",
        origin=first.place() if first else None,
    )


def _of_value(error: OmegaConfBaseException, read: Words) -> Problem:
    """An interpolation that leads nowhere, or a value that cannot be merged."""
    message = str(error.msg or error).splitlines()[0]
    if isinstance(error, InterpolationResolutionError):
        message = re.sub(r"^\w+ raised while resolving interpolation: ", "", message).strip("\"'")
        return Problem(_lower(message), path=str(error.full_key or ""))
    if isinstance(error, GrammarParseError):
        message = f"the interpolation at `{error.full_key}` cannot be read: {message}"
    if isinstance(error, KeyValidationError):
        message = "a key is empty; a key is text, in quotes if need be"
    return Problem(_lower(message), origin=_places(read))


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _told(error: BaseException, read: Words) -> Problem:
    """Any other exception, in its own words, with the line of a defaults list it speaks of."""
    flaw = next((flaw for file in _reached(read) if (flaw := _flaw(file))), None)
    if flaw:
        return flaw
    text = str(error)
    if not text or isinstance(error, AssertionError):
        text = "a line of a defaults list is not `group: option`"
    named = re.search(r"[Ii]n '?([\w./-]+)'?(?::|,|$)", text)
    text = re.sub(r"^In '?[\w./-]+'?:\s*", "", text)
    text = re.sub(r"^\w+ raised while composing config:\s*", "", text)
    lines = [line for line in text.splitlines() if not line.startswith(_ADVICE)]
    message = " ".join(line.strip() for line in lines if not re.match(r"\s+\w+[:=]", line))
    file = read.files.find(named[1]) if named else None
    spoken_of = (
        source.place(choice.line)
        for source in ([file] if file else _reached(read))
        for choice in source.choices()
        if choice.group and re.search(rf"(?<![\w/]){re.escape(choice.group)}(?![\w/])", message)
    )
    origin = next(spoken_of, None) or (file.place() if file else _places(read))
    is_nested = re.search(r"override '[\w./-]+@", message) and file is not None
    fix = "# @package _global_   as the first line of the file" if is_nested else None
    return Problem(_lower(message), origin=origin, fix=fix)


_ADVICE = ("To append", "Did you mean", "Config search path", "Either remove", "Or add")


def _flaw(file: YamlFile) -> Problem | None:
    """What makes a file unreadable that Hydra reports without its name."""
    try:
        root = file.root
    except UnicodeDecodeError as error:
        return Problem(f"{file.place()} is not UTF-8 text: byte {error.start}: {error.reason}")
    except (OSError, yaml.YAMLError) as error:
        return Problem(f"{file.place()} cannot be read: {error}")
    for key, value in pairs(root):
        if key.value == "defaults" and not isinstance(value, yaml.SequenceNode):
            return Problem(
                "`defaults` is a list, each line of it `- group: option`",
                origin=file.place(key.start_mark.line + 1),
            )
    return None


def _reached(read: Words) -> list[YamlFile]:
    """The user's files that the words lead to, by their own defaults lists, and tuned ones."""
    names = [
        *(f"{group}/{option}" for group, item in read.chosen.items() for option in item.options),
        *(f"tuned/{option}" for option in read.files.options("tuned")),
    ]
    found: dict[str, YamlFile] = {}
    while names:
        name = names.pop(0)
        file = read.files.find(name)
        if file is None or file.built_in or name in found:
            continue
        found[name] = file
        if not _flaw(file):
            names.extend(f"{choice.group}/{choice.option}" for choice in file.choices())
    return list(found.values())


def _places(read: Words) -> str | None:
    """The user's files in play, where it is not known which of them is at fault."""
    return ", ".join(file.place() for file in _reached(read)) or None
