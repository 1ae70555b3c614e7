"""`composer train -m`: a job for each combination of values."""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from rich.text import Text

from composer.checking import RUNS, check, require_writable
from composer.cli.check import checked, show
from composer.cli.console import Console
from composer.cli.jobs import print_jobs
from composer.cli.progress import summary
from composer.cli.running import new_directory, start_of, stopped_by_signals, train_in_view
from composer.errors import ComposerError, ConfigError, Problem
from composer.experiment import Experiment
from composer.files import naming_full_disk
from composer.loading import Job, hydra_words, jobs
from composer.loading.files import from_here
from composer.training.run_directory import RunDirectory
from composer.training.start import Start

FAILED = "failed.txt"
"""In a job's directory: why it failed."""
SWEEP_DIR = "hydra.sweep.dir="
FULL_ERROR = "HYDRA_FULL_ERROR"


def sweep(args: argparse.Namespace) -> int:
    """Checks all jobs, then hands them to Hydra's sweeper and launcher."""
    found = jobs(args.words, args.config_dir)
    start = start_of(args)
    if not args.no_check_sweep:
        reports = checked(found, args.config_dir, start)
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
        return _job(found[settings.job.num], place, args.config_dir, start)

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


def _job(job: Job, directory: Path, config_dir: str | None, start: Start) -> float | None:
    """Runs one job; a failure is told and left in its directory, and the others go on.

    It does not raise: Hydra's sweeper would not start the batches that come after it.
    """
    console = Console()
    console.rule(" ".join(job.varied), align="left")
    try:
        experiment = Experiment.load(job.words, config_dir)
        check(experiment, directory, start)
        run_directory = RunDirectory.create(directory, experiment.to_data())
        start.kept_in(run_directory)
        with stopped_by_signals() as stop:
            outcome = train_in_view(experiment, run_directory, console, stop)
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
    return new_directory(Path(wanted or typed[-1]))


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
        number: (Text("failed", "red") if number in failed else _best(place), str(place))
        for number, place in places.items()
    }
    console = Console()
    console.print()
    print_jobs(console, found, rows, ("best", "run"))
    if failed:
        first = places[failed[0]] / FAILED
        message = f"\n{len(failed)} of {len(found)} jobs failed; the first says why in {first}"
        console.print(message, soft_wrap=True)
    return 2 if failed else 0


def _best(place: Path) -> str:
    best = RunDirectory(place).best_return()
    return "" if best is None else f"{best:.2f}"
