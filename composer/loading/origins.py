"""Where a value of the composed configuration was set: a word typed, or a line of a YAML file."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import yaml

from composer.loading.files import BASE, Choice, YamlFile, pairs
from composer.loading.paths import Parts, parts_of
from composer.loading.words import Typed, on_command_line

MISSING = "???"


@dataclass(frozen=True)
class Source:
    """A file's part in a composition."""

    file: YamlFile
    package: Parts
    """Where its content was put."""
    parent: str | None
    """The file that pulled it in."""

    def find(self, path: Parts) -> "Written | None":
        """What the file says at a path, or the plain value it has above it.

        A part that is named by a plain value has that for its `type`.
        """
        depth = len(self.package)
        found = _descend(self.file.root, path[depth:]) if path[:depth] == self.package else None
        if found is None:
            return None
        line, value, below = found
        return Written(self, line, value, () if below == ("type",) else below)

    def statements(self) -> Iterator["Statement"]:
        """Everything the file says, the outer before what is in it."""
        for key, value in pairs(self.file.root):
            if key.value != "defaults":
                yield from _statements((*self.package, _key(key)), key, value)


class Written(NamedTuple):
    """A value in a file."""

    source: Source
    line: yaml.Node
    value: yaml.Node
    below: Parts
    """The part of the path that was asked for below it, which the file does not say."""

    @property
    def target(self) -> tuple[int, Parts] | None:
        """What an interpolation refers to: the dots it begins with, and the path."""
        return _target(self.value.value) if isinstance(self.value, yaml.ScalarNode) else None


class Statement(NamedTuple):
    """A value in a file, and where it goes."""

    path: Parts
    key: yaml.Node
    """The key, or the item of a list."""
    value: yaml.Node


class Origins:
    """Answers where values come from.

    Args:
        typed: The values given on the command line, in their order.
        find_sources: Gives the files in the order in which they were merged; called at most once,
            and only when a value is asked for that no word sets.
        named: The types that an option without a YAML names: their paths, and the option's group.
    """

    def __init__(
        self,
        typed: Sequence[Typed],
        find_sources: Callable[[], Sequence[Source]],
        named: Mapping[Parts, str] | None = None,
    ) -> None:
        self.typed = tuple(typed)
        self.named = dict(named or {})
        self._find_sources = find_sources

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        return tuple(self._find_sources())

    def origin(self, path: str) -> str | None:
        """Where the value at `path`, something in it, or the nearest value above it was set."""
        parts = parts_of(path)
        while parts:
            found = self.exact(parts) or self._inside(parts)
            if found:
                return found
            parts = parts[:-1]
        return None

    def _inside(self, parts: Parts) -> str | None:
        """The word that set something inside the value at this path."""
        inside = [typed.word for typed in self.typed if typed.path[: len(parts)] == parts]
        return on_command_line(inside[-1]) if inside else None

    def exact(self, parts: Parts, seen: tuple[Parts, ...] = ()) -> str | None:
        """Where the value at exactly this path was set, interpolations already `seen` aside."""
        typed, found = self._typed(parts), None
        if typed:
            place, target = on_command_line(typed.word), None
            if typed.path == parts:
                target = _target(str(typed.value))
        elif parts in self.named:
            return self.chosen(self.named[parts])
        elif found := self.written(parts):
            is_plain = isinstance(found.value, yaml.ScalarNode) and not found.below
            if is_plain and (inside := self._inside(parts)):
                return inside  # a word has put a mapping in the plain value's place
            place, target = self.place(found.source, found.line), found.target
        else:
            return None
        below = found.below if found else ()
        origin = None
        if target:
            dots, path = target
            stands_at = parts[: len(parts) - len(below)]
            path = (*(stands_at[:-dots] if dots else ()), *path)
            origin = None if path in seen else self.exact((*path, *below), (*seen, parts))
        return f"{place}, from {origin}" if origin else None if below else place

    def source(self, parts: Parts) -> Source | None:
        """The file that set the value at `parts`, or else the nearest value above it."""
        while parts:
            found = self.written(parts)
            if found and not found.below:
                return found.source
            parts = parts[:-1]
        return None

    def word(self, parts: Parts) -> str | None:
        """The word that set the value at exactly this path."""
        typed = self._typed(parts)
        return typed.word if typed else None

    def _typed(self, parts: Parts) -> Typed | None:
        return next((typed for typed in reversed(self.typed) if typed.sets(parts)), None)

    def written(self, parts: Parts) -> Written | None:
        """What the last file that says something at this path has there, or above it."""
        found = [item for source in self.sources if (item := source.find(parts))]
        given = [item for item in found if item.value.value != MISSING]
        return (given or found or [None])[-1]

    def place(self, source: Source, node: yaml.Node) -> str:
        """A line of a file, and the line that named the file, where that is not the base's."""
        group, _, option = source.file.name.rpartition("/")
        lines = (line for choice, line in self._choices(group) if choice.option == option)
        by = next(lines, None)
        return source.file.place(node.start_mark.line + 1) + (f", chosen by {by}" if by else "")

    def chosen(self, group: str) -> str | None:
        """The line of a file that chose the group's option: an experiment's before the default."""
        return next((line for _, line in self._choices(group, with_base=True)), None)

    def _choices(self, group: str, *, with_base: bool = False) -> Iterator[tuple[Choice, str]]:
        """The lines of defaults lists that choose an option of the group, the last one first."""
        for source in reversed(self.sources):
            for choice in source.file.choices():
                if choice.group == group and (with_base or source.file.name != BASE):
                    yield choice, source.file.place(choice.line)


def _key(node: yaml.Node) -> str:
    """A mapping's key as it is shown in a path: `on` is `True`."""
    is_text = node.tag == "tag:yaml.org,2002:str" or not isinstance(node, yaml.ScalarNode)
    return str(node.value) if is_text else str(yaml.safe_load(node.value))


def _descend(node: yaml.Node | None, path: Parts) -> tuple[yaml.Node, yaml.Node, Parts] | None:
    """The node that names `path`, its value, and the parts of the path below a plain value."""
    mark = node
    for index, part in enumerate(path):
        if isinstance(node, yaml.MappingNode):
            named = [pair for pair in pairs(node) if _key(pair[0]) == part]
            if not named:
                return None
            mark, node = named[-1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            mark = node = node.value[int(part)]
        else:
            return (mark, node, path[index:]) if mark is not None and node is not None else None
    return (mark, node, ()) if mark is not None and node is not None else None


def _statements(path: Parts, key: yaml.Node, value: yaml.Node) -> Iterator[Statement]:
    yield Statement(path, key, value)
    if isinstance(value, yaml.SequenceNode):
        for index, item in enumerate(value.value):
            yield from _statements((*path, str(index)), item, item)
    for inner, item in pairs(value):
        yield from _statements((*path, _key(inner)), inner, item)


def _target(text: str) -> tuple[int, Parts] | None:
    """What an interpolation refers to: how many dots it begins with, and the path after them."""
    match = _INTERPOLATION.match(text)
    return (len(match[1]), parts_of(match[2])) if match else None


_INTERPOLATION = re.compile(r"^\$\{(\.*)([^:{}]+)\}$")
