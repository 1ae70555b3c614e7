import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from composer import compose
from composer.encoders.base import EncoderConfig
from composer.encoders.set import SetEncoderConfig
from composer.errors import ConfigError
from composer.testing import check_encoder

SPACE = spaces.Box(-1, 1, (5, 3), np.float32)


def built(space=SPACE, **options):
    torch.manual_seed(0)
    return SetEncoderConfig.parse(options).resolve(space).build(space)


@pytest.mark.parametrize(
    "space",
    [
        SPACE,
        spaces.Box(-np.inf, np.inf, (1, 3)),
        spaces.Box(-np.inf, np.inf, (4, 1)),
        spaces.Box(0, 255, (1, 1), np.uint8),
    ],
)
@pytest.mark.parametrize("pool", ["mean", "max", "sum", {"type": "attention", "heads": 2}])
def test_it_does_what_an_encoder_must(space, pool):
    check_encoder(SetEncoderConfig.parse({"pool": pool, "norm": "running"}), space)


@pytest.mark.parametrize("pool", ["mean", "max", "sum", "attention"])
def test_the_order_of_the_rows_makes_no_difference(pool):
    encoder = built(pool=pool, norm="running")
    encoder.scaling.norm.mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    obs = torch.randn(7, 5, 3)
    torch.testing.assert_close(encoder(obs[:, torch.randperm(5)]), encoder(obs))


def test_it_is_layers_of_the_mean_of_layers_of_the_rows():
    encoder = built()
    obs = torch.randn(2, 5, 3)
    rows = torch.stack([encoder.elements(obs[:, row]) for row in range(5)])
    torch.testing.assert_close(encoder(obs), encoder.layers(rows.mean(0)))


def test_without_layers_it_pools_the_rows_themselves():
    encoder = built(element_hidden=[], hidden=[], pool="sum")
    obs = torch.randn(2, 5, 3)
    torch.testing.assert_close(encoder(obs), obs.sum(1))


def test_its_widths_are_said():
    config = SetEncoderConfig.parse({"element_hidden": [7], "hidden": []})
    assert config.out_dim(SPACE) == 7
    inner, pooled = (built(element_hidden=[7], hidden=[9]).get_submodule(name)[0] for name in
                     ("elements", "layers"))  # fmt: skip
    assert (inner.in_features, inner.out_features) == (3, 7)
    assert (pooled.in_features, pooled.out_features) == (7, 9)


def test_what_goes_by_order_is_refused():
    with pytest.raises(ConfigError) as raised:
        SetEncoderConfig.parse({"pool": "gru"})
    (problem,) = raised.value.problems
    assert problem.path == "pool"
    assert problem.message == "a set has no order, and `gru` goes by it"
    assert problem.valid == ("attention", "max", "mean", "sum")


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_only_a_matrix_is_taken(shape):
    refusal = EncoderConfig.parse("set").refusal(spaces.Box(-1, 1, shape))
    assert refusal == f"`set` takes rows of numbers, a Box of rank 2, not Box{shape} float32"


def test_it_is_chosen_by_its_name_with_a_hint_for_the_pooling():
    model = {"encoder": {"type": "set", "pool": {"type": "attention", "heads": 2}}}
    node = compose(SPACE, gym.spaces.Discrete(2), model).by_name["main.encoder"]
    assert (node.config.type, node.config.pool.heads, node.out_dim) == ("set", 2, 64)
