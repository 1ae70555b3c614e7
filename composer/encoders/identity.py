"""`identity`: a Box as it is, for heads that have all the layers."""

from typing import Literal, Self

import gymnasium as gym

from composer.encoders._scaling import ScaledConfig
from composer.encoders.mlp import MLPEncoder, MLPEncoderConfig
from composer.spaces import describe, flat_dim


class IdentityEncoderConfig(ScaledConfig):
    """The numbers themselves, one behind the other; bounded integers are scaled to [0, 1]."""

    type: Literal["identity"] = "identity"

    learns = False

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, gym.spaces.Box):
            return None
        return f"`identity` takes a Box, not {describe(space)}"

    def resolve(self, space: gym.Space) -> Self:
        assert isinstance(space, gym.spaces.Box)
        return self.with_scaling(space)

    def out_dim(self, space: gym.Space) -> int:
        return flat_dim(space)

    def build(self, space: gym.Space) -> MLPEncoder:
        return MLPEncoderConfig(hidden=(), scaling=self.scaling, norm=self.norm).build(space)
