"""The command line, as a person types it."""

import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from composer.cli.main import GROUPS, VERBS, main
from composer.experiment import Experiment

SHORT = ["total_steps=600", "algorithm.rollout_steps=32", "env.num_envs=4", "logger=none"]
QUICK = [*SHORT, "evaluation.episodes=4", "evaluation.every=0"]


def run(words: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "composer.cli.main", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def only_run(directory: Path) -> Path:
    (found,) = (directory / "runs").iterdir()
    return found


def rows_of(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_train_then_eval_then_resume(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK]) == 0
    out = capsys.readouterr().out
    directory = only_run(tmp_path)
    assert f"runs/{directory.name}" in out.replace("\n", "")
    assert "one update" not in out
    at_the_end = re.findall(r"return (\S+) ± ", out)[-1]

    assert main(["eval", str(directory)]) == 0
    assert f"return {at_the_end} ± " in capsys.readouterr().out

    assert main(["resume", str(directory), "total_steps=1200"]) == 0
    steps = [row["step"] for row in rows_of(directory)]
    assert steps == sorted(steps)
    assert steps[-1] >= 1200
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_run_of_less_than_an_update_is_told_how_long_it_will_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "total_steps=50",
        "algorithm.rollout_steps=32",
        "env.num_envs=4",
        "evaluation.episodes=1",
    ]
    assert main(["train", *words]) == 0
    before, told, after = capsys.readouterr().out.partition("one update takes up to 128 steps")
    assert told
    assert after.startswith(", more than the 50 to take\n")
    assert " / 50 " not in before


LATE = [
    ("learning_starts", "nothing is learnt until step 1,000", "50"),
    ("lr_warmup", "the learning rate rises until step 1,000", "50"),
    ("optimiser.parts.main.frozen_until", "`main` is frozen until step 1,000", "50"),
]


@pytest.mark.parametrize(("name", "told", "right"), LATE)
def test_a_setting_that_outlasts_the_run_is_noted_and_the_line_to_type_ends_that(
    name: str, told: str, right: str
) -> None:
    words = ["algorithm=dqn", "algorithm.learning_starts=0", "total_steps=500"]
    late = f"algorithm.{name}=1e3"
    if name == "learning_starts":
        words.pop(1)
    (note,) = Experiment.load([*words, late]).notes()
    assert note.path == f"algorithm.{name}"
    assert note.message == f"{told}, and the run ends at step 500"
    assert note.origin == f"{late} (command line)"
    assert note.fix == f"algorithm.{name}={right}"
    assert Experiment.load([*words, note.fix or ""]).notes() == ()


def test_check_and_train_note_that_nothing_is_learnt_and_train_trains(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["algorithm=dqn", "total_steps=40", "evaluation.episodes=1", "logger=none"]
    for verb in ("check", "train"):
        assert main([verb, *words]) == 0
        assert capsys.readouterr().out.count("nothing is learnt until step 1,000") == 1
    assert main(["check", *words, "seed=0,1"]) == 0
    job, told, _ = capsys.readouterr().out.partition("the run is short for what is set")
    assert told
    assert "2 jobs (0, 1)" in job
    assert main(["check", *words, "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert note["fix"] == "algorithm.learning_starts=4"


def test_explain_shows_every_part_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "env=cartpole", "algorithm=ppo"]) == 0
    out = capsys.readouterr().out
    for part in ("main.encoder", "critic.encoder", "policy", "distribution", "value"):
        assert re.search(rf"^{re.escape(part)} ", out, re.MULTILINE)
    assert "rule `vector`: a vector goes through linear layers" in out
    assert "9,155" in out
    assert list(tmp_path.iterdir()) == []


def test_three_typos_are_told_at_once_with_origin_and_right_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["algorithm.lrr=1", "model.encoder.hiden=[64]", "env.idd=x"]
    assert main(["train", *words]) == 2
    error = capsys.readouterr().err
    for word, right in zip(words, ("`lr`", "`hidden`", "`id`"), strict=True):
        assert f"set by  {word} (command line)" in error
        assert f"did you mean {right}" in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_typo_in_an_experiment_file_names_file_and_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\nalgorithm:\n  gama: 0.9\n")
    assert main(["train", "--config-dir", "conf", "experiment=mine"]) == 2
    error = capsys.readouterr().err
    assert "conf/experiment/mine.yaml:3" in error
    assert "did you mean `gamma`?" in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "there is no verb `trian`; did you mean `train`?"),
        (["train", "env=cartpol"], "did you mean `cartpole`?"),
        (["train", "env.id=CartPol-v1"], "CartPole-v1"),
        (["train", "model/encoder=mpl"], "did you mean `mlp`?"),
        (["train", "model.encoder.activation=rellu"], "did you mean `relu`?"),
        (["train", "model.encoder.kernel_initializer=xavier_unifrm"], "`xavier_uniform`?"),
        (["train", "model.encoder.hidden=[0,32]"], "greater than 0"),
        (["train", "model.encoder.hidden=64"], "a list"),
        (["train", "algorithm.lr=fast"], "a valid number"),
        (["train", "env.num_envs=0"], "greater than 0"),
        (["train", "+nothing=1"], "no option `nothing`"),
        (
            ["train", "model/encoder=cnn", "model.encoder.filters=[[8,2,1]]"],
            "`cnn` takes an image",
        ),
        (
            ["train", "model/encoder=one_hot", "model.encoder.filters=[[8,2,1]]"],
            "`filters` belongs to encoder `cnn`, `cnn3d` or `conv1d`, but `one_hot` is selected",
        ),
        (["train", "algorithm.num_minibatches=100000"], "cannot be cut into 100000 minibatches"),
        (["train", "device=cuda:77"], "torch cannot use this device"),
        (["train", "plugins=[no_such_plugin]"], "there is no module `no_such_plugin`"),
        (
            ["explain", "env=pendulum", "env.vectorization=vector_entry_point"],
            "set by  env.vectorization=vector_entry_point (command line)",
        ),
        (["train", "evaluation.seed=-1"], "greater than or equal to 0"),
        (["eval", "."], "is not a run directory"),
        (["resume", "nowhere"], "does not exist"),
    ],
)
def test_bad_input_leaves_with_2_and_one_clear_error(
    words: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_resume_refuses_another_environment_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK]) == 0
    directory = only_run(tmp_path)
    before = (directory / "experiment.json").read_text()
    assert main(["resume", str(directory), "env.id=Acrobot-v1"]) == 2
    error = capsys.readouterr().err
    assert "env.id = Acrobot-v1" in error
    assert "CartPole-v1" in error
    assert (directory / "experiment.json").read_text() == before


