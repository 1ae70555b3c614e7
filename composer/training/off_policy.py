"""`off_policy`: act, remember, and learn from what is remembered."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from composer.algorithms.base import OffPolicyAlgorithm, OffPolicyConfig
from composer.columns import Columns
from composer.environments.base import TrainingReward
from composer.executors import Executor, make_executor
from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.optimisers._schedule import Elapsed
from composer.running_norm import running_norms
from composer.seeds import resume_stream, torch_generator
from composer.spaces import Nested, to_tensors
from composer.training.base import Driver, Iteration
from composer.training.collector import Collector
from composer.training.intrinsic import pay_transitions
from composer.training.replay import Replay, Sequences


def build(
    config: OffPolicyConfig,
    module: RLModule,
    envs: gym.vector.VectorEnv,
    seed: int,
    training_reward: TrainingReward,
) -> "OffPolicyDriver":
    """The driver of an algorithm for a module in its environments."""
    return OffPolicyDriver(config, module, envs, seed, training_reward)


class OffPolicyDriver(Driver):
    """Alternates a few environment steps and as many updates as `train_ratio` asks for."""

    def __init__(
        self,
        config: OffPolicyConfig,
        module: RLModule,
        envs: gym.vector.VectorEnv,
        seed: int,
        training_reward: TrainingReward,
    ) -> None:
        self.config = config
        self.module = module
        self.actions = torch_generator(seed, "actions", module.device)
        self.draws = torch_generator(seed, "replay")
        self.noise = torch_generator(seed, "updates", module.device)
        self.algorithm = config.build(module, self.noise)
        self.env_steps = 0
        self.owed = 0.0
        self.collector = Collector(
            envs,
            Exploring(make_executor(module), self.algorithm, lambda: self.env_steps),
            module.get_initial_state(envs.num_envs),
            self.actions,
            training_reward,
        )
        length = module.max_seq_len if module.is_stateful else None
        self.draws_at_once = -(-config.batch_size // (length or 1))
        self.replay = Replay(
            envs.single_observation_space,
            envs.num_envs,
            config.replay.capacity,
            gamma=config.gamma,
            n_step=config.n_step,
            prioritised=config.replay.prioritised,
            sequences=Sequences(length, config.replay.burn_in) if length else None,
            steps=config.rollout_steps,
        )
        self.normalises = bool(running_norms(module))

    def restart(self, seed: int) -> None:
        self.collector.restart(seed)

    def iterate(
        self, elapsed: Elapsed, before_update: Callable[[], None] = lambda: None
    ) -> Iteration:
        self.algorithm.at(elapsed)
        env_steps, episodes = self.collector.collect(self.replay)
        self.env_steps += env_steps
        before_update()
        metrics = self._learn(env_steps, elapsed)
        if self.normalises and env_steps:
            seen = self.replay.latest(self.replay.steps)
            self.module.observe(to_tensors(seen, self.module.device))
        return Iteration(env_steps, episodes, metrics)

    def _learn(self, env_steps: int, elapsed: Elapsed) -> dict[str, float]:
        """As many updates as are owed; the means of their metrics."""
        if self.env_steps < self.config.learning_starts or not len(self.replay):
            return {}
        self.owed += env_steps * self.config.train_ratio
        count, self.owed = int(self.owed), self.owed % 1.0
        done = [self.update(elapsed.fraction) for _ in range(count)]
        means = {name: sum(m[name] for m in done) / count for name in done[0]} if done else {}
        return means | self.algorithm.exploration(self.env_steps)

    def update(self, progress: float) -> dict[str, float]:
        """One update, from a batch of the replay; its metrics.

        Args:
            progress: Fraction of the environment steps done, in [0, 1].
        """
        device = self.module.device
        batch = self.replay.sample(self.draws_at_once, self.draws, progress, device)
        batch, paid = pay_transitions(self.module, batch)
        with self.module.learning(self.draws):
            metrics = self.algorithm.update(batch)
        metrics |= {name: float(value) for name, value in paid.items()}
        counted = batch.get(Columns.LOSS_MASK)
        self.replay.update_priorities(batch[Columns.INDICES], self.algorithm.errors, counted)
        return metrics

    def get_tensors(self) -> dict[str, Tensor]:
        return {
            **{f"optimiser/{k}": v for k, v in self.algorithm.get_tensors().items()},
            **{f"replay/{k}": v for k, v in self.replay.get_tensors().items()},
            "random/actions": self.actions.get_state(),
            "random/replay": self.draws.get_state(),
            "random/updates": self.noise.get_state(),
        }

    def get_numbers(self) -> dict[str, Any]:
        return {
            "algorithm": self.algorithm.get_numbers(),
            "replay": self.replay.get_numbers(),
            "env_steps": self.env_steps,
            "owed": self.owed,
        }

    def set_state(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        self.algorithm.set_tensors(_within(tensors, "optimiser/"))
        self.algorithm.set_numbers(numbers["algorithm"])
        self.replay.set_state(_within(tensors, "replay/"), numbers["replay"])
        resume_stream(self.actions, tensors["random/actions"])
        resume_stream(self.draws, tensors["random/replay"])
        resume_stream(self.noise, tensors["random/updates"])
        self.env_steps, self.owed = numbers["env_steps"], numbers["owed"]


def _within(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


class Exploring:
    """An executor whose actions are what the algorithm makes of them.

    Args:
        executor: What acts.
        algorithm: What explores.
        env_steps: Says how many environment steps were taken.
    """

    def __init__(
        self, executor: Executor, algorithm: OffPolicyAlgorithm, env_steps: Callable[[], int]
    ) -> None:
        self.executor = executor
        self.algorithm = algorithm
        self.env_steps = env_steps

    @property
    def device(self) -> torch.device:
        """Where it samples."""
        return self.executor.device

    def act(
        self,
        obs: Nested,
        state: Nested = None,
        deterministic: bool = False,
        action_mask: Nested = None,
        is_first: Any = None,
        prev_actions: Nested = None,
        prev_rewards: Any = None,
        generator: torch.Generator | None = None,
    ) -> Step:
        """As `RLModule.act`, then as the algorithm explores."""
        step = self.executor.act(
            obs,
            state,
            deterministic,
            action_mask,
            is_first,
            prev_actions,
            prev_rewards,
            generator,
        )
        return self.algorithm.explore(step, action_mask, self.env_steps(), generator)

    def resample_noise(
        self, step: int, num_envs: int, generator: torch.Generator | None = None
    ) -> None:
        """As the executor does."""
        self.executor.resample_noise(step, num_envs, generator)
