import json
import math
import re

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from composer import Experiment
from composer.encoders._filters import ChannelNorm
from composer.encoders.base import EncoderConfig
from composer.encoders.cnn import CNNEncoderConfig, Convolution2d
from composer.encoders.mlp import MLPEncoderConfig
from composer.encoders.one_hot import OneHotEncoderConfig
from composer.errors import CompositionError, ConfigError
from composer.spaces import batch, describe, to_tensors

BOXES = [
    spaces.Box(-1, 1, (4,), np.float32),
    spaces.Box(-np.inf, np.inf, (3,), np.float64),
    spaces.Box(-1, 1, (), np.float32),
    spaces.Box(-1, 1, (2, 3), np.float32),
    spaces.Box(0, 255, (5,), np.uint8),
    spaces.Box(-3, 7, (2, 2), np.int64),
    spaces.Box(-np.inf, np.inf, (2, 2, 2, 2), np.float32),
]
IMAGES = [
    spaces.Box(0, 255, (20, 18), np.uint8),
    spaces.Box(0.0, 1.0, (17, 16), np.float32),
    spaces.Box(0, 255, (4, 12, 13, 3), np.uint8),
    spaces.Box(0, 255, (2, 1, 12, 13), np.uint8),
    spaces.Box(0, 255, (36, 40, 3), np.uint8),
    spaces.Box(0, 255, (3, 36, 40), np.uint8),
    spaces.Box(0.0, 1.0, (20, 13, 1), np.float32),
    spaces.Box(-1.0, 1.0, (1, 7, 5), np.float64),
]
CHOICES = [
    spaces.Discrete(4),
    spaces.Discrete(4, start=-2),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete(np.array([[2, 3], [4, 5]]), start=np.array([[1, 0], [-1, 2]])),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 3]),
]
OPTIONS = {
    "mlp": [{}, {"hidden": [], "norm": "running"}, {"layer_norm": True, "activation": "gelu"}],
    "residual_mlp": [{}, {"features": 5, "blocks": 1, "expansion": 1}],
    "cnn": [
        {},
        {"filters": [[8, 3, 2, "same"], [4, [2, 1]]], "conv_layer_norm": True},
        {"filters": [], "hidden": [], "norm": "running"},
    ],
    "cnn3d": [{}, {"filters": [[4, [1, 3, 2], 2, "same"]], "hidden": [], "norm": "running"}],
    "conv1d": [{}, {"layout": "ct", "filters": [[4, 2, 1, "same"], [5, 2]], "norm": "running"}],
    "set": [
        {},
        {"pool": "max", "hidden": []},
        {"pool": "sum", "element_hidden": []},
        {"pool": "attention", "norm": "running"},
    ],
    "impala_cnn": [
        {"channels": [4, 5], "blocks": 1, "norm": "running"},
        {"channels": [], "hidden": []},
    ],
    "one_hot": [{}, {"hidden": []}],
    "embedding": [{}, {"size": 3, "combine": "sum"}, {"hidden": []}],
}
LEADS = [(), (5,), (2, 3)]


def takes(config, space):
    if config.refusal(space) is not None:
        return False
    try:
        config.resolve(space)
    except CompositionError:  # an image that is too small for filters that are given
        return False
    return True


def conformance():
    """Every encoder, plain and with options, with every space it takes."""
    for tag in EncoderConfig.tags():
        for options in OPTIONS.get(tag, [{}]):
            config = EncoderConfig.parse({"type": tag, **options})
            for space in (*BOXES, *IMAGES, *CHOICES):
                if takes(config, space):
                    name = f"{tag}-{options}-{describe(space)}"
                    yield pytest.param(config.resolve(space), space, id=name)


PAIRS = list(conformance())
conforms = pytest.mark.parametrize(("config", "space"), PAIRS)


def samples(space, lead=(6,), seed=0):
    """Observations as tensors with these leading axes."""
    space.seed(seed)
    flat = batch(space, [space.sample() for _ in range(math.prod(lead))])
    return torch.as_tensor(flat.reshape((*lead, *space.shape)))


