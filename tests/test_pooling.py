"""Many elements → one, whatever stands where there is no element."""

import math

import pytest
import torch

from composer.encoders._pooling import PoolingConfig
from composer.errors import ConfigError

TAGS = PoolingConfig.tags()
poolings = pytest.mark.parametrize("tag", TAGS)
WIDTH = 6


def pooling(tag, features=WIDTH, **options):
    torch.manual_seed(0)
    return PoolingConfig.parse({"type": tag, **options}).build(features)


def masked(*counts, length=5):
    """A mask of rows that begin with so many valid elements."""
    return torch.arange(length) < torch.tensor(counts).unsqueeze(-1)


def test_what_can_be_chosen():
    assert TAGS == ("attention", "gru", "max", "mean", "sum")


@poolings
@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_the_width_stays_and_the_elements_go(tag, lead):
    values = torch.randn(*lead, 5, WIDTH)
    pooled = pooling(tag)(values, torch.rand(*lead, 5) < 2)
    assert pooled.shape == (*lead, WIDTH)
    torch.testing.assert_close(pooling(tag)(values), pooled)


@poolings
def test_an_element_that_is_not_valid_makes_no_difference(tag):
    values, mask = torch.randn(3, 5, WIDTH), masked(1, 3, 5)
    pooled = pooling(tag)(values, mask)
    for garbage in (1e9, math.nan, math.inf):
        other = values.masked_fill(~mask.unsqueeze(-1), garbage)
        assert torch.equal(pooling(tag)(other, mask), pooled)


@poolings
def test_padding_makes_no_difference(tag):
    values = torch.randn(2, 3, WIDTH)
    padded = torch.cat([values, torch.zeros(2, 4, WIDTH)], 1)
    short = pooling(tag)(values, masked(2, 3, length=3))
    torch.testing.assert_close(pooling(tag)(padded, masked(2, 3, length=7)), short)


@poolings
def test_a_row_without_elements_gives_zeros_and_finite_gradients(tag):
    module = pooling(tag)
    values = torch.randn(2, 5, WIDTH, requires_grad=True)
    pooled = module(values, masked(0, 2))
    pooled.square().sum().backward()
    assert (pooled[0] == 0).all()
    assert (pooled[1] != 0).any()
    assert (values.grad[0] == 0).all()
    for tensor in (values, *module.parameters()):
        assert tensor.grad.isfinite().all()
        assert (tensor.grad != 0).any()


@poolings
def test_where_no_row_has_an_element_there_are_zeros(tag):
    module = pooling(tag)
    assert torch.equal(module(torch.ones(2, 3, WIDTH), masked(0, 0, length=3)), torch.zeros(2, 6))
    assert torch.equal(module(torch.ones(2, 0, WIDTH), masked(0, 0, length=0)), torch.zeros(2, 6))
    assert module(torch.ones(0, 3, WIDTH), torch.ones(0, 3, dtype=torch.bool)).shape == (0, 6)


@poolings
def test_only_what_keeps_order_goes_by_it(tag):
    values = torch.randn(4, 5, WIDTH)
    order = torch.tensor([3, 0, 4, 1, 2])
    mask = torch.tensor([True, True, False, True, True])
    pooled = pooling(tag)(values, mask.expand(4, 5))
    other = pooling(tag)(values[:, order], mask[order].expand(4, 5))
    same = torch.allclose(pooled, other, atol=1e-6)
    assert same is not PoolingConfig.member(tag).keeps_order


@pytest.mark.parametrize(
    ("tag", "expected"), [("mean", [2.0, -3.0]), ("max", [3.0, -2.0]), ("sum", [4.0, -6.0])]
)
def test_by_hand(tag, expected):
    values = torch.tensor([[1.0, -4.0], [3.0, -2.0], [9.0, 9.0]])
    assert pooling(tag)(values, torch.tensor([True, True, False])).tolist() == expected


@pytest.mark.parametrize(("features", "heads"), [(8, 4), (8, 1), (7, 3), (2, 4)])
def test_attention_is_torchs_of_one_query(features, heads):
    module = pooling("attention", features, heads=heads)
    values, mask = torch.randn(3, 5, features), masked(2, 5, 1)

    def by_head(tensor):  # (B, L, heads · size) → (B, heads, L, size)
        return tensor.unflatten(-1, (heads, -1)).transpose(1, 2)

    attended = torch.nn.functional.scaled_dot_product_attention(
        module.query.unsqueeze(-2).expand(3, -1, -1, -1),
        by_head(module.keys(values)),
        by_head(module.values(values)),
        attn_mask=mask[:, None, None],
    )
    torch.testing.assert_close(module(values, mask), module.out(attended.flatten(1)))


def test_a_gru_gives_its_output_at_the_last_valid_element():
    module = pooling("gru")
    values = torch.randn(3, 5, WIDTH)
    pooled = module(values, masked(1, 4, 5))
    for row, count in enumerate((1, 4, 5)):
        _, last = module.gru(values[row, :count])
        torch.testing.assert_close(pooled[row], last[0])


@pytest.mark.parametrize(
    ("pool", "message", "valid"),
    [
        ("meen", "there is no pooling `meen`; did you mean `mean`?", "mean"),
        ({"type": "max", "size": 2}, "pooling `max` has no options", None),
        (
            {"type": "max", "heads": 2},
            "`heads` belongs to pooling `attention`, but `max` is selected",
            None,
        ),
    ],
)
def test_a_mistake_is_told(pool, message, valid):
    with pytest.raises(ConfigError) as raised:
        PoolingConfig.parse(pool)
    (problem,) = raised.value.problems
    assert problem.message == message
    assert valid is None or problem.valid[0] == valid
