"""The kinds of node in a blueprint."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import nn

from composer.config import Config, Family, Frozen, Listed, Size
from composer.distributions._composite import CompositeDistributionConfig
from composer.distributions.base import ActionDistribution, DistributionConfig
from composer.encoders._composite import CompositeEncoderConfig, FeaturesOf
from composer.encoders.base import EncoderConfig
from composer.heads._auxiliary import AuxiliaryHead, AuxiliaryHeadConfig
from composer.heads.base import HeadConfig, OutputHeadConfig
from composer.memories.base import Memory, MemoryConfig, StatefulMemoryConfig
from composer.spaces import SpaceField, describe, example_of


class Tried(Config):
    """A rule of the catalog that was asked."""

    rule: str
    mismatch: str | None = None
    """Why it did not apply; None of the one that was taken."""


class Reason(Config):
    """Why a node is as it is."""

    kind: Literal["rule", "given", "needed", "layout"]
    name: str = ""
    """The rule, or the algorithm that needs the part or laid it out."""
    why: str = ""
    tried: Listed[Tried] = ()
    """The rules in the order in which they were asked, the one taken last; empty where none was."""

    def __str__(self) -> str:
        head = {
            "rule": f"rule `{self.name}`",
            "given": "given",
            "needed": f"needed by {self.name}",
            "layout": f"layout of {self.name}",
        }[self.kind]
        return f"{head}: {self.why}" if self.why else head


GIVEN = Reason(kind="given")


class Node(Family, family="node"):
    """One part of the graph. Nothing in it is `auto`."""

    name: str
    """The part's name in the module too: `main.encoder`, `policy`."""
    inputs: Listed[str]
    """Names of nodes, or columns of a batch."""
    out_dim: Size
    reason: Reason

    @property
    def trunk(self) -> str:
        """The trunk it belongs to, or reads."""
        return self.name.partition(".")[0]

    @property
    def place(self) -> str:
        """Where its settings stand in the configuration; a further trunk's, if it has its own."""
        raise NotImplementedError

    def takes(self) -> str:
        """What goes in, for people."""
        return ", ".join(self.inputs)

    def build(self, parts: Mapping[str, nn.Module] | None = None) -> nn.Module:
        """The part.

        Args:
            parts: What its inputs were built as, by name; a part that joins others is made around
                them, or without them around stand-ins that give the right shapes.
        """
        raise NotImplementedError

    def example(self) -> tuple[Any, ...] | None:
        """What the part is called with for a batch of one; None where it multiplies nothing."""
        return None


class EncoderNode(Node):
    """Observation → features `(*B, out_dim)`."""

    type: Literal["encoder"] = "encoder"
    space: SpaceField
    config: EncoderConfig
    observed: str | int | None = None
    """The entry of the observation that a trunk takes; None for all of it."""

    @property
    def place(self) -> str:
        return _encoder_place(self.name)

    def takes(self) -> str:
        return describe(self.space)

    def build(self, parts: Mapping[str, nn.Module] | None = None) -> nn.Module:
        return self.config.build(self.space)

    def example(self) -> tuple[Any, ...]:
        return (example_of(self.space),)


class CombineNode(Node):
    """Joins the features of encoders that stand inside it → features `(*B, out_dim)`."""

    type: Literal["combine"] = "combine"
    space: SpaceField
    config: EncoderConfig
    """A composite, without its children, which are the nodes it names as inputs."""
    in_dims: Frozen[Size]
    """Features of each child, by its key, in the order of the inputs."""
    observed: str | int | None = None
    """The entry of the observation that a trunk takes; None for all of it."""

    @property
    def place(self) -> str:
        return _encoder_place(self.name)

    def takes(self) -> str:
        return " + ".join(map(str, self.in_dims.values()))

    def build(self, parts: Mapping[str, nn.Module] | None = None) -> nn.Module:
        config = cast(CompositeEncoderConfig, self.config)
        inner = config.child_spaces(self.space)
        built = {
            key: parts[name] if parts else FeaturesOf(space=inner[key], width=self.in_dims[key])
            for key, name in zip(self.in_dims, self.inputs, strict=True)
        }
        return config.join(self.space, built, self.in_dims)

    def example(self) -> tuple[Any, ...]:
        return (example_of(self.space),)


