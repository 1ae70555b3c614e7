"""What every distribution promises, and the map between its normalised space and the environment.

A distribution lives in a normalised space: a Box dimension with finite bounds is [-1, 1], one
without is itself, and anything discrete counts from 0. Log-probabilities, entropies and stored
actions are all in that space; `to_env` is the last thing before `env.step`. Only what is squashed
is kept as it was before.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from composer.config import Family
from composer.errors import ModuleError
from composer.spaces import Nested, category_counts, describe, is_real


class ActionMap:
    """Normalised actions → what `env.step` takes.

    Args:
        space: The actions of a single environment.
        before_tanh: Actions are kept as they are before a tanh that takes them into the normalised
            space.
    """

    counts: tuple[int, ...] = ()
    """How many actions each component of a discrete space has."""

    def __init__(self, space: gym.Space, *, before_tanh: bool = False) -> None:
        self.space = space
        self.before_tanh = before_tanh
        self.dtype = np.dtype(cast(Any, space.dtype))
        self.real = is_real(space)
        if is_real(space):
            low, high = space.low.astype(np.float64), space.high.astype(np.float64)
            finite = np.isfinite(low) & np.isfinite(high)
            lowest, highest = np.where(finite, low, -1.0), np.where(finite, high, 1.0)
            self.scale, self.offset = highest / 2 - lowest / 2, highest / 2 + lowest / 2
            largest = np.finfo(self.dtype).max
            self.low, self.high = np.maximum(low, -largest), np.minimum(high, largest)
        else:
            self.counts = category_counts(space)
            first = space.low if isinstance(space, spaces.Box) else getattr(space, "start", 0)
            self.start = np.asarray(first).astype(np.int64)  # with uint64 a sum would be a float

    @functools.cached_property
    def squashed(self) -> "ActionMap":
        """The same for actions that are kept as they are before a tanh."""
        return ActionMap(self.space, before_tanh=True)

    def normalised(self, actions: Tensor) -> Tensor:
        """Actions as they are kept → in the normalised space, of the same shape."""
        return actions.tanh() if self.before_tanh else actions

    def kept(self, actions: Tensor) -> Tensor:
        """The inverse of `normalised`; a bound that no tanh reaches is the nearest it does."""
        if not self.before_tanh:
            return actions
        edge = 1 - torch.finfo(actions.dtype).eps
        return actions.clamp(-edge, edge).atanh()

    def __call__(self, actions: Tensor) -> np.ndarray:
        """actions: `(*B, *shape)` normalised → the same shape, in the space, of its dtype."""
        values = self.normalised(actions).detach().cpu().numpy()
        if self.real:
            with np.errstate(over="ignore"):  # an infinite product is clipped to the bound
                scaled = values * self.scale + self.offset
            return np.asarray(np.clip(scaled, self.low, self.high), self.dtype)
        return (values + self.start).astype(self.dtype)


def map_actions(space: gym.Space, actions: Nested) -> Nested:
    """Normalised actions of a space, nested or not → what `env.step` takes."""
    if isinstance(space, spaces.Dict):
        return {key: map_actions(child, actions[key]) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(map(map_actions, space.spaces, actions))
    if isinstance(space, spaces.OneOf):
        values = list(map(map_actions, space.spaces, actions["values"]))
        return branches_to_env(space, actions["branch"], values)
    return ActionMap(space)(actions)


def branches_to_env(space: spaces.OneOf, branch: Tensor, values: Sequence[Nested]) -> Nested:
    """Actions of a OneOf, by branch → a pair `(branch, value)`, or tuples of pairs along `*B`."""
    if branch.dim():
        return tuple(
            branches_to_env(
                space, branch[i], list(map(_row, space.spaces, values, [i] * len(values)))
            )
            for i in range(len(branch))
        )
    index = int(branch)
    return np.int64(index), values[index]


def _row(space: gym.Space, values: Nested, i: int) -> Nested:
    """One of a batch of actions as `env.step` takes them."""
    if isinstance(space, spaces.Dict):
        return {key: _row(child, values[key], i) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_row(child, part, i) for child, part in zip(space.spaces, values, strict=True))
    return values[i]


class Distribution(ABC):
    """Distributions over actions for a batch: one for each of the leading axes `*B`."""

    def __init__(self, inputs: Tensor, action_map: ActionMap, mask: Nested = None) -> None:
        if mask is not None and action_map.real:
            space = describe(action_map.space)
            raise ModuleError(f"an action mask forbids choices, and {space} has none")
        self.inputs = inputs
        self.action_map = action_map
        self.mask = mask
        self.shape = action_map.space.shape or ()

    def _shaped(self, flat: Tensor) -> Tensor:
        """`(*B, A)` → `(*B, *shape)`."""
        return flat if len(self.shape) == 1 else flat.reshape((*flat.shape[:-1], *self.shape))

    def _flat(self, actions: Tensor) -> Tensor:
        """`(*B, *shape)` → `(*B, A)`."""
        if len(self.shape) == 1:
            return actions
        lead = actions.shape[: actions.dim() - len(self.shape)]
        return actions.reshape((*lead, math.prod(self.shape)))

    @classmethod
    @abstractmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        """Width of `inputs` for an action space."""

    @classmethod
    def for_space(cls, space: gym.Space) -> "ActionDistribution":
        """This class for one action space, with no parameters of its own."""
        return PlainDistribution(distribution=cls, space=space)

    @abstractmethod
    def sample(self, generator: torch.Generator | None = None) -> Nested:
        """Actions `(*B, *shape)` in the normalised space, without gradient."""

    @abstractmethod
    def deterministic(self) -> Nested:
        """The action taken when not exploring, `(*B, *shape)`."""

    @abstractmethod
    def log_prob(self, actions: Any) -> Tensor:
        """Log-density or log-probability of normalised actions, `(*B,)`, in nats."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """Entropy, `(*B,)`, in nats."""

    @abstractmethod
    def kl(self, other: Any) -> Tensor:
        """KL(self ‖ other), `(*B,)`, in nats."""

    def normalised(self, actions: Any) -> Nested:
        """Actions as they are kept → in the normalised space, nested alike."""
        return self.action_map.normalised(actions)

    def to_env(self, actions: Any) -> Nested:
        """What `env.step` takes: scaled, clipped, of the space's dtype."""
        return self.action_map(actions)

    def to_deterministic(self) -> "Distribution":
        """The distribution that always gives `deterministic()`."""
        return DeterministicDistribution(self.deterministic(), self.action_map)


