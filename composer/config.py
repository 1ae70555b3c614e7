"""What every configuration class shares: strictness, open tagged families, `auto`, and errors
that name the right option.
"""

import builtins
import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable, Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    get_args,
)

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from composer.errors import ConfigError, Problem, did_you_mean, nearest, nearest_first, shown
from composer.incomplete import lacking, place_of
from composer.problems import invalid_keys, problems_of, told_child
from composer.problems import invalid_value as invalid_value

T = TypeVar("T")

FAMILY, AUTO = "x-family", "x-auto"
"""Keywords that `composer.schema` replaces by the members of a family, and by `auto` for them."""


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

    if not TYPE_CHECKING:  # where a checker reads the fields instead

        def __init__(self, /, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise ConfigError(*problems_of(error, type(self), data)) from None

        __init__.__pydantic_base_init__ = True  # validating makes an instance without it

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """What is given of a part in part is, in the rest, as the field's default has it."""
        if not isinstance(data, Mapping):
            return data
        defaults = cls._default_parts()
        whole = {name: _whole(defaults[name], data[name]) for name in defaults if name in data}
        return {**data, **whole} if whole else data

    @classmethod
    @functools.cache
    def _default_parts(cls) -> dict[str, "Config"]:
        """The defaults that are configs themselves, by the field's name."""
        fields = cls.model_fields.items()
        return {name: item.default for name, item in fields if isinstance(item.default, Config)}

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
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


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
    packages_extra: ClassVar[str | None] = None
    """The extra of rl-composer that brings them; None where they are installed by their names."""

    def __new__(cls, **data: object) -> Self:
        """Calling a root makes the member that `type` names."""
        made = cls.member(data.get("type", cls.default_type)) if cls is cls.root else cls.whole()
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
        """All types that can be chosen, plugins included."""
        load_entry_points()
        for tag in cls._built_in():
            importlib.import_module(f"{cls._package()}.{tag}")
        return tuple(sorted(tag for tag, member in cls.members.items() if not member.lacks()))

    @classmethod
    @functools.cache
    def lacks(cls) -> str | None:
        """What the member lacks of what its family asks for, in words; None where nothing."""
        return lacking(cls)

    @classmethod
    def member(cls, tag: object) -> builtins.type[Self]:
        """The class of a type.

        Raises:
            ConfigError: Where no member has the type; lists the types, the nearest first. Where the
                member is not whole; names what it lacks.
        """
        if isinstance(tag, str):
            if tag not in cls.members and tag in cls._built_in():
                importlib.import_module(f"{cls._package()}.{tag}")
            if tag not in cls.members:
                load_entry_points()
            if tag in cls.members:
                return cls.members[tag].whole()
        raise ConfigError(cls.unknown(tag))

    @classmethod
    def whole(cls) -> builtins.type[Self]:
        """The class itself.

        Raises:
            ConfigError: Where it lacks what its family asks for.
        """
        if lacks := cls.lacks():
            message = f"the {cls.family} {cls.__module__}.{cls.__name__} lacks {lacks}"
            tag = cls.model_fields["type"].default
            raise ConfigError(Problem(message, value=tag, fix=place_of(cls)))
        return cls

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
        untyped = cls._untyped() if isinstance(tag, str) else []
        for found in untyped:
            message += (
                f"\n{found.__module__}.{found.__name__} has no `type` by which it could be chosen; "
                f'if it is meant, it takes `type: Literal["{name}"] = "{name}"`'
            )
        fix = place_of(untyped[0]) if untyped and not nearest(name, tags) else None
        return Problem(message, value=tag, valid=nearest_first(name, tags), fix=fix)

    @classmethod
    def _untyped(cls) -> list[builtins.type[Self]]:
        """Classes of a person's own that have no type, and are no base of others."""
        classes = [cls.root]
        for found in classes:
            classes += found.__subclasses__()
        return [
            found
            for found in classes
            if not found.__subclasses__()
            and found.model_fields["type"].default is None
            and not found.__module__.startswith("composer.")
        ]

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
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {FAMILY: cls.family} if cls is cls.root else handler(schema)

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
            problem = error.problems[0]
            raise (
                invalid_keys(("type", problem.value, problem))
                if "type" in value
                else invalid_keys(("", dict(value), problem), kind="unnamed")
            ) from None
        return member.model_validate(value)


def _whole(default: object, given: object) -> object:
    """What is given of a part, and the rest as the default has it; a part of another type is only
    what is given.
    """
    if isinstance(default, Family):
        said = {"type": given} if isinstance(given, str) else given
        if not isinstance(said, Mapping) or said.get("type", default.type) != default.type:
            return given
        given = {"type": default.type, **said}
    if not isinstance(default, Config) or not isinstance(given, Mapping):
        return given
    inner = {name: _whole(getattr(default, str(name), None), item) for name, item in given.items()}
    return default.altered() | inner


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

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        inner = handler(schema)
        return {"anyOf": [{AUTO: inner.get(FAMILY, "")}, inner]}


def _default(concrete: Any) -> object:
    """What a mapping without `type` means: `auto`, unless the family has a default of its own."""
    is_family = isinstance(concrete, type) and issubclass(concrete, Family)
    return (concrete.default_type or "auto") if is_family else None


AutoOr = Annotated[T | Auto, _AutoOr()]
"""Either `auto`, with hints, or a member of the family."""


def _refuse_unknown_hints(family: Any, hints: Mapping[str, Any]) -> None:
    known = family.options() if isinstance(family, type) and issubclass(family, Family) else set()
    unknown = {str(key): value for key, value in hints.items() if key not in known}
    if unknown:
        name = getattr(family, "family", "auto")
        raise invalid_keys(
            *(
                (
                    key,
                    value,
                    Problem(
                        f"no {name} has an option `{key}`"
                        + (told_child(family, key, value) or did_you_mean(key, known)),
                        valid=nearest_first(key, known - {"type"}),
                    ),
                )
                for key, value in unknown.items()
            ),
            kind="unknown",
        )


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
