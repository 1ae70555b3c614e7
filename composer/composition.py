"""Spaces, a model and an algorithm → a blueprint, checked."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import torch

from composer.algorithms._presets import algorithm_of
from composer.algorithms.base import AlgorithmConfig
from composer.apis import API
from composer.blueprint.blueprint import Blueprint
from composer.blueprint.nodes import (
    GIVEN,
    AuxiliaryNode,
    CombineNode,
    DistributionNode,
    EncoderNode,
    HeadNode,
    JointNode,
    Node,
    Reason,
)
from composer.catalog.catalog import Catalog, Choice, fitting_types
from composer.catalog.idle import idle_heads
from composer.columns import Columns
from composer.composites import part_names
from composer.config import Auto, Config
from composer.distributions._composite import CompositeDistributionConfig
from composer.distributions.base import DistributionConfig
from composer.encoders._composite import CompositeEncoderConfig
from composer.encoders.base import EncoderConfig
from composer.errors import (
    CompositionError,
    ContractError,
    Problem,
    did_you_mean,
    nearest,
    nearest_first,
    shown,
)
from composer.fixes import entry_line, line
from composer.heads._auxiliary import AuxiliaryHeadConfig
from composer.heads.base import HeadConfig, OutputHeadConfig
from composer.heads.policy import PolicyHeadConfig
from composer.masks import mask_key
from composer.model_config import ComposedModelConfig, ModelConfig, TrunkConfig
from composer.module.composed import ComposedRLModule
from composer.module.rl_module import RLModule
from composer.module.state import no_part, within
from composer.optimisers.base import OptimiserConfig, misplaced, part_problems
from composer.places import choice_of
from composer.spaces import child_spaces, describe, facts, real_dim, require_usable


def compose(
    observation_space: gym.Space,
    action_space: gym.Space,
    model: ModelConfig | Mapping[str, Any] | None = None,
    algorithm: AlgorithmConfig | Mapping[str, Any] | str | None = None,
    catalog: Catalog | None = None,
) -> Blueprint:
    """The blueprint of a module for an environment's spaces.

    Args:
        observation_space: Of a single environment.
        action_space: Of a single environment.
        model: What to fix; everything else is chosen.
        algorithm: A name, that of a preset too, a config, or None for a policy head only.
        catalog: The decision tree; `Catalog.default()` by default.

    Raises:
        ConfigError: If the model or the algorithm is not valid by itself.
        CompositionError: If the parts do not fit the spaces or one another.
        ContractError: If the result lacks what the algorithm requires.
    """
    require_usable(observation_space, "observation")
    require_usable(action_space, "action")
    mask_key(observation_space, action_space)
    config = ModelConfig.parse(model or {}, "model")
    if not isinstance(config, ComposedModelConfig):
        raise CompositionError(
            Problem(
                "a hand-written model is built from its class, not composed: it has no blueprint",
                "model.type",
                config.type,
                fix="RLModuleSpec(module_class=…, observation_space=…, action_space=…).build()",
            )
        )
    if not isinstance(catalog, Catalog | None):
        raise CompositionError(
            f"catalog is {shown(catalog)}; it must be a composer.Catalog, for instance "
            "Catalog(rules) or Catalog.default()"
        )
    trained_by = None if algorithm is None else algorithm_of(algorithm)
    trained_by = trained_by and resolved(trained_by, action_space)
    catalog = Catalog.default() if catalog is None else catalog
    request = _Request(observation_space, action_space, config, trained_by, catalog)
    blueprint = request.blueprint()
    if idle := [*idle_heads(blueprint.nodes)]:
        raise CompositionError(*idle)
    if trained_by is not None:
        _require_apis(blueprint, trained_by)
        _require_parts(blueprint, trained_by.optimiser)
    return blueprint


def resolved(algorithm: AlgorithmConfig, action_space: gym.Space) -> AlgorithmConfig:
    """The same algorithm, every derived field filled in for the space.

    Raises:
        CompositionError: If it cannot learn to act there.
    """
    if refusal := algorithm.refusal(action_space):
        raise CompositionError(_unfit_algorithm(algorithm, refusal, action_space))
    return algorithm.resolve(action_space)


@dataclass(frozen=True)
class _Observed:
    """What a trunk takes of an observation."""

    space: gym.Space
    key: str | int | None = None
    """The entry it is; None where it is the whole observation, or several entries of it."""


@dataclass(frozen=True)
class _Given:
    """What a head's node takes from its place in the model."""

    role: str
    reads: str
    """An encoder's node."""
    features: int
    detached: bool
    reason: Reason

    def output(
        self, head: OutputHeadConfig, action_space: gym.Space, distribution: DistributionConfig
    ) -> HeadNode:
        """The node of a head whose outputs an algorithm uses."""
        actions = real_dim(action_space) if head.takes_actions else 0
        return HeadNode(
            name=self.role,
            inputs=(self.reads, *([Columns.ACTIONS] if actions else [])),
            in_dim=self.features + actions,
            out_dim=head.out_dim(action_space, distribution),
            config=head,
            stop_gradient=self.detached,
            reason=self.reason,
        )

    def auxiliary(
        self, head: AuxiliaryHeadConfig, space: gym.Space, action_space: gym.Space
    ) -> AuxiliaryNode:
        """The node of a head that has a loss of its own."""
        between = self.features, space, action_space
        return AuxiliaryNode(
            name=self.role,
            inputs=(self.reads, *head.inputs),
            in_dim=head.in_dim(*between),
            out_dim=head.out_dim(*between),
            config=head,
            stop_gradient=self.detached,
            features=self.features,
            space=space,
            action_space=action_space,
            reason=self.reason,
        )


