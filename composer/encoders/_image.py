"""What encoders of images share: which axis is which, the pixels' range."""

from typing import ClassVar, Self

import gymnasium as gym
from gymnasium import spaces

from composer.config import Auto, AutoOr
from composer.encoders._convolved import ConvolvedConfig
from composer.spaces import Layout, describe, image_layout


class ImageEncoderConfig(ConvolvedConfig):
    """Convolutions, then linear layers over what is left of the image."""

    axes: ClassVar[tuple[str, ...]] = ("tc", "h", "w")
    taken: ClassVar[str] = "an image, a Box of rank 2 to 4"
    ranks: ClassVar[tuple[int, ...]] = (2, 3, 4)

    layout: AutoOr[Layout] = Auto()
    """Channels last (`hwc`) or first (`chw`); `hw`: one channel, without an axis of its own;
    `thwc`, `tchw`: stacked frames, whose channels are put side by side."""

    def refusal(self, space: gym.Space) -> str | None:
        if not isinstance(space, spaces.Box) or len(space.shape) not in self.ranks:
            return f"`{self.type}` takes {self.taken}, not {describe(space)}"
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
