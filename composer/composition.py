"""Spaces, a model and an algorithm → a blueprint, checked."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from composer.algorithms.base import AlgorithmConfig
from composer.blueprint.blueprint import Blueprint
from composer.blueprint.nodes import (
    GIVEN,
    DistributionNode,
    EncoderNode,
    HeadNode,
    Node,
    Reason,
)
from composer.catalog.catalog import Catalog
from composer.columns import Columns
from composer.config import Auto
from composer.distributions.base import DistributionConfig
from composer.errors import CompositionError, ContractError, Problem, did_you_mean
from composer.heads.base import HeadConfig
from composer.heads.policy import PolicyHeadConfig
from composer.model_config import ComposedModelConfig, ModelConfig, TrunkConfig
from composer.module.composed import ComposedRLModule
from composer.module.rl_module import RLModule
from composer.spaces import facts, require_usable


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
        algorithm: A name, a config, or None for a policy head only.
        catalog: The decision tree; `Catalog.default()` by default.

    Raises:
        ConfigError: If the model or the algorithm is not valid by itself.
        CompositionError: If the parts do not fit the spaces or one another.
        ContractError: If the result lacks what the algorithm requires.
    """
    require_usable(observation_space, "observation")
    require_usable(action_space, "action")
    config = ModelConfig.parse(model or {}, "model")
    if not isinstance(config, ComposedModelConfig):
        raise CompositionError(f"a model of type `{config.type}` is not composed")
    trained_by = None if algorithm is None else AlgorithmConfig.parse(algorithm, "algorithm")
    request = _Request(
        observation_space, action_space, config, trained_by, catalog or Catalog.default()
    )
    blueprint = request.blueprint()
    if trained_by is not None:
        _require_apis(blueprint, trained_by)
    return blueprint


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
        trunks, laid_out = self._trunks()
        heads = self._heads()
        self._check_names(trunks, heads)
        reads = {role: self._reads(head, trunks) for role, (head, _) in heads.items()}
        self._check_trunks(trunks, heads, reads, laid_out)
        distribution, why = self.catalog.distribution(
            self.action_space, self.model.distribution, algorithm=self.algorithm_name
        )
        encoders = [
            self._encoder(name, trunk, laid_out)
            for name, trunk in trunks.items()
            if name in reads.values()
        ]
        widths = {node.trunk: node.out_dim for node in encoders}
        nodes: list[Node] = [*encoders]
        for role, (head, reason) in heads.items():
            nodes.append(
                HeadNode(
                    name=role,
                    inputs=(f"{reads[role]}.encoder",),
                    in_dim=widths[reads[role]],
                    out_dim=head.out_dim(self.action_space, distribution),
                    config=head,
                    stop_gradient=reads[role] in head.stop_gradient,
                    reason=reason,
                )
            )
            if head.column == Columns.ACTION_DIST_INPUTS:
                nodes.append(self._distribution(role, distribution, why))
        return Blueprint(
            observation_space=self.observation_space,
            action_space=self.action_space,
            algorithm=self.algorithm_name,
            requires=self._requires(),
            nodes=tuple(nodes),
        )

    def _requires(self) -> tuple[str, ...]:
        required = self.algorithm.required_apis() if self.algorithm else frozenset()
        return tuple(sorted(api.label() for api in required))

    def _trunks(self) -> tuple[dict[str, TrunkConfig], bool]:
        """All trunks, `main` first, and whether the algorithm laid them out."""
        main = TrunkConfig(encoder=self.model.encoder, memory=self.model.memory)
        further = self.model.trunks
        if isinstance(further, Auto):
            layout = self.algorithm.layout(facts(self.observation_space)) if self.algorithm else {}
            return {"main": main, **layout}, True
        return {"main": main, **further}, False

    def _heads(self) -> dict[str, tuple[HeadConfig, Reason]]:
        """Heads by role: the user's, and what the algorithm needs beside them."""
        needed = self.algorithm.heads() if self.algorithm else {"policy": PolicyHeadConfig()}
        by = self.algorithm_name
        reason = Reason(kind="needed", name=by) if by else Reason(kind="needed", name="acting")
        heads = {role: (head, reason) for role, head in needed.items()}
        for role, head in self.model.heads.items():
            heads[role] = (_completed(head, needed.get(role)), GIVEN)
        return heads

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
            other = first.setdefault(head.column, role)
            if other != role:
                message = f"heads `{other}` and `{role}` both give {head.column}; name one of them"
                problems.append(Problem(message, path=f"model.heads.{role}", value=head.type))
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
        laid_out: bool,
    ) -> None:
        problems = []
        names = tuple(trunks)
        for role, (head, _) in heads.items():
            for field, given in (("reads", (head.reads,)), ("stop_gradient", head.stop_gradient)):
                problems += [
                    Problem(
                        f"there is no trunk `{name}`{did_you_mean(name, names)}",
                        path=f"model.heads.{role}.{field}",
                        value=name,
                        valid=names,
                    )
                    for name in given
                    if name is not None and name not in trunks
                ]
            problems += [
                Problem(
                    f"head `{role}` reads `{reads[role]}`, so it cannot detach `{name}`",
                    path=f"model.heads.{role}.stop_gradient",
                    value=name,
                )
                for name in head.stop_gradient
                if name in trunks and name != reads[role]
            ]
        unread = [name for name in trunks if name not in reads.values()]
        problems += [
            Problem(
                f"no head reads the trunk `{name}`",
                path=f"model.trunks.{name}",
                value="…",
                valid=tuple(f"model.heads.{role}.reads={name}" for role in heads),
            )
            for name in unread
            if name != "main" and not laid_out
        ]
        if problems:
            raise CompositionError(*problems)

    def _encoder(self, name: str, trunk: TrunkConfig, laid_out: bool) -> EncoderNode:
        wanted = self.model.encoder if trunk.encoder is None else trunk.encoder
        own = name != "main" and trunk.encoder is not None
        config, reason = self.catalog.encoder(
            self.observation_space,
            wanted,
            algorithm=self.algorithm_name,
            trunk=name,
            path=f"model.trunks.{name}.encoder" if own else "model.encoder",
        )
        if name != "main" and laid_out and not own:
            reason = Reason(
                kind="layout",
                name=self.algorithm_name or "",
                why=f"a trunk of its own, configured as `main`, by {reason}",
                tried=reason.tried,
            )
        return EncoderNode(
            name=f"{name}.encoder",
            inputs=(Columns.OBS,),
            out_dim=config.out_dim(self.observation_space),
            space=self.observation_space,
            config=config,
            reason=reason,
        )

    def _distribution(
        self, role: str, config: DistributionConfig, reason: Reason
    ) -> DistributionNode:
        return DistributionNode(
            name="distribution",
            inputs=(role,),
            out_dim=config.bind(self.action_space).inputs_dim,
            space=self.action_space,
            config=config,
            reason=reason,
        )


def _completed(head: HeadConfig, default: HeadConfig | None) -> HeadConfig:
    """The user's head; what it leaves out is as the algorithm has it."""
    if default is None or type(head) is not type(default):
        return head
    own = {name: getattr(head, name) for name in head.model_fields_set}
    return default.model_copy(update=own)


@functools.cache
def _taken_names() -> frozenset[str]:
    """Attributes of every module, those it gains when it is made included."""
    choice = gym.spaces.Discrete(1)
    return frozenset([*dir(ComposedRLModule), *dir(RLModule(choice, choice)), "distribution"])


def _require_apis(blueprint: Blueprint, algorithm: AlgorithmConfig) -> None:
    lacking = algorithm.required_apis() - blueprint.apis
    if lacking:
        raise ContractError(
            *(
                Problem(
                    f"{algorithm.type} requires {api.label()}, which no head of the model gives",
                    path="model.heads",
                    value=[node.name for node in blueprint.nodes if isinstance(node, HeadNode)],
                    valid=tuple(
                        f"model.heads.{tag}.type={tag}"
                        for tag in HeadConfig.tags()
                        if HeadConfig.members[tag].api is api
                    ),
                )
                for api in sorted(lacking, key=lambda api: api.label())
            )
        )