@dataclass(frozen=True)
class _Request:
    """What one call of `compose` was given."""

    observation_space: gym.Space
    action_space: gym.Space
    model: ComposedModelConfig
    algorithm: AlgorithmConfig | None
    catalog: Catalog

    @property
    def algorithm_name(self) -> str | None:
        return None if self.algorithm is None else self.algorithm.type

    def blueprint(self) -> Blueprint:
        heads = self._heads()
        trunks, laid_out = self._trunks([head for head, _ in heads.values()])
        self._check_names(trunks, heads)
        reads = {role: self._reads(head, trunks) for role, (head, _) in heads.items()}
        self._check_trunks(trunks, heads, reads, laid_out)
        distribution = self.catalog.distribution(
            self.action_space, self.model.distribution, algorithm=self.algorithm_name
        )
        read = {name: trunk for name, trunk in trunks.items() if name in reads.values()}
        observed = self._observed(read)
        self._check_auxiliary(heads, reads, observed)
        nodes: list[Node] = []
        for name, trunk in read.items():
            nodes += self._encoder(name, trunk, laid_out, observed[name])
        widths = {node.name: node.out_dim for node in nodes}
        able = [role for role, (head, _) in heads.items() if head.acts]
        policies = [role for role in able if _column(heads[role][0]) == Columns.ACTION_DIST_INPUTS]
        acting = next(iter([*policies, *able]), None)
        if acting is None:
            raise CompositionError(_nobody_acts(heads))
        of_critics = {reads[role] for role, (head, _) in heads.items() if head.side == "critic"}
        for role, (head, reason) in heads.items():
            trunk = reads[role]
            detached = trunk in head.stop_gradient or (
                head.side == "actor" and trunk in of_critics and self._actor_detaches
            )
            given = _Given(role, f"{trunk}.encoder", widths[f"{trunk}.encoder"], detached, reason)
            if isinstance(head, AuxiliaryHeadConfig):
                nodes.append(given.auxiliary(head, observed[trunk].space, self.action_space))
            elif isinstance(head, OutputHeadConfig):
                nodes.append(given.output(head, self.action_space, distribution.config))
            if role == acting:
                nodes += distribution_nodes(role, self.action_space, distribution)
        return Blueprint(
            observation_space=self.observation_space,
            action_space=self.action_space,
            algorithm=self.algorithm_name,
            requires=self._requires(),
            targets=self.algorithm.targets() if self.algorithm else (),
            nodes=tuple(nodes),
        )

    @property
    def _actor_detaches(self) -> bool:
        return self.algorithm is not None and self.algorithm.critic_trains_shared

    @functools.cached_property
    def _layout(self) -> dict[str, TrunkConfig]:
        """The further trunks of the algorithm."""
        space = without_mask(self.observation_space, self.action_space)
        return self.algorithm.layout(facts(space)) if self.algorithm else {}

    def _requires(self) -> tuple[str, ...]:
        required = self.algorithm.required_apis() if self.algorithm else frozenset()
        return tuple(sorted(api.label() for api in required))

    def _trunks(self, heads: Sequence[HeadConfig]) -> tuple[dict[str, TrunkConfig], frozenset[str]]:
        """All trunks, `main` first, and the names of those that the algorithm laid out.

        It does where the user names none, or only such as auxiliary heads read.
        """
        main = TrunkConfig(encoder=self.model.encoder, memory=self.model.memory)
        further = self.model.trunks
        if isinstance(further, Auto):
            return {"main": main, **self._layout}, frozenset(self._layout)
        beside = bool(further) and all(_is_beside(name, heads) for name in further)
        layout = self._layout if beside else {}
        return {"main": main, **layout, **further}, frozenset(layout)

    def _heads(self) -> dict[str, tuple[HeadConfig, Reason]]:
        """Heads by role: the user's, and what the algorithm needs beside them."""
        needed = self.algorithm.heads() if self.algorithm else {"policy": PolicyHeadConfig()}
        by = self.algorithm_name
        reason = Reason(kind="needed", name=by) if by else Reason(kind="needed", name="acting")
        heads = {role: (head, reason) for role, head in needed.items()}
        for role, head in self.model.heads.items():
            heads[role] = (_completed(head, needed.get(role)), GIVEN)
        return {role: (head.resolve(self.action_space), why) for role, (head, why) in heads.items()}

    def _check_names(
        self, trunks: Mapping[str, Any], heads: Mapping[str, tuple[HeadConfig, Reason]]
    ) -> None:
        taken = _taken_names() | {name for head, _ in heads.values() for name in dir(head.offers)}
        problems = []
        for path, names in (("model.trunks", trunks), ("model.heads", heads)):
            for name in names:
                if path == "model.trunks" and name == "main" and name in self._further():
                    wrong = "is the name of the main trunk; its encoder is model.encoder"
                elif name in trunks and name in heads:
                    wrong = "is both a trunk and a head"
                elif not name.isidentifier() or name.startswith("_"):
                    wrong = "is not a name: use letters, digits and underscores, a letter first"
                elif name in taken:
                    wrong = "is taken: every module has an attribute of that name"
                else:
                    continue
                problems.append(Problem(f"`{name}` {wrong}", path=f"{path}.{name}", value="…"))
        first: dict[str, str] = {}
        for role, (head, _) in heads.items():
            column = _column(head)
            other = role if column is None else first.setdefault(column, role)
            if other != role:
                problems.append(
                    Problem(
                        f"heads `{other}` and `{role}` both give {column}; name one of them",
                        path=f"model.heads.{role}",
                        value=head.type,
                        fix=_one_head(other, role, head),
                    )
                )
        if problems:
            raise CompositionError(*problems)

    def _further(self) -> Mapping[str, TrunkConfig]:
        return {} if isinstance(self.model.trunks, Auto) else self.model.trunks

    def _reads(self, head: HeadConfig, trunks: Mapping[str, TrunkConfig]) -> str:
        """What the head names, else the trunk of its side if there is one, else `main`."""
        return head.reads or (head.side if head.side in trunks else "main")

    def _check_trunks(
        self,
        trunks: Mapping[str, TrunkConfig],
        heads: Mapping[str, tuple[HeadConfig, Reason]],
        reads: Mapping[str, str],
        laid_out: frozenset[str],
    ) -> None:
        problems = []
        for role, (head, _) in heads.items():
            path = f"model.heads.{role}"
            if head.reads is not None and head.reads not in trunks:
                problems.append(_no_trunk(head.reads, trunks, f"{path}.reads"))
            for name in head.stop_gradient:
                if name not in trunks:
                    problems.append(_no_trunk(name, trunks, f"{path}.stop_gradient"))
                elif name != reads[role]:
                    message = f"head `{role}` reads `{reads[role]}`, so it cannot detach `{name}`"
                    place = f"{path}.stop_gradient"
                    fix = line(place, [reads[role]])
                    problems.append(Problem(message, place, name, valid=(reads[role],), fix=fix))
        meant = [nearest(name, trunks) for name in reads.values() if name not in trunks]
        used = (*reads.values(), *meant, *laid_out, "main")
        problems += [_unread(name, trunks[name], heads) for name in trunks if name not in used]
        if problems:
            raise CompositionError(*problems)

    def _observed(self, trunks: Mapping[str, TrunkConfig]) -> dict[str, _Observed]:
        """What each trunk takes of the observation."""
        space = without_mask(self.observation_space, self.action_space)
        observed, problems = {}, []
        for name, trunk in trunks.items():
            is_main = name == "main"
            path = "model.observe" if is_main else f"model.trunks.{name}.observe"
            keys = self.model.observe if is_main else trunk.observe
            try:
                observed[name] = _observed(space, keys, path)
            except CompositionError as error:
                problems += error.problems
        if problems:
            raise CompositionError(*problems)
        return observed

    def _check_auxiliary(
        self,
        heads: Mapping[str, tuple[HeadConfig, Reason]],
        reads: Mapping[str, str],
        observed: Mapping[str, _Observed],
    ) -> None:
        """Refuses auxiliary heads that cannot learn from what their trunks take."""
        problems = []
        for role, (head, _) in heads.items():
            if not isinstance(head, AuxiliaryHeadConfig):
                continue
            space = observed[reads[role]].space
            refusal = head.refusal(space, self.action_space)
            if refusal is not None:
                fix = _way_out(role, head, space, self.action_space)
                problems.append(Problem(refusal, f"model.heads.{role}", head.type, fix=fix))
        if problems:
            raise CompositionError(*problems)

    def _encoder(
        self, name: str, trunk: TrunkConfig, laid_out: frozenset[str], observed: _Observed
    ) -> list[Node]:
        usual = self._layout[name].encoder if name in self._layout else None
        own = None if name in laid_out else trunk.encoder
        wanted = next(e for e in (own, usual, self.model.encoder) if e is not None)
        choice = self.catalog.encoder(
            observed.space,
            wanted,
            algorithm=self.algorithm_name,
            trunk=name,
            path="model.encoder"
            if own is None or name == "main"
            else f"model.trunks.{name}.encoder",
        )
        if name != "main" and own is None and (name in laid_out or usual is not None):
            choice = self._laid_out(choice, as_main=usual is None)
        return encoder_nodes(f"{name}.encoder", observed, choice)

    def _laid_out(self, choice: Choice[EncoderConfig], *, as_main: bool) -> Choice[EncoderConfig]:
        """The choice for a trunk that the algorithm set beside `main`, with that as its reason."""
        reason = choice.reason
        how = "whose encoder is given" if reason.kind == "given" else f"by {reason}"
        why = f"configured as `main`, {how}" if as_main else "its layers are those of its heads"
        why = f"a trunk of its own, {why}"
        by = Reason(kind="layout", name=self.algorithm_name or "", why=why, tried=reason.tried)
        return replace(choice, reason=by)


