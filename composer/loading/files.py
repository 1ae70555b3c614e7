"""The directories of YAML files that Hydra composes from, and what stands where in a file."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files as resources_of
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

import yaml
from omegaconf import OmegaConf

from composer.errors import ConfigError, Problem
from composer.loading.paths import Parts

PACKAGE = "composer.conf"
BASE = "config"
"""The file that every run begins with."""


class Choice(NamedTuple):
    """A line of a defaults list."""

    group: str
    option: str | None
    optional: bool
    override: bool
    moved: bool
    """Whether the line puts the option elsewhere than its group says: `group@package`."""
    line: int


def from_here(path: Path) -> Path:
    """The path as a person in the working directory would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def existing(config_dir: str | Path) -> Path:
    """The absolute path of a configuration directory.

    Raises:
        ConfigError: If there is no such directory.
    """
    path = Path(config_dir).resolve()
    if not path.is_dir():
        kind = "is not a directory" if path.exists() else "does not exist"
        raise ConfigError(f"the configuration directory {config_dir} {kind}")
    return path


@dataclass(frozen=True)
class YamlFile:
    """One YAML file of a configuration directory."""

    name: str
    """As a defaults list has it: `experiment/mine`."""
    file: Traversable
    built_in: bool
    group: str = ""
    """Whose option it is: of `env/atari/pong`, `env`."""

    @cached_property
    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def root(self) -> yaml.Node | None:
        return yaml.compose(self.text, Loader=yaml.SafeLoader)

    @property
    def content(self) -> object:
        """What stands in the file, defaults list included, interpolations as they are written."""
        with self.file.open(encoding="utf-8") as stream:
            return OmegaConf.to_container(OmegaConf.load(stream))

    @cached_property
    def summary(self) -> str:
        """The first line of comment above the content, if there is one that is for people."""
        above = re.match(r"(?:[ \t]*(?:#.*)?\n)*", f"{self.text}\n")
        lines = (line.strip("# \t") for line in (above[0] if above else "").splitlines())
        ours = ("@package", "yaml-language-server:")
        return next((line for line in lines if line and not line.startswith(ours)), "")

    @property
    def package(self) -> Parts:
        """Where the content goes by the file's own header, or else by its group.

        Hydra reads the header down to the first line that is neither blank nor begins with `# @`.
        """
        comments = re.match(r"(?:[ \t]*(?:#\s*@.*)?\n)*", f"{self.text}\n")
        header = re.search(r"#\s*@package[ \t]+(\S+)", comments[0] if comments else "")
        if header and header[1] != "_group_":
            return tuple(part for part in header[1].split(".") if part != "_global_")
        return tuple(filter(None, self.group.split("/")))

    def place(self, line: int | None = None) -> str:
        """The file, as a person would look for it, and a line of it."""
        number = "" if line is None else f":{line}"
        if self.built_in:
            return f"composer/conf/{self.name}.yaml{number} (built in)"
        return f"{from_here(Path(str(self.file)))}{number}"

    def excerpt(self, node: yaml.Node) -> str:
        """A value as the file has it, where it is on one line."""
        text = self.text[node.start_mark.index : node.end_mark.index].strip()
        return "…" if "\n" in text else text

    def choices(self) -> Iterator[Choice]:
        """The lines of the file's defaults list, groups absolute."""
        folder = self.name.rpartition("/")[0]
        found = [value for key, value in pairs(self.root) if key.value == "defaults"]
        for item in found[0].value if found and isinstance(found[0], yaml.SequenceNode) else ():
            line = item.start_mark.line + 1
            if isinstance(item, yaml.ScalarNode) and item.value != "_self_":
                group, _, option = _absolute(folder, item.value).rpartition("/")
                yield Choice(group, option, False, False, "@" in item.value, line)
            for key, value in pairs(item):
                *keywords, group = str(key.value).split()
                for option in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    is_null = option.tag == "tag:yaml.org,2002:null"
                    name = None if is_null else str(option.value)
                    said = ("optional" in keywords, "override" in keywords, "@" in group)
                    yield Choice(_absolute(folder, group), name, *said, line)


def _absolute(folder: str, name: str) -> str:
    name = name.split("@")[0]
    return name[1:] if name.startswith("/") else f"{folder}/{name}" if folder else name


def pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """The keys and values of a mapping, those that it merges (`<<`) first."""
    items = node.value if isinstance(node, yaml.MappingNode) else []
    for key, value in items:
        if key.tag == "tag:yaml.org,2002:merge":
            merged = reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]
            for mapping in merged:
                yield from pairs(mapping)
    yield from (item for item in items if item[0].tag != "tag:yaml.org,2002:merge")


