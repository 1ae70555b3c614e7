"""Where an error says that a value was set."""

from pathlib import Path

import pytest

from composer.errors import CompositionError, ConfigError, Problem
from composer.experiment import Experiment
from composer.loading import load

G = "# @package _global_\n"


def test_origins_of_typed_values_keep_the_spelling():
    loaded = load(["algorithm.lr=1", "+seed=2", "model.encoder={type: mlp, hiden: [3]}"])
    assert loaded.origin("algorithm.lr") == "algorithm.lr=1 (command line)"
    assert loaded.origin("seed") == "+seed=2 (command line)"
    word = "model.encoder={type: mlp, hiden: [3]} (command line)"
    assert loaded.origin("model.encoder.hiden") == word
    assert loaded.origin("model.encoder.hiden[0]") == word


def test_the_last_word_wins_and_is_the_origin():
    loaded = load(["model.encoder.hidden=[1]", "model.encoder={hidden: [2]}"])
    assert loaded.data["model"]["encoder"]["hidden"] == [2]
    assert loaded.origin("model.encoder.hidden") == "model.encoder={hidden: [2]} (command line)"


def test_plus_signs_are_shown_as_they_were_typed():
    assert load(["++x=1"]).origin("x") == "++x=1 (command line)"


def test_origins_of_shipped_files():
    loaded = load(["env=pendulum"])
    assert loaded.origin("env.id") == "composer/conf/env/pendulum.yaml:3 (built in)"
    assert loaded.origin("model.encoder.type") == (
        "composer/conf/model/encoder/auto.yaml:2 (built in)"
    )


def test_origins_of_user_files_are_relative_to_the_working_directory(conf, monkeypatch):
    conf(
        "experiment/mine",
        """\
        # @package _global_
        defaults:
          - override /env: pendulum

        model:
          encoder:
            type: mlp
            hiden:
              - 64
              - 32
        """,
    )
    loaded = load(["experiment=mine"], "conf")
    assert loaded.origin("model.encoder.hiden") == "conf/experiment/mine.yaml:8"
    assert loaded.origin("model.encoder.hiden[1]") == "conf/experiment/mine.yaml:10"
    assert loaded.origin("env.id") == (
        "composer/conf/env/pendulum.yaml:3 (built in), chosen by conf/experiment/mine.yaml:3"
    )
    below = Path("conf/experiment").resolve()
    monkeypatch.chdir(below.parent.parent / "conf" / "experiment")
    assert loaded.origin("model.encoder.type") == "mine.yaml:7"
    monkeypatch.chdir("/")
    assert loaded.origin("model.encoder.type") == f"{below.relative_to('/')}/mine.yaml:7"


def test_a_missing_key_has_the_origin_of_its_nearest_parent():
    loaded = load(["model.encoder={type: mlp}"])
    assert loaded.origin("model.encoder.hidden") == "model.encoder={type: mlp} (command line)"
    assert loaded.origin("env.kwargs.x") == "composer/conf/env/cartpole.yaml:2 (built in)"
    assert loaded.origin("nothing.at.all") is None


def test_an_interpolated_value_has_its_own_line_and_the_origin_of_its_target(conf):
    conf(
        "experiment/mine",
        """\
        # @package _global_
        width: 64
        shape: {hidden: [8, 8]}
        model:
          encoder: {hidden: ["${width}"], out: "${.hidden}"}
          memory: ${shape}
        seed: ${oc.env:HOME}
        """,
    )
    loaded = load(["experiment=mine"], "conf")
    assert loaded.data["model"]["encoder"]["hidden"] == [64]
    line = "conf/experiment/mine.yaml:5"
    assert loaded.origin("model.encoder.hidden[0]") == f"{line}, from conf/experiment/mine.yaml:2"
    assert loaded.origin("model.encoder.out") == f"{line}, from {line}"
    assert loaded.origin("seed") == "conf/experiment/mine.yaml:7"
    typed = load(["experiment=mine", "width=32"], "conf")
    assert typed.origin("model.encoder.hidden[0]") == f"{line}, from width=32 (command line)"
    word = "threads=${width}"
    typed = load(["experiment=mine", word], "conf")
    assert typed.origin("threads") == f"{word} (command line), from conf/experiment/mine.yaml:2"


def test_origins_respect_packages_and_nested_defaults(conf):
    conf("catalog/mine", "defaults: [default, _self_]\nobservation: {tiny: {use: {type: mlp}}}\n")
    conf("part/sizes", "# @package model.encoder\nhidden: [7]\n")
    conf(
        "experiment/base",
        """\
        # @package _global_
        defaults:
          - /part: sizes
          - override /catalog: mine
        seed: 5
        """,
    )
    conf("experiment/mine", "# @package _global_\ndefaults: [base, _self_]\nthreads: 2\n")
    loaded = load(["experiment=mine"], "conf")
    assert loaded.data["model"]["encoder"]["hidden"] == [7]
    assert loaded.origin("model.encoder.hidden") == (
        "conf/part/sizes.yaml:2, chosen by conf/experiment/base.yaml:3"
    )
    assert loaded.origin("seed") == (
        "conf/experiment/base.yaml:5, chosen by conf/experiment/mine.yaml:2"
    )
    assert loaded.origin("threads") == "conf/experiment/mine.yaml:3"
    assert loaded.origin("catalog.observation.tiny.use.type") == (
        "conf/catalog/mine.yaml:2, chosen by conf/experiment/base.yaml:4"
    )
    shipped = loaded.origin("catalog.observation.vector.use.type")
    assert shipped.startswith("composer/conf/catalog/default.yaml:")


