"""A module written by hand: subclass RLModule, make layers in `setup`, compute in `_forward`.

python examples/vpg_module.py
"""

import tempfile
from typing import Any

import gymnasium as gym
import torch
from torch import nn

from composer import Columns, RLModule, RLModuleSpec


class VPGModule(RLModule):
    """A policy network, and nothing else."""

    def setup(self) -> None:
        # Set already: self.observation_space, self.action_space, self.model_config,
        # self.inference_only.
        input_dim = self.observation_space.shape[0]
        hidden_dim = self.model_config["hidden_dim"]
        self.policy = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, int(self.action_space.n)),
        )

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        # Parameters of the action distribution: categorical, because the space is Discrete.
        return {Columns.ACTION_DIST_INPUTS: self.policy(batch[Columns.OBS])}


def main(episodes: int = 20) -> int:
    """Builds the module in three ways, acts with it, and returns the steps taken."""
    env = gym.make("CartPole-v1")

    # By its constructor …
    module = VPGModule(
        observation_space=env.observation_space,
        action_space=env.action_space,
        model_config={"hidden_dim": 64},
    )
    # … by a spec, which can be passed around …
    spec = RLModuleSpec(
        module_class=VPGModule,
        observation_space=env.observation_space,
        action_space=env.action_space,
        model_config={"hidden_dim": 64},
    )
    other = spec.build()
    other.set_state(module.get_state())
    # … and from a checkpoint.
    with tempfile.TemporaryDirectory() as directory:
        path = module.save_to_path(f"{directory}/vpg")
        again = VPGModule.from_checkpoint(path)

    steps = 0
    for seed in range(episodes):
        obs, _ = env.reset(seed=seed)
        done = False
        while not done:
            step = again.act(obs, deterministic=True)
            obs, _, terminated, truncated, _ = env.step(step.env_actions)
            steps += 1
            done = terminated or truncated
    env.close()

    batch = {Columns.OBS: torch.as_tensor(obs)}
    assert torch.equal(
        module.forward_train(batch)[Columns.ACTION_DIST_INPUTS],
        other.forward_train(batch)[Columns.ACTION_DIST_INPUTS],
    )
    print(f"{episodes} episodes, {steps} steps")
    return steps


if __name__ == "__main__":
    main()
