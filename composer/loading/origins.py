"""Where a value of the composed configuration was set: a word typed, or a line of a YAML file."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import yaml

from composer.loading.files import Parts, YamlFile, pairs, parts_of
from composer.loading.words import Typed


@dataclass(frozen=True)
class Source:
    """A file's part in a composition."""

    file: YamlFile
    package: Parts
    """Where its content was put."""
    parent: str | None
    """The file that pulled it in."""


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
        return f"{inside[-1]} (command line)" if inside else None

    def exact(self, parts: Parts, seen: tuple[Parts, ...] = ()) -> str | None:
        """Where the value at exactly this path was set, interpolations already `seen` aside."""
        word = self.word(parts)
        if word:
            return f"{word} (command line)"
        if parts in self.named:
            return self.chosen(self.named[parts])
        found = self._written(parts, seen)
        return found[1] if found else None

    def source(self, parts: Parts) -> Source | None:
        """The file that set the value at `parts`, or else the nearest value above it."""
        while parts:
            found = self._written(parts, ())
            if found:
                return found[0]
            parts = parts[:-1]
        return None

    def word(self, parts: Parts) -> str | None:
        """The word that set the value at exactly this path."""
        return next((typed.word for typed in reversed(self.typed) if typed.sets(parts)), None)

    def _written(self, parts: Parts, seen: tuple[Parts, ...]) -> tuple[Source, str] | None:
        """The file that set the value at exactly this path, and the line.

        Where the value came by interpolation, the line is that of what it refers to.
        """
        for source in reversed(self.sources):
            depth = len(source.package)
            if parts[:depth] != source.package:
                continue
            found = _descend(source.file.root, parts[depth:])
            if found is None:
                continue
            mark, value, rest = found
            target = _target(value, parts[: len(parts) - len(rest)])
            if target is not None and target not in seen:
                origin = self.exact((*target, *rest), (*seen, parts))
                if origin:
                    return source, origin
            if not rest:
                return source, source.file.place(mark.start_mark.line + 1)
        return None

    def chosen(self, group: str) -> str | None:
        """The line of a file that chose the group's option: an experiment's before the default."""
        return next(
            (
                source.file.place(choice.line)
                for source in reversed(self.sources)
                for choice in source.file.choices()
                if choice.group == group
            ),
            None,
        )


def _key(node: yaml.Node) -> str:
    """A mapping's key as it is shown in a path: `on` is `True`."""
    is_text = node.tag == "tag:yaml.org,2002:str" or not isinstance(node, yaml.ScalarNode)
    return str(node.value) if is_text else str(yaml.safe_load(node.value))


def _descend(node: yaml.Node | None, path: Parts) -> tuple[yaml.Node, yaml.Node, Parts] | None:
    """The node that names `path`, its value, and the parts of the path below an interpolation."""
    mark = node
    for index, part in enumerate(path):
        if isinstance(node, yaml.ScalarNode) and _INTERPOLATION.match(node.value) and mark:
            return mark, node, path[index:]
        if isinstance(node, yaml.SequenceNode):
            if not (part.isdigit() and int(part) < len(node.value)):
                return None
            mark = node = node.value[int(part)]
        else:
            named = [pair for pair in pairs(node) if _key(pair[0]) == part]
            if not named:
                return None
            mark, node = named[-1]
    return (mark, node, ()) if mark is not None and node is not None else None


_INTERPOLATION = re.compile(r"^\$\{(\.*)([^:{}]+)\}$")


def _target(node: yaml.Node, path: Parts) -> Parts | None:
    """The path that an interpolation standing at `path` refers to."""
    match = _INTERPOLATION.match(node.value) if isinstance(node, yaml.ScalarNode) else None
    if not match:
        return None
    dots = len(match[1])
    return (*(path[:-dots] if dots else ()), *parts_of(match[2]))
