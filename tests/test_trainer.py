import errno
import json
import os

import pytest
import safetensors.torch
import torch
from experiments import experiment, new_run, rows_of, trainer_of

from composer.engines.policy import build_module
from composer.engines.trainer import Trainer
from composer.errors import (
    CheckpointError,
    CompositionError,
    ConfigError,
    EnvironmentFailure,
    TrainingError,
)
from composer.files import verify_directory
from composer.module.rl_module import RLModule
from composer.training.callbacks import Callback
from composer.training.run_directory import RunDirectory

CARTPOLE = {
    "env": {"id": "CartPole-v1", "num_envs": 2},
    "algorithm": {"lr_schedule": "linear", "kl_coef": 0.3, "kl_target": 1e-6},
    "total_steps": 1000,
}
REACH = {
    "env": {"id": "composer.testing:ReachTruncated-v0", "num_envs": 2},
    "algorithm": {"reward_scaling": "running", "lr_schedule": "cosine"},
    "total_steps": 1000,
}
EVERY_UPDATE = {"checkpoint": {"every": 1, "keep": 20}}
"""Counters take 12 steps an update: of 8 steps in each of 2 environments 2 are dummies."""
STEPS = 12


def steps(trainer, count):
    return [trainer.step().metrics for _ in range(count)]


def finish(run, wanted, callbacks=()):
    """Trains to the end as `composer train` and `resume` do."""
    return wanted.config.engine.train(wanted, RunDirectory.open(run.path), callbacks)


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.module.parameters()])


# --- save and restore

both = pytest.mark.parametrize("settings", [CARTPOLE, REACH], ids=["cartpole", "reach"])


@both
def test_a_new_trainer_goes_on_from_a_checkpoint_as_the_old_one_does(tmp_path, settings):
    wanted = experiment(**settings)
    with trainer_of(wanted) as trainer:
        steps(trainer, 3)
        trainer.save(tmp_path / "saved")
        trainer.restore(tmp_path / "saved")
        expected = steps(trainer, 4)
        assert trainer.progress.updates == 7
    with trainer_of(wanted) as other:
        other.restore(tmp_path / "saved")
        assert steps(other, 4) == expected
        assert other.progress.env_steps == trainer.progress.env_steps
        assert torch.equal(weights(other), weights(trainer))


@both
def test_a_trainer_goes_back_to_its_own_checkpoint(tmp_path, settings):
    with trainer_of(experiment(**settings)) as trainer:
        steps(trainer, 2)
        trainer.save(tmp_path / "saved")
        trainer.restore(tmp_path / "saved")
        expected = steps(trainer, 3)
        trainer.restore(tmp_path / "saved")
        assert steps(trainer, 3) == expected


def test_a_trainer_goes_back_to_its_beginning(tmp_path):
    with trainer_of(experiment(**CARTPOLE)) as trainer:
        trainer.save(tmp_path / "saved")
        expected = steps(trainer, 3)
        trainer.restore(tmp_path / "saved")
        assert steps(trainer, 3) == expected


def test_environments_restart_with_other_seeds_at_another_step(tmp_path):
    with trainer_of(experiment(**REACH)) as trainer:
        first = trainer.driver.collector.obs.copy()
        steps(trainer, 1)
        trainer.save(tmp_path / "saved")
        trainer.restore(tmp_path / "saved")
        assert (trainer.driver.collector.obs != first).all()
        assert trainer.driver.collector.is_first.all()


def test_a_checkpoint_holds_json_and_safetensors_and_nothing_else(tmp_path):
    with trainer_of(experiment(**REACH)) as trainer:
        steps(trainer, 1)
        trainer.save(tmp_path / "saved")
    files = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path / "saved")) for path in files} == {
        "experiment.json",
        "manifest.json",
        "module/module.json",
        "module/weights.safetensors",
        "trainer.json",
        "trainer.safetensors",
    }
    for path in files:
        read = json.loads if path.suffix == ".json" else safetensors.torch.load
        read(path.read_bytes())


def test_the_optimisers_state_is_saved_by_parameter_name(tmp_path):
    with trainer_of(experiment()) as trainer:
        steps(trainer, 1)
        trainer.save(tmp_path / "saved")
        names = {name for name, _ in trainer.module.named_parameters()}
    saved = safetensors.torch.load((tmp_path / "saved" / "trainer.safetensors").read_bytes())
    keys = ("step", "exp_avg", "exp_avg_sq")
    optimiser = {f"optimiser/{name}/{key}" for name in names for key in keys}
    assert set(saved) == optimiser | {"random/actions", "random/minibatches"}


