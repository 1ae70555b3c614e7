from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from gymnasium import spaces

from composer import Blueprint, Catalog, Columns, Experiment, ModelConfig, compose
from composer.algorithms._presets import algorithm_of
from composer.algorithms.base import AlgorithmConfig
from composer.algorithms.ppo import PPOConfig
from composer.apis import PolicyAPI, ValueFunctionAPI
from composer.distributions.categorical import CategoricalConfig
from composer.encoders.cnn import CNNEncoderConfig
from composer.encoders.mlp import MLPEncoderConfig
from composer.encoders.one_hot import OneHotEncoderConfig
from composer.errors import CompositionError, ConfigError, ContractError
from composer.heads.base import HeadConfig
from composer.heads.policy import PolicyHeadConfig
from composer.heads.value import ValueHeadConfig

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (84, 84, 4), np.uint8)
TWO = spaces.Discrete(2)


def names(blueprint):
    return [node.name for node in blueprint.nodes]


def nodes(model, algorithm="ppo", observation=VECTOR):
    return compose(observation, TWO, model, algorithm).by_name


def problems(call, kind=CompositionError):
    with pytest.raises(kind) as error:
        call()
    return error.value.problems


def problem(model, algorithm="ppo", kind=CompositionError):
    (only,) = problems(lambda: compose(VECTOR, TWO, model, algorithm), kind)
    return only


# what is composed


def test_without_an_algorithm_there_is_a_policy_and_nothing_else():
    blueprint = compose(VECTOR, TWO)
    assert names(blueprint) == ["main.encoder", "policy", "distribution"]
    assert blueprint.apis == {PolicyAPI}
    assert blueprint.requires == ()
    assert str(blueprint.by_name["policy"].reason) == "needed by acting"


def test_ppo_needs_a_policy_and_a_value():
    blueprint = compose(VECTOR, TWO, algorithm="ppo")
    assert blueprint.apis == {PolicyAPI, ValueFunctionAPI}
    assert blueprint.requires == ("PolicyAPI", "ValueFunctionAPI")
    assert str(blueprint.by_name["value"].reason) == "needed by ppo"


@pytest.mark.parametrize(
    ("observation", "config"),
    [
        (VECTOR, MLPEncoderConfig),
        (IMAGE, CNNEncoderConfig),
        (spaces.Discrete(5), OneHotEncoderConfig),
        (spaces.MultiDiscrete([2, 3]), OneHotEncoderConfig),
        (spaces.MultiBinary(3), OneHotEncoderConfig),
    ],
)
@pytest.mark.parametrize("action", [TWO, spaces.Box(-2, 3, (2, 2))])
def test_every_observation_goes_with_every_action(observation, config, action):
    blueprint = compose(observation, action, algorithm="ppo")
    assert isinstance(blueprint.by_name["main.encoder"].config, config)
    assert blueprint.by_name["policy"].out_dim == (2 if action is TWO else 4)


@pytest.mark.parametrize("model", [None, {}, ModelConfig(), {"type": "composed"}])
@pytest.mark.parametrize(
    "algorithm", ["ppo", {"type": "ppo"}, AlgorithmConfig.parse({"type": "ppo", "lr": 1.0})]
)
def test_model_and_algorithm_may_be_given_in_several_ways(model, algorithm):
    blueprint = compose(VECTOR, TWO, model, algorithm)
    assert blueprint == compose(VECTOR, TWO, algorithm="ppo")


def test_the_same_input_gives_the_same_blueprint_and_changes_nothing():
    model = {"encoder": {"hidden": [8]}, "heads": {"policy": {"hidden": [4]}}}
    before = repr(model)
    assert compose(VECTOR, TWO, model) == compose(VECTOR, TWO, model)
    assert repr(model) == before


def test_inputs_and_widths_fit_from_node_to_node():
    blueprint = compose(VECTOR, spaces.Box(-1, 1, (3,)), algorithm="ppo")
    by_name = blueprint.by_name
    assert by_name["main.encoder"].inputs == ("obs",)
    assert by_name["policy"].inputs == ("main.encoder",)
    assert by_name["policy"].in_dim == by_name["main.encoder"].out_dim
    assert by_name["distribution"].inputs == ("policy",)
    assert (by_name["policy"].out_dim, by_name["distribution"].out_dim) == (3, 6)
    assert by_name["value"].out_dim == 1


