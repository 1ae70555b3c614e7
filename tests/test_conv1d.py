import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn import functional

from composer import compose
from composer.encoders.conv1d import Conv1DEncoderConfig
from composer.errors import CompositionError, ConfigError
from composer.testing import check_encoder


def built(space, **options):
    torch.manual_seed(0)
    return Conv1DEncoderConfig.parse(options).resolve(space).build(space)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (13, 1), (64, 3)])
@pytest.mark.parametrize("layout", ["tc", "ct"])
def test_it_does_what_an_encoder_must(shape, layout):
    config = Conv1DEncoderConfig(layout=layout, hidden=(8,), norm="running")
    check_encoder(config, spaces.Box(-1, 1, shape))


@pytest.mark.parametrize("length", [1, 2, 3, 11, 12, 59, 60, 500])
def test_derived_filters_fit_every_length(length):
    space = spaces.Box(-1, 1, (length, 2))
    config = Conv1DEncoderConfig().resolve(space)
    channels, steps = config.out_shape(space)
    assert 1 <= steps <= 9
    maps = config.build(space).convolutions(torch.zeros(1, 2, length))
    assert maps.shape == (1, channels, steps)


def test_rows_are_steps_and_columns_channels_or_the_other_way_round():
    by_row = built(spaces.Box(-1, 1, (20, 3)))
    by_column = built(spaces.Box(-1, 1, (3, 20)), layout="ct")
    obs = torch.randn(4, 20, 3)
    torch.testing.assert_close(by_column(obs.transpose(1, 2)), by_row(obs))
    assert by_row.convolutions[0].in_channels == 3


def test_it_convolves_over_time():
    options = {"filters": [[2, 3, 2]], "activation": "linear", "hidden": []}
    encoder = built(spaces.Box(-1, 1, (9, 4)), **options)
    obs = torch.randn(5, 9, 4)
    layer = encoder.convolutions[0]
    expected = functional.conv1d(obs.transpose(1, 2), layer.weight, layer.bias, stride=2)
    torch.testing.assert_close(encoder(obs), expected.flatten(1))


def test_same_padding_keeps_the_length():
    space = spaces.Box(-1, 1, (9, 4))
    config = Conv1DEncoderConfig.parse({"filters": [[2, 4, 1, "same"], [3, 3, 2, "same"]]})
    assert config.resolve(space).out_shape(space) == (3, 5)


@pytest.mark.parametrize(
    ("length", "kernel", "left"),
    [(8, 8, "only 1 time step is left"), (12, 9, "only 2 time steps are left")],
)
def test_a_kernel_that_is_too_large_names_its_filter(length, kernel, left):
    space = spaces.Box(-1, 1, (length, 2))
    config = {"type": "conv1d", "filters": [[4, 8, 4], [4, kernel]]}
    with pytest.raises(CompositionError) as raised:
        compose(space, gym.spaces.Discrete(2), {"encoder": config})
    (problem,) = raised.value.problems
    assert problem.path == "model.encoder.filters[1].kernel"
    assert problem.message.startswith(f"{left} of Box({length}, 2) float32 where this convolution")
    assert problem.fix == "model.encoder.filters=auto"
    compose(space, gym.spaces.Discrete(2), {"encoder": {**config, "filters": "auto"}})


def test_a_kernel_has_one_size():
    with pytest.raises(ConfigError, match="expected a positive whole number") as raised:
        Conv1DEncoderConfig.parse({"filters": [[4, [3, 3]]]})
    assert raised.value.problems[0].path == "filters[0].kernel"


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_only_a_matrix_is_taken(shape):
    refusal = Conv1DEncoderConfig().refusal(spaces.Box(-1, 1, shape))
    assert refusal == f"`conv1d` takes a time series, a Box of rank 2, not Box{shape} float32"


def test_numbers_are_scaled_by_their_bounds():
    space = spaces.Box(0, 10, (2, 3), np.int64)
    encoder = built(space, filters=[], hidden=[])
    obs = torch.tensor([[0, 1, 2], [3, 4, 5]])
    assert encoder(obs).tolist() == pytest.approx([0.0, 0.3, 0.1, 0.4, 0.2, 0.5])
