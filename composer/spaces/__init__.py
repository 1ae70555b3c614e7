"""Gymnasium's spaces: facts that rules ask about, batches, and JSON."""

from composer.spaces.batching import batch, canonical, leading_axes, zeros
from composer.spaces.data import SpaceField, space_from_data, space_to_data
from composer.spaces.describing import describe, require_usable
from composer.spaces.facts import (
    Layout,
    SpaceFacts,
    category_counts,
    child_spaces,
    choice_counts,
    facts,
    flat_dim,
    image_layout,
    is_real,
    leaf_spaces,
    real_dim,
)
from composer.spaces.forms import is_ragged
from composer.spaces.kinds import kind
from composer.spaces.misfits import misfit
from composer.spaces.registering import register_space
from composer.spaces.sampling import example_of, samples
from composer.spaces.trees import Nested, leaves, map_structure, to_tensors

__all__ = [
    "Layout",
    "Nested",
    "SpaceFacts",
    "SpaceField",
    "batch",
    "canonical",
    "category_counts",
    "child_spaces",
    "choice_counts",
    "describe",
    "example_of",
    "facts",
    "flat_dim",
    "image_layout",
    "is_ragged",
    "is_real",
    "kind",
    "leading_axes",
    "leaf_spaces",
    "leaves",
    "map_structure",
    "misfit",
    "real_dim",
    "register_space",
    "require_usable",
    "samples",
    "space_from_data",
    "space_to_data",
    "to_tensors",
    "zeros",
]
