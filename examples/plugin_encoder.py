"""An encoder of your own, in one file. Nothing of Composer is edited.

    composer train env=cartpole plugins=[plugin_encoder] model/encoder=fourier

from the directory of this file; or installed, with an entry point in the group
`composer.plugins`, without naming it at all.
"""

from typing import Literal

import gymnasium as gym
import torch
from torch import Tensor, nn

from composer.config import Size
from composer.encoders.base import EncoderConfig
from composer.layers import HiddenLayers
from composer.spaces import describe, flat_dim


class FourierEncoderConfig(HiddenLayers, EncoderConfig):
    """Random Fourier features of a vector (Tancik et al., 2020), then linear layers."""

    type: Literal["fourier"] = "fourier"
    features: Size = 32
    scale: float = 1.0

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
            return None
        return f"`fourier` takes a vector, a Box of rank 1, not {describe(space)}"

    def out_dim(self, space: gym.Space) -> int:
        return self.width(2 * self.features)

    def build(self, space: gym.Space) -> "FourierEncoder":
        return FourierEncoder(
            in_dim=flat_dim(space),
            features=self.features,
            scale=self.scale,
            layers=self.stack(2 * self.features),
        )


class FourierEncoder(nn.Module):
    """Sines and cosines of random projections."""

    def __init__(self, *, in_dim: int, features: int, scale: float, layers: nn.Module) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(in_dim, features) * scale)
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, in_dim)` → `(*B, F)` float32."""
        angles = obs.float() @ self.get_buffer("projection")
        return self.layers(torch.cat([angles.sin(), angles.cos()], -1))


def main() -> None:
    """Shows the model that `model/encoder=fourier` gives."""
    from composer import Experiment

    print(Experiment.load(["env=cartpole", "model/encoder=fourier"]).blueprint.explain())


if __name__ == "__main__":
    main()
