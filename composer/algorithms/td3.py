"""`td3`: twin delayed deep deterministic policy gradient (Fujimoto et al., 2018,
arXiv:1802.09477).
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from composer.algorithms._actor_critic import ActorCritic, ActorCriticConfig
from composer.algorithms._sequences import after_slow, now, unrolled
from composer.algorithms._targets import goals, move_targets
from composer.algorithms.base import Batch
from composer.columns import Columns
from composer.config import NotNegative, Size
from composer.distributions.deterministic import DeterministicConfig
from composer.distributions.joint import JointConfig
from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.spaces import map_structure


class TD3Config(ActorCriticConfig):
    """A deterministic policy that follows the first critic, and goals of the lower one.

    Noise is in the normalised space, where every action reaches from -1 to 1.
    """

    type: Literal["td3"] = "td3"

    learns_from = (DeterministicConfig, JointConfig)

    exploration_noise: NotNegative = 0.1
    """Standard deviation of what is added to the actions that are done."""
    policy_noise: NotNegative = 0.2
    """Standard deviation of what is added to the target policy's actions, to smooth the goals."""
    noise_clip: NotNegative = 0.5
    """Largest size of the latter."""
    policy_delay: Size = 2
    """Updates of the critics for one of the policy and the target networks."""

    def targets(self) -> tuple[str, ...]:
        return ("policy", "continuous_q")

    def build(self, module: RLModule, generator: torch.Generator) -> "TD3":
        return TD3(self, module, generator)


class TD3(ActorCritic[TD3Config]):
    """Learns critics, and now and then a policy."""

    def __init__(self, config: TD3Config, module: RLModule, generator: torch.Generator) -> None:
        super().__init__(config, module, generator)
        self.actor_loss = torch.zeros((), device=module.device)

    def perturbed(self, step: Step, generator: torch.Generator | None) -> Step:
        """The policy's actions, and noise."""
        std = self.config.exploration_noise

        def noisy(action: Tensor) -> Tensor:
            noise = torch.empty_like(action).normal_(generator=generator)
            return (action + std * noise).clamp(-1.0, 1.0)

        actions = map_structure(noisy, step.actions)
        return Step(actions, self.explored(step).to_env(actions), state=step.state)

    def update(self, batch: Batch) -> dict[str, float]:
        own = self.descend_own(batch)
        batch = unrolled(self.module, batch, self.config.replay.burn_in)
        loss, q, goal = self.critic_loss(batch)
        self.descend("critic", loss)
        self.updates += 1
        if self.updates % self.config.policy_delay == 0:
            actor_loss = self.policy_loss(batch)
            self.descend("actor", actor_loss)
            self.actor_loss = actor_loss.detach()
            move_targets(self.targets, self.config.tau)
        elif self.shares:
            self.descend("actor")
        metrics = {
            "critic_loss": loss.detach(),
            "q_mean": q.mean(),
            "target_mean": goal.mean(),
            "td_error": self.errors.mean(),
            **own,
            "actor_loss": self.actor_loss,
        }
        values = torch.stack([*metrics.values()]).tolist()
        return dict(zip(metrics, values, strict=True)) | {"lr": self.lr}

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Squared errors, summed over critics, their values and the goal; leaves `errors`."""
        lowest = self.target_q(after_slow(batch), self.smoothed(batch)).amin(0)
        goal = goals(lowest.squeeze(-1), batch)  # (B,)
        q = self.q(now(batch), self.parts.normalised(batch[Columns.ACTIONS])).squeeze(-1)
        self.errors = (q - goal).detach().abs().mean(0)
        loss = (batch[Columns.WEIGHTS] * (q - goal).square()).mean(-1).sum()
        return loss, q.detach(), goal

    def smoothed(self, batch: Batch) -> Tensor:
        """The target policy's actions where the transitions ended, and clipped noise, `(B, A)`."""
        config = self.config
        there = after_slow(batch)
        actions = self.target_policy(there).deterministic()
        noise = torch.empty_like(actions).normal_(generator=self.generator)
        noise = (config.policy_noise * noise).clamp(-config.noise_clip, config.noise_clip)
        return there.alike((actions + noise).clamp(-1.0, 1.0))

    def policy_loss(self, batch: Batch) -> Tensor:
        """Minus the first critic's value of what the policy does."""
        view = now(batch)
        return -self.first_q(view, self.policy(view).deterministic()).mean()

    def get_numbers(self) -> dict[str, Any]:
        return super().get_numbers() | {"actor_loss": float(self.actor_loss)}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        super().set_numbers(numbers)
        self.actor_loss = torch.tensor(float(numbers["actor_loss"]), device=self.module.device)