def test_the_module_of_a_checkpoint_acts_as_the_trainers(tmp_path):
    with trainer_of(experiment(**REACH)) as trainer:
        steps(trainer, 1)
        trainer.save(tmp_path / "saved")
        obs = trainer.driver.collector.obs
        step = trainer.module.act(obs, deterministic=True)
        again = RLModule.from_checkpoint(tmp_path / "saved").act(obs, deterministic=True)
    assert (step.env_actions == again.env_actions).all()


@pytest.mark.parametrize(
    "name", ["trainer.json", "trainer.safetensors", "module/weights.safetensors"]
)
def test_a_damaged_file_is_named_and_nothing_is_loaded(tmp_path, name):
    wanted = experiment()
    with trainer_of(wanted) as trainer:
        steps(trainer, 1)
        trainer.save(tmp_path / "saved")
    file = tmp_path / "saved" / name
    whole = file.read_bytes()
    edited = whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]
    with trainer_of(wanted) as trainer:
        before = weights(trainer).clone()
        for damaged, what in ((whole[: len(whole) // 2], "cut short"), (edited, "edited")):
            file.write_bytes(damaged)
            with pytest.raises(CheckpointError) as error:
                trainer.restore(tmp_path / "saved")
            assert f"{file} was {what}" in str(error.value)
        file.unlink()
        with pytest.raises(CheckpointError) as error:
            trainer.restore(tmp_path / "saved")
        assert f"{file} is missing" in str(error.value)
        assert torch.equal(weights(trainer), before)
        assert trainer.progress.updates == 0


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    small = experiment(model={"encoder": {"type": "mlp", "hidden": [4]}})
    with trainer_of(small) as trainer:
        trainer.save(tmp_path / "saved")
    with trainer_of(experiment()) as trainer:
        with pytest.raises(CheckpointError) as error:
            trainer.restore(tmp_path / "saved")
        assert f"{tmp_path / 'saved'} holds another model" in str(error.value)
        assert small.blueprint.fingerprint in str(error.value)


def test_a_directory_that_is_no_checkpoint_is_refused(tmp_path):
    with trainer_of(experiment()) as trainer:
        with pytest.raises(CheckpointError, match="there is no directory"):
            trainer.restore(tmp_path / "nowhere")
        with pytest.raises(CheckpointError, match="it is not a checkpoint, or not all of it"):
            trainer.restore(tmp_path)


def test_a_full_disk_leaves_the_checkpoint_before_and_no_temporary_directory(tmp_path, monkeypatch):
    wanted = experiment(**EVERY_UPDATE)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        steps(trainer, 1)
        good = run.latest()
        writes = []

        def full_after_two(descriptor):
            writes.append(descriptor)
            if len(writes) > 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full_after_two)
            with pytest.raises(CheckpointError) as error:
                trainer.step()
    assert "the disk is full (No space left on device)" in str(error.value)
    assert "what was written before is intact" in str(error.value)
    assert list(run.checkpoints.iterdir()) == [good]
    with trainer_of(wanted) as trainer:
        trainer.restore(good)
        assert trainer.progress.updates == 1


# --- a run


def test_checkpoints_are_kept_as_told_and_the_best_beside_them(tmp_path):
    wanted = experiment(
        total_steps=6 * STEPS,
        checkpoint={"every": STEPS, "keep": 2},
        evaluation={"every": STEPS, "episodes": 2, "num_envs": 2},
    )
    run = new_run(tmp_path, wanted)
    finish(run, wanted)
    # Every evaluation of a counter gives 6: the first stays the best.
    names = sorted(path.name for path in run.checkpoints.glob("step_*"))
    assert names == [f"step_{n * STEPS:012d}" for n in (1, 5, 6)]
    assert run.best().name == names[0]
    assert run.best_return() == 6.0


def test_a_better_evaluation_makes_another_checkpoint_the_best(tmp_path):
    wanted = experiment(**EVERY_UPDATE)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        trainer.progress.best = 5.5
        steps(trainer, 1)
        trainer.evaluate()
        assert run.best() == run.latest()
        assert trainer.progress.best == run.best_return() == 6.0
        trainer.progress.best = 6.5
        steps(trainer, 1)
        trainer.evaluate()
        assert run.best() != run.latest()


def test_a_run_that_is_stopped_goes_on_to_its_end(tmp_path):
    wanted = experiment(total_steps=4 * STEPS)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        trainer.train(lambda: trainer.progress.updates == 2)
    assert run.latest().name == f"step_{2 * STEPS:012d}"
    outcome = finish(run, wanted)
    assert outcome.finished
    assert run.latest().name == f"step_{4 * STEPS:012d}"
    assert [row["updates"] for row in rows_of(run) if "updates" in row] == [1, 2, 3, 4]


class Numbering(Callback):
    """A metric that differs from update to update, whatever is learnt."""

    def on_episode_end(self, trainer, episode):
        return {"update": float(trainer.progress.updates)}


def test_a_row_is_the_same_whether_its_run_was_stopped_inside_it_or_not(tmp_path):
    wanted = experiment(total_steps=4 * STEPS, logging={"every": 2 * STEPS})
    rows = []
    for name, stop_after in (("whole", 0), ("stopped", 1)):
        tmp_path.joinpath(name).mkdir()
        run = new_run(tmp_path / name, wanted)
        if stop_after:
            with trainer_of(wanted, [Numbering()], run) as trainer:
                trainer.train(lambda: trainer.progress.updates == 1)
        finish(run, wanted, [Numbering()])
        rows.append([(row["step"], row.get("update")) for row in rows_of(run)])
    assert rows[0] == rows[1] == [(24, (1 + 2) / 2), (48, (3 + 4) / 2), (48, None)]


def test_rows_after_the_checkpoint_are_written_again_and_half_a_line_is_lost(tmp_path):
    wanted = experiment(total_steps=4 * STEPS)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        trainer.train(lambda: trainer.progress.updates == 2)
        steps(trainer, 1)  # and then the process is killed
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 48, "train/lo')
    finish(run, wanted)
    assert [(row["step"], row.get("updates")) for row in rows_of(run)] == [
        (12, 1),
        (24, 2),
        (36, 3),
        (48, 4),
        (48, None),  # the evaluation
    ]


def test_a_run_killed_before_its_first_checkpoint_begins_anew(tmp_path):
    wanted = experiment(total_steps=2 * STEPS)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        steps(trainer, 1)  # and then the process is killed
    lost = rows_of(run)
    finish(run, wanted)
    assert [(row["step"], row.get("updates")) for row in rows_of(run)] == [
        (12, 1),
        (24, 2),
        (24, None),
    ]
    assert rows_of(run)[0] == lost[0]


def test_what_is_gathered_last_is_written_at_the_end(tmp_path):
    wanted = experiment(total_steps=3 * STEPS, logging={"every": 2 * STEPS})
    run = new_run(tmp_path, wanted)
    finish(run, wanted)
    assert [row["updates"] for row in rows_of(run) if "updates" in row] == [2, 3]


def test_without_a_run_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with trainer_of(experiment(**EVERY_UPDATE)) as trainer:
        trainer.train()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "callbacks", "told"),
    [
        (["env=cartpole"], (), r"the experiment is .* for instance Experiment.load"),
        (None, (), "the experiment is null"),
        (experiment(), [print], r"callbacks are .*; they must be a list of Callback"),
        (experiment(), Callback(), "they must be a list"),
    ],
)
def test_a_trainer_takes_an_experiment_and_callbacks(wanted, callbacks, told):
    with pytest.raises(ConfigError, match=told):
        Trainer(wanted, callbacks)


