"""`composer train`: one run, or with `-m` a job for each combination."""

import argparse
from pathlib import Path

from composer.checking import RUNS, check
from composer.cli.running import new_directory, start_of, train
from composer.cli.sweep import sweep
from composer.experiment import Experiment
from composer.files import new_run_directory
from composer.training.run_directory import RunDirectory


def run(args: argparse.Namespace) -> int:
    """Trains, and returns the exit status: 130 or 143 where a signal stopped it."""
    if args.multirun:
        return sweep(args)
    experiment = Experiment.load(args.words, args.config_dir)
    start = start_of(args)
    check(experiment, Path(args.run_dir) if args.run_dir else RUNS, start)
    run_directory = RunDirectory.create(
        _run_directory(experiment, args.run_dir), experiment.to_data()
    )
    with run_directory.removed_if_unused():
        start.kept_in(run_directory)
        return train(experiment, run_directory)


def _run_directory(experiment: Experiment, wanted: str | None) -> Path:
    if wanted is None:
        return new_run_directory(RUNS, experiment.name)
    return new_directory(Path(wanted))
