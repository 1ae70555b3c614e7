"""The one sink of metrics: means between two rows, written to `metrics.jsonl` and the loggers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from composer.errors import TrainingError
from composer.loggers.base import Logger


class MetricsSink:
    """Gathers numbers by name and writes their means, a row at a time.

    Args:
        path: The JSON-lines file, or None to keep nothing.
        loggers: What else gets each row.
        resume_step: Rows of later steps are dropped before the first one is written: what wrote
            them was lost, and writes them again.
    """

    def __init__(
        self, path: Path | None, loggers: Sequence[Logger] = (), resume_step: int = 0
    ) -> None:
        self.path = path
        self.loggers = loggers
        self.resume_step: int | None = resume_step
        self.pending: dict[str, list[float]] = {}
        """Sum and count by name."""

    def add(self, metrics: Mapping[str, float]) -> None:
        """Takes numbers in; a row holds their mean."""
        for name, value in metrics.items():
            entry = self.pending.setdefault(name, [0.0, 0.0])
            entry[0] += value
            entry[1] += 1

    def flush(self, step: int, further: Mapping[str, float]) -> dict[str, float]:
        """Writes a row: the means since the last one, and `further` as they are."""
        row = {name: total / count for name, (total, count) in self.pending.items()} | dict(further)
        self.pending = {}
        self.write(step, row)
        return row

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """Writes a row as it is, beside what is gathered.

        Raises:
            TrainingError: If the disk is full.
        """
        try:
            if self.path is not None:
                self._append(self.path, step, row)
            for logger in self.loggers:
                logger.write(step, row)
        except OSError as error:
            raise TrainingError(
                f"the metrics of step {step:,} cannot be written: {error.strerror or error}; "
                "the checkpoints written so far are as they were"
            ) from error

    def _append(self, path: Path, step: int, row: Mapping[str, float]) -> None:
        if self.resume_step is not None:
            _forget_after(path, self.resume_step)
            self.resume_step = None
        with path.open("a") as file:
            file.write(json.dumps({"step": step, **row}) + "\n")

    def close(self) -> None:
        """Closes the loggers."""
        for logger in self.loggers:
            logger.close()

    def get_state(self) -> dict[str, Any]:
        """What is gathered and not yet written, as JSON data."""
        return {name: list(entry) for name, entry in self.pending.items()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Loads what `get_state` gave."""
        self.pending = {name: list(entry) for name, entry in state.items()}


def _forget_after(path: Path, step: int) -> None:
    """Keeps the rows up to a step."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # a process killed while it wrote leaves half a line
            break
        if row["step"] > step:
            break
        kept.append(line)
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(line + "\n" for line in kept))
    temporary.replace(path)
