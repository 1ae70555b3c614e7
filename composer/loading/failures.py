"""Hydra's and OmegaConf's exceptions, in one sentence with the file and line they are about."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import yaml
from hydra.errors import MissingConfigException
from omegaconf import grammar_parser
from omegaconf.errors import (
    GrammarParseError,
    InterpolationKeyError,
    InterpolationResolutionError,
    KeyValidationError,
    OmegaConfBaseException,
)

from composer.errors import ComposerError, ConfigError, Problem
from composer.loading.composing import sources_of
from composer.loading.defaults import HEADER, circle, flaw, missing, places, reached
from composer.loading.origins import Source
from composer.loading.paths import dotted
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
    if kinds := re.search(r"Cannot merge (\w+)Config with (\w+)Config", str(error)):
        was, given = (_KINDS.get(kind, kind) for kind in kinds.groups())
        return _clash(f"{given} cannot take the place of {was}", read)
    if isinstance(error, OmegaConfBaseException):
        return _of_value(error, read)
    if error.__cause__ is not None and (not str(error) or str(error).startswith(_WORD)):
        inner = _problem(error.__cause__, read)
        word = read.spelling(str(error).removeprefix(_WORD))
        return replace(inner, origin=f"{word} (command line)") if str(error) else inner
    if (found := flaw(read)) is not None:
        return found
    if isinstance(error, MissingConfigException):
        return missing(error, read)
    return circle(read) if isinstance(error, RecursionError) else _told(error, read)


def _syntax(error: yaml.MarkedYAMLError, read: Words) -> Problem:
    """A file that is no YAML, or has a key twice."""
    mark, text = error.problem_mark or error.context_mark, error.problem or error.context
    if mark is None:
        return Problem(f"a file is not valid YAML: {text}")
    file, line = read.files.at(mark.name), mark.line + 1
    if text and "found '?'" in text:
        text = "inside { } and [ ] a value still to be given is quoted: '???'"
    return Problem(f"{file.place(line) if file else mark.name} is not valid YAML: {text}")


def _of_value(error: OmegaConfBaseException, read: Words) -> Problem:
    """An interpolation that leads nowhere, or a value that cannot be merged."""
    message = str(error.msg or error).splitlines()[0]
    if isinstance(error, InterpolationKeyError) and (key := re.search(r"'(.+)'", message)):
        return Problem(
            f"`{key[1]}` is not given: an interpolation takes what a file or a word gives, and "
            "not a default",
            path=str(error.full_key or ""),
            fix=f"{key[1]}=…",
        )
    if isinstance(error, InterpolationResolutionError):
        message = re.sub(r"^\w+ raised while resolving interpolation: ", "", message).strip("\"'")
        return Problem(_lower(message), path=str(error.full_key or ""))
    if isinstance(error, GrammarParseError):
        return _unreadable_interpolation(message, read)
    if isinstance(error, KeyValidationError):
        message = "a key is empty; a key is text, in quotes if need be"
    return Problem(_lower(message), origin=places(read))


_KINDS = {"Dict": "a mapping", "List": "a list"}


def _unreadable_interpolation(message: str, read: Words) -> Problem:
    """A `${` that is no interpolation."""
    for source in (Source(file, file.package, None) for file in reached(read)):
        for said in source.statements():
            text = str(said.value.value) if isinstance(said.value, yaml.ScalarNode) else ""
            try:
                grammar_parser.parse(text if "${" in text else "x")
            except GrammarParseError:
                path, line = dotted(said.path), said.key.start_mark.line + 1
                rule = f"the interpolation cannot be read: {message}"
                return Problem(rule, path, text, source.file.place(line))
    return Problem(f"an interpolation cannot be read: {message}", origin=places(read))


def _clash(message: str, read: Words) -> Problem:
    """A mapping in one file, and a list in another."""
    sources = sources_of(read)
    for source in (source for source in sources if not source.file.built_in):
        for said in source.statements():
            found = (other.find(said.path) for other in sources if other is not source)
            kinds = {type(item.value) for item in found if item and not item.below}
            if {*kinds, type(said.value)} >= {yaml.MappingNode, yaml.SequenceNode}:
                place = source.file.place(said.key.start_mark.line + 1)
                return Problem(message, dotted(said.path), source.file.excerpt(said.value), place)
    return Problem(message, origin=places(read))


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _told(error: BaseException, read: Words) -> Problem:
    """Any other exception, in its own words, with the line of a defaults list it speaks of."""
    text = str(error)
    if not text or isinstance(error, AssertionError):
        text = "a line of a defaults list is not `group: option`"
    if gone := re.search(r"Could not delete from config. '(.+)' does not exist", text):
        return Problem(f"`~{gone[1]}` takes nothing away: nothing gives `{gone[1]}`")
    named = re.search(r"[Ii]n '?([\w./-]+)'?(?::|,|$)", text)
    text = re.sub(r"^In '?[\w./-]+'?:\s*", "", text)
    text = re.sub(r"^\w+ raised while composing config:\s*", "", text)
    lines = [line for line in text.splitlines() if not line.startswith(_ADVICE)]
    message = " ".join(line.strip() for line in lines if not re.match(r"\s+\w+[:=]", line))
    file = read.files.find(named[1]) if named else None
    at = re.search(r"ould not override '([\w/]+)@([\w./]+)'", text)
    if at and file is None:
        message = f"nothing stands at `{at[2]}` that `{at[1]}@{at[2]}` could change; `+` adds it"
        return Problem(message, fix=f"+{at[1]}@{at[2]}=…")
    spoken_of = (
        source.place(choice.line)
        for source in ([file] if file else reached(read))
        for choice in source.choices()
        if choice.group and re.search(rf"(?<![\w/]){re.escape(choice.group)}(?![\w/])", message)
    )
    origin = next(spoken_of, None) or (file.place() if file else places(read))
    if file is not None and re.search(r"override '[\w./-]+@", message):
        message = f"the file's lines are about `{file.package[0]}` itself, for want of a header"
        return Problem(message, origin=origin, fix=HEADER)
    return Problem(_lower(message), origin=origin)


_ADVICE = ("To append", "Did you mean", "Config search path", "Either remove", "Or add")
