"""Pydantic's errors as problems: in the words of the YAML, each with a line to type."""

import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from composer.errors import Problem, did_you_mean, nearest, nearest_first, shown
from composer.fixes import (
    Wrong,
    entry_line,
    errors_at,
    line,
    nearest_numbers,
    other_forms,
    reachable,
    replaced,
)
from composer.places import (
    Loc,
    at,
    config_at,
    described,
    entry_at,
    is_of_family,
    join_path,
    keys_at,
    options_by_name,
    stem_of,
)


def invalid_value(
    message: str, valid: Iterable[str] = (), meant: Iterable[object] = ()
) -> PydanticCustomError:
    """What a field's validator raises.

    Args:
        message: What is wrong.
        valid: The names that would have been right.
        meant: Values that may have been meant, the likeliest first.
    """
    context = {"message": message, "valid": tuple(valid), "meant": tuple(meant)}
    return PydanticCustomError("problem", "{message}", context)


def invalid_keys(
    *errors: tuple[str, object, Problem], kind: str = "value", meant: Iterable[object] = ()
) -> ValidationError:
    """What a validator of a whole mapping raises: for each wrong key its value and a problem.

    Args:
        errors: The key, empty for the mapping itself; its value; what is wrong with it.
        kind: `value`, `unknown` where no such key exists, `unnamed` where a type is missing.
        meant: Values that may have been meant, the likeliest first.
    """
    return ValidationError.from_exception_data(
        "problem",
        [
            InitErrorDetails(
                type=PydanticCustomError(
                    "problem",
                    "{message}",
                    {
                        "message": problem.message,
                        "valid": problem.valid,
                        "fix": problem.fix,
                        "kind": kind,
                        "meant": tuple(meant),
                    },
                ),
                loc=(key,) if key else (),
                input=value,
            )
            for key, value, problem in errors
        ],
    )


def either(tags: Sequence[str]) -> str:
    """Names to choose from: "`a`, `b` or `c`"."""
    quoted = [f"`{tag}`" for tag in tags]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def problems_of(error: ValidationError, root: Any, data: object, path: str = "") -> list[Problem]:
    """One problem for each mistake, in the words of the YAML.

    Args:
        error: What validating the data raised.
        root: The config class that did.
        data: What was validated.
        path: Where the data stands in the whole configuration.
    """
    misnamed: dict[Loc, Problem] = {}
    problems: list[Problem] = []
    for details in error.errors():
        wrong = Wrong(root, data, details["loc"], details["input"], path)
        entry, problem = _misnamed_entry(details, wrong)
        if problem is None:
            problem = _problem(details, wrong)
            fix = reachable(problem.fix, path, wrong.loc)
            problems.append(replace(problem, fix=fix))
        elif entry not in misnamed:
            misnamed[entry] = problem
            problems.append(problem)
    return problems


def _problem(details: Any, wrong: Wrong) -> Problem:
    loc, value, context = wrong.loc, wrong.value, details.get("ctx", {})
    path = join_path(wrong.prefix, loc)
    if details["type"] == "extra_forbidden":
        return _unknown_key(config_at(wrong.root, wrong.data, loc[:-1]), wrong)
    if details["type"] == "missing":
        owner = config_at(wrong.root, wrong.data, loc[:-1])
        message = f"{described(owner)} needs `{loc[-1]}`, which is not given"
        fix = f"{path}=…" if stem_of(loc) == loc else wrong.fix(_outer_default(wrong))
        return Problem(message, path=path, value="???", fix=fix)
    valid = tuple(context.get("valid", ()))
    if details["type"] == "problem":
        message = context["message"]
    elif details["type"] == "literal_error":
        expected = context["expected"].replace(" or ", ", ").split(", ")
        names = tuple(part.strip("'") for part in expected)
        valid = nearest_first(str(value), names)
        message = f"`{shown(value)}` is none of the choices{did_you_mean(str(value), names)}"
    else:
        message = _in_yaml_words(details["msg"])
        if details["type"].endswith("_type"):
            message += f", not {_kind(value)}"
            valid = keys_at(wrong.root, wrong.data, loc)
    kind = context.get("kind")
    if kind == "unknown":
        owner = config_at(wrong.root, wrong.data, loc[:-1])
        is_child = told_child(owner, str(loc[-1]), value)
        fix = _child_line(wrong) if is_child else _renamed(wrong, nearest(str(loc[-1]), valid))
    elif kind == "unnamed":
        fix = wrong.fix(((*loc, "type"), tag) for tag in valid)
    elif context.get("fix"):
        fix = context["fix"]
    else:
        close = nearest(value, valid) if isinstance(value, str) else None
        fix = wrong.fix([(loc, close)], meant=True) if close else None
        fix = fix or wrong.fix(_candidates(wrong, valid, context)) or _to_give(wrong)
    return Problem(message, path=path, value=value, valid=valid, fix=fix)


