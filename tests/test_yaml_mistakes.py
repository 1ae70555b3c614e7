"""Mistakes in a user's files: the line that made them, and the line that is right."""

import pytest
import yaml

from composer.errors import ComposerError, ConfigError
from composer.experiment import Experiment
from composer.loading import load
from composer.loading.defaults import HEADER

G = "# @package _global_\n"


def problems_of(conf, text, *words):
    conf("experiment/mine", G + text)
    with pytest.raises(ComposerError) as raised:
        Experiment.load(["experiment=mine", *words], "conf").blueprint  # noqa: B018
    return raised.value.problems


def problem_of(conf, text, *words):
    (problem,) = problems_of(conf, text, *words)
    return problem


def mended(conf, problem, *words):
    """What the line to type says, as the whole file."""
    line = problem.fix.partition("   ")[0].removeprefix("- ")
    text = f"defaults: [{line}]\n" if line.startswith("override") else f"{line}\n"
    conf("experiment/mine", G + text)
    return Experiment.load(["experiment=mine", *words], "conf")


# A plain value where something else was


@pytest.mark.parametrize(
    ("text", "path", "message", "line"),
    [
        ("env: pendulum\n", "env", "`env: pendulum` is a plain", "override /env: pendulum"),
        ("model: shared\n", "model", "`model: shared` is a plain", "override /model: shared"),
        (
            "model: {encoder: mlpp}\n",
            "model.encoder",
            "there is no encoder `mlpp`; did you mean `mlp`?",
            "override /model/encoder: mlp",
        ),
        ("logger: none\n", "logger", "`logger: none` is a plain value; ", "override /logger: none"),
        (
            "catalog: defualt\n",
            "catalog",
            "the value should be a mapping, not a string",
            "override /catalog: default",
        ),
    ],
)  # fmt: skip
def test_an_option_as_a_plain_value_is_told_the_line_of_defaults(conf, text, path, message, line):
    problem = problem_of(conf, text)
    assert problem.path == path
    assert problem.message.startswith(message)
    assert problem.origin == "conf/experiment/mine.yaml:2"
    assert problem.fix == f"defaults: [{line}]   in its place"
    mended(conf, problem)


@pytest.mark.parametrize("text", ["env: 3\n", "env:\n", "evaluation: 3\n", "model: {memory: 3}\n"])
def test_a_plain_value_in_place_of_a_mapping_is_the_files(conf, text):
    assert problem_of(conf, text).origin == "conf/experiment/mine.yaml:2"


def test_a_part_that_does_not_fit_is_no_plain_value_that_was_an_option(conf):
    problem = problem_of(conf, "model: {encoder: cnn}\n")
    assert problem.message.startswith("`cnn` takes an image")
    assert problem.origin == "conf/experiment/mine.yaml:2"


# Keys


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("algorithm.lr: 1e-3\n", "algorithm: {lr: 1e-3}"),
        ("model.encoder.hidden: [3]\n", "model: {encoder: {hidden: [3]}}"),
        ("model/encoder: mlp\n", "defaults: [override /model/encoder: mlp]"),
        ("override /env: taxi\n", "defaults: [override /env: taxi]"),
        ("lr: 0.1\n", "algorithm: {lr: 0.1}"),
        ("hidden: [64, 64]\n", "model: {encoder: {hidden: [64, 64]}}"),
    ],
)
def test_a_key_that_is_written_as_a_word_is_told_its_place(conf, text, line):
    problem = problem_of(conf, text)
    assert problem.origin == "conf/experiment/mine.yaml:2"
    assert problem.fix == line
    mended(conf, problem)


def test_a_typo_in_a_file_is_told_the_line_of_the_file(conf):
    problem = problem_of(conf, "model:\n  encoder:\n    hiden: [64]\n")
    assert problem.origin == "conf/experiment/mine.yaml:4"
    assert problem.fix == "hidden: [64]"