def test_threads_are_set_as_told_and_one_for_a_small_model():
    before = torch.get_num_threads()
    try:
        with trainer_of(experiment(threads=2)):
            assert torch.get_num_threads() == 2
        with trainer_of(experiment()):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_trainer_that_goes_back_gives_up_what_came_after(tmp_path):
    wanted = experiment(**EVERY_UPDATE, total_steps=1000)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        steps(trainer, 4)
        trainer.evaluate()
        assert trainer.progress.best == 6.0
        trainer.restore(run.saved()[1])
        assert trainer.progress.best is None
        assert len(run.saved()) == 4
        steps(trainer, 1)
    names = [path.name for path in run.saved()]
    assert names == [f"step_{n * STEPS:012d}" for n in (1, 2, 3)]
    assert run.best() is None
    assert [row["updates"] for row in rows_of(run)] == [1, 2, 3]


def test_an_engine_goes_on_from_the_checkpoint_it_is_told(tmp_path):
    wanted = experiment(**EVERY_UPDATE, total_steps=4 * STEPS)
    run = new_run(tmp_path, wanted)
    finish(run, wanted)
    longer = experiment(**EVERY_UPDATE, total_steps=3 * STEPS)
    longer.config.engine.train(longer, run, checkpoint=run.saved()[0])
    assert run.latest().name == f"step_{3 * STEPS:012d}"
    assert run.experiment_data() == longer.to_data()


