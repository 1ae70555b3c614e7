import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from experiments import experiment, new_run, rows_of, trainer_of, untimed
from gymnasium.vector import SyncVectorEnv

from composer.cli.progress import spread
from composer.engines.policy import evaluate_experiment
from composer.errors import ConfigError
from composer.module.step import Step
from composer.testing import Counter, Reach1D
from composer.training.evaluation import EvaluationResult, evaluate


class Zeros:
    """An executor that always takes action 0, and remembers how it was asked."""

    device = torch.device("cpu")

    def __init__(self):
        self.deterministic = set()

    def resample_noise(self, step, num_envs, generator):
        pass

    def act(self, obs, state=None, deterministic=False, is_first=None, generator=None, **_):
        self.deterministic.add(deterministic)
        return Step(None, np.zeros(len(obs), np.int64))


class Sampling:
    """An executor that takes a normal sample, or 0 where it is not to explore."""

    device = torch.device("cpu")

    def resample_noise(self, step, num_envs, generator):
        pass

    def act(self, obs, state=None, deterministic=False, is_first=None, generator=None, **_):
        noise = torch.randn(len(obs), 1, generator=generator).numpy()
        return Step(None, np.zeros_like(noise) if deterministic else noise)


def uneven(count):
    return SyncVectorEnv([lambda: gym.make("Uneven-v0")] * count)


def reach(count):
    return SyncVectorEnv([Reach1D] * count)


def test_each_environment_owes_its_share_however_short_its_episodes():
    # Environment 0 gets the even seed and short episodes. Taking the first ten that end would give
    # nine short ones and a long one.
    result = evaluate(Zeros(), uneven(2), 10, seed=0)
    assert sorted(result.returns) == [1.0] * 5 + [9.0] * 5
    assert sorted(result.lengths) == [1] * 5 + [9] * 5


def test_what_cannot_be_shared_out_evenly_goes_to_the_first():
    assert sorted(evaluate(Zeros(), uneven(2), 5, seed=0).returns) == [1.0] * 3 + [9.0] * 2
    assert evaluate(Zeros(), uneven(2), 1, seed=0).returns == (1.0,)


def test_dummy_steps_are_in_no_return_and_no_length():
    result = evaluate(Zeros(), SyncVectorEnv([Counter] * 2), 6, seed=0)
    assert result == EvaluationResult((6.0,) * 6, (3,) * 6)


def test_evaluation_asks_for_the_deterministic_action_unless_told_otherwise():
    executor = Zeros()
    evaluate(executor, uneven(1), 1, seed=0)
    assert executor.deterministic == {True}
    executor = Zeros()
    evaluate(executor, uneven(1), 1, seed=0, deterministic=False)
    assert executor.deterministic == {False}


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_same_seed_gives_the_same_result_in_the_same_environments(deterministic):
    envs = reach(3)
    first, second, other = (
        evaluate(Sampling(), envs, 9, seed=seed, deterministic=deterministic) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_metrics_describe_the_returns():
    metrics = EvaluationResult((1.0, 2.0, 6.0), (1, 2, 3)).metrics()
    assert metrics == {
        "return": 3.0,
        "return_std": pytest.approx(np.sqrt((4 + 1 + 9) / 3)),
        "return_min": 1.0,
        "return_max": 6.0,
        "length": 2.0,
    }


class SeenSeeds(gym.vector.VectorWrapper):
    def reset(self, *, seed=None, options=None):
        self.seed = seed
        return self.env.reset(seed=seed, options=options)


def seed_used(**settings):
    """What the environments were reset with, under evaluation settings and an experiment's seed."""
    seed = settings.pop("experiment_seed", 0)
    wanted = experiment("Counter", evaluation={"episodes": 2, "num_envs": 2, **settings}, seed=seed)
    envs = SeenSeeds(SyncVectorEnv([Counter] * 2))
    evaluate_experiment(wanted, wanted.blueprint.build(), envs)
    return envs.seed


def test_the_seed_of_evaluation_is_its_own_or_derived_from_the_experiments():
    assert seed_used(seed=7) == seed_used(seed=7, experiment_seed=1) == 7
    assert seed_used() == seed_used(seed=None)
    assert seed_used() != seed_used(experiment_seed=1)


def test_training_environments_are_seeded_by_another_stream():
    wanted = experiment("Counter")
    with trainer_of(wanted) as trainer:
        assert trainer._environment_seed() != seed_used()


def trained(tmp_path, name, evaluation):
    tmp_path.joinpath(name).mkdir()
    wanted = experiment("Reach1D", evaluation=evaluation)
    run = new_run(tmp_path / name, wanted)
    with trainer_of(wanted, run=run) as trainer:
        trainer.train()
    rows = rows_of(run)
    evaluations = [row for row in rows if "evaluation/return" in row]
    return [row for row in rows if row not in evaluations], evaluations


def test_evaluation_does_not_change_training(tmp_path):
    settings = {"episodes": 4, "num_envs": 2, "deterministic": False}
    without, only_last = trained(tmp_path, "without", {"every": 0, **settings})
    with_many, evaluations = trained(tmp_path, "with", {"every": 10, **settings, "seed": 3})
    assert with_many == without
    assert len(only_last) == 1
    # 16 steps of which half are dummies are 8 an update: after every second one, and at the end.
    assert [row["step"] for row in evaluations] == [16, 24, 32, 40, 56, 64]


def test_an_evaluation_is_a_row_of_its_own(tmp_path):
    wanted = experiment("Counter", total_steps=12)
    run = new_run(tmp_path, wanted)
    with trainer_of(wanted, run=run) as trainer:
        outcome = trainer.train()
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert untimed(row) == {
        "step": 12,
        "evaluation/return": 6.0,
        "evaluation/return_std": 0.0,
        "evaluation/return_min": 6.0,
        "evaluation/return_max": 6.0,
        "evaluation/length": 3.0,
    }
    assert outcome.evaluation == EvaluationResult((6.0,) * 4, (3,) * 4)


def test_no_more_environments_are_made_than_there_are_episodes():
    with trainer_of(experiment("Counter", evaluation={"episodes": 3, "num_envs": 8})) as trainer:
        assert len(trainer.evaluate().returns) == 3
        assert trainer._evaluation_envs.num_envs == 3


def test_an_episode_without_an_end_is_cut_and_the_last_of_its_environment():
    envs = SyncVectorEnv([lambda: Counter(length=10**9)] * 2)
    result = evaluate(Zeros(), envs, 6, seed=0, max_length=5)
    assert result.lengths == (5, 5)
    assert result.returns == (sum(range(1, 6)),) * 2
    assert result.cut == 2
    assert spread(result).endswith("over 2 episodes, 2 of them cut after 5 steps")


def test_episodes_that_end_by_themselves_are_not_said_to_be_cut():
    result = evaluate(Zeros(), SyncVectorEnv([Counter] * 2), 4, seed=0, max_length=4)
    assert result.cut == 0
    assert spread(result).endswith("over 4 episodes")


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(ConfigError, match=f"evaluation.seed = {seed}"):
        experiment("Counter", evaluation={"seed": seed})


def test_the_largest_seed_is_taken():
    evaluate(Zeros(), SyncVectorEnv([Counter] * 2), 2, seed=2**63 - 1)
