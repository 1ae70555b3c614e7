import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer.encoders.impala_cnn import ImpalaCNNEncoderConfig
from composer.testing import check_encoder

SMALL = {"channels": (4, 5), "blocks": 1, "hidden": (8,)}


def built(config, space):
    torch.manual_seed(0)
    return config.resolve(space).build(space)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (12, 15, 3), np.uint8),
        spaces.Box(0, 255, (1, 7), np.uint8),
        spaces.Box(0, 255, (3, 2, 9, 9), np.uint8),
    ],
)
def test_it_does_what_an_encoder_must(space):
    check_encoder(ImpalaCNNEncoderConfig(**SMALL), space)


def test_the_parameters_are_those_of_the_deep_network_of_the_paper():
    """Of 96×72 pixels in colour, as in DeepMind Lab, without the LSTM."""

    def conv(inner, outer):
        return 9 * inner * outer + outer

    sections = sum(conv(i, o) + 4 * conv(o, o) for i, o in ((3, 16), (16, 32), (32, 32)))
    expected = sections + (12 * 9 * 32) * 256 + 256
    space = spaces.Box(0, 255, (72, 96, 3), np.uint8)
    encoder = built(ImpalaCNNEncoderConfig(), space)
    assert sum(p.numel() for p in encoder.parameters()) == expected == 982_592
    assert sum(isinstance(m, nn.Conv2d) for m in encoder.modules()) == 15


@pytest.mark.parametrize("side", [1, 2, 3, 7, 8, 9, 64, 84])
def test_each_section_halves_both_sides(side):
    space = spaces.Box(0, 255, (side, 5, 1), np.uint8)
    config = ImpalaCNNEncoderConfig(layout="hwc", hidden=()).resolve(space)
    expected = (32, math.ceil(math.ceil(math.ceil(side / 2) / 2) / 2), 1)
    assert config.out_shape(space) == expected
    maps = config.build(space).convolutions(torch.zeros(1, 1, side, 5))
    assert maps.shape[1:] == expected


def test_a_block_adds_its_convolutions_to_its_input():
    space = spaces.Box(0.0, 1.0, (8, 8, 1), np.float32)
    convolutions = built(ImpalaCNNEncoderConfig(**SMALL), space).convolutions
    first, pool, block, *_ = convolutions
    maps = torch.randn(2, 4, 4, 4)
    expected = maps + block[3](torch.relu(block[1](torch.relu(maps))))
    torch.testing.assert_close(block(maps), expected)
    assert first(torch.zeros(1, 1, 8, 8)).shape == (1, 4, 8, 8)
    assert pool(torch.zeros(1, 4, 8, 8)).shape == (1, 4, 4, 4)


def test_what_leaves_the_convolutions_has_been_activated():
    space = spaces.Box(0, 255, (8, 8, 1), np.uint8)
    encoder = built(ImpalaCNNEncoderConfig(channels=(4,), hidden=()), space)
    features = encoder(torch.randint(256, (5, 8, 8, 1)))
    assert (features >= 0).all()
    assert (features == 0).any()
