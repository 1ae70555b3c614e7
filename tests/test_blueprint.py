import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from gymnasium import spaces

from composer import Blueprint, compose
from composer.blueprint.nodes import DistributionNode, EncoderNode, HeadNode, Reason
from composer.errors import CheckpointError, ComposerError, CompositionError, ConfigError

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (84, 84, 4), np.uint8)
TWO = spaces.Discrete(2)
THREE = spaces.Box(np.array([-1, -np.inf, 0]), np.array([1, np.inf, 5]), dtype=np.float64)

SPACES = [
    (VECTOR, TWO),
    (IMAGE, TWO),
    (spaces.Discrete(5, start=-1), THREE),
    (spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])), spaces.Discrete(3, start=2)),
    (spaces.MultiBinary([2, 3]), spaces.Box(-1, 1, (2, 2))),
    (spaces.Box(-np.inf, np.inf, (), np.float64), TWO),
]
MODELS = [{}, {"trunks": {}}, {"trunks": {"critic": {}}, "heads": {"policy": {"hidden": [8]}}}]
every = pytest.mark.parametrize(
    "blueprint",
    [
        pytest.param(compose(*pair, model, "ppo"), id=f"{i}-{j}")
        for i, pair in enumerate(SPACES)
        for j, model in enumerate(MODELS)
    ],
)


def layer(in_dim, out_dim):
    """Parameters of a linear layer."""
    return in_dim * out_dim + out_dim


def convolution(in_channels, out_channels, kernel):
    return in_channels * out_channels * kernel**2 + out_channels


MLP = layer(4, 64) + layer(64, 64)
NATURE = convolution(4, 32, 8) + convolution(32, 64, 4) + convolution(64, 64, 3)
CNN = NATURE + layer(64 * 7 * 7, 512)


# counts


@pytest.mark.parametrize(
    ("observation", "action", "model", "expected"),
    [
        (VECTOR, TWO, {}, 2 * MLP + layer(64, 2) + layer(64, 1)),
        (VECTOR, TWO, {"trunks": {}}, MLP + layer(64, 2) + layer(64, 1)),
        (VECTOR, THREE, {"trunks": {}}, MLP + layer(64, 3) + 3 + layer(64, 1)),
        (
            VECTOR,
            THREE,
            {"trunks": {}, "distribution": {"log_std": "dependent"}},
            MLP + layer(64, 6) + layer(64, 1),
        ),
        (IMAGE, TWO, {}, CNN + layer(512, 2) + layer(512, 1)),
        (
            VECTOR,
            TWO,
            {"trunks": {}, "encoder": {"layer_norm": True}},
            MLP + 2 * 2 * 64 + layer(64, 2) + layer(64, 1),
        ),
        (VECTOR, TWO, {"trunks": {}, "encoder": {"hidden": []}}, layer(4, 2) + layer(4, 1)),
        (
            spaces.MultiDiscrete([2, 3]),
            TWO,
            {"trunks": {}, "encoder": {"hidden": [8]}, "heads": {"value": {"hidden": [6]}}},
            layer(5, 8) + layer(8, 2) + layer(8, 6) + layer(6, 1),
        ),
    ],
)
def test_parameters_are_counted_exactly(observation, action, model, expected):
    blueprint = compose(observation, action, model, "ppo")
    assert blueprint.parameter_count == expected
    assert sum(p.numel() for p in blueprint.build().parameters()) == expected


def test_ppo_on_cartpole_has_9155_parameters():
    assert compose(VECTOR, TWO, algorithm="ppo").parameter_count == 9155


@pytest.mark.parametrize(
    "initializer",
    ["orthogonal", "eye", "xavier_normal", "trunc_normal", {"type": "sparse", "sparsity": 0.5}],
)
def test_counting_works_with_every_initializer_and_draws_nothing(initializer):
    blueprint = compose(VECTOR, TWO, {"encoder": {"kernel_initializer": initializer}})
    before = torch.get_rng_state()
    assert blueprint.parameter_count == MLP + layer(64, 2)
    assert torch.equal(torch.get_rng_state(), before)


# JSON


@every
def test_a_blueprint_survives_json(blueprint):
    again = Blueprint.from_json(blueprint.to_json())
    assert again == blueprint
    assert again.fingerprint == blueprint.fingerprint
    assert again.parameter_count == blueprint.parameter_count


