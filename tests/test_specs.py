import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Catalog, Columns, ModelConfig, RLModule, RLModuleSpec, compose
from composer.algorithms.ppo import PPOConfig
from composer.apis import PolicyAPI, ValueFunctionAPI
from composer.errors import ConfigError, ContractError, ModuleError

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
TWO = spaces.Discrete(2)


class Mine(RLModule):
    def setup(self):
        self.policy = nn.Linear(4, 2)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(batch[Columns.OBS])}


def test_a_spec_builds_a_hand_written_module_with_what_it_says():
    catalog = Catalog({})
    module = RLModuleSpec(
        module_class=Mine,
        observation_space=VECTOR,
        action_space=TWO,
        model_config={"a": 1},
        catalog=catalog,
        inference_only=True,
    ).build()
    assert type(module) is Mine
    assert (module.observation_space, module.action_space) == (VECTOR, TWO)
    assert module.model_config == {"a": 1}
    assert module.catalog is catalog
    assert (module.inference_only, module.learner_only) == (True, False)


def test_a_spec_and_the_constructor_build_the_same():
    torch.manual_seed(0)
    by_spec = RLModuleSpec(module_class=Mine, observation_space=VECTOR, action_space=TWO).build()
    torch.manual_seed(0)
    by_hand = Mine(observation_space=VECTOR, action_space=TWO)
    assert torch.equal(by_spec.policy.weight, by_hand.policy.weight)


def test_a_hand_written_module_gets_a_model_as_plain_data():
    model = ModelConfig.parse({"encoder": {"hidden": [8]}})
    module = RLModuleSpec(Mine, VECTOR, TWO, model_config=model).build()
    assert module.model_config["encoder"] == {"type": "auto", "hidden": [8]}


def test_without_a_class_the_module_is_composed():
    model = {"encoder": {"hidden": [8]}}
    spec = RLModuleSpec(
        observation_space=VECTOR, action_space=TWO, model_config=model, algorithm="ppo"
    )
    module, expected = spec.build(), compose(VECTOR, TWO, model, "ppo").build()
    assert module.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(module.state_dict()[name], tensor)


def test_a_composed_module_may_be_for_learning_or_acting_only():
    spec = RLModuleSpec(observation_space=VECTOR, action_space=TWO, algorithm="ppo")
    spec.learner_only = True
    assert spec.build().learner_only
    spec.learner_only, spec.inference_only = False, True
    assert not any(name.startswith("value") for name in spec.build().state_dict())


@pytest.mark.parametrize("space", ["observation_space", "action_space"])
def test_a_missing_space_is_named(space):
    spec = RLModuleSpec(Mine, VECTOR, TWO)
    setattr(spec, space, None)
    with pytest.raises(ModuleError, match=f"RLModuleSpec needs {space} before it can build"):
        spec.build()


def test_a_module_cannot_be_for_learning_and_acting_only():
    spec = RLModuleSpec(Mine, VECTOR, TWO, inference_only=True, learner_only=True)
    with pytest.raises(ModuleError, match="cannot be both inference_only and learner_only"):
        spec.build()


@pytest.mark.parametrize("wrong", [nn.Linear, "Mine", Mine(VECTOR, TWO)])
def test_a_class_that_is_no_module_is_refused(wrong):
    with pytest.raises(ModuleError, match="it must be a subclass of RLModule"):
        RLModuleSpec(wrong, VECTOR, TWO).build()


class Critic(RLModule):
    """Lacks nothing but the method."""

    def setup(self):
        self.encoder = nn.Linear(4, 3)
        self.policy = nn.Linear(3, 2)
        self.value = nn.Linear(3, 1)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(self.encoder(batch[Columns.OBS]))}


def lacking(module_class):
    with pytest.raises(ContractError) as raised:
        RLModuleSpec(module_class, VECTOR, TWO, algorithm="ppo").build()
    return raised.value.problems


def with_pasted(module_class, problem):
    """The class with what the problem says to add."""
    _, _, code = problem.message.partition("\n")
    names = {"Columns": Columns}
    exec(code, names)
    name = code.removeprefix("def ").partition("(")[0]
    return type(module_class.__name__, (module_class,), {name: names[name]})


def test_a_class_that_lacks_what_the_algorithm_requires_is_refused_with_a_method_that_works():
    (problem,) = lacking(Critic)
    assert problem.message.startswith(
        "ppo requires ValueFunctionAPI, which Critic lacks: "
        "add `compute_values(batch, embeddings=None) -> (*B,)`, for instance\n"
    )
    made = with_pasted(Critic, problem)
    module = RLModuleSpec(made, VECTOR, TWO, algorithm="ppo").build()
    obs = torch.zeros(5, 4)
    assert torch.equal(module.compute_values({Columns.OBS: obs}), module.act(obs).value)
    assert module.act(obs).value.shape == (5,)
    PPOConfig().build(module, torch.Generator())


def test_all_that_a_class_lacks_is_said_at_once_and_every_paste_works():
    class Layers(RLModule):
        setup = Critic.setup

    made = Layers
    for problem in lacking(Layers):
        made = with_pasted(made, problem)
    module = RLModuleSpec(made, VECTOR, TWO, algorithm="ppo").build()
    assert module.act(torch.zeros(4)).value.shape == ()


def test_a_method_left_abstract_is_lacking():
    class Promises(Critic, ValueFunctionAPI):
        pass

    (problem,) = lacking(Promises)
    assert problem.message.startswith("ppo requires ValueFunctionAPI, which Promises lacks")


def test_both_phases_are_as_good_as_one_forward():
    class Phases(RLModule):
        _forward_train = _forward_exploration = Critic._forward

    assert Phases.offers(PolicyAPI)
    assert not RLModule.offers(PolicyAPI)
    assert not type("Half", (RLModule,), {"_forward_train": Critic._forward}).offers(PolicyAPI)


def test_without_an_algorithm_nothing_is_required_of_a_class():
    assert isinstance(RLModuleSpec(Critic, VECTOR, TWO).build(), Critic)


def test_a_mistake_in_a_composed_model_has_its_path():
    spec = RLModuleSpec(None, VECTOR, TWO, model_config={"encodr": "mlp"})
    with pytest.raises(ConfigError, match=r"model.encodr = mlp"):
        spec.build()
