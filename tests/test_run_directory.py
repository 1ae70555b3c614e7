import re

import pytest

from composer.errors import CheckpointError
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
    message = "is not a run directory: it has no experiment.json and checkpoints/"
    with pytest.raises(CheckpointError, match=re.escape(f"{tmp_path} {message}")):
        RunDirectory.open(tmp_path)


def test_a_run_that_does_not_exist_is_refused_and_the_newest_beside_it_named(run):
    wrong = run.path.parent / "rum"
    with pytest.raises(CheckpointError) as error:
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


def test_opening_a_run_clears_away_what_a_killed_process_left(run):
    saved(run, 10)
    run.checkpoints.joinpath(".tmp-step_000000000020-abcdef").mkdir()
    RunDirectory.open(run.path)
    assert [path.name for path in run.checkpoints.iterdir()] == ["step_000000000010"]
