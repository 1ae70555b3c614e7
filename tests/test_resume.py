"""`composer resume`: what it goes on with, and what it refuses."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from composer.cli.main import main
from composer.cli.resume import resumable

QUICK = [
    "total_steps=500",
    "algorithm.rollout_steps=32",
    "env.num_envs=4",
    "logger=none",
    "evaluation.episodes=2",
    "evaluation.every=0",
    "logging.every=0",
    "checkpoint.every=1",
    "checkpoint.keep=9",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run of four updates that came to its end, a checkpoint after each."""
    path = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "--run-dir", str(path), *QUICK]) == 0
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def checkpoints(run: Path) -> list[Path]:
    return sorted(run.glob("checkpoints/step_*"))


def steps_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step_"))


def damage(checkpoint: Path) -> Path:
    weights = checkpoint / "module" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    return weights


def edit(file: Path, **changes) -> None:
    """Changes values of a JSON file, at their dotted paths."""
    data = json.loads(file.read_text())
    for path, value in changes.items():
        *above, key = path.split("__")
        part = data
        for name in above:
            part = part[name]
        part[key] = value
    file.write_text(json.dumps(data))


def resumed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main(["resume", *map(str, words)])
    return status, *capsys.readouterr()


def contents(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_finished_run_says_so_and_how_to_go_on_and_is_left_as_it_is(run, capsys):
    before = contents(run)
    status, out, _ = resumed(capsys, run)
    taken = steps_of(checkpoints(run)[-1])
    assert status == 0
    assert f"{run} is finished already, at {taken:,} steps" in out
    line = out.splitlines()[-1]
    assert line == f"composer resume {run} total_steps={2 * taken}"
    assert contents(run) == before
    assert main(line.split()[1:]) == 0
    assert steps_of(checkpoints(run)[-1]) >= 2 * taken


def test_a_change_that_a_finished_run_would_ignore_is_refused(run, capsys):
    status, _, error = resumed(capsys, run, "algorithm.lr=1e-4")
    assert status == 2
    assert "algorithm.lr = 0.0001" in error
    assert "this would change nothing" in error
    assert "try     total_steps=" in error


def test_another_kind_of_optimiser_is_refused_and_another_setting_of_it_is_not(run, capsys):
    before = contents(run)
    words = ("total_steps=1000", "algorithm.optimiser=adamw")
    status, _, error = resumed(capsys, run, *words)
    assert status == 2
    assert "algorithm.optimiser.type = adamw" in error
    assert "a run that has begun cannot change this (it has adam)" in error
    assert contents(run) == before
    parts = "algorithm.optimiser.parts.main.lr=1e-5"
    assert resumed(capsys, run, "total_steps=700", "algorithm.optimiser.eps=1e-6", parts)[0] == 0


@pytest.mark.parametrize(
    ("word", "path", "had"),
    [
        ("algorithm.optimiser=sgd", "algorithm.optimiser.type = sgd", "adam"),
        ("algorithm.optimiser={type:sgd}", "algorithm.optimiser.type = sgd", "adam"),
        ("algorithm.type=dqn", "algorithm.type = dqn", "ppo"),
    ],
)
def test_another_kind_is_refused_and_what_it_leaves_behind_is_not_spoken_of(
    run, capsys, word, path, had
):
    status, _, error = resumed(capsys, run, "total_steps=1000", word)
    assert status == 2
    assert f"{path}\n" in error
    assert f"a run that has begun cannot change this (it has {had}); start another run" in error
    assert f"set by  {word} (command line)" in error
    assert " belongs to " not in error


def test_a_setting_by_which_an_optimiser_remembers_otherwise_is_refused(run, capsys):
    status, _, error = resumed(capsys, run, "total_steps=1000", "algorithm.optimiser.amsgrad=true")
    assert status == 2
    assert "the checkpoint is of another optimiser" in error
    assert "Traceback" not in error


def test_fewer_steps_than_were_taken_are_refused(run, capsys):
    status, _, error = resumed(capsys, run, "total_steps=100")
    assert status == 2
    assert "total_steps = 100" in error
    assert f"the run has taken {steps_of(checkpoints(run)[-1]):,} steps already" in error
    assert "set by  total_steps=100 (command line)" in error


def test_an_experiment_that_was_edited_by_hand_is_refused_by_key_and_file(run, capsys):
    edit(run / "experiment.json", env__id="Acrobot-v1", seed=5, total_steps=2000)
    status, _, error = resumed(capsys, run)
    assert status == 2
    assert "env.id = Acrobot-v1" in error
    assert "it has CartPole-v1" in error
    assert "seed = 5" in error
    assert f"set by  {run / 'experiment.json'}" in error
    assert "total_steps =" not in error


def test_an_edit_that_is_not_valid_is_told_with_its_file(run, capsys):
    edit(run / "experiment.json", algorithm__lr=-1)
    status, _, error = resumed(capsys, run, "seed=x")
    assert status == 2
    assert "algorithm.lr = -1" in error
    assert f"set by  {run / 'experiment.json'}\n" in error
    assert "set by  seed=x (command line)" in error


def test_eval_refuses_what_would_change_nothing(run, capsys):
    assert main(["eval", str(run), "algorithm.lr=3", "evaluation.episodes=1", "total_steps=9"]) == 2
    error = capsys.readouterr().err
    assert "2 errors" in error
    assert "algorithm.lr = 3.0\n    an evaluation does not depend on this" in error
    assert "set by  algorithm.lr=3 (command line)" in error
    assert main(["eval", str(run), "seed=3", "evaluation.episodes=1"]) == 0


def test_an_edit_of_what_may_change_is_gone_on_with(run, capsys):
    edit(run / "experiment.json", algorithm__lr=0.01, total_steps=1000)
    assert resumed(capsys, run)[0] == 0
    newest = json.loads((checkpoints(run)[-1] / "experiment.json").read_text())
    assert (newest["algorithm"]["lr"], newest["total_steps"]) == (0.01, 1000)


def test_a_change_that_fails_is_not_written(run, capsys):
    before = (run / "experiment.json").read_bytes()
    (run / "checkpoints" / "best.json").write_text("[]")  # which is found out while it is loaded
    status, *_ = resumed(capsys, run, "total_steps=1000")
    assert status == 2
    assert (run / "experiment.json").read_bytes() == before


def test_a_damaged_newest_checkpoint_names_the_one_to_go_on_from_which_works(run, capsys):
    *_, older, newest = checkpoints(run)
    weights = damage(newest)
    status, _, error = resumed(capsys, run, "total_steps=1000")
    assert status == 2
    assert f"{weights} was cut short" in error
    assert f"the newest that is whole is {older}" in error
    assert f"try     composer resume {older}" in error

    status, out, _ = resumed(capsys, older, "total_steps=1000")
    assert status == 0
    assert f"from {older.name}; the next checkpoint takes the place of {newest.name}" in out
    rows = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows == sorted(rows)
    assert resumed(capsys, run)[0] == 0  # finished


def test_eval_names_the_newest_checkpoint_that_is_whole_too(run, capsys):
    *_, older, newest = checkpoints(run)
    damage(newest)
    for words in ([run, "--checkpoint", "latest"], [newest], [run / "checkpoints" / "step_1"]):
        capsys.readouterr()
        assert main(["eval", *map(str, words)]) == 2
        assert f"try     composer eval {older}" in capsys.readouterr().err
    assert main(["eval", str(older)]) == 0


def test_where_no_checkpoint_is_whole_it_is_said(run, capsys):
    for checkpoint in checkpoints(run):
        damage(checkpoint)
    status, _, error = resumed(capsys, run)
    assert status == 2
    assert "no checkpoint is whole" in error
    assert "try" not in error


@pytest.mark.parametrize(
    "content",
    [
        "cut sh",
        "[]",
        '{"checkpoint": "step_000000000001"}',
        '{"checkpoint": "step_000000000001", "return": 1.0}',
        '{"checkpoint": "../../elsewhere", "return": 1.0}',
        '{"checkpoint": "..", "return": 1.0}',
        '{"checkpoint": 3, "return": 1.0}',
        '{"checkpoint": "NAME", "return": "much"}',
        '{"checkpoint": "NAME", "return": NaN}',
    ],
)
def test_a_broken_pointer_to_the_best_is_refused(run, content, capsys):
    (run.parent / "elsewhere").mkdir()
    pointer = run / "checkpoints" / "best.json"
    pointer.write_text(content.replace("NAME", checkpoints(run)[-1].name))
    for words in (["eval", str(run)], ["resume", str(run), "total_steps=1000"]):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert f"{pointer} was edited" in error
        assert f"try     rm {pointer}" in error


def test_a_run_that_another_process_trains_is_refused_by_its_pid(run, capsys):
    script = "import fcntl, os, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); "
    script += "f.write(str(os.getpid())); f.flush(); print('held', flush=True); input()"
    before = contents(run / "checkpoints")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(run / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        status, _, error = resumed(capsys, run, "total_steps=1000")
        other.kill()
    assert status == 2
    assert f"{run} is in use: process {other.pid} trains there" in error
    assert contents(run / "checkpoints") == before
    assert resumed(capsys, run, "total_steps=1000")[0] == 0  # the lock went with the process


def test_a_missing_plugin_of_a_run_names_the_flag_that_finds_it(run, capsys):
    edit(run / "experiment.json", plugins=["no_such_plugin"])
    status, _, error = resumed(capsys, run)
    assert status == 2
    assert "there is no module `no_such_plugin`" in error
    assert "--config-dir DIR" in error


def test_the_help_of_resume_suggests_words_that_resume_takes(run, capsys):
    with pytest.raises(SystemExit):
        main(["resume", "--help"])
    words = re.findall(r"`([^`]+=[^`]+)`", capsys.readouterr().out)
    assert len(words) == 3
    others = [word for word in words if not word.startswith("total_steps=")]  # 2e6 takes long
    assert len(others) == len(words) - 1
    assert resumed(capsys, run, *others, "total_steps=900")[0] == 0


@pytest.mark.parametrize("path", ["algorithm.num_atoms", "algorithm.n_critics", "algorithm.critic"])
def test_a_setting_of_an_algorithm_that_shapes_the_model_stays(path):
    assert not resumable(path)
    assert resumable("algorithm.lr")
