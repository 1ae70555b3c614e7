"""Experiment: a whole run, as the user said it."""

import functools
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from difflib import get_close_matches
from os.path import isfile  # no error where a name is too long
from pathlib import Path
from typing import Annotated, Any, Self

import gymnasium as gym
from pydantic import Field

from composer.algorithms.base import AlgorithmConfig
from composer.blueprint.blueprint import Blueprint
from composer.catalog.catalog import Catalog
from composer.catalog.rules import CatalogConfig
from composer.composition import compose
from composer.config import Auto, AutoOr, Config, Frozen, FrozenDict, Listed, Size, Steps
from composer.devices import device_problems
from composer.engines.base import EngineConfig
from composer.environments.base import EnvironmentConfig
from composer.errors import (
    ComposerError,
    ConfigError,
    ModuleError,
    Problem,
    line_to_type,
    nearest_first,
)
from composer.importing import ELSEWHERE
from composer.loading import Loaded, load
from composer.loading.files import existing
from composer.loggers.base import LoggerConfig
from composer.model_config import CustomModelConfig, ModelConfig
from composer.module.custom import CustomModel
from composer.training.evaluation import EvaluationConfig


class CheckpointConfig(Config):
    """When the trainer's state is written; also at the end, and when a run is interrupted."""

    every: Steps = 50_000
    """Environment steps between checkpoints; 0 for none but the last."""
    keep: Size = 2
    """Newest checkpoints to keep, beside the best."""


class LoggingConfig(Config):
    """When a row of metrics is written."""

    every: Steps = 2_000
    """Environment steps between rows; 0 for one after every update."""


class ExperimentConfig(Config):
    """Everything a run is made of."""

    env: EnvironmentConfig
    algorithm: AlgorithmConfig
    model: ModelConfig = ModelConfig(type="composed")
    catalog: CatalogConfig
    engine: EngineConfig
    logger: Frozen[LoggerConfig] = FrozenDict()
    """Loggers by name; several may write at once."""
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    logging: LoggingConfig = LoggingConfig()
    total_steps: Annotated[Steps, Field(gt=0)] = 100_000
    """Environment steps to train for."""
    seed: Annotated[int, Field(ge=0)] = 0
    device: str = "cpu"
    """As torch names it: `cpu`, `cuda`, `cuda:1`."""
    threads: AutoOr[Size] = Auto()
    """Torch's threads; `auto` is 1 for a model under a million parameters."""
    plugins: Listed[str] = ()
    """Modules to import before the rest is checked."""


