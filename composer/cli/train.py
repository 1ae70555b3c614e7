"""`composer train`: one run, or with `-m` a job for each combination."""

import argparse
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from composer.cli.progress import ProgressView, summary
from composer.engines.base import Outcome
from composer.errors import CheckpointError
from composer.experiment import Experiment
from composer.files import new_run_directory
from composer.loading import as_typed, hydra_words
from composer.training.run_directory import RunDirectory


def run(args: argparse.Namespace) -> int:
    """Trains, and returns the exit status: 130 or 143 where a signal stopped it."""
    if args.multirun:
        return _sweep(args.words, args.config_dir)
    experiment = Experiment.load(args.words, args.config_dir)
    experiment.blueprint  # noqa: B018 - composed, so that a mistake is known before anything is written
    directory = _run_directory(experiment, args.run_dir)
    return train(experiment, RunDirectory.create(directory, experiment.to_data()))


def train(experiment: Experiment, run_directory: RunDirectory) -> int:
    """Trains in the terminal; the exit status."""
    console = Console()
    with stopped_by_signals() as stop:
        outcome = _train(experiment, run_directory, console, stop)
    summary(console, run_directory, outcome)
    return 0 if outcome.finished else 128 + stop.signal


def _train(
    experiment: Experiment, run_directory: RunDirectory, console: Console, stop: "Stop"
) -> Outcome:
    console.print(f"run  {run_directory.path}", soft_wrap=True, highlight=False)
    view = ProgressView(console, experiment.config.total_steps)
    return experiment.config.engine.train(experiment, run_directory, [view], stop)


def _run_directory(experiment: Experiment, wanted: str | None) -> Path:
    if wanted is None:
        return new_run_directory(Path("runs"), experiment.name)
    path = Path(wanted)
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise CheckpointError(
            f"{path} exists already; a run never writes into a directory that is there. To go on "
            f"with a run: composer resume {path}"
        ) from None
    return path


class Stop:
    """Whether a signal has asked to stop; a second one stops at once."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self) -> bool:
        return self.signal != 0

    def handle(self, number: int, _: Any) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        print("\nstopping after this update and saving; once more to stop at once", file=sys.stderr)


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


def _sweep(words: Sequence[str], config_dir: str | None) -> int:
    """Hands the jobs to Hydra's sweeper and launcher."""
    rewritten = hydra_words(words, config_dir)
    if not any(word.startswith("hydra.sweep.dir=") for word in rewritten):
        name = f"sweep_{time.strftime('%Y%m%d-%H%M%S')}_{secrets.token_hex(3)}"
        rewritten.append(f"hydra.sweep.dir=runs/{name}")

    @hydra.main(version_base="1.3", config_path="pkg://composer.conf", config_name="config")
    def job(_: DictConfig) -> float | None:
        settings = HydraConfig.get()
        experiment = Experiment.load(as_typed(settings.overrides.task), config_dir)
        directory = Path(settings.runtime.output_dir)
        directory.mkdir(parents=True, exist_ok=True)
        run_directory = RunDirectory.create(directory, experiment.to_data())
        console = Console()
        with stopped_by_signals() as stop:
            outcome = _train(experiment, run_directory, console, stop)
        summary(console, run_directory, outcome)
        if stop.signal:
            raise KeyboardInterrupt
        return outcome.evaluation.mean if outcome.evaluation else None

    before = sys.argv
    sys.argv = ["composer train", "--multirun", *rewritten]
    try:
        job()
    finally:
        sys.argv = before
    return 0
