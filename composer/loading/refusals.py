"""What Hydra composes without a word, and we refuse."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from composer.errors import Problem, shown
from composer.loading.files import BASE, ConfigFiles, YamlFile
from composer.loading.origins import MISSING, Origins
from composer.loading.paths import Parts
from composer.loading.words import Words


def refused(
    data: Mapping[str, Any], choices: Mapping[str, str], read: Words, origins: Origins
) -> list[Problem]:
    """Every such problem.

    Args:
        data: What was composed, interpolations not resolved.
        choices: The options that were composed.
        read: What was typed.
        origins: Where the values come from.
    """
    return [
        *_hidden(choices, read.files),
        *_in_values(data, origins),
        *_undone(data, read, origins),
    ]


def _hidden(choices: Mapping[str, str], files: ConfigFiles) -> Iterator[Problem]:
    """A user's file that has the name of one of ours, which Hydra reads instead."""
    names = [BASE, *(f"{group}/{option}" for group, option in choices.items())]
    for name in names:
        found = list(files.all(name))
        for other in found[1:]:
            if Path(str(other.file)).resolve() != Path(str(found[0].file)).resolve():
                yield Problem(
                    f"{other.place()} is never read, because {found[0].place()} comes first; "
                    + ("write an experiment" if name == BASE else "give it another name")
                )


def _in_values(data: object, origins: Origins, path: str = "") -> Iterator[Problem]:
    """Values that are still to be given, and keys that YAML does not read as text."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            below = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                yield Problem(_not_text(key), below, value, origins.origin(below))
            yield from _in_values(value, origins, below)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _in_values(value, origins, f"{path}[{index}]")
    elif data == MISSING:
        yield Problem("needs a value", path, data, origins.origin(path), fix=f"{path}=…")


def _not_text(key: object) -> str:
    kind = "a boolean" if isinstance(key, bool) else "a number"
    read = {True: " an unquoted on, yes or true", False: " an unquoted off, no or false"}
    what = read[key] if isinstance(key, bool) else f" `{shown(key)}`"
    return f"a key is text, and YAML reads{what} as {kind}: put the key in quotes"


def _undone(data: Mapping[str, Any], read: Words, origins: Origins) -> Iterator[Problem]:
    """What a group typed on the command line says, and a plain value of a file undoes."""
    for group, chosen in read.chosen.items():
        if chosen.implied or group == "experiment":
            continue
        for option in chosen.options:
            name = f"{group}/{option}"
            for path, value in _leaves(read.files.find(name), group, option):
                found = at(data, path)
                if found == value or any(typed.touches(path) for typed in read.typed):
                    continue
                source = origins.source(path)
                if source is None or _pulled_in(source.file.name, name, origins):
                    continue
                dotted = ".".join(path)
                yield Problem(
                    f"`{chosen.word}` was typed and says {shown(value)}, but a plain value in a "
                    "file undoes it",
                    dotted,
                    found,
                    origins.origin(dotted),
                    fix=f"take it out of the file, or choose there by a line of `defaults`: "
                    f"override /{group}: …",
                )
                break


def _leaves(file: YamlFile | None, group: str, option: str) -> Iterator[tuple[Parts, object]]:
    """The values that an option sets; one without a YAML sets its type."""
    if file is None:
        if group != "logger":
            yield (*group.split("/"), "type"), option
        return
    content = OmegaConf.to_container(OmegaConf.create(file.text))
    if isinstance(content, dict):
        content.pop("defaults", None)
        yield from flat(content, file.package)


def flat(content: Any, path: Parts) -> Iterator[tuple[Parts, object]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from flat(value, (*path, str(key)))
        elif value != MISSING:
            yield (*path, str(key)), value


def at(data: Any, path: Parts) -> object:
    """What stands at a path, or the text that stands above it."""
    for part in path:
        if isinstance(data, list) and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        elif isinstance(data, Mapping) and part in data:
            data = data[part]
        else:
            return data if isinstance(data, str) else None
    return data


def _pulled_in(name: str | None, by: str, origins: Origins) -> bool:
    """Whether the file was listed, directly or not, in the defaults of `by`, or is `by`."""
    parents = {source.file.name: source.parent for source in origins.sources}
    seen: set[str] = set()
    while name is not None and name not in seen:
        if name == by:
            return True
        seen.add(name)
        name = parents.get(name)
    return False
