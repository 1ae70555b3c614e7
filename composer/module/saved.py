"""A module's files, `module.json` and `weights.safetensors`: written, and found again."""

from pathlib import Path
from typing import TYPE_CHECKING

from composer.errors import CheckpointError, Problem
from composer.files import read_json, read_tensors, verify_directory, write_json, write_tensors
from composer.module.state import Weights

if TYPE_CHECKING:
    from composer.module.rl_module import RLModule

MODULE_FORMAT = 1


def write_module(module: "RLModule", directory: Path) -> None:
    """Writes the files into a directory that exists.

    Raises:
        CheckpointError: If the module's settings are not plain data.
    """
    data = {
        "format": MODULE_FORMAT,
        "inference_only": module.inference_only,
        "learner_only": module.learner_only,
        **module.recipe(),
    }
    try:
        write_json(directory / "module.json", data)
    except TypeError as error:
        raise CheckpointError(
            f"the model_config of {type(module).__name__} is not plain data: {error}"
        ) from None
    write_tensors(directory / "weights.safetensors", module.state_dict())


def module_directory(path: Path) -> Path:
    """The directory that `save_to_path` wrote, its files checked: `path`, or `module` inside it.

    Raises:
        CheckpointError: If there is none, or a file is missing, cut short or edited; of a run's
            directory, names its newest checkpoint.
    """
    if saved := sorted(path.glob("checkpoints/step_*/module")):
        rule = f"{path} is the directory of a run; a module is loaded from one of its checkpoints"
        raise CheckpointError(Problem(rule, fix=str(saved[-1].parent)))
    if (path / "module" / "module.json").exists():
        verify_directory(path)
        return path / "module"
    inside_checkpoint = path.name == "module" and not (path / "manifest.json").exists()
    verify_directory(path.parent if inside_checkpoint else path)
    if not (path / "module.json").exists():
        raise CheckpointError(f"{path} holds no module: it has no module.json")
    return path


def read_weights(path: str | Path) -> Weights:
    """What `save_to_path` wrote, or a checkpoint holds; see `module_directory`."""
    directory = module_directory(Path(path))
    recipe, tensors = read_json(directory / "module.json"), directory / "weights.safetensors"
    return Weights.of(str(path), recipe, read_tensors(tensors))
