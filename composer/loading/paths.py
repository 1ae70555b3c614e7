"""Dotted paths, and how they are written."""

import re

Parts = tuple[str, ...]
"""A dotted path in parts, indexes of lists included: `("model", "encoder", "hidden", "0")`."""


def parts_of(path: str) -> Parts:
    """`model.encoder.hidden[0]` in parts."""
    return tuple(re.findall(r"[^.\[\]]+", path))


def dotted(parts: Parts) -> str:
    """`model.encoder.hidden[0]` of its parts."""
    path = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)
    return path.removeprefix(".")


def nested(parts: Parts, value: str) -> str:
    """What a file says at a path, on one line: `model: {encoder: value}`."""
    first, *rest = parts
    return f"{first}: {f'{{{nested(tuple(rest), value)}}}' if rest else value}"
