import gymnasium as gym
import numpy as np
import pytest
import torch
from experiments import Probe
from gymnasium.vector import SyncVectorEnv

from composer.columns import Columns
from composer.executors import make_executor
from composer.module.step import Step
from composer.testing import Counter, CounterVector
from composer.training.collector import Collector, info_of
from composer.training.rollouts import Rollout

CPU = torch.device("cpu")


def sync(num_envs, length, end):
    return SyncVectorEnv([lambda: Counter(length, end)] * num_envs)


def native(num_envs, length, end):
    return CounterVector(num_envs, length, end)


def collector_in(envs, executor=None, initial_state=None):
    executor = executor or make_executor(
        Probe(envs.single_observation_space, envs.single_action_space)
    )
    collector = Collector(envs, executor, initial_state, torch.Generator().manual_seed(0))
    collector.restart(0)
    return collector


def collected(collector, steps):
    """One rollout's columns as lists, and what the collector returned."""
    rollout = Rollout(collector.envs.single_observation_space, collector.num_envs, steps)
    counted, episodes = collector.collect(rollout)
    columns = {name: column.clone() for name, column in rollout.batch(CPU).items()}
    columns[Columns.OBS] = columns[Columns.OBS].squeeze(-1)
    return {name: column.tolist() for name, column in columns.items()}, counted, episodes


both = pytest.mark.parametrize("make", [sync, native])
ends = pytest.mark.parametrize("end", ["terminated", "truncated"])


@both
@ends
def test_the_final_observation_is_kept_and_the_dummy_step_after_it_is_masked(make, end):
    columns, counted, _ = collected(collector_in(make(1, 2, end)), steps=5)
    # Two steps, the dummy step that resets, two steps of the next episode.
    assert columns[Columns.OBS] == [[0, 1, 2, 0, 1, 2]]
    assert columns[Columns.REWARDS] == [[1, 2, 0, 1, 2]]
    assert columns[Columns.LOSS_MASK] == [[True, True, False, True, True]]
    assert columns[Columns.IS_FIRST] == [[True, False, False, True, False, False]]
    ended = [[False, True, False, False, True]]
    other = Columns.TRUNCATEDS if end == "terminated" else Columns.TERMINATEDS
    flag = Columns.TERMINATEDS if end == "terminated" else Columns.TRUNCATEDS
    assert columns[flag] == ended
    assert columns[other] == [[False] * 5]
    assert counted == 4


@both
def test_an_episode_that_ends_with_a_rollout_has_its_dummy_step_in_the_next(make):
    collector = collector_in(make(1, 2, "truncated"))
    first, counted, episodes = collected(collector, steps=2)
    assert first[Columns.OBS] == [[0, 1, 2]]
    assert first[Columns.LOSS_MASK] == [[True, True]]
    assert first[Columns.TRUNCATEDS] == [[False, True]]
    assert (counted, [e.return_ for e in episodes]) == (2, [3.0])

    second, counted, episodes = collected(collector, steps=2)
    assert second[Columns.OBS] == [[2, 0, 1]]
    assert second[Columns.LOSS_MASK] == [[False, True]]
    assert second[Columns.IS_FIRST] == [[False, True, False]]
    assert (counted, episodes) == (1, [])

    third, counted, episodes = collected(collector, steps=2)
    assert third[Columns.OBS] == [[1, 2, 0]]
    assert third[Columns.REWARDS] == [[2, 0]]
    assert third[Columns.LOSS_MASK] == [[True, False]]
    assert third[Columns.IS_FIRST] == [[False, False, True]]
    assert (counted, [(e.return_, e.length) for e in episodes]) == (1, [(3.0, 2)])


@both
def test_dummy_steps_count_neither_as_steps_nor_in_returns_and_lengths(make):
    # Episodes of 3 steps and a dummy: 4 · 5 steps of each environment are 5 episodes.
    _, counted, episodes = collected(collector_in(make(2, 3, "terminated")), steps=20)
    assert counted == 2 * 5 * 3
    assert [(e.return_, e.length) for e in episodes] == [(6.0, 3)] * 10
    assert [e.env for e in episodes] == [0, 1] * 5


