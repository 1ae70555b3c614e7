"""What people get wrong, and what they are told: each is refused before anything is built.

| what is wrong | where it is tried |
|---|---|
| a misspelt or unknown key, in any part | `WORDS` |
| widths: text, fractions, one number, negative, zero, null | `WORDS` |
| activations and initialisers: misspelt, no activation, no text, wrong arguments | `WORDS` |
| log-stds out of order, or of a distribution that has none | `WORDS` |
| flags as text, memories that do not exist, numbers out of range | `WORDS` |
| convolutions: flat, too short, too long, misspelt padding, too large, zero, negative | `IMAGES` |
| a part that cannot take the space | `WORDS`, `IMAGES` |
| misspelt names: trunks, heads, rules | `WORDS` |
| models, spaces, catalogs and classes that are none | `CALLS` |
| a state of another module | `test_a_state_that_does_not_fit_loads_nothing` |
| a hand-written class that lacks what the algorithm requires | tests/test_specs.py |
"""

import shlex

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Catalog, Experiment, ModelConfig, RLModuleSpec, compose
from composer.algorithms.ppo import PPOConfig
from composer.errors import ComposerError, CompositionError, ConfigError, ModuleError
from composer.fixes import replaced

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (64, 64, 3), np.uint8)
TWO = spaces.Discrete(2)

SCHEMA, COMPOSITION = ConfigError, CompositionError
MLP = "model/encoder=mlp"

