"""Minigrid's missions are Text."""

import sys

import gymnasium as gym
import minigrid  # noqa: F401 - registers its environments
import numpy as np
import pytest
from gymnasium import spaces

from composer.environments._plain import PlainSpaces, with_plain_spaces
from composer.environments.gym import GymEnvironmentConfig
from composer.errors import ConfigError, EnvironmentFailure

IDS = [
    env_id
    for env_id, spec in gym.registry.items()
    if str(spec.entry_point).startswith("minigrid") and "WFC" not in env_id
]


def config(env_id, **data):
    return GymEnvironmentConfig.parse({"id": env_id, "num_envs": 2, **data}, path="env")


def test_every_mission_fits_the_text_that_is_declared(capsys):
    for env_id in IDS:
        env = config(env_id).make_single()
        declared = env.observation_space["mission"]
        assert type(declared) is spaces.Text
        for seed in range(3):
            obs, _ = env.reset(seed=seed)
            assert obs in env.observation_space, obs["mission"]


def test_the_longest_missions_fit(capsys):
    env = config("BabyAI-BossLevel-v0").make_single()
    missions = [env.reset(seed=seed)[0]["mission"] for seed in range(100)]
    longest = max(missions, key=len)
    assert len(longest) > 100
    assert all(mission in env.observation_space["mission"] for mission in missions)


def test_the_values_are_as_they_were():
    plain = gym.make("MiniGrid-GoToObject-6x6-N2-v0")
    made = config("MiniGrid-GoToObject-6x6-N2-v0").make_single()
    assert isinstance(made, PlainSpaces)
    assert made.reset(seed=5)[0]["mission"] == plain.reset(seed=5)[0]["mission"]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_missions_go_through_vector_environments(vectorization):
    envs = config("MiniGrid-Empty-5x5-v0", vectorization=vectorization).make()
    obs, _ = envs.reset(seed=0)
    assert list(obs["mission"]) == ["get to the green goal square"] * 2
    assert obs["image"].shape == (2, 7, 7, 3)
    obs = envs.step(np.zeros(2, np.int64))[0]
    assert list(obs["mission"]) == ["get to the green goal square"] * 2
    envs.close()


def test_wrappers_of_minigrid_see_the_mission_space():
    wrapper = "minigrid.wrappers.ImgObsWrapper"
    observation_space, _ = config("MiniGrid-Empty-5x5-v0", wrappers=[wrapper]).spaces()
    assert observation_space == spaces.Box(0, 255, (7, 7, 3), np.uint8)


def test_missions_are_found_at_any_depth():
    mission = gym.make("MiniGrid-Empty-5x5-v0").observation_space["mission"]
    env = gym.Env()
    env.observation_space = spaces.Tuple([spaces.Dict(a=mission, b=spaces.Discrete(2)), mission])
    declared = with_plain_spaces(env).observation_space
    assert isinstance(declared[0]["a"], spaces.Text)
    assert declared[0]["b"] == spaces.Discrete(2)
    assert isinstance(declared[1], spaces.Text)


def test_other_environments_are_not_wrapped():
    assert not isinstance(config("CartPole-v1").make_single(), PlainSpaces)


def test_an_id_of_a_known_package_needs_no_module(monkeypatch):
    for env_id, spec in list(gym.registry.items()):
        if str(spec.entry_point).startswith("minigrid"):
            monkeypatch.delitem(gym.registry, env_id)
    monkeypatch.delitem(sys.modules, "minigrid")
    observation_space, _ = config("MiniGrid-Empty-5x5-v0").spaces()
    assert isinstance(observation_space["mission"], spaces.Text)


def test_a_missing_package_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "minigrid", None)
    with pytest.raises(ConfigError, match="the module `minigrid` cannot be imported") as error:
        config("MiniGrid-Empty-5x5-v0").spaces()
    assert error.value.problems[0].fix == 'pip install "rl-composer[envs]"'


@pytest.mark.parametrize(("env_id", "module"), [("LunarLander-v3", "Box2D"), ("Ant-v5", "mujoco")])
def test_a_package_that_gymnasium_misses_names_the_extra_to_install(env_id, module, monkeypatch):
    kind = {"Box2D": "gymnasium.envs.box2d", "mujoco": "gymnasium.envs.mujoco"}[module]
    for name in [name for name in sys.modules if name.startswith(kind)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentFailure, match="needs a package that is missing") as error:
        config(env_id).make()
    assert error.value.problems[0].fix == 'pip install "rl-composer[envs]"'


def test_what_is_printed_while_an_environment_is_made_is_no_output(capsys):
    gym.register("Greeting-v0", Greeting)
    config("Greeting-v0").spaces()
    del gym.registry["Greeting-v0"]
    assert capsys.readouterr() == ("", "hello\n")


class Greeting(gym.Env):
    observation_space = action_space = spaces.Discrete(2)

    def __init__(self):
        print("hello")
