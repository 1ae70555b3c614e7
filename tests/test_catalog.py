import importlib.resources
import json
from typing import Literal

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium import spaces

from composer import Catalog
from composer.catalog.rules import CatalogConfig, Range, When
from composer.config import Auto
from composer.encoders.base import EncoderConfig
from composer.encoders.cnn import CNNEncoderConfig
from composer.encoders.mlp import MLPEncoderConfig
from composer.errors import CompositionError, ConfigError
from composer.spaces import describe, facts

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (84, 84, 4), np.uint8)


def rule(tag="mlp", why="because", **data):
    return {"use": {"type": tag}, "why": why, **data}


def problem(call, kind=CompositionError):
    with pytest.raises(kind) as error:
        call()
    (only,) = error.value.problems
    return only


# the tree that Composer ships


@pytest.mark.parametrize(
    ("space", "tag", "name"),
    [
        (IMAGE, "cnn", "image"),
        (spaces.Box(0, 255, (3, 20, 20), np.uint8), "cnn", "image"),
        (VECTOR, "mlp", "vector"),
        (spaces.Box(-1, 1, ()), "mlp", "vector"),
        (spaces.Box(-1, 1, (5, 6)), "mlp", "flattened"),
        (spaces.Box(0, 255, (64, 64), np.uint8), "cnn", "image"),
        (spaces.Box(0, 255, (4, 64, 64, 3), np.uint8), "cnn", "image"),
        (spaces.Box(-np.inf, np.inf, (64, 64)), "mlp", "flattened"),
        (spaces.Box(-np.inf, np.inf, (2, 2, 2, 2)), "mlp", "flattened"),
        (spaces.Discrete(4), "one_hot", "discrete"),
        (spaces.MultiDiscrete([2, 3]), "one_hot", "discrete"),
        (spaces.MultiBinary(3), "one_hot", "discrete"),
        (spaces.Discrete(1024), "one_hot", "discrete"),
        (spaces.Discrete(1025), "embedding", "many_choices"),
        (spaces.MultiDiscrete([600, 500]), "embedding", "many_choices"),
        (spaces.MultiBinary(1025), "one_hot", "discrete"),
        (spaces.Text(3), "text", "text"),
        (spaces.Sequence(VECTOR), "sequence", "sequence"),
        (spaces.OneOf([VECTOR, IMAGE]), "oneof", "oneof"),
        (spaces.Graph(VECTOR, None), "graph", "graph"),
    ],
)
def test_the_default_tree_chooses_an_encoder(space, tag, name):
    choice = Catalog.default().encoder(space)
    config, reason = choice.config, choice.reason
    assert config.type == tag
    assert (reason.kind, reason.name) == ("rule", name)
    assert reason.why == Catalog.default().rules.observation[name].why


@pytest.mark.parametrize(
    ("space", "tag"),
    [
        (spaces.Discrete(4), "categorical"),
        (spaces.MultiDiscrete([2, 3]), "multi_categorical"),
        (spaces.MultiBinary(3), "bernoulli"),
        (spaces.Box(0, 9, (2,), np.uint8), "multi_categorical"),
        (spaces.Box(-1, 1, (2,)), "diag_gaussian"),
        (spaces.Box(-1, 1, (2,), np.float64), "diag_gaussian"),
    ],
)
def test_the_default_tree_chooses_a_distribution(space, tag):
    assert Catalog.default().distribution(space).config.type == tag


def test_default_is_the_yaml_that_is_shipped():
    text = importlib.resources.files("composer.conf").joinpath("catalog/default.yaml").read_text()
    assert Catalog.default().rules == CatalogConfig.parse(yaml.safe_load(text))
    assert Catalog.default() is Catalog.default()


def test_the_rules_survive_json():
    rules = Catalog.default().rules
    assert CatalogConfig.parse(json.loads(json.dumps(rules.to_data()))) == rules


def test_the_same_question_has_the_same_answer():
    answers = [Catalog.default().encoder(IMAGE) for _ in range(2)]
    assert answers[0] == answers[1]


# order


def test_the_first_rule_that_applies_is_taken():
    rules = {"observation": {"one": rule("mlp"), "two": rule("cnn")}}
    assert Catalog(rules).encoder(IMAGE).reason.name == "one"


def test_a_rule_of_higher_priority_is_tried_earlier():
    rules = {"observation": {"one": rule("mlp"), "two": rule("cnn", priority=1)}}
    assert Catalog(rules).encoder(IMAGE).reason.name == "two"


def test_a_rule_of_lower_priority_is_tried_later():
    rules = {"observation": {"one": rule("mlp", priority=-1), "two": rule("cnn")}}
    assert Catalog(rules).encoder(IMAGE).reason.name == "two"


