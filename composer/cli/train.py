"""`composer train`: one run, or with `-m` a job for each combination."""

import argparse
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from rich.markup import escape

from composer.checking import RUNS, check, require_writable
from composer.cli.check import checked, show
from composer.cli.console import Console
from composer.cli.jobs import jobs_table
from composer.cli.progress import ProgressView, summary
from composer.engines.base import Outcome
from composer.errors import ComposerError, ConfigError, Problem, RunDirectoryError
from composer.experiment import Experiment
from composer.files import make_directory, naming_full_disk, new_run_directory
from composer.loading import Job, hydra_words, jobs
from composer.loading.files import from_here
from composer.training.run_directory import RunDirectory, is_run

FAILED = "failed.txt"
"""In a job's directory: why it failed."""
WIDE = 10_000
SWEEP_DIR = "hydra.sweep.dir="
FULL_ERROR = "HYDRA_FULL_ERROR"


def run(args: argparse.Namespace) -> int:
    """Trains, and returns the exit status: 130 or 143 where a signal stopped it."""
    if args.multirun:
        return _sweep(args)
    experiment = Experiment.load(args.words, args.config_dir)
    check(experiment, Path(args.run_dir) if args.run_dir else RUNS)
    run_directory = RunDirectory.create(
        _run_directory(experiment, args.run_dir), experiment.to_data()
    )
    with run_directory.removed_if_unused():
        return train(experiment, run_directory)


def train(
    experiment: Experiment, run_directory: RunDirectory, checkpoint: Path | None = None
) -> int:
    """Trains in the terminal, from a checkpoint of the run if it has one; the exit status."""
    console = Console()
    with stopped_by_signals() as stop:
        outcome = _train(experiment, run_directory, console, stop, checkpoint)
    summary(console, run_directory, outcome)
    return 0 if outcome.finished else 128 + stop.signal


def _train(
    experiment: Experiment,
    run_directory: RunDirectory,
    console: Console,
    stop: "Stop",
    checkpoint: Path | None = None,
) -> Outcome:
    console.print(f"run  {run_directory.path}", soft_wrap=True, highlight=False)
    view = ProgressView(console, experiment.config.total_steps)
    return experiment.config.engine.train(experiment, run_directory, [view], stop, checkpoint)


def _run_directory(experiment: Experiment, wanted: str | None) -> Path:
    if wanted is None:
        return new_run_directory(RUNS, experiment.name)
    return _new_directory(Path(wanted))


def _new_directory(path: Path) -> Path:
    if not make_directory(path):
        raise RunDirectoryError(
            f"{path} exists already; a run never writes into a directory that is there"
            + (f". To go on with this run: composer resume {path}" if is_run(path) else "")
        )
    return path


class Stop:
    """Whether a signal has asked to stop; a second one interrupts what is being done."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self) -> bool:
        return self.signal != 0

    def handle(self, number: int, _: Any) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        print("\nstopping and saving; once more to leave at once", file=sys.stderr)


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Turns Ctrl-C and SIGTERM into a request to save and leave."""
    stop = Stop()
    before = {number: signal.signal(number, stop.handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _sweep(args: argparse.Namespace) -> int:
    """Checks all jobs, then hands them to Hydra's sweeper and launcher."""
    found = jobs(args.words, args.config_dir)
    if not args.no_check_sweep:
        reports = checked(found, args.config_dir)
        if any(report.error for report in reports):
            show(reports)
            print("nothing was started; --no-check-sweep starts the others", file=sys.stderr)
            return 2
    directory = _sweep_directory(args.words, args.run_dir)
    places = {number: directory / str(number) for number in range(len(found))}

    @hydra.main(version_base="1.3", config_path="pkg://composer.conf", config_name="config")
    def job(_: DictConfig) -> float | None:
        settings = HydraConfig.get()
        place = places[settings.job.num] = from_here(Path(settings.runtime.output_dir))
        return _job(found[settings.job.num], place, args.config_dir)

    words = [*hydra_words(args.words, args.config_dir), f"hydra.sweep.dir={directory}"]
    try:
        with _as_hydras_program(words), naming_full_disk(directory):
            job()
    except Stopped as error:
        return error.status
    finally:
        with suppress(OSError):  # what is not empty stays
            directory.rmdir()
    return _sweep_summary(found, places)


def _job(job: Job, directory: Path, config_dir: str | None) -> float | None:
    """Runs one job; a failure is told and left in its directory, and the others go on.

    It does not raise: Hydra's sweeper would not start the batches that come after it.
    """
    console = Console()
    console.rule(" ".join(job.varied), align="left")
    try:
        experiment = Experiment.load(job.words, config_dir)
        check(experiment, directory)
        run_directory = RunDirectory.create(directory, experiment.to_data())
        with stopped_by_signals() as stop:
            outcome = _train(experiment, run_directory, console, stop)
    except ComposerError as error:
        print(error, file=sys.stderr)
        (directory / FAILED).write_text(f"{error}\n")
        return None
    summary(console, run_directory, outcome)
    if not outcome.finished:
        raise Stopped(128 + stop.signal)
    return outcome.evaluation.mean if outcome.evaluation else None


class Stopped(KeyboardInterrupt):
    """A signal has stopped a job, and with it the sweep."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def _sweep_directory(words: Sequence[str], wanted: str | None) -> Path:
    """Where the jobs' directories go: `--run-dir`, Hydra's own setting, or a new one in runs/."""
    typed = [word.removeprefix(SWEEP_DIR) for word in words if word.startswith(SWEEP_DIR)]
    if wanted is None and not typed:
        require_writable(RUNS)
        return RUNS / f"sweep_{time.strftime('%Y%m%d-%H%M%S')}_{secrets.token_hex(3)}"
    return _new_directory(Path(wanted or typed[-1]))


@contextmanager
def _as_hydras_program(words: Sequence[str]) -> Iterator[None]:
    """The words as Hydra's runner takes them, and its errors as exceptions."""
    argv, full_error = sys.argv, os.environ.get(FULL_ERROR)
    sys.argv = ["composer train", "--multirun", *words]
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    except HydraException as error:
        options = tuple(getattr(error, "options", None) or ())
        raise ConfigError(Problem(str(error).splitlines()[0], valid=options)) from error
    finally:
        sys.argv = argv
        if full_error is None:
            del os.environ[FULL_ERROR]


def _sweep_summary(found: Sequence[Job], places: Mapping[int, Path]) -> int:
    """A table of what the jobs came to; 2 if one has failed."""
    failed = [number for number, place in places.items() if (place / FAILED).exists()]
    rows = {
        number: ("[red]failed[/red]" if number in failed else _best(place), escape(str(place)))
        for number, place in places.items()
    }
    console = Console()
    console.print()
    wide = Console(width=WIDE)  # a directory is on one line, to be copied
    wide.print(jobs_table(found, rows, ("best", "run")))
    if failed:
        first = places[failed[0]] / FAILED
        told = f"\n{len(failed)} of {len(found)} jobs failed; the first says why in {first}"
        console.print(told, soft_wrap=True)
    return 2 if failed else 0


def _best(place: Path) -> str:
    best = RunDirectory(place).best_return()
    return "" if best is None else f"{best:.2f}"
