"""RLModule, which hand-written modules subclass: hooks, three phases, acting, files."""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import gymnasium as gym
import torch

from composer.apis import API, InferenceOnlyAPI, PolicyAPI, TargetNetworkAPI
from composer.columns import Columns
from composer.distributions.base import ActionDistribution, Distribution
from composer.errors import ModuleError, shown
from composer.files import atomic_directory, read_tensors
from composer.masks import mask_key
from composer.module.io_specs import Bound, Specs
from composer.module.parts import ModuleOfParts, without_dropped
from composer.module.proving import MISTAKES, Phase, blame, prove, require, require_phase
from composer.module.saved import module_directory, read_weights, write_module
from composer.module.settings import Settings
from composer.module.space_specs import leaf_specs, space_specs
from composer.module.state import Weights, require_loadable
from composer.module.step import ACTS, Step, step_from
from composer.module.targets import Pairs, copied_learners, target_pairs
from composer.noisy import HoldsNoise, held_noise
from composer.running_norm import gathering
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

_PUBLIC = ("forward", "forward_train", "forward_exploration", "forward_inference", "act")


class RLModule(ModuleOfParts):
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
        self.proven: set[Phase] = set()
        """Phases whose first call was checked."""
        self.setup()
        self.renew_targets()
        if inference_only and isinstance(self, InferenceOnlyAPI):
            self._drop(self.get_non_inference_attributes())
        self.register_load_state_dict_pre_hook(without_dropped)

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
        if not self.inference_only:  # they are dropped
            self._copies = copied_learners(self.target_pairs())
            self._settle()

    def target_pairs(self) -> Pairs:
        """Networks with their slower copies, of a module that has some.

        Raises:
            ModuleError: If `get_target_network_pairs` returns something else.
        """
        assert isinstance(self, TargetNetworkAPI)
        return target_pairs(self)

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
        """Runs every part that holds a running norm on observations, once; where there is a memory,
        each of them begins an episode, in a sequence of its own.
        """
        if not self._stateful:
            self._forward_train({Columns.OBS: obs})
            return
        sequences = map_structure(lambda leaf: leaf.unsqueeze(1), obs)
        size, _ = leading_axes(self.observation_space, sequences)
        begins = torch.ones(size, 1, dtype=torch.bool, device=self.device)
        state = to_tensors(self._first_state((size,)), self.device)
        batch = {Columns.OBS: sequences, Columns.STATE_IN: state, Columns.IS_FIRST: begins}
        self._forward_train(batch)

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
        """The columns that `forward_train` reads: here observations, and the state where sequences
        begin.
        """
        state = self._state(Columns.STATE_IN, "*S")
        return {Columns.OBS: space_specs(self.observation_space), **state}

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
        return {ACTS: None, **self._state(Columns.STATE_OUT)}

    def output_specs_inference(self) -> Specs:
        """The columns that `forward_inference` returns: here one to act by, and the state."""
        return {ACTS: None, **self._state(Columns.STATE_OUT)}

    def _state(self, column: str, lead: str = "*B") -> dict[str, Any]:
        if not self._stateful:
            return {}
        return {column: leaf_specs(self.get_initial_state(1), (lead,))}

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
            prev_actions: The normalised actions of the step before, where a memory takes them;
                the first step of episodes goes without.
            prev_rewards: The rewards of the step before, `(*B,)`, likewise.
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
                lead = leading_axes(self.observation_space, batch[Columns.OBS])
                state = self._first_state(lead)
                is_first = torch.ones(lead, dtype=torch.bool) if is_first is None else is_first
            for column, given in (
                (Columns.STATE_IN, state),
                (Columns.ACTION_MASK, action_mask),
                (Columns.IS_FIRST, is_first),
                (Columns.PREV_ACTIONS, prev_actions),
                (Columns.PREV_REWARDS, prev_rewards),
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
                return step_from(self, out, batch, phase, generator)
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

    @property
    def is_stateful(self) -> bool:
        """Whether acting carries a state from step to step."""
        return bool(self.get_initial_state(1))

    @property
    def max_seq_len(self) -> int:
        """Steps of the sequences that a module with a memory is trained on: the setting of that
        name, else 20.
        """
        return self.model_config.get("max_seq_len", 20)

    @functools.cached_property
    def _stateful(self) -> bool:
        return self.is_stateful

    def _first_state(self, lead: Sequence[int]) -> Nested:
        """The initial state for a batch of observations `(*lead, …)`, or for a single one."""
        state = self.get_initial_state(math.prod(lead))
        return map_structure(lambda part: part.reshape((*lead, *part.shape[1:])), state)

    # --- files

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
        write_module(self, directory)

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
        require_loadable(own, given, parts)
        self.set_state(given.tensors, parts)
        if not self.inference_only:
            self.renew_targets()