def built(config, space, seed=0):
    torch.manual_seed(seed)
    return config.build(space)


# every encoder with every space it takes


def test_every_encoder_takes_some_space_and_every_space_has_an_encoder():
    assert {pair.values[0].type for pair in PAIRS} >= OPTIONS.keys()
    taken = {describe(pair.values[1]) for pair in PAIRS}
    assert taken == {describe(space) for space in (*BOXES, *IMAGES, *CHOICES)}


@conforms
def test_dumped_and_loaded_a_config_is_equal(config, space):
    assert EncoderConfig.parse(json.loads(json.dumps(config.to_data()))) == config


@conforms
def test_a_resolved_config_says_everything_and_resolves_to_itself(config, space):
    assert "auto" not in json.dumps(config.to_data())
    assert config.resolve(space) == config


@conforms
@pytest.mark.parametrize("lead", LEADS)
def test_features_have_the_width_the_config_says(config, space, lead):
    features = built(config, space)(samples(space, lead))
    assert features.shape == (*lead, config.out_dim(space))
    assert features.dtype == torch.float32


@conforms
def test_leading_axes_do_not_change_a_samples_features(config, space):
    encoder = built(config, space)
    obs = samples(space, (6,))
    flat = encoder(obs)
    shaped = encoder(obs.reshape(2, 3, *space.shape))
    torch.testing.assert_close(shaped.reshape(6, -1), flat)
    torch.testing.assert_close(encoder(obs[4]), flat[4])


@conforms
def test_an_empty_batch_has_no_features(config, space):
    features = built(config, space)(samples(space, (2,))[:0])
    assert features.shape == (0, config.out_dim(space))


@pytest.mark.parametrize(
    ("config", "space"), [pair for pair in PAIRS if getattr(pair.values[0], "hidden", True)]
)
def test_finite_gradients_reach_every_parameter(config, space):
    encoder = built(config, space)
    encoder(samples(space, (8,))).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or not parameter.numel(), name


@conforms
def test_the_same_seed_gives_the_same_weights(config, space):
    first, second = built(config, space).state_dict(), built(config, space).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@conforms
def test_the_observation_is_not_changed(config, space):
    obs = samples(space)
    before = obs.clone()
    built(config, space)(obs)
    assert torch.equal(obs, before)


@conforms
def test_a_state_holds_nothing_but_parameters_and_statistics(config, space):
    encoder = built(config, space)
    statistics = {f"scaling.norm.{name}" for name in ("count", "mean", "var")}
    expected = {name for name, _ in encoder.named_parameters()}
    running = getattr(config, "norm", "none") == "running"
    assert set(encoder.state_dict()) == expected | (statistics if running else set())


# refusals


@pytest.mark.parametrize(
    ("tag", "space", "message"),
    [
        ("mlp", spaces.Discrete(2), "`mlp` takes a Box, not Discrete(2)"),
        (
            "one_hot",
            spaces.Box(0, 1, (2,)),
            "`one_hot` takes Discrete, MultiDiscrete or MultiBinary, not Box(2,) float32",
        ),
        (
            "cnn",
            spaces.Box(0, 1, (2,)),
            "`cnn` takes an image, a Box of rank 2 to 4, not Box(2,) float32",
        ),
        (
            "cnn",
            spaces.Box(-np.inf, np.inf, (9, 9, 3)),
            "`cnn` cannot tell which axis of Box(9, 9, 3) float32 holds the channels: give "
            "`layout`, hwc or chw",
        ),
    ],
)
def test_a_space_it_cannot_take_is_refused(tag, space, message):
    assert EncoderConfig.parse(tag).refusal(space) == message


# mlp


def test_mlp_defaults_are_two_tanh_layers_of_64():
    encoder = built(MLPEncoderConfig(scaling="none"), spaces.Box(-1, 1, (4,)))
    sizes = [layer.out_features for layer in encoder.layers if isinstance(layer, nn.Linear)]
    assert sizes == [64, 64]
    assert sum(isinstance(layer, nn.Tanh) for layer in encoder.layers) == 2


