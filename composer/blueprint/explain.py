"""What there is to say about a blueprint, as data: text, JSON and pages are made from it."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from composer.blueprint.measure import Cost, measure
from composer.blueprint.nodes import DistributionNode, JointNode, Node
from composer.config import Auto, Config
from composer.masks import mask_key
from composer.places import choice_of
from composer.spaces import describe

if TYPE_CHECKING:
    from composer.blueprint.blueprint import Blueprint

FindOrigin = Callable[[str], str | None]
"""Dotted path → where the value at exactly this path was set."""


@dataclass(frozen=True)
class Setting:
    """A value of the configuration."""

    path: str
    """Dotted, as it would be typed."""
    value: Any
    """JSON data."""
    is_default: bool = True
    set_by: str | None = None
    """The word, `file:line`, or what it was derived from; None of a default, or if unknown."""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


@dataclass(frozen=True)
class Part:
    """A node of the graph."""

    name: str
    kind: str
    """`encoder`, `head`, …"""
    type: str
    """`mlp`, `policy`, …"""
    takes: str
    out_dim: int
    cost: Cost
    reason: str
    rejected: dict[str, str]
    """Rules tried before the one taken, and why each does not apply."""
    settings: tuple[Setting, ...]
    inputs: tuple[str, ...]
    read_by: tuple[str, ...]
    detached: bool
    """Its loss does not train what it reads."""
    inference: bool
    """Actions depend on it: the inference-only form has it."""


@dataclass(frozen=True)
class Explanation:
    """What would be built, why, and what it costs."""

    observation: str
    action: str
    algorithm: str | None
    parts: tuple[Part, ...]
    total: Cost
    inference_total: Cost
    """Of the inference-only form."""
    copied: tuple[str, ...]
    """Trunks and heads that have slower copies, the targets."""
    copied_total: Cost
    """Of the copies, which `total` leaves out."""
    offers: tuple[str, ...]
    requires: tuple[str, ...]
    drops: tuple[str, ...]
    """What the inference-only form goes without."""
    fingerprint: str
    settings: tuple[Setting, ...] = ()
    """What the experiment sets beside the parts' own fields."""
    mask_key: str | None = None
    """The key of the observation that is not encoded, for it masks the actions."""


def explained(
    blueprint: "Blueprint", origin: FindOrigin | None = None, settings: Iterable[Setting] = ()
) -> Explanation:
    """Everything there is to say.

    Args:
        blueprint: What would be built.
        origin: Where values of the configuration were set, where that is known.
        settings: What differs from the defaults in the whole experiment.
    """
    changed = tuple(settings)
    parts = tuple(_part(node, blueprint, origin, changed) for node in blueprint.nodes)
    shown = {setting.path for part in parts for setting in part.settings}
    return Explanation(
        observation=describe(blueprint.observation_space),
        action=describe(blueprint.action_space),
        algorithm=blueprint.algorithm,
        parts=parts,
        total=_sum(part.cost for part in parts),
        inference_total=_sum(part.cost for part in parts if part.inference),
        copied=blueprint.copied,
        copied_total=_sum(p.cost for p in parts if p.name.partition(".")[0] in blueprint.copied),
        offers=tuple(sorted(api.label() for api in blueprint.apis)),
        requires=blueprint.requires,
        drops=blueprint.non_inference_parts,
        fingerprint=blueprint.fingerprint,
        settings=tuple(s for s in changed if s.path not in shown and s.name != "children"),
        mask_key=mask_key(blueprint.observation_space, blueprint.action_space),
    )


def _part(
    node: Node,
    blueprint: "Blueprint",
    origin: FindOrigin | None,
    changed: Sequence[Setting],
) -> Part:
    config: Any = node.config  # pyright: ignore[reportAttributeAccessIssue]
    tried, places = node.reason.tried, _places(node, changed)
    return Part(
        name=node.name,
        kind=str(node.type),
        type=config.type,
        takes=node.takes(),
        out_dim=node.out_dim,
        cost=measure(node),
        reason=_reason(node, places[0]),
        rejected={rule.rule: rule.mismatch for rule in tried if rule.mismatch is not None},
        settings=(*_type(node, config, places, origin), *_fields(config, places, origin)),
        inputs=node.inputs,
        read_by=tuple(other.name for other in blueprint.nodes if node.name in other.inputs),
        detached=getattr(node, "stop_gradient", False),
        inference=node.name in blueprint.inference_nodes,
    )


def _reason(node: Node, place: str) -> str:
    """Why; lines that the catalog has for a whole encoder, as they are typed for this part."""

    def typed(said: re.Match[str]) -> str:
        return (choice_of(place) if said[1] == "=" else place) + said[1]

    return re.sub(r"\bmodel[/.](?:encoder|distribution)([=.])", typed, str(node.reason))


def _type(
    node: Node, config: Any, places: Sequence[str], origin: FindOrigin | None
) -> Iterable[Setting]:
    """The part's type, where somebody gave it."""
    if origin is not None and node.reason.kind == "given":
        for place in places:
            if set_by := origin(f"{place}.type") or origin(place):
                yield Setting(f"{place}.type", config.type, is_default=False, set_by=set_by)
                return


_SHOWN_OTHERWISE = ("type", "reads", "stop_gradient", "children")


def _fields(config: Config, places: Sequence[str], origin: FindOrigin | None) -> Iterable[Setting]:
    """The fields of a part's config, those that differ from the class's defaults first."""
    data, altered = config.to_data(), config.altered()
    for name in sorted(data, key=lambda name: name not in altered):
        if name in _SHOWN_OTHERWISE:
            continue
        setting = Setting(f"{places[0]}.{name}", data[name], is_default=name not in altered)
        if origin is not None and not setting.is_default:
            paths = [f"{place}.{name}" for place in places]
            setting = _placed(setting, paths, origin, type(config).model_fields[name].default)
        yield setting


def _placed(setting: Setting, paths: Iterable[str], origin: FindOrigin, default: object) -> Setting:
    """The setting with what set it; what was `auto` and nobody set follows from the space."""
    for path in paths:
        if set_by := origin(path):
            return replace(setting, path=path, set_by=set_by)
    return replace(setting, set_by="the space") if isinstance(default, Auto) else setting


def _places(node: Node, changed: Sequence[Setting]) -> list[str]:
    """Where a part's fields may be set, the strongest first."""
    place, trunk = node.place, f"model.trunks.{node.trunk}."
    field = trunk + place.removeprefix(trunk).partition(".")[0]  # its encoder or its memory
    if place.startswith(trunk) and not any(s.path.startswith(field) for s in changed):
        place = place.replace(trunk, "model.", 1)  # configured as the main trunk
    side = "action" if isinstance(node, DistributionNode | JointNode) else "observation"
    taken = [rule.rule for rule in node.reason.tried if rule.mismatch is None]
    return [place, *(f"catalog.{side}.{rule}.use" for rule in taken)]


def _sum(costs: Iterable[Cost]) -> Cost:
    listed = list(costs)
    return Cost(
        parameters=sum(cost.parameters for cost in listed),
        bytes=sum(cost.bytes for cost in listed),
        multiply_adds=sum(cost.multiply_adds for cost in listed),
    )
