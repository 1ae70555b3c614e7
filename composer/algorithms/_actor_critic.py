"""What the off-policy actor-critics share: who trains which parameters, warm-up, saving."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Generic, TypeVar

import gymnasium as gym
import torch
from pydantic import Field
from torch import Tensor, nn

from composer.algorithms._auxiliary import gradients, own_losses, summed
from composer.algorithms._sequences import View
from composer.algorithms.base import Batch, OffPolicyAlgorithm, OffPolicyConfig
from composer.apis import APIs, ContinuousQAPI, PolicyAPI, TargetNetworkAPI
from composer.columns import Columns
from composer.config import Positive, Size
from composer.distributions._apart import Apart, uniform
from composer.distributions.base import Distribution
from composer.encoders.identity import IdentityEncoderConfig
from composer.heads.base import HeadConfig
from composer.heads.continuous_q import ContinuousQHeadConfig
from composer.heads.policy import PolicyHeadConfig
from composer.model_config import TrunkConfig
from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.optimisers._descent import Optimiser
from composer.optimisers._schedule import Elapsed, LearningRate
from composer.replay_config import ReplayConfig
from composer.spaces import (
    Nested,
    SpaceFacts,
    describe,
    example_of,
    is_real,
    leaf_spaces,
    map_structure,
    to_tensors,
)


class ActorCriticConfig(OffPolicyConfig):
    """Hyperparameters of a policy and critics that learn from a replay."""

    has_sequences = True
    critic_trains_shared = True
    head_fields = ("n_critics",)

    replay: ReplayConfig = ReplayConfig(capacity=1_000_000)
    batch_size: Size = 256
    train_ratio: Positive = 1.0
    lr: LearningRate = 3e-4
    """Of the policy, the critics and, where it is learnt, the temperature."""
    n_critics: Size = 2
    """The head's default: critics that are trained apart."""
    tau: Annotated[float, Field(gt=0.0, le=1.0)] = 0.005
    """How far the target networks move at a time."""

    def required_apis(self) -> APIs:
        return frozenset({PolicyAPI, ContinuousQAPI, TargetNetworkAPI})

    def layout(self, observation: SpaceFacts) -> dict[str, TrunkConfig]:
        """A trunk for the critics, of a vector the vector itself: their layers are the head's."""
        is_vector = observation.kind == "box" and len(observation.shape or ()) <= 1
        return {"critic": TrunkConfig(encoder=IdentityEncoderConfig() if is_vector else None)}

    def heads(self) -> dict[str, HeadConfig]:
        return {
            "policy": PolicyHeadConfig(),
            "continuous_q": ContinuousQHeadConfig(n_critics=self.n_critics),
        }

    def targets(self) -> tuple[str, ...]:
        return ("continuous_q",)

    def refusal(self, action_space: gym.Space) -> str | None:
        """Why it cannot act in a space of other than finite real components."""
        for leaf in leaf_spaces(action_space):
            if not is_real(leaf):
                return (
                    f"{self.type} moves real actions along the gradient of their value, so it acts "
                    f"in a Box of floats, or a Dict or Tuple of them, not {describe(leaf)}"
                )
            if not leaf.is_bounded():
                return unbounded(self.type, leaf)
        return None

    @abstractmethod
    def build(self, module: RLModule, generator: torch.Generator) -> "ActorCritic": ...


def unbounded(tag: str, space: gym.Space) -> str:
    """The refusal of a Box that no tanh fills."""
    return (
        f"{tag} squashes actions by a tanh between finite bounds, and {describe(space)} has an "
        "infinite one\nbound the actions by a wrapper of your own in `env.wrappers`, whose "
        "`action_space` is a finite Box; Gymnasium's ClipAction and RescaleAction give none"
    )


C = TypeVar("C", bound=ActorCriticConfig)