def _candidates(
    wrong: Wrong, valid: Iterable[str], context: Mapping[str, Any]
) -> Iterator[tuple[Loc, object]]:
    """Places and values that may be right instead, the likeliest first."""
    loc, value = wrong.loc, wrong.value
    yield from ((loc, form) for form in context.get("meant", ()))
    yield from ((loc, form) for form in other_forms(value))
    yield from _default(wrong, loc)
    yield from ((loc, number) for number in nearest_numbers(value, context))
    yield from _default_type(wrong)
    key = loc[-1] if loc else None  # a part whose type is its name
    yield from ((loc, name) for name in sorted(valid, key=lambda name: name != key))
    yield from _outer_default(wrong)
    if isinstance(value, int | float):
        yield loc, str(value)


def _default(wrong: Wrong, loc: Loc) -> Iterator[tuple[Loc, object]]:
    """What a field is where nothing is said."""
    owner = config_at(wrong.root, wrong.data, loc[:-1])
    field = owner.model_fields.get(str(loc[-1])) if loc else None
    if field is not None and not field.is_required():
        yield loc, _plain(field.get_default(call_default_factory=True))


def _default_type(wrong: Wrong) -> Iterator[tuple[Loc, object]]:
    """The type that a part has where nothing is said."""
    for loc, default in _outer_default(wrong):
        if wrong.loc == (*loc, "type") and isinstance(default, Mapping):
            yield wrong.loc, default["type"]


def _to_give(wrong: Wrong) -> str | None:
    """`path=…`, for what must be given and was given wrongly."""
    owner = config_at(wrong.root, wrong.data, wrong.loc[:-1])
    field = owner.model_fields.get(str(wrong.loc[-1])) if wrong.loc else None
    is_needed = field is not None and field.is_required() and stem_of(wrong.loc) == wrong.loc
    return f"{join_path(wrong.prefix, wrong.loc)}=…" if is_needed else None


def _outer_default(wrong: Wrong) -> Iterator[tuple[Loc, object]]:
    """The default of the nearest field that holds the value and has one."""
    outer = (_default(wrong, wrong.loc[:end]) for end in range(len(wrong.loc) - 1, 0, -1))
    found = next((item for default in outer for item in default), None)
    if found is not None and found[1] != {}:
        yield found


def _plain(value: object) -> object:
    """A default as YAML would have it."""
    if isinstance(value, BaseModel):
        said = {"type", *value.model_dump(exclude_defaults=True)}
        return {key: item for key, item in value.model_dump(mode="json").items() if key in said}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _renamed(wrong: Wrong, name: str | None) -> str | None:
    """The line that gives the value to the key of another name, mended where it is wrong too."""
    if name is None:
        return None
    owner = config_at(wrong.root, wrong.data, wrong.loc[:-1])
    if is_of_family(owner) and owner is owner.root:  # `auto`: any member that has the option
        key, prefix = wrong.loc[-1], join_path(wrong.prefix, wrong.loc[:-1])
        member = owner.members[owner.owners(name)[0]]
        wrong = Wrong(member, {key: wrong.value}, (key,), wrong.value, prefix)
    loc, data = (*wrong.loc[:-1], name), at(wrong.data, wrong.loc[:-1])
    if isinstance(wrong.value, Mapping) and wrong.value and stem_of(loc) == loc:
        return entry_line(join_path(wrong.prefix, loc), wrong.value)
    try:
        renamed = {name if key == wrong.loc[-1] else key: data[key] for key in data}
        changed = replaced(wrong.data, loc[:-1], renamed)
    except (LookupError, TypeError):  # the owner is no plain data
        return line(join_path(wrong.prefix, loc), wrong.value)
    left = errors_at(wrong.root, changed, loc)
    if not left:
        return wrong.line(changed, loc)
    below = left[0]
    inner = Wrong(wrong.root, changed, below["loc"], below["input"], wrong.prefix)
    return _problem(below, inner).fix or line(join_path(wrong.prefix, loc), wrong.value)


def _in_yaml_words(message: str) -> str:
    message = message.replace("Input should", "the value should")
    message = message.replace("a valid tuple", "a list")
    message = message.replace(
        "Keys should be strings", "a key should be text, in quotes if need be"
    )
    return re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", message)


def told_child(owner: Any, key: str, value: object) -> str:
    """What is said of an unknown key that is a child's, for the value is a part; or nothing."""
    if not is_of_family(owner):
        return ""
    known = owner.options() if owner is owner.root else owner.model_fields
    is_child = "children" in known and _is_part(owner.root, value)
    return f"; a child is set below `children`, as `children.{key}`" if is_child else ""


def _is_part(family: Any, value: object) -> bool:
    """Whether a value names a part or says its fields, or those of a part inside."""
    if isinstance(value, Mapping):
        known = {*family.options(), "type"}
        items = value.items()
        return bool(value) and all(key in known or _is_part(family, item) for key, item in items)
    return isinstance(value, str) and nearest(value, family.tags(), closeness=0.75) is not None


