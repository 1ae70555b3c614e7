"""A Dict of things to see and a Dict of things to do: an encoder and a distribution for each.

python examples/dict_spaces.py
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer import Experiment, Trainer


class Car(gym.Env[Any, Any]):
    """A lamp says which gear, a number how far to steer; each is half of the reward."""

    def __init__(self) -> None:
        camera = spaces.Box(0, 255, (8, 8, 1), np.uint8)
        bend = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.observation_space = spaces.Dict(camera=camera, bend=bend)
        steer = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Dict(gear=spaces.Discrete(2), steer=steer)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.gear = int(self.np_random.integers(2))
        self.bend = self.np_random.uniform(-1.0, 1.0, 1).astype(np.float32)
        camera = np.zeros((8, 8, 1), np.uint8)
        camera[4 * self.gear : 4 * self.gear + 4] = 255  # the upper half is bright, or the lower
        self.seen = {"camera": camera, "bend": self.bend}
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        right_gear = float(action["gear"] == self.gear)
        steered = 1.0 - float(np.abs(action["steer"] - self.bend)[0])
        return self.seen, (right_gear + steered) / 2, True, False, {}


gym.register("Car-v0", entry_point=Car)

WORDS = [
    "env.id=Car-v0",
    "model.encoder.children.camera.hidden=[64]",  # a field of what the tree chooses for this key
    "model.encoder.hidden=[64]",  # behind the children's features, which are put side by side
    "model.distribution.children.steer=beta",
    "algorithm.lr=3e-3",
    "algorithm.rollout_steps=32",
    "evaluation.every=0",
]


def main(total_steps: int = 4_000) -> float:
    """Trains, and returns the mean return of the policy; random actions get 0.42, the best 1."""
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
