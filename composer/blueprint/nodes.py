"""The kinds of node in a blueprint."""

import copy
from typing import Any, Literal

import torch
from torch import nn

from composer.config import Config, Family, Listed, Size
from composer.distributions.base import ActionDistribution, DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.heads.base import HeadConfig
from composer.spaces import SpaceField, batch, describe, to_tensors


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

    def takes(self) -> str:
        """What goes in, for people."""
        return ", ".join(self.inputs)

    def build(self) -> nn.Module:
        """The part."""
        raise NotImplementedError

    def example(self) -> tuple[Any, ...] | None:
        """What the part is called with for a batch of one; None where it multiplies nothing."""
        return None


class EncoderNode(Node):
    """Observation → features `(*B, out_dim)`."""

    type: Literal["encoder"] = "encoder"
    space: SpaceField
    config: EncoderConfig

    @property
    def trunk(self) -> str:
        return self.name.partition(".")[0]

    def takes(self) -> str:
        return describe(self.space)

    def build(self) -> nn.Module:
        return self.config.build(self.space)

    def example(self) -> tuple[Any, ...]:
        space = copy.deepcopy(self.space)
        space.seed(0)
        return (to_tensors(batch(space, [space.sample()])),)


class HeadNode(Node):
    """Features → the outputs of one role `(*B, out_dim)`."""

    type: Literal["head"] = "head"
    in_dim: Size
    config: HeadConfig
    stop_gradient: bool = False
    """The head's loss does not train what it reads."""

    @property
    def trunk(self) -> str:
        return self.inputs[0].partition(".")[0]

    def takes(self) -> str:
        return f"{self.in_dim}"

    def build(self) -> nn.Module:
        return self.config.build(self.in_dim, self.out_dim)

    def example(self) -> tuple[Any, ...]:
        return (torch.zeros(1, self.in_dim),)


class DistributionNode(Node):
    """Policy outputs → actions; `out_dim` is the width of the distribution's inputs."""

    type: Literal["distribution"] = "distribution"
    space: SpaceField
    config: DistributionConfig

    def takes(self) -> str:
        return f"{self.config.in_dim(self.space)}"

    def build(self) -> ActionDistribution:
        return self.config.build(self.space)
