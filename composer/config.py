"""What every configuration class shares: strictness, open tagged families, `auto`, and errors
that name the right option.
"""

import builtins
import functools
import importlib
import importlib.metadata
import pkgutil
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    get_args,
    get_origin,
)

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from composer.errors import (
    ConfigError,
    Problem,
    did_you_mean,
    line_to_type,
    nearest,
    nearest_first,
    shown,
)

T = TypeVar("T")


class Config(BaseModel):
    """Base of every configuration: frozen data that accepts what it declares and nothing else."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        polymorphic_serialization=True,
        protected_namespaces=(),
    )

    @classmethod
    def parse(cls, data: object, path: str = "") -> Self:
        """Validates `data`, or raises one ConfigError with every mistake in it.

        Args:
            data: A mapping, or an instance, which is returned as it is.
            path: Where `data` stands in the whole configuration, for the errors.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigError(*problems_of(error, cls, data, path)) from None

    def to_data(self) -> dict[str, Any]:
        """The config as plain JSON data."""
        return self.model_dump(mode="json")

    def altered(self) -> dict[str, Any]:
        """The fields whose values differ from the class's defaults."""
        fields = type(self).model_fields
        return {
            name: getattr(self, name)
            for name in fields
            if name != "type" and getattr(self, name) != fields[name].get_default()
        }


class FrozenDict(dict[str, T]):
    """A mapping that cannot be changed after it is made."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a configuration is frozen")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[type, tuple[dict[str, T]]]:
        return type(self), (dict(self),)


def _tuple_from_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Listed = Annotated[tuple[T, ...], BeforeValidator(_tuple_from_list)]
"""A tuple that YAML writes as a list."""
Frozen = Annotated[Mapping[str, T], AfterValidator(FrozenDict)]
"""A mapping by name that cannot be changed."""
Size = Annotated[int, Field(gt=0)]
"""A positive whole number."""
Steps = Annotated[int, Field(ge=0), BeforeValidator(_integral)]
"""Environment steps; `1e6` is accepted for 1000000."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Family(Config):
    """An open tagged family of configs: a subclass with a literal `type` joins by being defined.

    A root is declared by `class EncoderConfig(Family, family="encoder")`. Validating against the
    root dispatches on `type`; a bare string is short for `{type: …}`. Members that come with
    Composer lie in the root's own package, the file named after the tag, and are imported when
    they are first asked for.
    """

    type: Any = None
    """A string; each member has a `Literal` of its own."""

    family: ClassVar[str] = ""
    default_type: ClassVar[str | None] = None
    members: ClassVar[dict[str, Any]] = {}
    root: ClassVar[Any] = None
    packages: ClassVar[tuple[str, ...]] = ()
    """Names to import that the part needs beside Composer's own."""

    def __new__(cls, **data: object) -> Self:
        """Calling a root makes the member that `type` names."""
        made = cls.member(data.get("type", cls.default_type)) if cls is cls.root else cls
        return object.__new__(made)

    def __init_subclass__(
        cls, *, family: str | None = None, default: str | None = None, **_: object
    ) -> None:
        super().__init_subclass__()
        if family is not None:
            cls.family, cls.default_type, cls.members, cls.root = (
                family,
                default,
                {},
                cls,
            )

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        tag = cls.model_fields["type"].default
        if isinstance(tag, str):
            cls._register(tag)

    @classmethod
    def _register(cls, tag: str) -> None:
        other = cls.members.get(tag)
        home = f"{cls._package()}.{tag}"
        taken_by = (
            f"{other.__module__}.{other.__qualname__}"
            if other is not None
            else home
            if tag in cls._built_in() and not cls.__module__.startswith("composer.")
            else None
        )
        if taken_by not in (None, f"{cls.__module__}.{cls.__qualname__}"):
            raise ConfigError(
                f"{cls.__module__}.{cls.__qualname__} cannot be the {cls.family} `{tag}`: "
                f"{taken_by} has that type already"
            )
        cls.members[tag] = cls

    @classmethod
    def _package(cls) -> str:
        return cls.root.__module__.rpartition(".")[0]

    @classmethod
    @functools.cache
    def _built_in(cls) -> frozenset[str]:
        """The tags whose files stand beside the root's `base.py`."""
        if not cls.root.__module__.endswith(".base"):
            return frozenset()
        package = importlib.import_module(cls._package())
        found = (module.name for module in pkgutil.iter_modules(package.__path__))
        return frozenset(name for name in found if not name.startswith("_")) - {"base"}

    @classmethod
    def tags(cls) -> tuple[str, ...]:
        """All known types, plugins included."""
        load_entry_points()
        for tag in cls._built_in():
            importlib.import_module(f"{cls._package()}.{tag}")
        return tuple(sorted(cls.members))

    @classmethod
    def member(cls, tag: object) -> builtins.type[Self]:
        """The class of a type.

        Raises:
            ConfigError: Where no member has the type; lists the types, the nearest first.
        """
        if isinstance(tag, str):
            if tag not in cls.members and tag in cls._built_in():
                importlib.import_module(f"{cls._package()}.{tag}")
            if tag not in cls.members:
                load_entry_points()
            if tag in cls.members:
                return cls.members[tag]
        raise ConfigError(cls.unknown(tag))

    @classmethod
    def unknown(cls, tag: object) -> Problem:
        """The problem of a type that no member has."""
        tags = cls.tags()
        name = str(tag)
        message = (
            f"no {cls.family} is named; give its `type`"
            if tag is None
            else f"there is no {cls.family} `{shown(tag)}`{did_you_mean(name, tags)}"
        )
        return Problem(message, value=tag, valid=nearest_first(name, tags))

    @classmethod
    def owners(cls, option: str) -> tuple[str, ...]:
        """The types that have a field of this name."""
        return tuple(tag for tag in cls.tags() if option in cls.members[tag].model_fields)

    @classmethod
    def options(cls) -> frozenset[str]:
        """Every field that some member of the family has."""
        return frozenset(name for tag in cls.tags() for name in cls.members[tag].model_fields)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        schema = handler(source)
        if cls is not cls.root:
            return schema
        return core_schema.no_info_wrap_validator_function(cls._dispatch, schema)

    @classmethod
    def _dispatch(cls, value: object, _: object) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            value = {"type": value}
        if not isinstance(value, Mapping):
            raise PydanticCustomError(
                "family",
                "expected the name of {article} {family} or a mapping with its `type`",
                {
                    "article": "an" if cls.family[0] in "aeiou" else "a",
                    "family": cls.family,
                    "valid": cls.tags(),
                },
            )
        try:
            member = cls.member(value.get("type", cls.default_type))
        except ConfigError as error:
            raise _invalid(
                cls.family,
                [("type", error.problems[0].value, error.problems[0])]
                if "type" in value
                else [("", dict(value), error.problems[0])],
            ) from None
        return member.model_validate(value)


