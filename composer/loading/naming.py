"""A part that one says by its name alone, and of which another says the fields."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from composer.loading.origins import MISSING
from composer.loading.paths import Parts

FREE = "kwargs"
"""The key of mappings that are passed on as they are: no part stands in them."""


def is_name(value: object, path: Parts) -> bool:
    """Whether the value at a path may name a part; `auto` names none: its fields are hints."""
    is_text = isinstance(value, str) and value not in ("", "auto", MISSING) and "${" not in value
    return is_text and FREE not in path


def with_types(
    stands: DictConfig | ListConfig, given: Mapping[str, Any], path: Parts = ()
) -> dict[str, Any]:
    """What is given, ready to be merged: a name that meets fields is their `type`.

    Args:
        stands: What it is merged into; a name in it that meets fields becomes a mapping.
        given: Values by key.
        path: Where both stand.
    """
    return {key: _with_type(stands, key, value, (*path, key)) for key, value in given.items()}


def _with_type(stands: DictConfig | ListConfig, key: str, value: Any, path: Parts) -> Any:
    other = _at(stands, key)
    if isinstance(value, Mapping) and value:
        if is_name(other, path) and "type" not in value:
            stands[_key(stands, key)] = {"type": other}
        elif isinstance(other, DictConfig | ListConfig):
            return with_types(other, value, path)
    elif is_name(value, path) and isinstance(other, DictConfig) and other:
        return {"type": value}
    return value


def _at(stands: DictConfig | ListConfig, key: str) -> Any:
    """What stands at a key, if it is there and is no interpolation."""
    found = _key(stands, key)
    is_there = found < len(stands) if isinstance(found, int) else found in stands
    if not is_there or any(ask(stands, found) for ask in _OPEN):
        return None
    return stands[found]


def _key(stands: DictConfig | ListConfig, key: str) -> Any:
    is_index = isinstance(stands, ListConfig) and str(key).isdigit()
    return int(key) if is_index else key


_OPEN = (OmegaConf.is_interpolation, OmegaConf.is_missing)
