"""`none`: no memory; each step stands alone."""

from typing import Literal

from composer.memories.base import MemoryConfig


class NoMemoryConfig(MemoryConfig):
    """Features pass through; no part, no state."""

    type: Literal["none"] = "none"