def _is_beside(trunk: str, heads: Sequence[HeadConfig]) -> bool:
    """Whether only auxiliary heads ask for a trunk: none that an algorithm lays out trunks for."""
    asking = [head for head in heads if (head.reads or head.side) == trunk]
    return bool(asking) and all(isinstance(head, AuxiliaryHeadConfig) for head in asking)


def encoder_nodes(name: str, observed: _Observed, choice: Choice[EncoderConfig]) -> list[Node]:
    """The encoder of a space and, before it, those inside it."""
    config, space = choice.config, observed.space
    if not isinstance(config, CompositeEncoderConfig):
        return [
            EncoderNode(
                name=name,
                inputs=(Columns.OBS,),
                out_dim=config.out_dim(space),
                space=space,
                observed=observed.key,
                config=config,
                reason=choice.reason,
            )
        ]
    inner, names = config.child_spaces(space), part_names(choice.children)
    nodes: list[Node] = []
    for key, child in choice.children.items():
        nodes += encoder_nodes(f"{name}.{names[key]}", _Observed(inner[key]), child)
    return [
        *nodes,
        CombineNode(
            name=name,
            inputs=tuple(f"{name}.{part}" for part in names.values()),
            out_dim=config.out_dim(space),
            in_dims={key: c.config.out_dim(inner[key]) for key, c in choice.children.items()},
            space=space,
            observed=observed.key,
            config=config.with_children({}),
            reason=choice.reason,
        ),
    ]


