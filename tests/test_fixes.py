"""The line to type instead: derived from the field, and tried out before it is offered."""

import shlex
from typing import Literal

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from composer.config import AutoOr, Config, Family, Frozen, FrozenDict, Listed, Size
from composer.errors import ConfigError
from composer.experiment import Experiment
from composer.fixes import entry_line, line, replaced
from composer.model_config import ModelConfig
from composer.places import join_path


class Tool(Family, family="tool"):
    pass


class Saw(Tool):
    type: Literal["saw"] = "saw"
    teeth: Size = 9


class Vise(Tool):
    type: Literal["vise"] = "vise"


class Row(Config):
    width: Size
    kind: Literal["plain", "wide"] = "plain"


class Box(Config):
    lr: float = 0.1
    size: Size = 3
    sizes: Listed[Size] = (8, 8)
    limit: Size | None = None
    flag: bool = False
    words: Listed[str] = ()
    rows: Listed[Row] = (Row(width=4),)
    row: Row = Row(width=2)
    tools: Frozen[Tool] = FrozenDict()
    choice: AutoOr[Size] = 1


def fixes(data, root=Box, path=""):
    with pytest.raises(ConfigError) as raised:
        root.parse(data, path)
    return [problem.fix for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("data", "fix"),
    [
        # the value as the field would have it
        ({"sizes": 64}, "sizes='[64]'"),
        ({"size": "64"}, "size=64"),
        ({"size": 64.0}, "size=64"),
        ({"size": [64]}, "size=64"),
        ({"lr": "0.5"}, "lr=0.5"),
        ({"flag": "yes"}, "flag=true"),
        ({"flag": "off"}, "flag=false"),
        ({"words": "one"}, "words='[one]'"),
        ({"sizes": ["32", 16]}, "sizes='[32,16]'"),
        ({"sizes": [-32, 16]}, "sizes='[32,16]'"),
        # the field's default
        ({"lr": "fast"}, "lr=0.1"),
        ({"size": -4}, "size=3"),
        ({"limit": 0}, "limit=null"),
        ({"row": 3}, "row='{width:2}'"),
        ({"choice": []}, "choice=1"),
        ({"sizes": None}, "sizes='[8,8]'"),
        ({"sizes": ["wide"]}, "sizes='[8,8]'"),
        ({"rows": 3}, "rows='[{width:4}]'"),
        # a part whose type is its name
        ({"tools": {"vise": 3}}, "tools.vise=vise"),
        # the nearest that is legal
        ({"sizes": [0, 16]}, "sizes='[1,16]'"),
        ({"rows": [{"width": -2}]}, "rows='[{width:2}]'"),
        ({"rows": [{"width": 1, "kind": "wid"}]}, "rows='[{width:1,kind:wide}]'"),
    ],
)
def test_a_wrong_value_has_a_line(data, fix):
    assert fixes(data) == [fix]


def test_each_of_several_wrong_values_has_its_line():
    assert fixes({"size": -1, "lr": "x", "flag": "no"}) == ["lr=0.1", "size=3", "flag=false"]


def test_a_misspelt_key_keeps_its_value_or_mends_that_too():
    assert fixes({"siz": 5}) == ["size=5"]
    assert fixes({"sizs": 5}) == ["sizes='[5]'"]
    assert fixes({"rows": [{"width": 1, "knd": "wide"}]}) == ["rows='[{width:1,kind:wide}]'"]


def test_a_misspelt_key_of_a_mapping_keeps_what_it_says():
    assert fixes({"row": {"width": 1}, "rwo": {"kind": "wide"}}) == ["row.kind=wide"]


def test_a_line_that_would_be_another_mistake_is_not_offered():
    class Either(Config):
        tool: Tool

    class Hammer(Tool):
        type: Literal["hammer"] = "hammer"
        weight: Size

    try:
        assert fixes({"tool": {"type": "zzz"}}, Either) == ["tool.type=saw"]
    finally:
        del Tool.members["hammer"]


def test_a_value_that_must_be_given_is_to_be_given_as_text_or_anew():
    class Needed(Config):
        name: str

    assert fixes({"name": [3]}, Needed) == ["name=…"]
    assert fixes({"name": 3}, Needed) == ["name='\"3\"'"]


def test_an_option_of_another_member_offers_that_member(plugins):
    class Drill(Tool):
        type: Literal["drill"] = "drill"
        speed: Size = 1

    assert fixes({"tools": {"a": {"type": "saw", "speed": 2}}}) == ["tools.a=drill"]


@pytest.mark.parametrize(
    ("tools", "fix"),
    [
        ({"left": {"type": "saw"}, "lft": {"teeth": 5}}, "tools.left.teeth=5"),
        ({"left": {"type": "saw"}, "other": {"teeth": 5}}, "tools.other.type=saw"),
    ],
)
def test_an_entry_without_a_type_is_its_neighbour_misspelt_or_needs_one(tools, fix):
    assert fixes({"tools": tools}) == [fix]