def test_a_state_dependent_log_std_widens_the_policy():
    model = {"distribution": {"type": "diag_gaussian", "log_std": "dependent"}}
    assert compose(VECTOR, spaces.Box(-1, 1, (3,)), model).by_name["policy"].out_dim == 6


def test_a_catalog_of_ones_own_decides():
    rules = Catalog.default().rules.to_data()
    rules["observation"]["vector"]["use"]["hidden"] = [9]
    blueprint = compose(VECTOR, TWO, catalog=Catalog(rules))
    assert blueprint.by_name["main.encoder"].config.hidden == (9,)


def test_nothing_is_auto_in_a_blueprint():
    assert '"auto"' not in compose(IMAGE, TWO, algorithm="ppo").to_json()


# hints and settings


def test_hints_need_no_type():
    node = nodes({"encoder": {"hidden": [5]}}, None)["main.encoder"]
    assert node.config == MLPEncoderConfig(hidden=(5,), scaling="none")
    assert node.reason.name == "vector"
    assert node.out_dim == 5


def test_a_hint_for_another_type_is_an_error_that_names_the_rule():
    found = problem({"encoder": {"layout": "hwc"}})
    assert found.path == "model.encoder.layout"
    assert found.message.startswith("rule `vector` chooses encoder `mlp`, which has no option")


def test_a_hint_for_a_trunk_has_the_trunks_path():
    found = problem({"trunks": {"critic": {"encoder": {"layout": "hwc"}}}})
    assert found.path == "model.trunks.critic.encoder.layout"


def test_heads_have_layers_of_their_own():
    node = nodes({"heads": {"value": {"hidden": [7], "activation": "relu"}}})["value"]
    assert node.config.hidden == (7,)
    assert str(node.reason) == "given"


def test_a_users_head_keeps_the_defaults_of_its_role():
    policy = nodes({"heads": {"policy": {"hidden": [7]}}})["policy"].config
    assert policy.output_kernel_initializer.arguments == {"gain": 0.01}


# layouts


def test_ppo_lays_out_a_critic_trunk_for_vectors():
    by_name = nodes({})
    assert list(by_name) == ["main.encoder", "critic.encoder", "policy", "distribution", "value"]
    assert by_name["critic.encoder"].config == by_name["main.encoder"].config
    assert by_name["value"].trunk == "critic"
    assert str(by_name["critic.encoder"].reason).startswith("layout of ppo: ")


def test_ppo_lays_out_one_trunk_for_images():
    by_name = nodes({}, observation=IMAGE)
    assert "critic.encoder" not in by_name
    assert by_name["value"].trunk == by_name["policy"].trunk == "main"


@pytest.mark.parametrize("observation", [VECTOR, IMAGE])
def test_shared_is_one_trunk_for_all(observation):
    by_name = nodes({"trunks": {}}, observation=observation)
    assert by_name["value"].trunk == by_name["policy"].trunk == "main"
    assert "critic.encoder" not in by_name


@pytest.mark.parametrize("observation", [VECTOR, IMAGE])
def test_separate_is_a_critic_of_the_same_config(observation):
    by_name = nodes({"trunks": {"critic": {}}}, observation=observation)
    assert by_name["value"].trunk == "critic"
    assert by_name["critic.encoder"].config == by_name["main.encoder"].config


def test_hints_for_the_main_trunk_reach_the_critic_of_the_layout():
    by_name = nodes({"encoder": {"hidden": [5]}})
    assert by_name["critic.encoder"].config.hidden == (5,)


def test_a_trunk_may_have_an_encoder_of_its_own():
    by_name = nodes({"trunks": {"critic": {"encoder": {"hidden": [5]}}}})
    assert by_name["critic.encoder"].config.hidden == (5,)
    assert by_name["main.encoder"].config.hidden == (64, 64)
    assert by_name["critic.encoder"].reason.kind == "rule"


def test_without_an_algorithm_there_is_no_layout():
    assert nodes({"heads": {"value": {}}}, None)["value"].trunk == "main"