class ActorCritic(OffPolicyAlgorithm, Generic[C]):
    """Learns from transitions `(B, …)`; `errors` are absolute, means over the critics.

    A parameter is the critics' if their values depend on it, else the policy's if its actions do:
    a trunk that they share is trained by the critics alone. The module's own losses are added to
    the loss of whoever has the parameter; parameters that nobody else has are `auxiliary`.
    """

    def __init__(self, config: C, module: RLModule, generator: torch.Generator) -> None:
        config.require(type(module))
        assert isinstance(module, TargetNetworkAPI)
        self.config = config
        self.module = module
        self.targets: TargetNetworkAPI = module
        module.renew_targets()
        self.values_actions = ContinuousQAPI in config.required_apis()
        self.generator = generator
        with module.resting():
            self.parts = self._parts()
            split = self._split()
        self.optimisers = {
            name: Optimiser(config, module, parameters)
            for name, parameters in split.items()
            if parameters  # else all of it is frozen
        }
        self.updates = 0
        self.errors = torch.zeros(0)
        self.shares: dict[Tensor, Tensor] = {}

    def _example(self) -> View:
        """One observation, whatever it shows; for a memory a sequence of it alone."""
        module = self.module
        obs = to_tensors(example_of(module.observation_space), module.device)
        if not module.is_stateful:
            return View({Columns.OBS: obs})
        begins = torch.ones(1, 1, dtype=torch.bool, device=module.device)
        columns = {
            Columns.OBS: _in_time(obs),
            Columns.STATE_IN: to_tensors(module.get_initial_state(1), module.device),
            Columns.IS_FIRST: begins,
            Columns.PREV_ACTIONS: _in_time(module.act(obs, deterministic=True).actions),
            Columns.PREV_REWARDS: torch.zeros(1, 1, device=module.device),
            Columns.LOSS_MASK: begins,
        }
        return View(columns, torch.zeros(1, dtype=torch.long, device=module.device))

    def _parts(self) -> Apart:
        """How actions as they are kept are taken apart, whatever the policy."""
        with torch.no_grad():
            return self.policy(self._example())

    def _split(self) -> dict[str, dict[str, nn.Parameter]]:
        """Who trains which parameters, seen by what depends on them."""
        view = self._example()
        obs = view.columns[Columns.OBS]
        with torch.random.fork_rng(devices=[]):
            policy = self.policy(view)
            q = self.q(view, policy.deterministic().detach() if policy.reals else None)
            done = map_structure(Tensor.detach, policy.distribution.deterministic())
            done = done if view.places is None else _in_time(done)
            batch = {**view.columns, Columns.NEXT_OBS: obs, Columns.ACTIONS: done}
            loss = summed(own_losses(self.module, batch).values())
        outputs = (policy.distribution.inputs, q, torch.as_tensor(loss))
        actor, critic, alone = (_behind(output, self.module) for output in outputs)
        own = {name: p for name, p in actor.items() if name not in critic}
        auxiliary = {name: p for name, p in alone.items() if name not in (*actor, *critic)}
        return {"actor": own, "critic": critic, "auxiliary": auxiliary}

    def policy(self, view: View, mask: Nested = None) -> Apart:
        """The policy's distribution, with gradient."""
        return self._distribution(self.module.forward_train(view.columns), view, mask)

    def target_policy(self, view: View) -> Apart:
        """The same of its slower copy."""
        return self._distribution(self.targets.forward_target(view.columns), view)

    def _distribution(self, out: Mapping[str, Any], view: View, mask: Nested = None) -> Apart:
        inputs = view.pick(out[Columns.ACTION_DIST_INPUTS])
        given = {Columns.ACTION_DIST_INPUTS: inputs}
        return Apart(self.module.action_distribution(given, "train", mask))

    def q(self, view: View, actions: Tensor | None) -> Tensor:
        """Values by each critic, `(n_critics, M, n)`: n is of choices, or quantiles, or 1.

        Args:
            view: The states.
            actions: The real ones in the normalised space, `(M, A)`.
        """
        module: Any = self.module
        compute = module.compute_action_values if self.values_actions else module.compute_q_values
        return self._of_critics(compute(self._asked(view, actions)), view)

    def first_q(self, view: View, actions: Tensor) -> Tensor:
        """Values by the first critic alone, `(M,)`; of `q` the first row."""
        module: Any = self.module
        by_default = ContinuousQAPI.compute_first_action_values
        compute = getattr(type(module), by_default.__name__, by_default)
        out = compute(module, self._asked(view, actions))
        return view.pick(out[Columns.QF_PREDS]).reshape(-1)

    def target_q(self, view: View, actions: Tensor | None) -> Tensor:
        """As `q`, by the slower copies and without gradient."""
        with torch.no_grad():
            out = self.targets.forward_target(self._asked(view, actions))
        return self._of_critics(out, view)

    def _asked(self, view: View, actions: Tensor | None) -> Mapping[str, Any]:
        """What critics are given; those that value each choice take no actions."""
        if not self.values_actions or actions is None:
            return view.columns
        return {**view.columns, Columns.ACTIONS: view.lay(actions)}

    def _of_critics(self, out: Mapping[str, Tensor], view: View) -> Tensor:
        values = out[Columns.QF_PREDS]
        lead = 1 if view.places is None else 2
        if not self.values_actions:  # ([n_critics, ]*B, n)
            values = values.reshape(-1, *values.shape[-1 - lead :])
        return _rows(view.pick(values, 1))

    def explore(
        self, step: Step, action_mask: Nested, env_steps: int, generator: torch.Generator | None
    ) -> Step:
        """Uniform actions until learning starts, then as the algorithm does."""
        if env_steps >= self.config.learning_starts:
            return self.perturbed(step, generator)
        mask = None if action_mask is None else to_tensors(action_mask, self.module.device)
        distribution = self.explored(step, mask)
        actions = uniform(distribution, generator)
        return Step(actions, distribution.to_env(actions), state=step.state)

    def explored(self, step: Step, mask: Nested = None) -> Distribution:
        """The distribution that a step was drawn from."""
        inputs = {Columns.ACTION_DIST_INPUTS: step.dist_inputs}
        return self.module.action_distribution(inputs, "exploration", mask)

    @abstractmethod
    def perturbed(self, step: Step, generator: torch.Generator | None) -> Step:
        """What is done instead of what the policy does, once it learns."""

    def at(self, elapsed: Elapsed) -> None:
        for optimiser in self.optimisers.values():
            optimiser.at(elapsed)

    @property
    def lr(self) -> float:
        """The learning rate of now."""
        return next(iter(self.optimisers.values())).lr

    def descend_own(self, batch: Batch) -> dict[str, Tensor]:
        """What the module's own losses are; optimisers take in their gradients at the next step."""
        losses = own_losses(self.module, batch)
        parameters = [p for optimiser in self.optimisers.values() for p in optimiser.live]
        self.shares = gradients(losses.values(), parameters)
        self.descend("auxiliary")
        return {name: loss.detach() for name, loss in losses.items()}

    def descend(self, name: str, loss: Tensor | None = None) -> None:
        """One step of an optimiser, if it has anything to train; nothing else gets a gradient.

        Args:
            name: Of the optimiser.
            loss: What it minimises beside its share of the module's own losses.
        """
        if name in self.optimisers:
            self.optimisers[name].step(loss, shares=self.shares, measured=False)

    def get_tensors(self) -> dict[str, Tensor]:
        return {
            f"{name}/{key}": value
            for name, optimiser in self.optimisers.items()
            for key, value in optimiser.get_tensors().items()
        }

    def set_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        for name, optimiser in self.optimisers.items():
            start = f"{name}/"
            own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            optimiser.set_tensors(own)

    def get_numbers(self) -> dict[str, Any]:
        return {"updates": self.updates}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        self.updates = int(numbers["updates"])


def _behind(output: Tensor, module: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters that a tensor depends on, by name."""
    if not output.requires_grad:
        return {}
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(output.sum(), list(named.values()), allow_unused=True)
    return {name: p for (name, p), g in zip(named.items(), found, strict=True) if g is not None}


def _rows(values: Tensor) -> Tensor:
    """`(n_critics, B[, n])` → `(n_critics, B, n)`."""
    return values.reshape(*values.shape[:2], -1)


def _in_time(tree: Nested) -> Nested:
    """`(B, …)` → `(B, 1, …)`."""
    return map_structure(lambda leaf: leaf.unsqueeze(1), tree)