def test_a_misspelt_entry_is_one_mistake_whatever_it_lacks():
    class Rule(Config):
        why: str
        tool: Tool

    class Rules(Config):
        rules: Frozen[Rule]

    data = {"rules": {"first": {"why": "", "tool": "saw"}, "frist": {"tool": {"teeth": 2}}}}
    with pytest.raises(ConfigError) as raised:
        Rules.parse(data)
    (problem,) = raised.value.problems
    assert problem.path == "rules.frist"
    assert (
        problem.message == "there is no rule `frist`; did you mean `first`?\na new one needs `why`"
    )
    assert problem.fix == "rules.first.tool.teeth=2"


def test_the_path_of_the_whole_comes_first():
    assert fixes({"encoder": {"type": "mlp", "hidden": 3}}, ModelConfig, "model") == [
        "model.encoder.hidden='[3]'"
    ]


def test_what_was_given_as_an_object_has_no_place_for_a_line():
    assert fixes({"rows": [object()]}) == ["rows='[{width:4}]'"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "a=null"),
        (True, "a=true"),
        (2.5e-4, "a=0.00025"),
        ("plain", "a=plain"),
        ("my_pkg.parts", "a=my_pkg.parts"),
        ("64", "a='\"64\"'"),
        ("null", "a='\"null\"'"),
        ("two words", "a='\"two words\"'"),
        ((1, [2, 3]), "a='[1,[2,3]]'"),
        ({"type": "auto"}, "a=auto"),
        ({"type": "saw", "teeth": 2}, "a='{type:saw,teeth:2}'"),
        (Saw(teeth=2), "a='{type:saw,teeth:2}'"),
        ({}, "a='{}'"),
    ],
)
def test_a_line_is_what_a_shell_and_hydra_read(value, text):
    assert line("a", value) == text
    (word,) = shlex.split(text)
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.key_or_group == "a"


def test_a_string_that_looks_like_a_number_stays_one():
    (word,) = shlex.split(line("a", "64"))
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.value() == "64"


def test_the_line_of_an_entry_is_its_first_value_and_not_its_type():
    assert entry_line("a.b", {"type": "auto", "hidden": [4]}) == "a.b.hidden='[4]'"
    assert entry_line("a.b", {"type": "saw"}) == "a.b.type=saw"
    assert entry_line("a.b", {}) == "a.b='{}'"


def test_data_is_replaced_in_a_copy():
    data = {"a": [{"b": 1}, 2]}
    assert replaced(data, ("a", 0, "b"), 5) == {"a": [{"b": 5}, 2]}
    assert data == {"a": [{"b": 1}, 2]}


def test_a_list_short_for_a_mapping_is_mended_at_its_one_wrong_element():
    assert replaced([16, 4, "sama"], ("padding",), "same", "sama") == [16, 4, "same"]
    for wrong in (16, 3):
        with pytest.raises(LookupError):
            replaced([16, 16, 4], ("stride",), 1, wrong)


def test_a_bare_name_is_the_type():
    assert replaced({"a": "saw"}, ("a", "type"), "drill") == {"a": "drill"}
    with pytest.raises(LookupError):
        replaced({"a": "saw"}, ("a", "teeth"), 3)


def test_paths_join_keys_by_dots_and_indices_in_brackets():
    assert join_path("model", ("encoder", "hidden", 0)) == "model.encoder.hidden[0]"
    assert join_path("", ("a", "b")) == "a.b"


TIME_LIMIT = "path:gymnasium.wrappers.TimeLimit"


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("kwags", f"env.wrappers='[{{{TIME_LIMIT},kwargs:{{max_episode_steps:5}}}}]'"),
        ("actions", None),  # `catalog.action` is elsewhere, and nothing that a wrapper has
    ],
)
def test_a_misspelt_key_of_a_lists_element_is_mended_in_the_whole_list_and_nowhere_else(key, fix):
    words = [f"env.wrappers=[{{{TIME_LIMIT},{key}:{{max_episode_steps:5}}}}]"]
    with pytest.raises(ConfigError) as raised:
        Experiment.load(words)
    (problem,) = raised.value.problems
    assert problem.fix == fix
    assert problem.valid == ("kwargs", "path")
    if fix:
        assert Experiment.load(shlex.split(fix)).config.env.wrappers[0].kwargs


@pytest.mark.parametrize(
    ("head", "right"),
    [
        ({"stop_gradient": True}, "'[main]'"),
        ({"stop_gradient": True, "reads": "own"}, "'[own]'"),
        ({"stop_gradient": "own"}, "'[own]'"),
        ({"stop_gradient": False}, "'[]'"),
    ],
)
def test_a_head_that_trains_no_trunk_names_it(head, right):
    assert fixes({"heads": {"value": head}}, ModelConfig, "model") == [
        f"model.heads.value.stop_gradient={right}"
    ]