class Auto(Config):
    """`auto`: the catalog chooses; further keys are hints that its choice must have."""

    model_config = ConfigDict(extra="allow")

    type: Literal["auto"] = "auto"

    @property
    def hints(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    def brief(self) -> str | dict[str, Any]:
        return {"type": "auto", **self.hints} if self.hints else "auto"


class _AutoOr:
    """Validates a field that may be `auto`: one error per mistake, at the YAML's own path."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        concrete = next(part for part in get_args(source) if part is not Auto)
        inner = handler.generate_schema(concrete)

        def validate(value: object, otherwise: Callable[[object], object]) -> object:
            if isinstance(value, Auto):
                return value
            if value == "auto":
                return Auto()
            if isinstance(value, Mapping) and value.get("type", _default(concrete)) == "auto":
                hints = {key: item for key, item in value.items() if key != "type"}
                _refuse_unknown_hints(concrete, hints)
                return Auto(**hints)
            return otherwise(value)

        def serialize(value: Any, otherwise: Callable[[Any], Any]) -> Any:
            return value.brief() if isinstance(value, Auto) else otherwise(value)

        return core_schema.no_info_wrap_validator_function(
            validate,
            inner,
            serialization=core_schema.wrap_serializer_function_ser_schema(serialize, schema=inner),
        )


def _default(concrete: Any) -> object:
    """What a mapping without `type` means: `auto`, unless the family has a default of its own."""
    is_family = isinstance(concrete, type) and issubclass(concrete, Family)
    return (concrete.default_type or "auto") if is_family else None


AutoOr = Annotated[T | Auto, _AutoOr()]
"""Either `auto`, with hints, or a member of the family."""


def _refuse_unknown_hints(family: Any, hints: Mapping[str, Any]) -> None:
    known = family.options() if isinstance(family, type) and issubclass(family, Family) else set()
    unknown = [key for key in hints if key not in known]
    if unknown:
        name = getattr(family, "family", "auto")
        raise _invalid(
            name,
            [
                (
                    key,
                    hints[key],
                    Problem(
                        f"no {name} has an option `{key}`{did_you_mean(key, known)}",
                        valid=nearest_first(key, known - {"type"}),
                    ),
                )
                for key in unknown
            ],
            unknown_keys=True,
        )


def _invalid(
    title: str, errors: list[tuple[str, object, Problem]], *, unknown_keys: bool = False
) -> ValidationError:
    """A pydantic error that carries whole problems through to `problems_of`."""
    return ValidationError.from_exception_data(
        title,
        [
            InitErrorDetails(
                type=PydanticCustomError(
                    "problem",
                    "{message}",
                    {
                        "message": problem.message,
                        "valid": problem.valid,
                        "unknown_key": unknown_keys,
                    },
                ),
                loc=(key,) if key else (),
                input=value,
            )
            for key, value, problem in errors
        ],
    )


def invalid_value(message: str, valid: Iterable[str] = ()) -> PydanticCustomError:
    """What a field's validator raises: a message, and the names that would have been right."""
    return PydanticCustomError("problem", "{message}", {"message": message, "valid": tuple(valid)})


@functools.cache
def load_entry_points() -> None:
    """Imports the installed plugins (entry-point group `composer.plugins`), once."""
    for point in importlib.metadata.entry_points(group="composer.plugins"):
        try:
            point.load()
        except Exception as error:  # a plugin may raise anything while it is imported
            raise ConfigError(
                f"the installed plugin `{point.name}` ({point.value}) cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error


def problems_of(
    error: ValidationError, root: type[Config], data: object, path: str = ""
) -> list[Problem]:
    """One problem for each of pydantic's errors, in the words of the YAML."""
    return [_problem(details, root, data, path) for details in error.errors()]


def _problem(details: Any, root: type[Config], data: object, prefix: str) -> Problem:
    loc = details["loc"]
    path = join_path(prefix, loc)
    context = details.get("ctx", {})
    value = details["input"]
    if details["type"] == "extra_forbidden":
        owner = config_at(root, data, loc[:-1])
        return _unknown_key(owner, str(loc[-1]), path, value, _places(root, data, prefix))
    if details["type"] == "missing":
        owner = config_at(root, data, loc[:-1])
        return Problem(
            f"{_described(owner)} needs `{loc[-1]}`, which is not given",
            path=path,
            value="???",
            fix=f"{path}=…",
        )
    if details["type"] == "problem":
        message, valid = context["message"], tuple(context.get("valid", ()))
    elif details["type"] == "literal_error":
        valid = tuple(
            part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")
        )
        message = f"`{shown(value)}` is none of the choices{did_you_mean(str(value), valid)}"
    else:
        message, valid = _in_yaml_words(details["msg"]), ()
        if details["type"].endswith("_type"):
            message += f", not {_kind(value)}"
    close = nearest(str(value), valid) if isinstance(value, str) else None
    fix = line_to_type(path, close) if close else None
    if close and loc[-1] == "type" and loc[-2:-1] == (value,):  # named by its key alone
        named = functools.reduce(_child, loc[:-1], data)
        fix = line_to_type(join_path(prefix, (*loc[:-2], close)), named or {})
    fix = fix or _converted(details["type"], path, value)
    if context.get("unknown_key") and (right := nearest(str(loc[-1]), valid)):
        fix = line_to_type(join_path(prefix, (*loc[:-1], right)), value)
    return Problem(
        message,
        path=path,
        value=value,
        valid=valid if details["type"] == "problem" else nearest_first(str(value), valid),
        fix=fix,
    )


def _converted(kind: str, path: str, value: object) -> str | None:
    """The line with the value as the kind that is wanted, where that is plain."""
    if kind == "tuple_type" and isinstance(value, str | int | float):
        items = re.findall(r"[^\s,()\[\]{}]+", str(value))
        return line_to_type(path, [int(i) if i.isdecimal() else i for i in items])
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return line_to_type(path, int(value))
    pattern = {"int_type": _INTEGER, "float_type": _NUMBER}.get(kind)
    is_number = isinstance(value, str) and pattern and pattern.fullmatch(value)
    return f"{path}={value}" if is_number else None


_INTEGER = re.compile(r"-?[1-9][0-9]*|0")
_NUMBER = re.compile(r"[-+]?([1-9][0-9]*|0)(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def _in_yaml_words(message: str) -> str:
    message = message.replace("Input should", "the value should")
    message = message.replace("a valid tuple", "a list")
    return re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", message)


def _unknown_key(
    owner: type[Config], key: str, path: str, value: object, places: Mapping[str, list[str]]
) -> Problem:
    """The problem of a key that `owner` lacks; `places` says where options of each name stand."""
    names = [name for name in owner.model_fields if name != "type"]
    others = (
        [tag for tag in owner.root.owners(key) if owner.members[tag] is not owner]
        if issubclass(owner, Family)
        else []
    )
    if others and issubclass(owner, Family):
        tag = owner.model_fields["type"].default
        message = f"`{key}` belongs to {owner.family} {_either(others)}, but `{tag}` is selected"
        return Problem(message, path=path, value=value, valid=tuple(sorted(names)))
    close, other = nearest(key, names), nearest(key, places, closeness=0.75)
    if close and key not in places and nearest(key, filter(None, (other, close))) == close:
        meant, right, elsewhere = close, f"{path.removesuffix(key)}{close}", []
    else:
        elsewhere = places.get(key) or places.get(other or "", [])
        meant = right = elsewhere[0] if elsewhere else None
    return Problem(
        f"{_described(owner)} has no option `{key}`{f'; did you mean `{meant}`?' if meant else ''}",
        path=path,
        value=value,
        valid=(*elsewhere, *nearest_first(key, names)),
        fix=line_to_type(right, value) if right else None,
    )


def _places(root: type[Config], data: object, prefix: str) -> dict[str, list[str]]:
    """Every option's name, and where options of that name stand, the outermost first."""
    found: dict[str, list[str]] = {}
    waiting = [(prefix, root, data)]
    for path, config, part in waiting:
        owner = _selected(config, part)
        names: Iterable[str] = owner.model_fields
        if issubclass(owner, Family) and owner is owner.root:  # `auto`: any member's
            names = sorted(owner.options())
        for name in names:
            place = join_path(path, (name,))
            found.setdefault(name, []).append(place)
            field = owner.model_fields.get(name)
            inner = _declared(field.annotation) if field else None
            if isinstance(inner, type):
                waiting.append((place, inner, _child(part, name)))
    found.pop("type", None)
    return found


def _described(owner: type[Config]) -> str:
    if issubclass(owner, Family) and owner is not owner.root:
        return f"{owner.family} `{owner.model_fields['type'].default}`"
    return (
        "the "
        + "".join(
            f" {letter.lower()}" if letter.isupper() else letter
            for letter in owner.__name__.removesuffix("Config")
        ).strip()
    )


def _either(tags: list[str]) -> str:
    quoted = [f"`{tag}`" for tag in tags]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


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


def join_path(prefix: str, loc: Iterable[str | int]) -> str:
    """`("model", "encoder", "hidden", 0)` as `model.encoder.hidden[0]`."""
    path = prefix
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def config_at(root: type[Config], data: object, loc: Iterable[str | int]) -> type[Config]:
    """The config class that validates what stands at `loc` of `data`."""
    owner: type[Config] = _selected(root, data)
    annotation: Any = owner
    for part in loc:
        data = _child(data, part)
        if annotation is owner:
            field = owner.model_fields.get(str(part))
            annotation = field.annotation if field else None
        elif get_origin(annotation) in (tuple, Mapping):
            annotation = get_args(annotation)[0 if get_origin(annotation) is tuple else 1]
        annotation = _declared(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Config):
            owner = annotation = _selected(annotation, data)
    return owner


def _child(data: object, part: str | int) -> object:
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
        return data[part]
    return getattr(data, str(part), None)


def _declared(annotation: Any) -> Any:
    """The config class or the collection inside an annotation, without `Annotated` and `auto`."""
    if get_origin(annotation) in (tuple, Mapping):
        return annotation
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return None if annotation is Auto else annotation
    found = (_declared(part) for part in get_args(annotation))
    return next((part for part in found if part is not None), None)


def _selected(config: type[Config], data: object) -> type[Config]:
    """The member of a family that `data` selects; any other class is itself."""
    if not (issubclass(config, Family) and config is config.root):
        return config
    tag = data if isinstance(data, str) else config.default_type
    if isinstance(data, Mapping):
        tag = data.get("type", tag)
    return config.members.get(str(tag), config)
