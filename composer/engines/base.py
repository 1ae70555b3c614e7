"""What every engine promises."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composer.config import Family
from composer.training.callbacks import Callback
from composer.training.evaluation import EvaluationResult
from composer.training.run_directory import RunDirectory


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    env_steps: int
    seconds: float
    evaluation: EvaluationResult | None
    """The last evaluation."""
    best: float | None
    """The best evaluation's mean return."""
    finished: bool
    """False where it was asked to stop before its last step, or in its last evaluation."""


class EngineConfig(Family, family="engine", default="local"):
    """Where training runs."""

    @abstractmethod
    def train(
        self,
        experiment: Any,
        run: RunDirectory,
        callbacks: Sequence[Callback] = (),
        should_stop: Callable[[], bool] = lambda: False,
        checkpoint: Path | None = None,
    ) -> Outcome:
        """Trains an experiment to its end, from the run's latest checkpoint if it has one.

        What the run's `experiment.json` says is written once that checkpoint has been loaded.

        Args:
            experiment: A `composer.Experiment`.
            run: Where everything is written.
            callbacks: See `composer.training.callbacks`.
            should_stop: Asked between iterations and while the policy is evaluated; True saves and
                returns.
            checkpoint: Another one to go on from: what was trained after it is given up.

        Raises:
            RunDirectoryError: If another process trains there.
        """
