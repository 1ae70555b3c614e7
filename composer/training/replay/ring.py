"""Ring: the last steps of N environments, the oldest overwritten by the newest."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from composer.columns import Columns
from composer.errors import CheckpointError
from composer.module.step import Step
from composer.spaces import Nested, leaves, map_structure
from composer.training.carried import NOTHING, Carried
from composer.training.storage import Storage, lay_first

OUTCOME = np.dtype(
    [
        (Columns.REWARDS, np.float32),
        (Columns.TERMINATEDS, np.bool_),
        (Columns.TRUNCATEDS, np.bool_),
        (Columns.LOSS_MASK, np.bool_),
    ],
    align=True,
)
"""What came of a step, side by side: a step drawn at random is one place in memory, not four."""


class Ring:
    """Columns `(N, L, …)` whose slot of time t is t modulo L; all environments step together.

    Every observation is stored once: what followed a step is the next slot of its row. Under
    next-step autoreset that of a last step holds the episode's *final* observation, whose own step
    is a dummy: `loss_mask` is False there. An episode that a restart cuts off is truncated at its
    last observation that was acted on, which becomes a dummy: what followed it is lost.

    Args:
        observation_space: Of a single environment.
        num_envs: N.
        length: L.
        state_every: A memory's state is kept at each so many-th step, `(N, ⌈L / state_every⌉, …)`.
    """

    def __init__(
        self, observation_space: gym.Space, num_envs: int, length: int, state_every: int = 1
    ) -> None:
        self.num_envs = num_envs
        self.length = length
        self.state_every = state_every
        self.states = -(-length // state_every)
        self.end = 0
        """Time of the next step; those before it are whole."""
        self.outcomes = np.zeros((num_envs, length), OUTCOME)
        self.storage = Storage(num_envs)
        self.storage.add_space(Columns.OBS, observation_space, length)

    @property
    def start(self) -> int:
        """Time of the oldest step that is kept; the slot of the next one counts as overwritten."""
        return max(0, self.end - self.length + 1)

    def write_observation(
        self, obs: Nested, is_first: np.ndarray, memory: Carried = NOTHING
    ) -> None:
        """What was seen at the next step, `(N, …)`, and what a memory knew of before."""
        if self.end and is_first.any():
            self._cut(is_first)
        self._write(Columns.OBS, obs)
        if Columns.STATE_IN in memory and self.end % self.state_every == 0:
            place = self.end // self.state_every % self.states
            self.storage.write(Columns.STATE_IN, place, memory[Columns.STATE_IN], self.states)

    def write_action(self, step: Step, action_mask: Nested) -> None:
        """What the module did there."""
        self._write(Columns.ACTIONS, step.actions)
        if action_mask is not None:
            self._write(Columns.ACTION_MASK, action_mask)
        elif Columns.ACTION_MASK in self.storage.arrays:
            self.storage.clear(Columns.ACTION_MASK, self.end % self.length)

    def write_outcome(self, *outcome: np.ndarray) -> None:
        """What came of it, `(N,)` each, in the order of `OUTCOME`; the step is whole."""
        step = self.outcomes[:, self.end % self.length]
        for name, value in zip(OUTCOME.names or (), outcome, strict=True):
            step[name] = value
        self.end += 1

    def _write(self, column: str, value: Nested) -> None:
        self.storage.write(column, self.end % self.length, value, self.length)

    def _cut(self, is_first: np.ndarray) -> None:
        last = (self.end - 1) % self.length
        counted = self.outcomes[Columns.LOSS_MASK]
        cut = is_first & counted[:, last]
        counted[cut, last] = False
        self.outcomes[Columns.TRUNCATEDS][:, last - 1] |= cut & counted[:, last - 1]

    def flat(self, times: np.ndarray) -> np.ndarray:
        """Indices into the flat columns of some times, row by row: `(N · len(times),)`."""
        return np.add.outer(np.arange(self.num_envs) * self.length, times % self.length).ravel()

    def ahead(self, indices: np.ndarray, steps: np.ndarray | int) -> np.ndarray:
        """Flat indices of later steps of the same rows."""
        slots = indices % self.length
        return indices - slots + (slots + steps) % self.length

    def outcomes_at(self, indices: np.ndarray) -> np.ndarray:
        """Outcomes, of dtype `OUTCOME`, at flat indices of any shape."""
        return self.outcomes.reshape(-1).take(indices)

    def states_at(self, indices: np.ndarray) -> Nested:
        """Copies of the states at flat indices of steps at which they are kept."""
        rows, slots = np.divmod(indices, self.length)
        times = self.end - 1 - (self.end - 1 - slots) % self.length
        places = rows * self.states + times // self.state_every % self.states
        return self.take(Columns.STATE_IN, places)

    def take(self, column: str, indices: np.ndarray) -> Nested:
        """Copies of a column's steps at flat indices of any shape, `(*indices.shape, …)`."""
        return map_structure(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]).take(indices, axis=0),
            self.storage.arrays[column],
        )

    def get_tensors(self) -> dict[str, Tensor]:
        """The slots that have been written, by column and leaf."""
        used = min(self.end + 1, self.length)
        return {
            f"{column}/{i}": torch.from_numpy(leaf[:, :used].copy())
            for column, tree in (self.storage.arrays | self._by_name()).items()
            for i, leaf in enumerate(leaves(tree))
        }

    def _by_name(self) -> dict[str, np.ndarray]:
        return {name: self.outcomes[name] for name in OUTCOME.names or ()}

    def get_numbers(self) -> dict[str, Any]:
        """The time, and how the columns are nested."""
        columns = {name: _named(tree, name) for name, tree in self.storage.arrays.items()}
        return {"end": self.end, "length": self.length, "columns": columns}

    def set_state(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Loads what `get_tensors` and `get_numbers` gave.

        Raises:
            CheckpointError: It was kept for other environments, or for longer or shorter rows.
        """
        rows = len(tensors[f"{Columns.REWARDS}/0"])
        if (rows, numbers["length"]) != (self.num_envs, self.length):
            raise CheckpointError(
                f"the replay was kept for {rows} environments × {numbers['length']} steps, not "
                f"for {self.num_envs} × {self.length}"
            )
        self.end = numbers["end"]
        for name, values in self._by_name().items():
            lay_first(values, tensors[f"{name}/0"].numpy())
        for column, names in numbers["columns"].items():
            length = self.states if column == Columns.STATE_IN else self.length
            self.storage.load(column, _loaded(names, tensors), length)


def _named(tree: Nested, name: str) -> Any:
    """The tree as JSON data, its leaves the names of their tensors."""
    names = (f"{name}/{i}" for i in range(len(leaves(tree))))
    return map_structure(lambda _: next(names), tree)


def _loaded(names: Any, tensors: Mapping[str, Tensor]) -> Nested:
    if isinstance(names, Mapping):
        return {key: _loaded(part, tensors) for key, part in names.items()}
    if isinstance(names, list | tuple):
        return tuple(_loaded(part, tensors) for part in names)
    return tensors[names].numpy()
