"""`impala_cnn`: images of any size through residual convolutions, then linear layers."""

from typing import Literal, Self

import gymnasium as gym
from torch import nn

from composer.config import Listed, Size
from composer.encoders._image import ImageEncoderConfig
from composer.layers import ACTIVATIONS, ConvInitializer, Residual, initialised


class ImpalaCNNEncoderConfig(ImageEncoderConfig):
    """The deep network of IMPALA (Espeholt et al., 2018, arXiv:1802.01561, figure 3).

    A section is a convolution, a max-pooling that halves both sides, and residual blocks of two
    convolutions, each behind an activation; 15 convolutions by default. All kernels are 3×3.
    """

    type: Literal["impala_cnn"] = "impala_cnn"
    channels: Listed[Size] = (16, 32, 32)
    """Of each section."""
    blocks: Size = 2
    """Residual blocks of a section."""
    hidden: Listed[Size] = (256,)
    """Linear layers behind the flattened convolutions."""
    conv_initializer: ConvInitializer | None = None

    def resolve(self, space: gym.Space) -> Self:
        return self.with_pixels(space)

    def out_shape(self, space: gym.Space) -> tuple[int, ...]:
        channels, height, width = self.in_shape(space)
        for _ in self.channels:
            height, width = -(-height // 2), -(-width // 2)
        return (self.channels or (channels,))[-1], height, width

    def convolutions(self, space: gym.Space) -> nn.Sequential:
        in_channels, *_ = self.in_shape(space)
        sections: list[nn.Module] = []
        for channels in self.channels:
            sections.append(self._convolution(in_channels, channels))
            sections.append(nn.MaxPool2d(3, stride=2, padding=1))
            sections += [self._block(channels) for _ in range(self.blocks)]
            in_channels = channels
        return nn.Sequential(*sections, ACTIVATIONS[self.activation]())

    def _block(self, channels: int) -> Residual:
        layers = []
        for _ in range(2):
            layers += [ACTIVATIONS[self.activation](), self._convolution(channels, channels)]
        return Residual(*layers)

    def _convolution(self, in_channels: int, channels: int) -> nn.Conv2d:
        conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        return initialised(conv, self.conv_initializer, self.bias_initializer)
