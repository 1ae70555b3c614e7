"""Composer: reinforcement-learning models from configuration.

Names are imported when they are first used, so that `import composer` does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from composer.blueprint.blueprint import Blueprint
    from composer.catalog.catalog import Catalog
    from composer.columns import Columns
    from composer.composition import compose
    from composer.engines.trainer import Trainer
    from composer.errors import ComposerError
    from composer.experiment import Experiment
    from composer.model_config import ModelConfig
    from composer.module.rl_module import RLModule
    from composer.module.specs import RLModuleSpec
    from composer.training.callbacks import Callback

_HOMES = {
    "Blueprint": "composer.blueprint.blueprint",
    "Callback": "composer.training.callbacks",
    "Catalog": "composer.catalog.catalog",
    "Columns": "composer.columns",
    "ComposerError": "composer.errors",
    "Experiment": "composer.experiment",
    "ModelConfig": "composer.model_config",
    "RLModule": "composer.module.rl_module",
    "RLModuleSpec": "composer.module.specs",
    "Trainer": "composer.engines.trainer",
    "compose": "composer.composition",
}

__all__ = [
    "Blueprint",
    "Callback",
    "Catalog",
    "Columns",
    "ComposerError",
    "Experiment",
    "ModelConfig",
    "RLModule",
    "RLModuleSpec",
    "Trainer",
    "compose",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'composer' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
