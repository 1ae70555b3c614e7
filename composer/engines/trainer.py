"""The Trainer: takes an experiment through its steps, evaluations and checkpoints."""

import functools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from composer.engines.base import Outcome
from composer.engines.policy import build_module, evaluate_experiment
from composer.errors import ConfigError, EnvironmentFailure, ModuleError, TrainingError, shown
from composer.experiment import Experiment
from composer.files import atomic_directory
from composer.module.rl_module import RLModule
from composer.optimisers._schedule import Elapsed
from composer.optimisers.base import require_parts
from composer.seeds import derive_seed
from composer.training.base import Iteration, make_driver
from composer.training.callbacks import Callback
from composer.training.checkpoint import Progress, load_checkpoint, write_checkpoint
from composer.training.evaluation import EvaluationResult, EvaluationStopped
from composer.training.metrics import MetricsSink
from composer.training.run_directory import RunDirectory
from composer.training.start import Start


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
class Clock:
    """Since training began or went on in this process."""

    start: float = field(default_factory=time.perf_counter)
    steps: int = 0
    training: float = 0.0
    """Seconds of gathering and learning; the rest went into evaluating, logging and saving."""

    @property
    def seconds(self) -> float:
        """Seconds of all."""
        return time.perf_counter() - self.start


def _never() -> bool:
    return False


def _require_types(experiment: object, callbacks: object) -> None:
    if not isinstance(experiment, Experiment):
        raise ConfigError(
            f"the experiment is {shown(experiment)}; it must be a composer.Experiment, "
            'for instance Experiment.load(["env=cartpole"])'
        )
    if not isinstance(callbacks, Sequence) or not all(isinstance(c, Callback) for c in callbacks):
        raise ConfigError(f"callbacks are {shown(callbacks)}; they must be a list of Callback")


