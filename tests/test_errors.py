import io
import json
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console

from composer.cli.errors import show
from composer.errors import (
    ComposerError,
    ConfigError,
    Problem,
    at_path,
    did_you_mean,
    line_to_type,
    nearest,
    nearest_first,
    shown,
)


def test_a_problem_shows_path_value_rule_origin_names_and_a_line_to_type():
    problem = Problem(
        "there is no encoder `cn`",
        path="model.encoder.type",
        value="cn",
        origin="model/encoder=cn",
        valid=("cnn", "mlp"),
        fix="model/encoder=cnn",
    )
    assert problem.render().splitlines() == [
        "  model.encoder.type = cn",
        "    there is no encoder `cn`",
        "    set by  model/encoder=cn",
        "    valid   cnn, mlp",
        "    try     model/encoder=cnn",
    ]


def test_a_problem_without_a_path_is_its_message():
    assert Problem("no").render() == "  no"


def test_one_problem_is_not_counted_and_several_are():
    assert str(ConfigError("a")).splitlines()[0] == "the configuration is not valid"
    assert str(ConfigError("a", "b")).splitlines() == [
        "2 errors: the configuration is not valid",
        "  a",
        "  b",
    ]


def test_every_error_is_a_composer_error_with_a_title_of_its_own():
    kinds = ComposerError.__subclasses__()
    assert len({kind.title for kind in kinds} | {ComposerError.title}) == len(kinds) + 1


def test_at_path_puts_a_prefix_before_the_path():
    problem = Problem("m", path="hidden")
    assert at_path(problem, "model.encoder").path == "model.encoder.hidden"
    assert at_path(Problem("m"), "model").path == "model"
    assert at_path(problem, "").path == "hidden"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ([1, "a", [None]], "[1, a, [null]]"),
        ((1.5,), "[1.5]"),
        ({"a": {"b": False}}, "{a: {b: false}}"),
    ],
)
def test_values_are_shown_as_yaml(value, text):
    assert shown(value) == text


def test_long_values_are_cut_to_a_line():
    text = shown(list(range(200)))
    assert len(text) == 120
    assert text.endswith("...")


def test_nearest_ignores_case_and_leaves_out_what_is_far():
    assert nearest("HIDEN", ("hidden", "layer_norm")) == "hidden"
    assert nearest("zzz", ("hidden", "layer_norm")) is None
    assert did_you_mean("hiden", ("hidden",)) == "; did you mean `hidden`?"
    assert did_you_mean("zzz", ("hidden",)) == ""


def test_nearest_first_keeps_the_others_in_order():
    assert nearest_first("ml", ("one_hot", "mlp", "cnn")) == ("mlp", "cnn", "one_hot")


@pytest.mark.parametrize(
    "value",
    [
        "relu", "true", "a b", "x,y", 'say "hi"', "it's", "back\\", 'b\\"x\\\\', "", "é", "${x}",
        "a=b", "10", "cuda:1", "./conf", "$HOME", "~x", "[x", "*", "x:y", None, True, -3, 1e-5,
        [64, 64], [], ["a b", [1.5, "null"]], {"a": [1, {"b": "c:d"}], "t": "x y"},
    ],
)  # fmt: skip
def test_a_line_to_type_sets_the_value_when_it_is_pasted(value):
    (word,) = shlex.split(line_to_type("model.encoder.hidden", value))
    override = OverridesParser.create().parse_overrides([word])[0]
    assert override.key_or_group == "model.encoder.hidden"
    assert getattr(override.value(), "text", override.value()) == value


def test_a_line_to_type_has_quotes_where_it_needs_them():
    assert line_to_type("a", (64, 64)) == "a='[64,64]'"
    assert line_to_type("a.b", "relu") == "a.b=relu"


def test_an_error_is_json_whatever_its_values_are():
    problem = Problem("no", "a.b", float("nan"), "a.b=nan", ("x", "y"), "a.b=1")
    data = json.loads(json.dumps(ConfigError(problem, Problem("m", "c", [1])).to_data()))
    assert data["error"] == ConfigError.title
    assert data["problems"] == [
        {
            "path": "a.b",
            "value": "nan",
            "message": "no",
            "origin": "a.b=nan",
            "valid": ["x", "y"],
            "fix": "a.b=1",
        },
        {"path": "c", "value": [1], "message": "m", "origin": None, "valid": [], "fix": None},
    ]


LONG = Problem(
    "there is no `hiden`, and this sentence is longer than a narrow terminal is wide",
    path="model.encoder.hiden",
    value="long-" * 20,
    origin="some/very-long/directory-name/with-hyphens/and/more/of/them/mine.yaml:3",
    valid=("hidden", *(f"option_{i}" for i in range(9))),
    fix="composer train model.encoder.hidden=" + "1," * 60,
)


def terminal(error, **options):
    """What a terminal of 40 columns is sent."""
    file = io.StringIO()
    show(error, Console(file=file, force_terminal=True, width=40, **options))
    return file.getvalue()


def test_a_terminal_never_breaks_what_is_copied():
    lines = terminal(ConfigError(LONG), color_system=None).splitlines()
    assert f"    try     {LONG.fix}" in lines
    assert f"    set by  {LONG.origin}" in lines
    assert f"  model.encoder.hiden = {LONG.value}" in lines


def test_a_terminal_wraps_sentences_and_names_below_themselves():
    lines = terminal(ConfigError(LONG), color_system=None).splitlines()
    names = lines[next(i for i, line in enumerate(lines) if line.startswith("    valid")) :][:-1]
    assert len(names) > 2
    assert all(line.startswith(" " * 12 + "option_") for line in names[1:])
    assert all(len(line) <= 40 for line in [*names, *lines[2:5]])


def test_a_terminal_says_what_plain_text_says_in_colour():
    error = ConfigError(LONG, "short")
    text = terminal(error, color_system=None)
    assert text.split() == str(error).split()
    assert "\n\n" in text
    assert "\n\n" not in terminal(ConfigError("a", "b"))
    assert "\x1b[1;32mcomposer train" in terminal(error, color_system="standard")


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;32m" not in terminal(ConfigError(LONG), color_system="standard")
