"""Spaces, a model and an algorithm → a blueprint, checked."""

from composer.composition.compose import compose, resolved

__all__ = ["compose", "resolved"]
