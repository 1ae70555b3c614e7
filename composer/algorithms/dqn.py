"""`dqn`: deep Q-learning (Mnih et al., 2015), with what has been added to it since.

Double (van Hasselt et al., 2016, arXiv:1509.06461), dueling (Wang et al., 2016), prioritised
(Schaul et al., 2016), n-step and distributional (Bellemare et al., 2017); a MultiDiscrete has a
branch for each component (Tavakoli et al., 2018, arXiv:1711.08946).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field
from torch import Tensor

from composer.algorithms._auxiliary import own_losses, summed
from composer.algorithms._sequences import View, after, after_slow, now, unrolled
from composer.algorithms._targets import goals, move_targets
from composer.algorithms.base import Batch, OffPolicyAlgorithm, OffPolicyConfig
from composer.apis import APIs, QNetAPI, TargetNetworkAPI
from composer.columns import Columns
from composer.config import Fraction, Positive, Size, Steps
from composer.heads.base import HeadConfig
from composer.heads.q import QHeadConfig
from composer.model_config import TrunkConfig
from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.optimisers._descent import Optimiser
from composer.optimisers._schedule import Elapsed, LearningRate
from composer.spaces import Nested, SpaceFacts, category_counts, describe


class DQNConfig(OffPolicyConfig):
    """Q-learning from a replay, with a target network and ε-greedy exploration."""

    type: Literal["dqn"] = "dqn"

    has_sequences = True
    head_fields = ("dueling", "num_atoms", "v_min", "v_max", "noisy")

    lr: LearningRate = 5e-4
    max_grad_norm: Positive | None = 10.0
    double: bool = True
    """The online network chooses the next action, the target network values it."""
    dueling: bool = True
    """The head's default: the state's value and each action's advantage apart."""
    num_atoms: Size = 1
    """The head's default: more than 1 learns the distribution of the return."""
    v_min: float = -10.0
    v_max: float = 10.0
    noisy: bool = False
    """The head's default: noisy weights explore (Fortunato et al., 2018); ε may then be 0."""
    loss: Literal["huber", "mse"] = "huber"
    """Of the error of a Q that is one number."""
    epsilon_start: Fraction = 1.0
    epsilon_end: Fraction = 0.05
    epsilon_steps: Steps = 10_000
    """Environment steps in which ε, the share of random actions, falls from start to end."""
    target_update_every: Size = 500
    """Updates for each move of the target network, which is made before the next rollout; with a
    `tau` of 1 that is one copy at most, however many updates follow a rollout."""
    tau: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """How far it moves each time; 1 is a copy."""

    def required_apis(self) -> APIs:
        return frozenset({QNetAPI, TargetNetworkAPI})

    def layout(self, observation: SpaceFacts) -> dict[str, TrunkConfig]:
        """One trunk."""
        return {}

    def heads(self) -> dict[str, HeadConfig]:
        return {
            "q": QHeadConfig(
                dueling=self.dueling,
                num_atoms=self.num_atoms,
                v_min=self.v_min,
                v_max=self.v_max,
                noisy=self.noisy,
            )
        }

    def targets(self) -> tuple[str, ...]:
        return ("q",)

    def refusal(self, action_space: gym.Space) -> str | None:
        if isinstance(action_space, spaces.Discrete | spaces.MultiDiscrete):
            return None
        return (
            f"{self.type} values every action it could take, so it acts in a Discrete or "
            f"MultiDiscrete space, not {describe(action_space)}"
        )

    def epsilon(self, env_steps: int) -> float:
        """The share of random actions; all of them until learning starts."""
        if env_steps < self.learning_starts:
            return 1.0
        done = min(1.0, (env_steps - self.learning_starts) / max(1, self.epsilon_steps))
        return self.epsilon_start + done * (self.epsilon_end - self.epsilon_start)

    def build(self, module: RLModule, generator: torch.Generator) -> "DQN":
        return DQN(self, module, generator)