def test_environments_that_end_at_different_times_are_masked_apart():
    envs = SyncVectorEnv([lambda: Counter(1), lambda: Counter(2)])
    columns, counted, episodes = collected(collector_in(envs), steps=3)
    assert columns[Columns.LOSS_MASK] == [[True, False, True], [True, True, False]]
    assert columns[Columns.OBS] == [[0, 1, 0, 1], [0, 1, 2, 0]]
    assert counted == 4
    assert [(e.env, e.length) for e in episodes] == [(0, 1), (1, 2), (0, 1)]


def test_an_unfinished_episode_goes_on_in_the_next_rollout():
    collector = collector_in(sync(1, 5, "terminated"))
    assert collected(collector, steps=3)[2] == []
    (episode,) = collected(collector, steps=3)[2]
    assert (episode.return_, episode.length) == (1 + 2 + 3 + 4 + 5, 5)


def test_restart_begins_new_episodes_everywhere():
    collector = collector_in(sync(2, 5, "terminated"))
    collected(collector, steps=3)
    collector.restart(1)
    columns, _, episodes = collected(collector, steps=5)
    assert columns[Columns.OBS] == [[0, 1, 2, 3, 4, 5]] * 2
    assert columns[Columns.IS_FIRST] == [[True] + [False] * 5] * 2
    assert [e.return_ for e in episodes] == [15.0, 15.0]


def test_the_stored_value_of_the_dummy_step_is_that_of_the_final_observation():
    columns, _, _ = collected(collector_in(sync(1, 2, "truncated")), steps=4)
    assert columns[Columns.VF_PREDS] == [[0, 10, 20, 0]]


class Counting:
    """An executor whose state counts its steps since an episode began."""

    device = torch.device("cpu")

    def resample_noise(self, step, num_envs, generator):
        pass

    def act(self, obs, state=None, deterministic=False, is_first=None, generator=None, **_):
        count = torch.where(torch.from_numpy(is_first), 0, state["count"]) + 1
        return Step(torch.zeros(len(obs)), np.zeros(len(obs), np.int64), state={"count": count})


def test_the_state_is_carried_and_its_input_stored_and_episodes_begin_flagged():
    zeros = {"count": torch.zeros(1, dtype=torch.int64)}
    collector = collector_in(sync(1, 2, "truncated"), Counting(), zeros)
    rollout = Rollout(collector.envs.single_observation_space, 1, 3)
    collector.restart(0)
    collector.collect(rollout)
    assert rollout.batch(CPU)[Columns.STATE_IN]["count"].tolist() == [[0, 1, 2, 3]]
    collector.collect(rollout)
    assert rollout.batch(CPU)[Columns.STATE_IN]["count"].tolist() == [[3, 1, 2, 3]]


class Informing(CounterVector):
    """A vector environment whose `info` has every form that Gymnasium's own has, and one more."""

    def step(self, actions):
        obs, rewards, terminated, truncated, _ = super().step(actions)
        infos = {
            "won": np.array([1.5, 0.0]),
            "_won": np.array([True, False]),
            "nested": {"deep": np.array([3, 4]), "_deep": np.array([True, True])},
            "always": np.array([5, 6]),
            "version": "2.0",
        }
        return obs, rewards, terminated, truncated, infos


def test_an_episode_has_the_last_info_of_its_own_environment():
    _, _, episodes = collected(collector_in(Informing(2, 2)), steps=2)
    first, second = episodes
    assert first.info == {"won": 1.5, "nested": {"deep": 3}, "always": 5, "version": "2.0"}
    assert second.info == {"nested": {"deep": 4}, "always": 6, "version": "2.0"}


def test_info_comes_out_of_gymnasiums_own_vector_environment_as_it_went_in():
    envs = SyncVectorEnv([lambda: gym.make("Uneven-v0")] * 2)
    envs.reset(seed=[0, 1])
    infos = envs.step(np.zeros(2, np.int64))[4]
    assert info_of(infos, 0) == {"won": True, "nested": {"length": 1}}
    assert info_of(infos, 1) == {}
    envs.close()
