"""What modules say of their input and output, and what they tell of a batch that is not so."""

import copy
import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Columns, RLModule, compose
from composer.errors import ModuleError
from composer.module.io_specs import TensorSpec, flat
from composer.module.space_specs import space_specs
from composer.spaces import batch, leaves, samples, to_tensors

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
TWO = spaces.Discrete(2)
IMAGE = spaces.Box(0, 255, (36, 36, 3), np.uint8)
DICT = spaces.Dict(image=IMAGE, speed=VECTOR)
PHASES = ["train", "exploration", "inference"]


def rows(*axes, dtype="float32"):
    return TensorSpec(("*B", *axes), dtype, exact=False)


def own(inputs=None, outputs=None, forward=None, observation=VECTOR):
    """A module with a linear layer, its own specs where they are given."""

    class Own(RLModule):
        def setup(self):
            self.policy = nn.Linear(4, 2)

        def _forward(self, batch, **kwargs):
            if forward:
                return forward(batch)
            return {Columns.ACTION_DIST_INPUTS: self.policy(batch[Columns.OBS])}

    if inputs is not None:
        Own.input_specs_train = lambda self: inputs
    if outputs is not None:
        Own.output_specs_train = lambda self: outputs
    return Own(observation, TWO)


def told(module, batch, phase="train"):
    """What is wrong, a line each."""
    with pytest.raises(ModuleError) as raised:
        getattr(module, f"forward_{phase}")(batch)
    start = f"`forward_{phase}` of {type(module).__name__} "
    messages = [problem.message for problem in raised.value.problems]
    assert all(message.startswith(start) for message in messages)
    return [message.removeprefix(start) for message in messages]


# --- a spec


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (TensorSpec("*B, 4"), "(*B, 4)"),
        (TensorSpec(("*B", 4), torch.float32), "(*B, 4) float32"),
        (TensorSpec("*B", "int64"), "(*B,) int64"),
        (TensorSpec("2, *B, n"), "(2, *B, n)"),
        (TensorSpec(""), "()"),
    ],
)
def test_a_spec_is_written_as_shapes_are(spec, text):
    assert str(spec) == text
    assert TensorSpec(spec.shape, spec.dtype) == spec


@pytest.mark.parametrize("shape", ["*B, 4x", "*B, *T", "-1", "B 4", ("*B", 1.5)])
def test_a_shape_that_cannot_be_read_is_refused(shape):
    with pytest.raises(ModuleError, match="is no shape of a TensorSpec"):
        TensorSpec(shape)


def test_a_dtype_that_torch_lacks_is_told_the_nearest():
    with pytest.raises(ModuleError, match="`flaot32` is no dtype of torch; did you mean `float32`"):
        TensorSpec("*B", "flaot32")


@pytest.mark.parametrize(
    ("shape", "size", "fits"),
    [
        ("*B, 4", (4,), True),
        ("*B, 4", (2, 3, 4), True),
        ("*B, 4", (2, 3), False),
        ("*B, 4", (), False),
        ("2, *B, 3", (2, 3), True),
        ("2, *B, 3", (3, 5, 3), False),
        ("B, T", (2, 3), True),
        ("B, T", (2,), False),
        ("B, ?, B", (2, 7, 2), True),
        ("B, ?, B", (2, 7, 3), False),
    ],
)
def test_axes_are_numbers_names_or_any(shape, size, fits):
    module = own({"x": TensorSpec(shape)}, forward=dict)
    if fits:
        module.check_inputs({"x": torch.zeros(size)})
    else:
        with pytest.raises(ModuleError, match=f"given {re.escape(str(size))}"):
            module.check_inputs({"x": torch.zeros(size)})


# --- how specs are written


@pytest.mark.parametrize(
    "specs",
    [
        ["obs", ("encoder", "h")],
        {"obs": None, "encoder": {"h": None}},
        {"obs": None, "encoder": ["h"]},
        {"obs": None, ("encoder", "h"): None},
    ],
)
def test_keys_nested_keys_and_lists_of_keys_say_the_same(specs):
    assert flat(specs) == {("obs",): None, ("encoder", "h"): None}


