"""Checkpoints: everything that training needs to go on, in a directory of files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composer.errors import CheckpointError, Problem
from composer.files import read_json, read_tensors, verify_directory, write_json, write_tensors
from composer.module.rl_module import RLModule
from composer.training.base import Driver
from composer.training.run_directory import EXPERIMENT

FORMAT = 1
STATE = "trainer.json"
TENSORS = "trainer.safetensors"


@dataclass
class Progress:
    """What the trainer counts."""

    env_steps: int = 0
    updates: int = 0
    episodes: int = 0
    seconds: float = 0.0
    best: float | None = None
    evaluation_due: bool = False
    """An evaluation was due and has not ended: it was stopped, or never begun."""


def write_checkpoint(
    directory: Path,
    *,
    experiment: Mapping[str, Any],
    fingerprint: str,
    module: RLModule,
    driver: Driver,
    progress: Progress,
    metrics: Mapping[str, Any],
    frozen: Sequence[str] = (),
) -> None:
    """Fills an empty directory: the module, the optimiser, normalisers, random streams, counts.

    Args:
        directory: Where to.
        experiment: The experiment's data.
        fingerprint: Of its blueprint.
        module: What is trained.
        driver: What trains it.
        progress: The counts.
        metrics: What the sink holds.
        frozen: Parts that are not trained.
    """
    (directory / "module").mkdir()
    module.write(directory / "module")
    write_json(directory / EXPERIMENT, experiment)
    write_tensors(directory / TENSORS, driver.get_tensors())
    write_json(
        directory / STATE,
        {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "progress": vars(progress),
            "driver": driver.get_numbers(),
            "metrics": dict(metrics),
            "frozen": list(frozen),
        },
    )


def load_checkpoint(
    directory: Path,
    *,
    fingerprint: str,
    module: RLModule,
    driver: Driver,
    optimiser: str,
    frozen: Sequence[str] = (),
) -> tuple[Progress, dict[str, Any]]:
    """Loads the module and the driver; the counts, and what the sink held.

    Raises:
        CheckpointError: If it is damaged, of another model, of another kind of optimiser, or of a
            model with other parts frozen; nothing is loaded then.
    """
    verify_directory(directory)
    state = _state(directory)
    if state["fingerprint"] != fingerprint:
        raise CheckpointError(
            f"{directory} holds another model than this experiment composes (fingerprint "
            f"{state['fingerprint']}, not {fingerprint})"
        )
    had = state.get("frozen", [])
    if set(had) != set(frozen):
        raise CheckpointError(
            Problem(
                f"{directory} was trained with {_listed(had)} frozen, here it is "
                f"{_listed(frozen)}; to train its weights otherwise, begin with them",
                fix=f"Trainer(experiment, freeze={had!r})",
            )
        )
    trained_by = _optimiser(read_json(directory / EXPERIMENT))
    if trained_by not in (None, optimiser):
        raise CheckpointError(
            Problem(
                f"{directory} was trained by the optimiser {trained_by}, whose state {optimiser} "
                "cannot take over; to train its weights otherwise, begin with them",
                fix=f"Trainer(experiment, init_from={str(directory)!r})",
            )
        )
    driver.set_state(read_tensors(directory / TENSORS), state["driver"])
    module.set_state(read_tensors(directory / "module" / "weights.safetensors"))
    return Progress(**state["progress"]), state["metrics"]


def _optimiser(experiment: Mapping[str, Any]) -> str | None:
    """The kind of optimiser of an experiment's data."""
    return experiment.get("algorithm", {}).get("optimiser", {}).get("type")


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts) or "nothing"


def read_progress(directory: Path) -> Progress:
    """The counts of a checkpoint."""
    return Progress(**_state(directory)["progress"])


def _state(directory: Path) -> dict[str, Any]:
    state = read_json(directory / STATE)
    if state.get("format", 0) > FORMAT:
        raise CheckpointError(f"{directory} was written by a newer version of Composer")
    return state
