import numpy as np
import pytest
import torch
from experiments import driver_of, experiment, trainer_of
from gymnasium import spaces

from composer.columns import Columns
from composer.optimisers._schedule import Elapsed
from composer.training.reward_scale import RewardScale
from composer.training.rollouts import Rollout

GAMMA = 0.5


def rollout_of(rewards, ended=None, counted=None):
    rewards = np.asarray(rewards, np.float32)
    rollout = Rollout(spaces.Discrete(2), *rewards.shape)
    ended = np.zeros_like(rewards) if ended is None else np.asarray(ended)
    counted = np.ones_like(rewards) if counted is None else np.asarray(counted)
    for t in range(rollout.steps):
        never = np.zeros(len(rewards), np.bool_)
        rollout.write_outcome(t, rewards[:, t], never, ended[:, t], counted[:, t])
    return rollout


def rewards_of(rollout):
    return rollout.batch(torch.device("cpu"))[Columns.REWARDS]


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return():
    rollout = rollout_of([[4.0, 2.0]])
    RewardScale(1, GAMMA)(rollout)
    # Returns 4 and 2 + 4/2 = 4 do not vary; then 4, 4 and 6 + 4/2 = 8, of deviation √(32/9).
    assert rewards_of(rollout).tolist() == [[4.0, 2.0]]
    rollout = rollout_of([[4.0, 2.0, 6.0]])
    RewardScale(1, GAMMA)(rollout)
    expected = np.array([4.0, 2.0, 6.0]) / np.std([4, 4, 8])
    assert rewards_of(rollout)[0].tolist() == pytest.approx(expected)


def test_the_sum_starts_anew_after_an_end_and_goes_on_into_the_next_rollout():
    scale = RewardScale(1, GAMMA)
    scale(rollout_of([[4.0, 2.0, 8.0]], ended=[[0, 1, 0]]))
    scale(rollout_of([[2.0]]))
    assert scale.deviation == pytest.approx(np.std([4, 4, 8, 2 + 8 / 2]))


def test_an_end_at_the_last_step_is_not_carried_over():
    scale = RewardScale(1, GAMMA)
    scale(rollout_of([[4.0, 2.0]], ended=[[0, 1]]))
    scale(rollout_of([[0.0, 1.0]], counted=[[0, 1]]))
    assert scale.deviation == pytest.approx(np.std([4, 4, 1]))


def test_dummy_steps_are_not_taken_in():
    scale = RewardScale(1, GAMMA)
    scale(rollout_of([[4.0, 0.0, 2.0]], ended=[[1, 0, 0]], counted=[[1, 0, 1]]))
    assert scale.deviation == pytest.approx(np.std([4, 2]))


def test_the_statistics_are_numpys_over_every_counted_discounted_return():
    rng = np.random.default_rng(0)
    scale = RewardScale(3, 0.9)
    seen, carry = [], np.zeros(3)
    for _ in range(5):
        rewards = rng.normal(5.0, 3.0, (3, 7)).astype(np.float32)
        ended = rng.random((3, 7)) < 0.2
        counted = rng.random((3, 7)) < 0.8
        scale(rollout_of(rewards, ended, counted))
        for t in range(7):
            carry = 0.9 * carry + rewards[:, t]
            seen += carry[counted[:, t]].tolist()
            carry = np.where(ended[:, t], 0.0, carry)
    assert scale.deviation == pytest.approx(np.std(seen))
    assert scale.mean == pytest.approx(np.mean(seen))
    assert scale.count == len(seen)


def test_rewards_that_do_not_vary_are_left_as_they_are():
    rollout = rollout_of([[3.0]])
    scale = RewardScale(1, GAMMA)
    scale(rollout)
    assert scale.deviation == 1.0
    assert rewards_of(rollout).tolist() == [[3.0]]


def test_a_restart_keeps_the_statistics_and_forgets_the_sum():
    scale = RewardScale(1, GAMMA)
    scale(rollout_of([[4.0, 8.0]]))
    scale.restart()
    scale(rollout_of([[1.0]]))
    assert scale.deviation == pytest.approx(np.std([4, 8 + 4 / 2, 1]))


def test_the_statistics_are_saved_and_restored():
    scale, other = RewardScale(1, GAMMA), RewardScale(1, GAMMA)
    scale(rollout_of([[4.0, 8.0, 1.0]]))
    scale.restart()
    other.set_state(scale.get_state())
    rollout, same = rollout_of([[7.0, 1.0]]), rollout_of([[7.0, 1.0]])
    scale(rollout)
    other(same)
    assert torch.equal(rewards_of(rollout), rewards_of(same))


def test_reported_returns_are_raw():
    wanted = experiment("Counter", algorithm={"reward_scaling": "running"})
    with trainer_of(wanted) as trainer:
        assert trainer.step().metrics["episode_return"] == 1 + 2 + 3
        assert set(trainer.evaluate().returns) == {6.0}


def test_a_driver_that_never_scaled_may_begin_to():
    with driver_of(experiment("Counter")) as plain:
        plain.iterate(Elapsed())
        tensors, numbers = plain.get_tensors(), plain.get_numbers()
    with driver_of(experiment("Counter", algorithm={"reward_scaling": "running"})) as scaling:
        scaling.set_state(tensors, numbers)
        scaling.iterate(Elapsed())
        assert scaling.reward_scale.count == 2 * (3 + 3)  # of 8 steps, 2 are dummies
