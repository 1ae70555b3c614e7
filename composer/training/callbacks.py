"""Callbacks: what a person hooks into training."""

from collections.abc import Mapping
from typing import Any

from composer.training.collector import Episode
from composer.training.evaluation import EvaluationResult


class Callback:
    """Override what you need. `trainer` is the running `composer.Trainer`.

    A mapping of numbers that `on_episode_end` returns joins the metrics: each is averaged over the
    episodes between two rows of the log.
    """

    def on_start(self, trainer: Any) -> None:
        """Training begins or goes on."""

    def on_episode_end(self, trainer: Any, episode: Episode) -> Mapping[str, float] | None:
        """An episode of the collecting environments ended; `episode.info` is its last `info`."""

    def on_update(self, trainer: Any, metrics: Mapping[str, float]) -> None:
        """The algorithm has updated the module."""

    def on_log(self, trainer: Any, row: Mapping[str, float]) -> None:
        """A row of metrics was written."""

    def on_evaluation(self, trainer: Any, result: EvaluationResult) -> None:
        """The policy was evaluated."""

    def on_end(self, trainer: Any) -> None:
        """Training has stopped, for whatever reason."""
