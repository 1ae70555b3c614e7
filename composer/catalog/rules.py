"""One row of the decision tree, and the questions it may ask."""

import fnmatch
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from composer.config import Config, Frozen, FrozenDict, Listed
from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.errors import shown
from composer.problems import invalid_value
from composer.spaces import SpaceFacts


def _one_or_more(value: object) -> object:
    if value in ([], ()):
        raise invalid_value(
            "nothing is in an empty list, so the rule never applies; null asks nothing"
        )
    return (value,) if isinstance(value, str | int | bool) else value


def _exactly(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return {"min": value, "max": value} if is_number else value


class Range(Config):
    """Whole numbers from `min` to `max`, both included; a bare number is exactly that one."""

    min: int | None = None
    max: int | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "Range":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise invalid_value(f"the range from {self.min} to {self.max} is empty")
        return self

    def holds(self, value: int) -> bool:
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        if self.min == self.max:
            return str(self.min)
        low = [] if self.min is None else [f"at least {self.min}"]
        return " and ".join(low + ([] if self.max is None else [f"at most {self.max}"]))


InRange = Annotated[Range, BeforeValidator(_exactly, json_schema_input_type=Range | int)]
Names = Annotated[
    Listed[str], BeforeValidator(_one_or_more, json_schema_input_type=Listed[str] | str)
]


class When(Config):
    """Questions about a space, the algorithm and the trunk; all that are asked must hold.

    Where several values are listed, one of them must be met.
    """

    kind: Names | None = None
    """`box`, `discrete`, `multi_discrete`, …"""
    rank: InRange | None = None
    shape: Listed[InRange] | None = None
    """A range for each axis."""
    size: InRange | None = None
    """Elements of a Box, one-hot width of anything discrete."""
    dtype: Names | None = None
    """NumPy's names; `float*` and `*int*` are patterns."""
    bounded: bool | None = None
    image: bool | None = None
    layout: Names | None = None
    """Of an image: `hwc`, `chw`, `hw`, `thwc` or `tchw`."""
    key: Names | None = None
    """The dotted path inside a composite space; patterns as in file names."""
    algorithm: Names | None = None
    trunk: Names | None = None

    def mismatch(self, facts: SpaceFacts, algorithm: str | None, trunk: str) -> str | None:
        """The first question that does not hold, in words; None where all hold."""
        asked = {"algorithm": algorithm, "trunk": trunk}
        for name in type(self).model_fields:
            wanted = getattr(self, name)
            given = asked[name] if name in asked else getattr(facts, name)
            if wanted is not None and not _meets(wanted, given):
                return f"{name} is {shown(given)}, not {_words(wanted)}"
        return None

    def __str__(self) -> str:
        asked = ((name, getattr(self, name)) for name in type(self).model_fields)
        questions = (f"{name} {_words(wanted)}" for name, wanted in asked if wanted is not None)
        return ", ".join(questions) or "always"


def _meets(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, bool):
        return wanted == given
    if given is None:
        return False
    if isinstance(wanted, Range):
        return wanted.holds(given)
    if isinstance(given, tuple):
        return len(wanted) == len(given) and all(map(Range.holds, wanted, given))
    return any(fnmatch.fnmatchcase(given, pattern) for pattern in wanted)


def _words(wanted: Any) -> str:
    if isinstance(wanted, tuple):
        return " or ".join(wanted) if wanted and isinstance(wanted[0], str) else shown(wanted)
    return shown(wanted)


class Rule(Config):
    """When it applies, what it chooses, and the sentence `explain` shows."""

    when: When = When()
    why: str
    priority: int = 0
    """A higher one is tried earlier; rules of one priority in the order they stand."""


class ObservationRule(Rule):
    """A rule that chooses an encoder."""

    use: EncoderConfig


class ActionRule(Rule):
    """A rule that chooses a distribution."""

    use: DistributionConfig


class CatalogConfig(Config):
    """The whole tree; a rule that is `null` is removed."""

    observation: Frozen[ObservationRule | None] = FrozenDict()
    action: Frozen[ActionRule | None] = FrozenDict()


def in_order(rules: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Rules as they are tried."""
    present = [(name, rule) for name, rule in rules.items() if rule is not None]
    return sorted(present, key=lambda item: -item[1].priority)
