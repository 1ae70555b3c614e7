"""`ppo`: proximal policy optimisation (Schulman et al., 2017, arXiv:1707.06347)."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from composer.algorithms._auxiliary import own_losses, summed
from composer.algorithms._sequences import FOR_MEMORY, counted, cut
from composer.algorithms.base import Algorithm, Batch, OnPolicyConfig
from composer.apis import APIs, PolicyAPI, SelfSupervisedLossAPI, ValueFunctionAPI
from composer.columns import Columns
from composer.config import NotNegative, Positive, Size
from composer.errors import Problem
from composer.heads.base import HeadConfig
from composer.heads.policy import PolicyHeadConfig
from composer.heads.value import ValueHeadConfig
from composer.model_config import TrunkConfig
from composer.module.rl_module import RLModule
from composer.optimisers._descent import Optimiser
from composer.optimisers._schedule import Elapsed, LearningRate
from composer.optimisers.adam import AdamConfig
from composer.optimisers.base import OptimiserConfig
from composer.returns import gae
from composer.spaces import SpaceFacts, map_structure


class PPOConfig(OnPolicyConfig):
    """Clipped surrogate objective over minibatches of a rollout, several epochs each."""

    type: Literal["ppo"] = "ppo"

    lr: LearningRate = 2.5e-4
    optimiser: OptimiserConfig = AdamConfig(eps=1e-5)
    max_grad_norm: Positive | None = 0.5
    epochs: Size = 4
    num_minibatches: Size = 4
    """Parts that a rollout is cut into, every epoch anew."""
    clip: Positive = 0.2
    """ε of the surrogate: ratios beyond 1 ± ε earn nothing."""
    value_clip: Positive | None = None
    """Largest *change* of a value from the rollout's; the worse of both errors counts."""
    value_loss_clip: Positive | None = None
    """Largest *squared error* of a value."""
    value_coef: NotNegative = 0.5
    entropy_coef: NotNegative = 0.0
    kl_coef: NotNegative = 0.0
    """Starting weight of KL(old ‖ new); adapted to `kl_target` after each update."""
    kl_target: Positive = 0.01
    target_kl: Positive | None = None
    """Stop an update after the epoch whose mean KL(old ‖ new) exceeds this."""
    normalize_advantages: Literal["minibatch", "batch", "none"] = "minibatch"

    def required_apis(self) -> APIs:
        return frozenset({PolicyAPI, ValueFunctionAPI})

    def layout(self, observation: SpaceFacts) -> dict[str, TrunkConfig]:
        """One trunk for an image, a critic trunk beside the actor's for anything else."""
        return {} if observation.image else {"critic": TrunkConfig()}

    def heads(self) -> dict[str, HeadConfig]:
        return {"policy": PolicyHeadConfig(), "value": ValueHeadConfig()}

    def problems(self, num_envs: int) -> list[Problem]:
        return self._uncut(num_envs, self.rollout_steps, "steps")

    def sequence_problems(self, num_envs: int, max_seq_len: int | None) -> list[Problem]:
        if max_seq_len is None:
            return []
        count = -(-self.rollout_steps // max_seq_len)
        return self._uncut(num_envs, count, f"sequences of {max_seq_len} steps")

    def _uncut(self, num_envs: int, count: int, what: str) -> list[Problem]:
        """The problem of more minibatches than there is to share out among them."""
        if self.num_minibatches <= num_envs * count:
            return []
        return [
            Problem(
                f"a rollout of {num_envs} environments × {count} {what} cannot be cut into "
                f"{self.num_minibatches} minibatches",
                path="algorithm.num_minibatches",
                value=self.num_minibatches,
                fix=f"algorithm.num_minibatches={min(4, num_envs * count)}",
            )
        ]

    def build(self, module: RLModule, generator: torch.Generator) -> "PPO":
        return PPO(self, module, generator)


class PPO(Algorithm):
    """Learns from rollouts `(N, T)`.

    Metrics of an update are means over all its minibatches; but `kl`, KL(old ‖ new), is the last
    epoch's mean, which says how far the policy has moved, and `epochs` how many of them there were.
    """

    def __init__(self, config: PPOConfig, module: RLModule, generator: torch.Generator) -> None:
        config.require(type(module))
        assert isinstance(module, ValueFunctionAPI)
        self.config = config
        self.module = module
        self.critic: ValueFunctionAPI = module
        self.generator = generator
        self.optimiser = Optimiser(config, module)
        self.kl_coef = config.kl_coef
        self.own: dict[str, Tensor] = {}
        self.explained_variance = 0.0

    def at(self, elapsed: Elapsed) -> None:
        self.optimiser.at(elapsed)

    def update(self, batch: Batch) -> dict[str, float]:
        config = self.config
        columns = self._with_advantages(batch)
        means: list[Tensor] = []
        kl, epochs_done = 0.0, 0
        for _ in range(config.epochs):
            start = len(means)
            for minibatch in self._minibatches(columns):
                means.append(self._step(minibatch))
            epochs_done += 1
            kl = float(torch.stack(means[start:])[:, _METRICS.index("kl")].mean())
            if config.target_kl is not None and kl > config.target_kl:
                break
        self._adapt(kl)
        names = (*_METRICS, *self.own)
        metrics = dict(zip(names, torch.stack(means).mean(0).tolist(), strict=True))
        return metrics | {
            "kl": kl,
            "explained_variance": self.explained_variance,
            "lr": self.optimiser.lr,
            "epochs": float(epochs_done),
            **({"kl_coef": self.kl_coef} if config.kl_coef else {}),
        }

    def _with_advantages(self, batch: Batch) -> dict[str, Any]:
        """Columns of what is learnt from, with advantages and value targets: of the steps that
        count, `(M, …)`; for a module with a memory of sequences, `(S, L, …)`.
        """
        rewards = batch[Columns.REWARDS]  # (N, T)
        last = {
            column: map_structure(lambda leaf: leaf[:, -1], batch[column])
            for column in (Columns.OBS, *FOR_MEMORY)
            if column in batch
        }
        with torch.no_grad(), self.module.resting():
            bootstrap = self.critic.compute_values(last)
        values = batch[Columns.VF_PREDS]
        terminated = batch[Columns.TERMINATEDS]
        advantages, targets = gae(
            rewards,
            values,
            torch.cat([values[:, 1:], bootstrap.unsqueeze(1)], 1),
            terminated,
            terminated | batch[Columns.TRUNCATEDS],
            self.config.gamma,
            self.config.gae_lambda,
        )
        mask = batch[Columns.LOSS_MASK]
        if self.config.normalize_advantages == "batch":
            advantages[mask] = _normalised(advantages[mask])
        self.explained_variance = _explained_variance(values[mask], targets[mask])
        acted = {column: batch[column] for column in _ACTED if column in batch}
        columns = {
            **acted,
            Columns.OBS: map_structure(lambda leaf: leaf[:, :-1], batch[Columns.OBS]),
            Columns.ADVANTAGES: advantages,
            Columns.VALUE_TARGETS: targets,
        }
        if isinstance(self.module, SelfSupervisedLossAPI):
            columns[Columns.NEXT_OBS] = map_structure(lambda leaf: leaf[:, 1:], batch[Columns.OBS])
        if Columns.STATE_IN not in batch:
            return {column: counted(value, mask) for column, value in columns.items()}
        carried = {column: batch[column] for column in FOR_MEMORY if column in batch}
        return cut({**columns, **carried, Columns.LOSS_MASK: mask}, self.module.max_seq_len)

    def _minibatches(self, columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """One epoch: every step or sequence once, in a new order, in parts as equal as can be."""
        advantages = columns[Columns.ADVANTAGES]
        order = torch.randperm(len(advantages), generator=self.generator).to(advantages.device)
        for index in order.tensor_split(min(self.config.num_minibatches, len(order))):
            yield {
                column: map_structure(lambda leaf, index=index: leaf.index_select(0, index), value)
                for column, value in columns.items()
            }

    def _step(self, batch: Mapping[str, Any]) -> Tensor:
        """One gradient step; returns the values of `_METRICS`, then the module's own losses."""
        loss, metrics = self.loss(batch)
        norm = self.optimiser.step(loss)
        own = [loss.detach() for loss in self.own.values()]
        return torch.stack([loss.detach(), *metrics, norm, *own])

    def loss(self, batch: Mapping[str, Any]) -> tuple[Tensor, list[Tensor]]:
        """The loss of a minibatch `(M, …)` or `(M, L, …)`: eq. 9, value and entropy terms with
        their weights.

        Beyond the paper: the two value clips, the adaptive KL term with a clip at once, and
        advantages normalised to mean 0 and standard deviation 1. The module's own losses are added;
        they are left in `own`.
        """
        config = self.config
        out = self.module.forward_train(batch)
        self.own = own_losses(self.module, batch, out)
        out, batch = self._steps(out, batch)
        mask = batch.get(Columns.ACTION_MASK)
        new = self.module.action_distribution(out, "train", mask)
        old = self.module.action_distribution(batch, "train", mask)
        advantages = batch[Columns.ADVANTAGES]
        if config.normalize_advantages == "minibatch":
            advantages = _normalised(advantages)
        log_ratio = new.log_prob(batch[Columns.ACTIONS]) - batch[Columns.ACTION_LOGP]
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        policy_loss = -torch.minimum(advantages * ratio, advantages * clipped).mean()
        value_loss = self._value_loss(out[Columns.VF_PREDS], batch)
        entropy = new.entropy().mean()
        loss = policy_loss + config.value_coef * value_loss - config.entropy_coef * entropy
        loss = loss + summed(self.own.values())
        with torch.set_grad_enabled(bool(self.kl_coef)):
            kl = old.kl(new).mean()
        if self.kl_coef:
            loss = loss + self.kl_coef * kl
        with torch.no_grad():
            outside = ((ratio - 1).abs() > config.clip).float().mean()
        return loss, [
            policy_loss.detach(),
            value_loss.detach(),
            entropy.detach(),
            kl.detach(),
            outside,
        ]

    def _steps(
        self, out: dict[str, Any], batch: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """What the module gave for the steps that count, values included, and their columns."""
        values = out.get(Columns.VF_PREDS)
        if values is None:
            values = self.critic.compute_values(batch, out.get(Columns.EMBEDDINGS))
        out = {**out, Columns.VF_PREDS: values}
        if Columns.LOSS_MASK not in batch:
            return out, batch
        mask = batch[Columns.LOSS_MASK]
        given = {column: counted(out[column], mask) for column in _GIVEN if column in out}
        learnt = {
            column: counted(batch[column], mask)
            for column in (*_ACTED, Columns.ADVANTAGES, Columns.VALUE_TARGETS)
            if column in batch
        }
        return given, learnt

    def _value_loss(self, values: Tensor, batch: Mapping[str, Any]) -> Tensor:
        targets = batch[Columns.VALUE_TARGETS]
        errors = (values - targets).square()
        if self.config.value_clip is not None:
            before = batch[Columns.VF_PREDS]
            change = (values - before).clamp(-self.config.value_clip, self.config.value_clip)
            errors = torch.maximum(errors, (before + change - targets).square())
        if self.config.value_loss_clip is not None:
            errors = errors.clamp(max=self.config.value_loss_clip)
        return errors.mean()

    def _adapt(self, kl: float) -> None:
        """Moves the KL term's weight towards its target, by the factors of RLlib's PPO."""
        if kl > 2.0 * self.config.kl_target:
            self.kl_coef *= 1.5
        elif kl < 0.5 * self.config.kl_target:
            self.kl_coef *= 0.5

    def get_tensors(self) -> dict[str, Tensor]:
        return self.optimiser.get_tensors()

    def set_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.optimiser.set_tensors(tensors)

    def get_numbers(self) -> dict[str, Any]:
        return {"kl_coef": self.kl_coef, "kl_coef_start": self.config.kl_coef}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        if numbers["kl_coef_start"] == self.config.kl_coef:  # else the setting was changed since
            self.kl_coef = float(numbers["kl_coef"])


_ACTED = (
    Columns.ACTIONS,
    Columns.ACTION_LOGP,
    Columns.ACTION_DIST_INPUTS,
    Columns.ACTION_MASK,
    Columns.VF_PREDS,
)
_GIVEN = (Columns.ACTION_DIST_INPUTS, Columns.VF_PREDS)
_METRICS = ("loss", "policy_loss", "value_loss", "entropy", "kl", "clip_fraction", "grad_norm")


def _normalised(advantages: Tensor) -> Tensor:
    return (advantages - advantages.mean()) / (advantages.std(correction=0) + 1e-8)


def _explained_variance(values: Tensor, targets: Tensor) -> float:
    """1 - Var(targets - values) / Var(targets); 0 where the targets do not vary."""
    variance = targets.var(correction=0)
    residual = (targets - values).var(correction=0)
    return float(torch.where(variance > 0, 1 - residual / variance, 0.0))
