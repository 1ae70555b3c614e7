import json
import math
import pickle
from typing import Literal

import pytest

from composer import config as config_module
from composer.config import (
    Auto,
    AutoOr,
    Config,
    Family,
    Fraction,
    Frozen,
    FrozenDict,
    Listed,
    Size,
    Steps,
)
from composer.encoders.base import EncoderConfig
from composer.encoders.mlp import MLPEncoderConfig
from composer.errors import ConfigError
from composer.model_config import ComposedModelConfig, ModelConfig


class Shape(Family, family="shape"):
    pass


class Circle(Shape):
    type: Literal["circle"] = "circle"
    radius: float = 1.0


class Polygon(Shape):
    type: Literal["polygon"] = "polygon"
    sides: Listed[Size] = (1, 2)
    name: str


class Inner(Config):
    size: Size = 1


class Settings(Config):
    count: int = 0
    rate: float = 0.5
    flag: bool = False
    word: str = ""
    steps: Steps = 0
    part: Fraction = 0.0
    choice: Literal["red", "green"] = "red"
    listed: Listed[Size] = ()
    inner: Inner = Inner()
    inners: Listed[Inner] = ()
    shape: AutoOr[Shape] = Auto()
    by_name: Frozen[Shape] = FrozenDict()


def problems(data, root=Settings, path=""):
    with pytest.raises(ConfigError) as error:
        root.parse(data, path)
    return error.value.problems


def problem(data, root=Settings, path=""):
    (only,) = problems(data, root, path)
    return only


# strictness


def test_an_unknown_key_is_an_error_that_names_the_nearest():
    found = problem({"cuont": 1})
    assert found.path == "cuont"
    assert found.message == "the settings has no option `cuont`; did you mean `count`?"
    assert found.valid[0] == "count"
    assert found.fix == "count=1"


def test_an_unknown_key_below_the_top_names_its_own_level():
    found = problem({"inner": {"siz": 3}}, path="model")
    assert found.path == "model.inner.siz"
    assert found.fix == "model.inner.size=3"


def test_an_unknown_key_inside_a_list_names_the_place():
    found = problem({"inners": [{}, {"siz": 3}]})
    assert found.path == "inners[1].siz"
    assert found.valid == ("size",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"count": "3"}, "the value should be a valid integer, not a string"),
        ({"count": 3.0}, "the value should be a valid integer, not a number"),
        ({"count": True}, "the value should be a valid integer, not a boolean"),
        ({"rate": "0.5"}, "the value should be a valid number, not a string"),
        ({"flag": 1}, "the value should be a valid boolean, not an integer"),
        ({"word": None}, "the value should be a valid string, not null"),
        ({"listed": 3}, "the value should be a list, not an integer"),
        ({"inner": [1]}, "the value should be a mapping, not a list"),
    ],
)
def test_nothing_is_converted(data, message):
    found = problem(data)
    assert found.message == message
    assert found.value == next(iter(data.values()))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_infinity_and_nan_are_refused(value):
    assert problem({"rate": value}).message == "the value should be a finite number"


def test_an_integer_is_accepted_where_a_number_is_wanted():
    assert Settings.parse({"rate": 1}).rate == 1.0


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_is_positive(size):
    found = problem({"listed": [4, size]})
    assert found.path == "listed[1]"
    assert found.message == "the value should be greater than 0"


def test_an_empty_list_of_sizes_is_fine():
    assert Settings.parse({"listed": []}).listed == ()


def test_steps_accept_an_integral_float_only():
    assert Settings.parse({"steps": 1e6}).steps == 1_000_000
    assert isinstance(Settings.parse({"steps": 1e6}).steps, int)
    assert problem({"steps": 1.5}).message == "the value should be a valid integer, not a number"
    assert problem({"steps": -1}).message == "the value should be greater than or equal to 0"
    assert problem({"steps": math.inf}).path == "steps"


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_fraction_lies_in_the_unit_interval(value):
    assert problem({"part": value}).path == "part"


def test_a_wrong_choice_names_the_choices_nearest_first_and_a_line_to_type():
    found = problem({"choice": "gren"})
    assert found.message == "`gren` is none of the choices; did you mean `green`?"
    assert found.valid == ("green", "red")
    assert found.fix == "choice=green"


def test_several_mistakes_are_reported_at_once_with_their_paths():
    found = problems(
        {
            "count": "x",
            "inner": {"size": 0},
            "nope": 1,
            "inners": [{"size": "a"}],
            "shape": {"type": "circle", "radius": "wide", "colour": 1},
        },
        path="here",
    )
    assert {problem.path for problem in found} == {
        "here.count",
        "here.inner.size",
        "here.nope",
        "here.inners[0].size",
        "here.shape.radius",
        "here.shape.colour",
    }


def test_a_missing_value_is_named_with_a_line_to_type():
    found = problem({"shape": {"type": "polygon"}})
    assert found.path == "shape.name"
    assert found.message == "shape `polygon` needs `name`, which is not given"
    assert found.fix == "shape.name=…"


