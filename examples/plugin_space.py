"""A space class of your own, what encodes it, and an environment that uses it, in one file.

    composer train plugins=[plugin_space] env.id=Sailing-v0 \
        "catalog.observation.wind={when: {kind: wind}, use: wind_rose, why: a wind has a direction}"

from the directory of this file. The rule lets the tree choose the encoder wherever such a space
stands, in a Dict or a Sequence too; a file conf/catalog/mine.yaml may hold it as well.
"""

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from torch import nn

from composer.encoders.base import EncoderConfig
from composer.layers import HiddenLayers
from composer.spaces import describe, register_space

NAMES = ("n", "ne", "e", "se", "s", "sw", "w", "nw")


class Wind(gym.Space[str]):
    """Where the wind comes from: one of the first `points` points of the compass, by name."""

    def __init__(self, points: int = 8) -> None:
        super().__init__()
        self.points = points

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return str(self.np_random.choice(NAMES[: self.points]))

    def contains(self, x: Any) -> bool:
        return x in NAMES[: self.points]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wind) and other.points == self.points

    def __repr__(self) -> str:
        return f"Wind({self.points})"


def directions(space: Wind, samples: list[str]) -> np.ndarray:
    """Samples as an array `(B, 2)`, which is what the encoder is given."""
    angles = np.array([NAMES.index(name) for name in samples]) * np.pi / 4
    return np.stack([np.sin(angles), np.cos(angles)], -1).astype(np.float32)


register_space(
    Wind,
    to_data=lambda space: {"points": space.points},  # for blueprints and checkpoints
    from_data=lambda data: Wind(**data),
    batch=directions,
)


class WindEncoderConfig(HiddenLayers, EncoderConfig):
    """Linear layers over the direction."""

    type: Literal["wind_rose"] = "wind_rose"

    def refusal(self, space: gym.Space) -> str | None:
        return (
            None if isinstance(space, Wind) else f"`wind_rose` takes a Wind, not {describe(space)}"
        )

    def out_dim(self, space: gym.Space) -> int:
        return self.width(2)

    def build(self, space: gym.Space) -> nn.Module:
        return self.stack(2)


class Sailing(gym.Env[Any, Any]):
    """To sail against the wind pays 1."""

    def __init__(self) -> None:
        self.observation_space = spaces.Dict(now=Wind(4), before=spaces.Sequence(Wind(8)))
        self.action_space = spaces.Discrete(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.wind = int(self.np_random.integers(4))
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._observe(), float(action == self.wind), True, False, {}

    def _observe(self) -> dict[str, Any]:
        return {"now": NAMES[self.wind], "before": NAMES[: int(self.np_random.integers(3))]}


gym.register("Sailing-v0", entry_point=Sailing)

WORDS = [
    "env.id=Sailing-v0",
    "catalog.observation.wind={when: {kind: wind}, use: wind_rose, why: a wind has a direction}",
    "algorithm.lr=1e-2",
    "algorithm.rollout_steps=32",
    "evaluation.every=0",
]


def main(total_steps: int = 2_500) -> float:
    """Trains, and returns the mean return of the policy; random actions get 0.25, the best 1."""
    from composer import Experiment, Trainer

    experiment = Experiment.load([*WORDS, f"total_steps={total_steps}"])
    print(experiment.blueprint.explain())
    trainer = Trainer(experiment)
    try:
        evaluation = trainer.train().evaluation
    finally:
        trainer.close()
    assert evaluation is not None
    print(f"mean return {evaluation.mean:.2f}")
    return evaluation.mean


if __name__ == "__main__":
    main()
