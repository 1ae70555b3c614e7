"""`composer resume`: goes on with a run from one of its checkpoints, by default the latest."""

import argparse
import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from composer.algorithms.base import AlgorithmConfig
from composer.cli.checkpoints import find, overridden, require_whole
from composer.cli.running import train
from composer.comparison import ABSENT, Difference, differences
from composer.errors import ConfigError, Problem, line_to_type, shown
from composer.experiment import Experiment
from composer.files import read_json
from composer.loading import Loaded, override
from composer.training.checkpoint import read_progress
from composer.training.run_directory import EXPERIMENT

RESUMABLE = (
    "total_steps",
    "evaluation",
    "checkpoint",
    "logging",
    "logger",
    "device",
    "threads",
    "algorithm",
    "env.num_envs",
    "env.vectorization",
)
"""Settings that may differ from those the run began with, but for `KINDS` and those of heads."""
KINDS = ("algorithm.type", "algorithm.optimiser.type", "algorithm.critic")


def run(args: argparse.Namespace) -> int:
    """Goes on, with the words' changes."""
    run_directory, chosen = find(Path(args.directory))
    file = run_directory.path / EXPERIMENT
    data = run_directory.experiment_data()
    checkpoint = chosen or run_directory.latest()
    if checkpoint is not None:
        said = override(data, args.words)
        _refuse(_of_kinds(differences(data, said.data)), said, file)
    experiment, loaded = overridden(data, file, args.words, args.config_dir)
    if checkpoint is not None:
        require_whole(checkpoint, run_directory, "resume")
        before = Experiment.from_data(read_json(checkpoint / EXPERIMENT), args.config_dir)
        progress = read_progress(checkpoint)
        taken = progress.env_steps
        finished = experiment.config.total_steps <= taken and not progress.evaluation_due
        changes = differences(before.to_data(), experiment.to_data())
        _refuse(_problems(changes, taken, finished), loaded, file)
        if finished:
            path = run_directory.path
            print(f"{path} is finished already, at {taken:,} steps; to go on:")
            print(f"composer resume {path} total_steps={2 * taken}")
            return 0
    if chosen is not None:
        later = ", ".join(path.name for path in run_directory.after(chosen))
        what = f"; the next checkpoint takes the place of {later}" if later else ""
        print(f"from {chosen.name}{what}")
    return train(experiment, run_directory, chosen)


def _refuse(problems: Iterable[Problem], loaded: Loaded, file: Path) -> None:
    """Raises a ConfigError of the problems, if there are any, each with its origin."""
    placed = [replace(p, origin=loaded.origin(p.path) or str(file)) for p in problems]
    if placed:
        raise ConfigError(*placed)


def _of_kinds(changes: Iterable[Difference]) -> Iterator[Problem]:
    """Parts of another type: the fields that they leave behind are nothing to speak of."""
    for change in changes:
        if change.path.endswith(".type") and not resumable(change.path):
            yield _unchangeable(change)


def _unchangeable(change: Difference) -> Problem:
    had = "" if change.a is ABSENT else f" (it has {shown(change.a)})"
    return Problem(
        f"a run that has begun cannot change this{had}; start another run instead",
        change.path,
        None if change.b is ABSENT else change.b,
        valid=RESUMABLE,
    )


def _problems(changes: Iterable[Difference], taken: int, finished: bool) -> Iterator[Problem]:
    """The changes that cannot be made at a checkpoint of `taken` steps."""
    for change in changes:
        path, new = change.path, None if change.b is ABSENT else change.b
        if not resumable(path):
            yield _unchangeable(change)
        elif path == "total_steps" and change.b <= taken:
            message = f"the run has taken {taken:,} steps already"
            yield Problem(message, path, new, fix=f"total_steps={2 * taken}")
        elif finished:
            message = f"the run is finished, at {taken:,} steps: this would change nothing"
            fix = f"total_steps={2 * taken} {line_to_type(path, new)}"
            yield Problem(message, path, new, fix=fix)


def resumable(path: str) -> bool:
    """Whether a run that has begun may go on with another value there."""
    fixed = path in KINDS or path in _of_heads()
    return not fixed and any(
        path == allowed or path.startswith(f"{allowed}.") for allowed in RESUMABLE
    )


@functools.cache
def _of_heads() -> frozenset[str]:
    """Settings of algorithms that are defaults of heads: of the model that has been built."""
    members = (AlgorithmConfig.members[tag] for tag in AlgorithmConfig.tags())
    return frozenset(f"algorithm.{name}" for member in members for name in member.head_fields)
