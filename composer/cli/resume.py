"""`composer resume`: goes on with a run from its latest checkpoint."""

import argparse
from pathlib import Path

from composer.cli.train import train
from composer.errors import ConfigError, Problem
from composer.experiment import Experiment
from composer.files import write_json
from composer.loading import override
from composer.training.run_directory import EXPERIMENT, RunDirectory

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
"""Settings that may differ from those the run began with; `algorithm.type` may not."""


def run(args: argparse.Namespace) -> int:
    """Goes on, with the words' changes."""
    directory = RunDirectory.open(Path(args.directory))
    before = Experiment.from_data(directory.experiment_data(), args.config_dir)
    loaded = override(before.to_data(), args.words)
    experiment = Experiment.from_loaded(loaded, args.config_dir)
    changes = [
        Problem(
            f"a run that has begun cannot change this (it has {old}); start another run instead",
            path=path,
            value=new,
            origin=loaded.origin(path),
            valid=RESUMABLE,
        )
        for path, old, new in _differences(before.to_data(), experiment.to_data())
        if path == "algorithm.type" or not _resumable(path)
    ]
    if changes:
        raise ConfigError(*changes)
    if args.words:
        write_json(directory.path / EXPERIMENT, experiment.to_data())
    return train(experiment, directory)


def _resumable(path: str) -> bool:
    return any(path == allowed or path.startswith(f"{allowed}.") for allowed in RESUMABLE)


def _differences(old: object, new: object, path: str = "") -> list[tuple[str, object, object]]:
    """Leaves that differ: path, old value, new value."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            difference
            for key in dict.fromkeys([*old, *new])
            for difference in _differences(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if old == new else [(path, old, new)]