def test_a_constructor_reports_as_parse_does():
    with pytest.raises(ConfigError) as error:
        Settings(count="x", nope=1)
    assert [problem.path for problem in error.value.problems] == ["count", "nope"]


def test_an_instance_is_taken_as_it_is():
    settings = Settings(count=3)
    assert Settings.parse(settings) is settings


# frozen


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().count = 1


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(b=1),
        lambda d: d.pop("a"),
        lambda d: d.clear(),
        lambda d: d.setdefault("b", 1),
        lambda d: d.popitem(),
        lambda d: d.__setitem__("a", 1),
        lambda d: d.__delitem__("a"),
        lambda d: d.__ior__({"b": 1}),
    ],
)
def test_a_frozen_mapping_cannot_be_changed(change):
    mapping = Settings.parse({"by_name": {"a": "circle"}}).by_name
    with pytest.raises(TypeError, match="frozen"):
        change(mapping)
    assert mapping == {"a": Circle()}


def test_a_frozen_mapping_can_be_pickled():
    mapping = FrozenDict(a=1)
    assert pickle.loads(pickle.dumps(mapping)) == mapping


def test_what_is_given_is_not_changed_and_not_kept():
    data = {"by_name": {"a": {"type": "circle"}}, "listed": [1]}
    before = json.loads(json.dumps(data))
    settings = Settings.parse(data)
    assert data == before
    data["by_name"]["b"] = "circle"
    data["listed"].append(2)
    assert set(settings.by_name) == {"a"}
    assert settings.listed == (1,)


# families


def test_a_bare_string_is_short_for_its_type():
    assert Settings.parse({"shape": "circle"}).shape == Circle()


def test_the_member_that_type_names_is_made():
    shape = Settings.parse({"shape": {"type": "polygon", "name": "n"}}).shape
    assert shape == Polygon(name="n")


def test_calling_a_root_makes_the_member():
    assert Shape(type="circle", radius=2.0) == Circle(radius=2.0)
    assert type(ModelConfig()) is ComposedModelConfig


def test_calling_a_root_with_a_wrong_type_lists_the_types():
    with pytest.raises(ConfigError, match="there is no shape `cirle`; did you mean `circle`"):
        Shape(type="cirle")


def test_an_unknown_type_lists_the_types_nearest_first():
    found = problem({"shape": "polygone"}, path="x")
    assert found.path == "x.shape.type"
    assert found.message == "there is no shape `polygone`; did you mean `polygon`?"
    assert found.valid == ("polygon", "circle")
    assert found.fix == "x.shape.type=polygon"


def test_a_member_of_a_mapping_is_named_by_its_key():
    assert problem({"by_name": {"a": {"type": "circle", "radios": 1.0}}}).path == "by_name.a.radios"


def test_no_type_where_none_is_the_default_says_so():
    found = problem({"by_name": {"a": {}}})
    assert found.path == "by_name.a"
    assert found.message == "no shape is named; give its `type`"
    assert found.valid == ("circle", "polygon")


@pytest.mark.parametrize("value", [3, [1], None])
def test_what_is_neither_name_nor_mapping_says_what_is_expected(value):
    found = problem({"by_name": {"a": value}})
    assert found.message == "expected the name of a shape or a mapping with its `type`"


def test_a_family_that_begins_with_a_vowel_is_an():
    found = problem({"encoder": 3}, ModelConfig)
    assert found.message == "expected the name of an encoder or a mapping with its `type`"


def test_a_type_that_is_no_string_is_an_error():
    assert problem({"shape": {"type": 3}}).message == "there is no shape `3`"


def test_an_option_of_another_member_says_to_whom_it_belongs():
    found = problem({"shape": {"type": "circle", "sides": [3]}})
    assert found.path == "shape.sides"
    assert found.message == "`sides` belongs to shape `polygon`, but `circle` is selected"


def test_an_option_left_over_from_another_encoder_says_so():
    found = problem({"encoder": {"type": "mlp", "filters": []}}, ModelConfig, "model")
    assert found.path == "model.encoder.filters"
    assert (
        found.message
        == "`filters` belongs to encoder `cnn`, `cnn3d` or `conv1d`, but `mlp` is selected"
    )


def test_a_type_defined_twice_is_refused(plugins):
    with pytest.raises(ConfigError, match=r"cannot be the shape `circle`: .*Circle has that type"):

        class Another(Shape):
            type: Literal["circle"] = "circle"

    assert Shape.member("circle") is Circle


@pytest.mark.parametrize("tag", ["mlp", "cnn", "one_hot"])
def test_a_plugin_cannot_take_the_type_of_a_built_in_part(plugins, tag):
    EncoderConfig.members.pop(tag, None)  # as before it is first imported
    with pytest.raises(ConfigError, match=f"the encoder `{tag}`: composer.encoders.{tag}"):
        type("Mine", (EncoderConfig,), {"__annotations__": {"type": Literal[tag]}, "type": tag})


def test_a_member_joins_by_being_defined(plugins):
    class Star(Shape):
        type: Literal["star"] = "star"
        points: Size = 5

    assert Settings.parse({"shape": {"type": "star", "points": 7}}).shape == Star(points=7)
    assert problem({"shape": {"type": "star", "poins": 7}}).path == "shape.poins"


