"""Why nothing acts in some spaces, and the nearest one in which something does."""

import functools

import gymnasium as gym
from gymnasium import spaces

from composer.spaces import describe


@functools.singledispatch
def why_unactable(space: gym.Space) -> str | None:
    """A sentence or two for who wants to act in the space; None where there is none to say."""
    return None


@why_unactable.register
def _(space: spaces.Text) -> str:
    characters, places = len(space.character_set), space.max_length
    if space.min_length == places:
        return _wrapped(
            "a Text of one length is a choice of a character for each place",
            f"MultiDiscrete([{characters}] * {places})",
        )
    return _wrapped(
        "a Text action has no fixed number of choices, which every distribution needs",
        f"MultiDiscrete([{characters + 1}] * {places}): for each place a character, or none",
    )


@why_unactable.register
def _(space: spaces.Sequence) -> str:
    element = describe(space.feature_space)
    return _wrapped(
        "a Sequence action may be of any length, and every distribution needs a fixed number of "
        "choices",
        f"Tuple([Discrete(9)] + [{element}] * 8): how many count, and the elements",
    )


@why_unactable.register
def _(space: spaces.Graph) -> str:
    node = describe(space.node_space)
    return _wrapped(
        "a Graph action may have any number of nodes and edges, and every distribution needs a "
        "fixed number of choices",
        f"Tuple([{node}] * 8 + [MultiBinary((8, 8))]): 8 nodes, and which pairs have an edge",
    )


def _wrapped(why: str, nearest: str) -> str:
    return f"{why}\nwrap the environment by `env.wrappers` so that it takes {nearest}"