def _child_line(wrong: Wrong) -> str:
    """The line that sets a child, or the first thing that is said of it, below `children`."""
    family = config_at(wrong.root, wrong.data, wrong.loc[:-1]).root
    path, value = (*wrong.loc[:-1], "children", wrong.loc[-1]), wrong.value
    while isinstance(value, Mapping) and (key := next(iter(value))) not in family.options():
        path, value = (*path, "children", key), value[key]
    if isinstance(value, str):
        value = nearest(value, family.tags())
    return entry_line(join_path(wrong.prefix, path), value)


def _unknown_key(owner: Any, wrong: Wrong) -> Problem:
    key, path = str(wrong.loc[-1]), join_path(wrong.prefix, wrong.loc)
    names = [name for name in owner.model_fields if name != "type"]
    if told := told_child(owner, key, wrong.value):
        message = f"{described(owner)} has no option `{key}`{told}"
        return Problem(message, path, wrong.value, valid=tuple(names), fix=_child_line(wrong))
    if not names and (above := stem_of(wrong.loc[:-1])) == wrong.loc[:-1]:
        tag = owner.model_fields["type"].default
        fix = line(join_path(wrong.prefix, above), tag) if above else None
        return Problem(f"{described(owner)} has no options", path, wrong.value, fix=fix)
    others = (
        [tag for tag in owner.root.owners(key) if owner.members[tag] is not owner]
        if is_of_family(owner)
        else []
    )
    if others:
        tag = owner.model_fields["type"].default
        return Problem(
            f"`{key}` belongs to {owner.family} {either(others)}, but `{tag}` is selected",
            path=path,
            value=wrong.value,
            valid=tuple(sorted(names)),
            fix=f"{path.rpartition('.')[0]}={others[0]}" if "." in path else None,
        )
    close, elsewhere = nearest(key, names), _elsewhere(key, names, wrong)
    meant = elsewhere[0] if elsewhere else close
    return Problem(
        f"{described(owner)} has no option `{key}`" + (f"; did you mean `{meant}`?" * bool(meant)),
        path=path,
        value=wrong.value,
        valid=(*elsewhere, *nearest_first(key, names)),
        fix=line(elsewhere[0], wrong.value) if elsewhere else _renamed(wrong, close),
    )


def _elsewhere(key: str, names: Iterable[str], wrong: Wrong) -> list[str]:
    """The paths of options that the key names, or nearly, better than one of `names` does; those
    below what lacks it first. A key of a list's element is meant where it is.
    """
    if stem_of(wrong.loc) != wrong.loc:
        return []
    places = options_by_name(wrong.root, wrong.data, wrong.prefix)
    owner, holder = config_at(wrong.root, wrong.data, wrong.loc[:-1]), wrong.loc[:-1]
    below = options_by_name(owner, at(wrong.data, holder), join_path(wrong.prefix, holder))
    for name, paths in below.items():
        places[name] = list(dict.fromkeys((*paths, *places.get(name, ()))))
    close, other = nearest(key, names), nearest(key, places, closeness=0.75)
    if close and key not in places and nearest(key, filter(None, (other, close))) == close:
        return []
    return places.get(key) or places.get(other or "", [])


def _misnamed_entry(details: Any, wrong: Wrong) -> tuple[Loc, Problem | None]:
    """The problem of an entry of a mapping by name that lacks what it needs, but nearly has the
    name of another one: `catalog.observation.vectr`.
    """
    loc, context = wrong.loc, details.get("ctx", {})
    entry = entry_at(wrong.root, wrong.data, loc)
    if entry is None:
        return loc, None
    key, siblings = str(entry[-1]), at(wrong.data, entry[:-1])
    if details["type"] == "missing":
        names = set(siblings) - {key}
        needs = f"\na new one needs `{loc[-1]}`"
    elif context.get("kind") == "unnamed":
        names, needs = set(siblings) - {key}, ""
    elif loc == (*entry, "type") and _is_untyped(siblings[key]):  # its name was taken for one
        names, needs = set(context.get("valid", ())), ""
    else:
        return loc, None
    right = nearest(key, names)
    if right is None:
        return loc, None
    what = described(config_at(wrong.root, wrong.data, entry)).removeprefix("the ")
    return entry, Problem(
        f"there is no {what} `{key}`; did you mean `{right}`?{needs}",
        path=join_path(wrong.prefix, entry),
        value=siblings[key],
        valid=nearest_first(key, names),
        fix=entry_line(join_path(wrong.prefix, (*entry[:-1], right)), siblings[key]),
    )


def _is_untyped(entry: object) -> bool:
    return isinstance(entry, Mapping) and "type" not in entry


def _kind(value: object) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        tuple: "a list",
        str: "a string",
        bool: "a boolean",
    }
    names |= {int: "an integer", float: "a number", types.NoneType: "null"}
    return names.get(type(value), type(value).__name__)
