"""Classes of a person's own that lack what their bases ask for."""

import inspect
from contextlib import suppress
from typing import Any


def lacking(cls: Any) -> str | None:
    """What a config class lacks, in words: methods that are abstract, and class variables that its
    bases annotate without a value; None where it lacks nothing.
    """
    variables = sorted(name for name in cls.__class_vars__ if not hasattr(cls, name))
    methods = [_signature(cls, name) for name in sorted(cls.__abstractmethods__)]
    kinds = {"method": methods, "class variable": variables}
    told = (
        f"the {kind}{'s' if names[1:] else ''} {', '.join(f'`{name}`' for name in names)}"
        for kind, names in kinds.items()
        if names
    )
    return " and ".join(told) or None


def _signature(cls: type, name: str) -> str:
    """`layout(self, observation)`; of a property, its name."""
    found = getattr(cls, name)
    return f"{name}({', '.join(inspect.signature(found).parameters)})" if callable(found) else name


def place_of(cls: type) -> str | None:
    """Where a class is written: `file:line    class Name`; None where its source is not there."""
    with suppress(OSError, TypeError):
        line = inspect.getsourcelines(cls)[1]
        return f"{inspect.getsourcefile(cls)}:{line}    class {cls.__name__}"
    return None
