"""Capabilities that an algorithm may require of a module, one small abstract class each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor


class API(ABC):  # noqa: B024 - a root, whose subclasses say what is abstract
    """Base of the capabilities."""

    paste: ClassVar[str] = ""
    """A method to paste into a hand-written module that lacks the capability."""

    @classmethod
    def label(cls) -> str:
        return cls.__name__


class PolicyAPI(API):
    """`forward_train` and `forward_exploration` return `action_dist_inputs`, `(*B, inputs)`."""

    paste = (
        "def _forward(self, batch):\n"
        "    features = self.encoder(batch[Columns.OBS])\n"
        "    return {Columns.ACTION_DIST_INPUTS: self.policy(features)}"
    )


class ValueFunctionAPI(API):
    """The module estimates the value of a state."""

    paste = (
        "def compute_values(self, batch, embeddings=None):\n"
        "    features = self.encoder(batch[Columns.OBS]) if embeddings is None else embeddings\n"
        "    return self.value(features).squeeze(-1)    # (*B,)"
    )

    @abstractmethod
    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        """Values of the observations, `(*B,)` float32.

        Args:
            batch: At least `obs`, nested as the space is, `(*B, …)`.
            embeddings: What `forward_train` returned as `embeddings` for the same batch: features
                `(*B, F)` by trunk. With it, nothing is encoded twice.
        """


class InferenceOnlyAPI(API):
    """The module names what only training needs."""

    paste = (
        "def get_non_inference_attributes(self):\n"
        '    return ["value"]    # attributes that acting does not need'
    )

    @abstractmethod
    def get_non_inference_attributes(self) -> list[str]:
        """Dotted names of attributes that an inference-only module goes without."""


APIs = frozenset[type[API]]
"""A set of capabilities."""
