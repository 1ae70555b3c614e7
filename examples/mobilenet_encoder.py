"""A large network as the encoder of PPO: MobileNetV2 in plain torch, chosen by YAML.

    composer train plugins=[mobilenet_encoder] env=car_racing model/encoder=mobilenet_v2

from the directory of this file. Heads, loss and everything else are as for any other encoder.
"""

from math import prod
from typing import Any, Literal

import gymnasium as gym
from torch import Tensor, nn

from composer.config import Size
from composer.encoders.base import EncoderConfig
from composer.layers import Residual
from composer.spaces import describe, image_layout

STAGES = (  # expansion, channels, blocks, stride of the first block (Sandler et al., 2018, table 2)
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2EncoderConfig(EncoderConfig):
    """Inverted residuals (Sandler et al., 2018, arXiv:1801.04381), and the mean over all places."""

    type: Literal["mobilenet_v2"] = "mobilenet_v2"
    width: float = 1.0
    """All channels but those of the last layer are multiplied by it."""
    features: Size = 1280
    """Of the last layer."""

    def refusal(self, space: gym.Space) -> str | None:
        if image_layout(space) in ("hwc", "chw"):
            return None
        return f"`mobilenet_v2` takes an image, not {describe(space)}"

    def out_dim(self, space: gym.Space) -> int:
        return self.features

    def build(self, space: gym.Space) -> "MobileNetV2Encoder":
        assert isinstance(space, gym.spaces.Box)
        channels_first = image_layout(space) == "chw"
        channels = self._scaled(32)
        layers = _convolution(space.shape[0 if channels_first else -1], channels, stride=2)
        for expansion, base, blocks, first_stride in STAGES:
            out_channels = self._scaled(base)
            for stride in (first_stride, *[1] * (blocks - 1)):
                layers.append(_inverted_residual(channels, out_channels, expansion, stride))
                channels = out_channels
        layers += _convolution(channels, self.features, kernel=1)
        return MobileNetV2Encoder(
            channels_first=channels_first,
            brightest=float(space.high.max()),
            layers=nn.Sequential(*layers),
        )

    def _scaled(self, channels: int) -> int:
        """A multiple of 8."""
        return max(8, round(channels * self.width / 8) * 8)


class MobileNetV2Encoder(nn.Module):
    """Scales pixels to [0, 1], applies the layers and takes the mean over all places."""

    def __init__(self, *, channels_first: bool, brightest: float, layers: nn.Module) -> None:
        super().__init__()
        self.channels_first = channels_first
        self.brightest = brightest
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, H, W, C)` or `(*B, C, H, W)` → `(*B, F)` float32."""
        images = obs.float() / self.brightest
        if not self.channels_first:
            images = images.movedim(-1, -3)
        lead = images.shape[:-3]
        places = self.layers(images.reshape(prod(lead), *images.shape[-3:]))  # (B, F, h, w)
        return places.mean((-2, -1)).reshape(*lead, -1)


def _inverted_residual(channels: int, out_channels: int, expansion: int, stride: int) -> nn.Module:
    """Widens, filters each channel on its own, narrows; beside it a shortcut where one fits."""
    wide = channels * expansion
    layers = _convolution(channels, wide, kernel=1) if expansion > 1 else []
    layers += _convolution(wide, wide, stride=stride, groups=wide)
    layers += _convolution(wide, out_channels, kernel=1)[:-1]  # what is narrow stays linear
    return (Residual if stride == 1 and channels == out_channels else nn.Sequential)(*layers)


def _convolution(
    channels: int, out_channels: int, *, kernel: int = 3, **options: Any
) -> list[nn.Module]:
    """A convolution, a norm and an activation.

    The norm is of each image on its own, where the paper's is of a batch: what a policy does must
    not depend on the other observations that it is given.
    """
    conv = nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, bias=False, **options)
    return [conv, nn.GroupNorm(1, out_channels), nn.ReLU6()]


WORDS = [
    "env.id=composer.testing:ImageBandit-v0",  # which quadrant of 32×32 pixels is bright?
    "model/encoder=mobilenet_v2",
    "model.encoder.width=0.25",
    "env.num_envs=2",  # with what follows an update takes a second, and learns next to nothing
    "algorithm.rollout_steps=16",
    "algorithm.num_minibatches=2",
    "algorithm.epochs=1",
    "evaluation.every=0",
    "evaluation.episodes=2",
    "logger=none",
]


def main(total_steps: int = 64) -> float:
    """Trains for a few updates, and returns the last loss."""
    from composer import Experiment, Trainer

    experiment = Experiment.load([*WORDS, f"total_steps={total_steps}"])
    print(experiment.blueprint.explain())
    trainer = Trainer(experiment)
    loss = float("nan")
    while not trainer.done:
        result = trainer.step()
        loss = result.metrics["train/loss"]
        print(f"{result.env_steps:>4} steps: loss {loss:.3f}")
    trainer.close()
    return loss


if __name__ == "__main__":
    main()
