"""Catalog: picks an encoder for an observation space, a distribution for an action space."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any, Self, TypeVar

import gymnasium as gym
import yaml

from composer.blueprint.nodes import GIVEN, Reason, Tried
from composer.catalog.rules import ActionRule, CatalogConfig, ObservationRule, in_order
from composer.config import Auto
from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.errors import CompositionError, Problem, at_path, nearest_first
from composer.problems import either
from composer.spaces import describe, facts

Part = TypeVar("Part", EncoderConfig, DistributionConfig)


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
    ) -> tuple[EncoderConfig, Reason]:
        """The resolved encoder for a space, and why.

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
        return self._choose(
            EncoderConfig, self.rules.observation, space, wanted, algorithm, trunk, key, path
        )

    def distribution(
        self,
        space: gym.Space,
        wanted: DistributionConfig | Auto | None = None,
        *,
        algorithm: str | None = None,
        key: str = "",
        path: str = "model.distribution",
    ) -> tuple[DistributionConfig, Reason]:
        """The resolved distribution for an action space, and why; as `encoder`."""
        return self._choose(
            DistributionConfig, self.rules.action, space, wanted, algorithm, "main", key, path
        )

    def _choose(
        self,
        family: type[Part],
        rules: Mapping[str, ObservationRule | ActionRule | None],
        space: gym.Space,
        wanted: Part | Auto | None,
        algorithm: str | None,
        trunk: str,
        key: str,
        path: str,
    ) -> tuple[Part, Reason]:
        config: Any
        if wanted is not None and not isinstance(wanted, Auto):
            config, reason = wanted, GIVEN
        else:
            tried, rule = _first_match(family, rules, space, algorithm, trunk, key, path)
            name = tried[-1].rule
            reason = Reason(kind="rule", name=name, why=rule.why, tried=tried)
            hints = wanted.hints if wanted is not None else {}
            config = _with_hints(family, name, rule, hints, space, path)
        if refusal := config.refusal(space):
            chosen = "" if reason is GIVEN else f" (chosen by rule `{reason.name}`)"
            about = facts(space, key)
            usual = [
                rule.use.type
                for _, rule in in_order(rules)
                if rule.when.mismatch(about, algorithm, trunk) is None
            ]
            raise CompositionError(_unfit(config, refusal + chosen, space, path, usual))
        try:
            return config.resolve(space), reason
        except CompositionError as error:
            problems = (_below(problem, path, config.type) for problem in error.problems)
            raise CompositionError(*problems) from None


def _first_match(
    family: Any,
    rules: Mapping[str, Any],
    space: gym.Space,
    algorithm: str | None,
    trunk: str,
    key: str,
    path: str,
) -> tuple[tuple[Tried, ...], Any]:
    """The rules that were tried, and the last of them, which applies."""
    about = facts(space, key)
    tried: list[Tried] = []
    for name, rule in in_order(rules):
        tried.append(Tried(rule=name, mismatch=rule.when.mismatch(about, algorithm, trunk)))
        if tried[-1].mismatch is None:
            return tuple(tried), rule
    fitting = fitting_types(family, space)
    own_rule = "a rule of your own in catalog"
    raise CompositionError(
        Problem(
            "\n".join(
                [
                    f"no rule of the catalog chooses the {family.family} of {describe(space)}",
                    *(f"rule `{item.rule}` does not apply: {item.mismatch}" for item in tried),
                ]
            ),
            path=path,
            value="auto",
            valid=fitting,
            fix=f"{choice_of(path)}={fitting[0]}, or {own_rule}" if fitting else own_rule,
        )
    )


def choice_of(path: str) -> str:
    """What is typed to choose a part: the group where there is one, else the path."""
    return path.replace(".", "/") if path.count(".") == 1 else path


def _unfit(config: Any, refusal: str, space: gym.Space, path: str, usual: Sequence[str]) -> Problem:
    """The problem of a part that cannot take the space; what could is named, the usual first."""
    fitting = tuple(sorted(fitting_types(config.root, space), key=lambda tag: tag not in usual[:1]))
    fix = f"{choice_of(path)}={fitting[0]}" if fitting else None
    return Problem(refusal, path=path, value=config.type, valid=fitting, fix=fix)


def _below(problem: Problem, path: str, tag: str) -> Problem:
    """What a part says of its own options, as a problem of the whole configuration."""
    if not problem.path:
        return replace(problem, path=path, value=tag)
    fix = problem.fix and f"{path}.{problem.fix}"
    return replace(at_path(problem, path), fix=fix)


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
