"""`tensorboard`: event files that `tensorboard --logdir` shows."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from composer.loggers.base import Logger, LoggerConfig


class TensorBoardLoggerConfig(LoggerConfig):
    """Event files in `tensorboard/` below the run's directory."""

    type: Literal["tensorboard"] = "tensorboard"

    def build(self, directory: Path, resume_step: int | None) -> "TensorBoardLogger":
        return TensorBoardLogger(directory=directory / "tensorboard", resume_step=resume_step)


class TensorBoardLogger(Logger):
    """Writes all values of a step as one event.

    TensorBoard's own writer: `torch.utils.tensorboard` makes an event of each value, which costs
    seven times as much. Either is slow to import, so a run that writes nothing never does.
    """

    def __init__(self, *, directory: Path, resume_step: int | None) -> None:
        self._directory = directory
        self._resume_step = resume_step
        self._writer: Any = None
        self._event: Any = None

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        from tensorboard.compat.proto import summary_pb2

        proto: Any = summary_pb2  # its classes are made at run time
        if self._writer is None:
            self._open()
        values = [proto.Summary.Value(tag=k, simple_value=float(v)) for k, v in metrics.items()]
        self._add(step, summary=proto.Summary(value=values))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        proto: Any = event_pb2
        self._event = proto.Event
        self._writer = EventFileWriter(str(self._directory), flush_secs=10)
        if self._resume_step is not None:
            # TensorBoard drops what has this step or a later one.
            start = proto.SessionLog(status=proto.SessionLog.START)
            self._add(self._resume_step + 1, session_log=start)

    def _add(self, step: int, **content: Any) -> None:
        self._writer.add_event(self._event(wall_time=time.time(), step=step, **content))