def test_a_quoted_key_may_have_dots(conf):
    conf("experiment/mine", f"{G}env: {{kwargs: {{'a.b': 1}}}}\n")
    kwargs = Experiment.load(["experiment=mine"], "conf").config.env.to_data()["kwargs"]
    assert kwargs == {"a.b": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("env:{id: X}\n", "`env:{id` is one key: the colon after a key is followed by a space"),
        ("algorithm: {lr: 1,5}\n", "`5` has no value: inside { } a comma begins another key; "),
        ("model: {encoder: {hidden: (3, 3)}}\n", "`3)` has no value: inside { } a comma begins"),
        ("seed\n", "a file is a mapping of keys to values, not `seed`"),
    ],
)
def test_what_only_looks_like_a_mapping_is_refused(conf, text, message):
    problem = problem_of(conf, text)
    assert problem.message.startswith(message)
    assert problem.origin == "conf/experiment/mine.yaml:2"


def test_another_header_than_that_of_a_run_is_told_the_right_one(conf):
    conf("experiment/mine", "# @package global\nseed: 1\n")
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["experiment=mine"], "conf")
    (problem,) = raised.value.problems
    assert problem.message == (
        "conf/experiment/mine.yaml has a header that is not `_global_`; its keys have gone to "
        "`global`"
    )
    assert problem.fix == "# @package _global_   as the first line of the file"


def test_a_files_keys_are_those_of_its_group_already(conf):
    conf("model/mine", "model:\n  encoder: mlp\n")
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["model=mine"], "conf")
    (problem,) = raised.value.problems
    assert problem.message == "the keys of conf/model/mine.yaml are those of `model` already"
    assert problem.origin == "conf/model/mine.yaml:1"


@pytest.mark.parametrize("group", ["env", "experiment"])
def test_a_file_with_another_suffix_is_said_not_to_be_read(conf, tmp_path, group):
    directory = tmp_path / "conf" / group
    directory.mkdir()
    (directory / "mine.yml").write_text("type: gym\n")
    with pytest.raises(ConfigError) as raised:
        Experiment.load([f"{group}=mine"], "conf")
    (problem,) = raised.value.problems
    assert problem.message.endswith(
        f"conf/{group}/mine.yml is not read: the name of a file ends in `.yaml`"
    )


def test_the_path_of_a_file_is_not_its_name(conf):
    conf("experiment/mine", G)
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["experiment=conf/experiment/mine.yaml"], "conf")
    assert raised.value.problems[0].fix == "experiment=mine"


# What would be dropped, or read otherwise, in silence


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [("010", "an octal number", "8: write 10, or 8"), ("1:30", "hours, minutes", "90: write 90")],
)
@pytest.mark.parametrize("form", ["total_steps: {}\n", "env: {{kwargs: {{x: [{}]}}}}\n"])
def test_a_number_that_yaml_does_not_read_as_decimal_is_refused(conf, form, text, kind, number):
    problem = problem_of(conf, form.format(text))
    assert problem.message.startswith(f"YAML reads `{text}` as {kind}")
    assert number in problem.message
    assert problem.value == text
    assert problem.origin == "conf/experiment/mine.yaml:2"


def test_decimals_and_quoted_text_are_numbers_and_text(conf):
    conf("experiment/mine", f"{G}total_steps: 1_000\nenv: {{kwargs: {{a: '010', b: 0, c: 0.5}}}}\n")
    config = Experiment.load(["experiment=mine"], "conf").config
    assert config.total_steps == 1000
    assert config.env.to_data()["kwargs"] == {"a": "010", "b": 0, "c": 0.5}


TRUNKS = "defaults:\n  - override /model: separate\nmodel:\n  trunks: {}\n"


def test_an_empty_mapping_that_would_take_nothing_away_is_refused(conf):
    problem = problem_of(conf, TRUNKS)
    assert problem.message.startswith("`{}` takes nothing away: {critic: {}} is given by another")
    assert (problem.path, problem.origin) == ("model.trunks", "conf/experiment/mine.yaml:5")
    assert problem.fix == "model.trunks='{}'"
    experiment = Experiment.load(["experiment=mine", "model.trunks={}"], "conf")
    assert experiment.config.model.to_data()["trunks"] == {}


def test_an_empty_mapping_where_nothing_is_may_stand(conf):
    conf("experiment/mine", f"{G}env: {{kwargs: {{}}}}\nmodel: {{heads: {{}}}}\n")
    Experiment.load(["experiment=mine"], "conf")


def test_a_value_still_to_be_given_is_not_given_by_an_earlier_file(conf):
    problem = problem_of(conf, "algorithm:\n  lr: ???\n")
    assert problem.message == "needs a value: what another file gives, 0.0025, does not count"
    assert problem.origin == "conf/experiment/mine.yaml:3"
    Experiment.load(["experiment=mine", "algorithm.lr=0.1"], "conf")


