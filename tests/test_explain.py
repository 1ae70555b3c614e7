"""`composer explain`: what it says, as text and as data."""

import json
import re
from dataclasses import asdict, dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from torch import nn

from composer import Experiment, compose
from composer.blueprint.explain import explained
from composer.blueprint.measure import measure
from composer.blueprint.text import plain, styled
from composer.cli.main import main
from composer.spaces import is_ragged

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (84, 84, 4), np.uint8)
TWO = spaces.Discrete(2)
REAL = spaces.Box(-1, 1, (3,), np.float32)
CNN_MULTIPLY_ADDS = (
    20 * 20 * 32 * 4 * 8**2 + 9 * 9 * 64 * 32 * 4**2 + 7 * 7 * 64 * 64 * 3**2 + 64 * 7 * 7 * 512
)


def part_of(explanation, name):
    return next(part for part in explanation.parts if part.name == name)


def cost_of(blueprint, name):
    return measure(blueprint.by_name[name])


# costs


@pytest.mark.parametrize(
    ("space", "model", "name", "expected"),
    [
        (VECTOR, {}, "main.encoder", 4 * 64 + 64 * 64),
        (VECTOR, {}, "policy", 64 * 2),
        (VECTOR, {}, "distribution", 0),
        (VECTOR, {"encoder": {"hidden": [], "layer_norm": True}}, "main.encoder", 0),
        (VECTOR, {"heads": {"value": {"hidden": [8]}}}, "value", 64 * 8 + 8),
        (IMAGE, {}, "main.encoder", CNN_MULTIPLY_ADDS),
        (spaces.Discrete(5, start=1), {"encoder": {"hidden": [7]}}, "main.encoder", 5 * 7),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), {"encoder": {"hidden": [7]}}, "main.encoder", 98),
    ],
)
def test_multiply_adds_are_those_of_one_observation(space, model, name, expected):
    assert cost_of(compose(space, TWO, model, "ppo"), name).multiply_adds == expected


def test_bytes_are_those_of_parameters_and_buffers():
    blueprint = compose(spaces.Discrete(5, start=1), REAL, algorithm="ppo")
    module = blueprint.build()
    for node, part in (
        ("main.encoder", module.main.encoder),
        ("distribution", module.distribution),
    ):
        tensors = [*part.parameters(), *part.buffers()]
        expected = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        assert cost_of(blueprint, node).bytes == expected


@pytest.mark.parametrize(
    "initializer", ["orthogonal", "eye", {"type": "sparse", "sparsity": 0.5}, None]
)
def test_measuring_draws_nothing_and_leaves_the_space_alone(initializer):
    space = spaces.Box(-1, 1, (4,), np.float32, seed=3)
    blueprint = compose(space, TWO, {"encoder": {"kernel_initializer": initializer}})
    torch_state, space_state = torch.get_rng_state(), space.np_random.bit_generator.state
    blueprint.explain()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert space.np_random.bit_generator.state == space_state


def test_measuring_fills_no_weights():
    wide = {"encoder": {"hidden": [4], "kernel_initializer": "orthogonal"}}
    space = spaces.Box(-1, 1, (10,), np.float32)
    before = compose(space, TWO, wide).build(seed=1).state_dict()
    blueprint = compose(space, TWO, wide)
    measure(blueprint.by_name["main.encoder"])
    after = blueprint.build(seed=1).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(not weight.is_meta for weight in after.values())


@dataclass(frozen=True)
class Tied:
    """A part whose two layers have one weight."""

    fill: bool

    def build(self):
        layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        if self.fill:
            layers[0].weight = nn.Parameter(torch.zeros(4, 4))
        layers[1].weight = layers[0].weight
        return layers

    def example(self):
        return (torch.zeros(1, 4),)


@pytest.mark.parametrize("fill", [False, True])
def test_tied_weights_are_counted_once(fill):
    cost = measure(Tied(fill))
    assert cost.parameters == 4 * 4 + 4 + 4
    assert cost.multiply_adds == 2 * 4 * 4


