"""Spaces, a model and an algorithm → a blueprint, checked."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from composer.algorithms._presets import algorithm_of
from composer.algorithms.base import AlgorithmConfig
from composer.blueprint.blueprint import Blueprint
from composer.catalog.catalog import Catalog
from composer.composition.assembly import assemble
from composer.composition.idle import idle_heads
from composer.composition.layout import Layout
from composer.composition.requirements import require_apis, require_parts, require_sequences
from composer.errors import CompositionError, Problem, shown
from composer.masks import mask_key
from composer.model_config import ComposedModelConfig, ModelConfig
from composer.spaces import require_usable


def compose(
    observation_space: gym.Space,
    action_space: gym.Space,
    model: ModelConfig | Mapping[str, Any] | None = None,
    algorithm: AlgorithmConfig | Mapping[str, Any] | str | None = None,
    catalog: Catalog | None = None,
) -> Blueprint:
    """The blueprint of a module for an environment's spaces.

    Args:
        observation_space: Of a single environment.
        action_space: Of a single environment.
        model: What to fix; everything else is chosen.
        algorithm: A name, that of a preset too, a config, or None for a policy head only.
        catalog: The decision tree; `Catalog.default()` by default.

    Raises:
        ConfigError: If the model or the algorithm is not valid by itself.
        CompositionError: If the parts do not fit the spaces or one another.
        ContractError: If the result lacks what the algorithm requires.
    """
    require_usable(observation_space, "observation")
    require_usable(action_space, "action")
    mask_key(observation_space, action_space)
    config = ModelConfig.parse(model or {}, "model")
    if not isinstance(config, ComposedModelConfig):
        raise CompositionError(
            Problem(
                "a hand-written model is built from its class, not composed: it has no blueprint",
                "model.type",
                config.type,
                fix="RLModuleSpec(module_class=…, observation_space=…, action_space=…).build()",
            )
        )
    if not isinstance(catalog, Catalog | None):
        raise CompositionError(
            f"catalog is {shown(catalog)}; it must be a composer.Catalog, for instance "
            "Catalog(rules) or Catalog.default()"
        )
    trained_by = None if algorithm is None else algorithm_of(algorithm)
    trained_by = trained_by and resolved(trained_by, action_space)
    catalog = Catalog.default() if catalog is None else catalog
    blueprint = assemble(Layout(observation_space, action_space, config, trained_by), catalog)
    if idle := [*idle_heads(blueprint.nodes)]:
        raise CompositionError(*idle)
    if trained_by is not None:
        require_apis(blueprint, trained_by)
        require_sequences(blueprint, trained_by)
        require_parts(blueprint, trained_by.optimiser)
    return blueprint


def resolved(algorithm: AlgorithmConfig, action_space: gym.Space) -> AlgorithmConfig:
    """The same algorithm, every derived field filled in for the space.

    Raises:
        CompositionError: If it cannot learn to act there.
    """
    if refusal := algorithm.refusal(action_space):
        raise CompositionError(_unfit_algorithm(algorithm, refusal, action_space))
    return algorithm.resolve(action_space)


def _unfit_algorithm(algorithm: AlgorithmConfig, refusal: str, space: gym.Space) -> Problem:
    """The problem of an algorithm that cannot act in the space; those that can are named."""
    members = ((tag, AlgorithmConfig.members[tag]) for tag in AlgorithmConfig.tags())
    able = tuple(tag for tag, member in members if member().refusal(space) is None)
    fix = f"algorithm={able[0]}" if able else None
    return Problem(refusal, path="algorithm", value=algorithm.type, valid=able, fix=fix)