def test_a_value_still_to_be_given_is_quoted_inside_braces(conf):
    problem = problem_of(conf, "algorithm: {lr: ???}\n")
    assert problem.message.endswith("a value still to be given is quoted: '???'")
    assert problem_of(conf, "algorithm: {lr: '???'}\n").message.startswith("needs a value")


def test_a_value_still_to_be_given_may_be_given_by_a_later_file(conf):
    conf("experiment/base", f"{G}algorithm:\n  lr: ???\n")
    conf("experiment/mine", f"{G}defaults: [base, _self_]\nalgorithm: {{lr: 0.5}}\n")
    assert Experiment.load(["experiment=mine"], "conf").config.algorithm.to_data()["lr"] == 0.5


# Defaults lists


@pytest.mark.parametrize(
    ("line", "message", "fix"),
    [
        (
            "/env: taxi",
            "`env` is chosen already: a file that chooses another says `override`",
            "- override /env: taxi",
        ),
        ("/env: txi", "`env` is chosen already", "- override /env: taxi"),
        ("override /evn: taxi", "there is no group `evn`; did you mean", "- override /env: taxi"),
        ("override env: taxi", "`env` is looked for in `experiment`", "- override /env: taxi"),
        ("env: taxi", "`env` is looked for in `experiment`", "- override /env: taxi"),
        ("override /env: txi", "there is no env `txi`; did you mean", "- override /env: taxi"),
        (
            "override /catalog: defualt",
            "there is no catalog `defualt`; did you",
            "- override /catalog: default",
        ),
        ("override /env:taxi", "a line that chooses has a colon", "- override /env: taxi"),
        ("override /env taxi", "a line that chooses has a colon", "- override /env: taxi"),
    ],
)
def test_a_line_of_a_defaults_list_that_cannot_be_is_told_the_right_one(conf, line, message, fix):
    problem = problem_of(conf, f"defaults:\n  - {line}\n")
    assert problem.message.startswith(message)
    assert problem.origin == "conf/experiment/mine.yaml:3"
    assert problem.fix == fix
    mended(conf, problem)


def test_a_file_lists_another_of_its_group_by_name(conf):
    problem = problem_of(conf, "defaults:\n  - experiment: cartpole_ppo\n")
    assert problem.fix == "- cartpole_ppo"


def test_lines_with_override_come_last(conf):
    problem = problem_of(conf, "defaults:\n  - override /env: taxi\n  - cartpole_ppo\n")
    assert problem.message == "lines with `override` come last in a defaults list"
    assert problem.origin == "conf/experiment/mine.yaml:3"


@pytest.mark.parametrize(
    ("text", "path", "fix"),
    [
        ("env: [1]\n", "env", "env: {type: …}"),
        ("catalog: {observation: [1]}\n",
         "catalog.observation", "observation: {image_actor_critic: …}"),
        ("defaults: [override /model: separate]\nmodel: {trunks: {critic: [1]}}\n",
         "model.trunks.critic", "critic: {}"),
    ],
)  # fmt: skip
def test_a_list_in_place_of_a_mapping_names_path_line_and_keys(conf, text, path, fix):
    problem = problem_of(conf, text)
    assert problem.message == "a list cannot take the place of a mapping"
    assert (problem.path, problem.fix) == (path, fix)
    assert problem.origin == f"conf/experiment/mine.yaml:{1 + len(text.splitlines())}"


def test_a_mapping_that_is_no_mapping_is_told_the_keys(conf):
    problem = problem_of(conf, "catalog: {observation: {type: mlp}}\n")
    assert problem.path == "catalog.observation.type"
    assert problem.valid == ("when", "why", "priority", "use")


def test_a_part_without_options_says_that_it_has_none(conf):
    problem = problem_of(conf, "model: {memory: {type: none, size: 3}}\n")
    assert problem.message == "memory `none` has no options"
    assert problem.fix == "memory: none"


# Interpolations


