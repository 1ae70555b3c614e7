"""JSON Schema of the YAML files: an experiment's, and those of each group.

By it editors complete and check what is written. What the loader accepts is valid, save for odd
spellings; as files are merged, none of them needs any key.
"""

import ast
import functools
import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from composer.config import AUTO, FAMILY, Config, Family
from composer.errors import Problem, UsageError, did_you_mean, nearest, nearest_first
from composer.experiment import ExperimentConfig
from composer.loading.files import ConfigFiles
from composer.places import config_at

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXPERIMENT = "experiment"
INTERPOLATION = "interpolation"
DEFS = "#/$defs/"
VALIDATION: JsonSchemaMode = "validation"
KEYWORDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
"""Of a bound upon a type that is validated by a function, pydantic writes its own name."""
OF_ARRAYS = {"minLength": "minItems", "maxLength": "maxItems"}

Schema = dict[str, Any]


def schema_names() -> tuple[str, ...]:
    """What there is a schema of: `experiment`, and each group that describes a part of one."""
    parts = ExperimentConfig.model_fields
    return (EXPERIMENT, *(name for name in ConfigFiles().base if name.split("/")[0] in parts))


def json_schema(name: str = EXPERIMENT, files: ConfigFiles | None = None) -> Schema:
    """The schema of a file, with every plugin that is imported or installed.

    Args:
        name: `experiment`, or a group as `conf/` has it: `catalog`, `model/encoder`.
        files: Where the options are that a defaults list may name; Composer's own by default.

    Raises:
        UsageError: If there is no schema of the name.
    """
    if name not in schema_names():
        close = nearest(name, schema_names()) or EXPERIMENT
        raise UsageError(
            Problem(
                f"there is no schema of `{name}`{did_you_mean(name, schema_names())}",
                valid=nearest_first(name, schema_names()),
                fix=f"composer schema {close}",
            )
        )
    families = _families()
    contents = {name: _content(name)} | {
        root.members[tag]: root.members[tag] for root in families for tag in root.tags()
    }
    generated = TypeAdapter.json_schemas(
        [(key, VALIDATION, TypeAdapter(content)) for key, content in contents.items()],
        schema_generator=_Generator,
    )
    made = {key: _plain(schema) for (key, _), schema in generated[0].items()}
    definitions: Schema = {key: _plain(item) for key, item in generated[1]["$defs"].items()}
    for root in families:
        options = [made[root.members[tag]] for tag in root.tags()]
        definitions[root.family] = {
            "description": inspect.cleandoc(root.__doc__ or ""),
            "anyOf": [{"enum": list(root.tags())}, *options],
        }
        definitions[f"auto_{root.family}"] = _auto(
            definitions[option["$ref"].removeprefix(DEFS)] for option in options
        )
    definitions["auto"] = _auto(())
    definitions[INTERPOLATION] = {
        "type": "string",
        "pattern": r"\$\{|^\?\?\?$",
        "description": "`${key}` is the value of another key; `???` must be given by someone else.",
    }
    added = {"defaults": _defaults(files or ConfigFiles())} | (
        {"hydra": {"type": "object"}} if name == EXPERIMENT else {}
    )
    top = _file(made[name], added, definitions)
    return {
        "$schema": DIALECT,
        "title": f"Composer: {name}",
        **top,
        "$defs": {key: definitions[key] for key in sorted(_reached(top, definitions))},
    }


def _families() -> list[Any]:
    """All of them; importing the members of one may bring another."""
    found: list[Any] = []
    while new := [r for r in Family.__subclasses__() if r is r.root and r not in found]:
        for root in new:
            root.tags()
        found += new
    return found


def _content(name: str) -> Any:
    """The type of what a file holds."""
    if name == EXPERIMENT:
        return ExperimentConfig
    *above, key = name.split("/")
    return config_at(ExperimentConfig, {}, above).model_fields[key].rebuild_annotation()


