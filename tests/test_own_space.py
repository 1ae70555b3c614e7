"""A plugin with a space class of its own, an encoder for it, and a rule that chooses that."""

import json
import sys

import gymnasium as gym
import pytest
import torch

from composer import Blueprint, Experiment
from composer.engines.trainer import Trainer
from composer.module.rl_module import RLModule
from composer.spaces import batch, space_from_data, space_to_data

PLUGIN = '''
from typing import Literal

import gymnasium as gym
import numpy as np
from torch import nn

from composer.encoders.base import EncoderConfig
from composer.layers import HiddenLayers
from composer.spaces import register_space


class Wind(gym.Space):
    """`points` points of the compass by name: "n", "ne", …"""

    NAMES = ("n", "ne", "e", "se", "s", "sw", "w", "nw")

    def __init__(self, points=8):
        super().__init__()
        self.points = points

    def sample(self, mask=None, probability=None):
        return str(self.np_random.choice(self.NAMES[: self.points]))

    def contains(self, x):
        return x in self.NAMES[: self.points]

    def __eq__(self, other):
        return isinstance(other, Wind) and other.points == self.points


def directions(space, samples):
    angles = np.array([Wind.NAMES.index(name) for name in samples]) * np.pi / 4
    return np.stack([np.sin(angles), np.cos(angles)], -1).astype(np.float32)


register_space(
    Wind,
    to_data=lambda space: {"points": space.points},
    from_data=lambda data: Wind(**data),
    batch=directions,
)


class WindEncoderConfig(HiddenLayers, EncoderConfig):
    """Linear layers over the direction."""

    type: Literal["wind_rose"] = "wind_rose"

    def refusal(self, space):
        return None if isinstance(space, Wind) else "`wind_rose` takes a Wind"

    def out_dim(self, space):
        return self.width(2)

    def build(self, space):
        return self.stack(2)


class Sailing(gym.Env):
    """To sail against the wind pays 1."""

    def __init__(self):
        self.observation_space = gym.spaces.Dict(
            now=Wind(4), before=gym.spaces.Sequence(Wind(8)), speed=gym.spaces.Box(0, 1, (1,))
        )
        self.action_space = gym.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.course = int(self.np_random.integers(4))
        return self._observe(), {}

    def step(self, action):
        return self._observe(), float(action == self.course), True, False, {}

    def _observe(self):
        return {
            "now": Wind.NAMES[self.course],
            "before": Wind.NAMES[: int(self.np_random.integers(3))],
            "speed": np.ones(1, np.float32),
        }


gym.register("Sailing-v0", entry_point=Sailing)
'''
RULES = """
defaults: [default, _self_]
observation:
  wind:
    when: {kind: wind}
    use: {type: wind_rose, hidden: [16]}
    why: a wind has a direction
"""
WORDS = ["plugins=[weather]", "catalog=mine", "env.id=weather:Sailing-v0", "env.num_envs=4"]
SMALL = ["total_steps=128", "algorithm.rollout_steps=8", "algorithm.num_minibatches=2"]


@pytest.fixture
def sailing(conf, tmp_path):
    """The experiment, from a user's own directory."""
    (tmp_path / "weather.py").write_text(PLUGIN)
    conf("catalog/mine", RULES)
    yield Experiment.load([*WORDS, *SMALL], config_dir=tmp_path / "conf")
    sys.modules.pop("weather", None)
    gym.registry.pop("Sailing-v0", None)


def test_a_rule_chooses_the_encoder_of_a_space_class_of_ones_own_however_deep(sailing):
    nodes = sailing.blueprint.by_name
    for name in ("main.encoder.now", "main.encoder.before.element"):
        assert nodes[name].config.type == "wind_rose"
        assert nodes[name].reason.name == "wind"
        assert nodes[name].out_dim == 16


def test_its_blueprint_and_its_space_survive_json(sailing):
    blueprint = sailing.blueprint
    assert Blueprint.from_json(blueprint.to_json()) == blueprint
    space = blueprint.observation_space
    assert space_from_data(json.loads(json.dumps(space_to_data(space)))) == space


def test_it_acts_learns_and_is_saved(sailing, tmp_path):
    trainer = Trainer(sailing)
    space = sailing.blueprint.observation_space
    space.seed(0)
    obs = batch(space, [space.sample() for _ in range(5)])
    before = trainer.module.act(obs).value
    trainer.step()
    after = trainer.module.act(obs)
    assert after.env_actions.shape == (5,)
    assert not torch.equal(after.value, before)
    trainer.module.save_to_path(tmp_path / "module")
    trainer.close()
    again = RLModule.from_checkpoint(tmp_path / "module")
    assert torch.equal(again.act(obs).value, after.value)