@dataclass(frozen=True)
class ConfigFiles:
    """Composer's own directory and, after it, the user's."""

    added: tuple[str, ...] = ()
    """As `hydra.searchpath` has them: `file:///home/me/conf`."""

    @classmethod
    def of(cls, config_dir: str | Path | None, searchpath: Sequence[str] = ()) -> "ConfigFiles":
        """The files of a person's directory beside Composer's own.

        Raises:
            ConfigError: If there is no such directory.
        """
        problems = [problem for entry in searchpath for problem in _unknown_directory(entry)]
        if problems:
            raise ConfigError(*problems)
        if config_dir is None:
            return cls(tuple(searchpath))
        return cls((*searchpath, f"file://{existing(config_dir)}"))

    @cached_property
    def roots(self) -> tuple[Traversable, ...]:
        return (resources_of(PACKAGE), *map(_directory, self.added))

    @cached_property
    def base(self) -> dict[str, Choice]:
        """The groups that every run has, by name, as `config.yaml` lists them."""
        found = self.find(BASE)
        return {choice.group: choice for choice in found.choices()} if found else {}

    @property
    def tagged(self) -> tuple[str, ...]:
        """The groups that name a tagged part, which may be a plugin's and have no YAML."""
        return tuple(
            group
            for group, choice in self.base.items()
            if choice.optional and "${" not in str(choice.option)
        )

    def find(self, name: str) -> YamlFile | None:
        """The file Hydra reads for `experiment/mine`."""
        return next(self.all(name), None)

    def all(self, name: str) -> Iterator[YamlFile]:
        """Every file of the name; Hydra reads the first."""
        name = name.removesuffix(".yaml")
        for root in self.roots:
            file = root.joinpath(f"{name}.yaml")
            if all(len(part) < _LONGEST for part in name.split("/")) and file.is_file():
                yield YamlFile(name, file, root is self.roots[0], self._group(name))

    def at(self, path: str) -> YamlFile | None:
        """The file at a path of the file system, if it is one of ours or the user's."""
        resolved = Path(path).resolve()
        for root in self.roots:
            home = Path(str(root)).resolve()
            if resolved.is_relative_to(home):
                name = resolved.relative_to(home).with_suffix("").as_posix()
                return YamlFile(name, resolved, root is self.roots[0], self._group(name))
        return None

    def _group(self, name: str) -> str:
        """The group of a run that the file is an option of, or else its own folder."""
        folder = above = name.rpartition("/")[0]
        while "/" in above and above not in self.base:
            above = above.rpartition("/")[0]
        return above if folder and above in self.base else folder

    def places(self, name: str) -> tuple[str, ...]:
        """Where a file of the name would be."""
        files = (
            YamlFile(name, root.joinpath(f"{name}.yaml"), built_in=root is self.roots[0])
            for root in self.roots
        )
        return tuple(file.place() for file in files)

    def misnamed(self, name: str) -> str:
        """A line that says so where a file of the name ends in `.yml`, or nothing."""
        for root in self.roots[1:]:
            file = root.joinpath(f"{name[:_LONGEST]}.yml")
            if file.is_file():
                place = YamlFile(name, file, built_in=False).place()
                return f"\n{place} is not read: the name of a file ends in `.yaml`"
        return ""

    def by_path(self, group: str, path: str) -> str | None:
        """What finds the file of a group that was named by its path, if there is one."""
        file = Path(path if path.endswith(".yaml") else f"{path}.yaml")
        home, found, option = file.with_suffix("").as_posix().rpartition(f"{group}/")
        is_whole = found and (not home or home.endswith("/"))
        if not (is_whole and file.is_file()) or self.find(f"{group}/{option}"):
            return None
        directory = shlex.quote(home.rstrip("/") or ("/" if home else "."))
        return f"--config-dir {directory} {group}={option}"

    def has_directory(self, group: str) -> bool:
        """Whether Hydra takes the name for a group."""
        return any(root.joinpath(group).is_dir() for root in self.roots)

    def groups(self) -> tuple[str, ...]:
        """The groups a person may mean."""
        return tuple(
            dict.fromkeys(
                [
                    *(group for group in self.base if group and not group.startswith("hydra/")),
                    *(
                        entry.name
                        for root in self.roots[1:]
                        for entry in root.iterdir()
                        if entry.is_dir() and self.options(entry.name)
                    ),
                ]
            )
        )

    def options(self, group: str) -> tuple[str, ...]:
        """The options of a group that have a YAML, `atari/pong` included."""
        found = {name for root in self.roots for name in self._options(root, group)}
        return tuple(sorted(found))

    def _options(self, root: Traversable, group: str, below: str = "") -> Iterator[str]:
        directory = root.joinpath(group)
        for entry in directory.iterdir() if directory.is_dir() else ():
            if entry.name.endswith(".yaml"):
                yield below + entry.name.removesuffix(".yaml")
            elif entry.is_dir() and f"{group}/{entry.name}" not in self.base:
                yield from self._options(root, f"{group}/{entry.name}", f"{below}{entry.name}/")


_LONGEST = 80
"""No file has a longer name: the system refuses to look for one of 255 bytes."""


def _directory(search: str) -> Traversable:
    scheme, separator, rest = search.partition("://")
    return resources_of(rest) if scheme == "pkg" else Path(rest if separator else search)


def _unknown_directory(search: str) -> Iterator[Problem]:
    """The problem of an entry of a search path that leads nowhere."""
    try:
        is_there = search.startswith(("pkg://", "file://", "/")) and _directory(search).is_dir()
    except (ImportError, TypeError):  # no such package, or a module that is none
        is_there = False
    if not is_there:
        yield Problem(
            "there is no such directory of YAML files; one is `file:///home/me/conf`, or "
            "`pkg://package.conf` of an installed package with an `__init__.py` in it",
            "hydra.searchpath",
            search,
        )
