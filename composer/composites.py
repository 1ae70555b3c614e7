"""Parts of a composite space: made of a part for each of its children."""

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

import gymnasium as gym
from pydantic import BeforeValidator
from torch import nn

from composer.config import Config, Frozen, FrozenDict, Listed


def _as_text(keys: object) -> object:
    if not isinstance(keys, list | tuple):
        return keys
    return tuple(str(key) if type(key) is int else key for key in keys)


Keys = Annotated[
    tuple[str, ...], BeforeValidator(_as_text, json_schema_input_type=Listed[str | int])
]
"""Of a Dict, or indices of a Tuple."""


class Composite(Config):
    """A part that consists of children, one for each space inside, and of what joins them."""

    children: Frozen[Any] = FrozenDict()
    """By key, or by index; those that are not named are chosen by the catalog."""

    @abstractmethod
    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        """What each child takes, in their order."""

    def with_children(self, children: Mapping[str, Any]) -> Self:
        """The same config with other children."""
        return self.model_copy(update={"children": FrozenDict(children)})


def by_index(children: object) -> object:
    """Children as a list, or by whole numbers, as YAML has them → by index as text."""
    if isinstance(children, list | tuple):
        return {str(index): child for index, child in enumerate(children)}
    if isinstance(children, Mapping):
        return {str(key) if type(key) is int else key: child for key, child in children.items()}
    return children


def part_names(keys: Iterable[str]) -> dict[str, str]:
    """What each child is called inside a module: its key, made into a name of its own."""
    taken = set(dir(nn.Module()))
    names: dict[str, str] = {}
    for key in keys:
        name = re.sub(r"\W", "_", key, flags=re.ASCII).lstrip("_") or "part"
        while name in taken:
            name += "_"
        taken.add(name)
        names[key] = name
    return names
