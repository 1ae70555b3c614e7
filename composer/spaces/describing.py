"""A space in words, and what keeps a model from taking it."""

import gymnasium as gym
from gymnasium import spaces

from composer.errors import CompositionError
from composer.spaces.facts import child_spaces
from composer.spaces.kinds import space_class


def describe(space: gym.Space) -> str:
    """A space in a few words: `Box(84, 84, 4) uint8`, `Discrete(2)`."""
    if isinstance(space, spaces.Box):
        return f"Box{space.shape} {space.dtype}"
    if isinstance(space, spaces.Discrete):
        start = f", start={space.start}" if space.start else ""
        return f"Discrete({space.n}{start})"
    if isinstance(space, spaces.MultiDiscrete):
        return f"MultiDiscrete({space.nvec.tolist()})"
    if isinstance(space, spaces.MultiBinary):
        return f"MultiBinary({space.n})"
    if isinstance(space, spaces.Text):
        characters = len(space.character_set)
        return f"Text({space.min_length}..{space.max_length}, {characters} characters)"
    if isinstance(space, spaces.Dict):
        inner = ", ".join(f"{key}: {describe(child)}" for key, child in space.items())
        return f"Dict({inner})"
    if isinstance(space, spaces.Tuple):
        return f"Tuple({', '.join(map(describe, space.spaces))})"
    if isinstance(space, spaces.OneOf):
        return f"OneOf({', '.join(map(describe, space.spaces))})"
    if isinstance(space, spaces.Sequence):
        return f"Sequence({describe(space.feature_space)}{', stacked' if space.stack else ''})"
    if isinstance(space, spaces.Graph):
        edges = "none" if space.edge_space is None else describe(space.edge_space)
        return f"Graph(nodes: {describe(space.node_space)}, edges: {edges})"
    has_words = type(space).__repr__ is not object.__repr__
    return str(space) if has_words else type(space).__name__


def require_usable(space: gym.Space, what: str) -> None:
    """Refuses what no model can take: no space, one without elements, or one nobody knows.

    Raises:
        CompositionError: Says which part of the space is empty, or what to register.
    """
    if not isinstance(space, gym.Space):
        raise CompositionError(
            f"the {what} space is {space!r}; it must be a gymnasium.Space, for instance "
            f"env.{what}_space"
        )
    space_class(space)
    inner = inner_spaces(space)
    if inner is not None and not inner:
        raise CompositionError(f"the {what} space {describe(space)} has no parts")
    for child in inner or ():
        require_usable(child, what)
    if inner is None and space.shape is not None and 0 in space.shape:
        raise CompositionError(f"the {what} space {describe(space)} has no elements")


def inner_spaces(space: gym.Space) -> list[gym.Space] | None:
    """The spaces that a space is made of; None where it is made of none."""
    if isinstance(space, spaces.Sequence):
        return [space.feature_space]
    if isinstance(space, spaces.Graph):
        return [part for part in (space.node_space, space.edge_space) if part is not None]
    children = child_spaces(space)
    return None if children is None else list(children.values())
