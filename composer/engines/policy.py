"""An experiment's policy: its module, built on this machine and evaluated."""

from collections.abc import Callable
from typing import Any

import torch

from composer.config import Auto
from composer.executors import make_executor
from composer.experiment import Experiment
from composer.module.rl_module import RLModule
from composer.seeds import derive_seed
from composer.training.evaluation import EvaluationResult, evaluate

SMALL_MODEL = 1_000_000
"""Parameters below which one torch thread is the fastest."""


def build_module(experiment: Experiment) -> RLModule:
    """The module on its device, torch's threads set for it.

    Raises:
        ComposerError: If it is too large, or a hand-written one cannot be trained.
    """
    experiment.require_model()
    module = experiment.model.build(experiment.config.device, experiment.config.seed)
    _set_threads(experiment.config.threads, sum(p.numel() for p in module.parameters()))
    return module


def _set_threads(threads: int | Auto, parameters: int) -> None:
    if not isinstance(threads, Auto):
        torch.set_num_threads(threads)
    elif parameters < SMALL_MODEL:
        torch.set_num_threads(1)


def evaluate_experiment(
    experiment: Experiment,
    module: Any,
    envs: Any,
    should_stop: Callable[[], bool] = lambda: False,
) -> EvaluationResult:
    """Evaluates a module by the experiment's `evaluation` settings."""
    settings = experiment.config.evaluation
    derived = derive_seed(experiment.config.seed, "evaluation") % 2**31
    with experiment.telling("was evaluated"):
        return evaluate(
            make_executor(module),
            envs,
            settings.episodes,
            seed=derived if settings.seed is None else settings.seed,
            deterministic=settings.deterministic,
            max_length=settings.max_length,
            initial_state=module.get_initial_state(envs.num_envs),
            training_reward=experiment.config.env.training_reward,
            should_stop=should_stop,
        )
