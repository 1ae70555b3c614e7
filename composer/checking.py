"""What can fail before training, found before anything is written."""

import errno
import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from composer.config import Config, Family
from composer.errors import ComposerError, ConfigError, ModuleError, Problem, RunDirectoryError
from composer.experiment import Experiment
from composer.loading import Job, Loader
from composer.module.rl_module import RLModule
from composer.optimisers.base import require_parts
from composer.places import join_path
from composer.training.start import Start

RUNS = Path("runs")
"""Where runs are written unless a directory is named."""
STATES = 3
"""Tensors of a parameter's size in a checkpoint: the parameter and Adam's two moments."""


def check(experiment: Experiment, directory: Path = RUNS, start: Start | None = None) -> None:
    """Composes the model for the environment's own spaces, and looks for all a run needs.

    Args:
        experiment: Its schema is checked already.
        directory: Where the run will be written.
        start: What it begins with.

    Raises:
        ComposerError: What would have stopped the run: the model cannot be composed, lacks what
            the algorithm requires, a hand-written one cannot be made or run, a part's package is
            not installed, weights to begin with do not fit, or the disk has no room.
    """
    experiment.require_model()
    require_writable(directory)
    problems = _missing_packages(experiment) or [*_disk_problems(experiment, directory)]
    if problems:
        error = ConfigError(*problems)
        raise experiment.loaded.with_origins(error) if experiment.loaded else error
    if start:
        module = _without_weights(experiment)
        start.require_fit(module)
        module.freeze(start.freeze)
        try:
            require_parts(experiment.config.algorithm.optimiser, module)
        except ModuleError as error:
            raise (experiment.loaded.with_origins(error) if experiment.loaded else error) from None


def _without_weights(experiment: Experiment) -> RLModule:
    """The module for its names and shapes; a composed one takes no memory."""
    if experiment.is_hand_written:
        return experiment.custom_model.build()
    with torch.device("meta"):
        return experiment.blueprint.build("meta")


@dataclass(frozen=True)
class Report:
    """How a job of a sweep would fare."""

    job: Job
    experiment: Experiment | None = None
    """None where its configuration is not valid."""
    error: ComposerError | None = None


def check_jobs(
    jobs: Sequence[Job],
    config_dir: str | Path | None = None,
    directory: Path = RUNS,
    start: Start | None = None,
) -> Iterator[Report]:
    """Checks one job after the other; what they share is read once."""
    loader = Loader(config_dir)
    for job in jobs:
        experiment = None
        try:
            experiment = Experiment.from_loaded(loader.load(job.words), config_dir)
            check(experiment, directory, start)
        except ComposerError as error:
            yield Report(job, experiment, error)
        else:
            yield Report(job, experiment)


def _missing_packages(experiment: Experiment) -> list[Problem]:
    """Of the parts that are chosen, not of those that rules of the catalog might choose."""
    fields = type(experiment.config).model_fields.keys() - {"catalog", "model"}
    used = {(name,): getattr(experiment.config, name) for name in sorted(fields)}
    nodes = () if experiment.is_hand_written else experiment.blueprint.nodes
    used |= {(node.place,): node.config for node in nodes}  # pyright: ignore[reportAttributeAccessIssue]
    found: dict[tuple[str, str], Problem] = {}
    for start, config in used.items():
        for path, part in _parts(config, start):
            for name in part.packages:
                if importlib.util.find_spec(name) is None:
                    found.setdefault((part.type, name), _missing(name, part, path))
    return list(found.values())


def _missing(name: str, part: Family, path: tuple[str | int, ...]) -> Problem:
    extra = part.packages_extra
    return Problem(
        f"{part.family} `{part.type}` needs the package {name}, which is not installed",
        path=join_path("", (*path, "type")),
        value=part.type,
        fix=f"pip install 'rl-composer[{extra}]'" if extra else f"pip install {name}",
    )


def _parts(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[tuple, Family]]:
    """Every tagged part in a configuration, and where it stands."""
    if isinstance(value, Family):
        yield path, value
    if isinstance(value, Config):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts(item, (*path, key))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _parts(item, (*path, index))


def require_writable(directory: Path) -> None:
    """Raises a RunDirectoryError if nothing can be written there."""
    home = _existing(directory)
    reason = errno.ENOTDIR if not home.is_dir() else errno.EACCES
    if reason == errno.ENOTDIR or not os.access(home, os.W_OK):
        raise RunDirectoryError(f"{directory} cannot be made: {os.strerror(reason)}: {home}")


def _existing(directory: Path) -> Path:
    """The directory, or the nearest above it that is there."""
    resolved = directory.resolve()
    return next(path for path in (resolved, *resolved.parents) if path.exists())


def _disk_problems(experiment: Experiment, directory: Path) -> Iterator[Problem]:
    """Whether there is room for the run's checkpoints."""
    home = _existing(directory)
    checkpoints = experiment.config.checkpoint.keep + 2  # the best, and the one that is written
    needed = experiment.model.parameter_count * 4 * STATES * checkpoints
    free = shutil.disk_usage(home).free
    if needed > free:
        yield Problem(
            f"the run's checkpoints of {experiment.model.parameter_count:,} parameters take "
            f"about {_size(needed)}, and {home} has {_size(free)} left",
            path="checkpoint.keep",
            value=experiment.config.checkpoint.keep,
        )


def _size(size: int) -> str:
    """With a unit in which it is no fraction."""
    power = min(3, size.bit_length() // 10)
    return f"{size / 2 ** (10 * power):,.1f} {('B', 'KiB', 'MiB', 'GiB')[power]}"
