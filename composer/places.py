"""Places in the data of a configuration, and the config class that stands at one.

Works on the classes of `composer.config` by what they hold: fields, and the members of a family.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

Loc = tuple[str | int, ...]
"""Where a value stands: `("model", "encoder", "hidden", 0)`."""


def join_path(prefix: str, loc: Iterable[str | int]) -> str:
    """`("model", "encoder", "hidden", 0)` as `model.encoder.hidden[0]`."""
    path = prefix
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def stem_of(loc: Loc) -> Loc:
    """The place up to the first list."""
    first = next((i for i, part in enumerate(loc) if isinstance(part, int)), len(loc))
    return loc[:first]


def child(data: Any, part: str | int) -> Any:
    """What stands below `data`, or None."""
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
        return data[part]
    return getattr(data, str(part), None)


def at(data: object, loc: Loc) -> Any:
    """What stands at a place, or None."""
    for part in loc:
        data = child(data, part)
    return data


def config_at(root: Any, data: object, loc: Iterable[str | int]) -> Any:
    """The config class that validates what stands at `loc` of `data`."""
    return _walk(root, data, loc)[0]


def keys_at(root: Any, data: object, loc: Iterable[str | int]) -> tuple[str, ...]:
    """The keys of the mapping that is declared at a place, where a config class declares it."""
    owner, annotation = _walk(root, data, loc)
    return tuple(owner.model_fields) if annotation is owner else ()


def _walk(root: Any, data: object, loc: Iterable[str | int]) -> tuple[Any, Any]:
    """The innermost config class on the way to a place, and what is declared at the place."""
    owner = annotation = _selected(root, data)
    for part in loc:
        data = child(data, part)
        if annotation is owner:
            field = owner.model_fields.get(str(part))
            annotation = field.annotation if field else None
        elif get_origin(annotation) in (tuple, Mapping):
            annotation = get_args(annotation)[0 if get_origin(annotation) is tuple else 1]
        annotation = _declared(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            owner = annotation = _selected(annotation, data)
    return owner, annotation


def _declared(annotation: Any) -> Any:
    """The config class or the collection inside an annotation; `auto` stands behind it."""
    is_class = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_class or get_origin(annotation) in (tuple, Mapping):
        return annotation
    found = (_declared(part) for part in get_args(annotation))
    return next((part for part in found if part is not None), None)


def is_of_family(config: Any) -> bool:
    """Whether a class is a family's root or a member of it."""
    return hasattr(config, "members")


def _selected(config: Any, data: object) -> Any:
    """The member of a family that `data` selects; any other class is itself."""
    if not (is_of_family(config) and config is config.root):
        return config
    tag = data if isinstance(data, str) else config.default_type
    if isinstance(data, Mapping):
        tag = data.get("type", tag)
    return config.members.get(str(tag), config)


def entry_at(root: Any, data: object, loc: Loc) -> Loc | None:
    """The innermost entry of a mapping by name that holds the place."""
    for end in range(len(loc), 0, -1):
        if get_origin(_walk(root, data, loc[: end - 1])[1]) is Mapping:
            return loc[:end] if isinstance(at(data, loc[: end - 1]), Mapping) else None
    return None


def options_by_name(root: Any, data: object, prefix: str) -> dict[str, list[str]]:
    """Every option's name, and the paths at which options of that name stand, outermost first."""
    found: dict[str, list[str]] = {}
    waiting = [(prefix, root, data)]
    for path, config, part in waiting:
        owner = _selected(config, part)
        names: Iterable[str] = owner.model_fields
        if is_of_family(owner) and owner is owner.root:  # `auto`: any member's
            names = sorted(owner.options())
        for name in names:
            place = join_path(path, (name,))
            found.setdefault(name, []).append(place)
            field = owner.model_fields.get(name)
            inner = _declared(field.annotation) if field else None
            if isinstance(inner, type):
                waiting.append((place, inner, child(part, name)))
    found.pop("type", None)
    return found


def described(owner: Any) -> str:
    """A config class for people: "encoder `mlp`", "the convolution"."""
    if is_of_family(owner):
        if owner is owner.root:
            return f"the {owner.family}"
        return f"{owner.family} `{owner.model_fields['type'].default}`"
    name = re.sub(r"Config$|\dd$", "", owner.__name__)
    return "the" + re.sub(r"[A-Z]", lambda letter: f" {letter[0].lower()}", name)


def choice_of(path: str) -> str:
    """What is typed to choose a part: the group where there is one, else the path."""
    return path.replace(".", "/") if path.count(".") == 1 else path