def test_a_cut_or_edited_checkpoint_is_refused_by_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK]) == 0
    directory = only_run(tmp_path)
    (weights,) = directory.glob("checkpoints/step_*/module/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-7])
    for verb in ("eval", "resume"):
        assert main([verb, str(directory)]) == 2
        assert "weights.safetensors" in capsys.readouterr().err


def test_a_run_never_writes_into_a_directory_that_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert main(["train", "--run-dir", "mine", *QUICK]) == 2
    error = capsys.readouterr().err
    assert "the run directory cannot be used" in error
    assert "exists already" in error
    assert "composer resume" not in error


def test_a_run_directory_that_cannot_be_made_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["train", "--run-dir", str(tmp_path / "file" / "x"), *QUICK]) == 2
    assert "file/x cannot be made: Not a directory" in capsys.readouterr().err

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert main(["train", "--run-dir", str(tmp_path / "x"), *QUICK]) == 2
    assert "x cannot be made: Permission denied" in capsys.readouterr().err


def test_a_run_that_cannot_begin_leaves_no_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**60))
    words = ["model.encoder.hidden=[1000000000000]", "--run-dir", "big"]
    assert main(["train", *words]) == 2
    assert "needs more memory than there is" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_runs_a_job_for_each_combination(tmp_path: Path) -> None:
    done = run(["train", "-m", *QUICK, "seed=0,1", "algorithm.lr=1e-3,1e-4"], tmp_path)
    assert done.returncode == 0, done.stderr
    jobs = sorted((tmp_path / "runs").glob("*/*/experiment.json"))
    settings = [json.loads(job.read_text()) for job in jobs]
    assert sorted((s["seed"], s["algorithm"]["lr"]) for s in settings) == [
        (0, 1e-4),
        (0, 1e-3),
        (1, 1e-4),
        (1, 1e-3),
    ]


