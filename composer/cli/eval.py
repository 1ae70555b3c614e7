"""`composer eval`: evaluates a policy that a run has saved."""

import argparse
from pathlib import Path

from composer.cli.checkpoints import find, require_whole
from composer.cli.console import Console
from composer.cli.progress import spread
from composer.engines.policy import evaluate_experiment
from composer.errors import CheckpointError
from composer.experiment import Experiment
from composer.files import read_json, verify_directory
from composer.loading import override
from composer.module.rl_module import RLModule
from composer.spaces import describe
from composer.training.run_directory import CHECKPOINTS


def run(args: argparse.Namespace) -> int:
    """Evaluates as the run did, or as the words say."""
    checkpoint = _checkpoint(Path(args.directory), args.checkpoint)
    loaded = override(read_json(checkpoint / "experiment.json"), args.words)
    experiment = Experiment.from_loaded(loaded, args.config_dir)
    module = RLModule.from_checkpoint(checkpoint)
    _require_same_spaces(module, experiment, checkpoint)
    settings = experiment.config.evaluation
    envs = experiment.make_envs(min(settings.num_envs, settings.episodes))
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


def _require_same_spaces(module: RLModule, experiment: Experiment, checkpoint: Path) -> None:
    spaces = (module.observation_space, module.action_space)
    if experiment.spaces != spaces:
        had, has = (" → ".join(map(describe, pair)) for pair in (spaces, experiment.spaces))
        raise CheckpointError(f"{checkpoint} was trained on {had}, but the environment has {has}")
