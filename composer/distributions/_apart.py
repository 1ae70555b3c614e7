"""Distributions taken apart: what is inside a joint one, its real components and its choices."""

import itertools
from typing import Any

import torch
from torch import Tensor

from composer.distributions._composite import KeyedDistribution
from composer.distributions.base import Distribution
from composer.distributions.categorical import MASKED_LOGIT
from composer.spaces import Nested


def uniform(distribution: Distribution, generator: torch.Generator | None = None) -> Nested:
    """Actions that are as likely as any other that may be taken, as the distribution keeps them.

    Real components are drawn between -1 and 1 of the normalised space.
    """
    if isinstance(distribution, KeyedDistribution):
        return distribution.nested(
            {key: uniform(child, generator) for key, child in distribution.children.items()}
        )
    action_map, inputs = distribution.action_map, distribution.inputs
    shape = distribution.deterministic().shape if action_map.real else inputs.shape
    noise = torch.rand(shape, generator=generator, device=inputs.device)
    if action_map.real:
        return action_map.kept(2 * noise - 1)
    likeliest: Any = type(distribution)
    return likeliest(noise - 0.5, action_map, distribution.mask).deterministic()


class Apart:
    """A distribution over real components and choices, each kind in a row of its own.

    A are the real components of all its parts, one after the other; D their discrete components,
    branches, with K choices each.
    """

    def __init__(self, distribution: Distribution) -> None:
        self.distribution = distribution
        self.parts: list[Any] = _parts(distribution)
        self.reals = [part for part in self.parts if part.action_map.real]
        self.choices = [part for part in self.parts if not part.action_map.real]
        self.counts = [n for part in self.choices for n in part.action_map.counts]

    def normalised(self, actions: Nested) -> Tensor:
        """The real components of actions as they are kept, in the normalised space, `(*B, A)`."""
        parts = zip(_parts(self.distribution), _values(self.distribution, actions), strict=True)
        return _row(
            [part._flat(part.action_map.normalised(v)) for part, v in parts if part.action_map.real]
        )

    def places(self, actions: Nested) -> Tensor:
        """Where the choices of actions stand among those of all branches, `(*B, D)`."""
        parts = zip(_parts(self.distribution), _values(self.distribution, actions), strict=True)
        chosen = _row([part._flat(v) for part, v in parts if not part.action_map.real])
        first = [0, *itertools.accumulate(self.counts[:-1])]
        return chosen.long() + torch.as_tensor(first, device=chosen.device)

    def rsample(self, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Real components `(*B, A)` in the normalised space with gradient, and their log-density.

        Only where every real part is one that has an `rsample`.
        """
        drawn = [part.rsample(generator) for part in self.reals]
        parts = list(zip(self.reals, drawn, strict=True))
        log_prob = torch.stack([part.log_prob(kept) for part, kept in parts]).sum(0)
        return _row(
            [part._flat(part.action_map.normalised(kept)) for part, kept in parts]
        ), log_prob

    def deterministic(self) -> Tensor:
        """The deterministic action's real components in the normalised space, `(*B, A)`."""
        return self.normalised(self.distribution.deterministic())

    def log_probs(self) -> Tensor:
        """Log-probability of each choice, one branch after the other, `(*B, ΣK)`."""
        return _row([part.log_probs for part in self.choices])

    def log_counts(self) -> Tensor:
        """Highest entropy of the choices that may be taken: Σ log of their number, `(*B,)`."""
        allowed = self.log_probs().detach() > MASKED_LOGIT / 2
        branches = [branch.sum(-1) for branch in allowed.split(self.counts, -1)]
        return torch.stack(branches).log().sum(0)


def _parts(distribution: Distribution) -> list[Distribution]:
    """The distributions inside joint ones, in their order."""
    if not isinstance(distribution, KeyedDistribution):
        return [distribution]
    return [part for child in distribution.children.values() for part in _parts(child)]


def _values(distribution: Distribution, actions: Nested) -> list[Tensor]:
    """Actions of the distributions inside joint ones, in the same order."""
    if not isinstance(distribution, KeyedDistribution):
        return [actions]
    given = distribution.by_key(actions)
    children = distribution.children.items()
    return [value for key, child in children for value in _values(child, given[key])]


def _row(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)