def identity(space):
    return MLPEncoderConfig(hidden=()).resolve(space).build(space)


def test_mlp_takes_floats_as_they_are():
    space = spaces.Box(-5, 5, (2, 2), np.float64)
    assert identity(space)(torch.tensor([[1.0, -2.0], [3.0, 4.0]])).tolist() == [1, -2, 3, 4]


def test_mlp_scales_bounded_integers_to_the_unit_interval():
    space = spaces.Box(np.array([-2, 0, 5]), np.array([2, 255, 5]), dtype=np.int64)
    low, middle, high = (
        identity(space)(torch.tensor(obs)) for obs in ([-2, 0, 5], [0, 51, 5], [2, 255, 5])
    )
    assert low.tolist() == [0, 0, 0]
    torch.testing.assert_close(middle, torch.tensor([0.5, 0.2, 0.0]))
    assert high.tolist() == [1, 1, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16])
def test_mlp_scales_the_whole_range_of_a_small_integer_type(dtype):
    ends = np.iinfo(dtype)
    space = spaces.Box(ends.min, ends.max, (2,), dtype)
    assert identity(space)(torch.tensor([ends.min, ends.max])).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (0, np.inf), (-np.inf, 9)])
def test_mlp_takes_unbounded_integers_as_they_are(dtype, low, high):
    space = spaces.Box(low, high, (2,), dtype)
    assert identity(space)(torch.tensor([3, 7])).tolist() == [3, 7]


def test_mlp_scales_unsigned_integers_from_zero():
    space = spaces.Box(0, 1000, (1,), np.uint32)
    torch.testing.assert_close(identity(space)(torch.tensor([250])), torch.tensor([0.25]))


# one_hot


@pytest.mark.parametrize(
    ("space", "obs", "expected"),
    [
        (spaces.Discrete(3), 1, [0, 1, 0]),
        (spaces.Discrete(3, start=-5), -3, [0, 0, 1]),
        (spaces.MultiDiscrete([2, 3]), [1, 0], [0, 1, 1, 0, 0]),
        (spaces.MultiDiscrete([2, 3], start=[4, -1]), [4, 1], [1, 0, 0, 0, 1]),
        (
            spaces.MultiDiscrete(np.array([[2, 1], [3, 2]])),
            [[1, 0], [2, 0]],
            [0, 1, 1, 0, 0, 1, 1, 0],
        ),
        (spaces.MultiBinary([2, 2]), [[1, 0], [0, 1]], [1, 0, 0, 1]),
    ],
)
def test_one_hot_counts_each_component_from_its_start(space, obs, expected):
    encoder = OneHotEncoderConfig(hidden=()).build(space)
    assert encoder(torch.as_tensor(obs)).tolist() == expected


@pytest.mark.parametrize("space", CHOICES, ids=describe)
def test_one_hot_vectors_have_a_one_for_each_component(space):
    config = OneHotEncoderConfig(hidden=())
    hot = config.build(space)(samples(space, (20,)))
    assert set(hot.unique().tolist()) <= {0.0, 1.0}
    if not isinstance(space, spaces.MultiBinary):
        assert (hot.sum(-1) == max(1, math.prod(space.shape))).all()


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_one_hot_takes_any_integers(dtype):
    encoder = OneHotEncoderConfig(hidden=()).build(spaces.Discrete(3))
    assert encoder(to_tensors(np.array([2], dtype))).tolist() == [[0, 0, 1]]


# cnn: sizes


def layer(channels, kernel, stride):
    return Convolution2d(channels=channels, kernel=(kernel, kernel), stride=(stride, stride))


def test_filters_for_84_pixels_are_those_of_the_nature_paper():
    assert Convolution2d.derived((84, 84)) == (layer(32, 8, 4), layer(64, 4, 2), layer(64, 3, 1))