def test_what_is_counted_and_hashed_does_not_change_equality():
    counted, plain = (compose(VECTOR, TWO, algorithm="ppo") for _ in range(2))
    _ = counted.parameter_count, counted.fingerprint, counted.inference_nodes
    assert counted == plain
    assert counted.to_json() == plain.to_json()


@pytest.mark.parametrize("text", ["", "{", '{"nodes": ['])
def test_text_that_is_cut_short_is_refused(text):
    with pytest.raises(CheckpointError, match="the blueprint is not JSON"):
        Blueprint.from_json(text)


def test_a_newer_format_is_refused():
    data = {**compose(VECTOR, TWO).to_data(), "format": 99}
    with pytest.raises(CheckpointError, match="has format 99; this version of Composer reads 1"):
        Blueprint.from_data(data)


def test_an_edited_blueprint_names_the_place():
    data = json.loads(compose(VECTOR, TWO).to_json())
    data["nodes"][0]["config"]["hiden"] = [3]
    with pytest.raises(ConfigError) as error:
        Blueprint.from_data(data)
    assert error.value.problems[0].path == "blueprint.nodes[0].config.hiden"


@pytest.mark.parametrize(
    "text", ["[]", "3", "{}", '{"observation_space": {"space": "Box"}, "nodes": [{}]}']
)
def test_json_that_is_no_blueprint_is_refused(text):
    with pytest.raises(ComposerError):
        Blueprint.from_json(text)


# fingerprint


def test_the_fingerprint_leaves_reasons_out():
    rule, given = (compose(VECTOR, TWO, {"encoder": encoder}, "ppo") for encoder in ("auto", "mlp"))
    assert rule != given
    assert rule.fingerprint == given.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        compose(VECTOR, spaces.Discrete(2, start=1), algorithm="ppo"),
        compose(spaces.Box(-1, 2, (4,)), TWO, algorithm="ppo"),
        compose(VECTOR, TWO, {"trunks": {}}, "ppo"),
        compose(VECTOR, TWO, {"encoder": {"activation": "relu"}}, "ppo"),
        compose(VECTOR, TWO, {"heads": {"value": {"stop_gradient": ["critic"]}}}, "ppo"),
    ],
)
def test_the_fingerprint_tells_graphs_apart(other):
    assert other.fingerprint != compose(VECTOR, TWO, algorithm="ppo").fingerprint


def test_the_fingerprint_and_the_weights_are_the_same_in_another_process():
    code = (
        "import numpy as np, torch\n"
        "from gymnasium import spaces\n"
        "from composer import compose\n"
        "b = compose(spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2), algorithm='ppo')\n"
        "torch.manual_seed(5)\n"
        "weights = b.build(seed=3).state_dict().values()\n"
        "print(b.fingerprint, sum(w.double().sum().item() for w in weights))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
    )
    blueprint = compose(VECTOR, TWO, algorithm="ppo")
    weights = blueprint.build(seed=3).state_dict().values()
    total = sum(weight.double().sum().item() for weight in weights)
    assert done.stdout.split() == [blueprint.fingerprint, str(total)]


# building


def weights_of(module, part):
    return {n: p for n, p in module.state_dict().items() if n.startswith(part + ".")}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@every
def test_the_same_seed_gives_the_same_weights(blueprint):
    first, second = (blueprint.build(seed=3).state_dict() for _ in range(2))
    assert same(first, second)


def test_another_seed_gives_other_weights():
    blueprint = compose(VECTOR, TWO)
    first, second = (blueprint.build(seed=seed).state_dict() for seed in (0, 1))
    assert not torch.equal(first["policy.0.weight"], second["policy.0.weight"])


def test_another_critic_leaves_the_policys_weights():
    plain = compose(VECTOR, TWO, algorithm="ppo").build(seed=3)
    other = compose(
        VECTOR,
        TWO,
        {"trunks": {"critic": {"encoder": {"hidden": [9]}}}, "heads": {"value": {"hidden": [7]}}},
        "ppo",
    ).build(seed=3)
    without = compose(VECTOR, TWO).build(seed=3)
    for part in ("main", "policy"):
        assert same(weights_of(plain, part), weights_of(other, part))
        assert same(weights_of(plain, part), weights_of(without, part))


