"""A sweep's words, and the jobs they stand for."""

import errno
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from composer.checking import check
from composer.cli.main import main
from composer.errors import ConfigError, RunDirectoryError
from composer.experiment import Experiment
from composer.loading import Loader, jobs, load
from composer.loggers.tensorboard import TensorBoardLoggerConfig


def words_of(*words, config_dir=None):
    return [job.words for job in jobs(words, config_dir)]


def test_each_combination_is_a_job_the_last_word_varying_fastest():
    assert words_of("seed=0,1", "algorithm.lr=1e-3", "model.encoder.hidden=[64,64],[32]") == [
        ("seed=0", "algorithm.lr=1e-3", "model.encoder.hidden=[64,64]"),
        ("seed=0", "algorithm.lr=1e-3", "model.encoder.hidden=[32]"),
        ("seed=1", "algorithm.lr=1e-3", "model.encoder.hidden=[64,64]"),
        ("seed=1", "algorithm.lr=1e-3", "model.encoder.hidden=[32]"),
    ]


def test_a_job_knows_which_of_its_words_vary():
    assert [job.varied for job in jobs(["seed=0,1", "total_steps=5"])] == [("seed=0",), ("seed=1",)]


def test_words_without_a_sweep_are_one_job_as_they_were_typed():
    assert words_of("~tuned", "++seed=1", "model.encoder={}") == [
        ("~tuned", "++seed=1", "model.encoder={}")
    ]


def test_a_range_is_its_numbers():
    assert words_of("seed=range(0,3)") == [("seed=0",), ("seed=1",), ("seed=2",)]


def test_a_pattern_stands_for_the_options_that_fit_it(tmp_path):
    (tmp_path / "experiment").mkdir()
    for name in ("mine_a", "mine_b", "other"):
        (tmp_path / f"experiment/{name}.yaml").write_text("# @package _global_\nseed: 1\n")
    assert words_of("experiment=glob(mine_*)", config_dir=tmp_path) == [
        ("experiment=mine_a",),
        ("experiment=mine_b",),
    ]
    with pytest.raises(ConfigError, match=r"no experiment fits the pattern"):
        jobs(["experiment=glob(zz*)"], tmp_path)


def test_values_that_cannot_be_listed_are_refused():
    with pytest.raises(ConfigError) as raised:
        jobs(["algorithm.lr=interval(0,1)"])
    (problem,) = raised.value.problems
    assert problem.message.startswith("`algorithm.lr=interval(0,1)` is no list of values")
    assert problem.fix == "algorithm.lr=1,2,3"


def test_a_loader_gives_what_loading_alone_gives():
    loader = Loader()
    for words in (
        ["seed=1", "model.encoder.hidden=[64,64]"],
        ["seed=2", "algorithm.lr=${seed}"],
        ["env=pendulum", "seed=3"],
        ["seed=4"],
    ):
        shared, alone = loader.load(words), load(words)
        assert shared == alone
        assert shared.origin("seed") == alone.origin("seed")