def test_a_rule_that_is_null_is_removed():
    data = Catalog.default().rules.to_data()
    data["observation"]["vector"] = None
    assert Catalog(data).encoder(VECTOR).reason.name == "flattened"


def test_what_a_rule_uses_differs_from_the_defaults_only_where_it_says():
    chosen = {"type": "mlp", "hidden": [7], "activation": "relu"}
    config = Catalog({"observation": {"one": rule() | {"use": chosen}}}).encoder(VECTOR).config
    assert config.altered() == {"hidden": (7,), "activation": "relu", "scaling": "none"}


def test_what_the_user_names_is_given_and_resolved():
    choice = Catalog.default().encoder(IMAGE, CNNEncoderConfig())
    config, reason = choice.config, choice.reason
    assert str(reason) == "given"
    assert config.layout == "hwc"
    assert [layer.channels for layer in config.filters] == [32, 64, 64]


# hints


def test_hints_join_what_the_rule_chose():
    chosen = {"type": "mlp", "hidden": [7], "activation": "relu"}
    catalog = Catalog({"observation": {"one": rule() | {"use": chosen}}})
    choice = catalog.encoder(VECTOR, Auto(hidden=[64, 64]))
    config, reason = choice.config, choice.reason
    assert config == MLPEncoderConfig(hidden=(64, 64), activation="relu", scaling="none")
    assert reason.name == "one"


def test_a_hint_that_the_chosen_type_lacks_names_the_rule_and_the_owner():
    found = problem(lambda: Catalog.default().encoder(VECTOR, Auto(filters=[[32, 8, 4]])))
    assert found.path == "model.encoder.filters"
    assert found.message == (
        "rule `vector` chooses encoder `mlp`, which has no option `filters`; it belongs to "
        "`cnn`, `cnn3d` or `conv1d`, which cannot take Box(4,) float32"
    )
    assert found.fix is None
    assert "hidden" in found.valid


def test_a_wrong_value_of_a_hint_has_the_path_that_was_typed():
    catalog = Catalog.default()
    found = problem(lambda: catalog.encoder(VECTOR, Auto(hidden=[0])), ConfigError)
    assert found.path == "model.encoder.hidden[0]"
    found = problem(
        lambda: catalog.encoder(VECTOR, Auto(hidden=[0]), path="model.trunks.critic.encoder"),
        ConfigError,
    )
    assert found.path == "model.trunks.critic.encoder.hidden[0]"


# no answer


def test_no_match_lists_each_rule_and_why_it_does_not_apply():
    found = problem(lambda: Catalog.default().encoder(spaces.Box(-1, 1, (70, 70, 70))))
    assert found.message.splitlines() == [
        "no rule of the catalog chooses the encoder of Box(70, 70, 70) float32",
        "rule `image_actor_critic` does not apply: image is false, not true",
        "rule `image` does not apply: image is false, not true",
        "rule `vector_off_policy` does not apply: rank is 3, not at most 1",
        "rule `vector` does not apply: rank is 3, not at most 1",
        "rule `flattened` does not apply: size is 343000, not at most 4096",
        "rule `many_choices` does not apply: kind is box, not discrete or multi_discrete",
        "rule `discrete` does not apply: kind is box, not discrete or multi_discrete or "
        "multi_binary",
        "rule `dict` does not apply: kind is box, not dict",
        "rule `tuple` does not apply: kind is box, not tuple",
        "rule `text` does not apply: kind is box, not text",
        "rule `sequence` does not apply: kind is box, not sequence",
        "rule `oneof` does not apply: kind is box, not oneof",
        "rule `graph` does not apply: kind is box, not graph",
    ]
    assert (found.path, found.value) == ("model.encoder", "auto")
    assert found.valid == ("mlp", "residual_mlp", "identity")
    assert found.fix == "model/encoder=mlp, or a rule of your own in catalog"


def test_where_no_part_fits_only_a_rule_of_ones_own_helps():
    found = problem(lambda: Catalog.default().distribution(spaces.Text(2)))
    assert found.path == "model.distribution"
    assert (found.valid, found.fix) == ((), "a rule of your own in catalog")


