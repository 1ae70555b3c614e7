import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import compose
from composer.encoders.oneof import OneOfEncoder, OneOfEncoderConfig
from composer.spaces import batch, to_tensors
from composer.testing import check_encoder

POINT = spaces.Box(-1, 1, (2,))
IMAGE = spaces.Box(0, 255, (12, 12, 3), np.uint8)
CHOICE = spaces.Discrete(3, start=5)
EITHER = spaces.OneOf([POINT, CHOICE])
ACTIONS = spaces.Discrete(3)


def drawing(space, *branches):
    """Samples of these branches as one batch."""
    space.seed(0)
    return to_tensors(batch(space, [(i, space.spaces[i].sample()) for i in branches]))


@pytest.mark.parametrize(
    "space",
    [
        EITHER,
        spaces.OneOf([spaces.Text(3)]),
        spaces.OneOf([POINT, POINT]),
        spaces.OneOf([IMAGE, spaces.Sequence(CHOICE), spaces.Dict(a=spaces.Text(3), b=EITHER)]),
        spaces.Sequence(EITHER),
        spaces.Tuple([EITHER, EITHER]),
    ],
    ids=str,
)
def test_it_does_what_an_encoder_must(space):
    check_encoder(compose(space, ACTIONS).by_name["main.encoder"].config, space)


@pytest.mark.parametrize("options", [{"hidden": []}, {"features": 5}])
def test_its_options_do_what_an_encoder_must(options):
    check_encoder(OneOfEncoderConfig(**options), EITHER)


def test_each_branch_has_an_encoder_by_the_same_tree():
    blueprint = compose(spaces.OneOf([IMAGE, CHOICE, spaces.Text(3)]), ACTIONS)
    assert {node.name: node.config.type for node in blueprint.nodes[:-2]} == {
        "main.encoder.0": "cnn",
        "main.encoder.1": "one_hot",
        "main.encoder.2": "text",
        "main.encoder": "oneof",
    }
    module = blueprint.build()
    assert blueprint.parameter_count == sum(each.numel() for each in module.parameters())
    cnn = {name for name, _ in module.named_parameters() if name.startswith("main.encoder.0.")}
    assert len(cnn) > 0


@pytest.mark.parametrize("children", [["mlp", {"hidden": [9]}], {1: {"hidden": [9]}}])
def test_a_branch_is_set_by_its_index_or_in_a_list(children):
    nodes = compose(EITHER, ACTIONS, {"encoder": {"children": children}}).by_name
    assert nodes["main.encoder.1"].out_dim == 9


@pytest.mark.parametrize("drawn", [(0, 0), (1, 1, 1)])
@pytest.mark.parametrize("other", [CHOICE, IMAGE, spaces.Text(3), spaces.Sequence(EITHER)])
def test_a_branch_that_nobody_drew_has_gradients_of_zero(drawn, other):
    space = spaces.OneOf([POINT, other])
    module = compose(space, ACTIONS).build()
    features = module.main({"obs": drawing(space, *drawn)})
    assert features.isfinite().all()
    features.sum().backward()
    undrawn = "encoder.1." if drawn[0] == 0 else "encoder.0."
    for name, parameter in module.main.named_parameters():
        assert parameter.grad.isfinite().all()
        if name.startswith(undrawn):
            assert not parameter.grad.any()


class Recorder(nn.Module):
    """Remembers what it is given."""

    def forward(self, obs):
        self.seen = obs
        return obs.reshape(-1, 1).float()


def test_a_branch_is_encoded_for_the_rows_that_drew_it():
    parts = {"0": Recorder(), "1": Recorder()}
    which = nn.Embedding.from_pretrained(torch.tensor([[100.0], [200.0]]))
    same = nn.ModuleList([nn.Identity(), nn.Identity()])
    encoder = OneOfEncoder(parts=parts, projections=same, branches=which, layers=nn.Identity())
    obs = to_tensors(batch(spaces.OneOf([CHOICE, spaces.Discrete(9)]), [(0, 7), (1, 8), (0, 6)]))
    assert encoder(obs).flatten().tolist() == [107, 208, 106]
    assert parts["0"].seen.tolist() == [7, 6]
    assert parts["1"].seen.tolist() == [8]


def test_the_same_value_in_another_branch_is_something_else():
    space = spaces.OneOf([POINT, POINT])
    module = compose(space, ACTIONS).build()
    point = np.zeros(2, np.float32)
    one, other = module.main({"obs": to_tensors(batch(space, [(0, point), (1, point)]))})
    assert not torch.allclose(one, other, atol=1e-3)


def test_only_a_oneof_is_taken():
    refused = OneOfEncoderConfig().refusal(spaces.Tuple([POINT]))
    assert refused == "`oneof` takes a OneOf, not Tuple(Box(2,) float32)"
