"""The head `curiosity`: its two models, what it pays, and what that is good for."""

import math

import numpy as np
import pytest
import torch
from experiments import experiment, trainer_of
from gymnasium import spaces

from composer import compose
from composer.columns import Columns

NUMBER = spaces.Box(-9.0, 9.0, (1,), np.float32)
TWO = spaces.Discrete(2)


def built(actions=TWO, **head):
    model = {"encoder": {"type": "mlp", "hidden": []}, "trunks": {}}
    model["heads"] = {"curiosity": {"hidden": [], **head}}
    return compose(NUMBER, actions, model, "ppo").build(seed=0)


def set_layer(layer, weight, bias):
    layer.weight.data.copy_(torch.tensor(weight))
    layer.bias.data.copy_(torch.tensor(bias))


def set_models(module):
    """The next number is 2 · φ and 1 more by the second arm; that arm has the logit φ' - φ."""
    (inverse,) = module.curiosity.inverse_model.outputs
    set_layer(inverse, [[0.0, 0.0], [-1.0, 1.0]], [0.0, 0.0])
    set_layer(module.curiosity.forward_model[-1], [[2.0, 0.0, 1.0]], [0.0])


BATCH = {
    Columns.OBS: torch.tensor([[1.0], [2.0]]),
    Columns.ACTIONS: torch.tensor([0, 1]),
    Columns.NEXT_OBS: torch.tensor([[4.0], [2.0]]),
}
# Predicted: 2 and 5, where 4 and 2 come: half the squared distances are 2 and 4.5.
SURPRISE = [2.0, 4.5]
# The second arm's logits are 3 and 0; the arms were the first and the second.
INVERSE = [math.log(1 + math.exp(3)), math.log(2)]


def test_the_reward_is_half_the_squared_distance_scaled():
    module = built(reward_scale=0.5)
    set_models(module)
    assert module.compute_intrinsic_rewards(BATCH).tolist() == [1.0, 2.25]


def test_the_loss_weighs_the_inverse_and_the_forward_model():
    module = built(weight=10.0, forward_weight=0.2)
    set_models(module)
    loss = module.compute_self_supervised_loss(BATCH, {})["curiosity"]
    expected = 10 * (0.8 * sum(INVERSE) / 2 + 0.2 * sum(SURPRISE) / 2)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_rewards_are_shaped_as_the_batch_is():
    module = built()
    batch = {name: leaf.expand(3, *leaf.shape) for name, leaf in BATCH.items()}
    assert module.compute_intrinsic_rewards(batch).shape == (3, 2)


def test_the_inverse_model_finds_real_actions():
    module = built(spaces.Box(-2.0, 2.0, (1,), np.float32), forward_weight=0.0)
    (inverse,) = module.curiosity.inverse_model.outputs
    set_layer(inverse, [[-1.0, 1.0]], [0.0])
    batch = BATCH | {Columns.ACTIONS: torch.tensor([[0.5], [-3.0]])}  # the second is clipped to -1
    loss = module.compute_self_supervised_loss(batch, {})["curiosity"]
    assert loss.item() == pytest.approx(((3 - 0.5) ** 2 + (0 + 1) ** 2) / 2)


def test_both_models_train_the_features():
    for forward_weight in (0.0, 1.0):
        model = {"trunks": {}, "heads": {"curiosity": {"forward_weight": forward_weight}}}
        module = compose(NUMBER, TWO, model, "ppo").build(seed=0)
        module.compute_self_supervised_loss(BATCH, {})["curiosity"].backward()
        assert all(p.grad.any() for p in module.main.parameters())


def test_two_that_are_curious_pay_together():
    heads = {"curiosity": {}, "other": {"type": "curiosity", "reads": "critic"}}
    both, one, other = (
        compose(NUMBER, TWO, {"trunks": {"critic": {}}, "heads": chosen}, "ppo").build(seed=0)
        for chosen in (heads, *({role: head} for role, head in heads.items()))
    )
    paid, first, second = (m.compute_intrinsic_rewards(BATCH) for m in (both, one, other))
    torch.testing.assert_close(paid, first + second)


def test_what_was_seen_often_pays_less():
    module = compose(NUMBER, TWO, {"heads": {"curiosity": {}}}, "ppo").build(seed=0)
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)
    before = module.compute_intrinsic_rewards(BATCH)
    for _ in range(100):
        optimiser.zero_grad()
        module.compute_self_supervised_loss(BATCH, {})["curiosity"].backward()
        optimiser.step()
    assert (module.compute_intrinsic_rewards(BATCH) < before / 10).all()


def opened(heads, trunks):
    """How often the lock is opened after learning from 10 000 steps, as a share of episodes."""
    learning = {"lr": 3e-3, "rollout_steps": 32, "epochs": 4, "num_minibatches": 4}
    wanted = experiment(
        {"id": "composer.testing:Lock-v0", "num_envs": 16},
        total_steps=10_000,
        algorithm=learning | {"gamma": 0.9, "entropy_coef": 0.01},
        model={"heads": heads, "trunks": trunks},
        evaluation={"every": 0, "episodes": 10, "num_envs": 10},
    )
    with trainer_of(wanted) as trainer:
        return trainer.train().evaluation.mean


def test_ppo_opens_the_lock_where_it_is_curious():
    curious = {"curiosity": {"reward_scale": 0.1}}
    assert opened(curious, {"critic": {}, "auxiliary": {}}) == 1.0


def test_ppo_alone_never_sees_the_lock_open():
    assert opened({}, {"critic": {}}) == 0.0