def distribution_nodes(
    role: str, space: gym.Space, choice: Choice[DistributionConfig], name: str = "distribution"
) -> list[Node]:
    """The distribution of a space and, before it, those inside it."""
    config, width = choice.config, choice.config.bind(space).inputs_dim
    if not isinstance(config, CompositeDistributionConfig):
        return [
            DistributionNode(
                name=name,
                inputs=(role,),
                out_dim=width,
                space=space,
                config=config,
                reason=choice.reason,
            )
        ]
    inner, names = config.child_spaces(space), part_names(choice.children)
    nodes: list[Node] = []
    for key, child in choice.children.items():
        nodes += distribution_nodes(role, inner[key], child, f"{name}.{names[key]}")
    return [
        *nodes,
        JointNode(
            name=name,
            inputs=tuple(f"{name}.{part}" for part in names.values()),
            in_dim=config.in_dim(space),
            out_dim=width,
            space=space,
            config=config.with_children({}),
            reason=choice.reason,
        ),
    ]


def without_mask(observation_space: gym.Space, action_space: gym.Space) -> gym.Space:
    """What there is to encode: the observation, without the key that says what may be done.

    Raises:
        CompositionError: If that key fits no mask of the actions, or nothing is left beside it.
    """
    key = mask_key(observation_space, action_space)
    if key is None:
        return observation_space
    entries = child_spaces(observation_space) or {}
    left = {name: space for name, space in entries.items() if name != key}
    if not left:
        raise CompositionError(
            f"the observation space {describe(observation_space)} is only a mask of the actions: "
            "there is nothing to observe"
        )
    return gym.spaces.Dict(left)


