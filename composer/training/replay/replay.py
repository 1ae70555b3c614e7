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
from composer.training.carried import NOTHING, Carried
from composer.training.replay.priorities import Priorities
from composer.training.replay.ring import Ring

AT_BOTH_ENDS = {Columns.OBS: Columns.NEXT_OBS, Columns.ACTION_MASK: Columns.NEXT_ACTION_MASK}
"""Columns that a transition has at both of its ends."""
MAX_SHARE = 0.9
"""η: of the largest error in a sequence's priority."""


@dataclass(frozen=True)
class Sequences:
    """Transitions that are drawn as stretches of a row (Kapturowski et al., 2019, sec. 2.3).

    One begins at each `length`-th step, so that each step after the first `burn_in` is learnt from
    in one of them.
    """

    length: int
    """Steps that are learnt from."""
    burn_in: int = 0
    """Steps before them, from which a memory only gets its state."""

    @property
    def steps(self) -> int:
        """Of both."""
        return self.burn_in + self.length


class Replay:
    """Transitions of n steps, out of the last `capacity` steps of N environments.

    A collector fills it as it fills a rollout, but the replay keeps its own time. A transition
    begins at a step that counts, sums the rewards of up to n steps, and ends at the observation
    after them; it ends earlier where the episode does, terminated or truncated, at the episode's
    final observation. It may be sampled once the n steps and the one after them are whole, and
    until the first of them is overwritten.

    Rows are contiguous in time, with the dummy steps in them, so sequences are cut from them as
    transitions are. A sequence is drawn by its first step, where the state of a memory is kept, and
    it is all there.

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
        self.reach = n_step + (sequences.steps - 1 if sequences else 0)
        self.every = sequences.length if sequences else 1
        if length < self.reach + self.every - 1 + BESIDE:  # one begins among any so many steps
            of = ""
            if sequences:
                of = f", in sequences of {sequences.burn_in} + {sequences.length}"
            raise ValueError(f"rows of {length} steps are too short for returns of {n_step}{of}")
        self.ring = Ring(observation_space, num_envs, length, self.every)
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
        """The times, from and before, at which begins what may be sampled."""
        return self.ring.start, max(self.ring.start, self.ring.end - self.reach)

    def write_observation(
        self, t: int, obs: Nested, is_first: np.ndarray, memory: Carried = NOTHING
    ) -> None:
        """What was seen, `(N, …)`; written again until it was acted on."""
        self.ring.write_observation(obs, is_first, memory)

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
        self.size += self._number(end, new_end) - self._number(start, new_start)

    def latest(self, steps: int) -> Nested:
        """What was seen at the last steps of each environment, dummy steps left out, `(B, …)`."""
        end = self.ring.end
        indices = self.ring.flat(np.arange(max(0, end - steps), end))
        return self.ring.take(Columns.OBS, indices[self._is_counted(indices)])

    def _number(self, start: int, end: int) -> int:
        """How much begins at some times that counts."""
        return int(np.count_nonzero(self._counts(self._beginnings(start, end))))

    def _beginnings(self, start: int, end: int) -> np.ndarray:
        """Flat indices of where transitions or sequences begin."""
        first = -(-start // self.every) * self.every
        return self.ring.flat(np.arange(first, end, self.every))

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

    def update_priorities(
        self, indices: Tensor, errors: Tensor, counted: Tensor | None = None
    ) -> None:
        """Gives the transitions of a batch the priorities of their errors, `(B,)` of any sign.

        Uniform replay has none to change.

        Args:
            indices: Of what was drawn, `(B,)`.
            errors: Of sequences those of the steps that count, one sequence after the other.
            counted: Which steps these are, `(B, T)`: a sequence's error is a mix of the largest
                and the mean.

        Raises:
            TrainingError: An error is not finite.
        """
        if self.priorities is None:
            return
        found = errors.detach().cpu().numpy()
        if counted is not None:
            found = _of_sequences(np.abs(found), counted.cpu().numpy())
        self.priorities.update(indices.cpu().numpy(), found)

    def _uniform(self, batch_size: int, generator: torch.Generator) -> np.ndarray:
        """Flat indices of what counts, each as likely; what else is drawn is left out."""
        found = np.empty(0, np.int64)
        while len(found) < batch_size:
            lacking = batch_size - len(found)
            drawn = self._draw(lacking + lacking // 8, generator)
            found = np.concatenate([found, drawn[self._counts(drawn)]])
        return found[:batch_size]

    def _counts(self, indices: np.ndarray) -> np.ndarray:
        """Whether there is something to learn from transitions, or sequences."""
        if self.sequences is None:
            return self._is_counted(indices)
        learnt = np.arange(self.sequences.burn_in, self.sequences.steps)
        return np.any(self._is_counted(self.ring.ahead(indices[:, None], learnt)), axis=1)

    def _is_counted(self, indices: np.ndarray) -> np.ndarray:
        return self.ring.outcomes_at(indices)[Columns.LOSS_MASK]

    def _draw(self, size: int, generator: torch.Generator) -> np.ndarray:
        first, end = (-(-time // self.every) for time in self.open)
        draws = torch.randint((end - first) * self.ring.num_envs, (size,), generator=generator)
        rows, places = np.divmod(draws.numpy(), end - first)
        return rows * self.ring.length + (first + places) * self.every % self.ring.length

    def _enter(self, priorities: Priorities) -> None:
        """Lays what was written since the last batch into the priorities, all at once."""
        (old_start, old_end), (start, end) = self.entered, self.open
        gone = self._beginnings(old_start, min(start, old_end))
        new = self._beginnings(max(old_end, start), end)
        priorities.enter(gone, np.zeros(len(gone), np.bool_))
        priorities.enter(new, self._counts(new))
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
        """Sequences by their first steps.

        Returns:
            For T = burn-in + length steps: `actions`, `rewards`, `terminateds`, `discounts` as of
            transitions, `(B, T)`; `loss_mask`, False in the burn-in and at dummy steps; and
            `next_index` int64, where on the time axis of the observations the transition ends.
            There are n more of them: `obs`, `action_mask`, and `is_first`, `(B, T + n)`. For a
            memory also `state_in` `(B, …)` of the first step, `prev_actions` and `prev_rewards`,
            `(B, T + n)`.
        """
        assert self.sequences is not None
        offsets = np.arange(self.reach + 1)
        seen = self.ring.ahead(firsts[:, None], offsets)  # (B, T + n)
        steps = seen[:, : self.sequences.steps]  # (B, T)
        before = self.ring.ahead(seen, -1)
        rewards, terminated, taken = self._returns(steps)
        learnt = offsets[: self.sequences.steps] >= self.sequences.burn_in
        columns = {
            Columns.ACTIONS: self.ring.take(Columns.ACTIONS, steps),
            Columns.REWARDS: rewards,
            Columns.TERMINATEDS: terminated,
            Columns.DISCOUNTS: self.gammas.take(taken),
            Columns.LOSS_MASK: self._is_counted(steps) & learnt,
            Columns.NEXT_INDEX: np.arange(steps.shape[1]) + taken,
            Columns.IS_FIRST: ~self._is_counted(before),
        }
        if Columns.STATE_IN in self.ring.storage.arrays:
            columns |= {
                Columns.STATE_IN: self.ring.states_at(firsts),
                Columns.PREV_ACTIONS: self.ring.take(Columns.ACTIONS, before),
                Columns.PREV_REWARDS: self.ring.outcomes_at(before)[Columns.REWARDS].copy(),
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
        self.size, self.entered = self._number(*self.open), (0, 0)
        if self.priorities is not None and numbers["priorities"] is not None:
            self.priorities.set_state(tensors, numbers["priorities"])
            start, end = numbers["entered"]
            last = min(end, self.open[1])  # less where what is drawn has become longer
            gone = self._beginnings(last, end)
            self.priorities.enter(gone, np.zeros(len(gone), np.bool_))
            self.entered = start, last


def _of_sequences(errors: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """η max + (1 - η) mean of the errors of each (Kapturowski et al., 2019, sec. 2.3)."""
    laid = np.zeros(counted.shape, errors.dtype)
    laid[counted] = errors
    return MAX_SHARE * laid.max(1) + (1.0 - MAX_SHARE) * laid.sum(1) / counted.sum(1)
