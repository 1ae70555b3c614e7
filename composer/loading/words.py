"""What was typed."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from composer.loading.files import ConfigFiles
from composer.loading.paths import Parts


def on_command_line(word: str) -> str:
    """The origin of what a word says."""
    return f"{word} (command line)"


@dataclass(frozen=True)
class Typed:
    """A value given on the command line."""

    word: str
    path: Parts
    value: object
    option: bool = False
    """Whether the word chose an option of a group, which has no YAML."""

    @property
    def emptied(self) -> tuple[Parts, ...]:
        """Where the value has an empty mapping, which replaces what is there."""
        return tuple(_empty(self.path, self.value))

    @property
    def tree(self) -> dict[str, object]:
        """The value, at its place: `{"a": {"b": 3}}` of `a.b=3`."""
        value = self.value
        for part in reversed(self.path):
            value = {part: value}
        return value if isinstance(value, dict) else {}

    def touches(self, path: Parts) -> bool:
        """Whether the word says something at, above or below `path`."""
        length = min(len(path), len(self.path))
        return path[:length] == self.path[:length] and (
            len(path) <= len(self.path)
            or self.sets(path)
            or not (isinstance(self.value, dict) and self.value)
        )

    def sets(self, path: Parts) -> bool:
        """Whether the word says what stands at `path`; a name says the `type` of its part."""
        if path[: len(self.path)] != self.path:
            return False
        value = self.value
        for part in path[len(self.path) :]:
            if isinstance(value, str) and part == "type":
                continue
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, dict) and part in map(str, value):
                value = next(item for key, item in value.items() if str(key) == part)
            else:
                return False
        return True


@dataclass(frozen=True)
class Removed:
    """A value taken away on the command line: `~a.b`, or `~a.b=c` where it is `c` alone."""

    word: str
    path: Parts
    only: tuple[object, ...] = ()


def _empty(path: Parts, value: object) -> Iterator[Parts]:
    if value == {}:
        yield path
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from _empty((*path, str(key)), item)


@dataclass(frozen=True)
class Chosen:
    """Options of a group, chosen on the command line."""

    word: str
    options: tuple[str, ...]
    implied: bool = False
    """By `env.id=…`, which says `env=gym` as well."""


@dataclass
class Words:
    """What was typed, read."""

    files: ConfigFiles
    overrides: list[str] = field(default_factory=list)
    """What Hydra is given."""
    changes: list[Typed | Removed] = field(default_factory=list)
    """Values given and taken away, in their order."""
    chosen: dict[str, Chosen] = field(default_factory=dict)

    def set(self, typed: Typed) -> None:
        """Adds a value: a plain one before what was typed below it, which it would undo."""
        depth = len(typed.path)
        below = (
            index
            for index, change in enumerate(self.changes)
            if isinstance(change, Typed)
            and len(change.path) > depth
            and change.path[:depth] == typed.path
        )
        is_plain = not isinstance(typed.value, dict | list)
        end = len(self.changes)
        self.changes.insert(next(below, end) if is_plain else end, typed)

    @property
    def typed(self) -> list[Typed]:
        """The values given."""
        return [change for change in self.changes if isinstance(change, Typed)]

    @property
    def choosing(self) -> list[str]:
        """What Hydra is given apart from values: groups' options and its own settings."""
        removals = {change.word for change in self.changes if isinstance(change, Removed)}
        others = (word for word in self.overrides if word not in removals)
        return [word for word in others if not word.startswith("++")]

    @property
    def named_loggers(self) -> list[Typed]:
        """The loggers chosen by a type that has no YAML."""
        return [typed for typed in self.typed if typed.option]

    def spelling(self, override: str) -> str:
        """The word, as it was typed, of what Hydra was given."""
        stripped = override.lstrip("+")
        typed = [*(item.word for item in self.typed), *(item.word for item in self.chosen.values())]
        return next((word for word in typed if word.lstrip("+") == stripped), override)