def test_two_trunks_of_one_config_have_weights_of_their_own():
    module = compose(VECTOR, TWO, algorithm="ppo").build()
    assert not torch.equal(
        module.main.encoder.layers[0].weight, module.critic.encoder.layers[0].weight
    )


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("gpu", "torch cannot use this device: there is no kind `gpu`"),
        ("cpuu", "there is no kind `cpuu`; did you mean `cpu`?"),
        ("cuda:77", "torch cannot use this device: "),
    ],
)
def test_a_device_that_torch_cannot_use_is_told(device, told):
    with pytest.raises(CompositionError) as raised:
        compose(spaces.Discrete(3), spaces.Discrete(2)).build(device=device)
    (problem,) = raised.value.problems
    assert (problem.path, problem.value, problem.fix) == ("device", device, "device=cpu")
    assert told in problem.message


def test_building_leaves_torchs_generator_alone():
    before = torch.get_rng_state()
    blueprint = compose(IMAGE, TWO, algorithm="ppo")
    blueprint.build()
    blueprint.explain()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_weights_do_not_depend_on_torchs_generator():
    blueprint = compose(VECTOR, TWO)
    torch.manual_seed(1)
    first = blueprint.build().state_dict()
    torch.manual_seed(2)
    assert same(first, blueprint.build().state_dict())


def test_parts_of_the_module_have_the_names_of_the_nodes():
    module = compose(VECTOR, THREE, algorithm="ppo").build()
    tops = {name.partition(".")[0] for name in module.state_dict()}
    assert tops == {"main", "critic", "policy", "value", "distribution"}
    assert "distribution.log_std" in module.state_dict()


def test_two_heads_on_one_trunk_share_its_parameters():
    module = compose(VECTOR, TWO, {"trunks": {}}, "ppo").build()
    out = module.forward_train({"obs": torch.zeros(3, 4)})
    assert set(out["embeddings"]) == {"main"}
    assert len(set(module.parameters())) == len(list(module.parameters())) == 4 + 2 + 2


# inference only


@pytest.mark.parametrize(
    ("model", "dropped"),
    [
        ({}, ("critic", "value")),
        ({"trunks": {}}, ("value",)),
        ({"trunks": {"actor": {}, "critic": {}}}, ("critic", "value")),
        ({"trunks": {"aux": {}}, "heads": {"value": {"reads": "aux"}}}, ("aux", "value")),
    ],
)
def test_inference_only_drops_exactly_what_actions_do_not_depend_on(model, dropped):
    blueprint = compose(VECTOR, THREE, model, "ppo")
    assert blueprint.non_inference_parts == dropped
    full, small = blueprint.build(seed=3), blueprint.build(seed=3, inference_only=True)
    kept = {name for name in full.state_dict() if name.partition(".")[0] not in dropped}
    assert small.state_dict().keys() == kept
    assert same(small.state_dict(), {name: full.state_dict()[name] for name in kept})


def test_an_inference_only_module_acts_as_the_full_one():
    blueprint = compose(VECTOR, THREE, algorithm="ppo")
    full, small = blueprint.build(seed=3), blueprint.build(seed=3, inference_only=True)
    obs = np.ones((5, 4), np.float32)
    ours, theirs = small.act(obs, deterministic=True), full.act(obs, deterministic=True)
    assert torch.equal(ours.actions, theirs.actions)
    assert small.act(obs).value is None
    assert full.act(obs).value.shape == (5,)


def test_the_state_of_a_full_module_loads_into_an_inference_only_one():
    blueprint = compose(VECTOR, TWO, algorithm="ppo")
    full, small = blueprint.build(seed=1), blueprint.build(seed=2, inference_only=True)
    state = full.state_dict()
    before = set(state)
    small.load_state_dict(state)
    assert set(state) == before
    assert same(weights_of(small, "policy"), weights_of(full, "policy"))
    small.set_state(full.get_state())
    assert same(full.get_state(inference_only=True), small.get_state())


def test_nothing_else_is_dropped_from_a_state_that_is_loaded():
    blueprint = compose(VECTOR, TWO, algorithm="ppo")
    small = blueprint.build(inference_only=True)
    state = {**blueprint.build().state_dict(), "values.weight": torch.zeros(1)}
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "values.weight"'):
        small.load_state_dict(state)


