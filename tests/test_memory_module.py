"""Modules with memories: steps and sequences, states, files, and what is refused."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from composer import Blueprint, RLModule, compose
from composer.columns import Columns
from composer.errors import CompositionError, ConfigError, ModuleError
from composer.spaces import batch, map_structure, to_tensors

VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (12, 12, 1), np.uint8)
TWO = spaces.Discrete(2)
ARM = spaces.Box(-2.0, 2.0, (2,), np.float32)
CNN = {"type": "cnn", "filters": [[2, 4, 4]], "hidden": [8]}
SPACES = {
    "vector": VECTOR,
    "discrete": spaces.Discrete(4, start=1),
    "multi_discrete": spaces.MultiDiscrete([3, 2]),
    "image": IMAGE,
    "masked": spaces.Dict(observation=VECTOR, action_mask=spaces.MultiBinary(2)),
    "tuple": spaces.Tuple((VECTOR, spaces.Discrete(3))),
    "text": spaces.Text(5, charset="abc"),
    "sequence": spaces.Sequence(VECTOR, stack=True),
}
ACTIONS = {"image": ARM, "tuple": spaces.Dict(arm=ARM, hand=TWO), "text": spaces.MultiBinary(3)}
"""Others than TWO, so that previous actions of all kinds are taken."""
MEMORIES = {
    "lstm": {"num_layers": 2},
    "gru": {"skip": True},
    "attention": {"num_layers": 2, "num_heads": 2, "window": 3},
}
TAKES = ("prev_action", "prev_reward")
each_kind = pytest.mark.parametrize("kind", MEMORIES)


def memory(kind="lstm", **options):
    return {"type": kind, "hidden_size": 4, **MEMORIES[kind], **options}


def blueprint_of(space=VECTOR, actions=TWO, kind="lstm", algorithm="ppo", **model):
    return compose(space, actions, {"memory": memory(kind)} | model, algorithm)


def module_of(*given, **model):
    return blueprint_of(*given, **model).build(seed=0)


def sequences(module, size=2, steps=5, seed=0):
    """Columns `(size, steps, …)` of whatever the spaces hold."""

    def drawn(space, seed):
        space = copy.deepcopy(space)
        space.seed(seed)
        flat = to_tensors(batch(space, [space.sample() for _ in range(size * steps)]))
        return map_structure(lambda leaf: leaf.unflatten(0, (size, steps)), flat)

    obs = drawn(module.observation_space, seed)
    if isinstance(obs, dict) and "action_mask" in obs:
        obs["action_mask"] = torch.ones_like(obs["action_mask"])
    flat = map_structure(lambda leaf: leaf.flatten(0, 1), obs)
    begins = {Columns.IS_FIRST: torch.ones(size * steps, dtype=torch.bool)}
    state = module.get_initial_state(size * steps)
    out = module.forward_exploration({Columns.OBS: flat, Columns.STATE_IN: state, **begins})
    mask = flat["action_mask"] if isinstance(flat, dict) and "action_mask" in flat else None
    generator = torch.Generator().manual_seed(seed)
    actions = module.action_distribution(out, mask=mask).sample(generator)
    return {
        Columns.OBS: obs,
        Columns.PREV_ACTIONS: map_structure(lambda a: a.unflatten(0, (size, steps)), actions),
        Columns.PREV_REWARDS: torch.randn(size, steps, generator=generator),
    }


def at(columns, t):
    return map_structure(lambda leaf: leaf[:, t], columns)


def stepped(module, columns, state, is_first, way):
    """Outputs of the sequences, one step after the other, and the state after them."""
    inputs, values = [], []
    for t in range(is_first.shape[1]):
        now = at(columns, t)
        if way == "act":
            step = module.act(
                now[Columns.OBS],
                state,
                is_first=is_first[:, t],
                prev_actions=now[Columns.PREV_ACTIONS],
                prev_rewards=now[Columns.PREV_REWARDS],
            )
            state, found, value = step.state, step.dist_inputs, step.value
        else:
            given = {**now, Columns.STATE_IN: state, Columns.IS_FIRST: is_first[:, t]}
            out = module.forward_exploration(given)
            state = out[Columns.STATE_OUT]
            found, value = out[Columns.ACTION_DIST_INPUTS], module.compute_values(given)
        inputs.append(found)
        values.append(value)
    return torch.stack(inputs, 1), torch.stack(values, 1), state


def same(a, b):
    map_structure(lambda x, y: torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5), a, b)


@pytest.mark.parametrize("inputs", [(), TAKES], ids=["alone", "with_previous"])
@pytest.mark.parametrize("trunks", [{}, {"critic": {}}], ids=["shared", "separate"])
@pytest.mark.parametrize("name", SPACES)
@each_kind
def test_steps_and_the_sequence_are_the_same_wherever_episodes_begin(kind, name, trunks, inputs):
    encoder = {"encoder": CNN} if name == "image" else {}
    wanted = {"memory": memory(kind, inputs=list(inputs)), "trunks": trunks, **encoder}
    module = compose(SPACES[name], ACTIONS.get(name, TWO), wanted, "ppo").build(seed=0)
    columns, before = sequences(module), sequences(module, seed=1)
    start = module.get_initial_state(2)
    _, _, state = stepped(module, before, start, torch.zeros(2, 5, dtype=torch.bool), "act")
    check_steps(module, columns, state)


@settings(max_examples=4, deadline=None)
@given(flags=st.lists(st.booleans(), min_size=10, max_size=10))
def check_steps(module, columns, state, flags):
    is_first = torch.tensor(flags).view(2, 5)
    out = module.forward_train({**columns, Columns.STATE_IN: state, Columns.IS_FIRST: is_first})
    for way in ("act", "forward_exploration"):
        dist_inputs, values, after = stepped(module, columns, state, is_first, way)
        same(out[Columns.ACTION_DIST_INPUTS], dist_inputs)
        same(out[Columns.VF_PREDS], values)
        same(out[Columns.STATE_OUT], after)


@each_kind
@pytest.mark.parametrize("lead", [(), (3,)])
def test_acting_without_a_state_begins_an_episode(kind, lead):
    module = module_of(kind=kind, memory=memory(kind, inputs=list(TAKES)))
    obs = torch.rand(*lead, 3)
    first = module.act(obs, deterministic=True)
    given = module._first_state(lead)
    begun = module.act(obs, given, deterministic=True, is_first=torch.ones(lead, dtype=torch.bool))
    same(first.dist_inputs, begun.dist_inputs)
    same(first.state, begun.state)
    assert all(leaf.shape[: len(lead)] == lead for leaf in first.state["main"].values())


@each_kind
def test_what_is_not_the_first_step_needs_what_was_done_before(kind):
    module = module_of(kind=kind, memory=memory(kind, inputs=list(TAKES)))
    step = module.act(torch.zeros(3))
    with pytest.raises(ModuleError, match="takes `prev_actions` and `prev_rewards`"):
        module.act(torch.zeros(3), step.state)


NONE = {"type": "none"}


@pytest.mark.parametrize(
    ("main", "critic", "states"),
    [
        ("lstm", "none", {"main"}),
        ("none", "lstm", {"critic"}),
        ("gru", "attention", {"main", "critic"}),
    ],
)
def test_actor_and_critic_have_memories_of_their_own(main, critic, states):
    def of(kind):
        return NONE if kind == "none" else memory(kind)

    module = module_of(memory=of(main), trunks={"critic": {"memory": of(critic)}})
    assert set(module.get_initial_state(1)) == states
    columns, is_first = sequences(module), torch.zeros(2, 5, dtype=torch.bool)
    is_first[1, 2] = True
    state = module.get_initial_state(2)
    out = module.forward_train({**columns, Columns.STATE_IN: state, Columns.IS_FIRST: is_first})
    inputs, values, after = stepped(module, columns, state, is_first, "act")
    same((out[Columns.ACTION_DIST_INPUTS], out[Columns.VF_PREDS]), (inputs, values))
    same(out[Columns.STATE_OUT], after)
    slim = blueprint_of(memory=of(main), trunks={"critic": {"memory": of(critic)}}).build(
        seed=0, inference_only=True
    )
    assert set(slim.get_initial_state(1)) == states - {"critic"}
    obs = at(columns, 0)[Columns.OBS]
    same(
        slim.act(obs, deterministic=True).dist_inputs,
        module.act(obs, deterministic=True).dist_inputs,
    )


@each_kind
def test_an_actor_takes_the_state_of_the_whole_module(kind):
    blueprint = blueprint_of(kind=kind)
    whole, slim = blueprint.build(seed=0), blueprint.build(seed=0, inference_only=True)
    obs = torch.rand(2, 3)
    state = whole.act(obs).state
    assert set(state) == {"main", "critic"}
    given = slim.act(obs, state, deterministic=True)
    same(given.dist_inputs, whole.act(obs, state, deterministic=True).dist_inputs)
    assert set(given.state) == {"main"}


@each_kind
def test_gradients_reach_every_weight(kind):
    module = module_of(kind=kind, memory=memory(kind, inputs=list(TAKES)))
    columns, state = sequences(module), module.get_initial_state(2)
    out = module.forward_train({**columns, Columns.STATE_IN: state})
    (out[Columns.ACTION_DIST_INPUTS].square().sum() + out[Columns.VF_PREDS].sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@each_kind
def test_auxiliary_heads_read_what_goes_into_the_memory(kind):
    heads = {"again": {"type": "reconstruction"}, "next": {"type": "next_state"}}
    module = module_of(kind=kind, heads=heads)
    columns = sequences(module)
    batch = {
        **columns,
        Columns.NEXT_OBS: columns[Columns.OBS],
        Columns.ACTIONS: columns[Columns.PREV_ACTIONS],
        Columns.STATE_IN: module.get_initial_state(2),
        Columns.LOSS_MASK: torch.tensor([[True] * 5, [True, True, False, False, False]]),
    }
    losses = module.compute_self_supervised_loss(batch, module.forward_train(batch))
    counted = {
        column: batch[column][batch[Columns.LOSS_MASK]]
        for column in (Columns.OBS, Columns.NEXT_OBS, Columns.ACTIONS)
    }
    same(losses, module.compute_self_supervised_loss(counted, {}))
    sum(losses.values()).backward()
    assert all(p.grad is None for p in module.main.memory.parameters())
    assert all(p.grad is not None for p in module.main.encoder.parameters())


@each_kind
def test_a_module_with_a_memory_comes_back_from_its_files(kind, tmp_path):
    module = module_of(kind=kind, memory=memory(kind, inputs=list(TAKES)))
    module.save_to_path(tmp_path / "module")
    other = RLModule.from_checkpoint(tmp_path / "module")
    obs = torch.rand(2, 3)
    same(
        other.act(obs, deterministic=True).dist_inputs,
        module.act(obs, deterministic=True).dist_inputs,
    )
    assert other.max_seq_len == module.max_seq_len
    slim = RLModule.from_checkpoint(tmp_path / "module", inference_only=True)
    same(slim.act(obs, deterministic=True).state, {"main": module.act(obs).state["main"]})
    third = blueprint_of(kind=kind, memory=memory(kind, inputs=list(TAKES))).build(seed=1)
    third.restore_from_path(tmp_path / "module", "main.memory")
    same(dict(third.main.memory.state_dict()), dict(module.main.memory.state_dict()))
    assert not torch.equal(third.policy[-1].weight, module.policy[-1].weight)


@each_kind
def test_a_blueprint_with_a_memory_is_the_same_as_json(kind):
    blueprint = blueprint_of(kind=kind, memory=memory(kind, inputs=["prev_reward"]))
    again = Blueprint.from_json(blueprint.to_json())
    assert again == blueprint
    assert again.fingerprint == blueprint.fingerprint
    assert again.build(seed=0).max_seq_len == 20


# --- what is refused


def problem_of(error, model, algorithm="ppo", space=VECTOR, actions=TWO):
    with pytest.raises(error) as raised:
        compose(space, actions, model, algorithm)
    (problem,) = raised.value.problems
    return problem


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ({"memory": memory(max_seq_len=129)}, "model.memory.max_seq_len"),
        (
            {"trunks": {"critic": {"memory": memory(max_seq_len=129)}}},
            "model.trunks.critic.memory.max_seq_len",
        ),
    ],
)
def test_sequences_longer_than_a_rollout_are_refused(model, path):
    problem = problem_of(CompositionError, model)
    assert problem.path == path
    assert problem.message == (
        "sequences of 129 steps are longer than the rollout of 128 that they are cut from"
    )
    assert problem.fix == f"{path}=128"


@pytest.mark.parametrize(
    ("trunk", "path"), [("main", "model.memory"), ("critic", "model.trunks.critic.memory")]
)
def test_previous_actions_are_of_a_space_that_has_a_vector(trunk, path):
    own = {"memory": memory(inputs=list(TAKES))}
    model = own if trunk == "main" else {"trunks": {"critic": own}}
    problem = problem_of(CompositionError, model, actions=spaces.OneOf((ARM, TWO)))
    assert problem.path == f"{path}.inputs"
    assert "`prev_action` takes Box, Discrete" in problem.message
    assert problem.fix == f"{path}.inputs='[prev_reward]'"


STATES = {
    "of no trunk": lambda state: {},
    "missing": lambda state: {"main": {}},
    "of another trunk": lambda state: {"critic": state["main"]},
    "of fewer rows": lambda state: map_structure(lambda leaf: leaf[:1], state),
    "of each step": lambda state: map_structure(lambda leaf: torch.stack([leaf] * 5, 1), state),
    "of more layers": lambda state: map_structure(
        lambda leaf: torch.cat([leaf, leaf], 1) if leaf.dim() > 1 else leaf, state
    ),
    "of fewer layers": lambda state: map_structure(
        lambda leaf: leaf[:, :1] if leaf.dim() > 1 else leaf, state
    ),
    "of another width": lambda state: map_structure(lambda leaf: leaf[..., :-1], state),
    "in a list": lambda state: [state],
}


@pytest.mark.parametrize("proven", [False, True])
@pytest.mark.parametrize("way", ["act", "forward_train", "forward_exploration"])
@pytest.mark.parametrize("which", STATES)
@each_kind
def test_a_state_that_is_not_the_modules_is_refused_with_what_is_expected(kind, which, way, proven):
    model = {"memory": memory(kind, num_layers=2), "trunks": {}}
    module = compose(VECTOR, TWO, model, "ppo").build(seed=0)
    steps = (5,) if way == "forward_train" else ()
    obs, state = torch.rand(2, *steps, 3), module.get_initial_state(2)

    def run(state):
        if way == "act":
            return module.act(obs, state)
        return getattr(module, way)({Columns.OBS: obs, Columns.STATE_IN: state})

    if proven:
        run(state)
    with pytest.raises(ModuleError, match="`state_in") as raised:
        run(STATES[which](state))
    assert "expected" in str(raised.value)


@pytest.mark.parametrize("way", ["forward_train", "forward_exploration"])
@each_kind
def test_a_forward_without_a_state_is_refused(kind, way):
    module = module_of(kind=kind)
    with pytest.raises(ModuleError, match="`state_in`: expected a mapping with `main`, `critic`"):
        getattr(module, way)({Columns.OBS: torch.rand(2, 3)})


@pytest.mark.parametrize("kept", [0.5, 3.0])
def test_a_previous_action_is_given_in_the_normalised_space(kept):
    model = {
        "memory": memory(inputs=["prev_action"]),
        "distribution": {"type": "squashed_gaussian"},
    }
    previous = compose(VECTOR, ARM, model, "ppo").build().main.previous
    given = {Columns.PREV_ACTIONS: torch.full((1, 2), kept)}
    taken = previous(given, torch.zeros(1, 3), torch.zeros(1, dtype=torch.bool))
    torch.testing.assert_close(taken, torch.full((1, 2), kept).tanh())


@pytest.mark.parametrize(("own", "other"), [("gru", "lstm"), ("lstm", "gru"), ("gru", "attention")])
def test_a_state_of_another_memory_is_refused_by_name(own, other):
    state = module_of(kind=other).get_initial_state(2)
    with pytest.raises(ModuleError, match=r"state_in\.main"):
        module_of(kind=own).act(torch.zeros(2, 3), state)


@each_kind
@pytest.mark.parametrize(
    "is_first", [torch.ones(1, dtype=torch.bool), torch.ones(2, dtype=torch.uint8)]
)
def test_where_episodes_begin_is_told_of_each_row(kind, is_first):
    module = module_of(kind=kind)
    state = module.get_initial_state(2)
    with pytest.raises(ModuleError, match=r"`is_first`: expected \(2,\) bool"):
        module.act(torch.zeros(2, 3), state, is_first=is_first)


def test_an_input_is_taken_once():
    with pytest.raises(ConfigError, match="once"):
        blueprint_of(memory=memory(inputs=["prev_reward", "prev_reward"]))


def test_a_trunk_that_only_auxiliary_heads_read_has_no_memory():
    heads = {"rec": {"type": "reconstruction", "reads": "aside"}}
    blueprint = blueprint_of(trunks={"aside": {}, "critic": {}}, heads=heads)
    assert {name for name in blueprint.by_name if name.endswith("memory")} == {
        "main.memory",
        "critic.memory",
    }


class Forgetful(RLModule):
    """Returns a state, and does not say how it begins."""

    def setup(self):
        self.layer = nn.Linear(3, 2)

    def _forward(self, batch, **kwargs):
        out = self.layer(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: out, Columns.STATE_OUT: {"h": out}}


def test_a_state_that_nobody_begins_is_refused():
    with pytest.raises(ModuleError, match="get_initial_state"):
        Forgetful(VECTOR, TWO).act(torch.zeros(2, 3))
