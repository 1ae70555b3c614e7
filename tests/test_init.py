"""`composer init`: the project it writes runs and passes as it is."""

import json
import subprocess
import sys

import pytest

from composer.cli.main import main
from composer.engines.local import Trainer
from composer.experiment import Experiment


@pytest.fixture
def project(tmp_path, monkeypatch, plugins):
    """A new project, its directory the working directory."""
    assert main(["init", str(tmp_path / "mine")]) == 0
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path / "mine"
    del sys.modules["my_encoders"]  # its encoder is forgotten with the fixture `plugins`


def test_it_is_an_experiment_an_encoder_a_test_and_a_readme(project):
    found = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    assert found == {
        "README.md",
        "my_encoders.py",
        "test_my_encoders.py",
        "conf/experiment/mine.yaml",
        "conf/schema/experiment.json",
    }
    assert "rl-composer[testing]" in (project / "README.md").read_text()


def test_its_experiment_trains_with_its_encoder(project):
    words = ["experiment=mine", "total_steps=512", "evaluation.episodes=2"]
    experiment = Experiment.load(words, project / "conf")
    assert experiment.blueprint.by_name["main.encoder"].to_data()["config"]["type"] == "symlog"
    trainer = Trainer(experiment)
    while not trainer.done:
        trainer.step()
    trainer.close()
    assert trainer.progress.env_steps >= 512


def test_its_tests_pass(project):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_schema_knows_its_encoder_and_is_what_the_readme_writes(project, capsys):
    assert main(["schema", "--config-dir", "conf", "experiment=mine"]) == 0
    shipped = json.loads((project / "conf" / "schema" / "experiment.json").read_text())
    assert json.loads(capsys.readouterr().out) == shipped
    assert "symlog" in shipped["$defs"]["encoder"]["anyOf"][0]["enum"]


def test_its_encoder_and_experiment_are_listed(project, capsys):
    assert main(["ls", "encoders", "experiments", "--config-dir", "conf", "experiment=mine"]) == 0
    out = capsys.readouterr().out
    assert "my_encoders (plugin)" in out
    assert "PPO on CartPole with an encoder of my own" in out


def test_an_empty_directory_is_taken(tmp_path, capsys, plugins, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["init", str(tmp_path)]) == 0
    assert f"cd {tmp_path}" in capsys.readouterr().out
    del sys.modules["my_encoders"]


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "says"), [("file", "is a file"), ("file/below", "Not a directory")]
)
def test_a_file_in_the_way_is_one_clear_error(name, says, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