@pytest.mark.parametrize("specs", ["obs", 5, {"obs": 5}, {"obs": "float32"}, None])
def test_what_is_no_spec_is_told_with_the_method_that_gave_it(specs):
    module = own()
    type(module).output_specs_train = lambda self: specs
    with pytest.raises(ModuleError, match=r"`output_specs_train` of Own: .* is neither a list"):
        module.forward_train({"obs": torch.zeros(2, 4)})


def test_a_column_may_be_of_a_class():
    module = own({"obs": None, "names": list})
    given = {"obs": torch.zeros(2, 4), "names": ("a", "b")}
    assert told(module, given) == ["takes `names`: expected list, given tuple"]
    module.forward_train(given | {"names": ["a", "b"]})


# --- what modules say


def test_a_hand_written_module_takes_its_space_and_gives_what_is_acted_by():
    module = own(observation=DICT)
    expected = {"obs": {"image": rows(36, 36, 3, dtype="uint8"), "speed": rows(4)}}
    for phase in PHASES:
        assert getattr(module, f"input_specs_{phase}")() == expected
    assert module.output_specs_train() == {}
    assert module.output_specs_inference() == {"action_dist_inputs | actions": None}


def test_a_stateful_module_takes_and_gives_its_state():
    class Counts(RLModule):
        def get_initial_state(self, batch_size=1):
            return {"main": {"h": torch.zeros(batch_size, 2, 8)}}

        def _forward(self, batch, **kwargs):
            return {Columns.ACTIONS: torch.zeros(3), Columns.STATE_OUT: batch[Columns.STATE_IN]}

    module, given = Counts(VECTOR, TWO), {"obs": torch.zeros(3, 4)}
    state = {"main": {"h": rows(2, 8)}}
    assert module.input_specs_exploration()[Columns.STATE_IN] == state
    assert module.output_specs_exploration()[Columns.STATE_OUT] == state
    given[Columns.STATE_IN] = {"main": {"h": torch.zeros(3, 1, 8)}}
    assert told(module, given, "exploration") == [
        "takes `state_in.main.h`: expected (*B, 2, 8) float32, given (3, 1, 8) float32"
    ]
    assert module.act(given["obs"]).state["main"]["h"].shape == (3, 2, 8)
    with pytest.raises(ModuleError, match=r"takes `state_in.main.h`: .* given nothing beside"):
        Counts(VECTOR, TWO).act(given["obs"], state={"main": {"c": torch.zeros(3, 2, 8)}})


def test_a_composed_module_says_all_its_columns_exactly():
    model = {"trunks": {"critic": {"observe": ["speed"], "encoder": {"hidden": [8]}}}}
    module = compose(DICT, TWO, algorithm="ppo", model=model).build()
    width = module.get_submodule("policy")[-1].in_features
    assert module.output_specs_train() == {
        "embeddings": {"main": rows(width), "critic": rows(8)},
        "action_dist_inputs": rows(2),
        "vf_preds": rows(),
    }
    assert module.output_specs_inference() == {
        "embeddings": {"main": rows(width)},
        "action_dist_inputs": rows(2),
    }


def test_what_only_the_critic_sees_is_not_asked_for_when_acting():
    model = {"trunks": {"actor": {"observe": ["speed"]}}}
    module = compose(DICT, TWO, algorithm="ppo", model=model).build()
    assert set(module.input_specs_train()["obs"]) == {"speed", "image"}
    assert set(module.input_specs_inference()["obs"]) == {"speed"}
    module.forward_inference({"obs": {"speed": torch.zeros(2, 4)}})
    (line,) = told(module, {"obs": {"speed": torch.zeros(2, 4)}})
    assert line.startswith("takes `obs.image`: ")


@pytest.mark.parametrize(
    ("algorithm", "action"),
    [
        ("ppo", spaces.Box(-1, 1, (2,), np.float32)),
        ("dqn", spaces.Discrete(3)),
        ("dqn", spaces.MultiDiscrete([2, 3])),
        ("sac", spaces.Discrete(3)),
        ("sac", spaces.Box(-1, 1, (2,), np.float32)),
        ("sac", spaces.Dict(a=TWO, b=spaces.Box(-1, 1, (2,), np.float32))),
        ("td3", spaces.Box(-1, 1, (2,), np.float32)),
    ],
)
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_what_composed_modules_give_is_what_they_say(algorithm, action, lead):
    module = compose(VECTOR, action, algorithm=algorithm).build()
    obs = torch.zeros(*lead, 4)
    for phase in PHASES:
        out = getattr(module, f"forward_{phase}")({"obs": obs})
        specs = flat(getattr(module, f"output_specs_{phase}")())
        module.check_outputs(out, phase, {"obs": obs})
        assert {path[0] for path in specs} == set(out)
        assert None not in specs.values()


