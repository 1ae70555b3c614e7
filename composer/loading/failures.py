"""Hydra's and OmegaConf's exceptions, in one sentence with the file and line they are about."""

import re
from collections.abc import Iterable, Iterator
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

from composer.errors import ComposerError, ConfigError, Problem, line_to_type
from composer.loading.composing import sources_of
from composer.loading.cures import for_shell
from composer.loading.defaults import (
    HEADER,
    SHAPE,
    circle,
    flaw,
    missing,
    no_mapping,
    places,
    reached,
)
from composer.loading.files import pairs
from composer.loading.origins import Source
from composer.loading.paths import Parts, dotted, nested
from composer.loading.words import Removed, Typed, Words, on_command_line

_WORD = "Error merging override "


@contextmanager
def explained(read: Words, change: Typed | Removed | None = None) -> Iterator[None]:
    """Turns whatever Hydra and OmegaConf raise into a ConfigError, about `change` if given."""
    try:
        yield
    except ComposerError:
        raise
    except Exception as error:  # a bad file makes Hydra raise ValueError, AssertionError, OSError …
        problem = _problem(error, read, change if isinstance(change, Typed) else None)
        if isinstance(change, Typed):
            at = problem if problem.path else Problem("", dotted(change.path), change.value)
            origin = on_command_line(change.word)
            problem = replace(problem, path=at.path, value=at.value, origin=origin)
        raise ConfigError(problem) from error


def _problem(error: BaseException, read: Words, typed: Typed | None = None) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        return _syntax(error, read)
    if kinds := re.search(r"Cannot merge (\w+)Config with (\w+)Config", str(error)):
        was, given = (_KINDS.get(kind, kind) for kind in kinds.groups())
        message = f"{given} cannot take the place of {was}"
        return _typed_clash(message, typed, read) if typed else _clash(message, read)
    if isinstance(error, OmegaConfBaseException):
        return _of_value(error, read, typed)
    if error.__cause__ is not None and (not str(error) or str(error).startswith(_WORD)):
        inner = _problem(error.__cause__, read)
        word = read.spelling(str(error).removeprefix(_WORD))
        return replace(inner, origin=on_command_line(word)) if str(error) else inner
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


def _of_value(error: OmegaConfBaseException, read: Words, typed: Typed | None) -> Problem:
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
        return _unreadable_interpolation(message, read, typed)
    if isinstance(error, KeyValidationError):
        message = "a key is empty; a key is text, in quotes if need be"
    return Problem(_lower(message), origin=places(read))


_KINDS = {"Dict": "a mapping", "List": "a list"}


def _unreadable_interpolation(message: str, read: Words, typed: Typed | None) -> Problem:
    """A `${` that is no interpolation."""
    rule = f"the interpolation cannot be read: {message}"
    if typed is not None:
        path, text = dotted(typed.path), str(typed.value)
        fix = line_to_type(path, _as_text(text)) if isinstance(typed.value, str) else f"{path}=…"
        return Problem(rule, path, typed.value, fix=fix)
    for source in (Source(file, file.package, None) for file in reached(read)):
        for said in source.statements():
            text = str(said.value.value) if isinstance(said.value, yaml.ScalarNode) else ""
            try:
                grammar_parser.parse(text if "${" in text else "x")
            except GrammarParseError:
                path, line = dotted(said.path), said.key.start_mark.line + 1
                fix = nested(said.path[-1:], f"'{_as_text(text)}'")
                return Problem(rule, path, text, source.file.place(line), fix=fix)
    return Problem(rule, origin=places(read))


def _as_text(text: str) -> str:
    """Text whose `${` are no interpolations."""
    return text.replace("${", r"\${")


def _clash(message: str, read: Words) -> Problem:
    """A mapping in one file, and a list in another."""
    if found := next(filter(None, map(no_mapping, reached(read))), None):
        return found
    sources = sources_of(read)
    for source in (source for source in sources if not source.file.built_in):
        for said in source.statements():
            others = _nodes(said.path, (other for other in sources if other is not source))
            kinds = {type(said.value), *map(type, others)}
            if kinds >= {yaml.MappingNode, yaml.SequenceNode}:
                place = source.file.place(said.key.start_mark.line + 1)
                other = next(node for node in others if type(node) is not type(said.value))
                names, fits = _fitting(other)
                path, value = dotted(said.path), source.file.excerpt(said.value)
                return Problem(message, path, value, place, names, nested(said.path[-1:], fits))
    return Problem(message, origin=places(read))


def _typed_clash(message: str, typed: Typed, read: Words) -> Problem:
    """A mapping in a file, and a list on the command line."""
    stands = _nodes(typed.path, sources_of(read))
    names, fits = _fitting(stands[-1]) if stands else ((), "…")
    path = dotted(typed.path)
    fix = for_shell(f"{path}={fits}")
    return Problem(message, path, typed.value, valid=names, fix=fix)


def _nodes(path: Parts, sources: Iterable[Source]) -> list[yaml.Node]:
    """What files say at a path."""
    found = (source.find(path) for source in sources)
    return [item.value for item in found if item and not item.below]


def _fitting(stands: yaml.Node) -> tuple[tuple[str, ...], str]:
    """The keys of what stands in a file, and a value that can be merged into it."""
    names = tuple(str(key.value) for key, _ in pairs(stands))
    if isinstance(stands, yaml.SequenceNode):
        return (), "[…]"
    return names, f"{{{names[0]}: …}}" if names else "{}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _told(error: BaseException, read: Words) -> Problem:
    """Any other exception, in its own words, with the line of a defaults list it speaks of."""
    text = str(error)
    if not text or isinstance(error, AssertionError):
        text = "a line of a defaults list is not `group: option`"
    if "resolving interpolation" in text:
        text = "a line of a defaults list names an option, and an interpolation is none here"
    if kept := re.search(r"ould not delete '(([\w/]+).*)'\. No match", text):
        rule = f"`~{kept[1]}` takes nothing away: another option of `{kept[2]}` is chosen, or none"
        word = f"~{kept[1]}"
        return Problem(rule, origin=on_command_line(word), fix=for_shell(f"~{kept[2]}"))
    named = re.search(r"[Ii]n '?([\w./-]+)'?(?::|,|$)", text)
    text = re.sub(r"^In '?[\w./-]+'?:\s*", "", text)
    text = re.sub(r"^\w+ raised while composing config:\s*", "", text)
    lines = [line for line in text.splitlines() if not line.startswith(_ADVICE)]
    message = " ".join(line.strip() for line in lines if not re.match(r"\s+\w+[:=]", line))
    file = read.files.find(named[1]) if named else None
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
    return Problem(_lower(message), origin=origin, fix=SHAPE)


_ADVICE = ("To append", "Did you mean", "Config search path", "Either remove", "Or add")
