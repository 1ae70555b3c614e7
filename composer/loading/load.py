"""Composing: words → one plain dict that knows where its values come from."""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from composer.errors import (
    ComposerError,
    ConfigError,
    Problem,
    did_you_mean,
    nearest,
    nearest_first,
)
from composer.loading.failures import explained
from composer.loading.files import PACKAGE, ConfigFiles, Parts, parts_of
from composer.loading.origins import Origins, Source
from composer.loading.refusals import at, refused
from composer.loading.rewriting import LOGGER, read_values, read_words
from composer.loading.words import Typed, Words

_WITHOUT_PACKAGE = ("experiment", "tuned")
"""Groups whose files set keys everywhere, and say so in a header."""


@dataclass(frozen=True)
class Loaded:
    """What the words gave, and where each value came from."""

    data: dict[str, Any]
    words: tuple[str, ...]
    """As they were typed."""
    choices: dict[str, str]
    """Group → option: `{"env": "cartpole", "algorithm": "ppo"}`."""
    origins: Origins = field(repr=False, compare=False)
    read: Words = field(repr=False, compare=False)

    def origin(self, path: str) -> str | None:
        """Where the value at `path`, or else the nearest value above it, was set."""
        chosen = self.read.chosen.get("/".join(parts_of(path)))
        return f"{chosen.word} (command line)" if chosen else self.origins.origin(path)

    def with_origins(self, error: ComposerError) -> ComposerError:
        """The same error, each problem saying where its value was set."""
        return type(error)(*map(self._placed, error.problems))

    def _placed(self, problem: Problem) -> Problem:
        if not problem.path:
            return problem
        placed = replace(problem, origin=problem.origin or self.origin(problem.path))
        if problem.path in self.choices and problem.path in _WITHOUT_PACKAGE:
            file = self.read.files.find(f"{problem.path}/{self.choices[problem.path]}")
            return replace(
                placed,
                message=f"{file.place() if file else 'its file'} lacks the line that says its "
                f"keys are the experiment's own; they have gone to `{problem.path}`",
                valid=(),
                fix="# @package _global_    as the file's first line",
            )
        owner, _, key = problem.path.rpartition(".")
        group = "/".join(parts_of(owner))
        if group.startswith(f"{LOGGER}/"):
            group = LOGGER
        if key == "type" and parts_of(problem.path) in self.origins.named:
            return self._unknown_option(placed, group)
        if re.search(r" belongs to .*, but `[^`]+` is selected$", problem.message):
            by = self._selection(owner, group)
            return replace(placed, message=f"{problem.message} by {by}") if by else placed
        return placed

    def _unknown_option(self, problem: Problem, group: str) -> Problem:
        """The problem of `env=cartpol`, in the words in which it was typed."""
        name = str(problem.value)
        names = {*self.read.files.options(group), *problem.valid}
        close = nearest(name, names)
        return replace(
            problem,
            message=f"there is no {group.rpartition('/')[2]} `{name}`{did_you_mean(name, names)}",
            path=group.replace("/", "."),
            valid=nearest_first(name, names),
            fix=f"{group}={close}" if close else None,
        )

    def _selection(self, owner: str, group: str) -> str | None:
        """What selected the type of the part at `owner`: a word, or a line of a file."""
        path = (*parts_of(owner), "type")
        chosen = self.read.chosen.get(group)
        word = self.origins.word(path) or (chosen.word if chosen else None)
        if word:
            return f"`{word}`"
        if isinstance(at(self.data, path[:-1]), str):  # `encoder: cnn`
            return self.origins.exact(path[:-1])
        source = self.origins.source(path)
        by_group = source is not None and source.file.name.startswith(f"{group}/")
        return self.origins.chosen(group) if by_group else self.origins.exact(path)