class DQN(OffPolicyAlgorithm):
    """Learns from transitions `(B, …)`; `errors` are absolute, of distributions losses."""

    def __init__(self, config: DQNConfig, module: RLModule, generator: torch.Generator) -> None:
        config.require(type(module))
        assert isinstance(module, QNetAPI)
        assert isinstance(module, TargetNetworkAPI)
        self.config = config
        self.module = module
        self.generator = generator
        self.critic: QNetAPI = module
        self.targets: TargetNetworkAPI = module
        module.renew_targets()
        self.branches = category_counts(module.action_space)
        first_places = np.cumsum([0, *self.branches[:-1]])
        self.first_places = torch.as_tensor(first_places, device=module.device)
        self.optimiser = Optimiser(config, module)
        self.updates = 0
        self.moved_at = 0
        self.errors = torch.zeros(0)

    def explore(
        self, step: Step, action_mask: Nested, env_steps: int, generator: torch.Generator | None
    ) -> Step:
        epsilon = self.config.epsilon(env_steps)
        best = step.actions
        shape = (best.shape[0], sum(self.branches))
        noise = torch.rand(shape, generator=generator, device=best.device)
        inputs = {Columns.ACTION_DIST_INPUTS: noise}
        if action_mask is not None:
            action_mask = torch.as_tensor(action_mask, device=best.device)
        uniform = self.module.action_distribution(inputs, "inference", action_mask)
        explores = torch.rand(shape[:1], generator=generator, device=best.device) < epsilon
        explores = explores.reshape(-1, *[1] * (best.dim() - 1))
        actions = torch.where(explores, uniform.deterministic(), best)
        return Step(actions, uniform.to_env(actions), state=step.state)

    def exploration(self, env_steps: int) -> dict[str, float]:
        return {"epsilon": self.config.epsilon(env_steps)}

    def at(self, elapsed: Elapsed) -> None:
        """Also moves the target, so that all updates between two rollouts have one goal."""
        self.optimiser.at(elapsed)
        every = self.config.target_update_every
        if moves := (self.updates - self.moved_at) // every:
            move_targets(self.targets, 1.0 - (1.0 - self.config.tau) ** moves)
            self.moved_at += moves * every

    def update(self, batch: Batch) -> dict[str, float]:
        self.module.resample_noise(0, 1, self.generator)
        loss, metrics = self.loss(unrolled(self.module, batch, self.config.replay.burn_in))
        own = own_losses(self.module, batch)
        loss = loss + summed(own.values())
        norm = self.optimiser.step(loss)
        self.updates += 1
        names = ("loss", "q_mean", "target_mean", "td_error", "grad_norm", *own)
        values = torch.stack([loss.detach(), *metrics, norm, *own.values()]).tolist()
        return dict(zip(names, values, strict=True)) | {"lr": self.optimiser.lr}

    def loss(self, batch: Mapping[str, Any]) -> tuple[Tensor, list[Tensor]]:
        """The weighted loss of transitions, mean over branches; leaves `errors`."""
        here, there = now(batch), after(batch)
        given = self.critic.compute_q_values(here.columns)
        out = _picked(given, here)
        with torch.no_grad():
            chooser = target = self._target(batch)
            if self.config.double:
                is_known = there.columns is here.columns
                ahead = given if is_known else self.critic.compute_q_values(there.columns)
                chooser = _picked(ahead, there)
            best = self._greedy(chooser[Columns.QF_PREDS], batch.get(Columns.NEXT_ACTION_MASK))
        actions = batch[Columns.ACTIONS].reshape(len(best), -1)  # (B, branches)
        taken = self._places(actions)
        q = out[Columns.QF_PREDS].gather(-1, taken)  # (B, branches)
        if "atoms" in out:
            each = self._cross_entropy(out, target, taken, best, batch)
            goal = target[Columns.QF_PREDS].gather(-1, best)
            errors = each.detach().mean(-1)
        else:
            goal = goals(target[Columns.QF_PREDS].gather(-1, best).mean(-1), batch)
            goal = goal.unsqueeze(-1).expand_as(q)
            is_huber = self.config.loss == "huber"
            of = torch.nn.functional.smooth_l1_loss if is_huber else torch.nn.functional.mse_loss
            each = of(q, goal, reduction="none")
            errors = (q - goal).detach().abs().mean(-1)
        self.errors = errors
        loss = (batch[Columns.WEIGHTS] * each.mean(-1)).mean()
        return loss, [q.detach().mean(), goal.mean(), errors.mean()]

    def _target(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """What the target network says of where transitions end."""
        there = after_slow(batch)
        return _picked(self.targets.forward_target(there.columns), there)

    def _greedy(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Where each branch's best choice stands among all, `(B, branches)`."""
        if mask is not None:
            values = values.masked_fill(~mask.bool(), -torch.inf)
        best = [branch.argmax(-1) for branch in values.split(self.branches, -1)]
        return self._places(torch.stack(best, -1))

    def _places(self, choices: Tensor) -> Tensor:
        """Choices of each branch → where they stand among those of all branches."""
        return choices.long() + self.first_places if self.branches[1:] else choices.long()

    def _cross_entropy(
        self,
        out: Mapping[str, Tensor],
        target: Mapping[str, Tensor],
        taken: Tensor,
        best: Tensor,
        batch: Mapping[str, Any],
    ) -> Tensor:
        """Of the online distribution to the target's, laid over the atoms; `(B, branches)`."""
        log_probs = _at(out["qf_logits"], taken).log_softmax(-1)
        moved = goals(target["atoms"].expand(len(best), -1), batch)  # (B, Z)
        probs = projected(moved.unsqueeze(1), _at(target["qf_probs"], best), out["atoms"])
        return -(probs * log_probs).sum(-1)

    def get_tensors(self) -> dict[str, Tensor]:
        return self.optimiser.get_tensors()

    def set_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.optimiser.set_tensors(tensors)

    def get_numbers(self) -> dict[str, Any]:
        return {"updates": self.updates, "moved_at": self.moved_at}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        self.updates, self.moved_at = numbers["updates"], numbers["moved_at"]


def _picked(out: Mapping[str, Tensor], view: View) -> dict[str, Tensor]:
    """What a Q network said of a view's columns → of its states, `(M, …)`."""
    of_steps = (Columns.QF_PREDS, "qf_logits", "qf_probs")
    return {name: view.pick(v) if name in of_steps else v for name, v in out.items()}


def _at(values: Tensor, places: Tensor) -> Tensor:
    """Values `(B, n, Z)` at places `(B, branches)` → `(B, branches, Z)`."""
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def projected(values: Tensor, probs: Tensor, atoms: Tensor) -> Tensor:
    """A distribution over any values, as one over the atoms (Bellemare et al., 2017, alg. 1).

    Args:
        values: `(*B, Z)`.
        probs: Of the values, `(*B, Z)`.
        atoms: Equally spaced, `(Z,)`.

    Returns:
        `(*B, Z)`: each value's probability goes to the two atoms beside it, to each by how near it
        is; beyond the last atom, to that.
    """
    step = atoms[1] - atoms[0]
    position = ((values.clamp(atoms[0], atoms[-1]) - atoms[0]) / step).unsqueeze(-1)
    near = (1 - (position - torch.arange(len(atoms), device=atoms.device)).abs()).clamp(min=0)
    return (near * probs.unsqueeze(-1)).sum(-2)
