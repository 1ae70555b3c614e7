"""`flatten`: a whole composite as one vector."""

from typing import Literal

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor, nn

from composer.encoders.base import EncoderConfig
from composer.encoders.dict import DictEncoderConfig
from composer.encoders.mlp import MLPEncoderConfig
from composer.encoders.one_hot import OneHotEncoderConfig
from composer.encoders.tuple import TupleEncoderConfig
from composer.layers import HiddenLayers
from composer.spaces import Nested, describe, flat_dim, leaf_spaces


class FlattenEncoderConfig(HiddenLayers, EncoderConfig):
    """Every number, bit and one-hot choice inside, one behind the other, through linear layers.

    Bounded integers are scaled to [0, 1].
    """

    type: Literal["flatten"] = "flatten"

    def refusal(self, space: gym.Space) -> str | None:
        if not isinstance(space, spaces.Dict | spaces.Tuple):
            return f"`flatten` takes a Dict or a Tuple, not {describe(space)}"
        return next(filter(None, map(_unfixed, leaf_spaces(space))), None)

    def out_dim(self, space: gym.Space) -> int:
        return self.width(sum(map(flat_dim, leaf_spaces(space))))

    def build(self, space: gym.Space) -> "FlattenEncoder":
        return FlattenEncoder(
            vector=_as_is(space).build(space),
            layers=self.stack(sum(map(flat_dim, leaf_spaces(space)))),
        )


class FlattenEncoder(nn.Module):
    """Makes a vector and applies the layers."""

    def __init__(self, *, vector: nn.Module, layers: nn.Module) -> None:
        super().__init__()
        self.vector = vector
        self.layers = layers

    def forward(self, obs: Nested) -> Tensor:
        """obs: nested as the space is → `(*B, F)` float32."""
        return self.layers(self.vector(obs))


def _unfixed(leaf: gym.Space) -> str | None:
    if flat_dim(leaf):
        return None
    return f"`flatten` makes a vector of one fixed length, which {describe(leaf)} inside has not"


def _as_is(space: gym.Space) -> EncoderConfig:
    """The encoder without any layer."""
    if isinstance(space, spaces.Dict):
        config = DictEncoderConfig()
        return config.with_children({k: _as_is(s) for k, s in space.items()})
    if isinstance(space, spaces.Tuple):
        config = TupleEncoderConfig()
        return config.with_children({str(i): _as_is(s) for i, s in enumerate(space.spaces)})
    kind = MLPEncoderConfig if isinstance(space, spaces.Box) else OneHotEncoderConfig
    return kind(hidden=()).resolve(space)
