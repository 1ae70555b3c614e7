"""`tuple`: Tuple observations, an encoder for each entry."""

from typing import Literal

import gymnasium as gym
from gymnasium import spaces

from composer.config import FrozenDict
from composer.encoders._composite import Indexed, KeyedEncoderConfig
from composer.spaces import describe


class TupleEncoderConfig(KeyedEncoderConfig):
    """An encoder for each entry, their features combined, then linear layers."""

    type: Literal["tuple"] = "tuple"
    children: Indexed = FrozenDict()
    """By index, or as a list."""

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Tuple):
            return None
        return f"`tuple` takes a Tuple, not {describe(space)}"

    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        assert isinstance(space, spaces.Tuple)
        return {str(index): child for index, child in enumerate(space.spaces)}
