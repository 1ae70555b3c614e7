import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from composer import Catalog, compose
from composer.encoders.embedding import EmbeddingEncoderConfig
from composer.testing import check_encoder

GRID = spaces.MultiDiscrete(np.array([[2, 3], [4, 5]]), start=np.array([[1, 0], [-1, 2]]))


def built(space, **options):
    torch.manual_seed(0)
    return EmbeddingEncoderConfig(hidden=(), **options).resolve(space).build(space)


@pytest.mark.parametrize("space", [spaces.Discrete(2000, start=-7), GRID, spaces.Discrete(1)])
@pytest.mark.parametrize("combine", ["concat", "sum"])
def test_it_does_what_an_encoder_must(space, combine):
    check_encoder(EmbeddingEncoderConfig(combine=combine), space)


def test_a_choice_is_its_row_of_the_table():
    encoder = built(spaces.Discrete(5, start=-2), size=3)
    assert torch.equal(encoder(torch.tensor(-2)), encoder.table.weight[0])
    assert torch.equal(encoder(torch.tensor([2, 0])), encoder.table.weight[[4, 2]])


def test_each_component_has_rows_of_its_own():
    rows = [0 + 1, 2 + 2, 5 + 0, 9 + 4]  # behind those of the components before, from its start
    obs = torch.tensor([[2, 2], [-1, 6]])
    encoder = built(GRID, size=3)
    assert encoder.table.weight.shape == (2 + 3 + 4 + 5, 3)
    assert torch.equal(encoder(obs), encoder.table.weight[rows].flatten())
    encoder = built(GRID, size=3, combine="sum")
    torch.testing.assert_close(encoder(obs), encoder.table.weight[rows].sum(0))


def test_no_two_choices_of_a_grid_share_a_row():
    encoder = built(GRID, size=1)
    lowest, highest = torch.as_tensor(GRID.start), torch.as_tensor(GRID.start + GRID.nvec - 1)
    assert encoder.positions(lowest).tolist() == [0, 2, 5, 9]
    assert encoder.positions(highest).tolist() == [1, 4, 8, 13]


@pytest.mark.parametrize(("n", "size"), [(1, 2), (1025, 78), (10**6, 600)])
def test_the_size_follows_from_the_number_of_choices(n, size):
    assert EmbeddingEncoderConfig().resolve(spaces.Discrete(n)).size == size
    assert EmbeddingEncoderConfig().resolve(spaces.MultiDiscrete([1, n])).size == size


def test_bits_need_no_table():
    message = "`embedding` takes Discrete or MultiDiscrete, not MultiBinary(3)"
    assert EmbeddingEncoderConfig().refusal(spaces.MultiBinary(3)) == message


def test_the_rule_says_how_to_ask_for_the_other_and_its_limit_can_be_moved():
    space = spaces.Discrete(2000)
    assert "model/encoder=one_hot" in str(Catalog.default().encoder(space).reason.why)
    two = gym.spaces.Discrete(2)
    assert compose(space, two, {"encoder": "one_hot"}).by_name["main.encoder"].out_dim == 64
    rules = Catalog.default().rules.to_data()
    rules["observation"]["many_choices"]["when"]["size"]["min"] = 2001
    assert Catalog(rules).encoder(space).config.type == "one_hot"