def test_a_run_that_cannot_be_restored_keeps_its_experiment(tmp_path):
    wanted = experiment(total_steps=STEPS)
    run = new_run(tmp_path, wanted)
    finish(run, wanted)
    (run.latest() / "trainer.json").unlink()
    with pytest.raises(CheckpointError, match=r"trainer\.json is missing"):
        finish(run, experiment(total_steps=2 * STEPS))
    assert run.experiment_data() == wanted.to_data()


def test_steps_per_second_leave_out_evaluation(monkeypatch):
    with trainer_of(experiment(evaluation={"every": STEPS, "episodes": 2})) as trainer:
        now = [0.0]

        def lasting(seconds, function):
            def timed(*args):
                now[0] += seconds
                return function(*args)

            return timed

        monkeypatch.setattr("composer.engines.trainer.time.perf_counter", lambda: now[0])
        trainer.clock.start = 0.0
        trainer.driver.iterate = lasting(2.0, trainer.driver.iterate)
        trainer.evaluate = lasting(100.0, trainer.evaluate)
        steps(trainer, 2)
        row = trainer.log()
    assert row["time/steps_per_second"] == 2 * STEPS / (2 * 2.0)
    assert row["time/seconds"] == 2 * 102.0


# --- what stops it


class Stopping:
    """Says stop at the n-th time it is asked."""

    def __init__(self, at):
        self.left = at

    def __call__(self):
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("every", [STEPS, 0], ids=["on the way", "the last"])
def test_an_evaluation_that_is_stopped_is_no_result_and_begun_again_when_the_run_goes_on(
    tmp_path, every
):
    evaluation = {"every": every, "episodes": 4, "num_envs": 2}
    total = 2 * STEPS if every else STEPS
    wanted = experiment(total_steps=total, evaluation=evaluation)
    rows = []
    for name in ("whole", "stopped"):
        tmp_path.joinpath(name).mkdir()
        run = new_run(tmp_path / name, wanted)
        if name == "stopped":
            with trainer_of(wanted, run=run) as trainer:
                outcome = trainer.train(Stopping(at=4))  # twice for the update, then at steps
            assert (outcome.finished, outcome.evaluation, outcome.best) == (False, None, None)
            assert run.latest().name == f"step_{STEPS:012d}"
            assert all("evaluation/return" not in row for row in rows_of(run))
        outcome = finish(run, wanted)
        assert outcome.finished
        assert outcome.evaluation.mean == 6.0
        rows.append([(row["step"], "evaluation/return" in row) for row in rows_of(run)])
    assert rows[0] == rows[1]


def test_a_finished_run_is_not_evaluated_again(tmp_path):
    wanted = experiment(total_steps=STEPS)
    run = new_run(tmp_path, wanted)
    finish(run, wanted)
    before = rows_of(run)
    outcome = finish(run, wanted)
    assert (outcome.finished, outcome.evaluation) == (True, None)
    assert rows_of(run) == before


def test_a_trainer_that_was_stopped_evaluates_when_it_is_asked_to():
    with trainer_of(experiment()) as trainer:
        trainer.train(lambda: True)
        assert trainer.evaluate().mean == 6.0


class Interrupted(Callback):
    """A second Ctrl-C, when a row has been written."""

    def on_log(self, trainer, row):
        if trainer.progress.updates == 2:
            raise KeyboardInterrupt


def test_an_interrupt_between_updates_saves_what_was_done(tmp_path):
    wanted = experiment()
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, [Interrupted()], run) as trainer, pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert run.latest().name == f"step_{2 * STEPS:012d}"


def test_an_interrupt_within_an_update_saves_nothing_half_done(tmp_path):
    wanted = experiment(checkpoint={"every": 1})
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        steps(trainer, 1)
        one_step = trainer.driver.algorithm._step

        def interrupted(minibatch):
            one_step(minibatch)
            raise KeyboardInterrupt

        trainer.driver.algorithm._step = interrupted
        kept = (run.latest() / "manifest.json").read_bytes()
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
    assert (run.latest() / "manifest.json").read_bytes() == kept