def test_an_actor_trunk_takes_the_place_of_main():
    by_name = nodes({"trunks": {"actor": {}, "critic": {}}})
    assert list(by_name)[:2] == ["actor.encoder", "critic.encoder"]
    assert by_name["policy"].trunk == "actor"


def test_a_trunk_of_the_layout_that_nobody_reads_is_not_built():
    by_name = nodes({"heads": {"value": {"reads": "main"}}})
    assert by_name["value"].trunk == "main"
    assert "critic.encoder" not in by_name


def test_two_heads_may_read_one_further_trunk():
    model = {"trunks": {"both": {}}, "heads": {"policy": {"reads": "both"}}}
    model["heads"]["value"] = {"reads": "both"}
    by_name = nodes(model)
    assert "main.encoder" not in by_name
    assert by_name["value"].inputs == by_name["policy"].inputs == ("both.encoder",)


def test_stop_gradient_is_of_the_trunk_that_is_read():
    model = {"trunks": {}, "heads": {"value": {"stop_gradient": ["main"]}}}
    by_name = nodes(model)
    assert by_name["value"].stop_gradient
    assert not by_name["policy"].stop_gradient


# refusals


def test_an_unread_trunk_is_refused_with_what_would_read_it():
    found = problem({"trunks": {"extra": {}}})
    assert found.path == "model.trunks.extra"
    assert found.message.startswith("no head reads the trunk `extra`\n")
    assert found.fix == "model.heads.value.reads=extra"


def test_a_trunk_that_is_nearly_a_side_is_given_that_name():
    found = problem({"trunks": {"critc": {"encoder": {"hidden": [4]}}}})
    assert "did you mean `critic`?" in found.message
    assert found.fix == "model.trunks.critic.encoder.hidden='[4]'"


def test_a_trunk_that_a_misspelt_reads_means_is_no_second_mistake():
    model = {"trunks": {"critic": {}}, "heads": {"value": {"reads": "critc"}}}
    assert problem(model).path == "model.heads.value.reads"


@pytest.mark.parametrize("field", ["reads", "stop_gradient"])
def test_an_unknown_trunk_names_the_nearest(field):
    given = "critc" if field == "reads" else ["critc"]
    found = problem({"heads": {"value": {field: given}}})
    assert found.path == f"model.heads.value.{field}"
    assert found.message == "there is no trunk `critc`; did you mean `critic`?"
    assert found.valid == ("critic", "main")
    right = "critic" if field == "reads" else "'[critic]'"
    assert found.fix == f"model.heads.value.{field}={right}"


def test_a_head_cannot_detach_a_trunk_that_it_does_not_read():
    found = problem({"heads": {"value": {"stop_gradient": ["main"]}}})
    assert found.path == "model.heads.value.stop_gradient"
    assert found.message == "head `value` reads `critic`, so it cannot detach `main`"
    assert found.fix == "model.heads.value.stop_gradient='[critic]'"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("main", "is the name of the main trunk; its encoder is model.encoder"),
        ("a.b", "is not a name: use letters, digits and underscores, a letter first"),
        ("_mine", "is not a name: use letters, digits and underscores, a letter first"),
        ("", "is not a name: use letters, digits and underscores, a letter first"),
        ("forward", "is taken: every module has an attribute of that name"),
        ("act", "is taken: every module has an attribute of that name"),
        ("training", "is taken: every module has an attribute of that name"),
        ("model_config", "is taken: every module has an attribute of that name"),
        ("distribution", "is taken: every module has an attribute of that name"),
        ("compute_values", "is taken: every module has an attribute of that name"),
    ],
)
def test_a_name_that_no_part_can_have_is_refused(name, message):
    found = problem({"trunks": {name: {}}, "heads": {"value": {"reads": name}}})
    assert found.path == f"model.trunks.{name}"
    assert found.message == f"`{name}` {message}"


def test_a_trunk_and_a_head_cannot_share_a_name():
    model = {"trunks": {"policy": {}}, "heads": {"policy": {"reads": "policy"}}}
    found = problems(lambda: compose(VECTOR, TWO, model))
    assert {each.message for each in found} == {"`policy` is both a trunk and a head"}


