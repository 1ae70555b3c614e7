"""Composing: words → one plain dict that knows where its values come from."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra import compose
from omegaconf import DictConfig, OmegaConf, open_dict

from composer.errors import ConfigError, Problem, nearest, nearest_first, shown
from composer.loading.composing import hydra_ready, sources_of
from composer.loading.cures import for_shell
from composer.loading.failures import explained
from composer.loading.files import BASE, ConfigFiles
from composer.loading.loaded import Loaded
from composer.loading.naming import with_types
from composer.loading.origins import Origins, Source
from composer.loading.paths import Parts, dotted, parts_of
from composer.loading.refusals import at, flat, refused
from composer.loading.rewriting import LOGGER, read_values, read_words
from composer.loading.silences import silences
from composer.loading.words import Removed, Typed, Words, on_command_line


class Loader:
    """Composes configurations; files that many of them share are merged once.

    Args:
        config_dir: A directory of the user's own, with groups as Composer's `conf/` has them.
    """

    def __init__(self, config_dir: str | Path | None = None) -> None:
        self._config_dir = config_dir
        self._composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, str]]] = {}
        self._sources: dict[tuple[str, ...], list[Source]] = {}

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
        origins = Origins([*words_of_types, *read.typed], lambda: self._merged(read), named)
        data: Any = OmegaConf.to_container(cfg, resolve=False)
        loaded = Loaded(data, tuple(words), choices, origins, read)
        problems = list(silences(data, origins)) if read.files.added else []
        told = {parts_of(problem.path) for problem in problems if problem.path}
        others = refused(data, choices, read, origins)
        problems += [other for other in others if parts_of(other.path) not in told]
        if problems:
            raise ConfigError(*problems)
        try:
            with explained(read):
                data = OmegaConf.to_container(cfg, resolve=True)
        except ConfigError as error:
            problems = (_referring(item, data) if item.path else item for item in error.problems)
            raise loaded.with_origins(ConfigError(*problems)) from error.__cause__
        return replace(loaded, data=data)

    def _files(self, read: Words) -> tuple[DictConfig, dict[str, str]]:
        """The files that the words choose, merged, without the values that were typed."""
        chosen = tuple(read.choosing)
        if chosen not in self._composed:
            with explained(read), hydra_ready():
                cfg = compose(BASE, overrides=list(chosen), return_hydra_config=True)
            listed = {str(group): option for group, option in cfg.hydra.runtime.choices.items()}
            with open_dict(cfg):
                del cfg["hydra"]
            self._composed[chosen] = cfg, listed
        cfg, listed = self._composed[chosen]
        return copy.deepcopy(cfg), listed

    def _merged(self, read: Words) -> list[Source]:
        """Those files, in their order."""
        chosen = tuple(read.choosing)
        if chosen not in self._sources:
            self._sources[chosen] = sources_of(read)
        return self._sources[chosen]


def load(words: Sequence[str], config_dir: str | Path | None = None) -> Loaded:
    """Composes one configuration: see `Loader.load`."""
    return Loader(config_dir).load(words)


def _referring(problem: Problem, data: Mapping[str, Any]) -> Problem:
    """The problem of an interpolation, as it was written, with the nearest name for its target."""
    target = (problem.fix or "").removesuffix("=…")
    close = nearest(target, (dotted(path) for path, _ in flat(data, ()))) if target else None
    return replace(
        problem,
        message=f"{problem.message}; did you mean `{close}`?" if close else problem.message,
        value=at(data, parts_of(problem.path)),
        fix=f"${{{close}}}" if close else problem.fix,
    )


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
    """Sets what was typed, and takes away what was typed to go."""
    for change in read.changes:
        with explained(read, change):
            if isinstance(change, Removed):
                _remove(cfg, change)
                continue
            for path in change.emptied:  # an empty mapping would leave what is there
                OmegaConf.update(cfg, ".".join(path), None, force_add=True)
            with open_dict(cfg):
                given = with_types(cfg, change.tree)
            value = at(given, change.path)
            OmegaConf.update(cfg, ".".join(change.path), value, merge=True, force_add=True)


def _remove(cfg: DictConfig, removed: Removed) -> None:
    """Takes a value away.

    Raises:
        ConfigError: Where it is not there, or is another one.
    """
    owner, key = _owner(cfg, removed.path)
    path = dotted(removed.path)
    message, names = f"nothing gives `{path}`", owner.keys()
    if key == removed.path and key[-1] in owner:
        stands: Any = OmegaConf.to_container(owner, resolve=False)
        if all(stands[key[-1]] == only for only in removed.only):
            with open_dict(owner):
                del owner[key[-1]]
            return
        message, names = f"`{path}` is {shown(stands[key[-1]])}", [key[-1]]
    names = nearest_first(key[-1], map(str, names))
    close = nearest(key[-1], names)
    raise ConfigError(
        Problem(
            f"`{removed.word}` takes nothing away: {message}",
            origin=on_command_line(removed.word),
            valid=tuple(dotted((*key[:-1], name)) for name in names),
            fix=for_shell(f"~{dotted((*key[:-1], close))}") if close else None,
        )
    )


def _owner(cfg: DictConfig, path: Parts) -> tuple[DictConfig, Parts]:
    """The innermost mapping on the way to a path that has something in it, and its key's path."""
    depth = 1
    while depth < len(path):
        inner = OmegaConf.select(cfg, ".".join(path[:depth]), throw_on_resolution_failure=False)
        if not (isinstance(inner, DictConfig) and inner):
            break
        depth += 1
    above = ".".join(path[: depth - 1])
    return (OmegaConf.select(cfg, above) if above else cfg), path[:depth]


def hydra_words(words: Sequence[str], config_dir: str | Path | None = None) -> list[str]:
    """What Hydra's own runner is given for the words; several values, `a=1,2`, are a sweep.

    A part without a YAML gets its type from `load` only, and so is `{}` empty only there: a job
    loads its own words again.

    Raises:
        ConfigError: If a word cannot be read, or chooses what does not exist.
    """
    return read_words(words, config_dir, sweeps=True).overrides


def options(group: str, config_dir: str | Path | None = None) -> tuple[str, ...]:
    """The options of a group that have a YAML."""
    return ConfigFiles.of(config_dir).options(group)


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
        path_of_type = (*group.split("/"), "type")
        is_typed = group in read.chosen and not any(t.touches(path_of_type) for t in read.typed)
        if part is None or (isinstance(part, DictConfig) and (is_typed or "type" not in part)):
            OmegaConf.update(cfg, f"{path}.type", option, force_add=True)
            named[path_of_type] = group
    return named
