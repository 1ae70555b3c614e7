"""Which classes of space there are: Gymnasium's, and those that a user registers."""

import re

import gymnasium as gym
from gymnasium import spaces

from composer.errors import CompositionError

PLAIN = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Classes whose samples are arrays of one shape."""

_KINDS: dict[type[gym.Space], str] = {
    spaces.Box: "box",
    spaces.Discrete: "discrete",
    spaces.MultiDiscrete: "multi_discrete",
    spaces.MultiBinary: "multi_binary",
    spaces.Text: "text",
    spaces.Dict: "dict",
    spaces.Tuple: "tuple",
    spaces.OneOf: "oneof",
    spaces.Sequence: "sequence",
    spaces.Graph: "graph",
}


def kind(space: gym.Space) -> str:
    """`MultiDiscrete` as `multi_discrete`; a subclass by the class it is derived from.

    A class that is registered, or derived from none of Gymnasium's, goes by its own name.
    """
    known = next((c for c in type(space).__mro__ if c in _KINDS), None)
    return _snake(type(space).__name__) if known is None else _KINDS[known]


def space_class(space: gym.Space) -> type[gym.Space]:
    """The class that a space is treated as: its own where that is known, or the nearest base.

    Raises:
        CompositionError: If none is known; says how to register one.
    """
    for cls in type(space).__mro__:
        if cls in _KINDS:
            return cls
    name = type(space).__name__
    raise CompositionError(
        f"Composer does not know the space class {name}: register it in a plugin with "
        f"composer.spaces.register_space({name}, to_data=…, from_data=…, batch=…)"
    )


def is_known(cls: type[gym.Space]) -> bool:
    """Whether a class, or one that it is derived from, is Gymnasium's or registered."""
    return any(base in _KINDS for base in cls.__mro__)


def add_class(cls: type[gym.Space]) -> None:
    """Makes a class known by its own name; the same class defined anew may have it again.

    Raises:
        CompositionError: If another class has the name.
    """
    for other in _KINDS:
        is_same = (other.__module__, other.__qualname__) == (cls.__module__, cls.__qualname__)
        if other.__name__ == cls.__name__ and not is_same:
            raise CompositionError(
                f"the space class {cls.__name__} of {cls.__module__} has the name of that of "
                f"{other.__module__}: call it something else"
            )
    _KINDS[cls] = _snake(cls.__name__)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
