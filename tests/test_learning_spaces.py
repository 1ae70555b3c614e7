"""What PPO learns in `test_learning`, it cannot where the encoder is blind to what matters."""

from typing import Literal

import pytest
import torch
from experiments import experiment, trainer_of
from test_learning import BASE, SETTINGS
from torch import nn

from composer.encoders.base import EncoderConfig
from composer.spaces import leading_axes


class ConstantConfig(EncoderConfig):
    """Takes every space, and tells nothing of it."""

    type: Literal["constant"] = "constant"

    def refusal(self, space):
        return None

    def out_dim(self, space):
        return 1

    def build(self, space):
        return Constant(space)


class Constant(nn.Module):
    def __init__(self, space):
        super().__init__()
        self.space = space

    def forward(self, obs):
        return torch.ones(*leading_axes(self.space, obs), 1)


CONSTANT = {"model": {"encoder": "constant"}}

# What the best of all policies gets that sees so little:
CASES = [
    ("ImageBandit", CONSTANT, 1 / 4),  # one of four arms
    ("MultiDiscreteBandit", CONSTANT, 1 / 3),  # one of three
    ("DictBandit", CONSTANT, 1 / 4),
    (
        "DictBandit",
        {"model": {"observe": ["image"]}},
        1 / 2,
    ),  # one of the two that the image leaves
    ("DictBandit", {"model": {"observe": ["digit"]}}, 1 / 2),
    ("DictBandit", {"model": {"encoder": {"children": {"image": "constant"}}}}, 1 / 2),
    ("MaskedBandit", {"env": {"action_mask": "none"}}, 0.0),  # the last arm: 1 or -1, equally often
]


@pytest.mark.parametrize(("problem", "blind", "at_best"), CASES)
def test_ppo_gets_no_more_than_its_encoder_can_tell(problem, blind, at_best):
    total, num_envs, settings = SETTINGS[problem]
    wanted = experiment(
        {"id": f"composer.testing:{problem}-v0", "num_envs": num_envs} | blind.get("env", {}),
        total_steps=total,
        algorithm=BASE | settings,
        model=blind.get("model", {}),
        evaluation={"every": 0, "episodes": 200, "num_envs": 10},
    )
    with trainer_of(wanted) as trainer:
        # The luck of 200 draws is 0.035 at most, as a standard deviation.
        assert trainer.train().evaluation.mean <= at_best + 0.1
