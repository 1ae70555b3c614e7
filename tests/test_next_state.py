"""The head `next_state`: what follows an action, or what the trunk makes of it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from composer import compose
from composer.columns import Columns

NUMBER = spaces.Box(0.0, 4.0, (1,), np.float32)
TWO = spaces.Discrete(2)


def built(actions=TWO, algorithm="ppo", observation=NUMBER, **head):
    model = {"encoder": {"type": "mlp", "hidden": []}, "trunks": {}}
    model["heads"] = {"next_state": {"hidden": [], "stop_gradient": ["main"], **head}}
    return compose(observation, actions, model, algorithm).build(seed=0)


def loss_of(module, batch):
    return module.compute_self_supervised_loss(batch, {})["next_state"]


def set_output(module, weight, bias):
    (output,) = module.next_state.predictor.outputs
    output.weight.data.copy_(torch.tensor(weight))
    output.bias.data.copy_(torch.tensor(bias))


def step(obs, actions, next_obs):
    columns = (Columns.OBS, Columns.ACTIONS, Columns.NEXT_OBS)
    return dict(zip(columns, map(torch.tensor, (obs, actions, next_obs)), strict=True))


def test_the_next_observation_is_predicted_from_features_and_action():
    module = built(weight=2.0)
    set_output(module, [[0.5, 0.0, 0.25]], [0.0])  # half the number, and 0.25 for the second arm
    batch = step([[1.0], [2.0]], [0, 1], [[2.0], [3.0]])  # next, scaled: 0.5 and 0.75
    expected = 2.0 * ((0.5 - 0.5) ** 2 + (1.25 - 0.75) ** 2) / 2
    assert loss_of(module, batch).item() == pytest.approx(expected)


def test_the_features_of_what_follows_can_be_predicted_instead():
    module = built(predict="features")
    set_output(module, [[0.5, 0.0, 0.25]], [0.0])
    batch = step([[1.0], [2.0]], [0, 1], [[2.0], [3.0]])  # the features are the number itself
    expected = ((0.5 - 2.0) ** 2 + (1.25 - 3.0) ** 2) / 2
    assert loss_of(module, batch).item() == pytest.approx(expected)


def test_predicted_features_are_not_trained_through():
    model = {"encoder": {"hidden": [3]}, "trunks": {}}
    model["heads"] = {"next_state": {"predict": "features"}}
    module = compose(NUMBER, TWO, model, "ppo").build(seed=0)
    batch = step([[0.0]], [0], [[2.0]])
    first = module.main.encoder.layers[0]
    first.bias.data.zero_()
    loss_of(module, batch).backward()
    assert not first.weight.grad.any()  # only the observation of 0 could have trained it
    assert first.bias.grad.any()


def test_actions_kept_before_a_tanh_are_read_behind_it():
    arm = spaces.Box(-3.0, 3.0, (1,), np.float32)
    module = built(arm, {"type": "sac"})
    set_output(module, [[0.0, 1.0]], [0.0])
    batch = step([[1.0]], [[0.5]], [[2.0]])
    assert loss_of(module, batch).item() == pytest.approx((np.tanh(0.5) - 0.5) ** 2)


def test_actions_beyond_their_bounds_are_read_as_the_environment_does():
    arm = spaces.Box(-3.0, 3.0, (1,), np.float32)
    module = built(arm)
    set_output(module, [[0.0, 1.0]], [0.0])
    batch = step([[1.0]], [[7.0]], [[2.0]])
    assert loss_of(module, batch).item() == pytest.approx((1.0 - 0.5) ** 2)


def test_actions_of_a_dict_are_read_part_by_part():
    both = spaces.Dict(arm=spaces.Box(-3.0, 3.0, (1,), np.float32), hand=TWO)
    module = built(both, {"type": "sac"})
    set_output(module, [[0.0, 1.0, 10.0, 20.0]], [0.0])
    batch = step([[1.0]], 0, [[2.0]])
    batch[Columns.ACTIONS] = {"arm": torch.tensor([[0.5]]), "hand": torch.tensor([1])}
    assert loss_of(module, batch).item() == pytest.approx((np.tanh(0.5) + 20 - 0.5) ** 2)


def test_ragged_observations_have_features_to_predict():
    module = compose(
        spaces.Text(4), TWO, {"heads": {"next_state": {"predict": "features"}}}, "ppo"
    ).build()
    text = {"values": torch.ones(2, 3, dtype=torch.int64), "lengths": torch.tensor([1, 3])}
    batch = {Columns.OBS: text, Columns.NEXT_OBS: text, Columns.ACTIONS: torch.tensor([0, 1])}
    assert loss_of(module, batch).isfinite()
