"""The line that mends a wrong value: tried out on the data before it is offered."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from composer.errors import line_to_type
from composer.places import Loc, child, join_path, stem_of

_WORDS = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}


def line(path: str, value: object) -> str:
    """The line to type; a part that says nothing but its type is named by it."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return line_to_type(path, _brief(value))


def _brief(value: object) -> object:
    if isinstance(value, Mapping):
        if set(value) == {"type"}:
            return value["type"]
        return {key: _brief(item) for key, item in value.items()}
    return [_brief(item) for item in value] if isinstance(value, list | tuple) else value


def replaced(data: Any, loc: Loc, value: object, wrong: object = None) -> Any:
    """A copy of plain data with `value` at `loc`.

    Where a list is short for a mapping, so that `loc` names what the list does not, its one
    element that is the `wrong` value is replaced.

    Raises:
        LookupError: Where `loc` leads to no plain data.
    """
    if not loc:
        return value
    part, rest = loc[0], loc[1:]
    if isinstance(data, Mapping):
        return {**data, part: replaced(data.get(part, {}), rest, value, wrong)}
    if isinstance(data, list | tuple):
        if isinstance(part, str):
            part, rest = _only_index(data, wrong), ()
        if part < len(data):
            return [*data[:part], replaced(data[part], rest, value, wrong), *data[part + 1 :]]
    if isinstance(data, str) and isinstance(value, str) and loc == ("type",):  # `encoder: cnn`
        return value
    raise LookupError(loc)


def _only_index(items: list[Any] | tuple[Any, ...], wrong: object) -> int:
    found = [i for i, item in enumerate(items) if type(item) is type(wrong) and item == wrong]
    if len(found) != 1:
        raise LookupError(wrong)
    return found[0]


def entry_line(path: str, data: object) -> str:
    """The line that sets the first thing that an entry of a mapping says."""
    while isinstance(data, Mapping) and data:
        key = next((key for key in data if key != "type"), "type")
        path, data = f"{path}.{key}", data[key]
    return line(path, data)


def reachable(fix: str | None, prefix: str, loc: Loc) -> str | None:
    """The same line, where a key on the way has a dot or a blank in it as a mapping.

    `model.encoder.children.a.b=mlp` cannot say that `a.b` is one key;
    `model.encoder.children={a.b:mlp}` can.
    """
    for end, key in enumerate(loc):
        at_key = join_path(prefix, loc[: end + 1])
        if isinstance(key, str) and not _PLAIN_KEY.fullmatch(key) and fix:
            if not re.match(rf"{re.escape(at_key)}[.=]", fix):
                return fix
            below, _, text = fix.removeprefix(at_key).partition("=")
            value = "".join(shlex.split(text))
            for part in reversed((key, *below.split(".")[1:])):
                value = f"{{{part}:{value}}}"
            return f"{join_path(prefix, loc[:end])}={shlex.quote(value)}"
    return fix


_PLAIN_KEY = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Wrong:
    """A wrong value, and the whole data it stands in."""

    root: Any
    """The config class that judges the data."""
    data: Any
    loc: Loc
    value: object
    prefix: str
    """The path of the data itself."""

    def fix(self, candidates: Iterable[tuple[Loc, object]], meant: bool = False) -> str | None:
        """The line of the first candidate that leaves no error where it is and makes no new one.

        Args:
            candidates: Places and values.
            meant: A new error elsewhere is no hindrance: the name is surely the right one.
        """
        before = {error["loc"] for error in errors_at(self.root, self.data, ())}
        for loc, value in candidates:
            try:
                changed = replaced(self.data, loc, value, self.value)
            except LookupError:
                continue
            after = {error["loc"] for error in errors_at(self.root, changed, ())}
            if (meant or after <= before) and not any(overlap(loc, other) for other in after):
                return self.line(changed, loc)
        return None

    def line(self, data: Any, loc: Loc) -> str:
        """The line that sets what stands at `loc`; an element of a list is set by the list."""
        stem = stem_of(loc)
        for part in stem:
            data = data if isinstance(data, str) else child(data, part)
        return line(join_path(self.prefix, stem), data)


def errors_at(root: Any, data: Any, loc: Loc) -> list[Any]:
    """Pydantic's errors at a place, below it or above it."""
    try:
        root.model_validate(data)
    except ValidationError as error:
        return [details for details in error.errors() if overlap(details["loc"], loc)]
    return []


def overlap(one: Loc, other: Loc) -> bool:
    """Whether one place is the other, or above or below it."""
    return all(a == b for a, b in zip(one, other, strict=False))


def other_forms(value: Any) -> Iterator[object]:
    """The same value as other types would have it."""
    if isinstance(value, str):
        if value.lower() in _WORDS:
            yield _WORDS[value.lower()]
        for number in (int, float):
            try:
                yield number(value)
            except ValueError:
                continue
    if isinstance(value, float) and value.is_integer():
        yield int(value)
    if isinstance(value, list | tuple) and len(value) == 1:
        yield value[0]
    if isinstance(value, str | int | float | list | tuple):
        yield [value]


def nearest_numbers(value: object, bounds: Mapping[str, Any]) -> Iterator[object]:
    """Numbers that keep the bounds pydantic names, nearest to what was meant first."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if value < 0:
        yield -value
    yield from (bounds[bound] for bound in ("ge", "le") if bound in bounds)
    yield max(1, int(value)) if abs(value) < float("inf") else 1