class Loader:
    """Composes configurations; files that many of them share are merged once.

    Args:
        config_dir: A directory of the user's own, with groups as Composer's `conf/` has them.
    """

    def __init__(self, config_dir: str | Path | None = None) -> None:
        self._config_dir = config_dir
        self._composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, str]]] = {}

    def load(self, words: Sequence[str]) -> Loaded:
        """Composes the configuration that the words describe.

        Args:
            words: The command line's: `["env=cartpole", "algorithm.lr=1e-3"]`.

        Raises:
            ConfigError: If a word or a file cannot be read, or what is composed is not what was
                meant. Unknown keys and wrong values are left to the schema.
        """
        read = read_words(words, self._config_dir)
        cfg, listed = self._files(read)
        _set_values(cfg, read)
        choices = _choices(listed, read)
        named = _name_types(cfg, choices, read)
        words_of_types = [
            Typed(read.chosen[group].word, path, choices[group])
            for path, group in named.items()
            if group in read.chosen and group != LOGGER
        ]
        origins = Origins([*words_of_types, *read.typed], lambda: _sources(read), named)
        loaded = Loaded({}, tuple(words), choices, origins, read)
        data: Any = OmegaConf.to_container(cfg, resolve=False)
        problems = refused(data, choices, read, origins)
        if problems:
            raise ConfigError(*problems)
        try:
            with explained(read):
                data = OmegaConf.to_container(cfg, resolve=True)
        except ConfigError as error:
            written = (
                replace(item, value=at(data, parts_of(item.path))) for item in error.problems
            )
            raise loaded.with_origins(ConfigError(*written)) from error.__cause__
        return replace(loaded, data=data)

    def _files(self, read: Words) -> tuple[DictConfig, dict[str, str]]:
        """The files that the words choose, merged, without the values that were typed."""
        chosen = tuple(read.choosing)
        if chosen not in self._composed:
            with explained(read), _hydra():
                cfg = compose("config", overrides=list(chosen), return_hydra_config=True)
            listed = {str(group): option for group, option in cfg.hydra.runtime.choices.items()}
            with open_dict(cfg):
                del cfg["hydra"]
            self._composed[chosen] = cfg, listed
        cfg, listed = self._composed[chosen]
        return copy.deepcopy(cfg), listed


def load(words: Sequence[str], config_dir: str | Path | None = None) -> Loaded:
    """Composes one configuration: see `Loader.load`."""
    return Loader(config_dir).load(words)


def override(data: Mapping[str, Any], words: Sequence[str]) -> Loaded:
    """A configuration that is complete already, and the values that the words change in it.

    Raises:
        ConfigError: If a word cannot be read, or chooses an option of a group.
    """
    read = read_values(words)
    cfg = OmegaConf.create(dict(data))
    _set_values(cfg, read)
    with explained(read):
        changed: Any = OmegaConf.to_container(cfg, resolve=True)
    return Loaded(changed, tuple(words), {}, Origins(read.typed, tuple), read)


def _set_values(cfg: DictConfig, read: Words) -> None:
    """Sets what was typed."""
    for typed in read.typed:
        is_merged = typed.value != {}  # an empty mapping would leave what is there
        with explained(read, typed.word):
            OmegaConf.update(
                cfg, ".".join(typed.path), typed.value, merge=is_merged, force_add=True
            )


def hydra_words(words: Sequence[str], config_dir: str | Path | None = None) -> list[str]:
    """What Hydra's own runner is given for the words; several values, `a=1,2`, are a sweep.

    A part without a YAML gets its type from `load` only: a job loads its own words again.

    Raises:
        ConfigError: If a word cannot be read, or chooses what does not exist.
    """
    return read_words(words, config_dir, sweeps=True).overrides


def options(group: str, config_dir: str | Path | None = None) -> tuple[str, ...]:
    """The options of a group that have a YAML."""
    return ConfigFiles.of(config_dir).options(group)


@contextmanager
def _hydra() -> Iterator[ConfigLoader]:
    """Hydra, ready to compose. Inside a Hydra job, that job's own state comes back afterwards."""
    outer, runtime = GlobalHydra.instance().hydra, JobRuntime.instance()
    job_name = runtime.get("name")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(PACKAGE, job_name="composer", version_base="1.3"):
            yield GlobalHydra.instance().config_loader()
    finally:
        GlobalHydra.instance().hydra = outer
        runtime.set("name", job_name)


def _choices(listed: Mapping[str, str], read: Words) -> dict[str, str]:
    """The options that were composed, and those that name a type without a YAML."""
    typed = {group: ",".join(chosen.options) for group, chosen in read.chosen.items()}
    return {
        group: option
        for group, option in {**listed, **typed}.items()
        if option
        and not group.startswith("hydra/")
        and (group != "tuned" or read.files.find(f"tuned/{option}"))
    }


def _name_types(cfg: DictConfig, choices: Mapping[str, str], read: Words) -> dict[Parts, str]:
    """Sets the type of each part whose option has no YAML; the paths, and their groups."""
    named: dict[Parts, str] = {typed.path: LOGGER for typed in read.named_loggers}
    for group in read.files.tagged:
        option, path = choices.get(group), group.replace("/", ".")
        if option is None or read.files.find(f"{group}/{option}"):
            continue
        part = OmegaConf.select(cfg, path, throw_on_resolution_failure=False)
        if part is None or (isinstance(part, DictConfig) and "type" not in set(part.keys())):
            OmegaConf.update(cfg, f"{path}.type", option, force_add=True)
            named[(*group.split("/"), "type")] = group
    return named


def _sources(read: Words) -> list[Source]:
    """The files in the order in which Hydra merged them."""
    with _hydra() as loader:
        listed = loader.compute_defaults_list("config", read.overrides, RunMode.RUN).defaults
    found = ((item, read.files.find(item.config_path)) for item in listed)
    return [
        Source(file, tuple(filter(None, (item.package or "").split("."))), item.parent)
        for item, file in found
        if file is not None
    ]
