"""A space as JSON data, and as a field of a config."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from pydantic import InstanceOf, PlainSerializer, PlainValidator

from composer.spaces.kinds import space_class


def space_to_data(space: gym.Space) -> dict[str, Any]:
    """A space as JSON data; one of a class derived from Gymnasium's is written as its base.

    Raises:
        CompositionError: For a space class that nobody registered.
    """
    cls = space_class(space)
    to_data, _ = _CLASSES[cls]
    return {"space": cls.__name__, **to_data(space)}


def space_from_data(data: Any) -> gym.Space:
    """A space from its JSON data; a space is returned as it is."""
    if isinstance(data, gym.Space):
        return data
    name = data.get("space") if isinstance(data, Mapping) else data
    by_name = {cls.__name__: from_data for cls, (_, from_data) in _CLASSES.items()}
    if str(name) not in by_name:
        raise ValueError(
            f"no space class is called {name!r}; a plugin registers one with "
            "composer.spaces.register_space"
        )
    try:
        return by_name[str(name)]({key: value for key, value in data.items() if key != "space"})
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no {name} space: {error!r}") from None


def _bounds_to_data(bound: np.ndarray) -> Any:
    values = [
        str(v) if isinstance(v, float) and not math.isfinite(v) else v
        for v in bound.ravel().tolist()
    ]
    return values[0] if values and all(value == values[0] for value in values) else values


def _bounds_from_data(data: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if not isinstance(data, list):
        return np.full(shape, float(data) if isinstance(data, str) else data, dtype)
    values = [float(value) if isinstance(value, str) else value for value in data]
    return np.array(values, dtype).reshape(shape)


def _box_to_data(space: spaces.Box) -> dict[str, Any]:
    return {
        "shape": list(space.shape),
        "dtype": str(space.dtype),
        "low": _bounds_to_data(space.low),
        "high": _bounds_to_data(space.high),
    }


def _box_from_data(data: dict[str, Any]) -> spaces.Box:
    shape, dtype = tuple(data["shape"]), np.dtype(data["dtype"])
    low, high = (_bounds_from_data(data[key], shape, dtype) for key in ("low", "high"))
    return spaces.Box(low, high, shape, dtype.type)


def _integers(array: Any) -> Any:
    return np.asarray(array).tolist()


ToData = Callable[[Any], dict[str, Any]]
FromData = Callable[[dict[str, Any]], gym.Space]

_CLASSES: dict[type[gym.Space], tuple[ToData, FromData]] = {
    spaces.Box: (_box_to_data, _box_from_data),
    spaces.Discrete: (
        lambda s: {"n": int(s.n), "start": int(s.start), "dtype": str(s.dtype)},
        lambda d: spaces.Discrete(d["n"], start=d["start"], dtype=np.dtype(d["dtype"]).type),
    ),
    spaces.MultiDiscrete: (
        lambda s: {
            "nvec": _integers(s.nvec),
            "start": _integers(s.start),
            "dtype": str(s.dtype),
        },
        lambda d: spaces.MultiDiscrete(
            np.array(d["nvec"]), start=np.array(d["start"]), dtype=np.dtype(d["dtype"]).type
        ),
    ),
    spaces.MultiBinary: (
        lambda s: {"n": _integers(s.n)},
        lambda d: spaces.MultiBinary(d["n"]),
    ),
    spaces.Text: (
        lambda s: {
            "max_length": s.max_length,
            "min_length": s.min_length,
            "charset": "".join(sorted(s.character_set)),
        },
        lambda d: spaces.Text(d["max_length"], min_length=d["min_length"], charset=d["charset"]),
    ),
    spaces.Dict: (
        lambda s: {"spaces": [[key, space_to_data(child)] for key, child in s.items()]},
        lambda d: spaces.Dict([(key, space_from_data(child)) for key, child in d["spaces"]]),
    ),
    spaces.Tuple: (
        lambda s: {"spaces": [space_to_data(child) for child in s.spaces]},
        lambda d: spaces.Tuple([space_from_data(child) for child in d["spaces"]]),
    ),
    spaces.OneOf: (
        lambda s: {"spaces": [space_to_data(child) for child in s.spaces]},
        lambda d: spaces.OneOf([space_from_data(child) for child in d["spaces"]]),
    ),
    spaces.Sequence: (
        lambda s: {"element": space_to_data(s.feature_space), "stack": s.stack},
        lambda d: spaces.Sequence(space_from_data(d["element"]), stack=d["stack"]),
    ),
    spaces.Graph: (
        lambda s: {
            "nodes": space_to_data(s.node_space),
            "edges": None if s.edge_space is None else space_to_data(s.edge_space),
        },
        lambda d: spaces.Graph(
            cast(Any, space_from_data(d["nodes"])),
            cast(Any, d["edges"] and space_from_data(d["edges"])),
        ),
    ),
}


def add_reader(cls: type[gym.Space], to_data: ToData, from_data: FromData) -> None:
    """How spaces of a class are written and read."""
    _CLASSES[cls] = to_data, from_data


SpaceField = Annotated[
    InstanceOf[gym.Space], PlainValidator(space_from_data), PlainSerializer(space_to_data)
]
"""A space as a field of a config."""