def test_the_nature_stack_leaves_7_by_7():
    space = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    config = CNNEncoderConfig().resolve(space)
    assert config.out_shape(space) == (64, 7, 7)
    assert config.out_dim(space) == 512


@pytest.mark.parametrize("width", [1, 2, 3, 11, 12, 59, 60, 84, 210, 300])
def test_derived_filters_fit_every_height(width):
    for height in range(1, 301):
        space = spaces.Box(0, 255, (height, width, 1), np.uint8)
        config = CNNEncoderConfig(layout="hwc").resolve(space)
        channels, rows, columns = config.out_shape(space)
        assert channels in (32, 64)
        assert 1 <= rows <= 9
        assert 1 <= columns <= 9


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 150), first=st.booleans())
def test_an_image_of_any_size_goes_through(height, width, first):
    shape = (2, height, width) if first else (height, width, 2)
    space = spaces.Box(0, 255, shape, np.uint8)
    config = CNNEncoderConfig(hidden=(), layout="chw" if first else "hwc").resolve(space)
    features = config.build(space)(torch.zeros(1, *shape, dtype=torch.uint8))
    assert features.shape == (1, config.out_dim(space))


@settings(max_examples=40, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.sampled_from(["valid", "same"]),
)
def test_sizes_are_what_torch_makes_of_them(sides, kernel, stride, padding):
    space = spaces.Box(0, 255, (1, *sides), np.uint8)
    filters = [{"channels": 2, "kernel": kernel, "stride": stride, "padding": padding}]
    config = CNNEncoderConfig.parse({"layout": "chw", "filters": filters, "hidden": []})
    if padding == "valid" and (kernel[0] > sides[0] or kernel[1] > sides[1]):
        with pytest.raises(CompositionError, match=r"filters\[0\].kernel"):
            config.resolve(space)
        return
    try:
        config = config.resolve(space)
    except CompositionError:
        assert padding == "same"
        assert any(k > 2 * side for k, side in zip(kernel, sides, strict=True))
        return
    maps = config.build(space).convolutions(torch.zeros(1, 1, *sides))
    assert maps.shape[1:] == config.out_shape(space)
    if padding == "same":
        assert maps.shape[2:] == tuple(
            math.ceil(side / step) for side, step in zip(sides, stride, strict=True)
        )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_same_padding_is_torchs(kernel):
    space = spaces.Box(0.0, 1.0, (1, 9, 8), np.float32)
    filters = [[2, kernel, 1, "same"]]
    config = CNNEncoderConfig.parse({"filters": filters, "activation": "linear", "hidden": []})
    encoder = built(config.resolve(space), space)
    convolution = next(m for m in encoder.convolutions if isinstance(m, nn.Conv2d))
    image = torch.rand(3, 1, 9, 8)
    expected = functional.conv2d(image, convolution.weight, convolution.bias, padding="same")
    torch.testing.assert_close(encoder(image), expected.flatten(1))


def test_a_kernel_that_is_too_large_names_its_filter():
    space = spaces.Box(0, 255, (20, 20, 3), np.uint8)
    config = CNNEncoderConfig.parse({"filters": [[8, 8, 4], [8, 5, 1]]})
    message = r"filters\[1\].kernel = \[5, 5\]\s+only 4×4 pixels are left of Box\(20, 20, 3\)"
    with pytest.raises(CompositionError, match=message):
        config.resolve(space)


def fits(filters, *sides):
    space = spaces.Box(0, 255, (1, *sides), np.uint8)
    try:
        CNNEncoderConfig.parse({"layout": "chw", "filters": filters}).resolve(space)
    except CompositionError as error:
        return re.search(r"the convolutions need (\d+)×(\d+) pixels or more", str(error)).groups()
    return None


@pytest.mark.parametrize(
    "filters",
    [
        [[32, 8, 4], [64, 4, 2], [64, 3, 1]],
        [[8, [3, 5], [1, 2], "same"], [8, 4, 3]],
        [[8, 3, 2], [8, [9, 4], 3, "same"]],
    ],
)
def test_the_smallest_image_that_convolutions_take_is_told(filters):
    height, width = map(int, fits(filters, 1, 1))
    assert fits(filters, height, width) is None
    assert (
        fits(filters, height - 1, width) == fits(filters, height, width - 1) == fits(filters, 1, 1)
    )