@pytest.mark.parametrize("key", ["seed", "env.num_envs"])
def test_an_interpolation_of_a_default_says_to_give_it(conf, key):
    problem = problem_of(conf, f"total_steps: ${{{key}}}\n")
    assert problem.message == (
        f"`{key}` is not given: an interpolation takes what a file or a word gives, and not a "
        "default"
    )
    assert problem.origin == "conf/experiment/mine.yaml:2"
    line = yaml.safe_load(problem.fix)
    assert line == ({"seed": "…"} if key == "seed" else {"env": {"num_envs": "…"}})


def test_a_typo_in_an_interpolation_is_told_the_nearest_key(conf):
    problem = problem_of(conf, "total_steps: ${algorithm.epoch}\n")
    assert problem.message.endswith("; did you mean `algorithm.epochs`?")
    assert (problem.value, problem.fix) == ("${algorithm.epoch}", "${algorithm.epochs}")


def test_a_wrong_value_that_was_referred_to_names_both_lines(conf):
    problem = problem_of(conf, "\nenv: {num_envs: '${algorithm.type}'}\n")
    assert problem.origin == (
        "conf/experiment/mine.yaml:3, from composer/conf/algorithm/ppo.yaml:2 (built in)"
    )


# Search paths


@pytest.mark.parametrize("entry", ["pkg://no_such_package.conf", "pkg://os", "file:///nope", "x"])
def test_a_search_path_that_leads_nowhere_is_refused(entry):
    with pytest.raises(ConfigError) as raised:
        Experiment.load([f"hydra.searchpath=['{entry}']"])
    (problem,) = raised.value.problems
    assert (problem.path, problem.value) == ("hydra.searchpath", entry)
    assert problem.message.startswith("there is no such directory of YAML files")


def test_a_type_that_does_not_exist_is_told_before_what_the_file_says(conf):
    conf("experiment/mine", "# @package _global_\nmodel: {encoder: {type: mlp}}\n")
    with pytest.raises(ConfigError) as raised:
        Experiment.load(["experiment=mine", "model/encoder=mlpp"], "conf")
    (problem,) = raised.value.problems
    assert problem.message == "there is no encoder `mlpp`; did you mean `mlp`?"
    assert problem.fix == "model/encoder=mlp"


def test_a_typed_type_without_a_yaml_wins_over_a_files(conf):
    conf("experiment/mine", "# @package _global_\nmodel: {encoder: {type: mlp}}\n")
    words = ["experiment=mine", "model/encoder=fourier"]
    assert load(words, "conf").data["model"]["encoder"] == {"type": "fourier"}
    later = load([*words, "model.encoder.type=cnn"], "conf")
    assert later.data["model"]["encoder"]["type"] == "cnn"


@pytest.mark.parametrize(
    ("text", "message", "line", "fix"),
    [
        ("", "the file is empty", "", HEADER),
        ("# only a comment\n", "the file is empty", "", HEADER),
        ("\n- seed\n", "a file is a mapping of keys to values, not a list", ":2", None),
        (f"{G}[seed]\n", "a file is a mapping of keys to values, not a list", ":2", None),
    ],
)
def test_a_file_that_says_nothing_or_is_a_list_is_named(conf, text, message, line, fix):
    conf("experiment/mine", text)
    with pytest.raises(ConfigError) as raised:
        load(["experiment=mine"], "conf")
    (problem,) = raised.value.problems
    place = f"conf/experiment/mine.yaml{line}"
    assert (problem.message, problem.origin, problem.fix) == (message, place, fix)


def test_an_experiment_that_changes_nothing_may_be_said(conf):
    conf("experiment/mine", G)
    load(["experiment=mine"], "conf")


@pytest.mark.parametrize(
    ("word", "directory", "fix"),
    [
        ("experiment=conf/experiment/mine.yaml", None, "--config-dir conf experiment=mine"),
        ("experiment=./conf/experiment/mine", None, "--config-dir conf experiment=mine"),
        ("experiment=conf/experiment/mine.yaml", "conf", "experiment=mine"),
        ("model/encoder=conf/model/encoder/wide", None, "--config-dir conf model/encoder=wide"),
    ],
)
def test_a_file_named_by_its_path_is_told_the_words_that_find_it(conf, word, directory, fix):
    conf("experiment/mine", f"{G}seed: 3\n")
    conf("model/encoder/wide", "type: mlp\n")
    with pytest.raises(ConfigError) as raised:
        load([word], directory)
    assert raised.value.problems[0].fix == fix
    load(fix.split()[-1:], "conf")
