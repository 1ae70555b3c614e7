"""Memories: a step at a time and a sequence at once are the same, wherever episodes begin."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.errors import ConfigError
from composer.memories.base import MemoryConfig
from composer.spaces import map_structure

KINDS = {
    "lstm": [{}, {"num_layers": 2, "layer_norm": True}, {"skip": True}],
    "gru": [{}, {"num_layers": 3, "skip": True, "kernel_initializer": None}],
    "attention": [{}, {"num_layers": 2, "window": 2, "num_heads": 1}, {"window": 1}],
}
CONFIGS = [
    MemoryConfig.parse({"type": kind, "hidden_size": 8, **options}, "model.memory")
    for kind, variants in KINDS.items()
    for options in variants
]
configs = pytest.mark.parametrize("config", CONFIGS, ids=str)


def stepped(memory, features, state, is_first):
    """The sequence, one step after the other."""
    outs = []
    for t in range(features.shape[1]):
        out, state = memory(features[:, t : t + 1], state, is_first[:, t : t + 1])
        outs.append(out)
    return torch.cat(outs, 1), state


def same(a, b):
    map_structure(lambda x, y: torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5), a, b)


@configs
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_steps_and_the_sequence_give_the_same_outputs_and_states(config, data):
    batch, steps = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9))
    flags = st.lists(st.booleans(), min_size=batch * steps, max_size=batch * steps)
    torch.manual_seed(data.draw(st.integers(0, 99)))
    memory = config.build(3)
    _, state = memory(torch.randn(batch, 5, 3), memory.initial_state(batch))
    features = torch.randn(batch, steps, 3)
    is_first = torch.tensor(data.draw(flags)).view(batch, steps)
    out, after = memory(features, state, is_first)
    assert out.shape == (batch, steps, config.out_dim(3))
    one_out, one_after = stepped(memory, features, state, is_first)
    same(out, one_out)
    same(after, one_after)


@configs
def test_nothing_passes_from_one_episode_to_the_next(config):
    memory = config.build(3)
    features = torch.randn(2, 6, 3, requires_grad=True)
    is_first = torch.zeros(2, 6, dtype=torch.bool)
    is_first[0, 4] = True
    out, _ = memory(features, memory.initial_state(2), is_first)
    (grad,) = torch.autograd.grad(out[0, 4:].square().sum(), features)
    assert not grad[0, :4].any()
    assert grad[0, 4:].any()
    again, _ = memory(features[:1, 4:], memory.initial_state(1))
    same(out[:1, 4:], again)


@configs
def test_what_was_seen_is_remembered(config):
    memory = config.build(3)
    _, one = memory(-torch.ones(1, 1, 3), memory.initial_state(1))
    now = torch.ones(1, 1, 3)
    assert not torch.allclose(memory(now, one)[0], memory(now, memory.initial_state(1))[0])


@configs
def test_gradients_of_steps_and_of_the_sequence_are_the_same(config):
    memory = config.build(3)
    is_first = torch.zeros(2, 5, dtype=torch.bool)
    is_first[1, 3] = True
    grads = []
    features, state = torch.randn(2, 5, 3), memory.initial_state(2)
    for run in (memory, lambda *given: stepped(memory, *given)):
        out, _ = run(features, state, is_first)
        loss = (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum()
        grads.append(torch.autograd.grad(loss, [*memory.parameters()]))
    for fused, looped in zip(*grads, strict=True):
        same(fused, looped)


def test_a_window_sees_no_further_than_it_is_long():
    config = MemoryConfig.parse({"type": "attention", "hidden_size": 8, "window": 2}, "memory")
    memory = config.build(3)
    features = torch.randn(1, 6, 3, requires_grad=True)
    out, _ = memory(features, memory.initial_state(1))
    (grad,) = torch.autograd.grad(out[0, 5].sum(), features)
    assert not grad[0, :3].any()
    assert grad[0, 3:].any()


@pytest.mark.parametrize(("size", "heads"), [(30, 3), (62, 2), (61, 1)])
def test_heads_that_do_not_divide_are_told_with_as_many_as_do(size, heads):
    with pytest.raises(ConfigError, match=f"try     model.memory.num_heads={heads}\n?$") as error:
        MemoryConfig.parse({"type": "attention", "hidden_size": size}, "model.memory")
    assert error.value.problems[0].path == "model.memory.num_heads"


@pytest.mark.parametrize("name", ["hidden_size", "inputs"])
def test_an_option_beside_no_memory_names_those_that_have_it(name):
    with pytest.raises(ConfigError, match="`attention`, `gru` or `lstm`, but `none` is selected"):
        MemoryConfig.parse({name: 4}, "model.memory")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"type": "attention", "window": 0}, "window"),
        ({"type": "lstm", "max_seq_len": 0}, "max_seq_len"),
        ({"type": "attention", "hidden_size": 10, "num_heads": 4}, "divide it"),
        ({"type": "lstm", "inputs": ["prev_actoin"]}, "prev_action"),
        ({"type": "none", "max_seq_len": 4}, "max_seq_len"),
    ],
)
def test_a_memory_that_cannot_be_is_refused(data, said):
    with pytest.raises(ConfigError, match=said):
        MemoryConfig.parse(data, "model.memory")


@pytest.mark.parametrize("forget_bias", [0.0, 1.0])
def test_forget_gates_begin_open_and_nothing_else_does(forget_bias):
    data = {"type": "lstm", "hidden_size": 4, "num_layers": 2, "forget_bias": forget_bias}
    memory = MemoryConfig.parse(data, "model.memory").build(3)
    for _, _, of_inputs, of_states in memory.cells.all_weights:
        gates = [0.0, forget_bias, 0.0, 0.0]  # input, forget, cell, output
        assert (of_inputs + of_states).view(4, 4).mean(1).tolist() == gates


def test_an_argument_of_a_default_initializer_keeps_its_type():
    data = {"type": "lstm", "kernel_initializer": {"gain": 0.5}}
    kernel = MemoryConfig.parse(data, "model.memory").kernel_initializer
    assert kernel.to_data() == {"type": "orthogonal", "gain": 0.5}
