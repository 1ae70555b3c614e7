"""CustomModel: a hand-written module that a configuration names, checked before it is trained."""

import functools
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import torch

from composer.algorithms.base import AlgorithmConfig
from composer.apis import API, known_apis
from composer.catalog.catalog import Catalog
from composer.composition import resolved
from composer.devices import require_device
from composer.errors import ContractError
from composer.importing import find_class
from composer.masks import mask_key
from composer.model_config import CustomModelConfig
from composer.module.own_code import PATH, OwnCode
from composer.module.rl_module import RLModule
from composer.module.specs import RLModuleSpec
from composer.module.trial import Trial, try_module
from composer.seeds import derive_seed, seeded
from composer.spaces import require_usable, space_to_data


@dataclass(frozen=True)
class CustomModel:
    """A hand-written class for an environment's spaces: what a Blueprint is to a composed model.

    Args:
        config: Where the class is, and its settings.
        observation_space: Of a single environment.
        action_space: Of a single environment.
        algorithm: What will train it; None where nothing will.
        catalog: The decision tree that it may ask for parts.

    Raises:
        ConfigError: If there is no such class, or it is not an RLModule.
        CompositionError: If a space cannot be used, or the algorithm cannot act in it.
        ContractError: If the class lacks what the algorithm requires, or would ignore a setting.
    """

    config: CustomModelConfig
    observation_space: gym.Space
    action_space: gym.Space
    algorithm: AlgorithmConfig | None = None
    catalog: Catalog = field(default_factory=Catalog.default)

    def __post_init__(self) -> None:
        require_usable(self.observation_space, "observation")
        require_usable(self.action_space, "action")
        mask_key(self.observation_space, self.action_space)
        module_class = self.module_class
        if self.algorithm is not None:
            algorithm = resolved(self.algorithm, self.action_space)
            object.__setattr__(self, "algorithm", algorithm)
            with self.own_code.telling("said what it offers"):
                algorithm.require(module_class)
            if ignored := algorithm.head_problems(module_class.__name__):
                raise ContractError(*ignored)

    @functools.cached_property
    def module_class(self) -> type[RLModule]:
        """The class that the path names."""
        return find_class(self.config.path, RLModule, PATH, fits=self._fits)

    def _fits(self, module_class: type[RLModule]) -> bool:
        """Whether the class offers what the algorithm requires."""
        if self.algorithm is None or self.algorithm.refusal(self.action_space):
            return True
        required = self.algorithm.resolve(self.action_space).required_apis()
        return all(module_class.offers(api) for api in required)

    @property
    def own_code(self) -> OwnCode:
        """The class, for telling what it raises."""
        return OwnCode(self.module_class, self.config.path)

    @property
    def apis(self) -> frozenset[type[API]]:
        """What the class can do."""
        return frozenset(api for api in known_apis() if self.module_class.offers(api))

    @property
    def requires(self) -> tuple[str, ...]:
        """The APIs that the algorithm asks for, by name."""
        required = self.algorithm.required_apis() if self.algorithm else ()
        return tuple(sorted(api.label() for api in required))

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of the class's name, its settings and the spaces; its code has no part in it."""
        text = json.dumps(self._identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _identity(self) -> dict[str, Any]:
        spaces = [space_to_data(self.observation_space), space_to_data(self.action_space)]
        return {**self.config.to_data(), "spaces": spaces}

    @property
    def parameter_count(self) -> int:
        """Trainable parameters of the module as built."""
        return self.trial.parameters

    def build(
        self, device: str | torch.device = "cpu", seed: int = 0, inference_only: bool = False
    ) -> RLModule:
        """The module, once another one has been tried.

        Args:
            device: Where its parameters are put.
            seed: Of torch's generator while the module is made; the same seed, the same weights.
            inference_only: Without what `get_non_inference_attributes` names.

        Raises:
            CompositionError: If torch cannot use the device.
            ComposerError: As `trial`.
        """
        require_device(device)
        self.trial  # noqa: B018 - refuses what cannot be trained
        return self._made(seed, inference_only).to(device)

    @functools.cached_property
    def trial(self) -> Trial:
        """What a module that was made and tried is like.

        Raises:
            ModuleError: If the class raises, or returns what cannot be acted on.
            ContractError: If it does not return what the algorithm learns from.
        """
        return try_module(lambda slim: self._made(0, slim), self.own_code, self.algorithm)

    def _made(self, seed: int, inference_only: bool) -> RLModule:
        spec = RLModuleSpec(
            module_class=self.module_class,
            observation_space=self.observation_space,
            action_space=self.action_space,
            model_config=self.config.to_data()["config"],
            catalog=self.catalog,
            inference_only=inference_only,
        )
        with self.own_code.telling("was made"), seeded(derive_seed(seed, "model")):
            return spec.build()

    def to_data(self) -> dict[str, Any]:
        """All there is to say of it, as JSON data."""
        trial = self.trial
        return {
            **self._identity(),
            "algorithm": self.algorithm and self.algorithm.type,
            "parts": [vars(part) for part in trial.parts],
            "parameters": trial.parameters,
            "offers": sorted(api.label() for api in self.apis),
            "requires": list(self.requires),
            "drops": list(trial.drops),
            "fingerprint": self.fingerprint,
        }
