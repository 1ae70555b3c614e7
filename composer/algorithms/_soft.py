"""What `sac` and `tqc` share: a policy that is paid for its entropy, at a learned temperature."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from composer.algorithms._actor_critic import ActorCritic, ActorCriticConfig
from composer.algorithms._sequences import after, now, unrolled
from composer.algorithms._targets import move_targets
from composer.algorithms.base import Batch
from composer.columns import Columns
from composer.config import Auto, AutoOr, Fraction, NotNegative, Positive, Size
from composer.distributions._apart import Apart
from composer.distributions.categorical import CategoricalConfig
from composer.distributions.joint import JointConfig
from composer.distributions.multi_categorical import MultiCategoricalConfig
from composer.distributions.squashed_gaussian import SquashedGaussianConfig
from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.optimisers._descent import Optimiser
from composer.spaces import choice_counts, real_dim


class SoftConfig(ActorCriticConfig):
    """Hyperparameters of the temperature beside those of policy and critics."""

    learns_from = (SquashedGaussianConfig, CategoricalConfig, MultiCategoricalConfig, JointConfig)

    alpha: AutoOr[NotNegative] = Auto()
    """The temperature, what a nat of entropy is worth; `auto` learns it (Haarnoja et al., 2018,
    arXiv:1812.05905, sec. 5)."""
    alpha_init: Positive = 1.0
    """Where a learned temperature starts."""
    target_entropy: AutoOr[float] = Auto()
    """Entropy of the real actions that the temperature aims at, in nats of the normalised space;
    `auto` is -1 for each component."""
    target_entropy_fraction: Fraction = 0.98
    """Entropy of the choices that it aims at, as a share of the highest, log n for n that may be
    taken (Christodoulou, 2019, arXiv:1910.07207)."""
    target_update_every: Size = 1
    """Updates between two of the target networks."""


@dataclass(frozen=True)
class Drawn:
    """What the policy would do at B states.

    There is an entropy, a temperature and a target for each kind of action there is: the real
    components, then the choices (Delalleau et al., 2019, arXiv:1912.11077, sec. 4.2).
    """

    actions: Tensor | None
    """Real ones in the normalised space with gradient, `(B, A)`."""
    probs: Tensor
    """Of each choice, `(B, n)`; 1 where there is none to make, `(B, 1)`."""
    branches: int
    """D, choices that are made at a time."""
    entropies: Tensor
    """In nats, those of the real components estimated from the sample, `(B, kinds)`."""

    def expected(self, values: Tensor) -> Tensor:
        """The mean over the branches of the expected value: `(B, n)` → `(B,)`."""
        return (self.probs * values).sum(-1) / self.branches


S = TypeVar("S", bound=SoftConfig)


class SoftActorCritic(ActorCritic[S]):
    """Learns critics, a policy, and what entropy is worth."""

    def __init__(self, config: S, module: RLModule, generator: torch.Generator) -> None:
        super().__init__(config, module, generator)
        space = module.action_space
        kinds = ("real",) * bool(real_dim(space)) + ("choice",) * bool(choice_counts(space))
        self.kinds = kinds
        target, alpha = config.target_entropy, config.alpha
        self.real_target = -float(real_dim(space)) if isinstance(target, Auto) else target
        start = config.alpha_init if isinstance(alpha, Auto) else alpha
        self.temperature = Temperature(torch.full((len(kinds),), start, device=module.device))
        if isinstance(alpha, Auto):
            own = config.optimiser.model_copy(update={"weight_decay": 0.0, "parts": {}})
            own = config.model_copy(update={"optimiser": own})
            self.optimisers["alpha"] = Optimiser(own, self.temperature)

    def perturbed(self, step: Step, generator: torch.Generator | None) -> Step:
        """The policy explores by itself."""
        return step

    def update(self, batch: Batch) -> dict[str, float]:
        alpha = self.temperature().detach()
        own = self.descend_own(batch)
        batch = unrolled(self.module, batch, self.config.replay.burn_in)
        critic_loss, q, goal = self.critic_loss(batch, alpha)
        self.descend("critic", critic_loss)
        policy = self.policy(now(batch), batch.get(Columns.ACTION_MASK))
        drawn = self.draw(policy)
        actor_loss = self.actor_loss(batch, drawn, alpha)
        self.descend("actor", actor_loss)
        if "alpha" in self.optimisers:
            self.descend("alpha", self.temperature_loss(drawn.entropies, self.aims(policy)))
        self.updates += 1
        if self.updates % self.config.target_update_every == 0:
            move_targets(self.targets, self.config.tau)
        names = ["critic_loss", "actor_loss", "q_mean", "target_mean", "td_error", *own]
        each = [critic_loss, actor_loss, q.mean(), goal.mean(), self.errors.mean(), *own.values()]
        ends = ("",) if len(self.kinds) == 1 else [f"_{kind}" for kind in self.kinds]
        names += [f"{name}{end}" for name in ("alpha", "entropy") for end in ends]
        each = torch.cat([torch.stack(each), alpha, drawn.entropies.mean(0)])
        return dict(zip(names, each.tolist(), strict=True)) | {"lr": self.lr}

    def draw(self, policy: Apart) -> Drawn:
        """Actions of a policy, with gradient."""
        entropies, actions, probs = [], None, None
        if policy.reals:
            actions, log_prob = policy.rsample(self.generator)
            entropies.append(-log_prob)
        if policy.choices:
            log_probs = policy.log_probs()
            probs = log_probs.exp()
            entropies.append(-(probs * log_probs).sum(-1))
        else:
            probs = torch.ones_like(entropies[0]).unsqueeze(-1)
        return Drawn(actions, probs, max(1, len(policy.counts)), torch.stack(entropies, -1))

    def aims(self, policy: Apart) -> Tensor:
        """Target entropies at the states of a policy, `(B, kinds)`."""
        aims, inputs = [], policy.distribution.inputs
        if policy.reals:
            aims.append(inputs.new_full(inputs.shape[:-1], self.real_target))
        if policy.choices:
            aims.append(self.config.target_entropy_fraction * policy.log_counts())
        return torch.stack(aims, -1)

    def drawn_after(self, batch: Batch) -> Drawn:
        """What the policy would do where the transitions ended, without gradient."""
        with torch.no_grad():
            there = after(batch)
            drawn = self.draw(self.policy(there, batch.get(Columns.NEXT_ACTION_MASK)))
            actions = None if drawn.actions is None else there.alike(drawn.actions)
            return replace(drawn, actions=actions, entropies=there.alike(drawn.entropies))

    @abstractmethod
    def critic_loss(self, batch: Batch, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The critics' loss, their values and what they should be; leaves `errors`."""

    @abstractmethod
    def judged(self, q: Tensor) -> Tensor:
        """What the policy takes for the value, of the critics' `(n_critics, B, n)`."""

    def actor_loss(self, batch: Batch, drawn: Drawn, alpha: Tensor) -> Tensor:
        """Minus the value and the entropy's worth.

        A real action is moved along the gradient of the mean over the branches; the choice of a
        branch by the values that the branch has.
        """
        with torch.set_grad_enabled(drawn.actions is not None):
            values = self.judged(self.q(now(batch), drawn.actions))
        probs = drawn.probs.detach()
        worth = (probs * values).sum(-1) / drawn.branches
        worth = worth + ((drawn.probs - probs) * values.detach()).sum(-1)
        return -(worth + (alpha * drawn.entropies).sum(-1)).mean()

    def temperature_loss(self, entropies: Tensor, aims: Tensor) -> Tensor:
        """Rises where there is less entropy than aimed at (eq. 18, of log α as in its code)."""
        return (self.temperature.log_alpha * (entropies - aims).detach()).mean(0).sum()

    def get_tensors(self) -> dict[str, Tensor]:
        return super().get_tensors() | {"log_alpha": self.temperature.log_alpha.detach().clone()}

    def set_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        super().set_tensors(tensors)
        if "alpha" in self.optimisers:  # else the setting counts
            self.temperature.load_state_dict({"log_alpha": tensors["log_alpha"]})


class Temperature(nn.Module):
    """What a nat of entropy is worth, for each kind of action."""

    def __init__(self, alpha: Tensor) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(alpha.log())

    def forward(self) -> Tensor:
        """α, `(kinds,)`."""
        return self.log_alpha.exp()
