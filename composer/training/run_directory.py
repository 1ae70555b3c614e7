"""A run's directory: its experiment, its checkpoints, and which of them is the best."""

import errno
import fcntl
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from composer.errors import CheckpointError, Problem, RunDirectoryError
from composer.files import (
    atomic_directory,
    naming_full_disk,
    read_json,
    remove_leftovers,
    write_json,
)

EXPERIMENT = "experiment.json"
START = "start.json"
BLUEPRINT = "blueprint.json"
CHECKPOINTS = "checkpoints"
LOCK = "lock"


class RunDirectory:
    """What `composer train` writes and `eval` and `resume` read.

    experiment.json    every setting
    start.json         whose weights it began with, and which parts are frozen, if any
    blueprint.json     the model, where it is composed
    metrics.jsonl      one row a line
    tensorboard/       the same, for TensorBoard
    checkpoints/       step_<environment steps>/ and best.json, which names one of them
    lock               held by the process that trains
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        self._pointer = self.checkpoints / "best.json"
        self._begun_at = -1
        """Steps of the checkpoint that training goes on from."""
        self._abandoned: list[Path] = []
        """Checkpoints of more steps than that."""

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
            RunDirectoryError: If there is none; names runs that lie near.
        """
        if not is_run(path):
            raise RunDirectoryError(_no_run(path))
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training in this directory; the lock ends with the process.

        What a killed process left here is cleared away first.

        Raises:
            RunDirectoryError: If another process has it; names the process.
        """
        try:
            lock = (self.path / LOCK).open("ab+", buffering=0)
        except OSError as error:
            raise RunDirectoryError(f"{self.path} cannot be written: {error.strerror}") from error
        with lock:
            _take(lock, self.path)
            for directory in (self.path, self.checkpoints):
                remove_leftovers(directory)
            yield

    @contextmanager
    def removed_if_unused(self) -> Iterator[None]:
        """Takes the directory away again where what is done in it fails before it writes anything.

        Of a new run only: an older one has files of worth.
        """
        try:
            yield
        except Exception:  # a run that was interrupted can be resumed
            with suppress(OSError):  # what is not empty stays
                if {path.name for path in self.path.iterdir()} <= _BEGINNINGS:
                    self.checkpoints.rmdir()
                    shutil.rmtree(self.path)
            raise

    def experiment_data(self) -> dict[str, Any]:
        """What `experiment.json` holds."""
        data = read_json(self.path / EXPERIMENT)
        if not isinstance(data, dict):
            raise CheckpointError(f"{self.path / EXPERIMENT} was edited: it is not a mapping")
        return data

    def describe(self, experiment: dict[str, Any], blueprint: dict[str, Any] | None) -> None:
        """Writes what is trained from now on; a hand-written model has no blueprint."""
        write_json(self.path / EXPERIMENT, experiment)
        if blueprint is not None:
            write_json(self.path / BLUEPRINT, blueprint)

    def saved(self) -> list[Path]:
        """The checkpoints, by their steps."""
        return sorted(self.checkpoints.glob("step_*"))

    def latest(self) -> Path | None:
        """The checkpoint of the most steps."""
        found = self.saved()
        return found[-1] if found else None

    def after(self, checkpoint: Path) -> list[Path]:
        """The checkpoints of more steps than another."""
        return [path for path in self.saved() if path.name > checkpoint.name]

    def best(self) -> Path | None:
        """The checkpoint of the best evaluation.

        Raises:
            CheckpointError: If `best.json` names no checkpoint of this run.
        """
        best = self._best()
        return best[0] if best else None

    def best_return(self) -> float | None:
        """The mean return of the best evaluation."""
        best = self._best()
        return best[1] if best else None

    def _best(self) -> tuple[Path, float] | None:
        if not self._pointer.exists():
            return None
        pointed = None
        with suppress(CheckpointError):  # told below
            pointed = read_json(self._pointer)
        match pointed:
            case {"checkpoint": str(name), "return": int() | float() as mean} if (
                re.fullmatch(r"step_\d{12,}", name)
                and (self.checkpoints / name).is_dir()
                and math.isfinite(mean)
            ):
                checkpoint = self.checkpoints / name
                return None if checkpoint in self._abandoned else (checkpoint, float(mean))
        raise CheckpointError(
            Problem(
                f"{self._pointer} was edited: it names no checkpoint of this run, or no return; "
                "without it the latest checkpoint stands for the best",
                fix=f"rm {self._pointer}",
            )
        )

    def go_on_from(self, env_steps: int) -> None:
        """Training goes on from these steps: checkpoints of more of them are of another future.

        They are the run's latest and best no more from the first new checkpoint on, which removes
        them.
        """
        self._begun_at = env_steps
        self._abandoned = self.after(self._of(env_steps))

    def _of(self, env_steps: int) -> Path:
        return self.checkpoints / f"step_{env_steps:012d}"

    def save(self, env_steps: int, write: Callable[[Path], None], keep: int) -> Path:
        """Writes a checkpoint, then removes all but the newest `keep` and the best."""
        path, best = self._of(env_steps), self.best()
        if env_steps > self._begun_at and self._abandoned and best is None:
            self._pointer.unlink(missing_ok=True)  # before what it names is replaced
        with atomic_directory(path) as directory:
            write(directory)
        if env_steps > self._begun_at:
            for abandoned in set(self._abandoned) - {path}:
                shutil.rmtree(abandoned)
            self._abandoned = []
        ours = [saved for saved in self.saved() if saved not in self._abandoned]
        for old in ours[:-keep]:
            if old != best:
                shutil.rmtree(old)
        return path

    def mark_best(self, checkpoint: Path, mean_return: float) -> None:
        """Says that a checkpoint has the best evaluation so far."""
        write_json(self._pointer, {"checkpoint": checkpoint.name, "return": mean_return})

    def checkpoint(self, which: str = "best") -> Path:
        """The best or the latest checkpoint.

        Raises:
            CheckpointError: If the run has none yet.
        """
        path = (self.best() if which == "best" else None) or self.latest()
        if path is None:
            raise CheckpointError(f"{self.path} has no checkpoint yet")
        return path


_BEGINNINGS = {EXPERIMENT, START, BLUEPRINT, LOCK, CHECKPOINTS}
"""What a run has before it has trained."""


def is_run(path: Path) -> bool:
    """Whether the directory is that of a run."""
    return (path / EXPERIMENT).is_file() and (path / CHECKPOINTS).is_dir()


def _take(lock: BinaryIO, run: Path) -> None:
    """Locks the file and writes into it who has it."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which a forked worker does not inherit
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise RunDirectoryError(
                f"{run} is on a file system that cannot lock files ({error.strerror})"
            ) from error
        lock.seek(0)
        raise RunDirectoryError(
            f"{run} is in use: process {lock.read().decode()} trains there"
        ) from None
    with naming_full_disk(run / LOCK):
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())


def _no_run(path: Path) -> str:
    if path.is_file():
        return f"{path} is a file, not the directory of a run"
    is_there = path.is_dir()
    inside = (path if is_there else path.parent).glob(f"*/{EXPERIMENT}")
    newest = max(inside, key=lambda file: file.stat().st_mtime, default=None)
    what = "is not a run directory" if is_there else "does not exist"
    where = "in" if is_there else "beside"
    hint = f"; the newest run {where} it is {newest.parent}" if newest else ""
    if not is_there:
        return f"{path} {what}{hint}"
    lacks = [EXPERIMENT] * (not (path / EXPERIMENT).is_file())
    lacks += [f"{CHECKPOINTS}/"] * (not (path / CHECKPOINTS).is_dir())
    return f"{path} {what}: it has no {' and no '.join(lacks)}{hint}"