def test_a_model_larger_than_the_memory_is_measured():
    blueprint = compose(VECTOR, TWO, {"encoder": {"hidden": [10**6, 10**6]}})
    cost = cost_of(blueprint, "main.encoder")
    assert cost.multiply_adds == 4 * 10**6 + 10**12
    assert cost.bytes == 4 * (6 * 10**6 + 10**12)


class Layers(torch.nn.Module):
    """Layers whose multiply-adds are known, and functions that do the same."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4)
        self.cell = torch.nn.GRUCell(4, 5)
        self.kernel = torch.nn.Parameter(torch.zeros(5, 6))
        self.register_buffer("offset", torch.empty(7).fill_(0.5))
        self.register_buffer("absent", None)

    def forward(self, inputs):
        features, _ = self.lstm(inputs)  # (T, B, 4)
        features = self.cell(features[0]) @ self.kernel  # (B, 6)
        features = torch.addmm(torch.zeros(6), features, torch.zeros(6, 6))
        tokens = features.view(-1, 1, 2, 3)
        attended = torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return (
            torch.nn.functional.linear(attended.flatten(1), weight=torch.zeros(7, 6)) + self.offset
        )


def test_recurrent_layers_products_and_attention_are_counted(monkeypatch):
    node = compose(VECTOR, TWO).by_name["policy"]
    monkeypatch.setattr(type(node), "build", lambda self: Layers())
    monkeypatch.setattr(type(node), "example", lambda self: (torch.zeros(1, 1, 3),))
    lstm, cell, product, added = 4 * (3 * 4 + 4 * 4), 3 * (4 * 5 + 5 * 5), 5 * 6, 6 * 6
    attention, linear = 2 * 2 * 3 + 2 * 2 * 3, 6 * 7
    assert measure(node).multiply_adds == lstm + cell + product + added + attention + linear


# text

CARTPOLE = """\
observation  Box(4,) float32
action       Discrete(2)
algorithm    ppo

part            is           in → out              params  mul-adds    bytes
main.encoder    mlp          Box(4,) float32 → 64   4,480     4,352  17.9 kB
    rule `vector`: a vector goes through linear layers
    not `image_actor_critic` or `image`: image is false, not true; not `vector_off_policy`:
      algorithm is ppo, not dqn or sac or td3 or tqc
    scaling=none
    hidden=[64, 64], activation=tanh, layer_norm=false, kernel_initializer=orthogonal(gain=1.414), …
critic.encoder  mlp          Box(4,) float32 → 3       15        12     60 B
    rule `vector`: a vector goes through linear layers
    not `image_actor_critic` or `image`: image is false, not true; not `vector_off_policy`:
      algorithm is ppo, not dqn or sac or td3 or tqc
    hidden=[3]
    scaling=none
    activation=tanh, layer_norm=false, kernel_initializer=orthogonal(gain=1.414), …
policy          policy       64 → 2                   130       128    520 B
    needed by ppo
    reads main
    hidden=[], activation=tanh, layer_norm=false, kernel_initializer=orthogonal(gain=1.414), …
distribution    categorical  2 → 2                      0         0      0 B
    rule `discrete`: one of n actions has a probability each
    not `valued`: algorithm is ppo, not dqn; not `squashed` or `certain`: kind is discrete, not box
value           value        3 → 1                      4         3     16 B
    needed by ppo
    reads critic
    hidden=[], activation=tanh, layer_norm=false, kernel_initializer=orthogonal(gain=1.414), …

parameters      4,629 (18.5 kB)
multiply-adds   4,495 for one observation
offers          PolicyAPI, ValueFunctionAPI
required        PolicyAPI, ValueFunctionAPI
inference-only  drops critic, value; 4,610 parameters are left
fingerprint     """


def test_the_text_of_a_blueprint():
    blueprint = compose(VECTOR, TWO, {"trunks": {"critic": {"encoder": {"hidden": [3]}}}}, "ppo")
    assert blueprint.explain() == CARTPOLE + blueprint.fingerprint


NESTED = spaces.Dict(image=IMAGE, pair=spaces.Tuple((VECTOR, spaces.Discrete(3))))


def paragraph_of(text, name):
    """The lines below a part's row."""
    _, rest = re.split(rf"^{re.escape(name)} .*\n", text, flags=re.MULTILINE)
    return re.match(r"(    .*\n)*", rest)[0]


