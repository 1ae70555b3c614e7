"""One-step problems: which arm pays?"""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer.spaces import category_counts


class Bandit(gym.Env[np.ndarray, np.int64]):
    """Arm i of n pays i / (n - 1); there is nothing to see."""

    optimal_return: ClassVar[float] = 1.0
    random_return: ClassVar[float] = 0.5

    def __init__(self, arms: int = 4) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(arms)
        self.best_arm = arms - 1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.ones(1, np.float32), float(action / self.best_arm), True, False, {}


class TellingBandit(gym.Env[Any, np.int64], ABC):
    """Base of the bandits whose observation tells the one arm that pays 1; the others pay 0."""

    optimal_return: ClassVar[float] = 1.0

    action_space: spaces.Discrete  # pyright: ignore[reportIncompatibleVariableOverride]

    @abstractmethod
    def draw(self) -> tuple[Any, int]:
        """An observation, and the arm it tells, counted from 0."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.obs, self.arm = self.draw()
        return self.obs, {}

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        pays = action - self.action_space.start == self.arm
        return self.obs, float(pays), True, False, {}


class ContextualBandit(TellingBandit):
    """The observation is the arm. Observations and actions count from `start`."""

    random_return: ClassVar[float] = 0.25

    def __init__(self, arms: int = 4, start: int = 0) -> None:
        self.observation_space = spaces.Discrete(arms, start=start)
        self.action_space = spaces.Discrete(arms, start=start)

    def draw(self) -> tuple[np.int64, int]:
        arm = int(self.np_random.integers(self.action_space.n))
        return np.int64(arm + self.action_space.start), arm


class MultiDiscreteBandit(TellingBandit):
    """The arm is the sum of two digits, modulo 3: seeing one of them is no help."""

    random_return: ClassVar[float] = 1 / 3

    START: ClassVar = np.array([2, -1])

    def __init__(self) -> None:
        self.observation_space = spaces.MultiDiscrete([3, 3], start=self.START)
        self.action_space = spaces.Discrete(3)

    def draw(self) -> tuple[np.ndarray, int]:
        digits = self.np_random.integers(3, size=2)
        return digits + self.START, int(digits.sum() % 3)


class MultiBinaryBandit(TellingBandit):
    """The arm is the number of bits that are set."""

    random_return: ClassVar[float] = 0.25

    def __init__(self) -> None:
        self.observation_space = spaces.MultiBinary(3)
        self.action_space = spaces.Discrete(4)

    def draw(self) -> tuple[np.ndarray, int]:
        bits = self.np_random.integers(2, size=3, dtype=np.int8)
        return bits, int(bits.sum())


class ImageBandit(TellingBandit):
    """The arm is the bright quadrant of a noisy image: 0 and 1 above, 2 and 3 below."""

    random_return: ClassVar[float] = 0.25

    def __init__(self, size: int = 32, channels: int = 3) -> None:
        self.observation_space = spaces.Box(0, 255, (size, size, channels), np.uint8)
        self.action_space = spaces.Discrete(4)

    def draw(self) -> tuple[np.ndarray, int]:
        arm = int(self.np_random.integers(4))
        image = self.np_random.integers(64, size=self.observation_space.shape, dtype=np.uint8)
        half = image.shape[0] // 2
        row, column = divmod(arm, 2)
        image[row * half : (row + 1) * half, column * half : (column + 1) * half] += 160
        return image, arm


class DictBandit(TellingBandit):
    """The arm is 2 · row + digit: the bright half of an image, and a choice, each tells a half."""

    random_return: ClassVar[float] = 0.25

    def __init__(self, size: int = 16) -> None:
        image = spaces.Box(0, 255, (size, size, 1), np.uint8)
        self.observation_space = spaces.Dict(image=image, digit=spaces.Discrete(2))
        self.action_space = spaces.Discrete(4)
        self.size = size

    def draw(self) -> tuple[dict[str, Any], int]:
        row, digit = map(int, self.np_random.integers(2, size=2))
        image = self.np_random.integers(64, size=(self.size, self.size, 1), dtype=np.uint8)
        half = self.size // 2
        image[row * half : (row + 1) * half] += 160
        return {"image": image, "digit": np.int64(digit)}, 2 * row + digit


class TextBandit(TellingBandit):
    """The arm is told by a word; each has the letters of another."""

    random_return: ClassVar[float] = 0.25

    WORDS: ClassVar = ("on", "no", "top", "pot")

    def __init__(self) -> None:
        self.observation_space = spaces.Text(3, charset="nopt")
        self.action_space = spaces.Discrete(4)

    def draw(self) -> tuple[str, int]:
        arm = int(self.np_random.integers(4))
        return self.WORDS[arm], arm


class SequenceBandit(TellingBandit):
    """The arm is the place of the one large number of a sequence; others may follow it."""

    random_return: ClassVar[float] = 0.25

    def __init__(self) -> None:
        self.observation_space = spaces.Sequence(spaces.Box(0.0, 1.0, (1,)))
        self.action_space = spaces.Discrete(4)

    def draw(self) -> tuple[tuple[np.ndarray, ...], int]:
        arm = int(self.np_random.integers(4))
        length = int(self.np_random.integers(arm + 1, 5))
        numbers = self.np_random.uniform(0.0, 0.3, (length, 1)).astype(np.float32)
        numbers[arm] += 0.7
        return tuple(numbers), arm


class CopyingBandit(gym.Env[np.ndarray, np.ndarray]):
    """Base of those that are to repeat what they see; the share of it that is right is the pay."""

    optimal_return: ClassVar[float] = 1.0

    def __init__(self, space: gym.Space[np.ndarray]) -> None:
        self.observation_space = space
        self.action_space = copy.deepcopy(space)
        self.levels = category_counts(space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        start = getattr(self.observation_space, "start", 0)
        drawn = self.np_random.integers(self.levels) + start
        self.obs = drawn.astype(self.observation_space.dtype)
        return self.obs, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.obs, float(np.mean(action == self.obs)), True, False, {}


class DigitsBandit(CopyingBandit):
    """Two digits of a MultiDiscrete, of three and four values."""

    random_return: ClassVar[float] = (1 / 3 + 1 / 4) / 2

    def __init__(self) -> None:
        super().__init__(spaces.MultiDiscrete([3, 4], start=[2, -1]))


class BitsBandit(CopyingBandit):
    """Four bits of a MultiBinary."""

    random_return: ClassVar[float] = 1 / 2

    def __init__(self) -> None:
        super().__init__(spaces.MultiBinary(4))
