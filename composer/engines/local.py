"""`local`: training in this process. The Trainer, and the engine that runs one to its end."""

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch

from composer.config import Auto
from composer.engines.base import EngineConfig, Outcome
from composer.errors import CheckpointError, EnvironmentFailure, TrainingError
from composer.executors import make_executor
from composer.experiment import Experiment
from composer.files import (
    atomic_directory,
    read_json,
    read_tensors,
    verify_directory,
    write_json,
    write_tensors,
)
from composer.seeds import derive_seed
from composer.training.base import make_driver
from composer.training.callbacks import Callback
from composer.training.evaluation import EvaluationResult, evaluate
from composer.training.metrics import MetricsSink
from composer.training.run_directory import RunDirectory

TRAINER_FORMAT = 1
SMALL_MODEL = 1_000_000
"""Parameters below which one torch thread is the fastest."""


@dataclass(frozen=True)
class TrainResult:
    """What one `Trainer.step` did."""

    env_steps: int
    """Since the beginning of training."""
    metrics: dict[str, float]
    """Of this iteration; `episode_return` only where an episode ended."""
    evaluation: EvaluationResult | None = None
    """If one was due."""
    done: bool = False
    """All of `total_steps` are taken."""


@dataclass
class Progress:
    """What the trainer counts."""

    env_steps: int = 0
    updates: int = 0
    episodes: int = 0
    seconds: float = 0.0
    best: float | None = None

    def to_data(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass
class Clock:
    """Seconds and steps since training began or went on in this process."""

    start: float = field(default_factory=time.perf_counter)
    steps: int = 0


class Trainer:
    """Trains an experiment, an iteration at a time.

    Args:
        experiment: What to train.
        callbacks: Hooks of one's own.
        run: Where metrics and checkpoints are written; by default nowhere.
    """

    def __init__(
        self,
        experiment: Experiment,
        callbacks: Sequence[Callback] = (),
        run: RunDirectory | None = None,
    ) -> None:
        config = experiment.config
        self.experiment = experiment
        self.config = config
        self.callbacks = tuple(callbacks)
        self.run = run
        self.module = experiment.blueprint.build(device=config.device, seed=config.seed)
        _set_threads(config.threads, sum(p.numel() for p in self.module.parameters()))
        self.envs = config.env.make()
        self.driver = make_driver(config.algorithm, self.module, self.envs, config.seed)
        self.progress = Progress()
        self.clock = Clock()
        self.sink = MetricsSink(None)
        if run is not None:
            self._open_sink(0)
        self.driver.restart(self._environment_seed())

    def _open_sink(self, resume_step: int) -> None:
        """Whatever the run has logged after `resume_step` is of an attempt that was lost."""
        assert self.run is not None
        path = self.run.path / "metrics.jsonl"
        begun = resume_step if path.exists() else None
        loggers = [logger.build(self.run.path, begun) for logger in self.config.logger.values()]
        self.sink = MetricsSink(path, loggers, resume_step)

    def _environment_seed(self) -> int:
        """Another one after every restart, the same for the same step."""
        stream = f"environments/{self.progress.env_steps}"
        return derive_seed(self.config.seed, stream) % 2**31

    @property
    def done(self) -> bool:
        """Whether all steps are taken."""
        return self.progress.env_steps >= self.config.total_steps

    def step(self) -> TrainResult:
        """Gathers data once, learns from it; evaluates, logs and saves where that is due.

        Raises:
            TrainingError: If the loss is not finite; the last checkpoint is as it was.
            EnvironmentFailure: If an environment raised.
        """
        before = self.progress.env_steps
        iteration = self.driver.iterate(min(1.0, before / self.config.total_steps))
        self.progress.env_steps += iteration.env_steps
        self.progress.updates += 1
        self.progress.episodes += len(iteration.episodes)
        self.clock.steps += iteration.env_steps
        self._require_finite(iteration.metrics)
        metrics = {f"train/{name}": value for name, value in iteration.metrics.items()}
        self.sink.add(metrics)
        for episode in iteration.episodes:
            own: dict[str, float] = {}
            for callback in self.callbacks:
                own |= callback.on_episode_end(self, episode) or {}
            self.sink.add(
                {"episode_return": episode.return_, "episode_length": episode.length, **own}
            )
        if iteration.episodes:
            returns = [episode.return_ for episode in iteration.episodes]
            metrics["episode_return"] = sum(returns) / len(returns)
        for callback in self.callbacks:
            callback.on_update(self, metrics)
        return TrainResult(
            self.progress.env_steps, metrics, self._after_iteration(before), self.done
        )

    def _after_iteration(self, before: int) -> EvaluationResult | None:
        """Whatever is due once the steps have moved from `before` to now."""
        result = None
        if self._due(self.config.logging.every, before) or not self.config.logging.every:
            self.log()
        if self._due(self.config.evaluation.every, before) and not self.done:
            result = self.evaluate()
        if self._due(self.config.checkpoint.every, before) and not self.done:
            self._checkpoint()
        return result

    def _due(self, every: int, before: int) -> bool:
        return every > 0 and before // every < self.progress.env_steps // every

    def _require_finite(self, metrics: dict[str, float]) -> None:
        wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
        if wrong:
            self._stop_over(", ".join(wrong))

    def _stop_over(self, what: str) -> NoReturn:
        kept = self.run.latest() if self.run else None
        raise TrainingError(
            f"not finite in update {self.progress.updates} "
            f"({self.progress.env_steps:,} environment steps): {what}"
            + (f"; the last good checkpoint is {kept}" if kept else "")
            + "\na smaller algorithm.lr or algorithm.max_grad_norm may help"
        )

    def log(self) -> dict[str, float]:
        """Writes a row of metrics."""
        seconds = time.perf_counter() - self.clock.start
        row = self.sink.flush(
            self.progress.env_steps,
            {
                "updates": self.progress.updates,
                "episodes": self.progress.episodes,
                "time/seconds": self.progress.seconds + seconds,
                "time/steps_per_second": self.clock.steps / seconds,
            },
        )
        for callback in self.callbacks:
            callback.on_log(self, row)
        return row

    @functools.cached_property
    def _evaluation_envs(self) -> Any:
        settings = self.config.evaluation
        return self.config.env.make(min(settings.num_envs, settings.episodes))

    def evaluate(self) -> EvaluationResult:
        """Evaluates the policy as it is; the best one so far is kept as a checkpoint."""
        result = evaluate_experiment(self.experiment, self.module, self._evaluation_envs)
        metrics = {f"evaluation/{name}": value for name, value in result.metrics().items()}
        self.sink.write(self.progress.env_steps, metrics)
        for callback in self.callbacks:
            callback.on_evaluation(self, result)
        if self.progress.best is None or result.mean > self.progress.best:
            self.progress.best = result.mean
            if self.run is not None:
                self.run.mark_best(self._checkpoint(), result.mean)
        return result

    def train(self, should_stop: Callable[[], bool] = lambda: False) -> Outcome:
        """Takes steps until all are taken, then evaluates and saves.

        Args:
            should_stop: Asked between steps; True saves and returns.
        """
        for callback in self.callbacks:
            callback.on_start(self)
        try:
            result = None
            while not self.done and not should_stop():
                self.step()
            if self.done:
                if self.sink.pending:  # of a run that was stopped, the checkpoint keeps it
                    self.log()
                self._checkpoint()  # an evaluation may be long, and stopped
                result = self.evaluate()
            self._checkpoint()
        except EnvironmentFailure:
            self._checkpoint()
            raise
        finally:
            for callback in self.callbacks:
                callback.on_end(self)
        return Outcome(
            env_steps=self.progress.env_steps,
            seconds=self.progress.seconds + time.perf_counter() - self.clock.start,
            evaluation=result,
            best=self.progress.best,
            finished=self.done,
        )

    def _checkpoint(self) -> Path:
        if self.run is None:
            return Path()
        if not all(bool(tensor.isfinite().all()) for tensor in self.module.state_dict().values()):
            self._stop_over("the weights")
        return self.run.save(self.progress.env_steps, self._write, self.config.checkpoint.keep)

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint: the module, the optimiser, normalisers, random streams, counts."""
        with atomic_directory(Path(path)) as directory:
            self._write(directory)

    def _write(self, directory: Path) -> None:
        (directory / "module").mkdir()
        self.module.write(directory / "module")
        write_json(directory / "experiment.json", self.experiment.to_data())
        write_tensors(directory / "trainer.safetensors", self.driver.get_tensors())
        progress = self.progress.to_data()
        progress["seconds"] += time.perf_counter() - self.clock.start
        write_json(
            directory / "trainer.json",
            {
                "format": TRAINER_FORMAT,
                "fingerprint": self.experiment.blueprint.fingerprint,
                "progress": progress,
                "driver": self.driver.get_numbers(),
                "metrics": self.sink.get_state(),
            },
        )

    def restore(self, path: str | Path) -> None:
        """Goes on from a checkpoint; environments begin new episodes.

        Raises:
            CheckpointError: If it is damaged, or of another model.
        """
        directory = Path(path)
        verify_directory(directory)
        data = read_json(directory / "trainer.json")
        if data.get("format", 0) > TRAINER_FORMAT:
            raise CheckpointError(f"{directory} was written by a newer version of Composer")
        if data["fingerprint"] != self.experiment.blueprint.fingerprint:
            raise CheckpointError(
                f"{directory} holds another model than this experiment composes (fingerprint "
                f"{data['fingerprint']}, not {self.experiment.blueprint.fingerprint})"
            )
        self.module.set_state(read_tensors(directory / "module" / "weights.safetensors"))
        self.driver.set_state(read_tensors(directory / "trainer.safetensors"), data["driver"])
        self.progress = Progress(**data["progress"])
        self.clock = Clock()
        if self.run is not None:
            self.sink.close()
            self._open_sink(self.progress.env_steps)
        self.sink.set_state(data["metrics"])
        self.driver.restart(self._environment_seed())

    def close(self) -> None:
        """Closes environments and loggers."""
        self.sink.close()
        self.envs.close()
        if "_evaluation_envs" in self.__dict__:
            self._evaluation_envs.close()


def evaluate_experiment(experiment: Experiment, module: Any, envs: Any) -> EvaluationResult:
    """Evaluates a module by the experiment's `evaluation` settings."""
    settings = experiment.config.evaluation
    derived = derive_seed(experiment.config.seed, "evaluation") % 2**31
    return evaluate(
        make_executor(module),
        envs,
        settings.episodes,
        seed=derived if settings.seed is None else settings.seed,
        deterministic=settings.deterministic,
        max_length=settings.max_length,
        initial_state=module.get_initial_state(envs.num_envs),
    )


def _set_threads(threads: int | Auto, parameters: int) -> None:
    if not isinstance(threads, Auto):
        torch.set_num_threads(threads)
    elif parameters < SMALL_MODEL:
        torch.set_num_threads(1)


class LocalEngineConfig(EngineConfig):
    """This process."""

    type: Literal["local"] = "local"

    def train(
        self,
        experiment: Experiment,
        run: RunDirectory,
        callbacks: Sequence[Callback] = (),
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        write_json(run.path / "blueprint.json", experiment.blueprint.to_data())
        trainer = Trainer(experiment, callbacks, run)
        try:
            if (latest := run.latest()) is not None:
                trainer.restore(latest)
            return trainer.train(should_stop)
        finally:
            trainer.close()
