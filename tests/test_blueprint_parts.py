"""Modules of one's own in the place of a blueprint's parts: `blueprint.build(parts={…})`."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Columns, RLModule, compose
from composer.errors import CheckpointError, CompositionError

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
TWO = spaces.Discrete(2)


class Own(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.layer = nn.Linear(4, width)

    def forward(self, obs):
        return self.layer(obs)


class Sums(nn.Module):
    def forward(self, obs):
        return obs.sum(-1, keepdim=True).expand(-1, 64).long()


def test_a_part_of_ones_own_takes_the_place_of_a_node():
    blueprint, part = compose(VECTOR, TWO, algorithm="ppo"), Own()
    module = blueprint.build(parts={"main.encoder": part})
    assert module.get_submodule("main.encoder") is part
    plain = blueprint.build()
    for name, tensor in plain.state_dict().items():
        if not name.startswith("main.encoder"):
            assert torch.equal(module.state_dict()[name], tensor)
    obs = torch.rand(5, 4)
    expected = plain.policy(part(obs))
    out = module.forward_train({Columns.OBS: obs})
    assert torch.equal(out[Columns.ACTION_DIST_INPUTS], module.distribution.inputs(expected))


def test_what_stands_inside_a_replaced_composite_is_not_built():
    class Sums(nn.Module):
        def forward(self, obs):
            return obs["a"].sum(-1, keepdim=True).expand(*obs["a"].shape[:-1], 128)

    space = spaces.Dict({"a": VECTOR, "b": VECTOR})
    module = compose(space, TWO).build(parts={"main.encoder": Sums()})
    assert not any(name.startswith("main.") for name in module.state_dict())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"main.encoder": Own(3)}, "expected Box(4,) float32 → (*B, 64) float32, given (*B, 3) fl"),
        ({"main.encoder": Own().double()}, "given RuntimeError: mat1 and mat2 must have the same"),
        ({"main.encoder": Sums()}, "float32, given (*B, 64) int64"),
        ({"main.encoder": nn.Flatten(0)}, "given (8,) float32 for 2 observations"),
        ({"main.encoder": nn.LSTM(4, 64)}, "given tuple"),
        ({"value": nn.Linear(64, 1)}, "expected 64 → (*B) float32, given (*B, 1)"),
        ({"main.encoder": nn.Linear(5, 64)}, "given RuntimeError: mat1 and mat2 shapes"),
        (
            {"main.encodr": Own()},
            "no encoder or output head `main.encodr`; did you mean `main.encoder`?",
        ),
        ({"distribution": Own()}, "the model has no encoder or output head `distribution`"),
        ({"main.encoder": "mlp"}, "a part is a torch module, built already"),
    ],
)
def test_a_part_that_does_not_fit_is_refused_with_its_name(parts, message):
    with pytest.raises(CompositionError) as raised:
        compose(VECTOR, TWO, algorithm="ppo").build(parts=parts)
    (problem,) = raised.value.problems
    assert message in problem.message
    assert problem.path == f"parts[{next(iter(parts))!r}]"


def test_parts_that_are_no_mapping_are_refused():
    with pytest.raises(CompositionError, match="by the name of a node, a mapping"):
        compose(spaces.Box(-1, 1, (4,)), spaces.Discrete(2)).build(parts=["main.encoder"])


def test_every_part_that_does_not_fit_is_told_at_once():
    with pytest.raises(CompositionError) as raised:
        compose(VECTOR, TWO, algorithm="ppo").build(
            parts={"main.encoder": Own(3), "valeu": Own(), "policy": Own()}
        )
    assert len(raised.value.problems) == 3


def test_a_part_is_tried_without_moving_its_statistics():
    norm = nn.BatchNorm1d(4)
    part = nn.Sequential(norm, nn.Linear(4, 64))
    compose(VECTOR, TWO).build(parts={"main.encoder": part})
    assert int(norm.num_batches_tracked) == 0
    assert part.training


def test_trying_a_part_moves_no_random_stream():
    part, before = Own(), torch.get_rng_state()
    compose(VECTOR, TWO).build(parts={"main.encoder": part})
    assert torch.equal(torch.get_rng_state(), before)


def test_a_part_that_only_training_needs_is_left_out_of_what_only_acts():
    part = nn.Sequential(nn.Linear(64, 1), nn.Flatten(0))
    blueprint = compose(VECTOR, TWO, algorithm="ppo")
    assert blueprint.build(parts={"value": part}).get_submodule("value") is part
    slim = blueprint.build(parts={"value": part}, inference_only=True)
    assert not hasattr(slim, "value")


def test_a_module_with_parts_of_ones_own_is_loaded_only_with_them(tmp_path):
    blueprint = compose(VECTOR, TWO, algorithm="ppo")
    module = blueprint.build(parts={"main.encoder": Own()})
    path = module.save_to_path(tmp_path / "saved")
    with pytest.raises(CheckpointError, match=r"main\.encoder by .*\.Own; build it with them"):
        RLModule.from_checkpoint(path)
    again = blueprint.build(seed=1, parts={"main.encoder": Own()})
    again.restore_from_path(path)
    assert torch.equal(
        again.get_submodule("main.encoder.layer").weight, module.main.encoder.layer.weight
    )