class MemoryNode(Node):
    """Features over time → features over time `(*B, out_dim)`, with state."""

    type: Literal["memory"] = "memory"
    in_dim: Size
    config: MemoryConfig

    @property
    def memory(self) -> StatefulMemoryConfig:
        return cast(StatefulMemoryConfig, self.config)

    @property
    def place(self) -> str:
        return _encoder_place(self.name)

    def takes(self) -> str:
        return f"{self.in_dim}"

    def build(self, parts: Mapping[str, nn.Module] | None = None) -> Memory:
        return self.memory.build(self.in_dim)

    def example(self) -> tuple[Any, ...]:
        return (torch.zeros(1, 1, self.in_dim),)


def _encoder_place(name: str) -> str:
    """`main.encoder.image` → `model.encoder.children.image`."""
    trunk, *path = name.split(".")
    return ".".join(
        ["model", *([] if trunk == "main" else ["trunks", trunk]), ".children.".join(path)]
    )


def _distribution_place(name: str) -> str:
    """`distribution.arm` → `model.distribution.children.arm`."""
    return f"model.{name.replace('.', '.children.')}"


class _Reading(Node):
    """A head: its first input is a trunk."""

    in_dim: Size
    config: HeadConfig
    stop_gradient: bool = False
    """The head's loss does not train what it reads."""

    @property
    def trunk(self) -> str:
        return self.inputs[0].partition(".")[0]

    @property
    def place(self) -> str:
        return f"model.heads.{self.name}"

    def takes(self) -> str:
        return f"{self.in_dim}"

    def example(self) -> tuple[Any, ...]:
        return (torch.zeros(1, self.in_dim),)


class HeadNode(_Reading):
    """Features → the outputs of one role `(*B, out_dim)`."""

    type: Literal["head"] = "head"

    @property
    def head(self) -> OutputHeadConfig:
        return cast(OutputHeadConfig, self.config)

    def build(self, parts: Mapping[str, nn.Module] | None = None) -> nn.Module:
        return self.head.build(self.in_dim, self.out_dim)


class AuxiliaryNode(_Reading):
    """Features → what a loss of its own is made of `(*B, out_dim)`."""

    type: Literal["auxiliary"] = "auxiliary"
    features: Size
    """Of its trunk."""
    space: SpaceField
    """What its trunk takes."""
    action_space: SpaceField

    @property
    def head(self) -> AuxiliaryHeadConfig:
        return cast(AuxiliaryHeadConfig, self.config)

    def build(self, parts: Mapping[str, nn.Module] | None = None) -> AuxiliaryHead:
        return self.head.build(self.features, self.space, self.action_space)


class DistributionNode(Node):
    """Policy outputs → actions; `out_dim` is the width of the distribution's inputs."""

    type: Literal["distribution"] = "distribution"
    space: SpaceField
    config: DistributionConfig

    @property
    def place(self) -> str:
        return _distribution_place(self.name)

    def takes(self) -> str:
        return f"{self.config.in_dim(self.space)}"

    def build(self, parts: Mapping[str, nn.Module] | None = None) -> ActionDistribution:
        return self.config.build(self.space)


class JointNode(Node):
    """Joins the distributions that stand inside it; `out_dim` is the width of its inputs."""

    type: Literal["joint"] = "joint"
    space: SpaceField
    config: DistributionConfig
    """A composite, without its children, which are the nodes it names as inputs."""
    in_dim: Size

    @property
    def place(self) -> str:
        return _distribution_place(self.name)

    def takes(self) -> str:
        return f"{self.in_dim}"

    def build(self, parts: Mapping[str, nn.Module] | None = None) -> nn.Module:
        if parts is None:
            return nn.Identity()  # a joint has no parameters beside its children's
        config = cast(CompositeDistributionConfig, self.config)
        keys = config.child_spaces(self.space)
        built = {key: parts[name] for key, name in zip(keys, self.inputs, strict=True)}
        return config.join(self.space, cast("dict[str, ActionDistribution]", built))
