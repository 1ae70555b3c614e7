"""`tensorboard`: event files that `tensorboard --logdir` shows."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from composer.loggers.base import Logger, LoggerConfig


class TensorBoardLoggerConfig(LoggerConfig):
    """Event files in `tensorboard/` below the run's directory."""

    type: Literal["tensorboard"] = "tensorboard"

    packages: ClassVar[tuple[str, ...]] = ("tensorboard",)

    def build(self, directory: Path, resume_step: int | None) -> "TensorBoardLogger":
        return TensorBoardLogger(directory=directory / "tensorboard", resume_step=resume_step)


class TensorBoardLogger(Logger):
    """Writes all values of a step as one event, at once.

    TensorBoard's own record writer: `torch.utils.tensorboard` makes an event of each value, which
    costs seven times as much, and both write from a thread, where a full disk cannot be caught.
    Either is slow to import, so a run that writes nothing never does.
    """

    def __init__(self, *, directory: Path, resume_step: int | None) -> None:
        self._directory = directory
        self._resume_step = resume_step
        self._file: Any = None
        self._records: Any = None
        self._event: Any = None

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        from tensorboard.compat.proto import summary_pb2

        proto: Any = summary_pb2  # its classes are made at run time
        if self._records is None:
            self._open()
        values = [proto.Summary.Value(tag=k, simple_value=float(v)) for k, v in metrics.items()]
        self._add(step=step, summary=proto.Summary(value=values))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        proto: Any = event_pb2
        self._event = proto.Event
        self._directory.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self._file = (self._directory / name).open("xb", buffering=0)
        self._records = RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        if self._resume_step is not None:
            # TensorBoard drops what has this step or a later one.
            start = proto.SessionLog(status=proto.SessionLog.START)
            self._add(step=self._resume_step + 1, session_log=start)

    def _add(self, **content: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())