def test_filters_may_be_written_short_or_by_axis():
    (short,) = CNNEncoderConfig.parse({"filters": [[32, 8, 4]]}).filters
    (by_axis,) = CNNEncoderConfig.parse(
        {"filters": [{"channels": 32, "kernel": [8, 8], "stride": [4, 4], "padding": "valid"}]}
    ).filters
    (padded,) = CNNEncoderConfig.parse({"filters": [[32, [8, 4], [4, 2], "same"]]}).filters
    assert short == by_axis == layer(32, 8, 4)
    assert (padded.kernel, padded.stride, padded.padding) == ((8, 4), (4, 2), "same")


@pytest.mark.parametrize(
    ("filters", "path"),
    [
        ([[32]], "filters[0]"),
        ([[32, 0]], "filters[0].kernel"),
        ([[32, [3, 3, 3]]], "filters[0].kernel"),
        ([[32, 3, 1, "full"]], "filters[0].padding"),
        ([[32, 3, 1, "same", 7]], "filters[0]"),
        ([{"channels": 32, "kernal": 3, "kernel": 3}], "filters[0].kernal"),
        ([32], "filters"),
    ],
)
def test_a_wrong_filter_names_its_place(filters, path):
    with pytest.raises(ConfigError) as error:
        CNNEncoderConfig.parse({"filters": filters})
    assert path in [problem.path for problem in error.value.problems]


# cnn: pixels


def flat(space, **options):
    """An encoder without weights: what the convolutions would get."""
    config = CNNEncoderConfig(filters=(), hidden=(), **options).resolve(space)
    return config.build(space)


def test_bytes_are_scaled_to_the_unit_interval():
    space = spaces.Box(0, 255, (3, 3, 1), np.uint8)
    image = torch.full((3, 3, 1), 51, dtype=torch.uint8)
    torch.testing.assert_close(flat(space)(image), torch.full((9,), 0.2))


def test_floats_up_to_255_are_scaled_too_and_unit_floats_are_not():
    wide = spaces.Box(0.0, 255.0, (3, 3, 1), np.float32)
    unit = spaces.Box(0.0, 1.0, (3, 3, 1), np.float32)
    signed = spaces.Box(-2.0, 2.0, (3, 3, 1), np.float32)
    image = torch.full((3, 3, 1), 0.51)
    torch.testing.assert_close(flat(wide)(100 * image), torch.full((9,), 0.2))
    torch.testing.assert_close(flat(unit)(image), torch.full((9,), 0.51))
    torch.testing.assert_close(flat(signed)(image), torch.full((9,), 0.51))


def test_channels_first_equals_channels_last_of_the_transposed_image():
    last = spaces.Box(0, 255, (20, 24, 3), np.uint8)
    first = spaces.Box(0, 255, (3, 20, 24), np.uint8)
    encoders = [built(CNNEncoderConfig().resolve(space), space) for space in (last, first)]
    image = samples(last, (4,))
    torch.testing.assert_close(encoders[0](image), encoders[1](image.permute(0, 3, 1, 2)))


def test_a_layout_that_is_said_counts():
    space = spaces.Box(0, 255, (4, 4, 4), np.uint8)
    assert CNNEncoderConfig().resolve(space).layout == "hwc"
    image = samples(space, ())
    channels_first = flat(space, layout="chw")(image)
    torch.testing.assert_close(channels_first, image.flatten() / 255)
    torch.testing.assert_close(flat(space)(image), image.permute(2, 0, 1).flatten() / 255)


