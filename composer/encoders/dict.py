"""`dict`: Dict observations, an encoder for each key."""

from typing import Literal

import gymnasium as gym
from gymnasium import spaces

from composer.encoders._composite import KeyedEncoderConfig
from composer.spaces import describe


class DictEncoderConfig(KeyedEncoderConfig):
    """An encoder for each key, their features combined, then linear layers."""

    type: Literal["dict"] = "dict"

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Dict):
            return None
        return f"`dict` takes a Dict, not {describe(space)}"

    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        assert isinstance(space, spaces.Dict)
        return dict(space.spaces)
