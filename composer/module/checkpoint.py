"""Modules from files: data only, and code only where it is trusted."""

import importlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from composer.blueprint.blueprint import Blueprint
from composer.blueprint.parts import REPLACED
from composer.catalog.catalog import Catalog
from composer.errors import CheckpointError, Problem
from composer.files import read_json, read_tensors
from composer.module.composed import ComposedRLModule
from composer.module.rl_module import RLModule
from composer.module.saved import MODULE_FORMAT, module_directory
from composer.spaces import space_from_data

M = TypeVar("M", bound=RLModule)


def load_module(
    called_on: type[M], path: Path, trust: Sequence[str], inference_only: bool = False
) -> M:
    """The module in a directory; see `RLModule.from_checkpoint`."""
    directory = module_directory(path)
    data = read_json(directory / "module.json")
    if data.get("format", 0) > MODULE_FORMAT:
        raise CheckpointError(
            f"{directory} has format {data['format']}; this version of Composer reads "
            f"{MODULE_FORMAT}"
        )
    if inference_only:
        data |= {"inference_only": True, "learner_only": False}
    module = _composed(data) if "blueprint" in data else _hand_written(called_on, data, trust)
    if not isinstance(module, called_on):
        raise CheckpointError(
            f"{directory} holds a {type(module).__name__}, not a {called_on.__name__}"
        )
    module.set_state(read_tensors(directory / "weights.safetensors"))
    return module


def _composed(data: dict[str, Any]) -> ComposedRLModule:
    if replaced := data["blueprint"].get(REPLACED):
        listed = ", ".join(f"{name} by {cls}" for name, cls in replaced.items())
        raise CheckpointError(
            Problem(
                f"the module's parts are not all its blueprint's: {listed}; build it with them, "
                "then load its weights",
                fix="blueprint.build(parts={…}).restore_from_path(…)",
            )
        )
    module = Blueprint.from_data(data["blueprint"]).build(inference_only=data["inference_only"])
    module.learner_only = data["learner_only"]
    return module


def _hand_written(called_on: type[M], data: dict[str, Any], trust: Sequence[str]) -> RLModule:
    module_name, _, qualified = data["class"].partition(":")
    if data["class"] == f"{called_on.__module__}:{called_on.__qualname__}":
        cls: Any = called_on
    elif _is_trusted(module_name, trust):
        cls = _imported(module_name, qualified)
    else:
        package = module_name.partition(".")[0]
        namesake = called_on.__qualname__ == qualified
        other = f" (this is {called_on.__module__}:{qualified})" if namesake else ""
        by_class = "" if namesake else f"{qualified}.from_checkpoint(…), or "
        raise CheckpointError(
            f"the module is a {data['class']}, whose code is not trusted{other}; call {by_class}"
            f"RLModule.from_checkpoint(…, trust=[{package!r}])"
        )
    return cls(
        observation_space=space_from_data(data["observation_space"]),
        action_space=space_from_data(data["action_space"]),
        model_config=data["model_config"],
        catalog=Catalog(data["catalog"]) if data.get("catalog") else None,
        inference_only=data["inference_only"],
        learner_only=data["learner_only"],
    )


def _is_trusted(module_name: str, trust: Sequence[str]) -> bool:
    plugins = (
        point.value.partition(":")[0].partition(".")[0]
        for point in importlib.metadata.entry_points(group="composer.plugins")
    )
    trusted = ("composer", *plugins, *trust)
    return any(module_name == name or module_name.startswith(f"{name}.") for name in trusted)


def _imported(module_name: str, qualified: str) -> type[RLModule]:
    try:
        found: Any = importlib.import_module(module_name)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise CheckpointError(
            f"the module's class {module_name}:{qualified} cannot be imported: {error}"
        ) from None
    if not (isinstance(found, type) and issubclass(found, RLModule)):
        raise CheckpointError(f"{module_name}:{qualified} is not an RLModule")
    return found