class DeterministicDistribution(Distribution):
    """All mass on one action; `inputs` are the actions themselves."""

    @classmethod
    def required_input_dim(cls, space: gym.Space) -> int:
        return int(np.prod(space.shape or ()))

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.inputs.detach()

    def deterministic(self) -> Tensor:
        return self.inputs

    def _lead(self) -> torch.Size:
        rank = len(self.action_map.space.shape or ())
        return self.inputs.shape[: self.inputs.dim() - rank]

    def log_prob(self, actions: Tensor) -> Tensor:
        """0 for the action itself, -inf for any other."""
        same = (actions == self.inputs).reshape(*self._lead(), -1).all(-1)
        return torch.where(same, 0.0, -torch.inf)

    def entropy(self) -> Tensor:
        return torch.zeros(self._lead(), device=self.inputs.device)

    def kl(self, other: Distribution) -> Tensor:
        return -other.log_prob(self.inputs)


class ActionDistribution(nn.Module, ABC):
    """A distribution for one action space, as a part of a module.

    What the policy head gives becomes complete `inputs` (they may need parameters of this part,
    such as a free log-std), and inputs become a Distribution. Inputs stand alone: kept in a
    rollout, they give the same distribution after the parameters have moved.
    """

    in_dim: int
    """Width of what the policy head gives."""
    inputs_dim: int

    @abstractmethod
    def inputs(self, outputs: Tensor) -> Tensor:
        """outputs: `(*B, in_dim)` of the policy head → `(*B, inputs_dim)`."""

    @abstractmethod
    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        """inputs: `(*B, inputs_dim)`; mask: what may be chosen, as the distribution says."""

    def require_width(self, inputs: Tensor) -> None:
        """Raises a ModuleError if there are too few inputs or too many, which could broadcast."""
        if inputs.shape[-1:] != (self.inputs_dim,):
            raise ModuleError(
                f"the inputs of the distribution have the shape {tuple(inputs.shape)}, where the "
                f"action space needs (*B, {self.inputs_dim})"
            )


class PlainDistribution(ActionDistribution):
    """The policy head's outputs are the inputs."""

    def __init__(self, *, distribution: type[Distribution], space: gym.Space) -> None:
        super().__init__()
        self.distribution = distribution
        self.action_map = ActionMap(space)
        self.in_dim = self.inputs_dim = distribution.required_input_dim(space)

    def inputs(self, outputs: Tensor) -> Tensor:
        return outputs

    def forward(self, inputs: Tensor, mask: Nested = None) -> Distribution:
        self.require_width(inputs)
        return self.distribution(inputs, self.action_map, mask)


class DistributionConfig(Family, family="distribution"):
    """Policy outputs → actions."""

    has_density: ClassVar[bool] = True
    """An algorithm can learn from its log-probabilities."""

    @abstractmethod
    def refusal(self, space: gym.Space) -> str | None:
        """Why this distribution cannot act in the space, or None where it can."""

    def resolve(self, space: gym.Space) -> Self:
        """The same config with every derived field filled in for the space."""
        return self

    @abstractmethod
    def in_dim(self, space: gym.Space) -> int:
        """Width that the policy head must give."""

    @abstractmethod
    def build(self, space: gym.Space) -> ActionDistribution:
        """The part of the module."""

    @abstractmethod
    def bind(self, space: gym.Space) -> ActionDistribution:
        """The same distribution over complete inputs, with no parameters of its own."""

    def summary(self, space: gym.Space) -> Any:
        """What `explain` says beside the name."""
        return None


def refuse_unless_bounded(tag: str, space: gym.Space) -> str | None:
    """The refusal of a distribution that acts between finite bounds only."""
    if not is_real(space):
        return f"`{tag}` acts in a Box of floats, not {describe(space)}"
    if space.is_bounded():
        return None
    return (
        f"`{tag}` acts between finite bounds, and {describe(space)} has an infinite one\n"
        "choose a distribution that needs no bounds, or bound the actions by `env.wrappers`"
    )
