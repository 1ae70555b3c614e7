"""`tqc`: truncated quantile critics (Kuznetsov et al., 2020, arXiv:2005.04269)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from composer.algorithms._sequences import after_slow, now
from composer.algorithms._soft import SoftActorCritic, SoftConfig
from composer.algorithms._targets import goals
from composer.algorithms.base import Batch
from composer.columns import Columns
from composer.config import Size
from composer.errors import Problem
from composer.heads.base import HeadConfig
from composer.heads.continuous_q import ContinuousQHeadConfig
from composer.heads.policy import PolicyHeadConfig
from composer.module.rl_module import RLModule


class TQCConfig(SoftConfig):
    """As `sac`, with critics that know the distribution of the return; its top is left out."""

    type: Literal["tqc"] = "tqc"

    head_fields = ("n_critics", "n_quantiles")

    n_critics: Size = 5
    """The head's default: critics whose quantiles are thrown together."""
    n_quantiles: Annotated[int, Field(gt=1)] = 25
    """The head's default: of each critic."""
    top_quantiles_to_drop_per_net: Annotated[int, Field(ge=0)] = 2
    """How many of the highest are left out of the goal, for each critic there is."""

    def heads(self) -> dict[str, HeadConfig]:
        q = ContinuousQHeadConfig(n_critics=self.n_critics, n_quantiles=self.n_quantiles)
        return {"policy": PolicyHeadConfig(), "continuous_q": q}

    def problems(self, num_envs: int) -> list[Problem]:
        dropped, kept = self.top_quantiles_to_drop_per_net, self.n_quantiles
        path = "algorithm.top_quantiles_to_drop_per_net"
        nothing_left = Problem(
            f"nothing is left of {kept} quantiles without the {dropped} highest",
            path=path,
            value=dropped,
            fix=f"{path}={min(2, kept - 1)}",
        )
        return super().problems(num_envs) + ([nothing_left] if dropped >= kept else [])

    def build(self, module: RLModule, generator: torch.Generator) -> "TQC":
        return TQC(self, module, generator)


class TQC(SoftActorCritic[TQCConfig]):
    """Critics regress to the lower quantiles of them all; the policy follows their mean."""

    def critic_loss(self, batch: Batch, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The quantile Huber loss, mean over everything (eq. 8 and 14)."""
        drawn = self.drawn_after(batch)
        quantiles = self.target_q(after_slow(batch), drawn.actions)
        lower = truncated(quantiles, self.config.top_quantiles_to_drop_per_net)
        goal = goals(lower + alpha * drawn.entropies, batch)  # (B, kept)
        actions = self.parts.normalised(batch[Columns.ACTIONS])
        q = self.q(now(batch), actions)  # (n_critics, B, quantiles)
        self.errors = (q.mean(-1) - goal.mean(-1)).detach().abs().mean(0)
        each = quantile_huber(q, goal).mean(0)
        return (batch[Columns.WEIGHTS] * each).mean(), q.detach(), goal

    def judged(self, q: Tensor) -> Tensor:
        """The mean of all quantiles of all critics."""
        return q.mean((0, -1)).unsqueeze(-1)


def truncated(quantiles: Tensor, dropped: int) -> Tensor:
    """All critics' quantiles in order, without the highest (sec. 3.2).

    Args:
        quantiles: `(n_critics, B, n_quantiles)`.
        dropped: How many for each critic.

    Returns:
        `(B, n_critics · (n_quantiles - dropped))`.
    """
    critics, _, count = quantiles.shape
    together = quantiles.movedim(0, 1).flatten(1)
    return together.sort(-1).values[:, : critics * (count - dropped)]


def quantile_huber(quantiles: Tensor, goals: Tensor) -> Tensor:
    """How far quantiles are from those of samples (Dabney et al., 2018, arXiv:1710.10044, eq. 10).

    Args:
        quantiles: Those at (2i - 1) / 2n, `(*C, B, n)`.
        goals: Samples, `(B, m)`.

    Returns:
        `(*C, B)`: the mean over all pairs, with κ = 1.
    """
    count = quantiles.shape[-1]
    levels = (torch.arange(count, device=quantiles.device) + 0.5) / count
    differences = goals.unsqueeze(-2) - quantiles.unsqueeze(-1)  # (*C, B, n, m)
    huber = torch.nn.functional.smooth_l1_loss(
        differences, torch.zeros_like(differences), reduction="none"
    )
    weights = (levels.unsqueeze(-1) - (differences < 0).float()).abs()
    return (weights * huber).mean((-2, -1))
