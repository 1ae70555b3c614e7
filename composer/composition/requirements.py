"""What an algorithm and an optimiser require of a blueprint."""

import itertools

import torch

from composer.algorithms.base import AlgorithmConfig
from composer.apis import API
from composer.blueprint.blueprint import Blueprint
from composer.blueprint.nodes import (
    AuxiliaryNode,
    DistributionNode,
    HeadNode,
    JointNode,
    MemoryNode,
)
from composer.catalog.catalog import fitting_types
from composer.distributions.base import DistributionConfig
from composer.errors import CompositionError, ContractError, Problem
from composer.heads.base import HeadConfig
from composer.module.state import no_part, within
from composer.optimisers.base import OptimiserConfig, misplaced, part_problems
from composer.places import choice_of


def require_apis(blueprint: Blueprint, algorithm: AlgorithmConfig) -> None:
    """Refuses a blueprint from which the algorithm cannot learn.

    Raises:
        ContractError: For all that it lacks.
    """
    lacking = sorted(algorithm.required_apis() - blueprint.apis, key=lambda api: api.label())
    problems = [_missing_head(blueprint, algorithm, api) for api in lacking]
    acting = [n for n in blueprint.nodes if isinstance(n, DistributionNode | JointNode)]
    if algorithm.learns_from is not None:
        able = algorithm.learns_from
        unable = [node for node in acting if not isinstance(node.config, able)]
        problems += [_untrainable(node, able, algorithm) for node in unable]
    elif algorithm.uses_log_probs:
        problems += [_no_log_probs(n, algorithm) for n in acting if not n.config.has_density]
    auxiliary = (node for node in blueprint.nodes if isinstance(node, AuxiliaryNode))
    if spanning := [f"`{node.name}`" for node in auxiliary if node.head.spans_a_step]:
        problems += algorithm.step_problems(" and ".join(spanning))
    if problems:
        raise ContractError(*problems)


def require_sequences(blueprint: Blueprint, algorithm: AlgorithmConfig) -> None:
    """Refuses a memory that the algorithm cannot train.

    Raises:
        CompositionError: If there is one.
    """
    first = {n.config: n for n in reversed(blueprint.nodes) if isinstance(n, MemoryNode)}
    lengths = {f"{node.place}.max_seq_len": node.memory.max_seq_len for node in first.values()}
    problems = [algorithm.memory_problems(length, path) for path, length in lengths.items()]
    if found := list(dict.fromkeys(itertools.chain(*problems))):
        raise CompositionError(*found)


def _missing_head(blueprint: Blueprint, algorithm: AlgorithmConfig, api: type[API]) -> Problem:
    """The problem of a capability that no head gives, with the line that adds one that does."""
    able = tuple(tag for tag in HeadConfig.tags() if api in HeadConfig.members[tag].apis())
    return Problem(
        f"{algorithm.type} requires {api.label()}, which no head of the model gives",
        path="model.heads",
        value=[node.name for node in blueprint.nodes if isinstance(node, HeadNode)],
        valid=able,
        fix=f"model.heads.{able[0]}.type={able[0]}" if able else None,
    )


def _untrainable(
    node: DistributionNode | JointNode,
    able: tuple[type[DistributionConfig], ...],
    algorithm: AlgorithmConfig,
) -> Problem:
    """The problem of a distribution through which the algorithm's gradient does not go."""
    fitting = fitting_types(DistributionConfig, node.space)
    tags = tuple(tag for tag in fitting if issubclass(DistributionConfig.members[tag], able))
    return Problem(
        f"{algorithm.type} cannot train `{node.config.type}`: it needs an action that its gradient "
        "goes through, or the probability of every choice",
        path=node.place,
        value=node.config.type,
        valid=tags,
        fix=f"{choice_of(node.place)}={tags[0]}" if tags else None,
    )


def _no_log_probs(node: DistributionNode | JointNode, algorithm: AlgorithmConfig) -> Problem:
    """The problem of a distribution from which the algorithm can learn nothing."""
    able = tuple(
        tag
        for tag in fitting_types(DistributionConfig, node.space)
        if DistributionConfig.members[tag].has_density
    )
    chosen = "" if node.reason.kind == "given" else f" (chosen by {node.reason})"
    way_out = able[0] if chosen and able else "auto"
    return Problem(
        f"{algorithm.type} learns from the log-probability of what was sampled, and "
        f"`{node.config.type}` samples nothing: it always gives one and the same action{chosen}",
        path="model.distribution",
        value=node.config.type,
        valid=able,
        fix=f"model/distribution={way_out}",
    )


def require_parts(blueprint: Blueprint, optimiser: OptimiserConfig) -> None:
    """Refuses settings of parts that the model lacks, or that have nothing to train.

    Raises:
        CompositionError: For each of them.
    """
    names = [node.name for node in blueprint.nodes]
    known = [*dict.fromkeys([*(name.partition(".")[0] for name in names), *names])]
    problems = [
        misplaced(optimiser, part, no_part("this model", part, known))
        for part in optimiser.parts
        if not any(within(name, [part]) or within(part, [name]) for name in known)
    ]
    if optimiser.parts and not problems:
        with torch.device("meta"):
            problems = [*part_problems(optimiser, blueprint.build("meta"))]
    if problems:
        raise CompositionError(*problems)
