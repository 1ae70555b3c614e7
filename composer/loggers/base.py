"""What every logger promises."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from composer.config import Family


class Logger(ABC):
    """Takes the metrics of a run."""

    @abstractmethod
    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes values by name.

        Args:
            step: Environment steps so far; never falls.
            metrics: Values by name, with a slash between group and metric: `train/return`.
        """

    @abstractmethod
    def close(self) -> None:
        """Puts everything on disk; called once, also after a failure."""


class LoggerConfig(Family, family="logger"):
    """A place for metrics."""

    @abstractmethod
    def build(self, directory: Path, resume_step: int | None) -> Logger:
        """The logger of a run.

        Args:
            directory: The run's own directory.
            resume_step: Environment steps at the checkpoint that the run goes on from: later
                values were written by the part that was lost, and are withdrawn. None for a new
                run.
        """
