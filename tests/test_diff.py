"""Two experiments, runs or blueprints side by side."""

import json
import os

import pytest

from composer.cli.main import main
from composer.comparison import ABSENT, Difference, compare, differences
from composer.experiment import Experiment

QUICK = ["total_steps=300", "algorithm.rollout_steps=32", "env.num_envs=4", "logger=none"]
QUICK += ["evaluation.episodes=2", "evaluation.every=0"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path):
    assert main(["train", *QUICK, "--run-dir", "mine", "seed=7"]) == 0
    return tmp_path / "mine"


def blueprint(*words):
    return Experiment.load(words).blueprint


def diff(capsys, *arguments):
    assert main(["diff", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ({"x": 1}, {"x": 1}, []),
        ({"x": [1, 2]}, {"x": [1]}, [("x", [1, 2], [1])]),
        ({"x": {"y": 1}}, {}, [("x.y", 1, ABSENT)]),
        (
            {"x": "cnn"},
            {"x": {"type": "mlp", "hidden": 3}},
            [("x.type", "cnn", "mlp"), ("x.hidden", ABSENT, 3)],
        ),
        ({"x": "auto"}, {"x": {}}, [("x", "auto", {})]),
        ({"x": 1}, {"x": True}, [("x", 1, True)]),
    ],
)
def test_differences_are_leaves_by_path(a, b, found):
    assert list(differences(a, b)) == [Difference(*item) for item in found]


def test_the_same_model_is_said_to_be_the_same():
    found = compare(blueprint("seed=1"), blueprint("seed=2"))
    assert found.parts == []
    assert found.follows == ["the models are the same: weights of either fit the other"]


def test_what_follows_names_the_weights_that_carry_over():
    found = compare(blueprint(), blueprint("model=shared"))
    assert [part.path for part in found.parts] == ["critic.encoder", "value"]
    assert "weights carry over in main.encoder, policy" in found.follows
    assert found.parameters == (9155, 9155 - 4480)


def test_other_spaces_and_other_apis_are_told():
    one, other = blueprint(), blueprint("env=pendulum")
    assert (
        sum("neither model acts in the other's" in line for line in compare(one, other).follows)
        == 2
    )
    alone = Experiment.load(["model=shared"])
    policy_only = alone.blueprint.model_copy(
        update={"nodes": tuple(n for n in alone.blueprint.nodes if n.name != "value")}
    )
    assert "only B offers ValueFunctionAPI" in compare(policy_only, alone.blueprint).follows


def test_words_are_compared_with_their_origins(capsys):
    out = diff(capsys, "cartpole_ppo", "env=cartpole model.encoder.hidden=[256] seed=3")
    assert "model.encoder.hidden" in out
    assert "seed=3 (command line)" in out
    assert "main.encoder  config.hidden" in out
    assert "parameters" in out


def test_a_run_a_checkpoint_and_a_blueprint_are_compared(run, capsys):
    out = diff(capsys, "mine", "seed=7")
    assert "total_steps" in out
    assert "the models are the same" in out
    (checkpoint,) = (run / "checkpoints").glob("step_*")
    assert "nothing differs" in diff(capsys, "mine", str(checkpoint))
    assert "nothing differs" in diff(capsys, "mine/blueprint.json", str(checkpoint))


def test_diff_gives_json(capsys):
    data = json.loads(diff(capsys, "seed=1", "model=shared", "--json"))
    assert {"path": "seed", "a": 1, "b": 0} in data["settings"]
    assert data["parameters"] == [9155, 4675]
    assert data["same_parts"] == ["main.encoder", "policy", "distribution"]


@pytest.mark.parametrize("side", ["cartpol_ppo", "runs", "x.json"])
def test_what_cannot_be_compared_is_one_clear_error(side, tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    assert main(["diff", side, ""]) == 2
    assert side in capsys.readouterr().err


@pytest.mark.parametrize(
    ("a", "says", "fix"),
    [
        ("cartpol_ppo", "did you mean `cartpole_ppo`?", "composer diff cartpole_ppo seed=1"),
        ("'a=1", "`'a=1` cannot be read: no closing quotation", None),
        (
            "conf/experiment/mine.yaml",
            "conf/experiment/mine.yaml is YAML; an experiment is given by its name",
            "composer diff --config-dir conf mine seed=1",
        ),
    ],
)
def test_a_side_that_is_nothing_is_told_the_line_to_type(a, says, fix, tmp_path, capsys):
    file = tmp_path / "conf/experiment/mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\nseed: 3\n")
    assert main(["diff", a, "seed=1"]) == 2
    error = capsys.readouterr().err
    assert says in error
    if fix:
        assert f"try     {fix}" in error
        assert main(fix.split()[1:]) == 0


def test_sides_that_are_not_given_are_the_newest_runs(tmp_path, capsys):
    for time, name in enumerate(("one", "two", "three")):
        file = tmp_path / "runs" / name / "experiment.json"
        file.parent.mkdir(parents=True)
        file.write_text("{}")
        os.utime(file.parent, (time, time))
    assert main(["diff"]) == 2
    assert "try     composer diff runs/three runs/two" in capsys.readouterr().err
    assert main(["diff", "runs/three"]) == 2
    assert "try     composer diff runs/two runs/three" in capsys.readouterr().err


def test_a_piped_comparison_is_not_folded(capsys):
    out = diff(capsys, "seed=1", f"model.encoder.hidden={[64] * 30}".replace(" ", ""))
    assert f"[{', '.join(['64'] * 28)}" in out
    assert not any(line.endswith(" ") for line in out.splitlines())
