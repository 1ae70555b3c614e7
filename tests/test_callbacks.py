import pytest
from experiments import experiment, new_run, rows_of, trainer_of, untimed

from composer.errors import EnvironmentFailure
from composer.training.callbacks import Callback

# Two counters of three steps and a dummy: eight steps of each are 12 that count, in 4 episodes.
ONE_UPDATE = {"total_steps": 12}


class Diary(Callback):
    """Writes down what it is told."""

    def __init__(self, diary=None, name=""):
        self.diary = [] if diary is None else diary
        self.name = name
        self.given = {}

    def note(self, what, given=None):
        self.diary.append(self.name + what)
        self.given.setdefault(what, []).append(given)

    def on_start(self, trainer):
        self.note("start", trainer.progress.env_steps)

    def on_episode_end(self, trainer, episode):
        self.note("episode", episode)

    def on_update(self, trainer, metrics):
        self.note("update", dict(metrics))

    def on_log(self, trainer, row):
        self.note("log", dict(row))

    def on_evaluation(self, trainer, result):
        self.note("evaluation", result)

    def on_end(self, trainer):
        self.note("end", trainer.progress.env_steps)


class Won(Callback):
    def on_episode_end(self, trainer, episode):
        return {"won": float(episode.info["won"]), "twice": 2.0 * episode.info["nested"]["length"]}


def test_callbacks_are_called_in_the_order_of_what_happens():
    diary = Diary()
    with trainer_of(experiment(**ONE_UPDATE), [diary]) as trainer:
        trainer.train()
    assert diary.diary == ["start", *["episode"] * 4, "update", "log", "evaluation", "end"]


def test_several_callbacks_take_turns():
    diary = []
    callbacks = [Diary(diary, "a "), Diary(diary, "b ")]
    with trainer_of(experiment(**ONE_UPDATE), callbacks) as trainer:
        trainer.train()
    assert diary[:6] == ["a start", "b start", "a episode", "b episode", "a episode", "b episode"]
    assert diary[-2:] == ["a end", "b end"]


def test_callbacks_are_told_what_happened(tmp_path):
    diary = Diary()
    wanted = experiment(**ONE_UPDATE)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, [diary], run) as trainer:
        outcome = trainer.train()
    assert [(e.return_, e.length, e.env) for e in diary.given["episode"]] == [
        (6.0, 3, 0),
        (6.0, 3, 1),
    ] * 2
    (metrics,) = diary.given["update"]
    assert metrics["episode_return"] == 6.0
    assert {"train/loss", "train/entropy", "train/kl"} < set(metrics)
    (row,) = diary.given["log"]
    assert {"step": 12} | untimed(row) == rows_of(run)[0]
    assert diary.given["evaluation"] == [outcome.evaluation]
    assert (diary.given["start"], diary.given["end"]) == ([0], [12])


def test_metrics_of_ones_own_are_averaged_over_the_episodes_of_a_row(tmp_path):
    env = {"id": "Uneven-v0", "num_envs": 2}
    wanted = experiment(env, total_steps=1, algorithm={"rollout_steps": 10})
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, [Won()], run) as trainer:
        trainer.train()
    # Ten steps: five episodes of one step and its dummy, and one of nine steps.
    row = rows_of(run)[0]
    assert row["won"] == pytest.approx(5 / 6)
    assert row["twice"] == pytest.approx(2 * (5 * 1 + 9) / 6)
    assert row["episode_length"] == pytest.approx((5 * 1 + 9) / 6)


def test_the_end_is_told_also_after_a_failure():
    diary = Diary()
    env = {"id": "composer.testing:Raises-v0", "num_envs": 2, "kwargs": {"at": 12}}
    with trainer_of(experiment(env), [diary]) as trainer, pytest.raises(EnvironmentFailure):
        trainer.train()
    assert diary.diary == ["start", "update", "log", "end"]


def test_training_stops_when_it_is_asked_to():
    updates = []
    with trainer_of(experiment()) as trainer:
        outcome = trainer.train(lambda: trainer.progress.updates == 2)
        updates.append(trainer.progress.updates)
    assert updates == [2]
    assert (outcome.finished, outcome.evaluation, outcome.env_steps) == (False, None, 24)


def test_training_that_is_not_stopped_is_finished_and_evaluated():
    with trainer_of(experiment()) as trainer:
        outcome = trainer.train()
    assert outcome.finished
    assert outcome.evaluation.mean == outcome.best == 6.0
    assert outcome.env_steps == 72  # of 12 each, the first multiple from 64 on
