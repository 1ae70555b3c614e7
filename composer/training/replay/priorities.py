"""Priorities: which steps are sampled more often, and what makes up for it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from composer.errors import TrainingError
from composer.training.replay.sum_tree import SumTree


class Priorities:
    """Proportional prioritisation (Schaul et al., 2016, arXiv:1511.05952, section 3.3).

    A step is drawn with probability P(i) = p_i^alpha / Σ p^alpha, where p is its last error and
    `eps`; one that has not been drawn has the highest p there ever was. The weights
    (n P(i))^-beta are divided by the largest of the batch, which n drops out of.

    Args:
        size: Slots; those without a step have probability 0.
        alpha: 0 is uniform.
        beta: At the start; it rises linearly to 1 at the end of training.
        eps: Added to the errors.
    """

    def __init__(self, size: int, alpha: float, beta: float, eps: float) -> None:
        self.alpha = alpha
        self.beta = beta
        self.eps = eps
        self.tree = SumTree(size)  # of p^alpha
        self.highest = 1.0

    def enter(self, slots: np.ndarray, filled: np.ndarray) -> None:
        """New steps take the highest priority; slots that are not filled are never drawn."""
        self.tree.set(slots, np.where(filled, self.highest, 0.0))

    def draw(
        self, batch_size: int, generator: torch.Generator, progress: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Slots `(B,)` int64, one of each B-th part of the sum, and their weights float32."""
        parts = np.arange(batch_size) + _uniform(batch_size, generator)
        slots = self.tree.find(parts * (self.tree.total / batch_size))
        beta = self.beta + (1.0 - self.beta) * progress
        weights = self.tree.values[slots] ** -beta
        return slots, (weights / weights.max()).astype(np.float32)

    def update(self, slots: np.ndarray, errors: np.ndarray) -> None:
        """Steps that were learnt from have the priorities of their errors, `(B,)` of any sign.

        Raises:
            TrainingError: An error is not finite.
        """
        if not np.isfinite(errors).all():
            raise TrainingError("an error by which steps are prioritised is not finite")
        values = (np.abs(errors).astype(np.float64) + self.eps) ** self.alpha
        self.highest = max(self.highest, float(values.max(initial=0.0)))
        held = self.tree.values[slots] > 0  # what was overwritten meanwhile is not drawn again
        self.tree.set(slots[held], values[held])

    def get_tensors(self) -> dict[str, Tensor]:
        """The priorities of all slots."""
        return {"priorities": torch.from_numpy(self.tree.values.copy())}

    def get_numbers(self) -> dict[str, Any]:
        """The highest of them."""
        return {"highest": self.highest}

    def set_state(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Loads what `get_tensors` and `get_numbers` gave."""
        self.tree.set_all(tensors["priorities"].numpy())
        self.highest = numbers["highest"]


def _uniform(size: int, generator: torch.Generator) -> np.ndarray:
    return torch.rand(size, generator=generator, dtype=torch.float64).numpy()
