"""What a part says of itself."""

import importlib.metadata
import sys
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer.errors import ComposerError
from composer.spaces import describe

Answers = dict[str, str | list[str]]
"""By column."""

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
SAMPLES: dict[str, gym.Space] = {
    "vector": VECTOR,
    "integer vector": spaces.Box(0, 9, (4,), np.int64),
    "array": spaces.Box(-1, 1, (4, 3), np.float32),
    "image": spaces.Box(0, 255, (84, 84, 3), np.uint8),
    "stacked images": spaces.Box(0, 255, (4, 84, 84, 3), np.uint8),
    "discrete": spaces.Discrete(4),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(3),
    "text": spaces.Text(8),
    "dict": spaces.Dict(a=VECTOR, b=spaces.Discrete(4)),
    "tuple": spaces.Tuple((VECTOR, spaces.Discrete(4))),
    "oneof": spaces.OneOf((VECTOR, spaces.Discrete(4))),
    "sequence": spaces.Sequence(VECTOR),
    "graph": spaces.Graph(VECTOR, None),
    "simplex": spaces.Box(0, 1, (4,), np.float32),
}
"""A space of each sort; a part is asked which of them it takes."""
ACTIONS: dict[str, gym.Space] = {
    "real": VECTOR,
    "choices": SAMPLES["discrete"],
    "both": SAMPLES["dict"],
}
"""An action space of each sort that algorithms tell apart."""
UNKNOWN = "as its options say"
"""Of a part that cannot be asked, because it needs an option."""


def accepts(part: Any) -> Answers:
    """The sample spaces that an encoder or a distribution does not refuse."""
    if part is None:
        return {"accepts": UNKNOWN}
    taken = [name for name, space in SAMPLES.items() if part.refusal(space) is None]
    if "vector" in taken:  # every vector, so those too
        taken.remove("simplex")
    return {"accepts": taken}


def gives(head: Any) -> Answers:
    """The capabilities of a module with this head."""
    if head is None:
        return {"gives": UNKNOWN}
    return {"gives": sorted(api.label() for api in head.apis())}


def requires(algorithm: Any) -> Answers:
    """The capabilities that an algorithm asks of a module; with the actions for which it does,
    where it does not for all that it can take: `QNetAPI (choices)`; and whether it trains a memory.
    """
    if algorithm is None:
        return {"requires": UNKNOWN, "memory": UNKNOWN}
    by_kind = {
        kind: {api.label() for api in algorithm.resolve(space).required_apis()}
        for kind, space in ACTIONS.items()
        if algorithm.refusal(space) is None
    } or {"": {api.label() for api in algorithm.required_apis()}}
    asked = sorted(set().union(*by_kind.values()))
    kinds = {
        label: [kind for kind, labels in by_kind.items() if label in labels] for label in asked
    }
    return {
        "requires": [
            label if len(kinds[label]) == len(by_kind) else f"{label} ({', '.join(kinds[label])})"
            for label in asked
        ],
        "memory": "trained" if algorithm.has_sequences else "refused",
    }


def identity(env: Any) -> Answers:
    """Gymnasium's id of an environment that has one."""
    return {"id": getattr(env, "id", "")}


def identity_and_spaces(env: Any) -> Answers:
    """What an environment observes and does too, for which it is made."""
    try:
        observation, action = map(describe, env.spaces()) if env else ("", "")
    except ComposerError as error:
        observation, action = error.problems[0].message.splitlines()[0], ""
    return {**identity(env), "observation": observation, "action": action}


def nothing(part: Any) -> Answers:
    """No more than every part says."""
    return {}


def summary(member: type) -> str:
    """The first line of a class's docstring, or else of its module's."""
    texts: Iterable[str | None] = (member.__doc__, sys.modules[member.__module__].__doc__)
    return next((text.strip().splitlines()[0] for text in texts if text and text.strip()), "")


def home(member: type) -> str:
    """Where a part is written: `built in`, or the plugin's distribution and module."""
    module = member.__module__
    if module.partition(".")[0] == "composer":
        return "built in"
    for point in importlib.metadata.entry_points(group="composer.plugins"):
        if point.dist and point.module.partition(".")[0] == module.partition(".")[0]:
            return f"{module} ({point.dist.name} {point.dist.version})"
    return f"{module} (plugin)"
