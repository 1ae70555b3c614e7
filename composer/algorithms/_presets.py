"""Algorithms by name, the presets of `conf/algorithm` included: `rainbow`."""

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from composer.algorithms.base import AlgorithmConfig


def algorithm_of(algorithm: object) -> AlgorithmConfig:
    """The config of an algorithm: a name, data with a `type`, or the config itself.

    A preset is as its file says, but for what the data says beside it.

    Raises:
        ConfigError: If it is not valid, or no such algorithm is there.
    """
    said = {"type": algorithm} if isinstance(algorithm, str) else algorithm
    if isinstance(said, Mapping) and isinstance(said.get("type"), str):
        preset = _presets().get(said["type"], {})
        algorithm = _over(preset, {**said, "type": preset.get("type", said["type"])})
    return AlgorithmConfig.parse(algorithm, "algorithm")


@functools.cache
def _presets() -> dict[str, dict[str, Any]]:
    """What the files say whose names are no types, by their names."""
    files = resources.files("composer.conf").joinpath("algorithm").iterdir()
    stems = {f.name.removesuffix(".yaml"): f for f in files if f.name.endswith(".yaml")}
    others = {name: file for name, file in stems.items() if name not in AlgorithmConfig.tags()}
    return {name: yaml.safe_load(file.read_text()) for name, file in others.items()}


def _over(preset: object, said: object) -> Any:
    """What is said, and the rest as the preset has it."""
    if not isinstance(preset, Mapping) or not isinstance(said, Mapping):
        return said
    return {**preset, **{key: _over(preset.get(key), value) for key, value in said.items()}}