def test_four_runs_started_together_have_four_directories(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "composer.cli.main", "train", *QUICK],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in started:
        _, error = process.communicate()
        assert process.returncode == 0, error.decode()
    assert len(list((tmp_path / "runs").iterdir())) == 4


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_leaves(number: int, status: int, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "composer.cli.main", "train", *SHORT[1:], "total_steps=100000000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:  # until training is under way
        if "steps/s" in line:
            break
    process.send_signal(number)
    process.communicate()
    assert process.returncode == status
    checkpoint = max((only_run(tmp_path) / "checkpoints").glob("step_*"))
    words = [str(only_run(tmp_path)), "evaluation.episodes=2"]
    assert main(["eval", *words]) == 0
    assert json.loads((checkpoint / "trainer.json").read_text())["progress"]["env_steps"] > 0


def test_a_killed_run_resumes(tmp_path: Path) -> None:
    words = [*QUICK[1:], "total_steps=100000000", "checkpoint.every=1000", "logging.every=500"]
    process = subprocess.Popen(
        [sys.executable, "-m", "composer.cli.main", "train", *words],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    while not list(tmp_path.glob("runs/*/checkpoints/step_*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    directory = only_run(tmp_path)
    newest = max(directory.glob("checkpoints/step_*"))
    reached = json.loads((newest / "trainer.json").read_text())["progress"]["env_steps"]
    assert main(["resume", str(directory), f"total_steps={reached + 1000}"]) == 0
    steps = [row["step"] for row in rows_of(directory) if "updates" in row]
    assert steps == sorted(set(steps))
    assert not list(directory.glob("checkpoints/.tmp-*"))


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_has_two_examples_and_leaves_with_0(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ([verb, "--help"], ["help", verb], [verb, "env=cartpole", "-h"]):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: composer {verb}")
        assert shown.partition("examples:")[2].count("composer ") >= 2


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], []])
def test_help_lists_every_verb_on_one_screen(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    listed = capsys.readouterr().out
    assert all(f"  {verb} " in listed for verb in VERBS)
    assert set(VERBS) <= {verb for verbs in GROUPS.values() for verb in verbs}
    assert len(listed.splitlines()) <= 24
    assert max(map(len, listed.splitlines())) <= 80


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"composer \d+\.\d+.*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "says", "fix"),
    [
        ("trian a=1", "no verb `trian`; did you mean `train`", "composer train a=1"),
        ("help trian", "no verb `trian`; did you mean `train`", "composer train --help"),
        ("frobnicate", "there is no verb `frobnicate`", "composer --help"),
        ("env=x 'a=[1, 2]'", "a verb comes before `env=x`", "composer train env=x 'a=[1, 2]'"),
        ("-m seed=1,2", "a verb comes before `-m`", "composer --help"),
        ("train --confg-dir x", "did you mean `--config-dir`", "composer train --config-dir x"),
        ("train --confg-dir='a b'", "no flag `--confg-dir`", "composer train '--config-dir=a b'"),
        ("explain -z", "`composer explain` has no flag `-z`", None),
        ("train --seed=3 -m", "`--seed`; a setting is written without", "composer train seed=3 -m"),
        ("eval x --seed 3 a=1", "a setting is written without", "composer eval x seed=3 a=1"),
        ("train --seed -m", "`composer train` has no flag `--seed`", None),
        ("train --run-dir", "`--run-dir` needs a value", None),
        ("eval", "RUN is not given: a run, or one of its checkpoints", None),
        ("eval total_steps=5", "RUN is not given", None),
        ("eval x --checkpoint bst", "cannot be `bst`", "composer eval x --checkpoint best"),
        ("completion", "SHELL is not given", "composer completion bash"),
        ("completion zsh fish", "`fish` is one word too many", None),
        ("explain --out x.svg --yaml", "`--out` and `--yaml` cannot be given together", None),
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_read_is_told_the_line_to_type(
    line: str,
    says: str,
    fix: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)) == 2
    error = capsys.readouterr().err
    assert error.startswith("the command cannot be read\n")
    assert says in error
    assert "usage" not in error
    tried = [
        line.strip().removeprefix("try     ") for line in error.splitlines() if "try  " in line
    ]
    assert tried == ([fix] if fix else [])


def test_a_missing_run_is_answered_with_the_newest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("old", "new", "middle")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        file = tmp_path / "runs" / name / "experiment.json"
        file.touch()
        os.utime(file, (0, (1, 3, 2)[index]))
    assert main(["resume", "seed=1"]) == 2
    assert "try     composer resume runs/new seed=1" in capsys.readouterr().err


def test_with_json_an_error_is_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    no_text = "\udcff"  # as Python has an argument that is not UTF-8
    assert main(["train", "--confg-dir", no_text, "--json"]) == 2
    out, err = capsys.readouterr()
    error = json.loads(out)
    assert err == ""
    assert error["error"] == "the command cannot be read"
    assert error["problems"][0]["fix"] == f"composer train --config-dir '{no_text}' --json"


def test_a_terminal_is_shown_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, terminal = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "composer.cli.main", "trian"],
        stderr=terminal,
        env=environment | {"TERM": "xterm-256color"},
    )
    os.close(terminal)
    assert done.returncode == 2
    assert b"\x1b[1;32mcomposer train\x1b[0m" in os.read(reader, 4096)
    os.close(reader)


@pytest.mark.parametrize(
    ("words", "unbuffered"),
    [
        (["--help"], ""),
        (["train", "--help"], "1"),
        (["train", "--nothing", "--json"], "1"),
        (["explain"], "1"),
        (["train", *QUICK], ""),
    ],
)
def test_a_reader_that_leaves_is_no_error(
    words: list[str], unbuffered: str, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "composer.cli.main", *words],
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_pipe_that_breaks_elsewhere_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise BrokenPipeError("an environment's process")

    monkeypatch.setattr("composer.cli.main._run", broken)
    with open(os.devnull, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(BrokenPipeError, match="process"):
            main(["explain"])


def test_an_experiment_without_its_header_is_told_the_line_to_add(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("algorithm: {lr: 1.0e-3}\n")
    assert main(["explain", "--config-dir", "conf", "experiment=mine"]) == 2
    error = capsys.readouterr().err
    assert "conf/experiment/mine.yaml lacks the line" in error
    assert "# @package _global_" in error


def test_the_help_of_a_verb_begins_with_a_whole_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for verb, sentence in {
        "ls": "List what there is: encoders, environments, rules.",
        "completion": "Print the script that completes on TAB.",
    }.items():
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        assert sentence in capsys.readouterr().out.splitlines()