@pytest.mark.parametrize(
    ("space", "why", "nearest"),
    [
        (
            spaces.Text(3, charset="ab"),
            "a Text action has no fixed number of choices, which every distribution needs",
            "MultiDiscrete([3] * 3): for each place a character, or none",
        ),
        (
            spaces.Text(3, min_length=3, charset="ab"),
            "a Text of one length is a choice of a character for each place",
            "MultiDiscrete([2] * 3)",
        ),
        (
            spaces.Sequence(spaces.Discrete(4)),
            "a Sequence action may be of any length, and every distribution needs a fixed number "
            "of choices",
            "Tuple([Discrete(9)] + [Discrete(4)] * 8): how many count, and the elements",
        ),
        (
            spaces.Graph(spaces.Discrete(4), None),
            "a Graph action may have any number of nodes and edges, and every distribution needs "
            "a fixed number of choices",
            "Tuple([Discrete(4)] * 8 + [MultiBinary((8, 8))]): 8 nodes, and which pairs have an "
            "edge",
        ),
    ],
    ids=["text", "text of one length", "sequence", "graph"],
)
def test_what_nothing_acts_in_is_refused_with_the_nearest_that_works(space, why, nearest):
    inside = spaces.Dict(say=space, move=spaces.Discrete(2))
    found = problem(lambda: Catalog.default().distribution(inside))
    assert found.path == "model.distribution.children.say"
    assert found.message.splitlines()[1:3] == [
        why,
        f"wrap the environment by `env.wrappers` so that it takes {nearest}",
    ]


NEAREST = [
    spaces.MultiDiscrete([3] * 3),
    spaces.Tuple([spaces.Discrete(9)] + [spaces.Discrete(4)] * 8),
    spaces.Tuple([spaces.Discrete(4)] * 8 + [spaces.MultiBinary((8, 8))]),
]


@pytest.mark.parametrize("space", NEAREST, ids=describe)
def test_the_nearest_that_is_named_can_be_acted_in(space):
    assert Catalog.default().distribution(space).config.type in ("multi_categorical", "joint")


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_whole_numbers_and_truth_values_of_a_box_have_probabilities(dtype):
    choice = Catalog.default().distribution(spaces.Box(0, 1, (2,), dtype))
    assert (choice.config.type, choice.reason.name) == ("multi_categorical", "integers")


def test_a_part_that_needs_options_is_not_proposed(plugins):
    class Needy(EncoderConfig):
        type: Literal["needy"] = "needy"
        size: int

        def refusal(self, space: gym.Space) -> str | None:
            return None

        def out_dim(self, space: gym.Space) -> int:
            return self.size

        def build(self, space: gym.Space):
            raise NotImplementedError

    assert problem(lambda: Catalog({}).encoder(VECTOR)).valid == ("mlp", "residual_mlp", "identity")


def test_a_choice_that_cannot_take_the_space_names_its_rule():
    catalog = Catalog({"observation": {"all": rule("cnn")}})
    found = problem(lambda: catalog.encoder(VECTOR))
    assert found.message == (
        "`cnn` takes an image, a Box of rank 2 to 4, not Box(4,) float32 (chosen by rule `all`)"
    )
    assert (found.path, found.value) == ("model.encoder", "cnn")


def test_what_the_user_names_and_cannot_be_has_its_path():
    found = problem(lambda: Catalog.default().encoder(VECTOR, CNNEncoderConfig()))
    assert found.message == "`cnn` takes an image, a Box of rank 2 to 4, not Box(4,) float32"
    assert found.valid == ("mlp", "residual_mlp", "identity")
    assert found.fix == "model/encoder=mlp"
    config = CNNEncoderConfig.parse({"filters": [[8, 100, 1]]})
    found = problem(lambda: Catalog.default().encoder(IMAGE, config))
    assert found.path == "model.encoder.filters[0].kernel"
    assert found.value == (100, 100)
    assert found.fix == "model.encoder.filters=auto"


# questions


def test_an_empty_list_of_names_is_refused_and_an_empty_shape_is_rank_zero():
    found = problem(lambda: When.parse({"kind": []}, "when"), ConfigError)
    assert found.message.startswith("nothing is in an empty list")
    assert found.fix == "when.kind=null"
    assert asked({"shape": []}, spaces.Box(-1, 1, ())) is None
    assert asked({"shape": []}) == "shape is [4], not []"


def asked(when, space=VECTOR, algorithm=None, trunk="main", key=""):
    return When.parse(when).mismatch(facts(space, key), algorithm, trunk)


@pytest.mark.parametrize(
    ("when", "about"),
    [
        ({}, {}),
        ({"kind": "box"}, {}),
        ({"kind": ["discrete", "box"]}, {}),
        ({"kind": "multi_*"}, {"space": spaces.MultiBinary(2)}),
        ({"rank": 1}, {}),
        ({"rank": {"max": 1}}, {"space": spaces.Box(0, 1, ())}),
        ({"shape": [4]}, {}),
        ({"shape": [{"min": 80}, {"max": 84}, 4]}, {"space": IMAGE}),
        ({"size": {"min": 4, "max": 4}}, {}),
        ({"size": 5}, {"space": spaces.MultiDiscrete([2, 3])}),
        ({"dtype": "float*"}, {}),
        ({"dtype": ["uint8", "float32"]}, {}),
        ({"bounded": True}, {}),
        ({"bounded": False}, {"space": spaces.Box(-np.inf, 1, (2,))}),
        ({"image": False}, {}),
        ({"image": True, "layout": "hwc"}, {"space": IMAGE}),
        ({"key": "arm.*"}, {"key": "arm.position"}),
        ({"key": ""}, {}),
        ({"algorithm": ["ppo", "sac"]}, {"algorithm": "ppo"}),
        ({"trunk": "critic"}, {"trunk": "critic"}),
    ],
)
def test_a_question_that_holds(when, about):
    assert asked(when, **about) is None


