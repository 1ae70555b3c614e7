"""A layout and a catalog → a blueprint: every part chosen, every node set in its place."""

from collections.abc import Mapping
from dataclasses import replace

from composer.blueprint.blueprint import Blueprint
from composer.blueprint.nodes import Node, Reason
from composer.catalog.catalog import Catalog, Choice
from composer.composition.auxiliary import require_learnable
from composer.composition.layout import Layout
from composer.composition.naming import require_names
from composer.composition.nodes import HeadPlace, distribution_nodes, encoder_nodes, memory_nodes
from composer.composition.observed import Observed, observed
from composer.composition.reading import require_readers
from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.errors import CompositionError, Problem
from composer.heads._auxiliary import AuxiliaryHeadConfig
from composer.heads.base import OutputHeadConfig


def assemble(layout: Layout, catalog: Catalog) -> Blueprint:
    """The blueprint of a layout, what the catalog chooses filled in.

    Raises:
        CompositionError: If the parts do not fit the spaces or one another.
    """
    require_names(layout)
    require_readers(layout)
    distribution = catalog.distribution(
        layout.action_space, layout.model.distribution, algorithm=layout.algorithm_name
    )
    taken = _observed(layout)
    require_learnable(layout, taken)
    nodes: list[Node] = []
    for trunk, part in taken.items():
        nodes += encoder_nodes(f"{trunk}.encoder", part, _encoder(layout, catalog, trunk, part))
        if layout.is_remembered(trunk):
            memory = layout.trunks[trunk].memory or layout.model.memory
            nodes += memory_nodes(trunk, nodes[-1].out_dim, memory, layout.action_space)
    nodes += _head_nodes(layout, taken, {node.name: node.out_dim for node in nodes}, distribution)
    algorithm = layout.algorithm
    required = algorithm.required_apis() if algorithm else frozenset()
    return Blueprint(
        observation_space=layout.observation_space,
        action_space=layout.action_space,
        algorithm=layout.algorithm_name,
        requires=tuple(sorted(api.label() for api in required)),
        targets=algorithm.targets() if algorithm else (),
        nodes=tuple(nodes),
    )


def _observed(layout: Layout) -> dict[str, Observed]:
    """What each trunk that is read takes of the observation."""
    space = layout.encoded_space
    taken, problems = {}, []
    for name, trunk in layout.trunks.items():
        if name not in layout.reads.values():
            continue
        path = "model.observe" if name == "main" else f"model.trunks.{name}.observe"
        try:
            taken[name] = observed(space, trunk.observe, path)
        except CompositionError as error:
            problems += error.problems
    if problems:
        raise CompositionError(*problems)
    return taken


def _encoder(layout: Layout, catalog: Catalog, name: str, part: Observed) -> Choice[EncoderConfig]:
    """The encoder of a trunk: its own, else as the algorithm has it, else as the main trunk's."""
    is_laid_out = name in layout.laid_out
    usual = layout.usual[name].encoder if name in layout.usual else None
    own = None if is_laid_out else layout.trunks[name].encoder
    wanted = next(e for e in (own, usual, layout.model.encoder) if e is not None)
    by_main = own is None or name == "main"
    choice = catalog.encoder(
        part.space,
        wanted,
        algorithm=layout.algorithm_name,
        trunk=name,
        path="model.encoder" if by_main else f"model.trunks.{name}.encoder",
    )
    if name != "main" and own is None and (is_laid_out or usual is not None):
        return _laid_out(choice, layout.algorithm_name or "", as_main=usual is None)
    return choice


def _laid_out(
    choice: Choice[EncoderConfig], algorithm: str, *, as_main: bool
) -> Choice[EncoderConfig]:
    """The choice for a trunk that the algorithm set beside `main`, with that as its reason."""
    reason = choice.reason
    how = "whose encoder is given" if reason.kind == "given" else f"by {reason}"
    why = f"configured as `main`, {how}" if as_main else "its layers are those of its heads"
    why = f"a trunk of its own, {why}"
    return replace(
        choice, reason=Reason(kind="layout", name=algorithm, why=why, tried=reason.tried)
    )


def _head_nodes(
    layout: Layout,
    taken: Mapping[str, Observed],
    widths: Mapping[str, int],
    distribution: Choice[DistributionConfig],
) -> list[Node]:
    """The heads, and behind the one that acts the distribution."""
    acting = layout.acting()
    if acting is None:
        raise CompositionError(_nobody_acts(layout))
    space = layout.action_space
    nodes: list[Node] = []
    for role, head in layout.heads.items():
        trunk = layout.reads[role]
        end = f"{trunk}.memory"
        # What an auxiliary head learns from one observation is no matter of time.
        if end not in widths or isinstance(head, AuxiliaryHeadConfig):
            end = f"{trunk}.encoder"
        detached, reason = layout.detaches(role), layout.reason(role)
        place = HeadPlace(role, end, widths[end], detached, reason)
        if isinstance(head, AuxiliaryHeadConfig):
            nodes.append(place.auxiliary(head, taken[trunk].space, space))
        elif isinstance(head, OutputHeadConfig):
            nodes.append(place.output(head, space, distribution.config))
        if role == acting:
            nodes += distribution_nodes(role, space, distribution)
    return nodes


def _nobody_acts(layout: Layout) -> Problem:
    """The problem of a model whose heads choose no action."""
    return Problem(
        "no head chooses actions: it takes a `policy`, or a `q` of one critic",
        path="model.heads",
        value=list(layout.heads),
        fix="model.heads.policy.type=policy",
    )
