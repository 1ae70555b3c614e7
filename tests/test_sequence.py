import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import compose
from composer.blueprint.measure import measure
from composer.encoders.sequence import SequenceEncoder, SequenceEncoderConfig
from composer.spaces import batch, to_tensors
from composer.testing import check_encoder

POINT = spaces.Box(-1, 1, (2,))
POINTS = spaces.Sequence(POINT)
IMAGE = spaces.Box(0, 255, (12, 12, 3), np.uint8)
RECORD = spaces.Dict(word=spaces.Text(3), pair=spaces.Tuple([POINT, spaces.Discrete(3, start=5)]))
ACTIONS = spaces.Discrete(3)
POOLS = ["mean", "max", "sum", "attention", "gru"]


def module_of(space, **encoder):
    return compose(space, ACTIONS, {"encoder": {"type": "sequence", **encoder}}).build()


def sequences(space, *lengths):
    """Samples of these lengths as one batch."""
    space.seed(0)
    element = space.feature_space
    return to_tensors(batch(space, [tuple(element.sample() for _ in range(n)) for n in lengths]))


@pytest.mark.parametrize(
    "space",
    [
        POINTS,
        spaces.Sequence(POINT, stack=True),
        spaces.Sequence(spaces.Discrete(3, start=5)),
        spaces.Sequence(IMAGE),
        spaces.Sequence(spaces.Text(3)),
        spaces.Sequence(spaces.Sequence(spaces.MultiBinary(2), stack=True)),
        spaces.Sequence(RECORD),
        spaces.Sequence(RECORD, stack=True),
    ],
    ids=str,
)
def test_it_does_what_an_encoder_must(space):
    check_encoder(SequenceEncoderConfig(), space)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("options", [{}, {"positions": 0, "element_hidden": [], "hidden": []}])
def test_its_options_do_what_an_encoder_must(pool, options):
    check_encoder(SequenceEncoderConfig(pool=pool, **options), spaces.Sequence(spaces.Text(3)))


def test_the_element_has_an_encoder_by_the_same_tree():
    blueprint = compose(spaces.Sequence(RECORD), ACTIONS)
    types = {node.name: node.config.type for node in blueprint.nodes[:-2]}
    assert types == {
        "main.encoder.element.pair.0": "mlp",
        "main.encoder.element.pair.1": "one_hot",
        "main.encoder.element.pair": "tuple",
        "main.encoder.element.word": "text",
        "main.encoder.element": "dict",
        "main.encoder": "sequence",
    }
    parameters = blueprint.build().parameters()
    assert blueprint.parameter_count == sum(each.numel() for each in parameters)


def test_the_element_is_set_by_its_name():
    model = {"encoder": {"pool": "gru", "children": {"element": {"hidden": [9]}}}}
    nodes = compose(POINTS, ACTIONS, model).by_name
    assert nodes["main.encoder.element"].out_dim == 9
    assert nodes["main.encoder"].config.pool.type == "gru"


@pytest.mark.parametrize("space", [POINTS, spaces.Sequence(IMAGE), spaces.Sequence(RECORD)])
@pytest.mark.parametrize("lengths", [(0,), (0, 0)])
def test_where_all_are_empty_features_and_gradients_are_finite(space, lengths):
    module = module_of(space)
    features = module.main({"obs": sequences(space, *lengths)})
    assert features.isfinite().all()
    features.sum().backward()
    assert all(p.grad.isfinite().all() for p in module.main.parameters())


@pytest.mark.parametrize("pool", POOLS)
def test_a_sequence_is_the_same_beside_a_longer_one(pool):
    module = module_of(spaces.Sequence(RECORD), pool=pool)
    three = sequences(spaces.Sequence(RECORD), 3)
    both = sequences(spaces.Sequence(RECORD), 3, 7)
    torch.testing.assert_close(module.main({"obs": both})[:1], module.main({"obs": three}))


def test_a_stack_and_a_tuple_of_the_same_elements_are_encoded_alike():
    points = np.array([[0.5, 0.1], [-0.2, 0.3]], np.float32)
    stacked = spaces.Sequence(POINT, stack=True)
    features = [
        module_of(space).main({"obs": to_tensors(batch(space, [sample]))})
        for space, sample in ((POINTS, tuple(points)), (stacked, points))
    ]
    assert torch.equal(*features)


class Recorder(nn.Module):
    """Remembers what it is given."""

    def forward(self, obs):
        self.seen = obs
        return obs.unsqueeze(-1).float()


class Padded(nn.Module):
    """Gives the elements as they lie."""

    def forward(self, values, mask):
        return values.squeeze(-1)


def test_what_is_no_element_is_never_encoded():
    recorder = Recorder()
    encoder = SequenceEncoder(element=recorder, pooled=Padded())
    space = spaces.Sequence(spaces.Discrete(3, start=5))
    obs = to_tensors(batch(space, [(5, 6), (), (7,)]))
    assert encoder(obs).tolist() == [[5, 6], [0, 0], [7, 0]]
    assert recorder.seen.tolist() == [5, 6, 7]


def test_elements_in_another_order_are_another_sequence_unless_they_have_no_places():
    one, other = (np.full(2, x, np.float32) for x in (-0.5, 0.5))
    obs = to_tensors(batch(POINTS, [(one, other), (other, one)]))
    first, second = module_of(POINTS).main({"obs": obs})
    assert not torch.allclose(first, second, atol=1e-3)
    first, second = module_of(POINTS, positions=0).main({"obs": obs})
    torch.testing.assert_close(first, second)


def test_the_elements_encoder_costs_what_one_element_does():
    nodes = compose(POINTS, ACTIONS).by_name
    assert measure(nodes["main.encoder.element"]) == measure(
        compose(POINT, ACTIONS).by_name["main.encoder"]
    )


def test_only_a_sequence_is_taken():
    refused = SequenceEncoderConfig().refusal(POINT)
    assert refused == "`sequence` takes a Sequence, not Box(2,) float32"
