"""A sweep's words → the words of each of its jobs."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from composer.errors import ConfigError, Problem
from composer.loading.files import ConfigFiles
from composer.loading.rewriting import SEARCHPATH, read_words


@dataclass(frozen=True)
class Job:
    """One combination of a sweep's values."""

    words: tuple[str, ...]
    """As they would be typed for this job alone; what is said to Hydra itself is left out."""
    varied: tuple[str, ...]
    """Those of the words that differ between jobs."""


def jobs(words: Sequence[str], config_dir: str | Path | None = None) -> list[Job]:
    """The jobs, in the order in which Hydra's own sweeper runs them; one where nothing varies.

    Args:
        words: What was typed: `["seed=0,1,2", "algorithm.lr=1e-3"]`.
        config_dir: A directory of the user's own.

    Raises:
        ConfigError: If a word cannot be read, chooses what does not exist, or asks for values
            that cannot be listed, as `interval(0, 1)` does.
    """
    files: Any = _Options(read_words(words, config_dir, sweeps=True).files)
    own = [word for word in words if word.startswith(SEARCHPATH) or not _is_hydras(word)]
    parsed = OverridesParser.create(config_loader=files).parse_overrides(own)
    sweeps = {item.get_key_element(): item for item in parsed if item.is_sweep_override()}
    problems = [
        Problem(
            f"`{item.input_line}` is no list of values: write them out, or `range(1,10,2)`",
            fix=f"{key}=1,2,3",
        )
        for key, item in sweeps.items()
        if not item.is_discrete_sweep()
    ]
    if problems:
        raise ConfigError(*problems)
    choices = {item.get_key_element(): _words(item) for item in parsed}
    return [
        Job(combination, tuple(itertools.compress(combination, (key in sweeps for key in choices))))
        for combination in itertools.product(*choices.values())
    ]


def _is_hydras(word: str) -> bool:
    return word.lstrip("+~").startswith(("hydra.", "hydra/"))


def _words(item: Override) -> list[str]:
    if not item.is_sweep_override():
        return [str(item.input_line)]
    return [f"{item.get_key_element()}={value}" for value in item.sweep_string_iterator()]


class _Options:
    """The part of Hydra's loader that its parser asks: what `glob(…)` stands for."""

    def __init__(self, files: ConfigFiles) -> None:
        self._files = files

    def get_group_options(
        self, group_name: str, results_filter: ObjectType | None = None
    ) -> list[str]:
        return list(self._files.options(group_name))
