"""What every memory config promises, and every memory."""

from abc import ABC, abstractmethod
from typing import Literal

from pydantic import field_validator
from torch import Tensor, nn

from composer.config import Family, Listed, Size
from composer.problems import invalid_value

State = dict[str, Tensor]
"""What a memory carries from step to step, leaves `(B, …)`."""


class MemoryConfig(Family, family="memory", default="none"):
    """Features over time → features over time, with state."""


class StatefulMemoryConfig(MemoryConfig):
    """A memory that has something to remember."""

    inputs: Listed[Literal["prev_action", "prev_reward"]] = ()
    """What it takes of the step before, beside the encoder's features.

    The normalised action and the reward; zeros where an episode begins."""
    max_seq_len: Size = 20
    """Steps of the sequences that it is trained on."""

    @field_validator("inputs")
    @classmethod
    def _each_once(cls, inputs: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(inputs)) < len(inputs):
            raise invalid_value("an input is taken once", meant=[[*dict.fromkeys(inputs)]])
        return inputs

    @abstractmethod
    def out_dim(self, in_dim: int) -> int:
        """Features that leave it."""

    @abstractmethod
    def build(self, in_dim: int) -> "Memory":
        """The module."""


class Memory(nn.Module, ABC):
    """Sees a sequence at once, or one step of it: both give the same."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state where episodes begin, leaves `(batch_size, …)` on the module's device."""

    @abstractmethod
    def forward(
        self, features: Tensor, state: State | None = None, is_first: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """What it makes of each step, and the state after the last.

        Args:
            features: `(B, T, F)`.
            state: Before the first step, leaves `(B, …)`; the initial one by default.
            is_first: `(B, T)` bool, True where an episode begins: nothing of what was before is
                known from there on. None is False everywhere.

        Returns:
            `(B, T, out_dim)`, and the state; after several steps it may have no gradient.
        """


def kept(state: State, where: Tensor) -> State:
    """The state in the rows where it is to be kept, zeros in the others; where: `(B,)` bool."""
    return {
        name: leaf.masked_fill(~where.view(-1, *[1] * (leaf.dim() - 1)), 0)
        for name, leaf in state.items()
    }
