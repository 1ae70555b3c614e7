"""RLModuleSpec: how a module is built, as a plain value that can be passed around."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from composer.algorithms._presets import algorithm_of
from composer.catalog.catalog import Catalog
from composer.composition import compose
from composer.errors import ModuleError
from composer.model_config import ModelConfig
from composer.module.rl_module import RLModule


@dataclass
class RLModuleSpec:
    """What it takes to build a module.

    Args:
        module_class: A hand-written class; None composes the module from `model_config`.
        observation_space: Of a single environment.
        action_space: Of a single environment.
        model_config: The class's own settings, or the model to compose.
        catalog: The decision tree; by default the one Composer ships.
        inference_only: Leave out what only training needs.
        learner_only: The module is never used for acting.
        algorithm: Whose layout and heads a composed module has, and what a hand-written class
            must offer; None is a policy head only.
    """

    module_class: type[RLModule] | None = None
    observation_space: gym.Space | None = None
    action_space: gym.Space | None = None
    model_config: Mapping[str, Any] | ModelConfig | None = None
    catalog: Catalog | None = None
    inference_only: bool = False
    learner_only: bool = False
    algorithm: Any = None

    def build(self) -> RLModule:
        """The module.

        Raises:
            ModuleError: If a space is missing, or the class is no RLModule.
            ContractError: If the class lacks what the algorithm requires.
            ComposerError: If the model cannot be composed.
        """
        if self.observation_space is None or self.action_space is None:
            missing = "observation_space" if self.observation_space is None else "action_space"
            raise ModuleError(f"RLModuleSpec needs {missing} before it can build")
        if self.inference_only and self.learner_only:
            raise ModuleError("a module cannot be both inference_only and learner_only")
        if self.module_class is None:
            return self._composed(self.observation_space, self.action_space)
        if not (isinstance(self.module_class, type) and issubclass(self.module_class, RLModule)):
            raise ModuleError(
                f"module_class is {self.module_class!r}; it must be a subclass of RLModule"
            )
        if self.algorithm is not None:
            algorithm = algorithm_of(self.algorithm)
            algorithm.resolve(self.action_space).require(self.module_class)
        config = self.model_config
        return self.module_class(
            observation_space=self.observation_space,
            action_space=self.action_space,
            model_config=config.to_data() if isinstance(config, ModelConfig) else config,
            catalog=self.catalog,
            inference_only=self.inference_only,
            learner_only=self.learner_only,
        )

    def _composed(self, observation_space: gym.Space, action_space: gym.Space) -> RLModule:
        blueprint = compose(
            observation_space,
            action_space,
            model=self.model_config,
            algorithm=self.algorithm,
            catalog=self.catalog,
        )
        module = blueprint.build(inference_only=self.inference_only)
        module.learner_only = self.learner_only
        return module