def test_yaml_anchors_and_merge_keys_have_origins(conf):
    conf(
        "experiment/mine",
        """\
        # @package _global_
        base: &base
          hidden: [4]
        model:
          encoder:
            <<: *base
        """,
    )
    loaded = load(["experiment=mine"], "conf")
    assert loaded.data["model"]["encoder"]["hidden"] == [4]
    assert loaded.origin("model.encoder.hidden") == "conf/experiment/mine.yaml:3"


def test_problems_get_origins_and_keep_their_class():
    error = CompositionError(Problem("wrong", "algorithm.lr", 1), Problem("pathless"))
    told = load(["algorithm.lr=1"]).with_origins(error)
    assert isinstance(told, CompositionError)
    assert [problem.origin for problem in told.problems] == ["algorithm.lr=1 (command line)", None]


def leftover(*words, config_dir=None):
    message = "`hidden` belongs to encoder `mlp`, but `cnn` is selected"
    error = ConfigError(Problem(message, "model.encoder.hidden", [3]))
    (problem,) = load(words, config_dir).with_origins(error).problems
    return problem.message.removeprefix(message)


def test_a_leftover_key_says_what_selected_the_type(conf):
    assert leftover("model/encoder=cnn") == " by `model/encoder=cnn`"
    assert leftover("model.encoder=cnn") == " by `model.encoder=cnn`"
    assert leftover("model.encoder.type=cnn") == " by `model.encoder.type=cnn`"
    conf("experiment/bare", "# @package _global_\nmodel:\n  encoder: cnn\n")
    assert leftover("experiment=bare", config_dir="conf") == " by conf/experiment/bare.yaml:3"
    conf("experiment/value", "# @package _global_\nmodel:\n  encoder:\n    type: cnn\n")
    assert leftover("experiment=value", config_dir="conf") == " by conf/experiment/value.yaml:4"
    conf(
        "experiment/chosen",
        "# @package _global_\ndefaults:\n  - override /model/encoder: cnn\n",
    )
    assert leftover("experiment=chosen", config_dir="conf") == " by conf/experiment/chosen.yaml:3"


WRONG = "model: {encoder: {hiden: [3]}}\n"
LINE = "experiment/mine.yaml:2"


@pytest.mark.parametrize(
    ("files", "words", "origin"),
    [
        ({}, ["model.encoder.hiden=[3]"], "model.encoder.hiden=[3] (command line)"),
        ({"conf/experiment/mine": G + WRONG}, ["experiment=mine"], f"conf/{LINE}"),
        (
            {
                "conf/experiment/base": G + WRONG,
                "conf/experiment/mine": f"{G}defaults: [base]\n",
            },
            ["experiment=mine"],
            "conf/experiment/base.yaml:2, chosen by conf/experiment/mine.yaml:2",
        ),
        (
            {"conf/experiment/mine": G + WRONG.replace("[3]", "'${seed}'") + "seed: 1\n"},
            ["experiment=mine"],
            f"conf/{LINE}, from conf/experiment/mine.yaml:3",
        ),
        (
            {"my_conf_pkg/experiment/mine": G + WRONG},
            ["experiment=mine", "hydra.searchpath=[pkg://my_conf_pkg]"],
            f"my_conf_pkg/{LINE}",
        ),
        (
            {"elsewhere/experiment/mine": G + WRONG},
            ["experiment=mine", "hydra.searchpath=['file://elsewhere']"],
            f"elsewhere/{LINE}",
        ),
        (
            {
                "conf/env/maze": "type: gym\nid: CartPole-v1\nkwarg: {}\n",
                "conf/experiment/mine": f"{G}defaults: [override /env: maze]\n",
            },
            ["experiment=mine"],
            "conf/env/maze.yaml:3, chosen by conf/experiment/mine.yaml:2",
        ),
    ],
    ids=["word", "file", "base", "interpolation", "package", "search path", "directory"],
)
def test_every_way_to_set_a_value_has_an_origin(tmp_path, monkeypatch, files, words, origin):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in files.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (tmp_path / name.partition("/")[0] / "__init__.py").touch()
    config_dir = "conf" if (tmp_path / "conf").exists() else None
    with pytest.raises(ConfigError) as raised:
        Experiment.load(words, config_dir)
    assert [problem.origin for problem in raised.value.problems] == [origin]


def test_a_plain_value_hides_what_stood_there_before(conf):
    conf("experiment/mine", f"{G}model: {{encoder: mlpp}}\n")
    loaded = load(["experiment=mine"], "conf")
    assert loaded.origin("model.encoder.type") == f"conf/{LINE}"


def test_a_file_that_an_experiment_chose_names_the_line_that_chose_it(conf):
    conf("experiment/mine", f"{G}defaults:\n  - override /model/encoder: cnn\n")
    loaded = load(["experiment=mine"], "conf")
    assert loaded.origin("model.encoder") == (
        "composer/conf/model/encoder/cnn.yaml:2 (built in), chosen by conf/experiment/mine.yaml:3"
    )