POINT = spaces.Box(-1, 1, (2,), np.float32)


@pytest.mark.parametrize(
    ("space", "axes"),
    [
        (spaces.Text(5), ["*B, L", "*B"]),
        (spaces.Sequence(POINT), ["*B, L, 2", "*B"]),
        (spaces.Sequence(spaces.Text(5), stack=False), ["*B, L, L2", "*B, L", "*B"]),
        (spaces.Graph(POINT, POINT), ["*B, N, 2", "*B", "*B, E, 2", "*B", "*B, E, 2"]),
        (spaces.OneOf([POINT, spaces.Text(5)]), ["*B", "*B, 2", "*B, L", "*B"]),
        (spaces.Tuple([POINT, TWO]), ["*B, 2", "*B"]),
    ],
)
def test_specs_of_a_space_are_those_of_its_canonical_batch(space, axes):
    specs = flat({"obs": space_specs(space)})
    assert [spec.shape for spec in specs.values()] == axes
    obs = to_tensors(batch(space, samples(space, 3)))
    assert len(leaves(obs)) == len(specs)
    own({"obs": space_specs(space)}).check_inputs({"obs": obs})


# --- what is told


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, ["`obs`: expected a mapping with `image`, `speed`, given nothing"]),
        (
            {"obss": 1},
            [
                "`obs`: expected a mapping with `image`, `speed`, given nothing; did you mean it "
                "by `obss`?"
            ],
        ),
        (
            {"obs": {"imgae": 1, "speed": torch.zeros(2, 3)}},
            [
                "`obs.image`: expected (*B, 36, 36, 3) uint8, given nothing; did you mean it by "
                "`obs.imgae`?",
                "`obs.speed`: expected (*B, 4) float32, given (2, 3) float32",
            ],
        ),
        (
            {"obs": torch.zeros(2, 4)},
            ["`obs`: expected a mapping with `image`, `speed`, given (2, 4) float32"],
        ),
        (
            {"obs": {"image": torch.zeros(3, 36, 36, 3), "speed": np.zeros((3, 4))}},
            ["`obs.speed`: expected (*B, 4) float32, given ndarray"],
        ),
        (
            {"obs": {"image": torch.zeros(3, 36, 36, 3), "speed": torch.zeros(2, 4)}},
            [
                "`obs.speed`: expected (*B, 4) float32, where *B is (3,) as in `obs.image`, given "
                "(2, 4) float32"
            ],
        ),
        (
            {"obs": {"image": torch.zeros(2, 36, 36, 3), "speed": torch.zeros(2, 4) + 1j}},
            ["`obs.speed`: expected (*B, 4) float32, given (2, 4) complex64"],
        ),
        (torch.zeros(2, 4), ["a mapping of columns, not Tensor"]),
    ],
)
@pytest.mark.parametrize("phase", PHASES)
def test_a_wrong_batch_is_told_column_by_column(given, wrong, phase):
    module = compose(DICT, TWO, algorithm="ppo").build()
    assert told(module, given, phase) == [f"takes {line}" for line in wrong]
    with pytest.raises(ModuleError):
        module.check_inputs(given, phase)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.uint8, torch.bool])
def test_a_composed_module_takes_numbers_of_any_type(dtype):
    module = compose(VECTOR, TWO, algorithm="ppo").build()
    module.forward_train({"obs": torch.zeros(2, 4, dtype=dtype)})


def test_a_type_that_a_layer_cannot_take_is_told_when_it_fails():
    module, given = own(), {"obs": torch.zeros(2, 4, dtype=torch.float64)}
    module.check_inputs(given)
    (line,) = told(module, given)
    assert line.startswith("failed with mat1 and mat2 must have the same dtype")
    assert line.endswith("; `obs`: expected (*B, 4) float32, given (2, 4) float64")


