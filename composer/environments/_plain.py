"""Spaces of other libraries for which Gymnasium has one of its own."""

import string

import gymnasium
from gymnasium import spaces

MISSION = "minigrid.core.mission.MissionSpace"
TEXT = spaces.Text(512, min_length=0, charset=f"{string.ascii_letters}{string.digits} ,.'-")
"""Whatever a mission says; the longest of BabyAI has fewer than 400 letters."""


class PlainSpaces(gymnasium.Wrapper):
    """Declares other spaces for the same observations."""

    def __init__(self, env: gymnasium.Env, observation_space: gymnasium.Space) -> None:
        super().__init__(env)
        self.observation_space = observation_space


def with_plain_spaces(env: gymnasium.Env) -> gymnasium.Env:
    """The environment; where it observes one of minigrid's missions, it declares a Text there."""
    observation_space = _plain(env.observation_space)
    if observation_space == env.observation_space:
        return env
    return PlainSpaces(env, observation_space)


def _plain(space: gymnasium.Space) -> gymnasium.Space:
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _plain(child) for key, child in space.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_plain(child) for child in space])
    names = (f"{base.__module__}.{base.__qualname__}" for base in type(space).__mro__)
    return TEXT if MISSION in names else space