def _observed(space: gym.Space, keys: Sequence[str] | None, path: str) -> _Observed:
    """The part of an observation that a trunk takes.

    Raises:
        CompositionError: If there are no keys, or not this one.
    """
    if keys is None:
        return _Observed(space)
    entries = child_spaces(space)
    if entries is None:
        message = f"{describe(space)} has no keys to choose from"
        raise CompositionError(Problem(message, path, list(keys), fix=f"~{path}"))
    problems = [_no_key(key, keys, space, entries, path) for key in keys if key not in entries]
    if not keys:
        message = "a trunk that takes nothing has nothing to encode"
        problems.append(Problem(message, path, [], valid=tuple(entries), fix=f"~{path}"))
    is_dict = isinstance(space, gym.spaces.Dict)
    if not is_dict and len(keys) > 1:
        message = f"of {describe(space)} a trunk takes one entry, or all"
        problems.append(Problem(message, path, list(keys), fix=line(path, [int(keys[0])])))
    if problems:
        raise CompositionError(*problems)
    if len(keys) == 1:
        return _Observed(entries[keys[0]], keys[0] if is_dict else int(keys[0]))
    return _Observed(gym.spaces.Dict({key: entries[key] for key in keys}))


def _no_key(
    key: str, keys: Sequence[str], space: gym.Space, entries: Mapping[str, Any], path: str
) -> Problem:
    """The problem of a trunk that takes what is not there."""
    names = nearest_first(key, entries)
    right = [names[0] if each == key else each for each in keys]
    message = f"{describe(space)} has no key `{key}`{did_you_mean(key, names)}"
    return Problem(message, path, key, valid=names, fix=line(path, right))


