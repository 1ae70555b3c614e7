"""The model as the user writes it: a family of two, composed and custom."""

from typing import Any, Literal

from pydantic import field_validator

from composer.composites import Keys
from composer.config import Auto, AutoOr, Config, Family, Frozen, FrozenDict
from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.heads.base import HeadConfig
from composer.memories.base import MemoryConfig
from composer.memories.none import NoMemoryConfig


class ModelConfig(Family, family="model", default="composed"):
    """A model: composed by the catalog, or hand-written."""


class TrunkConfig(Config):
    """A further trunk; what it leaves out is as the main trunk has it, with weights of its own."""

    encoder: AutoOr[EncoderConfig] | None = None
    memory: MemoryConfig | None = None
    observe: Keys | None = None
    """Keys of a Dict observation that it takes, all by default; of a single one the entry itself,
    not a Dict of it."""


class ComposedModelConfig(ModelConfig):
    """Parts that the catalog chooses where they say `auto`."""

    type: Literal["composed"] = "composed"
    encoder: AutoOr[EncoderConfig] = Auto()
    """Of the main trunk."""
    memory: MemoryConfig = NoMemoryConfig()
    observe: Keys | None = None
    """What the main trunk takes of a Dict observation, as for further trunks; all by default."""
    trunks: AutoOr[Frozen[TrunkConfig]] = Auto()
    """Further trunks by name; `auto` is the algorithm's layout, `{}` one trunk for all."""
    heads: Frozen[HeadConfig] = FrozenDict()
    """By role; what the algorithm needs and is not here is added."""
    distribution: AutoOr[DistributionConfig] = Auto()

    @field_validator("heads", mode="before")
    @classmethod
    def _typed_by_role(cls, heads: Any) -> Any:
        """A head's type is its role unless it says otherwise."""
        if not isinstance(heads, dict):
            return heads
        return {
            role: {"type": role, **head} if isinstance(head, dict) else head
            for role, head in heads.items()
        }


class CustomModelConfig(ModelConfig):
    """A hand-written RLModule, named by its class."""

    type: Literal["custom"] = "custom"
    path: str
    """Where the class is: `package.module.ClassName`, installed or beside one's own files."""
    config: Frozen[Any] = FrozenDict()
    """Its settings, `self.model_config` inside the class."""