WORDS = [
    # the words before, the wrong word, its layer, the path, a part of the message
    ("", "model.encoder.hiden=[32,32]", SCHEMA, "model.encoder.hiden", "you mean `hidden`"),
    ("", "model.encoder.hiden=32", SCHEMA, "model.encoder.hiden", "you mean `hidden`"),
    (MLP, "model.encoder.hiden=32", SCHEMA, "model.encoder.hiden", "you mean `hidden`"),
    ("", "model.encoder.HIDDEN=[32]", SCHEMA, "model.encoder.HIDDEN", "you mean `hidden`"),
    ("", "model.trunk={critic: {}}", SCHEMA, "model.trunk", "you mean `trunks`"),
    ("", "model.heads.policy.hiddn=[64]", SCHEMA, "model.heads.policy.hiddn", "you mean `hidden`"),
    (
        "",
        "model.trunks.critic.hidden=[64]",
        SCHEMA,
        "model.trunks.critic.hidden",
        "you mean `model.trunks.critic.encoder.hidden`",
    ),
    ("", "model.memory=lsmt", SCHEMA, "model.memory", "there is no memory `lsmt`"),
    ("", "model.memory=rnn", SCHEMA, "model.memory", "there is no memory `rnn`"),
    ("", "model.heads.value=valeu", SCHEMA, "model.heads.value.type", "no head `valeu`"),
    ("", "model.type=mlp", SCHEMA, "model.type", "there is no model `mlp`"),
    ("", "algorithm=ddqn", SCHEMA, "algorithm", "there is no algorithm `ddqn`"),
    ("", "evaluation=5", SCHEMA, "evaluation", "should be a mapping"),
    ("", "catalog.observations.vector.priority=1", SCHEMA, "catalog.observations", "`observation`"),
    ("", "algorithm.lrr=0.1", SCHEMA, "algorithm.lrr", "you mean `lr`"),
    ("", "model.encoder.hidden=big", SCHEMA, "model.encoder.hidden", "should be a list"),
    ("", "model.encoder.hidden='64'", SCHEMA, "model.encoder.hidden", "should be a list"),
    ("", "model.encoder.hidden=['32',32]", SCHEMA, "model.encoder.hidden[0]", "integer"),
    ("", "model.encoder.hidden=[32.0,32]", SCHEMA, "model.encoder.hidden[0]", "integer"),
    ("", "model.encoder.hidden=64", SCHEMA, "model.encoder.hidden", "list, not an integer"),
    ("", "model.encoder.hidden=null", SCHEMA, "model.encoder.hidden", "list, not null"),
    ("", "model.encoder.hidden=[-32,32]", SCHEMA, "model.encoder.hidden[0]", "greater than 0"),
    ("", "model.encoder.hidden=[32,-32]", SCHEMA, "model.encoder.hidden[1]", "greater than 0"),
    ("", "model.heads.value.hidden=[-4]", SCHEMA, "model.heads.value.hidden[0]", "than 0"),
    ("", "model.encoder.hidden=[0,32]", SCHEMA, "model.encoder.hidden[0]", "greater than 0"),
    ("", "model.encoder.hidden=[32,0]", SCHEMA, "model.encoder.hidden[1]", "greater than 0"),
    ("", "model.encoder.activation=rellu", SCHEMA, "model.encoder.activation", "mean `relu`"),
    ("", "model.encoder.activation=Dropout", SCHEMA, "model.encoder.activation", "`Dropout`"),
    ("", "model.encoder.activation=LSTM", SCHEMA, "model.encoder.activation", "`LSTM`"),
    ("", "model.encoder.activation=3", SCHEMA, "model.encoder.activation", "activation `3`"),
    (
        "",
        "model.encoder.kernel_initializer=xavier_unifrom",
        SCHEMA,
        "model.encoder.kernel_initializer.type",
        "you mean `xavier_uniform`",
    ),
    (
        "",
        "model.encoder.kernel_initializer={type: orthogonal, gian: 2}",
        SCHEMA,
        "model.encoder.kernel_initializer.gian",
        "you mean `gain`",
    ),
    (
        "",
        "model.encoder.kernel_initializer.gian=2",
        SCHEMA,
        "model.encoder.kernel_initializer.gian",
        "you mean `gain`",
    ),
    (
        "",
        "model.encoder.kernel_initializer.gain=big",
        SCHEMA,
        "model.encoder.kernel_initializer.gain",
        "should be a finite number",
    ),
    (
        "",
        "model.encoder.bias_initializer=orthogonal",
        SCHEMA,
        "model.encoder.bias_initializer.type",
        "cannot fill a bias",
    ),
    (
        "",
        "model.heads.value.output_kernel_initializer=nope",
        SCHEMA,
        "model.heads.value.output_kernel_initializer.type",
        "there is no initializer `nope`",
    ),
    ("", "model.encoder.layer_norm=no", SCHEMA, "model.encoder.layer_norm", "boolean"),
    ("env=pendulum", "model.distribution.log_std_max=null", SCHEMA, "log_std_max", "number"),
    ("env=pendulum", "model.distribution.log_std_max=x", SCHEMA, "log_std_max", "number"),
    (
        "env=pendulum",
        "model.distribution.log_std_min=3",
        SCHEMA,
        "model.distribution.log_std_min",
        "log_std_min 3.0 is above log_std_max 2.0",
    ),
    (
        "env=pendulum",
        "model.distribution.log_std_max=-1",
        SCHEMA,
        "model.distribution.log_std_max",
        "log_std_init 0.0 must lie between",
    ),
    ("env=pendulum", "model.distribution.log_std=dependant", SCHEMA, "log_std", "`dependent`"),
    ("", "algorithm.lr=fast", SCHEMA, "algorithm.lr", "number, not a string"),
    ("", "algorithm.lr=-1", SCHEMA, "algorithm.lr", "greater than 0"),
    ("", "algorithm.gamma=2", SCHEMA, "algorithm.gamma", "less than or equal to 1"),
    ("", "algorithm.epochs=0", SCHEMA, "algorithm.epochs", "greater than 0"),
    ("", "total_steps=1.5", SCHEMA, "total_steps", "integer, not a number"),
    ("", "seed=-1", SCHEMA, "seed", "greater than or equal to 0"),
    ("", "threads=0", SCHEMA, "threads", "greater than 0"),
    (
        "",
        "catalog.observation.vectr.use.hidden=[64]",
        SCHEMA,
        "catalog.observation.vectr",
        "there is no observation rule `vectr`; did you mean `vector`?",
    ),
    ("", "model.heads.polcy.hidden=[4]", SCHEMA, "model.heads.polcy", "you mean `policy`"),
    ("", "model.heads.value.type=policy", COMPOSITION, "model.heads.value", "both give"),
    ("", "model.heads.actor.type=policy", COMPOSITION, "model.heads.actor", "both give"),
    ("", "model.trunks.critc.encoder.hidden=[4]", COMPOSITION, "model.trunks.critc", "`critic`"),
    ("", "model.heads.value.reads=critc", COMPOSITION, "model.heads.value.reads", "`critic`"),
    ("", "model/encoder=cnn", COMPOSITION, "model.encoder", "an image, a Box of rank 2 to 4"),
    ("", "model.trunks.critic.encoder=cnn", COMPOSITION, "model.trunks.critic.encoder", "image"),
    ("", "model/distribution=diag_gaussian", COMPOSITION, "model.distribution", "Box of floats"),
    ("env=pendulum", "model/distribution=categorical", COMPOSITION, "model.distribution", "Discr"),
]

WITHOUT_A_LINE = [
    ("model.encoder.filters=[[16,4,2]]", "model.encoder.filters", "cannot take Box(4,) float32"),
    ("model.distribution.log_std=dependent", "model.distribution.log_std", "diag_gaussian"),
]
"""Options of a part that the space rules out: there is nothing to type but less."""

