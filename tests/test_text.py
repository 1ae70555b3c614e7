import math

import pytest
import torch
from gymnasium import spaces

from composer.encoders._pooled import sinusoids
from composer.encoders.text import TextEncoderConfig
from composer.spaces import batch, to_tensors
from composer.testing import check_encoder

WORD = spaces.Text(4, min_length=0, charset="nopt")
ANAGRAMS = ["on", "no"]


def built(space=WORD, **options):
    torch.manual_seed(0)
    return TextEncoderConfig(**options).build(space)


def texts(*given):
    return to_tensors(batch(WORD, given))


@pytest.mark.parametrize("pool", ["mean", "max", "sum", "attention", "gru"])
@pytest.mark.parametrize("space", [WORD, spaces.Text(1, charset="a"), spaces.Text(40)], ids=str)
def test_it_does_what_an_encoder_must(space, pool):
    check_encoder(TextEncoderConfig(pool=pool), space)


@pytest.mark.parametrize("options", [{"positions": 0}, {"positions": 3}, {"hidden": [], "size": 5}])
@pytest.mark.parametrize("element_hidden", [[], [7, 6]])
def test_its_options_do_what_an_encoder_must(options, element_hidden):
    check_encoder(TextEncoderConfig(element_hidden=element_hidden, **options), WORD)


@pytest.mark.parametrize("pool", ["mean", "max", "sum", "attention", "gru"])
def test_a_text_is_the_same_beside_a_longer_one(pool):
    encoder = built(pool=pool)
    alone, beside = encoder(texts("no")), encoder(texts("no", "ttpp"))
    torch.testing.assert_close(beside[:1], alone)


@pytest.mark.parametrize("pool", ["mean", "max", "sum", "attention", "gru"])
def test_a_text_without_characters_is_pooled_to_zeros(pool):
    features = built(pool=pool, hidden=[])(texts("", "no"))
    assert not features[0].any()
    assert features[1].any()


@pytest.mark.parametrize(
    ("options", "knows"),
    [
        ({}, True),
        ({"pool": "max"}, True),
        ({"pool": "gru", "positions": 0}, True),
        ({"positions": 0}, False),
        ({"element_hidden": []}, False),
    ],
)
def test_order_is_known_by_places_and_layers_over_them_or_by_recurrence(options, knows):
    one, other = built(**options)(texts(*ANAGRAMS))
    assert torch.allclose(one, other, atol=1e-6) is not knows


def test_places_are_sines_and_cosines_in_turn():
    places = sinusoids(3, 5, torch.device("cpu"))
    expected = [
        [(math.cos if i % 2 else math.sin)(place / 10_000 ** (2 * (i // 2) / 5)) for i in range(5)]
        for place in range(3)
    ]
    torch.testing.assert_close(places, torch.tensor(expected))


def test_only_a_text_is_taken():
    refused = TextEncoderConfig().refusal(spaces.Discrete(3))
    assert refused == "`text` takes a Text, not Discrete(3)"