class Experiment:
    """A configuration, where its values come from, and what follows from it.

    Args:
        config: The whole configuration.
        loaded: What the command line's words gave, for origins in errors.
    """

    def __init__(self, config: ExperimentConfig, loaded: Loaded | None = None) -> None:
        self.config = config
        self.loaded = loaded

    @classmethod
    def load(cls, words: Sequence[str] = (), config_dir: str | Path | None = None) -> Self:
        """An experiment from the command line's words.

        Args:
            words: `["env=cartpole", "algorithm.lr=1e-3"]`.
            config_dir: A directory of one's own, with groups as Composer's `conf/` has them.

        Raises:
            ConfigError: With every mistake, where it was made and what would be right.
        """
        return cls.from_loaded(load(words, config_dir), config_dir)

    @classmethod
    def from_loaded(cls, loaded: Loaded, config_dir: str | Path | None = None) -> Self:
        """An experiment from what `composer.loading.load` gave."""
        try:
            return cls(_validated(loaded.data, config_dir), loaded)
        except ComposerError as error:
            raise loaded.with_origins(error) from None

    @classmethod
    def from_data(cls, data: Mapping[str, Any], config_dir: str | Path | None = None) -> Self:
        """An experiment from its JSON data, as a run's `experiment.json` holds it."""
        return cls(_validated(data, config_dir))

    @property
    def name(self) -> str:
        """The experiment that was chosen, else `cartpole_ppo`: environment and algorithm."""
        choices = self.loaded.choices if self.loaded else {}
        env = choices.get("env", self.config.env.type)
        name = choices.get("experiment") or f"{env}_{self.config.algorithm.type}"
        return re.sub(r"[^\w.-]", "-", name)

    def to_data(self) -> dict[str, Any]:
        """The configuration as JSON data, every default filled in."""
        return self.config.to_data()

    @functools.cached_property
    def spaces(self) -> tuple[gym.Space, gym.Space]:
        """Observation and action space of a single environment."""
        return self._with_origins(self.config.env.spaces)

    def notes(self, taken: int = 0) -> tuple[Problem, ...]:
        """What the run is too short for, once it has taken so many environment steps; it trains
        all the same.
        """
        config = self.config
        notes = config.algorithm.notes(config.env.num_envs, config.total_steps, taken)
        told = ConfigError(*notes)
        return (self.loaded.with_origins(told) if self.loaded else told).problems

    def make_envs(self) -> gym.vector.VectorEnv:
        """Environments to train in."""
        return self._with_origins(self.config.env.make)

    def make_evaluation_envs(self) -> gym.vector.VectorEnv:
        """Environments to evaluate in: whole episodes, no more at once than are asked for."""
        settings = self.config.evaluation
        count = min(settings.num_envs, settings.episodes)
        return self._with_origins(lambda: self.config.env.for_evaluation().make(count))

    @property
    def model(self) -> Blueprint | CustomModel:
        """What builds the module: the blueprint, or what stands for it where one wrote it by hand.

        Raises:
            ComposerError: As `blueprint`; or if the class that `model.path` names cannot be used.
        """
        return self.custom_model if self.is_hand_written else self.blueprint

    @property
    def is_hand_written(self) -> bool:
        """Whether the model is a class of one's own, which has no blueprint."""
        return isinstance(self.config.model, CustomModelConfig)

    @functools.cached_property
    def custom_model(self) -> CustomModel:
        """The hand-written model, for the environment's spaces."""
        config = self.config.model
        assert isinstance(config, CustomModelConfig)
        parts = (*self.spaces, self.config.algorithm, Catalog(self.config.catalog))
        return self._with_origins(lambda: CustomModel(config, *parts))

    def require_model(self) -> None:
        """Makes and tries a hand-written module; a composed one is checked as its blueprint.

        Raises:
            ComposerError: If it cannot be made, or does not return what the algorithm learns from.
        """
        model = self.model
        if isinstance(model, CustomModel):
            trial = self._with_origins(lambda: model.trial)
            self._with_origins(lambda: self._require_sequences(trial.max_seq_len))

    @contextmanager
    def telling(self, when: str) -> Iterator[None]:
        """Tells what a hand-written module raises as it `when`; the errors of others pass.

        Raises:
            ModuleError: With the line of the module's file, and no traceback.
        """
        code = self.custom_model.own_code if self.is_hand_written else None
        try:
            with code.guarding(when) if code else nullcontext():
                yield
        except ModuleError as error:
            raise (self.loaded.with_origins(error) if self.loaded else error) from error.__cause__

    @functools.cached_property
    def blueprint(self) -> Blueprint:
        """The model, composed for the environment's spaces.

        Raises:
            ComposerError: If it cannot be composed, or lacks what the algorithm requires.
        """
        return self._with_origins(self._composed)

    def _composed(self) -> Blueprint:
        config = self.config
        catalog = Catalog(config.catalog)
        blueprint = compose(*self.spaces, config.model, config.algorithm, catalog)
        self._require_sequences(blueprint.max_seq_len)
        return blueprint

    def _require_sequences(self, max_seq_len: int | None) -> None:
        """Refuses hyperparameters that do not go with the sequences of a memory, or with none."""
        config = self.config
        if problems := config.algorithm.sequence_problems(config.env.num_envs, max_seq_len):
            raise ConfigError(*problems)

    def _with_origins(self, make: Any) -> Any:
        try:
            return make()
        except ComposerError as error:
            raise (self.loaded.with_origins(error) if self.loaded else error) from None