IMAGES = [
    ("filters=[16,4,2]", SCHEMA, "filters", "[[32,8,4],[64,4,2]]"),
    ("filters=nature", SCHEMA, "filters", "[[32,8,4],[64,4,2]]"),
    ("filters=[[16]]", SCHEMA, "filters[0]", "this has 1 value"),
    ("filters=[{kernel:3}]", SCHEMA, "filters[0].channels", "the convolution needs `channels`"),
    ("filters=[[16,4,2,same,5]]", SCHEMA, "filters[0]", "this has 5 values"),
    ("filters=[[16,4,2],'8']", SCHEMA, "filters", "each a list"),
    ("filters=[[16,4,2,sama]]", SCHEMA, "filters[0].padding", "did you mean `same`?"),
    ("filters=[[-16,4,2]]", SCHEMA, "filters[0].channels", "greater than 0"),
    ("filters=[[16,4,0]]", SCHEMA, "filters[0].stride", "a positive whole number"),
    ("filters=[[16,4,-1]]", SCHEMA, "filters[0].stride", "a positive whole number"),
    ("filters=[[16,4,2.5]]", SCHEMA, "filters[0].stride", "a positive whole number"),
    ("filters=[[16,0,2]]", SCHEMA, "filters[0].kernel", "a positive whole number"),
    ("filters=[[16,[4,4,4],2]]", SCHEMA, "filters[0].kernel", "for height and for width"),
    ("filters=[[16,100,1]]", COMPOSITION, "filters[0].kernel", "only 64×64 pixels are left"),
    ("filters=[[8,8,8],[8,9,1]]", COMPOSITION, "filters[1].kernel", "only 8×8 pixels are left"),
    ("filters=[[16,200,1,same]]", COMPOSITION, "filters[0].kernel", "too few for its kernel"),
    ("layout=whc", SCHEMA, "layout", "`whc` is none of the choices"),
    ("conv_initializer=eye", SCHEMA, "conv_initializer.type", "a convolution's kernel"),
]


@pytest.fixture
def nothing_is_built(monkeypatch):
    """Makes it a failure to make a layer."""

    def refuse(*_, **__):
        raise AssertionError("a layer was built")

    for layer in (nn.Linear, nn.Conv2d):
        monkeypatch.setattr(layer, "__init__", refuse)


def blueprint(words, observation=None):
    experiment = Experiment.load(words)
    if observation is not None:
        experiment.spaces = (observation, TWO)
    return experiment.blueprint


def refusal(words, kind, observation=None):
    with pytest.raises(ComposerError) as raised:
        blueprint(words, observation)
    assert type(raised.value) is kind
    (problem,) = raised.value.problems
    return problem


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(("before", "word", "kind", "path", "told"), WORDS)
def test_a_wrong_word_is_refused_with_a_line_that_works(before, word, kind, path, told):
    problem = refusal([*before.split(), word], kind)
    assert problem.path.endswith(path)
    assert told in problem.message
    assert problem.origin == f"{word} (command line)"
    blueprint([*before.split(), *shlex.split(problem.fix)])


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(("word", "kind", "path", "told"), IMAGES)
def test_a_wrong_convolution_is_refused_with_a_line_that_works(word, kind, path, told):
    problem = refusal(["model/encoder=cnn", f"model.encoder.{word}"], kind, IMAGE)
    assert problem.path == f"model.encoder.{path}"
    assert told in problem.message
    assert problem.origin == f"model.encoder.{word} (command line)"
    blueprint(["model/encoder=cnn", *shlex.split(problem.fix)], IMAGE)


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(("word", "path", "told"), WITHOUT_A_LINE)
def test_an_option_of_what_the_space_rules_out_names_its_owner(word, path, told):
    problem = refusal([word], COMPOSITION)
    assert problem.path == path
    assert told in problem.message
    assert problem.valid or problem.fix == f"'~{path}'"


NESTED = spaces.Dict(
    image=IMAGE,
    many=spaces.Sequence(spaces.Dict(kind=TWO)),
    cam=spaces.Dict(left=IMAGE),
)
KEYS = spaces.Dict({"a.b": TWO, "c d": TWO})
INSIDE = [
    # what is observed, the words, the line; it replaces the last of them
    (NESTED, "model.encoder.image=impala_cnn", "model.encoder.children.image=impala_cnn"),
    (
        NESTED,
        "model/encoder=dict model.encoder.image=impala_cnn",
        "model.encoder.children.image=impala_cnn",
    ),
    (
        NESTED,
        "model.encoder.children.cam.left=impala_cnn",
        "model.encoder.children.cam.children.left=impala_cnn",
    ),
    (
        NESTED,
        "model.encoder.children.many.element.children.kind=embedding",
        "model.encoder.children.many.children.element.children.kind=embedding",
    ),
    (KEYS, "model.encoder.children={a.b:cnn}", "model.encoder.children='{a.b:one_hot}'"),
    (
        KEYS,
        "model.encoder.children={a.b:{hiden:[3]}}",
        "model.encoder.children='{a.b:{hidden:[3]}}'",
    ),
    (KEYS, "model.encoder.children.a=embedding", "model.encoder.children='{a.b:{type:embedding}}'"),
]


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(("observation", "words", "line"), INSIDE)
def test_a_child_has_a_line_that_reaches_it(observation, words, line):
    *before, _ = words.split()
    with pytest.raises(ComposerError) as raised:
        blueprint(words.split(), observation)
    (problem,) = raised.value.problems
    assert problem.fix == line
    blueprint([*before, *shlex.split(line)], observation)


