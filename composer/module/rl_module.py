"""RLModule: three phases, acting, and state."""

import functools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import gymnasium as gym
import torch
from torch import Tensor, nn

from composer.apis import (
    API,
    InferenceOnlyAPI,
    PolicyAPI,
    TargetNetworkAPI,
    ValueFunctionAPI,
)
from composer.columns import Columns
from composer.distributions.base import ActionDistribution, Distribution, map_actions
from composer.errors import CheckpointError, ModuleError, Problem, did_you_mean, shown
from composer.files import (
    atomic_directory,
    read_json,
    read_tensors,
    verify_directory,
    write_json,
    write_tensors,
)
from composer.masks import mask_key
from composer.modes import learners
from composer.module.io_specs import Bound, Specs
from composer.module.proving import MISTAKES, Phase, blame, prove, require, require_phase
from composer.module.settings import Settings
from composer.module.space_specs import leaf_specs, space_specs
from composer.module.state import Weights, loadable, loading_problems, state_difference, within
from composer.noisy import HoldsNoise, held_noise
from composer.running_norm import gathering
from composer.seeds import drawing_from
from composer.spaces import (
    Nested,
    canonical,
    leading_axes,
    map_structure,
    misfit,
    space_to_data,
    to_tensors,
)

if TYPE_CHECKING:
    from composer.catalog.catalog import Catalog

MODULE_FORMAT = 1
_ACTS = f"{Columns.ACTION_DIST_INPUTS} | {Columns.ACTIONS}"
_PUBLIC = ("forward", "forward_train", "forward_exploration", "forward_inference", "act")


@dataclass(slots=True)
class Step:
    """What `act` returns; a field is None where the module has no such thing."""

    actions: Nested
    """What `log_prob` is about, in the normalised space: what a rollout stores."""
    env_actions: Nested
    """What `env.step` takes."""
    log_prob: Tensor | None = None
    """`(*B,)`, in nats."""
    value: Tensor | None = None
    """`(*B,)`."""
    state: Nested = None
    """The memory's state after this step; pass it to the next `act`."""
    dist_inputs: Tensor | None = None
    """`action_dist_inputs`, from which the same distribution can be made again."""


