"""Replay: the memory that off-policy algorithms sample transitions from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from composer.columns import Columns
from composer.module.step import Step
from composer.replay_config import BESIDE, PrioritisedConfig
from composer.spaces import Nested, map_structure
from composer.training.replay.priorities import Priorities
from composer.training.replay.ring import Ring

AT_BOTH_ENDS = {Columns.OBS: Columns.NEXT_OBS, Columns.ACTION_MASK: Columns.NEXT_ACTION_MASK}
"""Columns that a transition has at both of its ends."""


@dataclass(frozen=True)
class Sequences:
    """Transitions that are drawn as stretches of a row (Kapturowski et al., 2019, sec. 2.3)."""

    length: int
    """Steps that are learnt from."""
    burn_in: int = 0
    """Steps before them, from which a memory only gets its state."""


class Replay:
    """Transitions of n steps, out of the last `capacity` steps of N environments.

    A collector fills it as it fills a rollout, but the replay keeps its own time. A transition
    begins at a step that counts, sums the rewards of up to n steps, and ends at the observation
    after them; it ends earlier where the episode does, terminated or truncated, at the episode's
    final observation. It may be sampled once the n steps and the one after them are whole, and
    until the first of them is overwritten.

    Rows are contiguous in time, with the dummy steps in them, so sequences are cut from them as
    transitions are: a sequence is drawn by the first step that is learnt from, and it is all there.

    Args:
        observation_space: Of a single environment.
        num_envs: N.
        capacity: Environment steps over all environments; each has the N-th part, a row.
        gamma: Discount factor of the return.
        n_step: n.
        prioritised: How transitions are preferred; None: not at all.
        sequences: Draw sequences instead of transitions.
        steps: Steps of each environment that a collector adds at a time.

    Raises:
        ValueError: A row is too short for a transition.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        num_envs: int,
        capacity: int,
        *,
        gamma: float,
        n_step: int = 1,
        prioritised: PrioritisedConfig | None = None,
        sequences: Sequences | None = None,
        steps: int = 1,
    ) -> None:
        length = capacity // num_envs
        self.sequences = sequences
        self.before = sequences.burn_in if sequences else 0
        self.after = n_step + (sequences.length - 1 if sequences else 0)
        if length < self.before + self.after + BESIDE:
            of = f", in sequences of {self.before} + {sequences.length}" if sequences else ""
            raise ValueError(f"rows of {length} steps are too short for returns of {n_step}{of}")
        self.ring = Ring(observation_space, num_envs, length)
        self.steps = steps
        self.gammas = (gamma ** np.arange(n_step + 1)).astype(np.float32)
        self.n_step = n_step
        self.priorities = None
        if prioritised is not None:
            self.priorities = Priorities(
                num_envs * length, prioritised.alpha, prioritised.beta, prioritised.eps
            )
        self.size = 0
        self.entered = (0, 0)

    def __len__(self) -> int:
        """Transitions, or sequences, that may be sampled."""
        return self.size

    @property
    def open(self) -> tuple[int, int]:
        """The times, from and before, at which transitions begin that may be sampled."""
        first = self.ring.start + self.before
        return first, max(first, self.ring.end - self.after)

    def write_observation(
        self, t: int, obs: Nested, is_first: np.ndarray, state: Nested = None
    ) -> None:
        """What was seen, `(N, …)`; written again until it was acted on. No state is kept."""
        self.ring.write_observation(obs, is_first)

    def write_action(self, t: int, step: Step, action_mask: Nested = None) -> None:
        """What the module did there."""
        self.ring.write_action(step, action_mask)

    def write_outcome(
        self,
        t: int,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        counted: np.ndarray,
    ) -> None:
        """What came of it, `(N,)` each; `counted` is False at dummy steps."""
        start, end = self.open
        self.ring.write_outcome(rewards, terminated, truncated, counted)
        new_start, new_end = self.open
        self.size += self._counted(end, new_end) - self._counted(start, new_start)

    def latest(self, steps: int) -> Nested:
        """What was seen at the last steps of each environment, dummy steps left out, `(B, …)`."""
        end = self.ring.end
        indices = self.ring.flat(np.arange(max(0, end - steps), end))
        return self.ring.take(Columns.OBS, indices[self._is_counted(indices)])

    def _counted(self, start: int, end: int) -> int:
        slots = np.arange(start, end) % self.ring.length
        return int(np.count_nonzero(self.ring.outcomes[Columns.LOSS_MASK][:, slots]))

    def sample(
        self,
        batch_size: int,
        generator: torch.Generator,
        progress: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> dict[str, Any]:
        """A batch of transitions, drawn with replacement.

        Args:
            batch_size: B.
            generator: The stream that they are drawn from, on the CPU.
            progress: Fraction of the environment steps done, in [0, 1], for the weights.
            device: Where the batch is wanted.

        Returns:
            Tensors `(B, …)`: `obs`, `next_obs` and `actions` nested as they came; `rewards`, the
            discounted sum, float32; `terminateds` bool, where nothing is to be bootstrapped;
            `discounts` float32, gamma to the power of the steps summed; `weights` float32 of the
            losses; `indices` int64, for `update_priorities`; `action_mask` and `next_action_mask`
            where there are masks. Of sequences see `_stretches`.

        Raises:
            ValueError: There is no transition yet.
        """
        if not self.size:
            raise ValueError("the replay holds no whole transition yet")
        if self.priorities is None:
            indices, weights = self._uniform(batch_size, generator), np.ones(batch_size, np.float32)
        else:
            self._enter(self.priorities)
            indices, weights = self.priorities.draw(batch_size, generator, progress)
        columns = self._transitions(indices) if self.sequences is None else self._stretches(indices)
        columns |= {Columns.WEIGHTS: weights, Columns.INDICES: indices}
        tensors = map_structure(torch.from_numpy, columns)
        on_cpu = torch.device(device).type == "cpu"
        return tensors if on_cpu else map_structure(lambda leaf: leaf.to(device), tensors)

    def update_priorities(self, indices: Tensor, errors: Tensor) -> None:
        """Gives the transitions of a batch the priorities of their errors, `(B,)` of any sign.

        Uniform replay has none to change.

        Raises:
            TrainingError: An error is not finite.
        """
        if self.priorities is not None:
            self.priorities.update(indices.cpu().numpy(), errors.detach().cpu().numpy())

    def _uniform(self, batch_size: int, generator: torch.Generator) -> np.ndarray:
        """Flat indices of steps that count, each as likely; what else is drawn is left out."""
        found = np.empty(0, np.int64)
        while len(found) < batch_size:
            lacking = batch_size - len(found)
            drawn = self._draw(lacking + lacking // 8, generator)
            found = np.concatenate([found, drawn[self._is_counted(drawn)]])
        return found[:batch_size]

    def _is_counted(self, indices: np.ndarray) -> np.ndarray:
        return self.ring.outcomes_at(indices)[Columns.LOSS_MASK]

    def _draw(self, size: int, generator: torch.Generator) -> np.ndarray:
        start, end = self.open
        draws = torch.randint((end - start) * self.ring.num_envs, (size,), generator=generator)
        rows, times = np.divmod(draws.numpy(), end - start)
        return rows * self.ring.length + (start + times) % self.ring.length

    def _enter(self, priorities: Priorities) -> None:
        """Lays the steps written since the last batch into the priorities, all at once."""
        (old_start, old_end), (start, end) = self.entered, self.open
        gone = self.ring.flat(np.arange(old_start, min(start, old_end)))
        new = self.ring.flat(np.arange(max(old_end, start), end))
        priorities.enter(gone, np.zeros(len(gone), np.bool_))
        priorities.enter(new, self._is_counted(new))
        self.entered = start, end

    def _transitions(self, indices: np.ndarray) -> dict[str, Nested]:
        rewards, terminated, taken = self._returns(indices)
        following = self.ring.ahead(indices, taken)
        columns = {
            Columns.ACTIONS: self.ring.take(Columns.ACTIONS, indices),
            Columns.REWARDS: rewards,
            Columns.TERMINATEDS: terminated,
            Columns.DISCOUNTS: self.gammas.take(taken),
        }
        for column, next_column in AT_BOTH_ENDS.items():
            if column in self.ring.storage.arrays:
                columns[column] = self.ring.take(column, indices)
                columns[next_column] = self.ring.take(column, following)
        return columns

    def _stretches(self, firsts: np.ndarray) -> dict[str, Nested]:
        """Sequences by the first step that is learnt from.

        Returns:
            For T = burn-in + length steps: `actions`, `rewards`, `terminateds`, `discounts` as of
            transitions, `(B, T)`; `loss_mask`, False in the burn-in and at dummy steps; and
            `next_index` int64, where on the time axis of the observations the transition ends.
            There are n more of them: `obs`, `action_mask`, and `is_first`, `(B, T + n)`.
        """
        assert self.sequences is not None
        offsets = np.arange(-self.before, self.after + 1)
        seen = self.ring.ahead(firsts[:, None], offsets)  # (B, T + n)
        steps = seen[:, : self.before + self.sequences.length]  # (B, T)
        rewards, terminated, taken = self._returns(steps)
        columns = {
            Columns.ACTIONS: self.ring.take(Columns.ACTIONS, steps),
            Columns.REWARDS: rewards,
            Columns.TERMINATEDS: terminated,
            Columns.DISCOUNTS: self.gammas.take(taken),
            Columns.LOSS_MASK: self._is_counted(steps) & (offsets >= 0)[: steps.shape[1]],
            Columns.NEXT_INDEX: np.arange(steps.shape[1]) + taken,
            Columns.IS_FIRST: ~self._is_counted(self.ring.ahead(seen, -1)),
        }
        for column in AT_BOTH_ENDS:
            if column in self.ring.storage.arrays:
                columns[column] = self.ring.take(column, seen)
        return columns

    def _returns(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each transition the rewards' sum, whether it terminated, and its number of steps."""
        outcomes = self.ring.outcomes_at(indices)
        rewards, terminated = outcomes[Columns.REWARDS].copy(), outcomes[Columns.TERMINATEDS].copy()
        ended = terminated | outcomes[Columns.TRUNCATEDS]
        taken = np.ones_like(indices)
        for step in range(1, self.n_step):
            outcomes = self.ring.outcomes_at(self.ring.ahead(indices, step))
            goes_on = ~ended
            rewards += self.gammas[step] * outcomes[Columns.REWARDS] * goes_on
            terminated |= outcomes[Columns.TERMINATEDS] & goes_on
            ended |= outcomes[Columns.TERMINATEDS] | outcomes[Columns.TRUNCATEDS]
            taken += goes_on
        return rewards, terminated, taken

    def get_tensors(self) -> dict[str, Tensor]:
        """Everything that was written, and the priorities."""
        priorities = {} if self.priorities is None else self.priorities.get_tensors()
        return self.ring.get_tensors() | priorities

    def get_numbers(self) -> dict[str, Any]:
        """Further state, as JSON data."""
        priorities = None if self.priorities is None else self.priorities.get_numbers()
        return {
            "ring": self.ring.get_numbers(),
            "entered": list(self.entered),
            "priorities": priorities,
        }

    def set_state(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Loads what `get_tensors` and `get_numbers` gave; the same batches follow.

        Raises:
            CheckpointError: It was kept for other environments, or for longer or shorter rows.
        """
        self.ring.set_state(tensors, numbers["ring"])
        self.size, self.entered = self._counted(*self.open), (0, 0)
        if self.priorities is not None and numbers["priorities"] is not None:
            self.priorities.set_state(tensors, numbers["priorities"])
            start, end = numbers["entered"]
            self.entered = start, end
