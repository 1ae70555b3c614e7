"""What a Box's bounds do to its numbers before a network sees them."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from composer import compose
from composer.encoders.base import EncoderConfig
from composer.encoders.mlp import MLPEncoderConfig
from composer.errors import CompositionError

MIXED = spaces.Box(np.array([-2.0, -np.inf]), np.array([6.0, 1.0]), dtype=np.float64)


def scaled(space, obs, **options):
    """What an `mlp` without layers makes of an observation."""
    config = MLPEncoderConfig(hidden=(), **options).resolve(space)
    return config.build(space)(torch.as_tensor(obs)).tolist()


@pytest.mark.parametrize(
    ("space", "scaling"),
    [
        (spaces.Box(-1.0, 1.0, (3,)), "none"),
        (spaces.Box(0.0, 255.0, (3,)), "none"),
        (spaces.Box(0, 255, (3,), np.uint8), "unit"),
        (spaces.Box(-3, 7, (), np.int64), "unit"),
        (spaces.Box(-np.inf, np.inf, (3,), np.int64), "none"),
        (spaces.Box(0.0, 255.0, (9, 9, 3)), "unit"),
        (spaces.Box(0.0, 1.0, (9, 9, 3)), "none"),
        (spaces.Box(-2.0, 2.0, (9, 9, 3)), "none"),
    ],
)
@pytest.mark.parametrize("tag", ["mlp", "residual_mlp", "cnn", "impala_cnn", "set", "conv1d"])
def test_what_is_done_can_be_read_in_the_resolved_config(tag, space, scaling):
    config = EncoderConfig.parse(tag)
    if config.refusal(space) is None:
        assert config.resolve(space).scaling == scaling


def test_unit_goes_from_the_bounds_to_0_and_1():
    assert scaled(MIXED, [-2.0, 5.0], scaling="unit") == [0.0, 5.0]
    assert scaled(MIXED, [6.0, -7.0], scaling="unit") == [1.0, -7.0]


def test_symmetric_goes_from_the_bounds_to_1_on_both_sides():
    assert scaled(MIXED, [-2.0, 5.0], scaling="symmetric") == [-1.0, 5.0]
    assert scaled(MIXED, [2.0, 5.0], scaling="symmetric") == [0.0, 5.0]
    assert scaled(MIXED, [6.0, 5.0], scaling="symmetric") == [1.0, 5.0]


def test_a_component_that_cannot_vary_is_0():
    space = spaces.Box(np.array([5, 0]), np.array([5, 9]), dtype=np.int64)
    for scaling in ("unit", "symmetric"):
        assert scaled(space, [5, 9], scaling=scaling) == [0.0, 1.0]


def test_integers_stay_as_they_are_where_that_is_said():
    assert scaled(spaces.Box(0, 255, (2,), np.uint8), [3, 255], scaling="none") == [3.0, 255.0]


@pytest.mark.parametrize(
    ("space", "options"),
    [
        (spaces.Box(-np.inf, np.inf, (3,)), {"type": "mlp"}),
        (spaces.Box(-3e38, 3e38, (3,)), {"type": "residual_mlp"}),  # too wide for a float32
        (spaces.Box(-np.inf, np.inf, (9, 9, 3)), {"type": "cnn", "layout": "hwc"}),
    ],
)
def test_without_bounds_there_is_nothing_to_scale_by(space, options):
    model = {"encoder": {**options, "scaling": "unit"}}
    with pytest.raises(CompositionError) as raised:
        compose(space, gym.spaces.Discrete(2), model)
    (problem,) = raised.value.problems
    assert problem.message.startswith("no component of Box")
    assert problem.message.endswith("has two finite bounds to scale by")
    assert problem.path == "model.encoder.scaling"
    assert problem.fix == "model.encoder.scaling=none"
