"""Training in a terminal: the view of it, and how a signal stops it."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from composer.cli.console import Console
from composer.cli.progress import ProgressView, summary
from composer.engines.base import Outcome
from composer.errors import RunDirectoryError
from composer.experiment import Experiment
from composer.files import make_directory
from composer.training.run_directory import RunDirectory, is_run
from composer.training.start import Start


def train(
    experiment: Experiment, run_directory: RunDirectory, checkpoint: Path | None = None
) -> int:
    """Trains in the terminal, from a checkpoint of the run if it has one; the exit status."""
    console = Console()
    with stopped_by_signals() as stop:
        outcome = train_in_view(experiment, run_directory, console, stop, checkpoint)
    summary(console, run_directory, outcome)
    return 0 if outcome.finished else 128 + stop.signal


def train_in_view(
    experiment: Experiment,
    run_directory: RunDirectory,
    console: Console,
    stop: "Stop",
    checkpoint: Path | None = None,
) -> Outcome:
    """Trains with the progress view; it stops where `stop` says so."""
    console.print(f"run  {run_directory.path}", soft_wrap=True, highlight=False)
    if start := Start.of(run_directory):
        console.print(f"start  {start}", soft_wrap=True, highlight=False, markup=False)
    view = ProgressView(console, experiment.config.total_steps)
    return experiment.config.engine.train(experiment, run_directory, [view], stop, checkpoint)


def start_of(args: argparse.Namespace) -> Start:
    """What `--init-from` and `--freeze` ask for."""
    return Start.read(args.init_from, args.freeze, by_flags=True)


def new_directory(path: Path) -> Path:
    """Makes the directory that a person has named for a run.

    Raises:
        RunDirectoryError: If there is something already, or it cannot be made.
    """
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