def test_built_in_members_are_found_by_the_name_of_their_file():
    assert set(EncoderConfig.tags()) >= {"mlp", "cnn", "one_hot"}
    for tag in EncoderConfig.tags():
        assert EncoderConfig.member(tag)().type == tag


def test_a_plugin_that_cannot_be_imported_is_named(monkeypatch):
    class Point:
        name, value = "mine", "my_pkg.parts"

        def load(self):
            raise RuntimeError("broken")

    monkeypatch.setattr(config_module.importlib.metadata, "entry_points", lambda group: [Point()])
    message = r"plugin `mine` \(my_pkg.parts\) cannot be imported: RuntimeError: broken"
    with pytest.raises(ConfigError, match=message):
        config_module.load_entry_points.__wrapped__()


# auto


@pytest.mark.parametrize("value", ["auto", {"type": "auto"}, {}, Auto()])
def test_auto_may_be_written_in_several_ways(value):
    assert Settings.parse({"shape": value}).shape == Auto()


def test_auto_keeps_hints():
    for value in ({"type": "auto", "radius": 2.0}, {"radius": 2.0}):
        assert Settings.parse({"shape": value}).shape.hints == {"radius": 2.0}


def test_hints_that_no_member_has_are_errors_beside_the_others():
    found = {p.path: p for p in problems({"shape": {"radios": 2.0, "zzz": 1}, "count": "x"})}
    assert set(found) == {"shape.radios", "shape.zzz", "count"}
    assert found["shape.radios"].message == (
        "no shape has an option `radios`; did you mean `radius`?"
    )
    assert found["shape.radios"].valid == ("radius", "name", "sides")


def test_auto_where_no_family_stands_has_no_options():
    class Plain(Config):
        sizes: AutoOr[Listed[Size]] = Auto()

    assert Plain.parse({"sizes": [1]}).sizes == (1,)
    assert Plain.parse({"sizes": "auto"}).sizes == Auto()
    assert problem({"sizes": {"type": "auto", "x": 1}}, Plain).path == "sizes.x"
    assert problem({"sizes": [0]}, Plain).path == "sizes[0]"


def test_a_family_with_a_default_type_takes_a_mapping_without_type_as_that():
    assert type(ModelConfig.parse({"encoder": "mlp"})) is ComposedModelConfig
    assert ModelConfig.parse({"trunks": {"critic": {}}}).trunks["critic"].encoder is None


def test_a_head_is_of_the_type_of_its_role_unless_it_says_otherwise():
    heads = ModelConfig.parse({"heads": {"value": {}, "other": {"type": "value"}}}).heads
    assert [head.type for head in heads.values()] == ["value", "value"]
    found = problem({"heads": {"valve": {}}}, ModelConfig, "model")
    assert found.path == "model.heads.valve"
    assert found.message == "there is no head `valve`; did you mean `value`?"


# data


def test_a_config_survives_json():
    settings = Settings.parse(
        {
            "steps": 1e3,
            "listed": [1, 2],
            "inners": [{"size": 3}],
            "shape": {"type": "polygon", "name": "n", "sides": [4]},
            "by_name": {"a": {"type": "circle", "radius": 0.1}},
        }
    )
    data = json.loads(json.dumps(settings.to_data()))
    assert data["listed"] == [1, 2]
    assert data["by_name"] == {"a": {"type": "circle", "radius": 0.1}}
    assert Settings.parse(data) == settings


@pytest.mark.parametrize("hints", [{}, {"radius": 2.0}])
def test_auto_survives_json_with_its_hints(hints):
    settings = Settings.parse({"shape": {"type": "auto", **hints}})
    assert Settings.parse(json.loads(json.dumps(settings.to_data()))) == settings


def test_the_model_survives_json():
    model = ModelConfig.parse(
        {
            "encoder": {"hidden": [8]},
            "trunks": {"critic": {"encoder": {"type": "cnn", "filters": [[16, 4, 2]]}}},
            "heads": {"policy": {"hidden": [4], "stop_gradient": ["main"]}},
            "distribution": {"type": "diag_gaussian", "log_std_init": -0.5},
        }
    )
    assert ModelConfig.parse(json.loads(json.dumps(model.to_data()))) == model


def test_altered_gives_what_differs_from_the_defaults():
    assert MLPEncoderConfig.parse({"type": "mlp", "hidden": [8]}).altered() == {"hidden": (8,)}
    assert MLPEncoderConfig().altered() == {}


def test_what_is_given_of_a_part_in_part_is_in_the_rest_as_the_fields_default():
    class Inner(Config):
        a: int = 1
        b: int = 2

    class Middle(Config):
        inner: Inner = Inner()
        c: int = 3

    class Outer(Config):
        middle: Middle = Middle(inner=Inner(a=10), c=30)

    given = Outer.parse({"middle": {"inner": {"b": 20}}})
    assert given == Outer(middle=Middle(inner=Inner(a=10, b=20), c=30))
    assert Outer.parse(given.to_data()) == given
    assert Outer.parse({"middle": Middle()}).middle == Middle()