def test_a_stop_asked_for_while_data_is_gathered_saves_before_the_update_and_after(tmp_path):
    wanted = experiment(checkpoint={"every": 0, "keep": 9})
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        trainer.train(Stopping(at=4))  # in the second iteration
    assert [path.name for path in run.saved()] == [f"step_{n * STEPS:012d}" for n in (1, 2)]


def test_an_interrupt_while_a_checkpoint_is_written_writes_it_again(tmp_path, monkeypatch):
    wanted = experiment(total_steps=STEPS)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        write = trainer.driver.get_tensors
        interrupts = [KeyboardInterrupt]

        def interrupted():
            if interrupts:
                raise interrupts.pop()
            return write()

        trainer.driver.get_tensors = interrupted
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
    verify_directory(run.latest())


# --- what goes wrong


def test_a_model_that_cannot_be_allocated_is_told_by_its_part():
    with pytest.raises(CompositionError) as error:
        build_module(experiment(model={"encoder": {"type": "mlp", "hidden": [10**12]}}))
    (problem,) = error.value.problems
    assert problem.path == "model.encoder"
    assert "needs more memory than there is" in problem.message


def infinite(at, **data):
    env = {
        "id": "composer.testing:Counter-v0",
        "num_envs": 2,
        "wrappers": [{"path": "experiments.Infinite", "kwargs": {"at": at}}],
    }
    return experiment(env, **data)


def test_an_infinite_loss_stops_training_and_the_last_good_checkpoint_loads(tmp_path):
    wanted = infinite(at=15, **EVERY_UPDATE)  # 6 steps of an environment are an update: the third
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer, pytest.raises(TrainingError) as error:
        trainer.train()
    good = run.checkpoints / f"step_{2 * STEPS:012d}"
    text = str(error.value)
    assert "not finite in update 3 (36 environment steps): loss" in text
    assert f"the last good checkpoint is {good}" in text
    assert run.latest() == good
    verify_directory(good)
    with trainer_of(experiment()) as trainer:
        trainer.restore(good)
        assert weights(trainer).isfinite().all()
        assert trainer.progress.updates == 2


def test_a_learning_rate_beyond_measure_stops_training_without_a_checkpoint_to_name():
    wanted = experiment(algorithm={"lr": 1e30})
    with trainer_of(wanted) as trainer, pytest.raises(TrainingError) as error:
        trainer.train()
    assert "not finite in update 1" in str(error.value)
    assert "checkpoint" not in str(error.value)


class Poison(Callback):
    """Makes a weight NaN after an update, as an overflow of the last step would."""

    def __init__(self, update):
        self.update = update

    def on_update(self, trainer, metrics):
        if trainer.progress.updates == self.update:
            next(trainer.module.parameters()).data[0] = float("nan")


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    wanted = experiment(**EVERY_UPDATE)
    run = new_run(tmp_path, wanted)
    refused = pytest.raises(TrainingError, match=r"not finite in update 2 .*: the weights")
    with trainer_of(wanted, [Poison(2)], run) as trainer, refused:
        trainer.train()
    assert [path.name for path in run.checkpoints.iterdir()] == [f"step_{STEPS:012d}"]


def test_an_environment_that_raises_is_named_with_its_traceback_and_the_state_saved(tmp_path):
    env = {"id": "composer.testing:Raises-v0", "num_envs": 2, "kwargs": {"at": 12}}
    wanted = experiment(env, total_steps=1000)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer, pytest.raises(EnvironmentFailure) as error:
        trainer.train()
    text = str(error.value)
    assert "environment 0 of 2" in text
    assert text.count("Traceback (most recent call last)") == 1
    assert text.endswith("at the same time raised: 1")
    assert "ValueError: step 12, as it was told to: 100%" in text
    with trainer_of(wanted, run=run) as trainer:
        trainer.restore(run.latest())
        assert trainer.progress.env_steps == 16
        assert trainer.progress.updates == 1
        steps(trainer, 1)


def test_total_steps_end_training_and_further_steps_may_be_taken():
    with trainer_of(experiment(total_steps=STEPS + 1)) as trainer:
        assert [trainer.step().done for _ in range(3)] == [False, True, True]


def test_the_learning_rate_falls_with_the_steps_taken():
    wanted = experiment(total_steps=4 * STEPS, algorithm={"lr": 1e-3, "lr_schedule": "linear"})
    with trainer_of(wanted) as trainer:
        rates = [metrics["train/lr"] for metrics in steps(trainer, 5)]
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3, 0.0])