def test_a_part_as_the_main_trunk_has_it_is_told_in_a_line():
    model = {"trunks": {"critic": {}}, "encoder": {"children": {"image": "impala_cnn"}}}
    text = compose(NESTED, TWO, model, "ppo").explain()
    for name in ("encoder", "encoder.image", "encoder.pair", "encoder.pair.0"):
        assert paragraph_of(text, f"critic.{name}") == f"    as main.{name}\n"


def test_a_trunk_of_the_layout_says_so_and_then_is_as_main():
    lines = paragraph_of(compose(VECTOR, TWO, algorithm="ppo").explain(), "critic.encoder")
    assert lines.startswith("    layout of ppo: a trunk of its own")
    assert lines.endswith("    as main.encoder\n")


def test_a_memory_as_the_main_trunk_has_it_is_told_in_a_line():
    text = compose(VECTOR, TWO, {"memory": "gru"}, algorithm="ppo").explain()
    assert paragraph_of(text, "critic.memory") == "    as main.memory\n    reads critic\n"


def test_a_child_that_differs_from_that_of_the_main_trunk_is_told_in_full():
    critic = {"encoder": {"children": {"image": {"hidden": [7]}}}}
    text = compose(NESTED, TWO, {"trunks": {"critic": critic}}, "ppo").explain()
    assert "hidden=[7]" in paragraph_of(text, "critic.encoder.image")
    assert paragraph_of(text, "critic.encoder.pair.1") == "    as main.encoder.pair.1\n"


def test_the_line_in_the_reason_of_a_child_is_the_childs():
    parts = {part.name: part for part in explained(compose(NESTED, NESTED, algorithm="ppo")).parts}
    assert "model.encoder.children.pair=flatten" in parts["main.encoder.pair"].reason
    assert "model/encoder=flatten" in parts["main.encoder"].reason
    line = "model.distribution.children.pair=autoregressive"
    assert line in parts["distribution.pair"].reason


class Zoo(gym.Env):
    """Spaces of every kind inside one another."""

    observation_space = spaces.Dict(
        pair=spaces.Tuple((TWO, spaces.Dict(frames=IMAGE, many=spaces.Discrete(2000)))),
        said=spaces.Tuple((spaces.Text(4), TWO)),
        row=spaces.Sequence(spaces.Dict(words=spaces.Text(3), real=REAL)),
        net=spaces.Graph(REAL, None),
        grid=spaces.Box(-1, 1, (5, 6), np.float32),
    )
    action_space = spaces.Dict(arm=REAL, inner=spaces.Tuple((TWO, REAL)))


def lines_of(part):
    return re.findall(r"\bmodel[./]\S+=\w+", part.reason)


def test_every_line_in_the_reasons_of_nested_parts_changes_the_part_that_names_it(monkeypatch):
    monkeypatch.setitem(gym.registry, "Zoo-v0", EnvSpec("Zoo-v0", entry_point=Zoo))
    usual = Experiment.load(["env.id=Zoo-v0"]).blueprint
    by_name = usual.by_name
    main_parts = [
        part
        for part in explained(usual).parts
        if not part.name.startswith("critic") and lines_of(part)
    ]
    kinds = {"cnn", "mlp", "embedding", "dict", "tuple", "text", "sequence", "graph", "joint"}
    assert {part.type for part in main_parts} == kinds
    for part in main_parts:
        for line in lines_of(part):
            if line.endswith("flatten") and is_ragged(by_name[part.name].space):
                assert f"{line} makes one vector of all, if none varies in length" in part.reason
                continue
            blueprint = Experiment.load(["env.id=Zoo-v0", line]).blueprint
            path, value = line.split("=")
            config = blueprint.by_name[part.name].to_data()["config"]
            chosen = config["pool"] if path.endswith(".pool") else config
            assert chosen["type"] == value