def _unfit_algorithm(algorithm: AlgorithmConfig, refusal: str, space: gym.Space) -> Problem:
    """The problem of an algorithm that cannot act in the space; those that can are named."""
    members = ((tag, AlgorithmConfig.members[tag]) for tag in AlgorithmConfig.tags())
    able = tuple(tag for tag, member in members if member().refusal(space) is None)
    fix = f"algorithm={able[0]}" if able else None
    return Problem(refusal, path="algorithm", value=algorithm.type, valid=able, fix=fix)


def _completed(head: HeadConfig, default: HeadConfig | None) -> HeadConfig:
    """The user's head; what it leaves out is as the algorithm has it."""
    if default is None or type(head) is not type(default):
        return head
    own = {name: getattr(head, name) for name in head.model_fields_set}
    return default.model_copy(update=own)


def _one_head(other: str, role: str, head: HeadConfig) -> str:
    """The line by which one head alone gives what two do: the role's own type, where that
    gives something else, or the head in the place of the other.
    """
    own = HeadConfig.members[role] if role in HeadConfig.tags() else None
    if own is not None and getattr(own, "column", None) != _column(head):
        return line(f"model.heads.{role}.type", role)
    place, said = f"model.heads.{other}", {"type": head.type, **_said(head)}
    if head.type == other or len(said) == 1:
        return entry_line(place, said)
    return line(place, said)


def _column(head: HeadConfig) -> str | None:
    """Where its output goes, if there is one."""
    return head.column if isinstance(head, OutputHeadConfig) else None


def _way_out(
    role: str, head: AuxiliaryHeadConfig, space: gym.Space, action_space: gym.Space
) -> str:
    """The line by which an auxiliary head learns from what it can, or else goes."""
    path = f"model.heads.{role}"
    for name, value in head.otherwise.items():
        if head.model_copy(update={name: value}).refusal(space, action_space) is None:
            return line(f"{path}.{name}", value)
    entries = space.spaces if isinstance(space, gym.spaces.Dict) else {}
    able = [key for key, entry in entries.items() if head.refusal(entry, action_space) is None]
    if not able:
        return f"~{path}"
    trunk = head.reads or head.side
    place = "model.observe" if trunk == "main" else f"model.trunks.{trunk}.observe"
    return line(place, able)


def _nobody_acts(heads: Mapping[str, tuple[HeadConfig, Any]]) -> Problem:
    """The problem of a model whose heads choose no action."""
    return Problem(
        "no head chooses actions: it takes a `policy`, or a `q` of one critic",
        path="model.heads",
        value=list(heads),
        fix="model.heads.policy.type=policy",
    )


def _no_trunk(name: str, trunks: Mapping[str, TrunkConfig], path: str) -> Problem:
    """The problem of a head that names a trunk which the model lacks."""
    names = nearest_first(name, trunks)
    message = f"there is no trunk `{name}`{did_you_mean(name, names)}"
    right = [names[0]] if path.endswith("stop_gradient") else names[0]
    return Problem(message, path, name, valid=names, fix=line(path, right))


def _unread(name: str, trunk: TrunkConfig, heads: Mapping[str, tuple[HeadConfig, Any]]) -> Problem:
    """The problem of a trunk that the user declared and nobody reads."""
    by_side = {head.side: role for role, (head, _) in heads.items()}
    others = by_side.keys() - {name}
    data = _said(trunk)
    if right := nearest(name, others):
        fix = entry_line(f"model.trunks.{right}", data)
    else:
        fix = line(f"model.heads.{by_side.get(name, list(heads)[-1])}.reads", name)
    return Problem(
        f"no head reads the trunk `{name}`{did_you_mean(name, others)}\n"
        "a head reads the trunk that its `reads` names, else that of its side",
        path=f"model.trunks.{name}",
        value=data,
        valid=nearest_first(name, by_side),
        fix=fix,
    )


def _said(part: Config) -> dict[str, Any]:
    """What the user said of a part, as plain data."""
    return part.model_dump(mode="json", exclude_unset=True)