class Trainer:
    """Trains an experiment, an iteration at a time.

    Args:
        experiment: What to train.
        callbacks: Hooks of one's own.
        run: Where metrics and checkpoints are written; by default nowhere.
        init_from: Another run, checkpoint or saved module whose weights training begins with, and
            behind a colon the parts that take them: `"runs/a:main,policy"`; see `Start.read`.
        freeze: Parts that are not trained, `"main"` or a list; a run remembers them.

    Raises:
        ConfigError: If the experiment or a callback is of another type.
        CheckpointError: If there are no weights to begin with.
        ModuleError: If they do not fit, with what differs; or if the optimiser has settings of
            parts that are not trained.
    """

    def __init__(
        self,
        experiment: Experiment,
        callbacks: Sequence[Callback] = (),
        run: RunDirectory | None = None,
        *,
        init_from: str | Path | None = None,
        freeze: str | Sequence[str] = (),
    ) -> None:
        _require_types(experiment, callbacks)
        start = Start.read(init_from, freeze)
        config = experiment.config
        self.experiment = experiment
        self.config = config
        self.callbacks = tuple(callbacks)
        self.run = run
        self.start = start if run is None else start.kept_in(run)
        self.module = self._built()
        self.envs = experiment.make_envs()
        self.driver = make_driver(
            config.algorithm, self.module, self.envs, config.seed, config.env.training_reward
        )
        self.progress = Progress()
        self.clock = Clock()
        self.sink = MetricsSink(None)
        self.should_stop = _never
        self.amid_update = False
        if run is not None:
            self._open_sink(0)
        self.driver.restart(self._environment_seed())

    def _built(self) -> RLModule:
        """The module as training begins; weights of another are not loaded again to go on."""
        module = build_module(self.experiment)
        if self.run is None or self.run.latest() is None:
            self.start.require_fit(module)
            self.start.load(module)
        if self.start.freeze:
            module.freeze(self.start.freeze)
        require_parts(self.config.algorithm.optimiser, module)
        return module

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
            ModuleError: If a hand-written module raised.
        """
        before, start = self.progress.env_steps, time.perf_counter()
        elapsed = Elapsed(before, self.config.total_steps)
        with self.experiment.telling("was trained"):
            iteration = self.driver.iterate(elapsed, self._before_update)
        self.clock.training += time.perf_counter() - start
        self._count(iteration)
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

    def _before_update(self) -> None:
        if self.should_stop():  # the update may take long, and not be waited for
            self._checkpoint()
        self.amid_update = True

    def _count(self, iteration: Iteration) -> None:
        before, every = self.progress.env_steps, self.config.evaluation.every
        self.progress.env_steps += iteration.env_steps
        self.progress.updates += 1
        self.progress.episodes += len(iteration.episodes)
        self.clock.steps += iteration.env_steps
        self.progress.evaluation_due = self.done or self._due(every, before)
        self.amid_update = False

    def _after_iteration(self, before: int) -> EvaluationResult | None:
        """Whatever is due once the steps have moved from `before` to now."""
        result = None
        if self._due(self.config.logging.every, before) or not self.config.logging.every:
            self.log()
        if self.progress.evaluation_due and not self.done:
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
        row = self.sink.flush(
            self.progress.env_steps,
            {
                "updates": self.progress.updates,
                "episodes": self.progress.episodes,
                "time/seconds": self.progress.seconds + self.clock.seconds,
                "time/steps_per_second": self.clock.steps / (self.clock.training or math.inf),
            },
        )
        for callback in self.callbacks:
            callback.on_log(self, row)
        return row

    @functools.cached_property
    def _evaluation_envs(self) -> Any:
        return self.experiment.make_evaluation_envs()

    def evaluate(self) -> EvaluationResult:
        """Evaluates the policy as it is; the best one so far is kept as a checkpoint."""
        result = evaluate_experiment(
            self.experiment, self.module, self._evaluation_envs, self.should_stop
        )
        self.progress.evaluation_due = False
        metrics = {f"evaluation/{name}": value for name, value in result.metrics().items()}
        self.sink.write(self.progress.env_steps, metrics)
        for callback in self.callbacks:
            callback.on_evaluation(self, result)
        if self.progress.best is None or result.mean > self.progress.best:
            self.progress.best = result.mean
            if self.run is not None:
                self.run.mark_best(self._checkpoint(), result.mean)
        return result

    def train(self, should_stop: Callable[[], bool] = _never) -> Outcome:
        """Takes steps until all are taken, then evaluates and saves.

        Args:
            should_stop: Asked between steps, and at every step of an evaluation; True saves and
                returns. The evaluation is begun again when training goes on.
        """
        self.should_stop = should_stop
        for callback in self.callbacks:
            callback.on_start(self)
        result = None
        try:
            with suppress(EvaluationStopped):
                result = self._until_done()
            self._checkpoint()
        except (EnvironmentFailure, ModuleError, KeyboardInterrupt):
            if not self.amid_update:
                self._checkpoint()
            raise
        finally:
            self.should_stop = _never
            for callback in self.callbacks:
                callback.on_end(self)
        return Outcome(
            env_steps=self.progress.env_steps,
            seconds=self.progress.seconds + self.clock.seconds,
            evaluation=result,
            best=self.progress.best,
            finished=self.done and not self.progress.evaluation_due,
        )

    def _until_done(self) -> EvaluationResult | None:
        """All that is left to do, and the last evaluation; or as much as there is time for."""
        if self.progress.evaluation_due and not self.done:
            self.evaluate()
        while not self.done:
            if self.should_stop():
                return None
            self.step()
        if not self.progress.evaluation_due:
            return None
        if self.sink.pending:  # of a run that was stopped, the checkpoint keeps it
            self.log()
        self._checkpoint()  # an evaluation may be long, and killed
        return self.evaluate()

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
        write_checkpoint(
            directory,
            experiment=self.experiment.to_data(),
            fingerprint=self.experiment.model.fingerprint,
            module=self.module,
            driver=self.driver,
            progress=replace(self.progress, seconds=self.progress.seconds + self.clock.seconds),
            metrics=self.sink.get_state(),
            frozen=self.start.freeze,
        )

    def restore(self, path: str | Path, component: str | Sequence[str] | None = None) -> None:
        """Goes on from a checkpoint; environments begin new episodes.

        The run's later checkpoints are removed when its next one is written.

        Args:
            path: A checkpoint; for a component also what `RLModule.save_to_path` wrote.
            component: Load the weights of these parts and nothing else, and go on as before. The
                optimiser stays as it is: its moments for these parts are those of the weights
                before, and follow the new ones as they do after any change of the gradient.

        Raises:
            CheckpointError: If it is damaged, of another model, or of another kind of optimiser; of
                a component, if it is damaged.
            ModuleError: If a component does not fit, with what differs.
        """
        if component is not None:
            self.module.restore_from_path(path, component)
            return
        self.progress, gathered = load_checkpoint(
            Path(path),
            fingerprint=self.experiment.model.fingerprint,
            module=self.module,
            driver=self.driver,
            optimiser=self.config.algorithm.optimiser.type,
            frozen=self.start.freeze,
        )
        self.clock = Clock()
        if self.run is not None:
            self.run.go_on_from(self.progress.env_steps)
            self.progress.best = self.run.best_return()
            self.sink.close()
            self._open_sink(self.progress.env_steps)
        self.sink.set_state(gathered)
        self.driver.restart(self._environment_seed())

    def close(self) -> None:
        """Closes environments and loggers."""
        self.sink.close()
        self.envs.close()
        if "_evaluation_envs" in self.__dict__:
            self._evaluation_envs.close()
