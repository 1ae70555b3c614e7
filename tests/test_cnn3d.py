import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn import functional

from composer import compose
from composer.encoders.base import EncoderConfig
from composer.encoders.cnn3d import CNN3DEncoderConfig
from composer.errors import CompositionError, ConfigError
from composer.testing import check_encoder


def frames(*shape):
    return spaces.Box(0, 255, shape, np.uint8)


def built(space, **options):
    torch.manual_seed(0)
    return CNN3DEncoderConfig.parse(options).resolve(space).build(space)


@pytest.mark.parametrize(
    "space", [frames(1, 1, 1, 1), frames(4, 13, 12, 3), frames(2, 1, 15, 12), frames(5, 12, 12, 2)]
)
def test_it_does_what_an_encoder_must(space):
    check_encoder(CNN3DEncoderConfig(hidden=(8,), norm="running"), space)


def test_the_filters_of_four_frames_are_derived_by_axis():
    config = CNN3DEncoderConfig().resolve(frames(4, 84, 84, 1))
    along = [(layer.channels, layer.kernel, layer.stride) for layer in config.filters]
    assert along == [
        (32, (1, 8, 8), (1, 4, 4)),
        (64, (1, 4, 4), (1, 2, 2)),
        (64, (3, 3, 3), (1, 1, 1)),
    ]
    assert config.out_shape(frames(4, 84, 84, 1)) == (64, 2, 7, 7)


@pytest.mark.parametrize("time", [1, 2, 11, 12, 16])
@pytest.mark.parametrize("side", [1, 3, 12, 60])
def test_sizes_are_what_torch_makes_of_them(time, side):
    space = frames(time, side, 17, 3)
    config = CNN3DEncoderConfig(layout="thwc").resolve(space)
    maps = config.build(space).convolutions(torch.zeros(1, 3, time, side, 17))
    assert maps.shape[1:] == config.out_shape(space)


def test_same_padding_keeps_sizes():
    space = frames(5, 12, 13, 3)
    options = {"filters": [[2, [2, 3, 4], 1, "same"], [3, 3, [1, 2, 3], "same"]], "hidden": []}
    config = CNN3DEncoderConfig.parse(options).resolve(space)
    assert config.out_shape(space) == (3, 5, 6, 5)
    maps = config.build(space).convolutions(torch.zeros(1, 3, 5, 12, 13))
    assert maps.shape[1:] == (3, 5, 6, 5)


def test_it_convolves_over_time_too():
    options = {"filters": [[2, 3]], "activation": "linear", "hidden": []}
    encoder = built(frames(4, 12, 13, 3), **options)
    obs = torch.randint(0, 256, (2, 4, 12, 13, 3), dtype=torch.uint8)
    layer = encoder.convolutions[0]
    maps = functional.conv3d(obs.permute(0, 4, 1, 2, 3) / 255, layer.weight, layer.bias)
    torch.testing.assert_close(encoder(obs), maps.flatten(1))


def test_channels_may_be_first():
    last, first = built(frames(4, 12, 13, 3)), built(frames(4, 3, 12, 13))
    obs = torch.randint(0, 256, (2, 4, 12, 13, 3), dtype=torch.uint8)
    torch.testing.assert_close(first(obs.permute(0, 1, 4, 2, 3)), last(obs))


def test_a_kernel_that_is_too_large_names_its_filter():
    space = frames(2, 12, 12, 3)
    with pytest.raises(CompositionError) as raised:
        compose(
            space,
            gym.spaces.Discrete(2),
            {"encoder": {"type": "cnn3d", "filters": [[8, [1, 4, 4], 2], [8, [3, 2, 2]]]}},
        )
    (problem,) = raised.value.problems
    assert problem.path == "model.encoder.filters[1].kernel"
    assert problem.message == (
        "only 1×5×5 pixels are left of Box(2, 12, 12, 3) uint8 where this convolution begins, too "
        "few for its kernel\nthe convolutions need 5×6×6 pixels or more"
    )


@pytest.mark.parametrize("kernel", [0, [3, 3], [3, 3, 0]])
def test_a_kernel_has_a_size_or_three(kernel):
    message = "expected a positive whole number, or three: for time, for height and for width"
    with pytest.raises(ConfigError, match=message):
        CNN3DEncoderConfig.parse({"filters": [[4, kernel]]})


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            frames(84, 84, 3),
            "`cnn3d` takes stacked frames, a Box of rank 4, not Box(84, 84, 3) uint8",
        ),
        (
            spaces.Box(-np.inf, np.inf, (4, 9, 9, 3)),
            "`cnn3d` cannot tell which axis of Box(4, 9, 9, 3) float32 holds the channels: give "
            "`layout`, thwc or tchw",
        ),
    ],
)
def test_what_it_cannot_take_is_refused(space, message):
    assert EncoderConfig.parse("cnn3d").refusal(space) == message


def test_a_layout_of_one_image_is_refused():
    with pytest.raises(ConfigError, match="`hwc` is none of the choices"):
        CNN3DEncoderConfig.parse({"layout": "hwc"})
