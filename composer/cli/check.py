"""`composer check`: everything that can fail before training, for a run or each job of a sweep."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import track
from rich.text import Text

from composer.checking import RUNS, Report, check, check_jobs
from composer.cli import errors
from composer.cli.console import Console, print_json
from composer.cli.jobs import print_jobs
from composer.cli.running import start_of
from composer.errors import Problem
from composer.experiment import Experiment
from composer.loading import Job, jobs
from composer.spaces import describe
from composer.training.start import Start

T = TypeVar("T")

ROWS = 40
"""Jobs beyond this are counted, not listed, unless they are broken."""


def run(args: argparse.Namespace) -> int:
    """Checks, and shows what was found."""
    found = jobs(args.words, args.config_dir)
    start = start_of(args)
    if len(found) == 1:
        experiment = Experiment.load(args.words, args.config_dir)
        check(experiment, start=start)
        if args.json:
            print_json(_data(Report(found[0], experiment)))
        else:
            print(_ready(experiment, start))
            errors.show_notes(experiment.notes(), Console())
        return 0
    reports = checked(found, args.config_dir, start)
    if args.json:
        print_json([_data(report) for report in reports])
    else:
        show(reports)
    return 2 if any(report.error for report in reports) else 0


def checked(
    found: Sequence[Job], config_dir: str | Path | None, start: Start, directory: Path = RUNS
) -> list[Report]:
    """A report for each job, with a progress bar where errors go."""
    reports = check_jobs(found, config_dir, directory, start)
    bar = track(
        reports,
        description="checking",
        total=len(found),
        console=Console(stderr=True),
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    )
    return list(bar)


def show(reports: Sequence[Report]) -> None:
    """A table of the jobs, and each mistake once with the jobs that make it."""
    console = Console()
    broken = [number for number, report in enumerate(reports) if report.error]
    listed = range(len(reports)) if len(reports) <= ROWS else broken[:ROWS]
    if listed:
        cells = {number: (_size(reports[number]), _verdict(reports[number])) for number in listed}
        print_jobs(console, [report.job for report in reports], cells, ("parameters", ""))
    if len(listed) < len(broken):
        console.print(f"  … and {len(broken) - len(listed)} more that are broken")
    for error, numbers in _alike(report.error for report in reports):
        console.print(f"\n{_numbered(numbers)}", style="bold", highlight=False)
        errors.show(error, console)
    for notes, numbers in _alike(_notes(report) for report in reports):
        console.print(f"\n{_numbered(numbers)}", style="bold", highlight=False)
        errors.show_notes(notes, console)
    total = len(reports)
    counted = f"{len(broken)} of {total} jobs broken" if broken else f"{total} jobs ready"
    console.print(f"\n{counted}", style="bold", highlight=False)


def _size(report: Report) -> str:
    if report.error or report.experiment is None:
        return ""
    return f"{report.experiment.model.parameter_count:,}"


def _verdict(report: Report) -> Text:
    return Text("broken", "red") if report.error else Text("ready", "green")


def _alike(told: Iterable[T | None]) -> Iterable[tuple[T, list[int]]]:
    """What is told of the jobs in turn, each thing once, with the jobs that it is told of."""
    found: dict[str, tuple[T, list[int]]] = {}
    for number, item in enumerate(told):
        if item:
            found.setdefault(str(item), (item, []))[1].append(number)
    return found.values()


def _notes(report: Report) -> tuple[Problem, ...]:
    return report.experiment.notes() if report.experiment and not report.error else ()


def _numbered(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:12])) + ("" if len(numbers) <= 12 else ", …")
    return f"job {shown}" if len(numbers) == 1 else f"{len(numbers)} jobs ({shown})"


def _ready(experiment: Experiment, start: Start) -> str:
    spaces = " → ".join(map(describe, experiment.spaces))
    offers = ", ".join(experiment.model.requires) or "nothing"
    return "\n".join(
        [
            f"{experiment.name} is ready to train",
            f"  spaces    {spaces}",
            f"  model     {experiment.model.parameter_count:,} parameters",
            f"  requires  {offers}: offered",
            *[f"  start     {start}"] * bool(start),
        ]
    )


def _facts(experiment: Experiment) -> dict[str, Any]:
    return {
        "name": experiment.name,
        "parameters": experiment.model.parameter_count,
        "fingerprint": experiment.model.fingerprint,
    }


def _data(report: Report) -> dict[str, Any]:
    data: dict[str, Any] = {"words": report.job.words, "ready": report.error is None}
    if report.error is not None:
        return data | {"problems": [problem.to_data() for problem in report.error.problems]}
    notes = [note.to_data() for note in _notes(report)]
    return data | {"notes": notes} | (_facts(report.experiment) if report.experiment else {})