@pytest.mark.parametrize(
    ("when", "about", "words"),
    [
        ({"kind": ["discrete", "dict"]}, {}, "kind is box, not discrete or dict"),
        ({"rank": 2}, {}, "rank is 1, not 2"),
        ({"rank": {"min": 2, "max": 3}}, {}, "rank is 1, not at least 2 and at most 3"),
        ({"rank": 1}, {"space": spaces.Graph(VECTOR, None)}, "rank is null, not 1"),
        ({"shape": [4, 4]}, {}, "shape is [4], not [4, 4]"),
        ({"shape": [{"min": 5}]}, {}, "shape is [4], not [at least 5]"),
        ({"size": {"max": 3}}, {}, "size is 4, not at most 3"),
        ({"dtype": "*int*"}, {}, "dtype is float32, not *int*"),
        ({"bounded": False}, {}, "bounded is true, not false"),
        ({"image": True}, {}, "image is false, not true"),
        ({"layout": "chw"}, {"space": IMAGE}, "layout is hwc, not chw"),
        ({"layout": "chw"}, {}, "layout is null, not chw"),
        ({"key": "arm.*"}, {"key": "leg.x"}, "key is leg.x, not arm.*"),
        ({"algorithm": "ppo"}, {}, "algorithm is null, not ppo"),
        ({"algorithm": "ppo"}, {"algorithm": "sac"}, "algorithm is sac, not ppo"),
        ({"trunk": "critic"}, {}, "trunk is main, not critic"),
        ({"kind": "box", "rank": 3, "size": 9}, {}, "rank is 1, not 3"),
    ],
)
def test_a_question_that_does_not_hold_says_so(when, about, words):
    assert asked(when, **about) == words


def test_a_question_that_nobody_knows_is_refused():
    found = problem(
        lambda: Catalog({"observation": {"one": rule(when={"kidn": "box"})}}), ConfigError
    )
    assert found.path == "catalog.observation.one.when.kidn"
    assert found.fix == "catalog.observation.one.when.kind=box"


def test_an_empty_range_is_refused():
    with pytest.raises(ConfigError, match="the range from 3 to 2 is empty"):
        Range.parse({"min": 3, "max": 2})


def test_a_rule_says_why():
    found = problem(lambda: Catalog({"observation": {"one": {"use": "mlp"}}}), ConfigError)
    assert found.path == "catalog.observation.one.why"


def test_a_rule_cannot_use_auto_or_what_does_not_exist():
    found = problem(lambda: Catalog({"observation": {"one": rule("auto")}}), ConfigError)
    assert found.path == "catalog.observation.one.use.type"
    assert found.message == "there is no encoder `auto`"


def test_several_wrong_rules_are_reported_at_once():
    rules = {
        "observation": {"one": rule("mpl"), "two": rule(priority="high")},
        "action": {"three": {"use": "categorical", "why": "x", "wen": {}}},
    }
    with pytest.raises(ConfigError) as error:
        Catalog(rules)
    assert [found.path for found in error.value.problems] == [
        "catalog.observation.one.use.type",
        "catalog.observation.two.priority",
        "catalog.action.three.wen",
    ]


def test_rules_may_ask_for_the_algorithm_and_the_trunk():
    rules = {
        "observation": {
            "big": rule(when={"trunk": "critic"}) | {"use": {"type": "mlp", "hidden": [9]}},
            "ppo": rule(when={"algorithm": "ppo"}) | {"use": {"type": "mlp", "hidden": [8]}},
            "else": rule(),
        }
    }
    catalog = Catalog(rules)
    assert catalog.encoder(VECTOR, algorithm="ppo", trunk="critic").config.hidden == (9,)
    assert catalog.encoder(VECTOR, algorithm="ppo").config.hidden == (8,)
    assert catalog.encoder(VECTOR).reason.name == "else"


@pytest.mark.parametrize("algorithm", ["sac", "td3", "tqc"])
def test_an_image_of_an_actor_critic_ends_in_a_narrow_normalised_layer(algorithm):
    choice = Catalog.default().encoder(
        spaces.Box(0, 255, (64, 64, 3), "uint8"), algorithm=algorithm
    )
    assert choice.reason.name == "image_actor_critic"
    assert (choice.config.type, choice.config.hidden, choice.config.layer_norm) == (
        "cnn",
        (50,),
        True,
    )
