"""What a user's file says, and YAML or Hydra takes otherwise without a word."""

import re
from collections.abc import Iterator, Mapping

import yaml

from composer.errors import Problem, line_to_type, shown
from composer.loading.defaults import HEADER, no_mapping
from composer.loading.naming import is_name
from composer.loading.origins import MISSING, Origins, Source, Statement
from composer.loading.paths import dotted, nested
from composer.loading.refusals import at


def silences(data: Mapping[str, object], origins: Origins) -> Iterator[Problem]:
    """Every such problem of the user's files.

    Args:
        data: What was composed, interpolations not resolved.
        origins: Where the values come from.
    """
    for index, source in enumerate(origins.sources):
        if not source.file.built_in:
            earlier = origins.sources[:index]
            if problem := no_mapping(source.file):
                yield problem
            elif source.file.root is None and source.package == ("experiment",):
                yield Problem("the file is empty", origin=source.file.place(), fix=HEADER)
            for said in source.statements():
                yield from _keys(said, source, origins)
                yield from _numbers(said, source, origins)
                yield from _dropped(said, source, earlier, data, origins)


def _keys(said: Statement, source: Source, origins: Origins) -> Iterator[Problem]:
    """A key that is written as a word of the command line, or as a line of a defaults list."""
    if not isinstance(said.key, yaml.ScalarNode) or said.key is said.value or said.key.style:
        return
    key, value = said.key.value, source.file.excerpt(said.value)
    group = key.removeprefix("override ").strip("/ ")
    if key.startswith("override ") or ("/" in key and origins.chosen(group)):
        message = f"`{key}` is no key; a file chooses an option of a group in its `defaults`"
        fix = f"defaults: [override /{group}: {value}]"
    elif re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", key):
        message = f"a key of a file is one name: write `{key}` nested, or in quotes if it is a name"
        fix = nested(tuple(key.split(".")), value)
    elif ":" in key:
        message, fix = f"`{key}` is one key: the colon after a key is followed by a space", None
    elif not source.file.text[said.key.end_mark.index :].lstrip().startswith(":"):
        rule = "inside { } a comma begins another key; a list is written [1, 2]"
        message, fix = f"`{key}` has no value: {rule}", None
    else:
        return
    yield Problem(message, dotted(said.path), value, origins.place(source, said.key), fix=fix)


_NOT_DECIMAL = {
    "an octal number": re.compile(r"[-+]?0[0-7_]+"),
    "hours, minutes and seconds": re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
}


def _numbers(said: Statement, source: Source, origins: Origins) -> Iterator[Problem]:
    """`010`, which YAML reads as 8, and `1:30`, which it reads as 90."""
    node = said.value
    is_number = node.tag.endswith((":int", ":float"))
    if not isinstance(node, yaml.ScalarNode) or not is_number:
        return
    for kind, pattern in _NOT_DECIMAL.items():
        if pattern.fullmatch(node.value):
            number = yaml.safe_load(node.value)
            plain = node.value.replace("_", "").lstrip("+0") or "0"
            meant = f"{plain}, or {number}" if plain.isdigit() else str(number)
            yield Problem(
                f"YAML reads `{node.value}` as {kind}, {number}: write {meant}, or quote it if it "
                "is text",
                dotted(said.path),
                node.value,
                origins.place(source, said.key),
            )


def _dropped(
    said: Statement,
    source: Source,
    earlier: tuple[Source, ...],
    data: Mapping[str, object],
    origins: Origins,
) -> Iterator[Problem]:
    """`{}` and `???`, which leave what an earlier file says as it is; fields of a part that an
    earlier file names, which leave its name out.
    """
    path, stands = dotted(said.path), at(data, said.path)
    if isinstance(said.value, yaml.ScalarNode) and said.value.value == MISSING:
        found = None if origins.word(said.path) else origins.written(said.path)
        if found and found.source in earlier:
            yield Problem(
                f"needs a value: what another file gives, {shown(stands)}, does not count",
                path,
                MISSING,
                origins.place(source, said.key),
                fix=f"{path}=…",
            )
    elif isinstance(said.value, yaml.MappingNode) and said.value.value:
        found = next((item for other in reversed(earlier) if (item := other.find(said.path))), None)
        name = found.value.value if found and not found.below else None
        if is_name(name, said.path) and isinstance(stands, Mapping) and "type" not in stands:
            yield Problem(
                f"takes away `{name}`, which another file gives, for a mapping takes the place of "
                "a plain value: say its `type` as well",
                path,
                source.file.excerpt(said.value),
                origins.place(source, said.key),
                fix=nested((*said.path[-1:], "type"), str(name)),
            )
    elif isinstance(said.value, yaml.MappingNode):
        depth = len(said.path)
        is_given = any(
            other.package[:depth] == said.path
            or ((found := other.find(said.path)) and not found.below and found.value.value)
            for other in earlier
        )
        if is_given and isinstance(stands, Mapping) and stands:
            yield Problem(
                f"`{{}}` takes nothing away: {shown(stands)} is given by another file, and stays; "
                "take this line out, or empty it on the command line",
                path,
                {},
                origins.place(source, said.key),
                fix=line_to_type(path, {}),
            )
