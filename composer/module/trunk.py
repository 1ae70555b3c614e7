"""A trunk: an encoder, then a memory."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from composer.columns import Columns
from composer.errors import ModuleError
from composer.heads._codes import Code
from composer.memories.base import Memory, State
from composer.spaces import Nested


class Trunk(nn.Module):
    """An encoder and perhaps a memory, with a name that heads read.

    Args:
        name: Under which its state stands in a batch.
        encoder: Observation → features.
        key: The entry of the observation that it takes; None for all of it.
        memory: Features over time → features over time.
        previous: What the memory takes beside the encoder's features.
    """

    def __init__(
        self,
        *,
        name: str,
        encoder: nn.Module,
        key: str | int | None = None,
        memory: nn.Module | None = None,
        previous: "Previous | None" = None,
    ) -> None:
        super().__init__()
        assert isinstance(memory, Memory | None)
        self.name = name
        self.key = key
        self.encoder = encoder
        self.memory = memory
        self.previous = previous

    def forward(self, batch: Mapping[str, Any], states: dict[str, State] | None = None) -> Tensor:
        """Features `(*B, F)` of a batch.

        Args:
            batch: `obs`, nested as the space is, `(*B, …)`; for a memory also `state_in`, and
                `is_first` where episodes begin. Two axes `(B, T)` are sequences, whose states are
                `(B, …)`; else it is a step.
            states: Gains the state after the batch, by the trunk's name; that of sequences is
                detached.
        """
        features = self.encode(batch[Columns.OBS])
        return features if self.memory is None else self._remember(features, batch, states)

    def encode(self, obs: Nested) -> Tensor:
        """What the encoder says of observations, `(*B, F)`."""
        return self.encoder(self.observed(obs))

    def observed(self, obs: Nested) -> Nested:
        """What it takes of an observation."""
        return obs if self.key is None else obs[self.key]

    def _remember(
        self, features: Tensor, batch: Mapping[str, Any], states: dict[str, State] | None
    ) -> Tensor:
        assert self.memory is not None
        state, is_first = batch[Columns.STATE_IN][self.name], batch.get(Columns.IS_FIRST)
        if self.previous is not None:
            features = torch.cat([features, self.previous(batch, features, is_first)], -1)
        lead = features.shape[:-1]
        is_sequence = len(lead) == 2
        self._require_fit(state, is_first, lead[:1] if is_sequence else lead, lead)
        if is_sequence:
            out, after = self.memory(features, state, is_first)
            after = {name: leaf.detach() for name, leaf in after.items()}
        else:
            rows = {
                name: leaf.reshape(-1, *leaf.shape[len(lead) :]) for name, leaf in state.items()
            }
            begins = None if is_first is None else is_first.reshape(-1, 1)
            out, after = self.memory(features.reshape(-1, 1, features.shape[-1]), rows, begins)
            out = out.reshape(*lead, -1)
            after = {name: leaf.reshape((*lead, *leaf.shape[1:])) for name, leaf in after.items()}
        if states is not None:
            states[self.name] = after
        return out

    @functools.cached_property
    def _leaves(self) -> dict[str, torch.Size]:
        """The shape of each leaf of a state, but for its rows."""
        assert self.memory is not None
        return {name: leaf.shape[1:] for name, leaf in self.memory.initial_state(1).items()}

    def _require_fit(
        self, state: State, is_first: Tensor | None, rows: torch.Size, lead: torch.Size
    ) -> None:
        """Refuses a state of another memory or of other rows, and an `is_first` of other steps."""
        wrong = [
            f"`{Columns.STATE_IN}.{self.name}.{name}`: expected {(*rows, *leaf)}, given "
            + (str(tuple(state[name].shape)) if name in state else "nothing")
            for name, leaf in self._leaves.items()
            if name not in state or state[name].shape != (*rows, *leaf)
        ]
        wrong += [
            f"`{Columns.STATE_IN}.{self.name}` has `{name}`, which is of another memory"
            for name in state.keys() - self._leaves.keys()
        ]
        if is_first is not None and (is_first.shape != lead or is_first.dtype != torch.bool):
            wrong.append(
                f"`{Columns.IS_FIRST}`: expected {tuple(lead)} bool, given "
                f"{tuple(is_first.shape)} {str(is_first.dtype).removeprefix('torch.')}"
            )
        if wrong:
            raise ModuleError(*wrong)


class Previous(nn.Module):
    """The action of the step before and its reward, as numbers; zeros where an episode begins.

    Args:
        action: The code of the normalised action, and its width; None where it is not asked for.
        reward: Whether the reward is.
        normalised: Actions as they are kept → the normalised ones.
    """

    def __init__(
        self,
        *,
        action: tuple[Code, int] | None,
        reward: bool,
        normalised: Callable[[Nested], Nested],
    ) -> None:
        super().__init__()
        self.action, self.width = action or (None, 0)
        self.reward = reward
        self.normalised = normalised

    def forward(
        self, batch: Mapping[str, Any], features: Tensor, is_first: Tensor | None
    ) -> Tensor:
        """`prev_actions` and `prev_rewards` of a batch → `(*B, dim)`.

        Args:
            batch: May lack them where an episode begins everywhere.
            features: `(*B, F)`.
            is_first: `(*B,)`.

        Raises:
            ModuleError: If one is missing.
        """
        asked = {Columns.PREV_ACTIONS: self.action is not None, Columns.PREV_REWARDS: self.reward}
        lacking = [column for column, is_asked in asked.items() if is_asked and column not in batch]
        if lacking:
            if is_first is None or not is_first.all():
                raise ModuleError(
                    f"the memory takes {' and '.join(f'`{column}`' for column in lacking)}: give "
                    "what was done in the step before, unless an episode begins everywhere"
                )
            return features.new_zeros(*features.shape[:-1], self.width + self.reward)
        parts = []
        if self.action is not None:
            parts.append(self.action(self.normalised(batch[Columns.PREV_ACTIONS])))
        if self.reward:
            parts.append(batch[Columns.PREV_REWARDS].to(features.dtype).unsqueeze(-1))
        joined = torch.cat(parts, -1)
        return joined if is_first is None else joined.masked_fill(is_first.unsqueeze(-1), 0.0)
