"""`oneof`: OneOf actions, a branch and then an action of that branch."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor

from composer.distributions._composite import (
    CompositeDistributionConfig,
    JoinedActionDistribution,
    JoinedDistribution,
    child_mask,
)
from composer.distributions.base import (
    ActionDistribution,
    ActionMap,
    Distribution,
    branches_to_env,
)
from composer.distributions.categorical import CategoricalDistribution
from composer.spaces import Nested, describe, map_structure


class OneOfConfig(CompositeDistributionConfig):
    """A probability for each branch, and a distribution of its own behind each."""

    type: Literal["oneof"] = "oneof"

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.OneOf):
            return None
        return f"`oneof` acts in a OneOf, not {describe(space)}"

    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        assert isinstance(space, spaces.OneOf)
        return {str(index): child for index, child in enumerate(space.spaces)}

    def own_dim(self, space: gym.Space) -> int:
        """A logit for each branch."""
        return len(self.child_spaces(space))

    def join(self, space: gym.Space, parts: Mapping[str, ActionDistribution]) -> ActionDistribution:
        return OneOf(space=space, parts=parts, own_dim=len(parts))


class OneOf(JoinedActionDistribution):
    """The branches' logits, then the inputs of each branch."""

    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        """mask: `{"branch": (*B, branches), "values": …}`, either of which may be missing; or only
        the values', a tuple with a mask or None for each branch.
        """
        logits, pieces = self.pieces(inputs)
        if mask is not None and not isinstance(mask, Mapping):
            mask = {"values": mask}
        within = child_mask(mask, "values")
        children = {k: part(pieces[k], child_mask(within, k)) for k, part in self.parts.items()}
        choice = ActionMap(spaces.Discrete(len(pieces)))
        branch = CategoricalDistribution(logits, choice, child_mask(mask, "branch"))
        return OneOfDistribution(inputs, self.space, children, branch)


class OneOfDistribution(JoinedDistribution):
    """Inputs are the branches' logits, then those of each branch.

    Actions are `{"branch": (*B,) int64, "values": one action a branch}`; the values of branches
    that were not drawn are zeros and do not count.
    """

    def __init__(
        self,
        inputs: Tensor,
        space: gym.Space,
        children: Mapping[str, Distribution],
        branch: CategoricalDistribution,
    ) -> None:
        super().__init__(inputs, space, children)
        self.branch = branch

    def sample(self, generator: torch.Generator | None = None) -> Nested:
        branch = self.branch.sample(generator)
        return _taken(branch, (child.sample(generator) for child in self.children.values()))

    def deterministic(self) -> Nested:
        """The most probable branch, then its child's own."""
        branch = self.branch.deterministic()
        return _taken(branch, (child.deterministic() for child in self.children.values()))

    def log_prob(self, actions: Nested) -> Tensor:
        """actions: a branch and its values, normalised as the branch's child says."""
        branch, total = actions["branch"], self.branch.log_prob(actions["branch"])
        for index, (child, values) in enumerate(
            zip(self.children.values(), actions["values"], strict=True)
        ):
            total = total + torch.where(branch == index, child.log_prob(values), 0.0)
        return total

    def entropy(self) -> Tensor:
        inner = torch.stack([child.entropy() for child in self.children.values()], -1)
        return self.branch.entropy() + (self.branch.probs * inner).sum(-1)

    def kl(self, other: Any) -> Tensor:
        pairs = ((child, other.children[key]) for key, child in self.children.items())
        inner = torch.stack([child.kl(its) for child, its in pairs], -1)
        return self.branch.kl(other.branch) + (self.branch.probs * inner).sum(-1)

    def normalised(self, actions: Nested) -> Nested:
        children = zip(self.children.values(), actions["values"], strict=True)
        return {**actions, "values": tuple(child.normalised(value) for child, value in children)}

    def to_env(self, actions: Nested) -> Nested:
        """What `env.step` takes: a pair `(branch, value)`, or a tuple of N of them."""
        values = zip(self.children.values(), actions["values"], strict=True)
        taken = [child.to_env(value) for child, value in values]
        return branches_to_env(cast(spaces.OneOf, self.space), actions["branch"], taken)

    def to_deterministic(self) -> "OneOfDistribution":
        children = {key: child.to_deterministic() for key, child in self.children.items()}
        logits = self.branch.log_probs
        best = torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        certain = CategoricalDistribution(logits, self.branch.action_map, best)
        return OneOfDistribution(self.inputs, self.space, children, certain)


def _taken(branch: Tensor, values: Iterable[Nested]) -> Nested:
    """An action: the branch, and what each would do, zeros where it is not the one."""

    def kept(index: int, leaf: Tensor) -> Tensor:
        taken = (branch == index).reshape(branch.shape + (1,) * (leaf.dim() - branch.dim()))
        return torch.where(taken, leaf, torch.zeros_like(leaf))

    return {
        "branch": branch,
        "values": tuple(
            map_structure(lambda leaf, index=index: kept(index, leaf), value)
            for index, value in enumerate(values)
        ),
    }