def test_a_mask_in_the_observation_is_told_where_there_is_one():
    masked = spaces.Dict(seen=VECTOR, action_mask=spaces.MultiBinary(2))
    explanation = explained(compose(masked, TWO, algorithm="ppo"))
    line = "action mask  the observation's `action_mask`, which is not encoded\n"
    assert line in plain(explanation)
    assert asdict(explanation)["mask_key"] == "action_mask"
    unmasked = explained(compose(spaces.Dict(seen=VECTOR), TWO, algorithm="ppo"))
    assert unmasked.mask_key is None
    assert "mask" not in plain(unmasked)


def test_what_is_said_of_the_children_is_not_repeated_for_all_of_them(capsys):
    env = "env.id=composer.testing:DictBandit-v0"
    main(["explain", env, "model.encoder.children.image.hidden=[7]"])
    text = capsys.readouterr().out
    assert "hidden=[7]  set by model.encoder.children.image.hidden=[7]" in text
    assert "children={" not in text


def test_rules_that_ask_the_same_are_refused_together():
    text = compose(spaces.Discrete(3), TWO).explain()
    assert (
        "not `image_actor_critic`, `image`, `vector_off_policy`, `vector` or `flattened`: kind is"
        in text
    )


@pytest.mark.parametrize("width", [50, 72, 100])
def test_lines_are_as_wide_as_the_terminal_but_for_the_table(width):
    for line in styled(explained(compose(IMAGE, REAL, algorithm="ppo")), width):
        text = "".join(piece.text for piece in line).rstrip()
        assert len(text) <= width or "→" in text


def test_every_setting_is_there_when_asked_for():
    explanation = explained(compose(VECTOR, TWO, algorithm="ppo"))
    lines = styled(explanation, every_setting=True)
    text = "".join(piece.text for line in lines for piece in line)
    for name in ("bias_initializer=zeros", "output_kernel_initializer=orthogonal(gain=0.01)"):
        assert name in text
        assert name not in plain(explanation)


def test_the_rules_tried_are_kept_in_json_and_not_in_the_fingerprint():
    blueprint = compose(spaces.Discrete(3), TWO, algorithm="ppo")
    tried = blueprint.by_name["critic.encoder"].reason.tried
    assert [rule.rule for rule in tried] == [
        "image_actor_critic",
        "image",
        "vector_off_policy",
        "vector",
        "flattened",
        "many_choices",
        "discrete",
    ]
    assert tried[0].mismatch == "kind is discrete, not box"
    assert tried[-1].mismatch is None
    assert type(blueprint).from_json(blueprint.to_json()) == blueprint


