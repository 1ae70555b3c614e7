"""CustomModel: a hand-written module that a configuration names, checked before it is trained."""

import copy
import functools
import hashlib
import inspect
import json
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch

import composer.apis
from composer.algorithms.base import AlgorithmConfig
from composer.apis import API
from composer.catalog.catalog import Catalog
from composer.columns import Columns
from composer.distributions.base import DeterministicDistribution
from composer.errors import ComposerError, ContractError, ModuleError, Problem
from composer.importing import find_class
from composer.masks import free_mask, mask_key
from composer.model_config import CustomModelConfig
from composer.module.rl_module import RLModule, Step
from composer.module.specs import RLModuleSpec
from composer.seeds import derive_seed, seeded
from composer.spaces import Nested, batch, misfit, require_usable, space_to_data, to_tensors

PATH = "model.path"
ROWS = 2
"""Observations that a module is tried on: one would hide a lost axis."""


@dataclass(frozen=True)
class ModulePart:
    """A submodule of a hand-written module."""

    name: str
    type: str
    """Its class."""
    parameters: int
    """Trainable ones."""


@dataclass(frozen=True)
class Trial:
    """What was seen of a module that was made to be looked at, and thrown away."""

    parameters: int
    """Trainable ones."""
    parts: tuple[ModulePart, ...]
    drops: tuple[str, ...]
    """What its inference-only form goes without."""


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
        CompositionError: If a space cannot be used.
        ContractError: If the class lacks what the algorithm requires.
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
            with self._telling("said what it offers"):
                self.algorithm.require(module_class)

    @functools.cached_property
    def module_class(self) -> type[RLModule]:
        """The class that the path names."""
        return find_class(self.config.path, RLModule, PATH)

    @property
    def apis(self) -> frozenset[type[API]]:
        """What the class can do."""
        known = vars(composer.apis).values()
        return frozenset(
            api
            for api in known
            if isinstance(api, type) and issubclass(api, API) and self.module_class.offers(api)
        ) - {API}

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
            ComposerError: As `trial`.
        """
        self.trial  # noqa: B018 - refuses what cannot be trained
        return self._made(seed, inference_only).to(device)

    @functools.cached_property
    def trial(self) -> Trial:
        """Makes a module and runs each phase once, on random observations.

        Raises:
            ModuleError: If the class raises, or returns what cannot be acted on.
            ContractError: If it does not return what the algorithm learns from.
        """
        module = self._made(0, inference_only=False)
        with self._telling("names its non-inference attributes"):
            drops = module.non_inference_parts()
        with seeded(0):
            self._try(module)
        return Trial(
            parameters=_size(module),
            parts=tuple(
                ModulePart(name, type(part).__name__, _size(part))
                for name, part in module.named_children()
            ),
            drops=drops,
        )

    def _made(self, seed: int, inference_only: bool) -> RLModule:
        spec = RLModuleSpec(
            module_class=self.module_class,
            observation_space=self.observation_space,
            action_space=self.action_space,
            model_config=self.config.to_data()["config"],
            catalog=self.catalog,
            inference_only=inference_only,
        )
        with self._telling("was made"), seeded(derive_seed(seed, "model")):
            return spec.build()

    def _try(self, module: RLModule) -> None:
        obs, mask = self._example(module)
        with self._telling("chose an action without exploring"):
            self._require_action(module.act(obs, deterministic=True, action_mask=mask))
        with self._telling("explored"):
            step = module.act(obs, action_mask=mask)
            self._require_action(step)
        if self.algorithm is None:
            return
        with self._telling("gave values"):
            self._require_trainable(module, step)
        columns = {Columns.OBS: obs, Columns.ACTIONS: step.actions, Columns.ACTION_MASK: mask}
        given = {name: to_tensors(c, module.device) for name, c in columns.items() if c is not None}
        with self._telling("computed what the loss needs"):
            out = module.forward_train(given)
            self._require_values(out.get(Columns.VF_PREDS), "forward_train")
            if self.algorithm.uses_log_probs:
                self._require_distribution(module, out, given.get(Columns.ACTION_MASK))

    def _example(self, module: RLModule) -> tuple[Nested, Nested]:
        """Observations of the space, and a mask that forbids nothing where they hold one."""
        space = copy.deepcopy(self.observation_space)
        space.seed(0)
        obs: Any = batch(space, [space.sample() for _ in range(ROWS)])
        key = mask_key(self.observation_space, self.action_space)
        if key is None:
            return to_tensors(obs, module.device), None
        obs[key] = np.ones_like(obs[key])
        return to_tensors(obs, module.device), free_mask(self.action_space, (ROWS,))

    def _require_action(self, step: Step) -> None:
        if wrong := misfit(self.action_space, step.env_actions, "the action", axes=1):
            raise ModuleError(wrong)

    def _require_trainable(self, module: RLModule, step: Step) -> None:
        by = self._trainer
        if module.is_stateful:
            self._refuse(
                "carries a state from step to step: it acts, is saved and is evaluated, but "
                f"{by} cannot train it yet"
            )
        if self.algorithm and self.algorithm.uses_log_probs and step.log_prob is None:
            self._refuse(
                f"returns `{Columns.ACTIONS}` alone where it explores, and {by} learns from "
                f"their log-probability: return `{Columns.ACTION_DIST_INPUTS}` too, or alone"
            )
        self._require_values(step.value, "compute_values")

    def _require_values(self, values: Any, method: str) -> None:
        shape = None if values is None else tuple(values.shape)
        if shape not in (None, (ROWS,)):
            self._refuse(
                f"gives values of the shape {shape} for {ROWS} observations; `{method}` returns "
                f"(*B,), here {(ROWS,)}: `.squeeze(-1)` takes away an axis of one"
            )

    def _require_distribution(self, module: RLModule, out: Mapping[str, Any], mask: Nested) -> None:
        if out.get(Columns.ACTION_DIST_INPUTS) is None:
            self._refuse(
                f"returns no `{Columns.ACTION_DIST_INPUTS}` from `forward_train` (it returns "
                f"{', '.join(map(repr, out)) or 'nothing'}), and {self._trainer} learns from the "
                "log-probability of actions"
            )
        if isinstance(module.action_distribution(out, "train", mask), DeterministicDistribution):
            self._refuse(
                "has a distribution in training that always gives one and the same action, and "
                f"{self._trainer} learns from the log-probability of what was sampled"
            )

    @property
    def _trainer(self) -> str:
        return self.algorithm.type if self.algorithm else ""

    def _refuse(self, what: str) -> None:
        raise ContractError(f"{self.module_class.__name__} {what}")

    @contextmanager
    def _telling(self, when: str) -> Iterator[None]:
        """Tells what a person's code raises, and where, without a traceback.

        Raises:
            ComposerError: Of the same kind, where it is one; its own paths and lines to type are
                about a composed model, and left out.
            ModuleError: Anything else.
        """
        try:
            yield
        except ComposerError as error:
            problems = (
                replace(item, path=PATH, value=self.config.path, valid=(), fix=self._place())
                for item in error.problems
            )
            raise type(error)(*problems) from error
        except Exception as error:  # a person's code may raise anything
            name = self.module_class.__name__
            message = f"{name} raised {type(error).__name__} as it {when}: {error}"
            problem = Problem(message, PATH, self.config.path, fix=self._place(error))
            raise ModuleError(problem) from error

    def _place(self, error: Exception | None = None) -> str | None:
        """Where to mend it: the innermost line of the class's file that raised, else the class."""
        file = inspect.getsourcefile(self.module_class)
        frames = traceback.extract_tb(error.__traceback__) if error else []
        own = [frame for frame in frames if frame.filename == file]
        line = own[-1].lineno if own else inspect.getsourcelines(self.module_class)[1]
        code = own[-1].line if own else f"class {self.module_class.__name__}"
        return f"{file}:{line}    {code}"

    def to_data(self) -> dict[str, Any]:
        """All there is to say of it, as JSON data."""
        trial = self.trial
        return {
            **self._identity(),
            "algorithm": self._trainer or None,
            "parts": [vars(part) for part in trial.parts],
            "parameters": trial.parameters,
            "offers": sorted(api.label() for api in self.apis),
            "requires": list(self.requires),
            "drops": list(trial.drops),
            "fingerprint": self.fingerprint,
        }


def _size(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