QUICK = ["total_steps=300", "algorithm.rollout_steps=32", "env.num_envs=4", "logger=none"]
QUICK += ["evaluation.episodes=2", "evaluation.every=0"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_check_of_a_run_says_that_it_is_ready_and_writes_nothing(here, capsys):
    assert main(["check", "env=cartpole"]) == 0
    assert "cartpole_ppo is ready to train" in capsys.readouterr().out
    assert not list(here.iterdir())


def test_check_of_a_sweep_tells_each_mistake_once_with_its_jobs(here, capsys):
    words = ["check", "seed=0,-1", "algorithm.lr=1e-3,fast", "model.encoder.hidden=[64]"]
    assert main(words) == 2
    out = capsys.readouterr().out
    assert "3 of 4 jobs broken" in out
    for text in ("job 1", "job 2", "job 3", "seed = -1", "algorithm.lr = fast"):
        assert text in out
    assert not list(here.iterdir())


def test_check_gives_json(here, capsys):
    assert main(["check", "seed=0,-1", "--json"]) == 2
    ready, broken = json.loads(capsys.readouterr().out)
    assert ready["ready"]
    assert ready["parameters"] == 9155
    assert broken["words"] == ["seed=-1"]
    assert broken["problems"][0]["path"] == "seed"
    assert broken["problems"][0]["origin"] == "seed=-1 (command line)"


def test_check_gives_a_run_as_it_gives_a_job(here, capsys):
    assert main(["check", "seed=3", "--json"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert main(["check", "seed=3,4", "--json"]) == 0
    assert run == json.loads(capsys.readouterr().out)[0]


def test_jobs_that_are_not_listed_are_counted(here, capsys, monkeypatch):
    monkeypatch.setattr("composer.cli.check.ROWS", 2)
    assert main(["check", "seed=0,-1,-2,-3"]) == 2
    assert "… and 1 more that are broken" in capsys.readouterr().out


def test_numbers_of_jobs_stand_to_the_right(here, capsys):
    assert main(["check", "model.encoder.hidden=[8],[64]"]) == 0
    head, small, large = capsys.readouterr().out.splitlines()[:3]
    end = head.index("parameters") + len("parameters")
    for row in (small, large):
        assert row[end - 1].isdigit()
        assert row[end:].split() == ["ready"]


def test_check_finds_a_logger_whose_package_is_missing(here, monkeypatch):
    monkeypatch.setattr(TensorBoardLoggerConfig, "packages", ("no_such_package",))
    with pytest.raises(ConfigError) as raised:
        check(Experiment.load([]))
    (problem,) = raised.value.problems
    assert problem.path == "logger.tensorboard.type"
    assert "needs the package no_such_package" in problem.message
    assert problem.fix == "pip install no_such_package"


def test_check_finds_that_the_disk_has_no_room(here, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20 // 4))
    with pytest.raises(
        ConfigError, match=r"9,155 parameters take about 429.1 KiB, and .* 256.0 KiB"
    ):
        check(Experiment.load([]))


def test_check_finds_that_nothing_can_be_written(here):
    (here / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot be made: Not a directory"):
        check(Experiment.load([]), here / "file" / "runs")


def test_a_sweep_with_a_broken_job_starts_nothing(here, capsys):
    assert main(["train", "-m", *QUICK, "seed=0,-1"]) == 2
    assert "1 of 2 jobs broken" in capsys.readouterr().out
    assert not list(here.iterdir())


def test_a_sweep_not_checked_goes_on_after_a_broken_job(here, capsys):
    words = ["train", "-m", "--no-check-sweep", *QUICK, "seed=-1,0", "--run-dir", "mine"]
    assert main([*words, "hydra.sweeper.max_batch_size=1"]) == 2
    shown = capsys.readouterr()
    assert "1 of 2 jobs failed" in shown.out
    assert "set by  seed=-1 (command line)" in shown.err
    assert "Traceback" not in shown.err
    assert "seed = -1" in (here / "mine/0/failed.txt").read_text()
    assert (here / "mine/1/checkpoints/best.json").is_file()


def test_a_launcher_that_is_not_installed_is_one_clear_error(here, capsys):
    assert main(["train", "-m", *QUICK, "seed=0,1", "hydra/launcher=lunch"]) == 2
    assert "Could not find 'hydra/launcher/lunch'" in capsys.readouterr().err


def test_a_sweep_may_go_without_loggers(here):
    words = [word for word in QUICK if not word.startswith("logger")]
    assert main(["train", "-m", *words, "logger={}", "seed=0,1", "--run-dir", "mine"]) == 0
    assert json.loads((here / "mine/1/experiment.json").read_text())["logger"] == {}


def test_a_sweep_that_cannot_begin_leaves_no_directory(here, capsys):
    assert main(["train", "-m", *QUICK, "--run-dir", "mine", "hydra/launcher=lunch"]) == 2
    assert "Could not find" in capsys.readouterr().err
    assert not list(here.iterdir())


def test_a_full_disk_ends_a_sweep_without_a_traceback(here, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("omegaconf.OmegaConf.save", full)
    assert main(["train", "-m", "--no-check-sweep", *QUICK, "--run-dir", "mine", "seed=0,1"]) == 2
    assert "mine cannot be written: the disk is full" in capsys.readouterr().err
    assert not list(here.iterdir())


def test_where_nothing_can_be_written_no_sweep_begins(here, capsys):
    (here / "runs").write_text("")
    assert main(["train", "-m", "--no-check-sweep", *QUICK, "seed=0,1"]) == 2
    assert "runs cannot be made: Not a directory" in capsys.readouterr().err


def test_a_jobs_directory_stands_on_one_line_however_long(here, capsys):
    words = ["train", "-m", "--no-check-sweep", *QUICK, "seed=-1", "--run-dir", "long" * 30]
    assert main(words) == 2
    out = capsys.readouterr().out
    assert f"failed  {'long' * 30}/0" in out
    assert f"the first says why in {'long' * 30}/0/failed.txt" in out


def test_a_signal_ends_the_whole_sweep(tmp_path):
    words = ["train", "-m", *QUICK[1:], "total_steps=100000000", "seed=0,1"]
    running = subprocess.Popen(
        [sys.executable, "-m", "composer.cli.main", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert running.stdout is not None
    next(line for line in running.stdout if "steps/s" in line)
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=120)
    assert running.returncode == 128 + signal.SIGTERM
    assert "composer resume" in out
    assert not list(tmp_path.glob("runs/sweep_*/1"))