# the command line


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """An experiment `mine` in a user's directory, which is the working directory's `conf`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\n"
        "algorithm: {gamma: 0.5}\n"
        "model:\n"
        "  encoder: {activation: silu}\n"
        "  trunks: {critic: {encoder: {type: mlp, hidden: [9]}}}\n"
    )
    return ["--config-dir", "conf", "experiment=mine"]


def told(words, capsys):
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out


def test_what_is_no_default_says_where_it_was_set(conf, capsys):
    rule = "catalog.observation.vector.use.layer_norm=true"
    out = told([*conf, "model.heads.value.hidden=[5]", "env=acrobot", rule], capsys)
    for line in (
        "    activation=silu  set by conf/experiment/mine.yaml:4",
        f"    layer_norm=true  set by {rule} (command line)",
        "    given\n    type=mlp  set by conf/experiment/mine.yaml:5",
        "    hidden=[9]  set by conf/experiment/mine.yaml:5",
        "    hidden=[5]  set by model.heads.value.hidden=[5] (command line)",
    ):
        assert f"\n{line}\n" in out
    changes = dict(
        line.split(maxsplit=1) for line in out.split("set otherwise")[1].splitlines()[1:]
    )
    assert changes["algorithm.gamma=0.5"] == "conf/experiment/mine.yaml:2"
    assert changes["env.type=gym"] == "env=acrobot (command line)"
    assert changes["env.num_envs=16"].startswith("composer/conf/tuned/acrobot_ppo.yaml:4")
    assert not any("activation" in setting for setting in changes)


def test_an_optimiser_that_is_no_default_is_told_with_the_settings_of_parts(capsys):
    words = ["algorithm.optimiser=adamw", "algorithm.optimiser.parts.main.encoder.lr=1e-5"]
    out = told(words, capsys)
    assert "\n    algorithm.optimiser.type=adamw  algorithm.optimiser=adamw (command line)\n" in out
    line = "algorithm.optimiser.parts.main.encoder.lr=1e-05\n      "
    assert f"    {line}{words[1]} (command line)\n" in out
    assert "algorithm.optimiser" not in told(["env=acrobot"], capsys)


def test_a_trunk_with_an_encoder_of_its_own_takes_nothing_from_main(conf, capsys):
    rule = "catalog.observation.vector.use.hidden=[5]"
    words = ["model.trunks.critic.encoder=auto", "model.encoder={type: mlp, hidden: [9]}", rule]
    out = told(words, capsys)
    assert "    hidden=[9]  set by model.encoder={type: mlp, hidden: [9]} (command line)\n" in out
    assert f"    hidden=[5]  set by {rule} (command line)\n" in out


def test_a_trunk_with_a_memory_of_its_own_takes_nothing_from_main(conf, capsys):
    own = "model.trunks.critic.memory=gru"
    out = told(["env=cartpole", "model/memory=lstm", own], capsys)
    assert f"    type=gru  set by {own} (command line)\n" in out
    assert f"    type=gru  set by {own} (command line)\n" in told(["env=cartpole", own], capsys)


def test_what_follows_from_the_space_says_so():
    blueprint = compose(IMAGE, TWO, {"encoder": {"layout": "hwc"}})
    origins = {"model.encoder.layout": "mine.yaml:3"}
    encoder = part_of(explained(blueprint, origins.get), "main.encoder")
    set_by = {setting.name: setting.set_by for setting in encoder.settings}
    assert set_by["layout"] == "mine.yaml:3"
    assert set_by["filters"] == "the space"
    assert set_by["hidden"] is None


def test_json_is_the_explanation_and_nothing_else(conf, capsys):
    data = json.loads(told([*conf, "--json"], capsys))
    critic = part_of_data(data, "critic.encoder")
    assert critic["cost"] == {"parameters": 4 * 9 + 9, "bytes": 4 * 45, "multiply_adds": 36}
    assert critic["settings"][0]["path"] == "model.trunks.critic.encoder.type"
    assert critic["settings"][1] == {
        "path": "model.trunks.critic.encoder.hidden",
        "value": [9],
        "is_default": False,
        "set_by": "conf/experiment/mine.yaml:5",
    }
    assert data["drops"] == ["critic", "value"]
    assert data["total"]["parameters"] == sum(p["cost"]["parameters"] for p in data["parts"])
    blueprint = compose(VECTOR, TWO, algorithm="ppo")
    assert json.loads(json.dumps(asdict(explained(blueprint)))).keys() == data.keys()


def part_of_data(data, name):
    return next(part for part in data["parts"] if part["name"] == name)


def test_a_terminal_shows_the_same_words_in_colour(conf, capsys, monkeypatch):
    piped = told(conf, capsys)
    assert "\x1b[" not in piped
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = told(conf, capsys)
    assert "\x1b[1;36mmain.encoder" in shown
    words = [line.rstrip() for line in strip_styles(shown).splitlines()]
    assert words == piped.splitlines()


def strip_styles(text):
    return "".join(
        part.partition("m")[2] if i else part for i, part in enumerate(text.split("\x1b["))
    )


def test_all_shows_every_setting(conf, capsys):
    assert "bias_initializer=zeros" in told([*conf, "--all"], capsys)


def test_one_form_at_a_time(conf, capsys):
    assert main(["explain", *conf, "--yaml", "--out", "model.html"]) == 2
    assert "`--yaml` and `--out` cannot be given together" in capsys.readouterr().err


def test_nothing_is_written(conf, capsys, tmp_path):
    for flag in ("--json", "--yaml", "--all"):
        told([*conf, flag], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


def test_a_part_that_is_there_only_because_it_was_asked_for_is_told(capsys):
    main(["explain", "env=cartpole", "algorithm=dqn", "algorithm.replay.prioritised={}"])
    assert "algorithm.replay.prioritised={} (command line)" in capsys.readouterr().out