def load_with_plugins(words: Sequence[str] = (), config_dir: str | Path | None = None) -> Loaded:
    """What the words gave, not yet validated, with the plugins that it names imported."""
    loaded = load(words, config_dir)
    try:
        import_plugins(loaded.data.get("plugins"), config_dir)
    except ComposerError as error:
        raise loaded.with_origins(error) from None
    return loaded


def _validated(data: Mapping[str, Any], config_dir: str | Path | None) -> ExperimentConfig:
    import_plugins(data.get("plugins"), config_dir)
    config = ExperimentConfig.parse(data)
    problems = [
        *config.env.problems(),
        *config.algorithm.problems(config.env.num_envs),
        *device_problems(config.device),
    ]
    if problems:
        raise ConfigError(*problems)
    return config


def import_plugins(names: object, config_dir: str | Path | None) -> None:
    """Imports the modules that `plugins` names, the user's directory first on the path.

    Raises:
        ConfigError: If there is no such directory, or no such module.
    """
    home = str(existing(config_dir).parent if config_dir else Path.cwd())
    if home not in sys.path:
        sys.path.insert(0, home)
    if not isinstance(names, list | tuple):
        return  # the schema says what is wrong with it
    problems = []
    for index, name in enumerate(names):
        path = f"plugins[{index}]"
        if not (isinstance(name, str) and _MODULE.fullmatch(name)):
            rule = "a plugin is the dotted name of a module"
            problems.append(_misnamed(rule, names, index, str(name), [home], ""))
            continue
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            problems.append(_no_module(names, index, str(error.name), home, config_dir is None))
        except ComposerError:
            raise
        except Exception as error:  # a plugin may raise anything while it is imported
            message = f"the plugin raised {type(error).__name__} while it was imported: {error}"
            problems.append(Problem(message, path, name))
    if problems:
        raise ConfigError(*problems)


_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def _no_module(
    plugins: Sequence[Any], index: int, missing: str, home: str, is_here: bool
) -> Problem:
    """The problem of a plugin that is not there, or that imports what is not there."""
    name = plugins[index]
    if not f"{name}.".startswith(f"{missing}."):
        message = f"the plugin imports `{missing}`, and there is no such module"
        return Problem(message, f"plugins[{index}]", name)
    parent = missing.rpartition(".")[0]
    where = getattr(sys.modules.get(parent), "__path__", None)
    rule = f"there is no module `{missing}`; looked in {home} and what is installed"
    if is_here and not where:
        rule += "; with --config-dir DIR a module beside DIR is found"
    prefix = f"{parent}." if where else ""
    problem = _misnamed(rule, plugins, index, missing, where or [home], prefix)
    return problem if problem.fix else replace(problem, fix=ELSEWHERE)


def _misnamed(
    rule: str, plugins: Sequence[Any], index: int, wrong: str, where: Sequence[str], prefix: str
) -> Problem:
    """The problem of a plugin's name, `wrong` or a name that begins so, with the nearest one.

    Only a slip of the pen is near: the modules of another directory are none that were meant.
    """
    names = [prefix + found.name for found in pkgutil.iter_modules(where)]
    by_lower = {name.lower(): name for name in names}
    meant = re.sub(r"\.py$", "", wrong.removeprefix("./")).replace("/", ".")
    close = get_close_matches(meant.lower(), by_lower, n=1, cutoff=0.75)
    right = by_lower[close[0]] if close else None
    if _MODULE.fullmatch(meant) and isfile(Path(where[0], *meant.split(".")).with_suffix(".py")):
        right = meant
    if right is None:
        return Problem(rule, f"plugins[{index}]", plugins[index])
    whole = f"{right}{str(plugins[index]).removeprefix(wrong)}"
    return Problem(
        f"{rule}; did you mean `{right}`?",
        f"plugins[{index}]",
        plugins[index],
        valid=nearest_first(right, {*names, right}),
        fix=line_to_type("plugins", [*plugins[:index], whole, *plugins[index + 1 :]]),
    )
