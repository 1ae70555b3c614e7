"""`local`: training in this process."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from composer.engines.base import EngineConfig, Outcome
from composer.engines.trainer import Trainer
from composer.experiment import Experiment
from composer.training.callbacks import Callback
from composer.training.run_directory import RunDirectory


class LocalEngineConfig(EngineConfig):
    """This process."""

    type: Literal["local"] = "local"

    def train(
        self,
        experiment: Experiment,
        run: RunDirectory,
        callbacks: Sequence[Callback] = (),
        should_stop: Callable[[], bool] = lambda: False,
        checkpoint: Path | None = None,
    ) -> Outcome:
        with run.locked(), closing(Trainer(experiment, callbacks, run)) as trainer:
            begin = checkpoint or run.latest()
            if begin is not None:
                trainer.restore(begin)
            blueprint = None if experiment.is_hand_written else experiment.blueprint.to_data()
            run.describe(experiment.to_data(), blueprint)
            return trainer.train(should_stop)
