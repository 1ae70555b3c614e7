"""How far training has come, and what learning rates are multiplied by then."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)

from composer.config import Listed, NotNegative, Positive, Steps, invalid_value


@dataclass(frozen=True)
class Elapsed:
    """How much of training is done."""

    env_steps: int = 0
    """Environment steps taken."""
    total_steps: int = 1
    """Environment steps there will be."""

    @property
    def fraction(self) -> float:
        """Of the environment steps, in [0, 1]."""
        return min(1.0, self.env_steps / self.total_steps)


def _point(value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise invalid_value("a point is two numbers: environment steps, and a factor")
    return tuple(value)


def _in_order(points: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
    highest = max((factor for _, factor in points), default=0.0)
    if not highest:
        raise invalid_value("the schedule needs a point whose factor is 1")
    steps = [step for step, _ in points]
    if steps != sorted(set(steps)):
        ordered = [list(point) for point in sorted(dict(points).items())]
        raise invalid_value("the points' environment steps should rise", meant=[ordered])
    if highest != 1.0:
        factors = [[step, factor / highest] for step, factor in points]
        message = f"the highest factor should be 1; where these are learning rates, lr={highest:g}"
        raise invalid_value(message, meant=[factors])
    return points


def _one_rate(value: object) -> object:
    """RLlib has points in the place of the learning rate."""
    try:
        rates = [rate for _, rate in _RATES.validate_python(value)]
    except ValidationError:
        return value
    message = "the learning rate is one number, the highest; `lr_schedule` says when it is less"
    raise invalid_value(message, meant=[max(rates)])


Curve = Literal["constant", "linear", "cosine"]
Point = Annotated[tuple[Steps, NotNegative], BeforeValidator(_point)]
Points = Annotated[Listed[Point], AfterValidator(_in_order)]
"""Environment steps and a factor each."""
_CURVE, _POINTS = TypeAdapter(Curve), TypeAdapter(Points)
_RATES = TypeAdapter(Annotated[Listed[tuple[Steps, float]], Field(min_length=1)])
LearningRate = Annotated[Positive, BeforeValidator(_one_rate)]


def _either(value: object, _: object) -> object:
    """One error per mistake: those of a list are those of its points."""
    return (_POINTS if isinstance(value, list | tuple) else _CURVE).validate_python(
        value, strict=True
    )


Schedule = Annotated[Curve | Points, WrapValidator(_either)]
"""What a learning rate is multiplied by: `linear` and `cosine` fall from 1 to 0 at the end of
training; points, `[[0, 1], [1e6, 0.1]]`, are environment steps and factors, with lines between
them, and as at the first and the last beyond. The highest factor is 1.
"""


def lr_factor(schedule: Curve | Points, warmup: int, elapsed: Elapsed) -> float:
    """What the learning rate is multiplied by.

    Args:
        schedule: The curve, or its points.
        warmup: Environment steps in which the factor rises from 0 to that of the curve.
        elapsed: How far training has come.
    """
    rise = min(1.0, elapsed.env_steps / warmup) if warmup else 1.0
    return rise * _on_curve(schedule, elapsed)


def _on_curve(schedule: Curve | Points, elapsed: Elapsed) -> float:
    if isinstance(schedule, tuple):
        steps, factors = ([*column] for column in zip(*schedule, strict=True))
        return float(np.interp(elapsed.env_steps, steps, factors))
    if schedule == "linear":
        return 1.0 - elapsed.fraction
    return 0.5 * (1.0 + math.cos(math.pi * elapsed.fraction)) if schedule == "cosine" else 1.0
