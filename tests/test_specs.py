import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Catalog, Columns, ModelConfig, RLModule, RLModuleSpec, compose
from composer.errors import ConfigError, ModuleError

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


def test_a_mistake_in_a_composed_model_has_its_path():
    spec = RLModuleSpec(None, VECTOR, TWO, model_config={"encodr": "mlp"})
    with pytest.raises(ConfigError, match=r"model.encodr = mlp"):
        spec.build()
