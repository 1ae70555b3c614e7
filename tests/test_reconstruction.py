"""The head `reconstruction`: what is made of each space, and how far off it is."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import compose
from composer.columns import Columns
from composer.heads._auxiliary import Transition
from composer.heads._codes import Code, action_code, code_of, normalised_space, uncoded, widths
from composer.heads._decoder import picture
from composer.heads.reconstruction import ReconstructionHeadConfig


def bounded_and_not(low, high):
    """Two numbers, the second of which has no bounds."""
    ends = np.array([[low, -np.inf], [high, np.inf]], np.float32)
    return spaces.Box(*ends, dtype=np.float32)


VECTOR = bounded_and_not(0.0, 4.0)


def seen(obs, features):
    return Transition({Columns.OBS: obs}, lambda x: x, lambda x: x, lambda x: x, features)


def error(space, predicted, value, code=code_of):
    return code(space).error([torch.tensor(leaf) for leaf in predicted], value).tolist()


def test_numbers_are_scaled_and_their_errors_squared():
    # 1 of [0, 4] is 0.25, 3 without bounds is 3: ((0.75 - 0.25)² + (5 - 3)²) / 2
    assert error(VECTOR, [[0.75, 5.0]], torch.tensor([1.0, 3.0])) == pytest.approx(4.25 / 2)


def test_choices_are_told_by_logits():
    logits = [[math.log(1), math.log(3)]]
    space = spaces.Discrete(2, start=5)
    assert error(space, logits, torch.tensor(6)) == pytest.approx(math.log(4 / 3))
    assert error(space, logits, torch.tensor(5)) == pytest.approx(math.log(4))


def test_each_choice_of_several_has_logits_of_its_own():
    space = spaces.MultiDiscrete([2, 3], start=[0, 1])
    logits = [[0.0, math.log(3), 0.0, 0.0, math.log(2)]]
    expected = (math.log(4 / 3) + math.log(4 / 2)) / 2
    assert error(space, logits, torch.tensor([1, 3])) == pytest.approx(expected)


def test_bits_have_a_logit_each():
    space = spaces.MultiBinary(2)
    expected = (math.log(4 / 3) + math.log(2)) / 2
    value = torch.tensor([1, 0], dtype=torch.int8)
    assert error(space, [[math.log(3), 0.0]], value) == pytest.approx(expected)


def test_every_leaf_weighs_the_same():
    pair = spaces.Tuple((VECTOR, spaces.Discrete(2)))
    space = spaces.Dict(many=spaces.Box(0.0, 1.0, (100,), np.float32), pair=pair)
    value = {"many": torch.zeros(100), "pair": (torch.zeros(2), torch.tensor(1))}
    predicted = [[1.0] * 100, [0.0, 2.0], [0.0, 0.0]]
    assert error(space, predicted, value) == pytest.approx((1 + 2 + math.log(2)) / 3)


def test_the_loss_is_the_mean_of_the_errors_times_the_weight():
    head = {"hidden": [], "weight": 3.0, "stop_gradient": ["main"]}
    model = {"encoder": {"hidden": []}, "heads": {"reconstruction": head}}
    module = compose(VECTOR, spaces.Discrete(2), model, "ppo").build()
    (output,) = module.reconstruction.decoder.outputs
    output.weight.data.zero_()
    output.bias.data.copy_(torch.tensor([0.5, 1.0]))
    obs = torch.tensor([[4.0, 1.0], [2.0, 3.0]])  # scaled: [1, 1], [0.5, 3]
    losses = module.compute_self_supervised_loss({Columns.OBS: obs}, {})
    expected = 3.0 * ((0.25 + 0) / 2 + (0 + 4) / 2) / 2
    assert losses["reconstruction"].item() == pytest.approx(expected)


SHAPES = [
    ((84, 84, 3), np.uint8),
    ((1, 42, 42), np.uint8),
    ((17, 23, 2), np.uint8),
    ((16, 20), np.uint8),
    ((4, 30, 40, 3), np.uint8),
    ((4, 3, 30, 40), np.uint8),
    ((5, 5, 3), np.bool_),
]


@pytest.mark.parametrize(("shape", "dtype"), SHAPES)
def test_an_image_of_any_size_and_layout_is_made(shape, dtype):
    high = 1 if dtype is np.bool_ else 255
    space = spaces.Box(0, high, shape, dtype)
    config = ReconstructionHeadConfig()
    head = config.build(6, space, spaces.Discrete(2))
    assert head(torch.zeros(2, 3, 6)).shape == (2, 3, config.out_dim(6, space, spaces.Discrete(2)))
    obs = torch.zeros(2, 3, *shape, dtype=torch.uint8)
    assert head.errors(seen(obs, torch.zeros(2, 3, 6))).shape == (2, 3)


def test_a_pixel_stands_where_it_stood():
    """A picture whose layers are the identity gives channels, rows and columns in order."""
    space = spaces.Box(0, 255, (20, 30, 3), np.uint8)
    made = picture(ReconstructionHeadConfig(), 4, space)
    made.start, made.layers, made.shape = nn.Identity(), nn.Identity(), (3, 20, 30)
    image = torch.rand(2, 20, 30, 3)
    channels_first = image.permute(0, 3, 1, 2).flatten(1)
    assert torch.equal(made(channels_first), image.flatten(1))


def test_an_image_is_not_made_by_one_linear_layer():
    space = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    head = ReconstructionHeadConfig(hidden=()).build(512, space, spaces.Discrete(2))
    linear = 512 * 84 * 84 * 4
    assert sum(p.numel() for p in head.parameters()) < linear / 5


def test_a_small_picture_is_learnt():
    torch.manual_seed(0)
    space = spaces.Box(0, 255, (16, 16, 1), np.uint8)
    head = ReconstructionHeadConfig().build(2, space, spaces.Discrete(2))
    features = torch.eye(2)
    obs = torch.zeros(2, 16, 16, 1, dtype=torch.uint8)
    obs[0, :8], obs[1, :, 8:] = 255, 255
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss = head.errors(seen(obs, features)).mean()
        loss.backward()
        optimiser.step()
    assert loss < 0.05  # a grey picture is off by 0.25


def test_real_actions_are_clipped_at_their_bounds_and_all_count_from_zero():
    space = spaces.Dict(
        arm=bounded_and_not(-4.0, 4.0),
        gear=spaces.Discrete(2, start=7),
        keys=spaces.MultiBinary(2),
        level=spaces.Box(3, 5, (1,), np.int64),
    )
    normalised = normalised_space(space)
    code: Code = action_code(normalised)
    actions = {
        "arm": torch.tensor([1.5, 1.5]),
        "gear": torch.tensor(1),
        "keys": torch.tensor([0, 1]),
        "level": torch.tensor([2]),
    }
    assert code(actions).tolist() == [1.0, 1.5, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    assert widths(normalised) == [2, 2, 2, 3]


def test_what_has_no_vector_of_one_length_is_named():
    space = spaces.Dict(a=VECTOR, b=spaces.Tuple((spaces.Sequence(VECTOR),)))
    assert uncoded(space) == "Sequence(Box(2,) float32)"
    assert uncoded(space["a"]) is None
