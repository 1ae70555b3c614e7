"""The groups, keys and values that may be typed where a shell asks on TAB."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files as resources_of

import yaml

from composer.cli.keys import Keys
from composer.loading.files import PACKAGE, ConfigFiles, pairs

SCHEMA = resources_of(PACKAGE).joinpath("schema/experiment.json")

_OF_A_FILE = ("defaults=", "hydra=")
"""Keys that the schema has and the command line has not."""

Offer = tuple[str, str]
"""A whole word, and what it means."""


@dataclass
class Overrides:
    """Groups, keys and their values."""

    files: ConfigFiles
    words: Sequence[str]
    run: object = None
    """The experiment of a run; there, keys are all that can be changed."""

    def offers(self, current: str) -> Iterator[Offer]:
        key, separator, value = current.partition("=")
        if separator:
            listed = re.sub(r"[^,\[]*$", "", value)  # `seed=0,1` and `[a,b]` go on
            yield from ((f"{key}={listed}{item}", "") for item in self._values(key))
            return
        if self.run is None:
            for group in self._groups:
                default = self.files.base[group].option if group in self.files.base else None
                yield f"{group}=", f"{default} by default" if default else ""
        below = self.keys.below(key.rpartition(".")[0])
        yield from ((word, meaning) for word, meaning in below if word not in _OF_A_FILE)

    @cached_property
    def keys(self) -> Keys:
        schema = json.loads(SCHEMA.read_text(encoding="utf-8")) if SCHEMA.is_file() else {}
        return Keys(schema, cache(self._selected))

    @cached_property
    def _groups(self) -> tuple[str, ...]:
        """Those a person chooses from; `tuned` follows from others."""
        base = self.files.base
        return tuple(
            group
            for group in self.files.groups()
            if not (group in base and "${" in str(base[group].option))
        )

    def _values(self, key: str) -> Iterable[str]:
        group = key.replace(".", "/")
        is_group = self.run is None and (group == key or group in self.files.base)
        return [*(self.files.options(group) if is_group else ()), *self.keys.values(key)]

    def _selected(self, path: str) -> str | None:
        """The type of the part at a path, by the words or else by what they begin from."""
        group = path.replace(".", "/")
        for word in reversed(self.words):
            key, _, value = word.partition("=")
            if key == f"{path}.type":
                return value
            if key in (group, path):
                return self._type_of(group, value)
        if self.run is not None:
            found = self.run
            for part in [*path.split("."), "type"]:
                found = found.get(part) if isinstance(found, dict) else found
            return found if isinstance(found, str) else None
        option = self._options_of_experiment.get(group)
        if option is None and group in self.files.base:
            option = self.files.base[group].option
        return self._type_of(group, option) if option else None

    @cached_property
    def _options_of_experiment(self) -> dict[str, str | None]:
        name = next((word for word in self.words if word.startswith("experiment=")), "")
        file = self.files.find(name.replace("=", "/")) if name else None
        try:
            return {choice.group: choice.option for choice in file.choices()} if file else {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError):  # of which the verb will tell
            return {}

    def _type_of(self, group: str, option: str) -> str | None:
        """The type that an option sets; one without a YAML is a type itself, several are none."""
        if "," in option:
            return None
        file = self.files.find(f"{group}/{option}")
        if file is None:
            return option
        try:
            found = [value for key, value in pairs(file.root) if key.value == "type"]
        except (OSError, UnicodeDecodeError, yaml.YAMLError):  # of which the verb will tell
            return None
        return str(found[0].value) if found else None