def test_an_exact_spec_takes_its_dtype_only():
    module = own({"obs": TensorSpec("*B, 4", "float32")})
    assert told(module, {"obs": torch.zeros(2, 4).double()}) == [
        "takes `obs`: expected (*B, 4) float32, given (2, 4) float64"
    ]


def test_axes_of_one_name_are_of_one_size_in_all_columns():
    specs = {"obs": TensorSpec("*B, 4"), "actions": TensorSpec("*B"), "w": TensorSpec("n, 4, n")}
    given = {"obs": torch.zeros(3, 4), "actions": torch.zeros(2), "w": torch.zeros(3, 4, 2)}
    assert told(own(specs), given) == [
        "takes `actions`: expected (*B,), where *B is (3,) as in `obs`, given (2,) float32",
        "takes `w`: expected (n, 4, n), where n is 3 as in `w`, given (3, 4, 2) float32",
    ]


def test_an_output_shares_the_axes_of_the_batch():
    module = own(
        outputs={"vf_preds": TensorSpec("*B")}, forward=lambda b: {"vf_preds": torch.zeros(2, 1)}
    )
    assert told(module, {"obs": torch.zeros(2, 4)}) == [
        "must return `vf_preds`: expected (*B,), where *B is (2,) as in `obs`, given (2, 1) float32"
    ]
    with pytest.raises(ModuleError, match="as in `obs`"):
        module.check_outputs({"vf_preds": torch.zeros(1)}, batch={"obs": torch.zeros(2, 4)})


def test_none_is_nothing():
    assert told(own(), {"obs": None}) == ["takes `obs`: expected (*B, 4) float32, given nothing"]


def test_a_phase_that_is_none_is_not_checked():
    with pytest.raises(ModuleError, match="there is no phase `trian`; did you mean `train`"):
        own().check_inputs({}, "trian")


# --- when


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_is_checked_at_its_first_call_and_when_it_fails(phase, monkeypatch):
    module, calls = own(), []
    right = {"obs": torch.zeros(2, 4)}
    told(module, {"obs": torch.zeros(2, 3)}, phase)
    getattr(module, f"forward_{phase}")(right)
    name = f"input_specs_{phase}"
    specs = getattr(module, name)()
    monkeypatch.setattr(type(module), name, lambda self: calls.append(1) or specs)
    getattr(module, f"forward_{phase}")(right)
    assert not calls
    assert told(module, {"obs": torch.zeros(2, 3)}, phase) == [
        "takes `obs`: expected (*B, 4) float32, given (2, 3) float32"
    ]


def test_a_value_outside_its_space_is_told_when_computing_fails():
    module = compose(spaces.Discrete(3), TWO).build()
    for _ in range(2):
        with pytest.raises(ModuleError, match=r"observation has 7, which is not in Discrete\(3\)"):
            module.forward_train({"obs": torch.tensor([1, 7])})
        module.forward_train({"obs": torch.tensor([1, 2])})


def test_what_a_class_raises_by_itself_is_raised_as_it_is():
    module = own(forward=lambda batch: batch["nothing"])
    for _ in range(2):
        with pytest.raises(KeyError, match="nothing"):
            module.forward_train({"obs": torch.zeros(2, 4).double()})
        module.proven.add("train")


def test_the_acting_phases_share_their_first_call_with_act():
    module = own()
    module.act(VECTOR.sample())
    module.act(VECTOR.sample(), deterministic=True)
    assert module.proven == {"exploration", "inference"}
    assert copy.deepcopy(module).proven == module.proven


@pytest.mark.slow
def test_a_compiled_module_computes_the_same_unchecked():
    module = compose(VECTOR, TWO, algorithm="ppo").build()
    compiled = torch.compile(module.forward_train, backend="eager", fullgraph=True)
    given = {"obs": torch.rand(3, 4)}
    assert torch.equal(compiled(given)["vf_preds"], module.forward_train(given)["vf_preds"])
    assert torch.equal(compiled(given)["vf_preds"], module.forward_train(given)["vf_preds"])


def test_an_inference_only_module_takes_and_gives_what_acting_needs():
    module = compose(gym.spaces.Dict(speed=VECTOR), TWO, algorithm="ppo").build(inference_only=True)
    assert set(module.output_specs_exploration()) == {"embeddings", "action_dist_inputs"}
    module.forward_exploration({"obs": {"speed": torch.zeros(2, 4)}})
