"""Catalog: picks an encoder for an observation space, a distribution for an action space."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any, Generic, Self, TypeVar

import gymnasium as gym
import yaml

from composer.blueprint.nodes import GIVEN, Reason, Tried
from composer.catalog.rules import ActionRule, CatalogConfig, ObservationRule, in_order
from composer.catalog.unactable import why_unactable
from composer.composites import Composite
from composer.config import Auto
from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.errors import CompositionError, Problem, at_path, did_you_mean, nearest_first
from composer.fixes import entry_line, reachable
from composer.places import choice_of
from composer.problems import either
from composer.spaces import describe, facts

Part = TypeVar("Part", bound=EncoderConfig | DistributionConfig)


@dataclass(frozen=True)
class Choice(Generic[Part]):
    """A part for a space, and why."""

    config: Part
    """Resolved: nothing in it is `auto`, its children included."""
    reason: Reason
    children: Mapping[str, "Choice[Part]"] = field(default_factory=dict)
    """Of a composite, by key."""


class Catalog:
    """The decision tree over one set of rules. Pure: the same input, the same choice.

    Args:
        rules: As `conf/catalog/default.yaml` has them.

    Raises:
        ConfigError: If a rule is not valid.
    """

    def __init__(self, rules: CatalogConfig | Mapping[str, Any]) -> None:
        self.rules = CatalogConfig.parse(rules, "catalog")

    @classmethod
    @functools.cache
    def default(cls) -> Self:
        """The tree that Composer ships."""
        text = resources.files("composer.conf").joinpath("catalog/default.yaml").read_text()
        return cls(yaml.safe_load(text))

    def encoder(
        self,
        space: gym.Space,
        wanted: EncoderConfig | Auto | None = None,
        *,
        algorithm: str | None = None,
        trunk: str = "main",
        key: str = "",
        path: str = "model.encoder",
    ) -> Choice[EncoderConfig]:
        """The resolved encoder for a space, and why; of a composite, with all its children.

        Args:
            space: What is observed.
            wanted: The user's own choice, or `auto` with hints.
            algorithm: Its name; rules may ask for it.
            trunk: The trunk's name; rules may ask for it.
            key: The dotted path inside a composite space.
            path: Where the choice stands in the configuration, for errors.

        Raises:
            CompositionError: If no rule applies, or the encoder cannot take the space.
        """
        tree = _Tree(EncoderConfig, "observation", self.rules.observation, algorithm, trunk)
        return tree.choose(space, wanted, key, path)

    def distribution(
        self,
        space: gym.Space,
        wanted: DistributionConfig | Auto | None = None,
        *,
        algorithm: str | None = None,
        key: str = "",
        path: str = "model.distribution",
    ) -> Choice[DistributionConfig]:
        """The resolved distribution for an action space, and why; as `encoder`."""
        tree = _Tree(DistributionConfig, "action", self.rules.action, algorithm, "main")
        return tree.choose(space, wanted, key, path)


@dataclass(frozen=True)
class _Tree(Generic[Part]):
    """The rules of one family, and whom they choose for."""

    family: type[Part]
    side: str
    """Where the rules stand in the catalog: `observation` or `action`."""
    rules: Mapping[str, ObservationRule | ActionRule | None]
    algorithm: str | None
    trunk: str

    def choose(
        self, space: gym.Space, wanted: Part | Auto | None, key: str, path: str
    ) -> Choice[Part]:
        """What the user gave, or what the first rule that applies does; completed for the space."""
        config: Any
        own: dict[str, str] = {}
        if wanted is not None and not isinstance(wanted, Auto):
            config, reason = wanted, GIVEN
        else:
            tried, rule = self._first_match(space, key, path)
            name = tried[-1].rule
            reason = Reason(kind="rule", name=name, why=rule.why, tried=tried)
            hints = wanted.hints if wanted is not None else {}
            place = f"catalog.{self.side}.{name}.use"
            own = dict.fromkeys(rule.use.model_fields_set - hints.keys() - {"type"}, place)
            config = _with_hints(self.family, name, rule, hints, space, path)
        if refusal := config.refusal(space):
            chosen = "" if reason is GIVEN else f" (chosen by rule `{reason.name}`)"
            usual = self._usual(space, key)
            raise CompositionError(_unfit(config, refusal + chosen, space, path, usual))
        try:
            config = config.resolve(space)
        except CompositionError as error:
            problems = (_below(problem, own, path, config.type) for problem in error.problems)
            raise CompositionError(*problems) from None
        if not isinstance(config, Composite):
            return Choice(config, reason)
        children = self._children(config, space, key, path)
        resolved: Any = config.with_children({k: child.config for k, child in children.items()})
        return Choice(resolved, reason, children)

    def _children(
        self, config: Composite, space: gym.Space, key: str, path: str
    ) -> dict[str, Choice[Part]]:
        inner = config.child_spaces(space)
        if unknown := [name for name in config.children if name not in inner]:
            raise CompositionError(*(_no_child(name, config, space, path) for name in unknown))
        chosen: dict[str, Choice[Part]] = {}
        problems: list[Problem] = []
        for name, child in inner.items():
            inside = f"{key}.{name}".removeprefix("."), f"{path}.children.{name}"
            try:
                chosen[name] = self.choose(child, config.children.get(name), *inside)
            except CompositionError as error:
                found = (
                    replace(problem, fix=reachable(problem.fix, path, ("children", name)))
                    for problem in error.problems
                )
                problems += [new for new in found if new not in problems]
        if problems:
            raise CompositionError(*problems)
        return chosen

    def _first_match(self, space: gym.Space, key: str, path: str) -> tuple[tuple[Tried, ...], Any]:
        """The rules that were tried, and the last of them, which applies."""
        about = facts(space, key)
        tried: list[Tried] = []
        for name, rule in in_order(self.rules):
            mismatch = rule.when.mismatch(about, self.algorithm, self.trunk)
            tried.append(Tried(rule=name, mismatch=mismatch))
            if mismatch is None:
                return tuple(tried), rule
        fitting = fitting_types(self.family, space)
        own_rule = "a rule of your own in catalog"
        why = why_unactable(space) if self.family is DistributionConfig else None
        raise CompositionError(
            Problem(
                "\n".join(
                    [
                        f"no rule of the catalog chooses the {self.family.family} of "
                        f"{describe(space)}",
                        *([why] if why else []),
                        *(f"rule `{item.rule}` does not apply: {item.mismatch}" for item in tried),
                    ]
                ),
                path=path,
                value="auto",
                valid=fitting,
                fix=f"{choice_of(path)}={fitting[0]}, or {own_rule}" if fitting else own_rule,
            )
        )

    def _usual(self, space: gym.Space, key: str) -> list[str]:
        """What the rules that apply would choose."""
        about = facts(space, key)
        return [
            rule.use.type
            for _, rule in in_order(self.rules)
            if rule.when.mismatch(about, self.algorithm, self.trunk) is None
        ]


def _no_child(name: str, config: Any, space: gym.Space, path: str) -> Problem:
    """The problem of a child for which the space has no part."""
    keys = nearest_first(name, config.child_spaces(space))
    child = config.children[name]
    said = child.brief() if isinstance(child, Auto) else child.model_dump(exclude_unset=True)
    fix = entry_line(f"{path}.children.{keys[0]}", said) if keys else None
    return Problem(
        f"{describe(space)} has no part `{name}`{did_you_mean(name, keys)}",
        path=f"{path}.children.{name}",
        value=said,
        valid=keys,
        fix=reachable(fix, path, ("children", *keys[:1])),
    )


def _unfit(config: Any, refusal: str, space: gym.Space, path: str, usual: Sequence[str]) -> Problem:
    """The problem of a part that cannot take the space; what could is named, the usual first."""
    fitting = tuple(sorted(fitting_types(config.root, space), key=lambda tag: tag not in usual[:1]))
    fix = f"{choice_of(path)}={fitting[0]}" if fitting else None
    return Problem(refusal, path=path, value=config.type, valid=fitting, fix=fix)


def _below(problem: Problem, by_rule: Mapping[str, str], path: str, tag: str) -> Problem:
    """What a part says of its own options, as a problem of the whole configuration.

    Args:
        problem: The part's.
        by_rule: The options that a rule set, and where it stands.
        path: Where the part stands, whose own all other options are.
        tag: The part's type.
    """
    if not problem.path:
        return replace(problem, path=path, value=tag)
    place = by_rule.get(re.split(r"[.\[]", problem.path)[0], path)
    fix = problem.fix and f"{place}.{problem.fix}"
    return replace(at_path(problem, place), fix=fix)


def fitting_types(family: Any, space: gym.Space) -> tuple[str, ...]:
    """The types that could take a space."""
    return tuple(tag for tag in family.tags() if _fits(family.members[tag], space))


def _fits(member: type[Part], space: gym.Space) -> bool:
    """Whether a part could take the space as it is, without any option."""
    options = member.model_fields.values()
    return not any(o.is_required() for o in options) and member().refusal(space) is None


def _with_hints(
    family: Any, name: str, rule: Any, hints: Mapping[str, Any], space: gym.Space, path: str
) -> Any:
    """The rule's choice, with the user's fields."""
    chosen, fitting = rule.use, fitting_types(family, space)
    foreign = [key for key in hints if key not in type(chosen).model_fields]
    problems = []
    for key in foreign:
        owners = family.owners(key)
        able = next((owner for owner in owners if owner in fitting), None)
        unable = "" if able else f", which cannot take {describe(space)}"
        problems.append(
            Problem(
                f"rule `{name}` chooses {family.family} `{chosen.type}`, which has no option "
                f"`{key}`; it belongs to {either(owners)}{unable}",
                path=f"{path}.{key}",
                value=hints[key],
                valid=nearest_first(key, set(type(chosen).model_fields) - {"type"}),
                fix=f"{choice_of(path)}={able}" if able else None,
            )
        )
    if problems:
        raise CompositionError(*problems)
    own = {field: getattr(chosen, field) for field in chosen.model_fields_set}
    return type(chosen).parse({**own, **hints}, path)