@pytest.mark.parametrize(
    ("tag", "column"), [("policy", "action_dist_inputs"), ("value", "vf_preds")]
)
def test_two_heads_cannot_give_the_same_output(tag, column):
    found = problem({"heads": {"other": {"type": tag}}})
    assert found.path == "model.heads.other"
    assert found.message == f"heads `{tag}` and `other` both give {column}; name one of them"


def test_several_mistakes_are_reported_at_once():
    model = {
        "trunks": {"a": {}, "b": {}},
        "heads": {"value": {"reads": "nope"}, "policy": {"stop_gradient": ["a"]}},
    }
    found = problems(lambda: compose(VECTOR, TWO, model, "ppo"))
    assert {each.path for each in found} == {
        "model.heads.value.reads",
        "model.heads.policy.stop_gradient",
        "model.trunks.a",
        "model.trunks.b",
    }


def test_a_space_without_a_rule_is_refused():
    found = problems(lambda: compose(spaces.Box(-1, 1, (70, 70, 70)), TWO))
    assert found[0].path == "model.encoder"
    assert found[0].message.startswith("no rule of the catalog chooses the encoder of Box(70,")


def test_what_is_no_space_is_refused():
    with pytest.raises(CompositionError, match="the action space is 2; it must be a gymnasium"):
        compose(VECTOR, 2)


def test_a_distribution_that_cannot_act_in_the_space_is_refused():
    found = problem({"distribution": "diag_gaussian"})
    assert found.path == "model.distribution"
    assert found.message == "`diag_gaussian` acts in a Box of floats, not Discrete(2)"


def test_what_the_catalog_would_choose_is_proposed_first(plugins):
    class Able(CategoricalConfig):
        type: Literal["able"] = "able"

    found = problem({"distribution": "diag_gaussian"})
    assert found.valid[0] == "categorical"
    assert "able" in found.valid
    assert found.fix == "model/distribution=categorical"


def test_the_limit_of_integers_is_said_by_its_whole_path():
    box = spaces.Box(0, 300, (2,), np.int64)
    found = problems(lambda: compose(VECTOR, box))[0]
    assert (found.path, found.value) == ("model.distribution.max_integers", 256)
    assert found.fix == "model.distribution.max_integers=301"
    model = {"distribution": {"type": "auto", "max_integers": 301}}
    assert compose(VECTOR, box, model).by_name["distribution"].out_dim == 2 * 301


def test_schema_mistakes_are_config_errors_with_the_path_as_typed():
    found = problems(
        lambda: compose(VECTOR, TWO, {"encoder": {"hiden": [1]}, "hads": {}}, "ppo"), ConfigError
    )
    assert {each.path for each in found} == {"model.encoder.hiden", "model.hads"}


def test_an_unknown_algorithm_names_the_nearest():
    found = problem({}, "pp0", ConfigError)
    assert found.message == "there is no algorithm `pp0`; did you mean `ppo`?"


# what an algorithm requires

BOUNDED = spaces.Box(-1, 1, (2,), np.float32)


def test_an_algorithm_that_learns_from_log_probs_refuses_a_deterministic_policy():
    model = {"distribution": "deterministic"}
    (found,) = problems(lambda: compose(VECTOR, BOUNDED, model, "ppo"), ContractError)
    assert found.message == (
        "ppo learns from the log-probability of what was sampled, and `deterministic` samples "
        "nothing: it always gives one and the same action"
    )
    assert (found.path, found.value) == ("model.distribution", "deterministic")
    assert found.valid == ("beta", "diag_gaussian", "gsde", "squashed_gaussian")
    assert found.fix == "model/distribution=auto"
    assert compose(VECTOR, BOUNDED, model).by_name["distribution"].out_dim == 2


def test_so_it_does_where_a_rule_has_chosen_one():
    rules = Catalog.default().rules.to_data()
    rules["action"]["continuous"]["use"] = {"type": "deterministic"}
    (found,) = problems(lambda: compose(VECTOR, BOUNDED, {}, "ppo", Catalog(rules)), ContractError)
    assert "(chosen by rule `continuous`: " in found.message
    assert found.fix == "model/distribution=beta"


