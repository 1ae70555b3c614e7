"""What an algorithm tells the catalog, and what it does for a driver."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import gymnasium as gym
import torch
from pydantic import Field
from torch import Tensor

from composer.apis import APIs, IntrinsicRewardAPI
from composer.config import Family, Fraction, Size, Steps
from composer.distributions.base import DistributionConfig
from composer.errors import ContractError, Problem
from composer.heads.base import HeadConfig
from composer.model_config import TrunkConfig
from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.optimisers._descent import DescentConfig
from composer.optimisers._schedule import Elapsed
from composer.replay_config import ReplayConfig
from composer.spaces import Nested, SpaceFacts

Batch = Mapping[str, Nested]
"""Columns of `composer.columns.Columns`, tensors with the axes the driver states."""
Discount = Annotated[float, Field(ge=0.0, le=1.0)]


class AlgorithmConfig(DescentConfig, Family, family="algorithm"):
    """Hyperparameters, and what the algorithm asks of a module."""

    driver: ClassVar[str]
    """The way of training: a file of `composer/training/`."""
    uses_log_probs: ClassVar[bool] = True
    """Its loss contains the actions' log-probabilities."""
    learns_from: ClassVar[tuple[type[DistributionConfig], ...] | None] = None
    """The distributions that it can train; None where any will do."""
    critic_trains_shared: ClassVar[bool] = False
    """A trunk that actor and critic share is trained by the critic's loss alone."""
    has_sequences: ClassVar[bool] = False
    """It learns from sequences of steps where there is a memory to train."""
    head_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that are nothing but defaults of the heads that Composer composes."""

    gamma: Discount = 0.99
    """Discount factor of the return."""

    def resolve(self, action_space: gym.Space) -> Self:
        """The same config with every derived field filled in for the space."""
        return self

    @abstractmethod
    def required_apis(self) -> APIs:
        """Capabilities without which the module cannot be trained."""

    def require(self, module_class: type[RLModule]) -> None:
        """Refuses a class of modules that lacks what the algorithm requires.

        Raises:
            ContractError: For each API that is lacking, with a method to paste.
        """
        required = self.required_apis()
        lacking = (api for api in required if not module_class.offers(api))
        problems = [
            Problem(
                f"{self.type} requires {api.label()}, which {module_class.__name__} lacks: add "
                f"`{api.signature}`, for instance\n"
                + api.paste_for(module_class, self.type, required)
            )
            for api in sorted(lacking, key=lambda api: api.label())
        ]
        if module_class.offers(IntrinsicRewardAPI):
            problems += self.step_problems(module_class.__name__)
        if problems:
            raise ContractError(*problems)

    def head_problems(self, who: str) -> list[Problem]:
        """The problems of settings that a class with layers of its own would ignore."""
        rule = (
            f"it is the default of a head that Composer composes, and {who} has layers of its own"
        )
        return [
            Problem(rule, path=f"algorithm.{name}", value=value, fix=f"~algorithm.{name}")
            for name, value in self.altered().items()
            if name in self.head_fields
        ]

    def memory_problems(self, max_seq_len: int, path: str) -> list[Problem]:
        """The problem of a memory, where it cannot be trained on sequences of this length.

        Args:
            max_seq_len: Steps.
            path: Where that is set.
        """
        if self.has_sequences:
            return []
        members = AlgorithmConfig.members
        able = tuple(tag for tag in AlgorithmConfig.tags() if members[tag].has_sequences)
        message = f"{self.type} learns from single steps, and a memory from sequences of them"
        return [Problem(message, "algorithm", self.type, valid=able, fix=f"algorithm={able[0]}")]

    def sequence_problems(self, num_envs: int, max_seq_len: int | None) -> list[Problem]:
        """The problems of hyperparameters where a memory is trained on sequences of this length;
        None where there is no memory.
        """
        return []

    def step_problems(self, who: str) -> list[Problem]:
        """The problem of a part that learns from single steps, where transitions are longer."""
        return []

    @abstractmethod
    def layout(self, observation: SpaceFacts) -> dict[str, TrunkConfig]:
        """Trunks beside `main` for a kind of observation."""

    @abstractmethod
    def heads(self) -> dict[str, HeadConfig]:
        """Heads by role, as they are where the user says nothing."""

    def targets(self) -> tuple[str, ...]:
        """Heads of which the module holds slower copies."""
        return ()

    def refusal(self, action_space: gym.Space) -> str | None:
        """Why it cannot learn to act in the space, or None where it can."""
        return None

    def problems(self, num_envs: int) -> list[Problem]:
        """What is wrong with the hyperparameters for this many environments."""
        return []

    def update_steps(self, num_envs: int) -> int:
        """Environment steps that one update takes, at most; training ends with a whole one."""
        return 1

    def notes(self, num_envs: int, total_steps: int, taken: int = 0) -> list[Problem]:
        """What a run is too short for; it trains all the same.

        Args:
            num_envs: Environments that it trains in.
            total_steps: Environment steps of the whole run.
            taken: Those that it has taken already.
        """
        notes = []
        if (left := total_steps - taken) < (update := self.update_steps(num_envs)):
            message = f"one update takes up to {update:,} steps, more than the {left:,} to take"
            notes.append(
                Problem(message, "total_steps", total_steps, fix=f"total_steps={taken + update}")
            )
        if self.lr_warmup > total_steps:
            notes.append(_late("lr_warmup", self.lr_warmup, "the learning rate rises", total_steps))
        for part, own in self.optimiser.parts.items():
            if own.frozen_until and own.frozen_until >= total_steps:
                name = f"optimiser.parts.{part}.frozen_until"
                notes.append(_late(name, own.frozen_until, f"`{part}` is frozen", total_steps))
        return notes

    @abstractmethod
    def build(self, module: RLModule, generator: torch.Generator) -> "Algorithm":
        """The learner of a module.

        Args:
            module: What is trained.
            generator: The stream that its random choices are drawn from: off policy where the
                module is, on policy on the CPU.
        """


def _late(name: str, until: int, what: str, total_steps: int) -> Problem:
    """The note of a setting that holds for longer than the run."""
    message = f"{what} until step {until:,}, and the run ends at step {total_steps:,}"
    path = f"algorithm.{name}"
    return Problem(message, path, until, fix=f"{path}={total_steps // 10}")


class OnPolicyConfig(AlgorithmConfig):
    """What the on-policy driver needs to know."""

    driver = "on_policy"
    has_sequences = True

    rollout_steps: Size = 128
    """Steps of each environment between two updates."""
    gae_lambda: Fraction = 0.95
    """λ of generalised advantage estimation."""
    reward_scaling: Literal["none", "running"] = "none"
    """Divide rewards by the running standard deviation of the discounted return."""

    def memory_problems(self, max_seq_len: int, path: str) -> list[Problem]:
        if max_seq_len <= self.rollout_steps:
            return []
        return [
            Problem(
                f"sequences of {max_seq_len} steps are longer than the rollout of "
                f"{self.rollout_steps} that they are cut from",
                path,
                max_seq_len,
                fix=f"{path}={self.rollout_steps}",
            )
        ]

    def update_steps(self, num_envs: int) -> int:
        return self.rollout_steps * num_envs


class OffPolicyConfig(AlgorithmConfig):
    """What the off-policy driver needs to know."""

    driver = "off_policy"
    uses_log_probs = False

    replay: ReplayConfig = ReplayConfig()
    batch_size: Size = 32
    """Transitions of an update; of a memory as many sequences as hold them."""
    learning_starts: Steps = 1000
    """Environment steps with random actions before the first update."""
    train_ratio: Annotated[float, Field(gt=0.0)] = 0.25
    """Updates for each environment step."""
    rollout_steps: Size = 1
    """Steps of each environment between updates."""
    n_step: Size = 1
    """Rewards that are summed before the bootstrap."""

    def problems(self, num_envs: int) -> list[Problem]:
        return self.replay.problems(num_envs, self.batch_size, self.n_step)

    def sequence_problems(self, num_envs: int, max_seq_len: int | None) -> list[Problem]:
        return self.replay.sequence_problems(num_envs, max_seq_len, self.n_step)

    def notes(self, num_envs: int, total_steps: int, taken: int = 0) -> list[Problem]:
        notes = super().notes(num_envs, total_steps, taken)
        if self.learning_starts >= total_steps:
            notes.append(
                _late("learning_starts", self.learning_starts, "nothing is learnt", total_steps)
            )
        return notes

    def step_problems(self, who: str) -> list[Problem]:
        if self.n_step == 1:
            return []
        return [
            Problem(
                f"{who} would learn from single steps, and the transitions of {self.type} are of "
                f"{self.n_step}: what was done and seen between is not known",
                path="algorithm.n_step",
                value=self.n_step,
                fix="algorithm.n_step=1",
            )
        ]

    @abstractmethod
    def build(self, module: RLModule, generator: torch.Generator) -> "OffPolicyAlgorithm": ...


class Algorithm(ABC):
    """Owns a module's loss, its optimiser and the numbers that change while it learns.

    A driver says how far training has come by `at`, gathers data and calls `update`; it never
    looks inside. The on-policy driver passes a rollout `(N, T)` (see
    `composer.training.rollouts`).
    """

    module: RLModule

    @abstractmethod
    def at(self, elapsed: Elapsed) -> None:
        """Takes what changes over training as it is now: learning rates, frozen parts, targets."""

    @abstractmethod
    def update(self, batch: Batch) -> dict[str, float]:
        """Learns from one batch.

        Args:
            batch: Columns; which ones, and their axes, is the driver's to say.

        Returns:
            Metrics by name.
        """

    @abstractmethod
    def get_tensors(self) -> dict[str, Tensor]:
        """The optimiser's state by parameter name."""

    @abstractmethod
    def set_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Loads what `get_tensors` gave."""

    @abstractmethod
    def get_numbers(self) -> dict[str, Any]:
        """Further state, as JSON data."""

    @abstractmethod
    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Loads what `get_numbers` gave."""


class OffPolicyAlgorithm(Algorithm):
    """Learns from transitions that a replay draws; says how to explore."""

    errors: Tensor
    """Of the last update, `(B,)`: how far off each transition was, for priorities."""

    @abstractmethod
    def explore(
        self, step: Step, action_mask: Nested, env_steps: int, generator: torch.Generator | None
    ) -> Step:
        """What is done instead of what the module does.

        Args:
            step: What the module does for N environments.
            action_mask: What may be done, canonical; None where everything may.
            env_steps: Since the beginning of training.
            generator: The stream of random actions.
        """

    def exploration(self, env_steps: int) -> dict[str, float]:
        """What there is to log of it, by name."""
        return {}
