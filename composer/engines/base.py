"""What every engine promises."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    """False where it was asked to stop before its last step."""


class EngineConfig(Family, family="engine", default="local"):
    """Where training runs."""

    @abstractmethod
    def train(
        self,
        experiment: Any,
        run: RunDirectory,
        callbacks: Sequence[Callback] = (),
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Trains an experiment to its end, from the run's latest checkpoint if it has one.

        Args:
            experiment: A `composer.Experiment`.
            run: Where everything is written.
            callbacks: See `composer.training.callbacks`.
            should_stop: Asked between iterations; True saves and returns.
        """
