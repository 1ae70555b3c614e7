"""`on_policy`: collect a rollout, learn from it, throw it away."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
from torch import Tensor

from composer.algorithms.base import OnPolicyConfig
from composer.columns import Columns
from composer.environments.base import TrainingReward
from composer.executors import make_executor
from composer.module.rl_module import RLModule
from composer.optimisers._schedule import Elapsed
from composer.running_norm import running_norms
from composer.seeds import resume_stream, torch_generator
from composer.spaces import leaves, map_structure
from composer.training.base import Driver, Iteration
from composer.training.collector import Collector
from composer.training.intrinsic import pay_rollout
from composer.training.reward_scale import RewardScale
from composer.training.rollouts import Rollout

AT_ONCE = 1024
"""Observations that running norms take in at a time."""


def build(
    config: OnPolicyConfig,
    module: RLModule,
    envs: gym.vector.VectorEnv,
    seed: int,
    training_reward: TrainingReward,
) -> "OnPolicyDriver":
    """The driver of an algorithm for a module in its environments."""
    return OnPolicyDriver(config, module, envs, seed, training_reward)


class OnPolicyDriver(Driver):
    """Alternates rollouts `(N, T)` and updates."""

    def __init__(
        self,
        config: OnPolicyConfig,
        module: RLModule,
        envs: gym.vector.VectorEnv,
        seed: int,
        training_reward: TrainingReward = "raw",
    ) -> None:
        self.module = module
        self.actions = torch_generator(seed, "actions", module.device)
        self.minibatches = torch_generator(seed, "minibatches")
        self.algorithm = config.build(module, self.minibatches)
        self.collector = Collector(
            envs,
            make_executor(module),
            module.get_initial_state(envs.num_envs),
            self.actions,
            training_reward,
        )
        self.rollout = Rollout(
            envs.single_observation_space,
            envs.num_envs,
            config.rollout_steps,
            state_every=module.max_seq_len,
        )
        self.reward_scale = (
            RewardScale(envs.num_envs, config.gamma) if config.reward_scaling == "running" else None
        )

        self.normalises = bool(running_norms(module))

    def restart(self, seed: int) -> None:
        self.collector.restart(seed)
        if self.reward_scale is not None:
            self.reward_scale.restart()

    def iterate(
        self, elapsed: Elapsed, before_update: Callable[[], None] = lambda: None
    ) -> Iteration:
        self.algorithm.at(elapsed)
        env_steps, episodes = self.collector.collect(self.rollout)
        while not env_steps:  # a rollout of one step may hold nothing but dummies
            env_steps, episodes = self.collector.collect(self.rollout)
        before_update()
        if self.reward_scale is not None:
            self.reward_scale(self.rollout)
        batch, paid = pay_rollout(self.module, self.rollout.batch(self.module.device))
        with self.module.learning(self.minibatches):
            metrics = self.algorithm.update(batch)
        metrics |= {name: float(value) for name, value in paid.items()}
        if self.normalises:
            self._observe(batch)
        return Iteration(env_steps, episodes, metrics)

    def _observe(self, batch: Mapping[str, Any]) -> None:
        """Gives the module's running norms the observations acted on, those of dummies left out."""
        counted = batch[Columns.LOSS_MASK]  # (N, T)
        obs = map_structure(lambda leaf: leaf[:, :-1][counted], batch[Columns.OBS])
        for start in range(0, len(leaves(obs)[0]), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            self.module.observe(map_structure(lambda leaf, part=part: leaf[part], obs))

    def get_tensors(self) -> dict[str, Tensor]:
        return {
            **{f"optimiser/{k}": v for k, v in self.algorithm.get_tensors().items()},
            "random/actions": self.actions.get_state(),
            "random/minibatches": self.minibatches.get_state(),
        }

    def get_numbers(self) -> dict[str, Any]:
        scale = None if self.reward_scale is None else self.reward_scale.get_state()
        return {"algorithm": self.algorithm.get_numbers(), "reward_scale": scale}

    def set_state(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        prefix = "optimiser/"
        self.algorithm.set_tensors(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        self.algorithm.set_numbers(numbers["algorithm"])
        resume_stream(self.actions, tensors["random/actions"])
        resume_stream(self.minibatches, tensors["random/minibatches"])
        if self.reward_scale is not None and numbers["reward_scale"] is not None:
            self.reward_scale.set_state(numbers["reward_scale"])
