"""The default model fits every environment there is: it composes, and takes one update."""

import importlib
import pkgutil
import warnings

import ale_py  # noqa: F401 - registers its games
import gymnasium as gym
import minigrid  # noqa: F401 - registers its environments
import mpe2
import pettingzoo
import pytest
import torch
from experiments import experiment, trainer_of

from composer import compose

GYMNASIUM = ("classic_control", "toy_text", "box2d", "mujoco")
ATARI = ("pong", "breakout", "space_invaders", "montezuma_revenge", "skiing")
WITHOUT_FILES = "MiniGrid-WFC"
"""The wheel of minigrid 3.2 lacks the pictures that these are made from."""


def latest(*packages):
    """The ids that the packages register, each in its latest version."""
    found = {}
    for env_id, spec in gym.registry.items():
        module = str(spec.entry_point).partition(":")[0]
        if module.startswith(packages) and not env_id.startswith(WITHOUT_FILES):
            found[spec.name] = max(found.get(spec.name, (-1, "")), (spec.version, env_id))
    return sorted(env_id for _, env_id in found.values())


def agents_spaces(name):
    """The pairs of spaces of a game's agents, without repetition."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*precision lowered", UserWarning)
        is_mpe = name.startswith("mpe2.")
        env = importlib.import_module(name).env() if is_mpe else pettingzoo.make("aec", name)
    pairs = [(env.observation_space(a), env.action_space(a)) for a in env.possible_agents]
    env.close()
    return [pair for i, pair in enumerate(pairs) if pair not in pairs[:i]]


def takes_an_update(env):
    algorithm = {"rollout_steps": 4, "num_minibatches": 1, "epochs": 1}
    with trainer_of(experiment({"num_envs": 2, **env}, algorithm=algorithm)) as trainer:
        before = [p.clone() for p in trainer.module.parameters()]
        assert 0 < trainer.step().env_steps <= 8
        after = list(trainer.module.parameters())
    assert all(bool(p.isfinite().all()) for p in after)
    assert any(not torch.equal(p, q) for p, q in zip(before, after, strict=True))


@pytest.mark.parametrize("env_id", latest(*(f"gymnasium.envs.{kind}" for kind in GYMNASIUM)))
def test_an_environment_of_gymnasium_takes_an_update(env_id):
    takes_an_update({"id": env_id})


@pytest.mark.parametrize("game", ATARI)
def test_a_game_of_atari_takes_an_update(game):
    takes_an_update({"type": "atari", "game": game})


@pytest.mark.parametrize("env_id", latest("minigrid"))
def test_an_environment_of_minigrid_takes_an_update(env_id):
    takes_an_update({"id": env_id})


GAMES = [name for name in pettingzoo.aec_registry if not name.startswith("atari/")]
GAMES += [f"mpe2.{file.name}" for file in pkgutil.iter_modules(mpe2.__path__) if "_v" in file.name]
"""Those of PettingZoo that need no further ROMs, and MPE2's, which no registry holds."""


@pytest.mark.parametrize("name", GAMES)
def test_a_model_composes_for_each_agent(name):
    for observation_space, action_space in agents_spaces(name):
        blueprint = compose(observation_space, action_space, algorithm="ppo")
        assert blueprint.parameter_count > 0
