"""Spaces, a model and an algorithm → a blueprint, checked."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from composer.algorithms.base import AlgorithmConfig
from composer.apis import API
from composer.blueprint.blueprint import Blueprint
from composer.blueprint.nodes import (
    GIVEN,
    DistributionNode,
    EncoderNode,
    HeadNode,
    Node,
    Reason,
)
from composer.catalog.catalog import Catalog, fitting_types
from composer.columns import Columns
from composer.config import Auto, Config
from composer.distributions.base import DistributionConfig
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
from composer.heads.base import HeadConfig
from composer.heads.policy import PolicyHeadConfig
from composer.masks import mask_key
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
    mask_key(observation_space, action_space)
    config = ModelConfig.parse(model or {}, "model")
    if not isinstance(config, ComposedModelConfig):
        raise CompositionError(f"a model of type `{config.type}` is not composed")
    if not isinstance(catalog, Catalog | None):
        raise CompositionError(
            f"catalog is {shown(catalog)}; it must be a composer.Catalog, for instance "
            "Catalog(rules) or Catalog.default()"
        )
    trained_by = None if algorithm is None else AlgorithmConfig.parse(algorithm, "algorithm")
    catalog = Catalog.default() if catalog is None else catalog
    request = _Request(observation_space, action_space, config, trained_by, catalog)
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
                own = role in HeadConfig.tags()
                problems.append(
                    Problem(
                        f"heads `{other}` and `{role}` both give {head.column}; name one of them",
                        path=f"model.heads.{role}",
                        value=head.type,
                        fix=line(f"model.heads.{role}.type", role)
                        if own
                        else entry_line(f"model.heads.{other}", _said(head)),
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
        laid_out: bool,
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
        if not laid_out:
            meant = [nearest(name, trunks) for name in reads.values() if name not in trunks]
            unread = [name for name in trunks if name not in (*reads.values(), *meant, "main")]
            problems += [_unread(name, trunks[name], heads) for name in unread]
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
            given = reason.kind == "given"
            how = "whose encoder is given" if given else f"by {reason}"
            reason = Reason(
                kind="layout",
                name=self.algorithm_name or "",
                why=f"a trunk of its own, configured as `main`, {how}",
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
    return frozenset([*dir(ComposedRLModule), *dir(RLModule(choice, choice)), "distribution"])


def _require_apis(blueprint: Blueprint, algorithm: AlgorithmConfig) -> None:
    lacking = sorted(algorithm.required_apis() - blueprint.apis, key=lambda api: api.label())
    problems = [_missing_head(blueprint, algorithm, api) for api in lacking]
    acting = (node for node in blueprint.nodes if isinstance(node, DistributionNode))
    if algorithm.uses_log_probs:
        problems += [_no_log_probs(n, algorithm) for n in acting if not n.config.has_density]
    if problems:
        raise ContractError(*problems)


def _no_log_probs(node: DistributionNode, algorithm: AlgorithmConfig) -> Problem:
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
    able = tuple(tag for tag in HeadConfig.tags() if HeadConfig.members[tag].api is api)
    return Problem(
        f"{algorithm.type} requires {api.label()}, which no head of the model gives",
        path="model.heads",
        value=[node.name for node in blueprint.nodes if isinstance(node, HeadNode)],
        valid=able,
        fix=f"model.heads.{able[0]}.type={able[0]}" if able else None,
    )
