"""`sac`: soft actor-critic (Haarnoja et al., 2018, arXiv:1812.05905), for real actions, for choices
(Christodoulou, 2019, arXiv:1910.07207), and for both at once (Delalleau et al., 2019,
arXiv:1912.11077); a MultiDiscrete has a branch for each component, as in `dqn`.
"""

from typing import Literal, Self

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor

from composer.algorithms._actor_critic import unbounded
from composer.algorithms._sequences import after_slow, now
from composer.algorithms._soft import SoftActorCritic, SoftConfig
from composer.algorithms._targets import goals
from composer.algorithms.base import Batch
from composer.apis import APIs, PolicyAPI, QNetAPI, TargetNetworkAPI
from composer.columns import Columns
from composer.config import Auto, AutoOr
from composer.heads.base import HeadConfig
from composer.heads.policy import PolicyHeadConfig
from composer.heads.q import QHeadConfig
from composer.module.rl_module import RLModule
from composer.spaces import describe, is_real, leaf_spaces, real_dim


class SACConfig(SoftConfig):
    """A policy that is paid for its entropy, and the lower of two critics."""

    type: Literal["sac"] = "sac"

    critic: AutoOr[Literal["continuous_q", "q"]] = Auto()
    """The head that values actions: `q` each choice there is; `continuous_q` takes real actions in.
    `auto` is `q` where all actions are choices."""

    def refusal(self, action_space: gym.Space) -> str | None:
        for leaf in leaf_spaces(action_space):
            if is_real(leaf):
                if not leaf.is_bounded():
                    return unbounded(self.type, leaf)
            elif not isinstance(leaf, spaces.Discrete | spaces.MultiDiscrete | spaces.Box):
                return (
                    f"{self.type} acts in Box, Discrete and MultiDiscrete spaces, and in a Dict or "
                    f"Tuple of them, not {describe(leaf)}"
                )
        if self.critic == "q" and real_dim(action_space):
            return f"the head `q` values choices, and {describe(action_space)} has real actions"
        return None

    def resolve(self, action_space: gym.Space) -> Self:
        if not isinstance(self.critic, Auto):
            return self
        critic = "continuous_q" if real_dim(action_space) else "q"
        return self.model_copy(update={"critic": critic})

    def required_apis(self) -> APIs:
        if self.critic == "q":
            return frozenset({PolicyAPI, QNetAPI, TargetNetworkAPI})
        return super().required_apis()

    def heads(self) -> dict[str, HeadConfig]:
        if self.critic == "q":
            q = QHeadConfig(n_critics=self.n_critics, hidden=(256, 256), activation="relu")
            return {"policy": PolicyHeadConfig(), "q": q}
        return super().heads()

    def targets(self) -> tuple[str, ...]:
        return ("q",) if self.critic == "q" else super().targets()

    def build(self, module: RLModule, generator: torch.Generator) -> "SAC":
        return SAC(self.resolve(module.action_space), module, generator)


class SAC(SoftActorCritic[SACConfig]):
    """The lowest of the critics counts, each regresses to the same goal."""

    def critic_loss(self, batch: Batch, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Half the squared errors, mean over branches, summed over critics (eq. 5)."""
        drawn = self.drawn_after(batch)
        lowest = self.judged(self.target_q(after_slow(batch), drawn.actions))
        goal = goals(drawn.expected(lowest) + (alpha * drawn.entropies).sum(-1), batch)
        q = self.taken(batch)
        differences = q - goal.unsqueeze(-1)  # (n_critics, B, D)
        self.errors = differences.detach().abs().mean((0, -1))
        each = 0.5 * differences.square().mean(-1)
        return (batch[Columns.WEIGHTS] * each).mean(-1).sum(), q.detach(), goal

    def taken(self, batch: Batch) -> Tensor:
        """Values of what was done, `(n_critics, B, D)`; D is 1 where there were no choices."""
        parts, actions = self.parts, batch[Columns.ACTIONS]
        q = self.q(now(batch), parts.normalised(actions) if parts.reals else None)
        if not parts.choices:
            return q
        return q.gather(-1, parts.places(actions).expand(len(q), -1, -1))

    def judged(self, q: Tensor) -> Tensor:
        """The lowest, choice by choice."""
        return q.amin(0)
