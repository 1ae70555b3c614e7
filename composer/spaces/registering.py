"""A space class of one's own."""

from collections.abc import Callable
from typing import Any, TypeVar

import gymnasium as gym

from composer.errors import CompositionError
from composer.spaces.data import add_reader
from composer.spaces.kinds import add_class, is_known
from composer.spaces.packing import pack
from composer.spaces.sampling import samples
from composer.spaces.trees import Nested, map_structure

Own = TypeVar("Own", bound=gym.Space)


def register_space(
    cls: type[Own],
    *,
    to_data: Callable[[Own], dict[str, Any]],
    from_data: Callable[[dict[str, Any]], Own],
    batch: Callable[[Own, list[Any]], Nested] | None = None,
) -> None:
    """Makes a space class of one's own known, usually in a plugin.

    Its `kind` for the catalog's rules is its name in snake case. A class derived from one of
    Gymnasium's need not be registered: it is then treated as its base is. Registered, it has a
    kind and data of its own, and is batched as its base is.

    Args:
        cls: The class.
        to_data: What JSON holds of a space; the key `space` is taken.
        from_data: The space again.
        batch: `batch(space, samples)` → arrays `(B, …)`, one or a dict of them, of the same
            shapes behind B whatever the samples are. Not for a class derived from Gymnasium's.

    Raises:
        CompositionError: If another class has its name, or `batch` is missing or too much.
    """
    if (batch is None) != any(map(is_known, cls.__bases__)):
        raise CompositionError(
            f"{cls.__name__} is derived from a space class that has a batch: leave out `batch`"
            if batch
            else f"{cls.__name__} is of no known kind: give `batch` as well"
        )
    add_class(cls)
    add_reader(cls, to_data, from_data)
    if batch is not None:
        pack.register(cls)(_with_empty(batch))


def _with_empty(batch: Callable[[Any, list[Any]], Nested]) -> Callable[[Any, list[Any]], Nested]:
    """The same, which also knows the form of a batch of no samples."""

    def packed(space: gym.Space, rows: list[Any]) -> Nested:
        if rows:
            return batch(space, rows)
        one = batch(space, samples(space, 1))
        return map_structure(lambda leaf: leaf[:0], one)

    return packed
