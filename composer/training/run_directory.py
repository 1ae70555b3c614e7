"""A run's directory: its experiment, its checkpoints, and which of them is the best."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from composer.errors import CheckpointError
from composer.files import atomic_directory, read_json, remove_leftovers, write_json

EXPERIMENT = "experiment.json"


class RunDirectory:
    """What `composer train` writes and `eval` and `resume` read.

    experiment.json    every setting
    blueprint.json     the model
    metrics.jsonl      one row a line
    tensorboard/       the same, for TensorBoard
    checkpoints/       step_<environment steps>/ and best.json, which names one of them
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    @classmethod
    def create(cls, path: Path, experiment: dict[str, Any]) -> Self:
        """Begins a run in a directory that exists and is empty."""
        run = cls(path)
        run.checkpoints.mkdir()
        write_json(path / EXPERIMENT, experiment)
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """An existing run.

        Raises:
            CheckpointError: If there is none; names runs that lie near.
        """
        if not (path / EXPERIMENT).is_file() or not (path / "checkpoints").is_dir():
            where = path if path.is_dir() else path.parent
            inside = sorted(where.glob(f"*/{EXPERIMENT}"), key=lambda p: p.stat().st_mtime)
            what = "is not a run directory" if path.is_dir() else "does not exist"
            hint = f"; the newest run beside it is {inside[-1].parent}" if inside else ""
            raise CheckpointError(f"{path} {what}: it has no {EXPERIMENT} and checkpoints/{hint}")
        run = cls(path)
        remove_leftovers(run.checkpoints)
        return run

    def experiment_data(self) -> dict[str, Any]:
        """What `experiment.json` holds."""
        data = read_json(self.path / EXPERIMENT)
        if not isinstance(data, dict):
            raise CheckpointError(f"{self.path / EXPERIMENT} was edited: it is not a mapping")
        return data

    def latest(self) -> Path | None:
        """The checkpoint of the most steps."""
        found = sorted(self.checkpoints.glob("step_*"))
        return found[-1] if found else None

    def best(self) -> Path | None:
        """The checkpoint of the best evaluation."""
        pointer = self._pointer()
        return None if pointer is None else self.checkpoints / pointer["checkpoint"]

    def best_return(self) -> float | None:
        """The mean return of the best evaluation."""
        pointer = self._pointer()
        return None if pointer is None else float(pointer["return"])

    def _pointer(self) -> dict[str, Any] | None:
        path = self.checkpoints / "best.json"
        return read_json(path) if path.exists() else None

    def save(self, env_steps: int, write: Callable[[Path], None], keep: int) -> Path:
        """Writes a checkpoint, then removes all but the newest `keep` and the best."""
        path = self.checkpoints / f"step_{env_steps:012d}"
        with atomic_directory(path) as directory:
            write(directory)
        best = self.best()
        for old in sorted(self.checkpoints.glob("step_*"))[:-keep]:
            if old != best:
                shutil.rmtree(old)
        return path

    def mark_best(self, checkpoint: Path, mean_return: float) -> None:
        """Says that a checkpoint has the best evaluation so far."""
        data = {"checkpoint": checkpoint.name, "return": mean_return}
        write_json(self.checkpoints / "best.json", data)

    def checkpoint(self, which: str = "best") -> Path:
        """The best or the latest checkpoint.

        Raises:
            CheckpointError: If the run has none yet.
        """
        path = (self.best() if which == "best" else None) or self.latest()
        if path is None:
            raise CheckpointError(f"{self.path} has no checkpoint yet")
        return path
