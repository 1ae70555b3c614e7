"""`q`: features → the value of each action that can be counted."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

import gymnasium as gym
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from composer.apis import QNetAPI
from composer.columns import Columns
from composer.config import Auto, AutoOr, Listed, Size
from composer.distributions.base import DistributionConfig
from composer.errors import Problem
from composer.heads._ensemble import ensemble
from composer.heads.base import OutputHeadConfig
from composer.noisy import Stack, stack
from composer.problems import invalid_keys
from composer.spaces import choice_counts


class ComposedQNet(QNetAPI):
    """What a composed module gains by a Q head."""

    run_head: Callable[..., dict[str, Tensor]]

    def compute_q_values(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        return self.run_head(Columns.QF_PREDS, batch)

    def compute_advantage_distribution(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        return self.run_head(Columns.QF_PREDS, batch, method="advantage_values")


class QHeadConfig(OutputHeadConfig):
    """A value for each action; of a MultiDiscrete for each choice of each branch."""

    type: Literal["q"] = "q"
    dueling: bool = False
    """The state's value and each action's advantage apart (Wang et al., 2016, arXiv:1511.06581,
    eq. 9), for each branch on its own (Tavakoli et al., 2018, arXiv:1711.08946, eq. 1)."""
    num_atoms: Size = 1
    """More than 1: the distribution of the return over so many values (Bellemare et al., 2017,
    arXiv:1707.06887), instead of its mean."""
    v_min: float = -10.0
    v_max: float = 10.0
    """Lowest and highest value of the distribution, in the units of the return."""
    n_critics: Size = 1
    """More than 1: critics that share nothing but what the head reads; none of them acts."""
    noisy: bool = False
    """Explore by noisy weights (Fortunato et al., 2018, arXiv:1706.10295)."""
    sigma: Annotated[float, Field(gt=0.0)] = 0.5
    """Of the noise at first, over the square root of a layer's inputs."""
    branches: AutoOr[Listed[Size]] = Auto()
    """Choices of each branch; `auto` is those of the action space."""

    side = "critic"
    column = Columns.QF_PREDS
    explores = False
    method = "q_values"
    offers = ComposedQNet

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.v_min >= self.v_max:
            message = f"v_min {self.v_min} must lie below v_max {self.v_max}"
            name = "v_min" if "v_min" in self.model_fields_set else "v_max"
            raise invalid_keys((name, getattr(self, name), Problem(message)))
        if self.noisy and self.n_critics > 1:
            message = "noise explores by the one critic that acts, and of several none does"
            raise invalid_keys(("noisy", True, Problem(message)))
        return self

    @property
    def acts(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.n_critics == 1

    @property
    def has_noise(self) -> bool:
        return self.noisy

    def resolve(self, action_space: gym.Space) -> Self:
        return self.model_copy(update={"branches": choice_counts(action_space)})

    def out_dim(self, action_space: gym.Space, distribution: DistributionConfig) -> int:
        return sum(choice_counts(action_space))

    def output_shape(self, out_dim: int) -> str:
        return f"*B, {out_dim}" if self.n_critics == 1 else f"{self.n_critics}, *B, {out_dim}"

    def build(self, in_dim: int, out_dim: int) -> "QHead":
        assert not isinstance(self.branches, Auto)
        branches, atoms = tuple(self.branches), self.num_atoms
        values = self._stream(in_dim, len(branches) * atoms) if self.dueling else None
        return QHead(
            advantages=self._stream(in_dim, out_dim * atoms),
            values=values,
            branches=branches,
            atoms=torch.linspace(self.v_min, self.v_max, atoms) if atoms > 1 else None,
        )

    def _stream(self, in_dim: int, out_dim: int) -> Stack:
        """The layers of one critic, or of several behind an axis in front."""
        members = [self.layers(in_dim, out_dim) for _ in range(self.n_critics)]
        together = members[0] if self.n_critics == 1 else ensemble(members)
        return stack(together, self.sigma if self.noisy else None)


class QHead(nn.Module):
    """One stream of layers, or two whose sum it is."""

    atoms: Tensor | None

    def __init__(
        self,
        *,
        advantages: Stack,
        values: Stack | None,
        branches: tuple[int, ...],
        atoms: Tensor | None,
    ) -> None:
        super().__init__()
        self.advantages = advantages
        self.values = values
        self.branches = branches
        self.register_buffer("atoms", atoms, persistent=False)

    def forward(self, features: Tensor, noisy: bool = False) -> Tensor:
        """features: `(*B, F)` → expected returns `(*B, n)`, `(n_critics, *B, n)` of several."""
        return self.q_values(features, noisy)[Columns.QF_PREDS]

    def q_values(self, features: Tensor, noisy: bool = True) -> dict[str, Tensor]:
        """features: `(*B, F)` → as `QNetAPI.compute_q_values`."""
        branches = self._branches(features, noisy)
        if self.values is not None:
            values = self._atoms_apart(self.values(features, noisy))  # (*B, branches, Z)
            branches = [values[..., i : i + 1, :] + branch for i, branch in enumerate(branches)]
        return self._described(branches)

    def advantage_values(self, features: Tensor, noisy: bool = True) -> dict[str, Tensor]:
        """features: `(*B, F)` → as `QNetAPI.compute_advantage_distribution`."""
        return self._described(self._branches(features, noisy))

    def _branches(self, features: Tensor, noisy: bool) -> list[Tensor]:
        """Scores of each branch `(*B, n, Z)`; beside a stream of values less their mean."""
        scores = self._atoms_apart(self.advantages(features, noisy))
        if self.values is None:
            return [scores]
        return [b - b.mean(-2, keepdim=True) for b in scores.split(self.branches, -2)]

    def _atoms_apart(self, scores: Tensor) -> Tensor:
        count = 1 if self.atoms is None else len(self.atoms)
        return scores.unflatten(-1, (-1, count))

    def _described(self, branches: list[Tensor]) -> dict[str, Tensor]:
        """Scores as columns, branches side by side."""
        scores = torch.cat(branches, -2) if branches[1:] else branches[0]  # (*B, n, Z)
        if self.atoms is None:
            return {Columns.QF_PREDS: scores.squeeze(-1)}
        probs = scores.softmax(-1)
        return {
            Columns.QF_PREDS: probs @ self.atoms,
            "atoms": self.atoms,
            "qf_logits": scores,
            "qf_probs": probs,
        }
