import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import compose
from composer.encoders.residual_mlp import ResidualMLPEncoderConfig
from composer.testing import check_encoder

SPACE = spaces.Box(-1, 1, (5,), np.float32)


def built(**options):
    torch.manual_seed(0)
    return ResidualMLPEncoderConfig(scaling="none", **options).build(SPACE)


@pytest.mark.parametrize(
    "space", [SPACE, spaces.Box(0, 9, (2, 3), np.int64), spaces.Box(-np.inf, np.inf, ())]
)
def test_it_does_what_an_encoder_must(space):
    check_encoder(ResidualMLPEncoderConfig(features=8), space)


def test_a_block_adds_two_layers_of_its_norm_to_its_input():
    first, block, norm = built(features=8, blocks=1, activation="relu").layers
    obs = torch.randn(4, 5)
    x = first(obs)
    inner = nn.functional.layer_norm(x, (8,))
    expected = x + block[3](torch.relu(block[1](inner)))
    torch.testing.assert_close(block(x), expected)
    torch.testing.assert_close(norm(expected), nn.functional.layer_norm(expected, (8,)))


def test_the_parameters_are_those_of_simba():
    wide, narrow, blocks = 4 * 128, 128, 2
    block = 2 * narrow + (narrow * wide + wide) + (wide * narrow + narrow)
    expected = (5 * narrow + narrow) + blocks * block + 2 * narrow
    assert sum(p.numel() for p in built().parameters()) == expected


def test_the_first_layer_is_orthogonal():
    kernel = built().layers[0].weight  # (128, 5)
    torch.testing.assert_close(kernel.T @ kernel, torch.eye(5), atol=1e-5, rtol=0)


def test_it_is_chosen_by_its_name():
    node = compose(SPACE, gym.spaces.Discrete(2), {"encoder": "residual_mlp"}).by_name[
        "main.encoder"
    ]
    assert (node.config.type, node.out_dim) == ("residual_mlp", 128)
