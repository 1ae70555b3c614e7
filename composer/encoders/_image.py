"""What encoders of images share: which axis is which, the pixels' range, the layers behind."""

import math
from abc import abstractmethod
from typing import Self

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor, nn

from composer.config import Auto, AutoOr, Listed, Size
from composer.encoders._scaling import ScaledConfig
from composer.layers import Activation, HiddenLayers
from composer.spaces import Layout, describe, image_layout


class ImageEncoderConfig(ScaledConfig, HiddenLayers):
    """Convolutions, then linear layers over what is left of the image."""

    layout: AutoOr[Layout] = Auto()
    """Channels last (`hwc`) or first (`chw`); `hw`: one channel, without an axis of its own;
    `thwc`, `tchw`: stacked frames, whose channels are put side by side."""
    hidden: Listed[Size] = (512,)
    """Linear layers behind the flattened convolutions."""
    activation: Activation = "relu"

    @abstractmethod
    def out_shape(self, space: gym.Space) -> tuple[int, int, int]:
        """Channels, height and width after the convolutions; the config is resolved."""

    @abstractmethod
    def convolutions(self, space: gym.Space) -> nn.Module:
        """`(B, C, H, W)` → `(B, *out_shape)`."""

    def refusal(self, space: gym.Space) -> str | None:
        if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3, 4):
            return f"`{self.type}` takes an image, a Box of rank 2 to 4, not {describe(space)}"
        rank = len(space.shape)
        if not isinstance(self.layout, Auto):
            axes = len(self.layout)
            if axes == rank:
                return None
            return f"layout `{self.layout}` is for rank {axes}, which {describe(space)} has not"
        if rank > 2 and image_layout(space) is None:
            choices = "hwc or chw" if rank == 3 else "thwc or tchw"
            return (
                f"`{self.type}` cannot tell which axis of {describe(space)} holds the channels: "
                f"give `layout`, {choices}"
            )
        return None

    def with_pixels(self, space: gym.Space) -> Self:
        """The same config, its layout and its scaling filled in."""
        assert isinstance(space, spaces.Box)
        layout = (image_layout(space) or "hw") if isinstance(self.layout, Auto) else self.layout
        return self.model_copy(update={"layout": layout}).with_scaling(space)

    def in_shape(self, space: gym.Space) -> tuple[int, int, int]:
        """Channels (of all frames), height and width of the image."""
        assert space.shape is not None
        assert not isinstance(self.layout, Auto)
        sizes = dict(zip(self.layout, space.shape, strict=True))
        return sizes.get("t", 1) * sizes.get("c", 1), sizes["h"], sizes["w"]

    def out_dim(self, space: gym.Space) -> int:
        return self.width(math.prod(self.out_shape(space)))

    def build(self, space: gym.Space) -> "ImageEncoder":
        assert isinstance(space, spaces.Box)
        assert not isinstance(self.layout, Auto)
        return ImageEncoder(
            order=tuple(self.layout.index(axis) for axis in "tchw" if axis in self.layout),
            channels=self.in_shape(space)[0],
            scaling=self.scaler(space),
            convolutions=self.convolutions(space),
            layers=self.stack(math.prod(self.out_shape(space))),
        )


class ImageEncoder(nn.Module):
    """Scales, brings channels to the front, convolves, flattens and applies the layers.

    Args:
        order: The image's axes, as `(t, c, h, w)` without those it lacks.
        channels: Of all frames together.
        scaling: Pixels of any dtype → float32.
        convolutions: `(B, C, H, W)` → maps.
        layers: `(B, flattened maps)` → `(B, F)`.
    """

    def __init__(
        self,
        *,
        order: tuple[int, ...],
        channels: int,
        scaling: nn.Module,
        convolutions: nn.Module,
        layers: nn.Module,
    ) -> None:
        super().__init__()
        self.rank = len(order)
        self.order = (0, *(axis + 1 for axis in order))
        self.channels = channels
        self.scaling = scaling
        self.convolutions = convolutions
        self.layers = layers

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, *image)`, the axes of the layout, any dtype → `(*B, F)` float32."""
        lead = obs.shape[: -self.rank]
        x = self.scaling(obs.reshape(math.prod(lead), *obs.shape[-self.rank :]))
        x = x.permute(self.order)
        x = x.reshape(x.shape[0], self.channels, *x.shape[-2:])
        x = self.layers(self.convolutions(x).flatten(1))
        return x.reshape(*lead, x.shape[-1])