class RLModule(nn.Module):
    """A policy, and whatever else an algorithm trains, as one torch module.

    Composer builds one from a blueprint. To write one by hand, subclass it, make the layers in
    `setup()` and compute in `_forward()`, or in `_forward_train()`, `_forward_exploration()` and
    `_forward_inference()` where the phases differ. Observations arrive as the environment gives
    them, batched, `(*B, …)`; those of Text, Sequence, Graph, OneOf and classes of one's own in
    their canonical form (`composer.spaces.batch`).

    Args:
        observation_space: Of a single environment.
        action_space: Of a single environment.
        model_config: Settings of one's own, `self.model_config` inside the class.
        catalog: The decision tree; by default the one Composer ships.
        inference_only: Leave out what only training needs.
        learner_only: The module is never used for acting.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        *,
        model_config: Mapping[str, Any] | None = None,
        catalog: "Catalog | None" = None,
        inference_only: bool = False,
        learner_only: bool = False,
    ) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space
        self.model_config = Settings.of(model_config)
        self.inference_only = inference_only
        self.learner_only = learner_only
        self._catalog = catalog
        self._mask_key = mask_key(observation_space, action_space)
        self._bound: dict[Phase, ActionDistribution] = {}
        self._dropped: tuple[str, ...] = ()
        self.proven: set[Phase] = set()
        """Phases whose first call was checked."""
        self._frozen: list[nn.Module] = []
        self._held: set[nn.Module] = set()
        self._copies: list[nn.Module] = []
        self.setup()
        self.renew_targets()
        if inference_only and isinstance(self, InferenceOnlyAPI):
            self._drop(self.get_non_inference_attributes())
        self.register_load_state_dict_pre_hook(_without_dropped)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _PUBLIC:
            if getattr(cls, name) is not getattr(RLModule, name):
                private = "_forward" if name in ("forward", "act") else f"_{name}"
                raise ModuleError(
                    f"{cls.__name__} overrides `{name}`, which is the same for every module: "
                    f"write `{private}` instead"
                )

    @property
    def catalog(self) -> "Catalog":
        """The decision tree this module was given, or the one Composer ships."""
        if self._catalog is None:
            from composer.catalog.catalog import Catalog

            self._catalog = Catalog.default()
        return self._catalog

    @classmethod
    def offers(cls, api: type[API]) -> bool:
        """Whether the class can do what an algorithm may require."""
        if api is not PolicyAPI:
            return api.is_offered_by(cls)
        by_phase = cls._forward_train, cls._forward_exploration
        inherited = RLModule._forward_train, RLModule._forward_exploration
        written = (own is not base for own, base in zip(by_phase, inherited, strict=True))
        return cls._forward is not RLModule._forward or all(written)

    def renew_targets(self) -> None:
        """Makes the slower copies of networks equal to them again, if there are any; a copy never
        learns, and is in torch's eval mode.
        """
        if not isinstance(self, TargetNetworkAPI):
            return
        self.make_target_networks()
        if self.inference_only:  # they are dropped
            return
        pairs = self.target_pairs()
        shared = {part for network, _ in pairs for part in network.modules()}
        copied = (part for _, copy in pairs for part in learners(copy))
        self._copies = [part for part in copied if part not in shared]
        self._settle()

    def target_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Networks with their slower copies, of a module that has some.

        Raises:
            ModuleError: If `get_target_network_pairs` returns something else.
        """
        assert isinstance(self, TargetNetworkAPI)
        pairs: Any = self.get_target_network_pairs()
        listed = list(pairs) if isinstance(pairs, list | tuple) else [pairs]
        if not all(map(_is_pair, listed)):
            found = ", ".join(type(item).__name__ for item in listed)
            raise ModuleError(
                f"{type(self).__name__} must return pairs of modules from "
                f"`get_target_network_pairs`, [(network, copy)], and returns "
                f"{type(pairs).__name__} of {found}"
            )
        return listed

    # --- hooks

    def setup(self) -> None:
        """Makes the layers; spaces, `model_config` and `inference_only` are set already."""

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Computes for every phase that has no method of its own.

        Returns:
            `action_dist_inputs`, from which actions are sampled; or `actions`, taken as they are;
            or both, and the actions' log-probability is computed.
        """
        raise ModuleError(
            f"{type(self).__name__} implements neither `_forward` nor the `_forward_<phase>` "
            "that was called"
        )

    def _forward_train(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._forward(batch, **kwargs)

    def _forward_exploration(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._forward(batch, **kwargs)

    def _forward_inference(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._forward(batch, **kwargs)

    def _observe(self, obs: Nested) -> None:
        """Runs every part that holds a running norm on observations, once."""
        self._forward_train({Columns.OBS: obs})

    def get_train_action_dist_cls(self) -> type[Distribution] | ActionDistribution:
        """What makes a distribution from `action_dist_inputs` in training."""
        return self.catalog.distribution(self.action_space).config.bind(self.action_space)

    def get_exploration_action_dist_cls(self) -> type[Distribution] | ActionDistribution:
        """The same while collecting."""
        return self.get_train_action_dist_cls()

    def get_inference_action_dist_cls(self) -> type[Distribution] | ActionDistribution:
        """The same when acting without exploring; it is made deterministic."""
        return self.get_train_action_dist_cls()

    def get_initial_state(self, batch_size: int = 1) -> dict[str, Any]:
        """The memory's state at the start of an episode, leaves `(batch_size, …)`; {} for none."""
        return {}

    # --- phases

    def forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """`forward_train`, or `forward_exploration` of an inference-only module."""
        phase = self.forward_exploration if self.inference_only else self.forward_train
        return phase(batch, **kwargs)

    def forward_train(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """What the loss needs, with gradient.

        What goes in and comes out is held against `input_specs_train` and `output_specs_train` at
        the first call; later, what goes in, if the computing fails. So in each phase.

        Args:
            batch: At least `obs`: tensors nested as the observation space is, `(*B, …)`.
            kwargs: Passed on to `_forward_train`.

        Raises:
            ModuleError: If the module is inference-only; for each column that is not as the specs
                say.
        """
        if self.inference_only:
            raise ModuleError(
                "this module was built inference_only: it has no parts to train; build it again "
                "without"
            )
        try:
            if "train" not in self.proven:
                return prove(self, "train", batch, kwargs)
            return self._forward_train(batch, **kwargs)
        except MISTAKES as error:
            blame(self, "train", batch, error)
            raise

    def forward_exploration(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """What acting while collecting needs, without gradient."""
        try:
            with torch.no_grad():
                if "exploration" not in self.proven:
                    return prove(self, "exploration", batch, kwargs)
                return self._forward_exploration(batch, **kwargs)
        except MISTAKES as error:
            blame(self, "exploration", batch, error)
            raise

    def forward_inference(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """What acting without exploring needs, without gradient."""
        try:
            with torch.no_grad():
                if "inference" not in self.proven:
                    return prove(self, "inference", batch, kwargs)
                return self._forward_inference(batch, **kwargs)
        except MISTAKES as error:
            blame(self, "inference", batch, error)
            raise

    # --- what goes in and comes out

    def input_specs_train(self) -> Specs:
        """The columns that `forward_train` reads: here the observations."""
        return {Columns.OBS: space_specs(self.observation_space)}

    def input_specs_exploration(self) -> Specs:
        """The columns that `forward_exploration` reads: here observations and the state."""
        return {Columns.OBS: space_specs(self.observation_space), **self._state(Columns.STATE_IN)}

    def input_specs_inference(self) -> Specs:
        """The columns that `forward_inference` reads: here observations and the state."""
        return {Columns.OBS: space_specs(self.observation_space), **self._state(Columns.STATE_IN)}

    def output_specs_train(self) -> Specs:
        """The columns that `forward_train` returns, and there may be more: here any."""
        return {}

    def output_specs_exploration(self) -> Specs:
        """The columns that `forward_exploration` returns: here one to act by, and the state."""
        return {_ACTS: None, **self._state(Columns.STATE_OUT)}

    def output_specs_inference(self) -> Specs:
        """The columns that `forward_inference` returns: here one to act by, and the state."""
        return {_ACTS: None, **self._state(Columns.STATE_OUT)}

    def _state(self, column: str) -> dict[str, Any]:
        return {column: leaf_specs(self.get_initial_state(1))} if self._stateful else {}

    def check_inputs(self, batch: Mapping[str, Any], phase: Phase = "train") -> None:
        """Holds a batch against the `input_specs_…` of a phase.

        Raises:
            ModuleError: For each column that is not as the specs say.
        """
        require(self, "input", phase, batch, {})

    def check_outputs(
        self, out: Mapping[str, Any], phase: Phase = "train", batch: Mapping[str, Any] | None = None
    ) -> None:
        """Holds what a forward returned against the `output_specs_…` of its phase.

        Args:
            out: What it returned.
            phase: Whose.
            batch: What it was given, whose axes the output shares; is checked too.

        Raises:
            ModuleError: For each column that is not as the specs say.
        """
        bound: Bound = {}
        if batch is not None:
            require(self, "input", phase, batch, bound)
        require(self, "output", phase, out, bound)

    def action_distribution(
        self, out: Mapping[str, Any], phase: Phase = "train", mask: Nested = None
    ) -> Distribution:
        """The distribution of what a forward returned.

        Args:
            out: With `action_dist_inputs`.
            phase: Each phase may have a distribution of its own.
            mask: What may be chosen, in the form that the distribution's class states.

        Raises:
            ModuleError: If there is no such phase, or no `action_dist_inputs`.
        """
        if phase not in self._bound:
            self._bound[phase] = self.distribution_for(phase)
        inputs = out.get(Columns.ACTION_DIST_INPUTS)
        if inputs is None:
            raise ModuleError(f"what the forward returned has no `{Columns.ACTION_DIST_INPUTS}`")
        return self._bound[phase](inputs, mask)

    def resample_noise(
        self, step: int, num_envs: int, generator: torch.Generator | None = None
    ) -> None:
        """Before step t of a rollout: exploration noise that is held is drawn anew where it is due.

        Args:
            step: t; at 0 it is due everywhere.
            num_envs: Rows of the batches that follow, each with noise of its own.
            generator: The stream that it is drawn from; torch's global one by default.
        """
        for part in self._held_noise:
            part.resample_noise(step, num_envs, generator)

    @functools.cached_property
    def _held_noise(self) -> list[HoldsNoise]:
        return held_noise(self)

    def distribution_for(self, phase: Phase) -> ActionDistribution:
        """What makes the distribution of a phase from `action_dist_inputs`.

        Raises:
            ModuleError: If there is no such phase, or the method returns no distribution.
        """
        require_phase(phase)
        name = f"get_{phase}_action_dist_cls"
        made = getattr(self, name)()
        if isinstance(made, type) and issubclass(made, Distribution):
            return made.for_space(self.action_space)
        if not isinstance(made, ActionDistribution):
            if getattr(type(self), name) is getattr(RLModule, name):
                name = "get_train_action_dist_cls"  # which it calls
            raise ModuleError(
                f"`{name}` of {type(self).__name__} must return a subclass of "
                f"Distribution, or an ActionDistribution, not {shown(made)} ({type(made).__name__})"
            )
        return made

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
        """Actions for observations.

        Args:
            obs: As a Gymnasium (vector) environment returns it, arrays or tensors, `(*B, …)`; of a
                ragged space also its canonical batch.
            state: What the last step's `state` was; None starts from the initial state.
            deterministic: The inference phase and the distribution's deterministic action, instead
                of the exploration phase and a sample.
            action_mask: What may be chosen, in the form that the distribution's class states; by
                default the observation's key `action_mask`, where it has one.
            is_first: `(*B,)` bool, True where an episode begins.
            prev_actions: The normalised actions of the step before.
            prev_rewards: The rewards of the step before, `(*B,)`.
            generator: The stream that samples are drawn from; torch's global one by default.

        Raises:
            ModuleError: If the observations are not a batch of the observation space.
        """
        device = self.device
        phase: Phase = "inference" if deterministic else "exploration"
        batch: dict[str, Any] = {}
        try:
            batch[Columns.OBS] = to_tensors(canonical(self.observation_space, obs), device)
            if state is None and self._stateful:
                state = self._first_state(batch[Columns.OBS])
            for column, given in (
                (Columns.STATE_IN, state),
                (Columns.ACTION_MASK, action_mask),
                (Columns.IS_FIRST, is_first),
                ("prev_actions", prev_actions),
                ("prev_rewards", prev_rewards),
            ):
                if given is not None:
                    batch[column] = to_tensors(given, device)
            if action_mask is None and self._mask_key is not None:
                batch[Columns.ACTION_MASK] = batch[Columns.OBS][self._mask_key]
            with torch.no_grad():
                if phase not in self.proven:
                    out = prove(self, phase, batch, {})
                elif deterministic:
                    out = self._forward_inference(batch)
                else:
                    out = self._forward_exploration(batch)
                return self._finish(out, batch, phase, generator)
        except MISTAKES as error:
            if batch:
                blame(self, phase, batch, error)
            elif wrong := misfit(self.observation_space, obs):
                raise ModuleError(wrong) from error
            raise

    def observe(self, obs: Nested) -> None:
        """Takes observations into the statistics of the module's running norms.

        Drivers give each observation that counts once, after the update that learnt from it: from
        the start of a collection through all its epochs the statistics stay as they are.

        Args:
            obs: Tensors nested as the observation space is, `(B, …)`.
        """
        with gathering(self), torch.no_grad():
            self._observe(obs)

    def _finish(
        self,
        out: Mapping[str, Any],
        batch: Mapping[str, Any],
        phase: Phase,
        generator: torch.Generator | None,
    ) -> Step:
        """Actions from what a forward returned, by the contract of `_forward`."""
        if not isinstance(out, Mapping):
            require(self, "output", phase, out)
        inputs = out.get(Columns.ACTION_DIST_INPUTS)
        actions = out.get(Columns.ACTIONS)
        if inputs is None and actions is None:
            require(self, "output", phase, out, specs=[_ACTS])
        log_prob = None
        if inputs is not None:
            distribution = self.action_distribution(out, phase, batch.get(Columns.ACTION_MASK))
            if actions is None:
                actions = (
                    distribution.deterministic()
                    if phase == "inference"
                    else distribution.sample(generator)
                )
            log_prob = distribution.log_prob(actions)
            env_actions = distribution.to_env(actions)
        else:
            env_actions = map_actions(self.action_space, actions)
        return Step(
            actions,
            out.get(Columns.ACTIONS_FOR_ENV, env_actions),
            log_prob,
            self._values(out, batch) if phase == "exploration" else out.get(Columns.VF_PREDS),
            out.get(Columns.STATE_OUT),
            inputs,
        )

    def _values(self, out: Mapping[str, Any], batch: Mapping[str, Any]) -> Tensor | None:
        missing = Columns.VF_PREDS not in out and not self.inference_only
        if missing and isinstance(self, ValueFunctionAPI):
            return self.compute_values(batch, out.get(Columns.EMBEDDINGS))
        return out.get(Columns.VF_PREDS)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self._anchor.device

    @functools.cached_property
    def _anchor(self) -> Tensor:
        """A parameter, which `.to(…)` moves in place; looking for one at each step is slow."""
        return next(self.parameters(), torch.empty(0))

    @property
    def is_stateful(self) -> bool:
        """Whether acting carries a state from step to step."""
        return bool(self.get_initial_state(1))

    @functools.cached_property
    def _stateful(self) -> bool:
        return self.is_stateful

    def _first_state(self, obs: Nested) -> Nested:
        """The initial state for a batch of observations, or for a single one."""
        lead = leading_axes(self.observation_space, obs)
        state = self.get_initial_state(math.prod(lead))
        return map_structure(lambda part: part.reshape(*lead, *part.shape[1:]), state)

    # --- state

    def _drop(self, attributes: Sequence[str]) -> None:
        """Deletes dotted attributes that `setup` has made, and remembers them all."""
        for attribute in attributes:
            owner, _, name = attribute.rpartition(".")
            with suppress(AttributeError):  # `setup` need not make what would be dropped
                delattr(self.get_submodule(owner), name)
        self._dropped = tuple(attributes)

    def non_inference_parts(self) -> tuple[str, ...]:
        """Dotted names of what an inference-only module goes without.

        Raises:
            ModuleError: If `get_non_inference_attributes` names what the full module lacks.
        """
        if self._dropped or not isinstance(self, InferenceOnlyAPI):
            return self._dropped
        names = tuple(self.get_non_inference_attributes())
        for name in names:
            owner, _, attribute = name.rpartition(".")
            try:
                getattr(self.get_submodule(owner), attribute)
            except AttributeError:
                raise ModuleError(
                    f"{type(self).__name__}.get_non_inference_attributes names `{name}`, "
                    "which the module does not have"
                ) from None
        return names

    def get_state(
        self, components: str | Sequence[str] | None = None, *, inference_only: bool = False
    ) -> dict[str, Tensor]:
        """Copies of parameters and buffers by name.

        Args:
            components: Dotted names of parts; all by default.
            inference_only: Only what acting needs.

        Raises:
            ModuleError: If there is no such part.
        """
        dropped = self.non_inference_parts() if inference_only else ()
        wanted = self._part_names(components)
        return {
            name: tensor.detach().clone()
            for name, tensor in self.state_dict().items()
            if not within(name, dropped) and (wanted is None or within(name, wanted))
        }

    def set_state(
        self, state: Mapping[str, Any], components: str | Sequence[str] | None = None
    ) -> None:
        """Loads a state strictly: every name and shape must fit.

        Args:
            state: From `get_state`; arrays or tensors.
            components: Load these parts only; the state may hold more.

        Raises:
            ModuleError: Lists what is missing, unexpected or of another shape; nothing is loaded.
        """
        wanted = self._part_names(components)
        given = {
            name: torch.as_tensor(value)
            for name, value in state.items()
            if not within(name, self._dropped) and (wanted is None or within(name, wanted))
        }
        own = {
            name: tensor
            for name, tensor in self.state_dict().items()
            if wanted is None or within(name, wanted)
        }
        if difference := state_difference(own, given):
            raise ModuleError("the state does not fit this module:\n" + difference)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(given[name])

    def _part_names(self, components: str | Sequence[str] | None) -> list[str] | None:
        if components is None:
            return None
        names = [components] if isinstance(components, str) else list(components)
        known = [name for name, _ in (*self.named_modules(), *self.named_parameters()) if name]
        for name in names:
            if name not in known:
                raise ModuleError(
                    f"{type(self).__name__} has no part `{name}`{did_you_mean(name, known)}"
                )
        return names

    def recipe(self) -> dict[str, Any]:
        """JSON data from which `from_checkpoint` builds the same module."""
        cls = type(self)
        return {
            "class": f"{cls.__module__}:{cls.__qualname__}",
            "observation_space": space_to_data(self.observation_space),
            "action_space": space_to_data(self.action_space),
            "model_config": self.model_config,
            "catalog": None if self._catalog is None else self._catalog.rules.to_data(),
        }

    def save_to_path(self, path: str | Path) -> Path:
        """Writes `module.json` and `weights.safetensors` into a directory, atomically."""
        with atomic_directory(Path(path)) as directory:
            self.write(directory)
        return Path(path)

    def write(self, directory: Path) -> None:
        """Writes the module's files into a directory that exists."""
        data = {
            "format": MODULE_FORMAT,
            "inference_only": self.inference_only,
            "learner_only": self.learner_only,
            **self.recipe(),
        }
        try:
            write_json(directory / "module.json", data)
        except TypeError as error:
            raise CheckpointError(
                f"the model_config of {type(self).__name__} is not plain data: {error}"
            ) from None
        write_tensors(directory / "weights.safetensors", self.state_dict())

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, trust: Sequence[str] = (), inference_only: bool = False
    ) -> Self:
        """The module that `save_to_path` wrote, or that lies inside a checkpoint.

        Args:
            path: The directory, or a trainer's checkpoint that holds it as `module/`.
            trust: Packages whose code a hand-written module may be imported from. The class this
                is called on, Composer and installed plugins are trusted anyway.
            inference_only: Leave out what only training needs, whatever was written.

        Raises:
            CheckpointError: If it is damaged, or names code that is not trusted.
        """
        from composer.module.checkpoint import load_module

        trusted = (trust,) if isinstance(trust, str) else tuple(trust)
        return load_module(cls, Path(path), trusted, inference_only)

    def restore_from_path(
        self, path: str | Path, component: str | Sequence[str] | None = None
    ) -> None:
        """Loads weights that `save_to_path` wrote, or a trainer's checkpoint holds.

        Args:
            path: The directory.
            component: Dotted names of the parts to load, as `composer explain` has them; their
                weights, and the statistics of their running norms, must be the same in both
                modules. Slower copies of networks are made equal to them. All by default, and
                then nothing else may be there.

        Raises:
            CheckpointError: If the directory is missing or damaged.
            ModuleError: If the weights do not fit; nothing is loaded.
        """
        if component is None:
            self.set_state(read_tensors(module_directory(Path(path)) / "weights.safetensors"))
            return
        parts = [component] if isinstance(component, str) else list(component)
        own, given = Weights.of("this model", self.recipe(), self.state_dict()), read_weights(path)
        problems = list(loading_problems(own, given, parts))
        if not parts:
            problems = [Problem("no part is named; leave `component` out to load them all")]
        if problems:
            right = loadable(own, given, parts)
            fix = f"component={(right if right[1:] else right[0])!r}" if right else None
            raise ModuleError(*(replace(problem, fix=fix) for problem in problems))
        self.set_state(given.tensors, parts)
        if not self.inference_only:
            self.renew_targets()

    def freeze(self, components: str | Sequence[str]) -> None:
        """Keeps parts as they are, the statistics of running norms included: an optimiser that is
        made afterwards leaves them out.

        Args:
            components: Dotted names of parts.

        Raises:
            ModuleError: If there is no such part.
        """
        parts = self._part_names(components) or ()
        for name, parameter in self.named_parameters():
            if within(name, parts):
                parameter.requires_grad_(False)
        self._frozen += [part for name, part in self.named_modules() if within(name, parts)]
        self._settle()

    def hold(self, parts: Collection[nn.Module]) -> None:
        """Keeps these parts as they are for now, and no others: what is let go of learns again."""
        held = set(parts)
        if held != self._held:
            for part in (self._held - held).difference(learners(self)):
                part.training = True
            self._held = held
            self._settle()

    def train(self, mode: bool = True) -> Self:
        """Torch's train mode; frozen and held parts and slower copies stay in eval mode."""
        super().train(mode)
        self._settle()
        return self

    def _settle(self) -> None:
        """Puts what never learns, or not now, into torch's eval mode."""
        for part in self._still():
            part.training = False
        self.__dict__.pop("_learners", None)

    def _still(self) -> set[nn.Module]:
        return {*self._frozen, *self._held, *self._copies}

    def rest(self) -> None:
        """Puts what does otherwise while it learns, such as dropout, into torch's eval mode."""
        for part in self._learners:
            part.training = False

    @contextmanager
    def learning(self, generator: torch.Generator | None = None) -> Iterator[None]:
        """Meanwhile that is in train mode, but for what is frozen or held.

        Args:
            generator: Where there is such a part, torch's global generators are seeded from it
                meanwhile; a CPU's. By default they are left as they are.
        """
        seeds = generator if self._learners else None
        for part in self._learners:
            part.training = True
        try:
            with nullcontext() if seeds is None else drawing_from(seeds, self.device):
                yield
        finally:
            self.rest()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Meanwhile that is in eval mode."""
        awake = [part for part in self._learners if part.training]
        self.rest()
        try:
            yield
        finally:
            for part in awake:
                part.training = True

    @functools.cached_property
    def _learners(self) -> list[nn.Module]:
        still = self._still()
        return [part for part in learners(self) if part not in still]


def _is_pair(item: object) -> bool:
    parts = list(item) if isinstance(item, list | tuple) else []
    return len(parts) == 2 and all(isinstance(part, nn.Module) for part in parts)


def read_weights(path: str | Path) -> Weights:
    """What `save_to_path` wrote, or a checkpoint holds; see `module_directory`."""
    directory = module_directory(Path(path))
    recipe, tensors = read_json(directory / "module.json"), directory / "weights.safetensors"
    return Weights.of(str(path), recipe, read_tensors(tensors))


def module_directory(path: Path) -> Path:
    """The directory that `save_to_path` wrote, its files checked: `path`, or `module` inside it.

    Raises:
        CheckpointError: If there is none, or a file is missing, cut short or edited; of a run's
            directory, names its newest checkpoint.
    """
    if saved := sorted(path.glob("checkpoints/step_*/module")):
        rule = f"{path} is the directory of a run; a module is loaded from one of its checkpoints"
        raise CheckpointError(Problem(rule, fix=str(saved[-1].parent)))
    if (path / "module" / "module.json").exists():
        verify_directory(path)
        return path / "module"
    inside_checkpoint = path.name == "module" and not (path / "manifest.json").exists()
    verify_directory(path.parent if inside_checkpoint else path)
    if not (path / "module.json").exists():
        raise CheckpointError(f"{path} holds no module: it has no module.json")
    return path


def _without_dropped(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object
) -> None:
    """Lets an inference-only module load the state of a full one."""
    dropped = [prefix + part for part in module._dropped]  # pyright: ignore
    for name in [name for name in state_dict if within(name, dropped)]:
        del state_dict[name]
