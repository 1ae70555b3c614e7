"""The nodes of one part: an encoder's and a distribution's with those inside, a head's."""

from dataclasses import dataclass

import gymnasium as gym

from composer.blueprint.nodes import (
    GIVEN,
    AuxiliaryNode,
    CombineNode,
    DistributionNode,
    EncoderNode,
    HeadNode,
    JointNode,
    MemoryNode,
    Node,
    Reason,
)
from composer.catalog.catalog import Choice
from composer.columns import Columns
from composer.composites import part_names
from composer.composition.observed import Observed
from composer.distributions._composite import CompositeDistributionConfig
from composer.distributions.base import DistributionConfig
from composer.encoders._composite import CompositeEncoderConfig
from composer.encoders.base import EncoderConfig
from composer.errors import CompositionError, Problem
from composer.fixes import line
from composer.heads._auxiliary import AuxiliaryHeadConfig
from composer.heads._codes import normalised_space, uncoded, widths
from composer.heads.base import OutputHeadConfig
from composer.heads.next_state import unencoded
from composer.memories.base import MemoryConfig, StatefulMemoryConfig
from composer.spaces import real_dim


def encoder_nodes(name: str, observed: Observed, choice: Choice[EncoderConfig]) -> list[Node]:
    """The encoder of a space and, before it, those inside it."""
    config, space = choice.config, observed.space
    if not isinstance(config, CompositeEncoderConfig):
        return [
            EncoderNode(
                name=name,
                inputs=(Columns.OBS,),
                out_dim=config.out_dim(space),
                space=space,
                observed=observed.key,
                config=config,
                reason=choice.reason,
            )
        ]
    inner, names = config.child_spaces(space), part_names(choice.children)
    nodes: list[Node] = []
    for key, child in choice.children.items():
        nodes += encoder_nodes(f"{name}.{names[key]}", Observed(inner[key]), child)
    return [
        *nodes,
        CombineNode(
            name=name,
            inputs=tuple(f"{name}.{part}" for part in names.values()),
            out_dim=config.out_dim(space),
            in_dims={key: c.config.out_dim(inner[key]) for key, c in choice.children.items()},
            space=space,
            observed=observed.key,
            config=config.with_children({}),
            reason=choice.reason,
        ),
    ]


def memory_nodes(
    trunk: str, features: int, config: MemoryConfig, action_space: gym.Space
) -> list[Node]:
    """The memory of a trunk, behind its encoder; nothing where it has none."""
    if not isinstance(config, StatefulMemoryConfig):
        return []
    if "prev_action" in config.inputs and uncoded(action_space) is not None:
        path = "model.memory" if trunk == "main" else f"model.trunks.{trunk}.memory"
        others = [each for each in config.inputs if each != "prev_action"]
        raise CompositionError(
            Problem(
                unencoded("prev_action", action_space),
                f"{path}.inputs",
                list(config.inputs),
                fix=line(f"{path}.inputs", others),
            )
        )
    columns = {
        "prev_action": (Columns.PREV_ACTIONS, sum(widths(normalised_space(action_space)))),
        "prev_reward": (Columns.PREV_REWARDS, 1),
    }
    taken = [columns[each] for each in config.inputs]
    in_dim = features + sum(width for _, width in taken)
    return [
        MemoryNode(
            name=f"{trunk}.memory",
            inputs=(f"{trunk}.encoder", *(column for column, _ in taken)),
            in_dim=in_dim,
            out_dim=config.out_dim(in_dim),
            config=config,
            reason=GIVEN,
        )
    ]


def distribution_nodes(
    role: str, space: gym.Space, choice: Choice[DistributionConfig], name: str = "distribution"
) -> list[Node]:
    """The distribution of a space and, before it, those inside it."""
    config, width = choice.config, choice.config.bind(space).inputs_dim
    if not isinstance(config, CompositeDistributionConfig):
        return [
            DistributionNode(
                name=name,
                inputs=(role,),
                out_dim=width,
                space=space,
                config=config,
                reason=choice.reason,
            )
        ]
    inner, names = config.child_spaces(space), part_names(choice.children)
    nodes: list[Node] = []
    for key, child in choice.children.items():
        nodes += distribution_nodes(role, inner[key], child, f"{name}.{names[key]}")
    return [
        *nodes,
        JointNode(
            name=name,
            inputs=tuple(f"{name}.{part}" for part in names.values()),
            in_dim=config.in_dim(space),
            out_dim=width,
            space=space,
            config=config.with_children({}),
            reason=choice.reason,
        ),
    ]


@dataclass(frozen=True)
class HeadPlace:
    """Where a head stands in a model."""

    role: str
    reads: str
    """The node whose features it takes."""
    features: int
    detached: bool
    reason: Reason

    def output(
        self, head: OutputHeadConfig, action_space: gym.Space, distribution: DistributionConfig
    ) -> HeadNode:
        """The node of a head whose outputs an algorithm uses."""
        actions = real_dim(action_space) if head.takes_actions else 0
        return HeadNode(
            name=self.role,
            inputs=(self.reads, *([Columns.ACTIONS] if actions else [])),
            in_dim=self.features + actions,
            out_dim=head.out_dim(action_space, distribution),
            config=head,
            stop_gradient=self.detached,
            reason=self.reason,
        )

    def auxiliary(
        self, head: AuxiliaryHeadConfig, space: gym.Space, action_space: gym.Space
    ) -> AuxiliaryNode:
        """The node of a head that has a loss of its own."""
        between = self.features, space, action_space
        return AuxiliaryNode(
            name=self.role,
            inputs=(self.reads, *head.inputs),
            in_dim=head.in_dim(*between),
            out_dim=head.out_dim(*between),
            config=head,
            stop_gradient=self.detached,
            features=self.features,
            space=space,
            action_space=action_space,
            reason=self.reason,
        )