def test_convolutions_and_layers_have_initialisers_of_their_own():
    space = spaces.Box(0, 255, (20, 20, 3), np.uint8)
    config = CNNEncoderConfig.parse({"conv_initializer": "zeros", "kernel_initializer": "ones"})
    encoder = config.resolve(space).build(space)
    kernels = [m.weight for m in encoder.convolutions if isinstance(m, nn.Conv2d)]
    assert all((kernel == 0).all() for kernel in kernels)
    assert (encoder.layers[0].weight == 1).all()


# cnn: matrices and stacked images


def test_a_matrix_is_an_image_of_one_channel():
    matrix, image = (
        spaces.Box(0, 255, (20, 24), np.uint8),
        spaces.Box(0, 255, (20, 24, 1), np.uint8),
    )
    one, other = (built(CNNEncoderConfig().resolve(space), space) for space in (matrix, image))
    obs = samples(matrix, (4,))
    torch.testing.assert_close(one(obs), other(obs.unsqueeze(-1)))


@pytest.mark.parametrize("layout", ["thwc", "tchw"])
def test_the_channels_of_stacked_images_are_put_side_by_side(layout):
    shape = (4, 20, 24, 3) if layout == "thwc" else (4, 3, 20, 24)
    stacked = spaces.Box(0, 255, shape, np.uint8)
    merged = spaces.Box(0, 255, (12, 20, 24), np.uint8)
    config = CNNEncoderConfig().resolve(stacked)
    assert config.layout == layout
    one = built(config, stacked)
    other = built(CNNEncoderConfig().resolve(merged), merged)
    obs = samples(stacked, (5,))
    first = obs.permute(0, 1, 4, 2, 3) if layout == "thwc" else obs
    torch.testing.assert_close(one(obs), other(first.reshape(5, 12, 20, 24)))


@pytest.mark.parametrize(
    ("space", "layout", "message"),
    [
        (
            spaces.Box(0, 255, (84, 84), np.uint8),
            "hwc",
            "layout `hwc` is for rank 3, which Box(84, 84) uint8 has not",
        ),
        (
            spaces.Box(-np.inf, np.inf, (4, 9, 9, 3)),
            "auto",
            "`cnn` cannot tell which axis of Box(4, 9, 9, 3) float32 holds the channels: give "
            "`layout`, thwc or tchw",
        ),
    ],
)
def test_a_layout_must_have_an_axis_for_each_of_the_space(space, layout, message):
    assert CNNEncoderConfig.parse({"layout": layout}).refusal(space) == message


def test_a_matrix_that_is_no_image_is_one_where_that_is_said():
    space = spaces.Box(-np.inf, np.inf, (9, 9))
    assert CNNEncoderConfig().resolve(space).layout == "hw"


# cnn: presets


def preset(name, space):
    return Experiment.load([f"model/encoder={name}"]).config.model.encoder.resolve(space)


def test_nature_cnn_is_what_is_derived_for_84_pixels_and_stays_so():
    space = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    assert preset("nature_cnn", space) == CNNEncoderConfig().resolve(space)
    larger = spaces.Box(0, 255, (210, 160, 3), np.uint8)
    assert preset("nature_cnn", larger).filters == Convolution2d.derived((84, 84))


def test_dreamer_cnn_leaves_4_by_4_of_64_pixels():
    space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
    config = preset("dreamer_cnn", space)
    assert config.out_shape(space) == (256, 4, 4)
    assert config.out_dim(space) == 4096


def test_a_channel_norm_normalises_the_channels_of_each_pixel():
    maps = 3 + 5 * torch.randn(2, 8, 4, 5)
    normed = ChannelNorm(8)(maps)
    torch.testing.assert_close(normed.mean(1), torch.zeros(2, 4, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(1, correction=0), torch.ones(2, 4, 5), atol=1e-3, rtol=0)


def test_convolutions_are_normalised_before_their_activation():
    space = spaces.Box(0, 255, (9, 9, 3), np.uint8)
    config = CNNEncoderConfig.parse({"filters": [[8, 3, 1]], "conv_layer_norm": True})
    kinds = [type(part) for part in config.resolve(space).build(space).convolutions]
    assert kinds == [nn.Conv2d, ChannelNorm, nn.ReLU]
