import numpy as np
import pytest
import torch
from gymnasium import spaces

from composer import compose
from composer.encoders.base import EncoderConfig


def test_a_vector_is_its_own_features():
    space = spaces.Box(-5.0, 5.0, (3,))
    module = compose(space, spaces.Discrete(2), model={"encoder": "identity"}).build()
    obs = torch.tensor([[1.0, -2.0, 4.5]])
    assert torch.equal(module.main({"obs": obs}), obs)
    assert not list(module.main.parameters())


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_a_box_of_any_rank_becomes_a_row(shape):
    space = spaces.Box(-1.0, 1.0, shape)
    config = EncoderConfig.parse("identity").resolve(space)
    assert config.out_dim(space) == np.prod(shape, dtype=int)
    assert config.build(space)(torch.zeros(4, *shape)).shape == (4, config.out_dim(space))


def test_integers_with_bounds_are_scaled():
    space = spaces.Box(0, 10, (2,), np.int64)
    config = EncoderConfig.parse("identity").resolve(space)
    assert config.build(space)(torch.tensor([[5, 10]])).tolist() == [[0.5, 1.0]]


def test_what_is_no_box_is_refused():
    refusal = EncoderConfig.parse("identity").refusal(spaces.Discrete(2))
    assert refusal == "`identity` takes a Box, not Discrete(2)"