@functools.cache
def _taken_names() -> frozenset[str]:
    """Attributes of every module, those it gains when it is made included."""
    choice = gym.spaces.Discrete(1)
    own = "distribution", "target"
    return frozenset([*dir(ComposedRLModule), *dir(RLModule(choice, choice)), *own])


def _require_apis(blueprint: Blueprint, algorithm: AlgorithmConfig) -> None:
    lacking = sorted(algorithm.required_apis() - blueprint.apis, key=lambda api: api.label())
    problems = [_missing_head(blueprint, algorithm, api) for api in lacking]
    acting = [n for n in blueprint.nodes if isinstance(n, DistributionNode | JointNode)]
    if algorithm.learns_from is not None:
        able = algorithm.learns_from
        unable = [node for node in acting if not isinstance(node.config, able)]
        problems += [_untrainable(node, able, algorithm) for node in unable]
    elif algorithm.uses_log_probs:
        problems += [_no_log_probs(n, algorithm) for n in acting if not n.config.has_density]
    auxiliary = (node for node in blueprint.nodes if isinstance(node, AuxiliaryNode))
    if spanning := [f"`{node.name}`" for node in auxiliary if node.head.spans_a_step]:
        problems += algorithm.step_problems(" and ".join(spanning))
    if problems:
        raise ContractError(*problems)


def _require_parts(blueprint: Blueprint, optimiser: OptimiserConfig) -> None:
    """Refuses settings of parts that the model lacks, or that have nothing to train."""
    names = [node.name for node in blueprint.nodes]
    known = [*dict.fromkeys([*(name.partition(".")[0] for name in names), *names])]
    problems = [
        misplaced(optimiser, part, no_part("this model", part, known))
        for part in optimiser.parts
        if not any(within(name, [part]) or within(part, [name]) for name in known)
    ]
    if optimiser.parts and not problems:
        with torch.device("meta"):
            problems = [*part_problems(optimiser, blueprint.build("meta"))]
    if problems:
        raise CompositionError(*problems)


def _untrainable(
    node: DistributionNode | JointNode,
    able: tuple[type[DistributionConfig], ...],
    algorithm: AlgorithmConfig,
) -> Problem:
    """The problem of a distribution through which the algorithm's gradient does not go."""
    fitting = fitting_types(DistributionConfig, node.space)
    tags = tuple(tag for tag in fitting if issubclass(DistributionConfig.members[tag], able))
    return Problem(
        f"{algorithm.type} cannot train `{node.config.type}`: it needs an action that its gradient "
        "goes through, or the probability of every choice",
        path=node.place,
        value=node.config.type,
        valid=tags,
        fix=f"{choice_of(node.place)}={tags[0]}" if tags else None,
    )


def _no_log_probs(node: DistributionNode | JointNode, algorithm: AlgorithmConfig) -> Problem:
    """The problem of a distribution from which the algorithm can learn nothing."""
    able = tuple(
        tag
        for tag in fitting_types(DistributionConfig, node.space)
        if DistributionConfig.members[tag].has_density
    )
    chosen = "" if node.reason.kind == "given" else f" (chosen by {node.reason})"
    way_out = able[0] if chosen and able else "auto"
    return Problem(
        f"{algorithm.type} learns from the log-probability of what was sampled, and "
        f"`{node.config.type}` samples nothing: it always gives one and the same action{chosen}",
        path="model.distribution",
        value=node.config.type,
        valid=able,
        fix=f"model/distribution={way_out}",
    )


def _missing_head(blueprint: Blueprint, algorithm: AlgorithmConfig, api: type[API]) -> Problem:
    """The problem of a capability that no head gives, with the line that adds one that does."""
    able = tuple(tag for tag in HeadConfig.tags() if api in HeadConfig.members[tag].apis())
    return Problem(
        f"{algorithm.type} requires {api.label()}, which no head of the model gives",
        path="model.heads",
        value=[node.name for node in blueprint.nodes if isinstance(node, HeadNode)],
        valid=able,
        fix=f"model.heads.{able[0]}.type={able[0]}" if able else None,
    )
