"""What every memory config promises."""

from composer.config import Family


class MemoryConfig(Family, family="memory", default="none"):
    """Features over time → features over time, with state."""