class _Generator(GenerateJsonSchema):
    """Describes fields by the docstrings below them, and passes over what has no schema."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        made = super().model_schema(schema)
        described = described_fields(schema["cls"])
        for name, option in made.get("properties", {}).items():
            if name in described:
                option.setdefault("description", described[name])
        return made

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        return {}


def described_fields(config: type) -> dict[str, str]:
    """The docstrings below a class's fields, those it inherits included."""
    found: dict[str, str] = {}
    for owner in reversed(config.__mro__):
        if issubclass(owner, Config) and owner is not Family:
            found |= _docstrings(owner.__module__).get(owner.__qualname__, {})
    return found


@functools.cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """Class → field → docstring, for the classes of a module; empty without its source."""
    try:
        body = ast.parse(inspect.getsource(sys.modules[module])).body
    except OSError:
        return {}
    return {
        node.name: {
            field.target.id: inspect.cleandoc(text.value.value)
            for field, text in zip(node.body, node.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        }
        for node in body
        if isinstance(node, ast.ClassDef)
    }


def _plain(schema: Any) -> Any:
    """Without titles, needed keys and long defaults; families by reference."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if FAMILY in schema:
        schema = {"$ref": f"{DEFS}{schema[FAMILY]}"} | {
            key: value for key, value in schema.items() if key != FAMILY
        }
    if AUTO in schema:
        return {"$ref": f"{DEFS}auto_{schema[AUTO]}".rstrip("_")}
    keywords = KEYWORDS | (OF_ARRAYS if schema.get("type") == "array" else {})
    return {
        keywords.get(key, key): {name: _option(option) for name, option in value.items()}
        if key == "properties"
        else _plain(value)
        for key, value in schema.items()
        if key not in ("title", "required")
        and not (key == "default" and isinstance(value, Mapping | None))
    }


def _option(option: Schema) -> Schema:
    """What a key takes: its value, or an interpolation."""
    plain = _plain(option)
    about = {key: plain.pop(key) for key in ("description", "default") if key in plain}
    choices = plain["anyOf"] if plain.keys() == {"anyOf"} else [plain]
    return {**about, "anyOf": [*choices, {"$ref": f"{DEFS}{INTERPOLATION}"}]}


def _auto(members: Iterable[Schema]) -> Schema:
    """`auto`, with any option of any member as a hint."""
    hints: dict[str, list[Schema]] = {}
    for member in members:
        for name, option in member["properties"].items():
            if option not in hints.setdefault(name, []):
                hints[name].append(option)
    properties = {
        name: options[0] if len(options) == 1 else {"anyOf": options}
        for name, options in hints.items()
    }
    return {
        "description": "The catalog chooses; what else is said here, its choice must have.",
        "anyOf": [
            {"const": "auto"},
            {
                "type": "object",
                "properties": {**properties, "type": {"const": "auto"}},
                "additionalProperties": False,
            },
        ],
    }


def _file(content: Schema, added: Schema, definitions: Schema) -> Schema:
    """The schema of a file: a mapping, with further keys that only a file has."""
    while content.keys() == {"$ref"}:
        content = definitions[content["$ref"].removeprefix(DEFS)]
    if "anyOf" in content:
        parts = [_file(part, added, definitions) for part in content["anyOf"]]
        return {**content, "anyOf": [part for part in parts if "enum" not in part]}
    return {**content, "properties": {**added, **content.get("properties", {})}}


def _defaults(files: ConfigFiles) -> Schema:
    """The schema of a defaults list, which names the options there are and allows others."""
    chosen = {
        f"override /{group}": {
            "anyOf": [{"enum": list(files.options(group))}, {"type": ["string", "null", "array"]}]
        }
        for group in files.base
        if not group.startswith("hydra/") and files.options(group)
    }
    return {
        "description": "Other files, by group and option, merged in this order.",
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, {"type": "object", "properties": chosen}]},
    }


def _reached(schema: Any, definitions: Schema) -> set[str]:
    """The definitions that a schema leads to."""
    found: set[str] = set()
    left = [schema]
    while left:
        part = left.pop()
        if isinstance(part, list):
            left.extend(part)
        elif isinstance(part, dict):
            left.extend(part.values())
            name = str(part.get("$ref", "")).removeprefix(DEFS)
            if name and name not in found:
                found.add(name)
                left.append(definitions[name])
    return found
