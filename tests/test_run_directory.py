import errno
import fcntl
import os
import re

import pytest

from composer.errors import CheckpointError, RunDirectoryError
from composer.files import verify_directory, write_json
from composer.training.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    return RunDirectory.create(directory, {"seed": 3})


def saved(run, *steps, keep=10):
    for step in steps:
        run.save(step, lambda directory, step=step: write_json(directory / "a.json", step), keep)


def steps_of(run):
    return sorted(int(path.name.removeprefix("step_")) for path in run.checkpoints.glob("step_*"))


def test_a_run_is_opened_again_with_its_experiment(run):
    assert RunDirectory.open(run.path).experiment_data() == {"seed": 3}


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    message = "is not a run directory: it has no experiment.json and no checkpoints/"
    with pytest.raises(RunDirectoryError, match=re.escape(f"{tmp_path} {message}")):
        RunDirectory.open(tmp_path)


def test_a_run_directory_that_lacks_something_is_told_what(run):
    (run.path / "experiment.json").unlink()
    with pytest.raises(
        RunDirectoryError, match=r"not a run directory: it has no experiment\.json$"
    ):
        RunDirectory.open(run.path)


def test_the_parent_of_runs_is_refused_and_the_newest_in_it_named(run):
    with pytest.raises(RunDirectoryError) as error:
        RunDirectory.open(run.path.parent)
    assert f"the newest run in it is {run.path}" in str(error.value)


def test_a_file_is_no_run(run):
    with pytest.raises(RunDirectoryError, match=r"experiment\.json is a file, not the directory"):
        RunDirectory.open(run.path / "experiment.json")


def test_a_run_that_does_not_exist_is_refused_and_the_newest_beside_it_named(run):
    wrong = run.path.parent / "rum"
    with pytest.raises(RunDirectoryError) as error:
        RunDirectory.open(wrong)
    assert f"{wrong} does not exist" in str(error.value)
    assert f"the newest run beside it is {run.path}" in str(error.value)


def test_an_edited_experiment_is_refused(run):
    (run.path / "experiment.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="was edited: it is not a mapping"):
        run.experiment_data()


def test_a_run_without_a_checkpoint_has_none_to_load(run):
    assert (run.latest(), run.best(), run.best_return()) == (None, None, None)
    with pytest.raises(CheckpointError, match="has no checkpoint yet"):
        run.checkpoint()


def test_the_latest_checkpoint_is_the_one_of_the_most_steps(run):
    saved(run, 9, 10, 1_000_000, 200)
    assert run.latest().name == "step_000001000000"


def test_a_checkpoint_is_sealed(run):
    saved(run, 5)
    verify_directory(run.latest())


def test_only_the_newest_checkpoints_are_kept(run):
    saved(run, 10, 20, 30, 40, keep=2)
    assert steps_of(run) == [30, 40]


def test_the_best_checkpoint_is_kept_beside_the_newest(run):
    saved(run, 10, 20, keep=2)
    run.mark_best(run.checkpoints / "step_000000000010", 7.5)
    saved(run, 30, 40, 50, keep=2)
    assert steps_of(run) == [10, 40, 50]
    assert run.best_return() == 7.5
    assert run.checkpoint("best") == run.best() == run.checkpoints / "step_000000000010"
    assert run.checkpoint("latest") == run.checkpoints / "step_000000000050"


def test_what_was_the_best_goes_when_another_is(run):
    saved(run, 10, keep=1)
    run.mark_best(run.latest(), 1.0)
    saved(run, 20, keep=1)
    run.mark_best(run.latest(), 2.0)
    saved(run, 30, keep=1)
    assert steps_of(run) == [20, 30]


def test_the_same_step_may_be_saved_again(run):
    saved(run, 10, 10)
    assert steps_of(run) == [10]
    verify_directory(run.latest())


def test_what_fails_while_it_is_written_leaves_the_checkpoint_before(run):
    saved(run, 10)

    def fail(directory):
        write_json(directory / "a.json", 1)
        raise ValueError("no")

    for step in (10, 20):
        with pytest.raises(ValueError, match="no"):
            run.save(step, fail, 2)
    assert [path.name for path in run.checkpoints.iterdir()] == ["step_000000000010"]
    verify_directory(run.latest())


def test_what_a_killed_process_left_is_cleared_away_by_the_next_that_trains(run):
    saved(run, 10)
    leftover = run.checkpoints / ".tmp-step_000000000020-abcdef"
    leftover.mkdir()
    RunDirectory.open(run.path)  # to evaluate, while another process may be writing
    assert leftover.exists()
    with run.locked():
        assert [path.name for path in run.checkpoints.iterdir()] == ["step_000000000010"]


def test_checkpoints_of_a_future_that_is_given_up_stay_until_the_first_new_one(run):
    saved(run, 10, 20, 30, 40)
    run.mark_best(run.latest(), 9.0)
    run.go_on_from(20)
    assert (run.best(), run.best_return()) == (None, None)
    saved(run, 20)  # nothing was trained since
    assert steps_of(run) == [10, 20, 30, 40]
    assert (run.checkpoints / "best.json").exists()
    saved(run, 25)
    assert steps_of(run) == [10, 20, 25]
    assert run.latest().name == "step_000000000025"
    assert not (run.checkpoints / "best.json").exists()
    saved(run, 30)
    assert steps_of(run) == [10, 20, 25, 30]


def test_the_first_new_checkpoint_may_have_the_name_of_one_that_is_given_up(run):
    saved(run, 10, 20, 30)
    run.mark_best(run.checkpoints / "step_000000000020", 9.0)
    run.go_on_from(10)
    saved(run, 20)
    assert steps_of(run) == [10, 20]
    assert run.best() is None


def test_the_best_checkpoint_before_the_one_gone_back_to_stays_the_best(run):
    saved(run, 10, 20, 30)
    run.mark_best(run.checkpoints / "step_000000000010", 9.0)
    run.go_on_from(20)
    saved(run, 25, keep=1)
    assert steps_of(run) == [10, 25]
    assert run.best_return() == 9.0


def test_a_lock_ends_with_its_block(run):
    for _ in range(2):
        with run.locked():
            assert (run.path / "lock").read_text() == str(os.getpid())


def test_a_file_system_without_locks_is_said_to_be_so(run, monkeypatch):
    def unlockable(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", unlockable)
    with pytest.raises(RunDirectoryError, match="cannot lock files"), run.locked():
        pass


def test_a_directory_that_cannot_be_written_is_said_to_be_so(run):
    (run.path / "lock").mkdir()
    with pytest.raises(RunDirectoryError, match="cannot be written: Is a directory"), run.locked():
        pass


def test_a_new_run_that_fails_before_it_writes_anything_is_taken_away(run):
    with pytest.raises(ValueError, match="no"), run.removed_if_unused(), run.locked():
        raise ValueError("no")
    assert not run.path.exists()


def test_a_new_run_that_is_interrupted_stays(run):
    with pytest.raises(KeyboardInterrupt), run.removed_if_unused():
        raise KeyboardInterrupt
    RunDirectory.open(run.path)


@pytest.mark.parametrize("file", ["metrics.jsonl", "checkpoints/step_000000000001", "mine"])
def test_a_new_run_that_fails_after_it_has_written_something_stays(run, file):
    (run.path / file).touch()
    with pytest.raises(ValueError, match="no"), run.removed_if_unused():
        raise ValueError("no")
    assert (run.path / file).exists()
    assert (run.path / "experiment.json").exists()
