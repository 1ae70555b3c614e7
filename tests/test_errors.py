import pytest

from composer.errors import (
    ComposerError,
    ConfigError,
    Problem,
    at_path,
    did_you_mean,
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