# explain


def test_explain_shows_each_part_its_reason_shapes_and_parameters():
    blueprint = compose(VECTOR, THREE, algorithm="ppo")
    text = blueprint.explain()
    lines = text.splitlines()
    assert lines[:3] == [
        "observation  Box(4,) float32",
        "action       Box(3,) float64",
        "algorithm    ppo",
    ]
    for node in blueprint.nodes:
        row = next(line for line in lines if line.startswith(node.name + " "))
        assert f" {node.config.type} " in row
        assert f"→ {node.out_dim} " in row
        assert f" {blueprint.parameter_counts[node.name]:,} " in row
    for words in (
        "rule `vector`: a vector goes through linear layers",
        "layout of ppo: a trunk of its own, configured as `main`, by rule `vector`",
        "needed by ppo",
        "reads critic",
        "hidden=[64, 64], activation=tanh",
        "    not `image_actor_critic` or `image`: image is false, not true",
        f"parameters      {blueprint.parameter_count:,}",
        "offers          PolicyAPI, ValueFunctionAPI",
        "required        PolicyAPI, ValueFunctionAPI",
        "inference-only  drops critic, value",
        f"fingerprint     {blueprint.fingerprint}",
    ):
        assert words in text
    assert max(map(len, lines)) <= 100


def test_explain_says_what_is_shared_given_and_detached():
    model = {"encoder": "mlp", "trunks": {}, "heads": {"value": {"stop_gradient": ["main"]}}}
    text = compose(VECTOR, TWO, model, "ppo").explain()
    assert "reads main, detached" in text
    assert "    shared by policy and value\n" in text
    assert "    given\n" in text


def test_a_trunk_laid_out_beside_a_given_one_says_so():
    blueprint = compose(VECTOR, THREE, {"encoder": "mlp"}, "ppo")
    assert str(blueprint.by_name["critic.encoder"].reason) == (
        "layout of ppo: a trunk of its own, configured as `main`, whose encoder is given"
    )


HUGE = 10**12


def test_a_huge_model_is_composed_and_counted_without_being_allocated():
    blueprint = compose(VECTOR, THREE, {"encoder": {"hidden": [HUGE]}})
    assert blueprint.parameter_counts["main.encoder"] == 5 * HUGE
    assert blueprint.by_name["policy"].in_dim == HUGE


@pytest.mark.parametrize(
    ("model", "path", "told"),
    [
        ({"encoder": {"hidden": [HUGE, HUGE]}}, "model.encoder", f"float32 → {HUGE} by mlp"),
        ({"encoder": {"hidden": [10**23]}}, "model.encoder", f"→ {10**23} by mlp"),
        ({"heads": {"policy": {"hidden": [10**23]}}}, "model.heads.policy", "64 → 3 by policy"),
    ],
)
def test_a_part_too_large_to_count_is_named_with_its_size(model, path, told):
    blueprint = compose(VECTOR, THREE, model)
    with pytest.raises(CompositionError, match="needs more memory than there is") as raised:
        _ = blueprint.parameter_count
    (problem,) = raised.value.problems
    assert problem.path == path
    assert told in problem.message


def test_a_part_too_large_to_build_is_named():
    blueprint = compose(VECTOR, THREE, {"encoder": {"hidden": [10**15]}})
    with pytest.raises(CompositionError, match="needs more memory than there is"):
        blueprint.build()


def test_explain_without_an_algorithm():
    text = compose(IMAGE, TWO).explain()
    assert "algorithm    none: a policy head only" in text
    assert "inference-only  drops nothing" in text
    assert "required        nothing" in text
    assert "Box(84, 84, 4) uint8 → 512" in text


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason(kind="rule", name="vector", why="w"), "rule `vector`: w"),
        (Reason(kind="given"), "given"),
        (Reason(kind="needed", name="ppo"), "needed by ppo"),
    ],
)
def test_a_reason_is_a_sentence(reason, text):
    assert str(reason) == text


@every
def test_kinds_of_node(blueprint):
    kinds = {EncoderNode, HeadNode, DistributionNode}
    assert {type(node) for node in blueprint.nodes} == kinds
