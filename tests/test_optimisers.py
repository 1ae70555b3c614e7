import math

import pytest
import torch
from torch import nn

from composer.errors import CheckpointError
from composer.optimisers import adam, load_named_state, named_state, schedule_factor, set_lr


def two_layers(*names):
    torch.manual_seed(0)
    module = nn.Module()
    for name in names:
        module.add_module(name, nn.Linear(2, 2 if name == "square" else 3))
    return module


def stepped(module, steps=1):
    """An optimiser that has taken steps, each gradient entry being 1, 2, 3, …"""
    optimiser = adam(module, lr=0.1, eps=1e-8)
    for _ in range(steps):
        for parameter in module.parameters():
            parameter.grad = torch.arange(1.0, parameter.numel() + 1).reshape(parameter.shape)
        optimiser.step()
    return optimiser


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", (1.0, 1.0, 1.0, 1.0)),
        ("linear", (1.0, 0.75, 0.5, 0.0)),
        ("cosine", (1.0, 0.5 + 0.5 * math.sqrt(0.5), 0.5, 0.0)),
    ],
)
def test_a_schedule_falls_from_one_along_its_curve(schedule, factors):
    given = [schedule_factor(schedule, progress) for progress in (0.0, 0.25, 0.5, 1.0)]
    assert given == pytest.approx(factors)


def test_set_lr_reaches_every_group():
    optimiser = torch.optim.Adam([{"params": [nn.Parameter(torch.ones(1))]} for _ in range(2)])
    set_lr(optimiser, 0.25)
    assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.25]


def test_a_shared_parameter_is_in_one_group_once_and_stepped_once():
    module = nn.Module()
    module.actor = module.critic = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.actor.weight)
    optimiser = adam(module, lr=0.1, eps=1e-8)
    assert [len(group["params"]) for group in optimiser.param_groups] == [1]
    (module.actor(torch.ones(1, 1)) + module.critic(torch.ones(1, 1))).sum().backward()
    optimiser.step()
    # Adam's first step is lr · g / |g|, whatever the gradient; two would be twice as far.
    assert module.actor.weight.item() == pytest.approx(-0.1)


def test_a_frozen_parameter_is_out_of_the_optimiser():
    module = two_layers("square", "wide")
    module.square.requires_grad_(False)
    parameters = adam(module, lr=0.1, eps=1e-8).param_groups[0]["params"]
    assert [id(p) for p in parameters] == [id(p) for p in module.wide.parameters()]


def test_the_state_is_named_by_parameter_and_key():
    module = two_layers("square")
    assert set(named_state(stepped(module), module)) == {
        f"square.{parameter}/{key}"
        for parameter in ("weight", "bias")
        for key in ("step", "exp_avg", "exp_avg_sq")
    }


def test_the_named_state_is_a_copy():
    module = two_layers("square")
    optimiser = stepped(module)
    state = named_state(optimiser, module)
    kept = {name: tensor.clone() for name, tensor in state.items()}
    optimiser.step()
    assert all(torch.equal(state[name], kept[name]) for name in kept)


def test_the_state_fits_a_module_whose_parameters_come_in_another_order():
    first, second = two_layers("square", "wide"), two_layers("wide", "square")
    optimiser = stepped(first, steps=3)
    other = adam(second, lr=0.1, eps=1e-8)
    load_named_state(other, second, named_state(optimiser, first))
    second.load_state_dict(first.state_dict())
    for module, its in ((first, optimiser), (second, other)):
        for parameter in module.parameters():
            parameter.grad = torch.ones_like(parameter)
        its.step()
    after = second.state_dict()
    assert all(torch.equal(after[name], value) for name, value in first.state_dict().items())


def test_loading_leaves_nothing_of_the_state_before():
    module = two_layers("square")
    optimiser = stepped(module)
    load_named_state(optimiser, module, {})
    assert named_state(optimiser, module) == {}


def test_state_of_a_parameter_that_the_module_lacks_is_refused_by_name():
    module = two_layers("square")
    state = named_state(stepped(module), module)
    with pytest.raises(CheckpointError, match=r"`other\.weight/step` does not fit"):
        load_named_state(stepped(module), module, state | {"other.weight/step": torch.ones(())})


def test_state_of_another_shape_is_refused_and_changes_nothing():
    module = two_layers("square")
    optimiser = stepped(module)
    before = named_state(optimiser, module)
    with pytest.raises(CheckpointError, match=r"`square\.weight/exp_avg` does not fit"):
        load_named_state(optimiser, module, before | {"square.weight/exp_avg": torch.ones(3)})
    after = named_state(optimiser, module)
    assert all(torch.equal(after[name], value) for name, value in before.items())
