"""Tiny environments that cannot be solved by what is seen at the moment."""

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Recall(gym.Env[np.int64, np.int64]):
    """Which symbol was shown `delay` steps ago? A right answer pays 1.

    The observation is a symbol drawn anew at each step. The first `delay` steps pay nothing, the
    `questions` after them ask. Of n symbols 1/n of the answers are right by chance, and nobody
    without a memory does better.
    """

    optimal_return: ClassVar[float] = 8.0
    """With 8 questions."""
    random_return: ClassVar[float] = 4.0
    """With 8 questions of 2 symbols."""

    def __init__(self, delay: int = 2, symbols: int = 2, questions: int = 8) -> None:
        self.observation_space = spaces.Discrete(symbols)
        self.action_space = spaces.Discrete(symbols)
        self.symbols = symbols
        self.delay = delay
        self.questions = questions
        self.shown: list[np.int64] = []

    def _show(self) -> np.int64:
        self.shown.append(self.np_random.integers(self.symbols))
        return self.shown[-1]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self.shown = []
        return self._show(), {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        asked = len(self.shown) - 1 - self.delay
        right = asked >= 0 and action == self.shown[asked]
        ended = asked == self.questions - 1
        return self._show(), float(right), ended, False, {}


class TMaze(gym.Env[np.ndarray, np.int64]):
    """A corridor, and at its end a turn to the side that was shown at its start (Bakker, 2001).

    The observation is (side, at the junction): the side is -1 or 1 at the first step, 0 after it.
    The actions are on, left (-1), right (1). A turn at the junction ends the episode, and the
    right one pays 1; elsewhere a turn changes nothing. Episodes are truncated after `2 · length`
    steps. Without a memory the turn is a guess, worth 1/2.
    """

    optimal_return: ClassVar[float] = 1.0

    def __init__(self, length: int = 6) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(3)
        self.length = length
        self.side = self.place = self.steps = 0

    def _observation(self) -> np.ndarray:
        side = self.side if self.steps == 0 else 0
        return np.array([side, self.place == self.length], np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.side = 2 * int(self.np_random.integers(2)) - 1
        self.place = self.steps = 0
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        at_junction, turn = self.place == self.length, (0, -1, 1)[action]
        ended = at_junction and turn != 0
        right = at_junction and turn == self.side
        self.steps += 1
        self.place = min(self.length, self.place + (turn == 0))
        late = self.steps == 2 * self.length and not ended
        return self._observation(), float(right), ended, late, {}


class PartlyObserved(gym.ObservationWrapper[np.ndarray, Any, np.ndarray]):
    """Shows some entries of a vector: of CartPole `[0, 2]` are the places without the velocities.

    Args:
        env: Observes a Box `(n,)`.
        entries: Which of the n, in the order in which they are shown.
    """

    def __init__(self, env: gym.Env[np.ndarray, Any], entries: Sequence[int]) -> None:
        super().__init__(env)
        whole = env.observation_space
        if not isinstance(whole, spaces.Box) or len(whole.shape) != 1:
            raise TypeError(f"entries are of a vector, and the environment observes {whole}")
        if not entries or not all(0 <= entry < whole.shape[0] for entry in entries):
            raise ValueError(f"entries are some of 0 to {whole.shape[0] - 1}, not {[*entries]}")
        self.entries = [*entries]
        low, high = whole.low[self.entries], whole.high[self.entries]
        self.observation_space = spaces.Box(low, high, dtype=whole.dtype.type)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[self.entries]
