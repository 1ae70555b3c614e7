"""What a run shows while it trains: a live view in a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from composer.cli.console import Console
from composer.cli.errors import show_notes
from composer.engines.base import Outcome
from composer.training.callbacks import Callback
from composer.training.evaluation import EvaluationResult
from composer.training.run_directory import RunDirectory

SHOWN = {
    "episode_return": "return",
    "evaluation": "evaluation",
    "train/policy_loss": "policy loss",
    "train/value_loss": "value loss",
    "train/entropy": "entropy",
    "train/kl": "kl",
    "time/steps_per_second": "steps/s",
}
"""Metrics that are shown, and what they are called."""


class ProgressView(Callback):
    """Steps, speed, return, losses and the time that is left."""

    def __init__(self, console: Console, total_steps: int) -> None:
        self.console = console
        self.total_steps = total_steps
        self.row: dict[str, float] = {}
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self.task: TaskID | None = None
        self.live: Live | None = None
        self.started = time.perf_counter()
        self.first_step = 0

    def on_start(self, trainer: Any) -> None:
        self.first_step = trainer.progress.env_steps
        self.started = time.perf_counter()
        show_notes(trainer.experiment.notes(self.first_step), self.console)
        if self.console.is_terminal:
            self.task = self.bar.add_task(
                "steps", total=self.total_steps, completed=self.first_step
            )
            self.live = Live(self._view(), console=self.console, refresh_per_second=8)
            self.live.start()

    def on_update(self, trainer: Any, metrics: Mapping[str, float]) -> None:
        if self.live is not None and self.task is not None:
            self.bar.update(self.task, completed=min(trainer.progress.env_steps, self.total_steps))

    def on_log(self, trainer: Any, row: Mapping[str, float]) -> None:
        self.row |= row
        steps = trainer.progress.env_steps
        if self.live is not None:
            self.live.update(self._view())
            return
        shown = "  ".join(f"{SHOWN[name]} {_number(row[name])}" for name in SHOWN if name in row)
        self.console.print(
            f"{steps:>12,} / {self.total_steps:,}  {shown}  {self._left(steps)} left",
            soft_wrap=True,
            highlight=False,
        )

    def on_evaluation(self, trainer: Any, result: EvaluationResult) -> None:
        self.row["evaluation"] = result.mean
        if self.live is not None:
            self.live.update(self._view())
            return
        self.console.print(
            f"{trainer.progress.env_steps:>12,}   evaluation  {spread(result)}",
            soft_wrap=True,
            highlight=False,
        )

    def on_end(self, trainer: Any) -> None:
        if self.live is not None:
            self.live.stop()

    def _left(self, steps: int) -> str:
        done = steps - self.first_step
        if not done:
            return "unknown time"
        seconds = (time.perf_counter() - self.started) / done * max(0, self.total_steps - steps)
        return duration(seconds)

    def _view(self) -> Group:
        table = Table.grid(padding=(0, 3))
        present = [(name, title) for name, title in SHOWN.items() if name in self.row]
        for _ in present:
            table.add_column(justify="right")
        table.add_row(*(f"[dim]{title}[/dim]" for _, title in present))
        table.add_row(*(f"[bold]{_number(self.row[name])}[/bold]" for name, _ in present))
        return Group(self.bar, table)


def summary(console: Console, run: RunDirectory, outcome: Outcome) -> None:
    """The table at the end of a run."""
    rows = {
        "steps": f"{outcome.env_steps:,} in {duration(outcome.seconds)}"
        + ("" if outcome.finished else "  (stopped before the end)"),
        "evaluation": spread(outcome.evaluation) if outcome.evaluation else None,
        "best": None if outcome.best is None else f"{outcome.best:.2f}",
        "run": str(run.path),
        "next": f"composer eval {run.path}" if outcome.finished else f"composer resume {run.path}",
    }
    console.print()
    for name, value in rows.items():
        if value is not None:
            console.print(f"[dim]{name:<12}[/dim]{value}", soft_wrap=True, highlight=False)


def spread(result: EvaluationResult) -> str:
    """Mean and spread of an evaluation's returns."""
    metrics = result.metrics()
    return (
        f"return {metrics['return']:.2f} ± {metrics['return_std']:.2f} "
        f"({metrics['return_min']:.2f} … {metrics['return_max']:.2f}) over "
        f"{len(result.returns)} episodes"
        + (f", {result.cut} of them cut after {max(result.lengths):,} steps" if result.cut else "")
    )


def duration(seconds: float) -> str:
    """`3 s`, `2 min 5 s`, `1 h 4 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
