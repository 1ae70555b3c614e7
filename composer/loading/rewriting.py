"""What was typed → what Hydra is given instead: a plain `a.b=c` becomes `++a.b=c`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, Quote, QuotedString

from composer.errors import ConfigError, Problem, did_you_mean, nearest, nearest_first
from composer.loading.cures import (
    by_id,
    contradictions,
    for_shell,
    parsed,
    several,
    undone,
    unreadable,
    unused,
)
from composer.loading.files import ConfigFiles
from composer.loading.words import Chosen, Removed, Typed, Words, on_command_line

SEARCHPATH = "hydra.searchpath"
LOGGER = "logger"
"""The group whose parts have names: several options may be chosen, each by its own name."""


def read_words(
    words: Sequence[str], config_dir: str | Path | None = None, *, sweeps: bool = False
) -> Words:
    """Reads what was typed.

    Args:
        words: The words.
        config_dir: A directory of the user's own.
        sweeps: Whether several values, `a=1,2`, may be given.

    Raises:
        ConfigError: With every word that is no override, or chooses what does not exist.
    """
    is_list = isinstance(words, Sequence) and not isinstance(words, str)
    if not is_list or not all(isinstance(word, str) for word in words):
        raise ConfigError(
            Problem(
                f"the words are a list of texts, one for each `key=value`, not {words!r}",
                fix=f"[{words!r}]" if isinstance(words, str) else '["env=cartpole", "seed=1"]',
            )
        )
    overrides = [override for word in words if (override := parsed(word))]
    reader = _Reader(ConfigFiles.of(config_dir, _searchpath(overrides)), sweeps)
    problems = list(unreadable(words, reader.words.files, sweeps))
    for override in overrides:
        said_by = on_command_line(str(override.input_line))
        problems.extend(replace(problem, origin=said_by) for problem in reader.read(override))
    problems.extend(contradictions(overrides))
    problems.extend(undone(reader.words.typed))
    if problems:
        raise ConfigError(*problems)
    reader.imply_gym(overrides)
    return reader.words


def read_values(words: Sequence[str]) -> Words:
    """The values that the words give, for a configuration that is complete already.

    Raises:
        ConfigError: With every word that does something else.
    """
    read = read_words(words)
    complete = "and what is changed here is complete already: give values"
    problems = [
        Problem(
            f"`{item.word}` chooses a preset, {complete}",
            origin=on_command_line(item.word),
            fix=f"{path}.…=…",
        )
        for group, item in read.chosen.items()
        if not item.implied
        for path in [group.replace("/", ".")]
    ]
    problems += [
        Problem(
            f"`{word}` takes something away, {complete}",
            origin=on_command_line(word),
            fix=f"{word.removeprefix('~').partition('=')[0]}=…",
        )
        for word in words
        if word.startswith("~")
    ]
    if problems:
        raise ConfigError(*problems)
    return read


def _searchpath(overrides: Sequence[Override]) -> tuple[str, ...]:
    for override in overrides:
        value = override.value()
        if override.key_or_group == SEARCHPATH:
            return tuple(map(str, value if isinstance(value, list) else [value]))
    return ()


class _Reader:
    """Turns one override after the other into what Hydra is given."""

    def __init__(self, files: ConfigFiles, sweeps: bool) -> None:
        self.words = Words(files)
        self.sweeps = sweeps
        if files.added:
            quoted = (QuotedString(path, Quote.single).with_quotes() for path in files.added)
            self.words.overrides.append(f"{SEARCHPATH}=[{','.join(quoted)}]")

    def read(self, override: Override) -> Iterator[Problem]:
        word = str(override.input_line)
        if override.key_or_group == SEARCHPATH:
            return
        if override.is_sweep_override() and not self.sweeps:
            yield several(override, self.words.files)
        elif override.is_hydra_override() and (problem := unused(override, self.sweeps)):
            yield problem
        elif override.is_delete() and override.key_or_group in self.words.files.tagged:
            yield from self._choose_none(override.key_or_group, word)
        elif override.is_hydra_override():
            self.words.overrides.append(word)
        elif "@" in word.partition("=")[0]:
            yield self._moved(override)
        elif override.is_delete():
            self._remove(override, word)
        elif (group := self._group(override)) is not None:
            yield from self._choose(group, override)
        elif "/" in override.key_or_group and not isinstance(override.value(), dict):
            yield self._no_group(override)
        else:
            yield from self._set(override)

    def imply_gym(self, overrides: Sequence[Override]) -> None:
        """`env.id=X` alone means the environment type that has an id."""
        for override in overrides:
            value = override.value()
            names_id = override.key_or_group == "env.id" or (
                override.key_or_group == "env" and isinstance(value, dict) and "id" in value
            )
            if names_id and "env" not in self.words.chosen and not override.is_delete():
                self.words.overrides.append("env=gym")
                self.words.chosen["env"] = Chosen(str(override.input_line), ("gym",), implied=True)

    def _group(self, override: Override) -> str | None:
        """The group whose option is chosen, if the word chooses one."""
        key = override.key_or_group
        if isinstance(override.value(), dict):
            return None
        if "/" in key or "." not in key:
            group = self.words.files.has_directory(key)
            offers = key in self.words.files.base or bool(self.words.files.options(key))
            return key if group and offers else None
        group = key.replace(".", "/")
        is_named = group in self.words.files.base and all(
            isinstance(value, str | QuotedString) for value in _values(override)
        )
        return group if is_named else None

    def _choose(self, group: str, override: Override) -> Iterator[Problem]:
        files, word = self.words.files, str(override.input_line)
        value = override.value()
        values = _values(override)
        if isinstance(value, Glob):
            values = value.filter(list(files.options(group)))
            if not values:
                message = f"no {group} fits the pattern of `{word}`"
                yield Problem(message, valid=files.options(group))
                return
        if values == [None]:
            yield from self._choose_none(group, word)
            return
        names = tuple(item.text if isinstance(item, QuotedString) else str(item) for item in values)
        missing = [name for name in names if files.find(f"{group}/{name}") is None]
        text = override.get_value_string()
        is_pattern = isinstance(value, Glob)
        if is_pattern or not all(isinstance(item, str | QuotedString) for item in values):
            text = ",".join(f"'{name}'" for name in names)
        if unfit := [name for name in missing if not _NAME.fullmatch(name)]:
            yield from (self._no_option(group, name) for name in unfit)
            return
        if group in files.tagged:
            if isinstance(value, list):
                message = f"`{group}` takes one option, not a list"
                yield Problem(message, value=names, fix=f"{group}={names[0] if names else '…'}")
                return
        elif group == LOGGER and not override.is_sweep_override():
            for name in missing:
                self.words.overrides.append(f"++{LOGGER}.{name}.type={name}")
                self.words.changes.append(Typed(word, (LOGGER, name, "type"), name, option=True))
            present = [name for name in names if name not in missing]
            text = f"[{','.join(present)}]" if missing or len(names) != 1 else text
        elif missing:
            yield from (self._no_option(group, name) for name in missing)
            return
        is_added = group not in files.base and (override.is_add() or override.is_force_add())
        self.words.overrides.append(f"{'+' if is_added else ''}{group}={text}")
        if not override.is_sweep_override():
            self.words.chosen[group] = Chosen(word, names)

    def _choose_none(self, group: str, word: str) -> Iterator[Problem]:
        base = self.words.files.base.get(group)
        if base is None or base.option is None:
            self.words.overrides.append(f"~{group}")
        else:
            yield Problem(
                f"`{word}`: a run needs one option of `{group}`",
                valid=self.words.files.options(group),
                fix=f"{group}={base.option}",
            )

    def _remove(self, override: Override, word: str) -> None:
        self.words.overrides.append(word)
        if override.key_or_group not in self.words.files.base:
            path = tuple(re.split(r"[./]", override.key_or_group))
            only = () if override.value() in (None, "") else (override.value(),)
            self.words.changes.append(Removed(word, path, only))

    def _set(self, override: Override) -> Iterator[Problem]:
        key = override.key_or_group.replace("/", ".")
        text, value = override.get_value_string(), override.value()
        if not isinstance(value, dict) and "." not in key and self.words.files.has_directory(key):
            yield Problem(
                f"`{override.input_line}`: `{key}` is taken for a group, because the configuration "
                f"directory has a directory of that name; give the directory another name",
                fix=f"{key}={{…: …}}",
            )
            return
        typed = Typed(str(override.input_line), tuple(key.split(".")), value)
        self.words.overrides.append(f"++{key}={text}")
        if not override.is_sweep_override():
            self.words.set(typed)

    def _no_group(self, override: Override) -> Problem:
        groups, key = self.words.files.groups(), override.key_or_group
        close = nearest(key, groups)
        if close and key.startswith(f"{close}/"):
            setting = f"{key.replace('/', '.')}={override.get_value_string()}"
            message = f"`{override.input_line}`: a setting of `{close}` has dots in its path"
            return Problem(message, fix=for_shell(setting))
        return Problem(
            f"`{override.input_line}`: there is no group `{key}`{did_you_mean(key, groups)}",
            valid=nearest_first(key, groups),
            fix=f"{close}={override.get_value_string()}" if close else None,
        )

    def _moved(self, override: Override) -> Problem:
        """The problem of `model/encoder@x.y=mlp`, or of an `@` that slipped in."""
        groups, key = self.words.files.groups(), override.key_or_group
        package = override.package or ""
        value = "" if override.is_delete() else f"={override.get_value_string()}"
        if key in groups:
            path = package if "." in package else key
        else:
            joined = key + package
            path = ("." not in joined and nearest(joined, groups, closeness=0.75)) or joined
        return Problem(
            f"`{override.input_line}`: `@` puts an option elsewhere than its group says, which "
            "only a file's `defaults` may",
            valid=groups,
            fix=for_shell(f"{'~' if override.is_delete() else ''}{path}{value}"),
        )

    def _no_option(self, group: str, name: str) -> Problem:
        options = self.words.files.options(group)
        close = nearest(name, options) or nearest(Path(name).stem, options)
        fix = f"{group}={close}" if close else None
        places = " and ".join(self.words.files.places(f"{group}/{name}"))
        if not self.words.files.added:
            places += "; files of your own are found with --config-dir DIR"
        return Problem(
            f"there is no {group} `{name}`{did_you_mean(close or name, options)}\n"
            f"looked for {places}{self.words.files.misnamed(f'{group}/{name}')}",
            valid=nearest_first(name, options),
            fix=by_id(group, name, self.words.files)
            or self.words.files.by_path(group, name)
            or fix,
        )


_NAME = re.compile(r"[A-Za-z_][\w-]{0,79}")
"""The type of a part that has no YAML."""


def _values(override: Override) -> list[object]:
    """The values that a word gives: one, those of a list, or those of a sweep."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return list(value.list)
    return list(value) if isinstance(value, list) else [value]
