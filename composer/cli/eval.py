"""`composer eval`: evaluates a policy that a run has saved."""

import argparse
from pathlib import Path

from composer.cli.checkpoints import find, overridden, require_whole
from composer.cli.console import Console
from composer.cli.progress import spread
from composer.comparison import ABSENT, differences
from composer.engines.policy import evaluate_experiment
from composer.errors import CheckpointError, ConfigError, Problem
from composer.experiment import Experiment
from composer.files import read_json, verify_directory
from composer.loading import Loaded
from composer.module.rl_module import RLModule
from composer.spaces import describe
from composer.training.run_directory import CHECKPOINTS, EXPERIMENT

EVALUATED = ("evaluation", "env", "seed", "plugins")
"""What an evaluation depends on."""


def run(args: argparse.Namespace) -> int:
    """Evaluates as the run did, or as the words say."""
    checkpoint = _checkpoint(Path(args.directory), args.checkpoint)
    file = checkpoint / EXPERIMENT
    data = read_json(file)
    experiment, loaded = overridden(data, file, args.words, args.config_dir)
    _require_effect(Experiment.from_data(data, args.config_dir), experiment, loaded)
    module = _module_class(experiment).from_checkpoint(checkpoint)
    _require_same_spaces(module, experiment, checkpoint)
    envs = experiment.make_evaluation_envs()
    try:
        result = evaluate_experiment(experiment, module, envs)
    finally:
        envs.close()
    console = Console()
    console.print(f"{spread(result)}\n{checkpoint}", soft_wrap=True, highlight=False)
    return 0


def _checkpoint(directory: Path, which: str) -> Path:
    """The one named or chosen, verified; also one that was saved outside any run."""
    if (directory / "module").is_dir() and directory.parent.name != CHECKPOINTS:
        verify_directory(directory)
        return directory
    run_directory, named = find(directory)
    checkpoint = named or run_directory.checkpoint(which)
    require_whole(checkpoint, run_directory, "eval")
    return checkpoint


def _require_effect(before: Experiment, after: Experiment, loaded: Loaded) -> None:
    problems = [
        Problem(
            "an evaluation does not depend on this",
            change.path,
            None if change.b is ABSENT else change.b,
            origin=loaded.origin(change.path),
            valid=EVALUATED,
        )
        for change in differences(before.to_data(), after.to_data())
        if change.path.partition(".")[0] not in EVALUATED
    ]
    if problems:
        raise ConfigError(*problems)


def _module_class(experiment: Experiment) -> type[RLModule]:
    """The class whose code is trusted, because the run's own experiment names it."""
    return experiment.custom_model.module_class if experiment.is_hand_written else RLModule


def _require_same_spaces(module: RLModule, experiment: Experiment, checkpoint: Path) -> None:
    spaces = (module.observation_space, module.action_space)
    if experiment.spaces != spaces:
        had, has = (" → ".join(map(describe, pair)) for pair in (spaces, experiment.spaces))
        raise CheckpointError(f"{checkpoint} was trained on {had}, but the environment has {has}")
