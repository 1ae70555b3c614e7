"""The `info` of single environments, out of a vector environment's."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def info_of(infos: Mapping[str, Any], env: int) -> dict[str, Any]:
    """One environment's `info` out of a vector environment's."""
    return {
        key: _of_one(value, env)
        for key, value in infos.items()
        if not key.startswith("_") and key != "final_obs" and _present(infos, key, env)
    }


def _of_one(value: Any, env: int) -> Any:
    if isinstance(value, Mapping):
        return info_of(value, env)
    return value[env] if isinstance(value, np.ndarray) else value


def _present(infos: Mapping[str, Any], key: str, env: int) -> bool:
    mask = infos.get(f"_{key}")
    return bool(mask is None or mask[env])
