"""ReplayConfig: how much is remembered, and what of it is learnt from most often."""

from typing import Annotated

from pydantic import Field

from composer.config import Config, Fraction, Steps
from composer.errors import Problem

BESIDE = 2
"""Slots of a row that no return covers: its successor's, and the one being written."""


class PrioritisedConfig(Config):
    """Prioritised replay (Schaul et al., 2016, arXiv:1511.05952): surprises come again sooner."""

    alpha: Fraction = 0.6
    """Exponent of the priorities; 0 is uniform."""
    beta: Fraction = 0.4
    """Exponent of the importance weights at the start; it rises to 1 over training."""
    eps: Annotated[float, Field(gt=0.0)] = 1e-6
    """Added to the errors, so that what was predicted exactly may come again."""


class ReplayConfig(Config):
    """The memory of off-policy learning."""

    capacity: Annotated[Steps, Field(gt=0)] = 100_000
    """Environment steps kept, over all environments."""
    prioritised: PrioritisedConfig | None = None
    """`{}` samples by priority, with the defaults; null: uniformly."""
    burn_in: Steps = 0
    """Steps before those learnt from, over which a memory only gets its state."""

    def problems(
        self, num_envs: int, batch_size: int, n_step: int, path: str = "algorithm.replay"
    ) -> list[Problem]:
        """What is wrong with it for this many environments, batches and returns of this length.

        Args:
            num_envs: Environments that share the capacity.
            batch_size: Transitions of a batch.
            n_step: Rewards of a return.
            path: Where the replay stands in the whole configuration.
        """
        row, needed = self.capacity // num_envs, n_step + BESIDE
        mistakes: list[str] = []
        if self.capacity < batch_size:
            mistakes.append(
                f"a replay of {self.capacity} steps is smaller than a batch of {batch_size}"
            )
        if row < needed:
            mistakes.append(
                f"{num_envs} environments share the replay: of each it keeps {row} steps, and "
                f"returns of {n_step} steps need {needed}"
            )
        fix = f"{path}.capacity={max(batch_size, num_envs * needed)}"
        if self.capacity >= batch_size and 0 < (longest := row - BESIDE) < n_step:
            name = f"{path.rpartition('.')[0]}.n_step"
            message = f"{mistakes[0]}; shorten them, or keep more by {fix}"
            return [Problem(message, name, n_step, fix=f"{name}={longest}")]
        return [Problem(text, f"{path}.capacity", self.capacity, fix=fix) for text in mistakes]

    def sequence_problems(
        self, num_envs: int, length: int | None, n_step: int, path: str = "algorithm.replay"
    ) -> list[Problem]:
        """What is wrong with it for sequences of this length, None without a memory; see
        `problems`.
        """
        if length is None:
            rule = "there is no memory that could get its state from them"
            name = f"{path}.burn_in"
            return [Problem(rule, name, self.burn_in, fix=f"{name}=0")] if self.burn_in else []
        row, needed = self.capacity // num_envs, self.burn_in + 2 * (length - 1) + n_step + BESIDE
        if row >= needed:
            return []
        message = (
            f"{num_envs} environments share the replay: of each it keeps {row} steps, and "
            f"sequences of {self.burn_in} + {length} with returns of {n_step} steps need {needed}"
        )
        name = f"{path}.capacity"
        return [Problem(message, name, self.capacity, fix=f"{name}={num_envs * needed}")]