@pytest.mark.parametrize("algorithm", [None, "ppo"])
@pytest.mark.parametrize(
    ("space", "distribution"),
    [
        (spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [0, -3]]), "multi_categorical"),
        (spaces.MultiBinary([2, 2]), "bernoulli"),
        (spaces.Box(-2, 3, (2, 2), np.int16), "multi_categorical"),
        (spaces.Box(-2, 3, (2, 2)), "diag_gaussian"),
        (spaces.Box(-2, 3, (2, 2)), "squashed_gaussian"),
        (spaces.Box(-2, 3, (2, 2)), "beta"),
    ],
)
def test_what_it_acts_by_is_what_it_learns_from(space, distribution, algorithm):
    by_rule = distribution not in ("squashed_gaussian", "beta")
    model = {} if by_rule else {"distribution": distribution}
    blueprint = compose(VECTOR, space, model, algorithm)
    assert blueprint.by_name["distribution"].config.type == distribution
    module = Blueprint.from_json(blueprint.to_json()).build()
    obs = torch.randn(50, *VECTOR.shape, generator=torch.Generator().manual_seed(0))
    step = module.act(obs)
    assert all(space.contains(action) for action in step.env_actions)
    out = module.forward_train({Columns.OBS: obs})
    now = module.action_distribution(out)
    assert torch.equal(now.log_prob(step.actions), step.log_prob)


@pytest.fixture
def demanding(plugins):
    """An algorithm that requires a value and adds no head for it."""

    class Demanding(AlgorithmConfig):
        type: Literal["demanding"] = "demanding"
        driver = "on_policy"

        def required_apis(self):
            return frozenset({PolicyAPI, ValueFunctionAPI})

        def layout(self, observation):
            return {}

        def heads(self):
            return {"policy": HeadConfig(type="policy")}

        def build(self, module, generator):
            raise NotImplementedError


@pytest.mark.usefixtures("demanding")
def test_a_missing_capability_is_refused_before_anything_is_built():
    found = problem({}, "demanding", ContractError)
    assert found.path == "model.heads"
    assert found.message == (
        "demanding requires ValueFunctionAPI, which no head of the model gives"
    )
    assert found.value == ["policy"]
    assert found.valid == ("value",)
    assert found.fix == "model.heads.value.type=value"
    given = {"heads": {"value": {"type": "value"}}}
    assert ValueFunctionAPI in compose(VECTOR, TWO, given, "demanding").apis


@pytest.mark.usefixtures("demanding")
def test_a_head_of_any_role_gives_its_capability():
    blueprint = compose(VECTOR, TWO, {"heads": {"baseline": {"type": "value"}}}, "demanding")
    assert ValueFunctionAPI in blueprint.apis


def test_what_a_users_head_leaves_out_is_as_the_algorithm_has_it(monkeypatch):
    def heads(self):
        return {"policy": PolicyHeadConfig(hidden=(7,)), "value": ValueHeadConfig()}

    monkeypatch.setattr(PPOConfig, "heads", heads)
    model = {"heads": {"policy": {"activation": "relu"}}}
    config = compose(VECTOR, TWO, model=model, algorithm="ppo").by_name["policy"].config
    assert config.hidden == (7,)
    assert config.activation == "relu"


PRESETS = [
    path.stem
    for path in (Path(__file__).parents[1] / "composer/conf/algorithm").glob("*.yaml")
    if path.stem not in AlgorithmConfig.tags()
]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_of_an_algorithm_is_the_same_by_name_as_on_the_command_line(name):
    loaded = Experiment.load(["env=mountain_car", f"algorithm={name}"])
    assert algorithm_of(name) == algorithm_of({"type": name}) == loaded.config.algorithm
    assert compose(*loaded.spaces, algorithm=name) == loaded.blueprint


def test_what_is_said_beside_a_preset_wins_key_by_key():
    words = ["num_atoms=11", "replay.prioritised.alpha=0.7"]
    loaded = Experiment.load(
        ["env=mountain_car", "algorithm=rainbow", *(f"algorithm.{word}" for word in words)]
    )
    said = {"type": "rainbow", "num_atoms": 11, "replay": {"prioritised": {"alpha": 0.7}}}
    assert algorithm_of(said) == loaded.config.algorithm
