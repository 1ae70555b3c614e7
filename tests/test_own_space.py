"""A space class of one's own, an encoder for it, and a rule that chooses that: an example's."""

import json
import shutil
import sys
from pathlib import Path

import gymnasium as gym
import pytest
import torch

from composer import Blueprint, Experiment
from composer.engines.trainer import Trainer
from composer.module.rl_module import RLModule
from composer.spaces import batch, space_from_data, space_to_data

PLUGIN = Path(__file__).parent.parent / "examples" / "plugin_space.py"
RULES = """
defaults: [default, _self_]
observation:
  wind:
    when: {kind: wind}
    use: {type: wind_rose, hidden: [16]}
    why: a wind has a direction
"""
WORDS = ["plugins=[plugin_space]", "catalog=mine", "env.id=Sailing-v0", "env.num_envs=4"]
SMALL = ["total_steps=128", "algorithm.rollout_steps=8", "algorithm.num_minibatches=2"]


@pytest.fixture
def sailing(conf, tmp_path):
    """The experiment, from a user's own directory."""
    shutil.copy(PLUGIN, tmp_path)
    conf("catalog/mine", RULES)
    _forget()  # what a test of the examples imported
    yield Experiment.load([*WORDS, *SMALL], config_dir=tmp_path / "conf")
    _forget()


def _forget():
    sys.modules.pop("plugin_space", None)
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