@pytest.mark.usefixtures("nothing_is_built")
def test_an_option_of_another_part_says_which_word_its_line_replaces():
    with pytest.raises(ComposerError) as raised:
        blueprint(["model/encoder=flatten", "model.encoder.children.image=cnn"], NESTED)
    (problem,) = raised.value.problems
    line, _, place = problem.fix.partition("   ")
    assert (line, place) == ("model.encoder=dict", "in place of `model/encoder=flatten`")
    blueprint([line, "model.encoder.children.image=cnn"], NESTED)


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize("widths", ["[16,32]", "[16,32,64]", "[32]"])
def test_a_flat_list_of_widths_is_a_convolution_each(widths):
    odd = spaces.Box(0, 255, (31, 97, 3), np.uint8)
    fix = refusal([f"model.encoder.filters={widths}"], SCHEMA, odd).fix
    assert fix.startswith("model.encoder.filters='[[")
    assert fix.count("3,1,same") == widths.count(",") + 1
    blueprint(shlex.split(fix), odd)


CALLS = [
    (lambda: compose(VECTOR, TWO, [1, 2]), ConfigError, "expected the name of a model"),
    (lambda: compose(VECTOR, TWO, "big"), ConfigError, "there is no model `big`"),
    (lambda: compose(VECTOR, TWO, {1: 2}), ConfigError, "a key should be text"),
    (lambda: compose(VECTOR, TWO, algorithm="poo"), ConfigError, "there is no algorithm `poo`"),
    (lambda: compose(VECTOR, TWO, catalog=3), CompositionError, "it must be a composer.Catalog"),
    (lambda: compose(VECTOR, TWO, catalog={}), CompositionError, "it must be a composer.Catalog"),
    (lambda: compose(VECTOR, None), CompositionError, "the action space is None"),
    (lambda: compose(spaces.Dict(), TWO), CompositionError, r"Dict\(\) has no parts"),
    (lambda: compose(spaces.Box(0, 1, (0,)), TWO), CompositionError, "has no elements"),
    (lambda: Catalog({"observatoin": {}}), ConfigError, "did you mean `observation`"),
    (lambda: ModelConfig(encodr="mlp"), ConfigError, "did you mean `encoder`"),
    (lambda: PPOConfig(lr=-1.0), ConfigError, "greater than 0"),
    (lambda: RLModuleSpec("PPO", VECTOR, TWO).build(), ModuleError, "a subclass of RLModule"),
]


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(("call", "kind", "told"), CALLS)
def test_a_wrong_argument_in_python_is_refused_without_an_origin(call, kind, told):
    with pytest.raises(kind, match=told) as raised:
        call()
    assert {problem.origin for problem in raised.value.problems} == {None}


@pytest.mark.parametrize("other", [{"trunks": {}}, {"encoder": {"hidden": [8, 8]}}, "garbage"])
def test_a_state_that_does_not_fit_loads_nothing(other):
    module = compose(VECTOR, TWO, algorithm="ppo").build()
    before = module.get_state()
    state = {"garbage": torch.zeros(1)}
    if other != "garbage":
        state = compose(VECTOR, TWO, other, "ppo").build().get_state()
    with pytest.raises(ModuleError, match="the state does not fit this module"):
        module.set_state(state)
    for name, tensor in module.get_state().items():
        assert torch.equal(tensor, before[name])


def places(data, loc=()):
    """Every place of nested mappings and lists but the top."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield (*loc, key)
        if isinstance(value, dict | list):
            yield from places(value, (*loc, key))


@pytest.mark.parametrize("value", [None, -1, 10**30, 0.5, "x", [], [[1]], {}, {1: 2}], ids=repr)
def test_whatever_stands_anywhere_in_an_experiment_is_taken_or_refused_in_our_words(value):
    data = Experiment.load(["model=separate", "model.encoder.hidden=[4]"]).loaded.data
    refusals = []
    for loc in places(data):
        try:
            Experiment.from_data(replaced(data, loc, value)).blueprint.to_json()
        except ComposerError as error:
            refusals.append(str(error))
    assert all(refusals)
