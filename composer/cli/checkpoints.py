"""A checkpoint as a person names it: a run, or one of its checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from composer.errors import CheckpointError, ComposerError
from composer.experiment import Experiment
from composer.files import verify_directory
from composer.loading import Loaded, override
from composer.training.run_directory import CHECKPOINTS, RunDirectory


def find(path: Path) -> tuple[RunDirectory, Path | None]:
    """The run at `path`, or the run whose checkpoint it is, and that checkpoint.

    Raises:
        RunDirectoryError: If there is no run.
    """
    if path.parent.name == CHECKPOINTS:
        return RunDirectory.open(path.parent.parent), path
    return RunDirectory.open(path), None


def overridden(
    data: Mapping[str, Any], file: Path, words: Sequence[str], config_dir: str | None
) -> tuple[Experiment, Loaded]:
    """The experiment that a file holds, with the changes of the words.

    Raises:
        ComposerError: What is not valid; set by a word, else by the file.
    """
    loaded = override(data, words)
    try:
        return Experiment.from_loaded(loaded, config_dir), loaded
    except ComposerError as error:
        problems = (
            replace(problem, origin=problem.origin or (str(file) if problem.path else None))
            for problem in error.problems
        )
        raise type(error)(*problems) from None


def require_whole(checkpoint: Path, run: RunDirectory, verb: str) -> None:
    """Verifies a checkpoint of a run.

    Raises:
        CheckpointError: If it is damaged; names the newest that is not, and the line that takes it.
    """
    try:
        verify_directory(checkpoint)
    except CheckpointError as error:
        *others, last = error.problems
        whole = next(filter(_is_whole, reversed(run.saved())), None)
        advice = f"the newest that is whole is {whole}" if whole else "no checkpoint is whole"
        fix = f"composer {verb} {whole}" if whole else None
        last = replace(last, message=f"{last.message}\n{advice}", fix=fix)
        raise CheckpointError(*others, last) from None


def _is_whole(checkpoint: Path) -> bool:
    try:
        verify_directory(checkpoint)
    except CheckpointError:
        return False
    return True
