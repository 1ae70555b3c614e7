import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Columns, compose
from composer.apis import ContinuousQAPI
from composer.heads._ensemble import ensemble, of_first
from composer.heads.continuous_q import ContinuousQHeadConfig
from composer.heads.q import QHeadConfig

POINT = spaces.Box(-1.0, 1.0, (3,))
HAND = spaces.Box(-1.0, 1.0, (2,))
BOTH = spaces.Dict(arm=spaces.MultiDiscrete([2, 3]), hand=HAND)


def stacks(config, members, seed=0):
    torch.manual_seed(seed)
    return [config.layers(4, 2) for _ in range(members)]


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("lead", [(), (5,), (2, 5)])
def test_critics_side_by_side_compute_what_each_does_alone(layer_norm, lead):
    members = stacks(ContinuousQHeadConfig(hidden=(8, 8), layer_norm=layer_norm), 3)
    for layer in (layer for member in members for layer in member):
        if isinstance(layer, nn.LayerNorm):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    x = torch.randn(*lead, 4)
    alone = torch.stack([member(x) for member in members])
    together = ensemble(members)
    torch.testing.assert_close(together(x), alone)
    torch.testing.assert_close(of_first(together, x), alone[0])


def test_each_critic_is_initialised_as_if_on_its_own():
    config = ContinuousQHeadConfig(hidden=(8,), n_critics=2)
    torch.manual_seed(0)
    weights = config.build(4, 1).critics[1].weight
    first, second = stacks(config, 2)
    assert weights.shape == (2, 4, 8)
    for weight, layer in zip(weights, (first[0], second[0]), strict=True):
        # Orthogonal, gain √2: the columns of the transposed kernel are perpendicular.
        torch.testing.assert_close(weight @ weight.t(), 2 * torch.eye(4), atol=1e-5, rtol=0)
        assert layer.weight.shape == (8, 4)
    assert not torch.equal(weights[0], weights[1])


def test_one_critics_loss_trains_no_other():
    head = ContinuousQHeadConfig(hidden=(8,), n_critics=2).build(4, 1)
    head(torch.randn(5, 4))[0].sum().backward()
    for parameter in head.parameters():
        assert parameter.grad[0].abs().sum() > 0
        assert parameter.grad[1].abs().sum() == 0


@pytest.mark.parametrize(
    ("action_space", "fields", "shape"),
    [
        (HAND, {}, (2, 5)),
        (HAND, {"n_critics": 1}, (1, 5)),
        (HAND, {"n_critics": 3, "n_quantiles": 7}, (3, 5, 7)),
        (BOTH, {}, (2, 5, 5)),
    ],
)
def test_values_have_an_axis_of_critics_and_one_of_choices_or_quantiles(
    action_space, fields, shape
):
    model = {"heads": {"continuous_q": fields}}
    module = compose(POINT, action_space, model=model, algorithm="sac").build()
    assert isinstance(module, ContinuousQAPI)
    batch = {Columns.OBS: torch.randn(5, 3), Columns.ACTIONS: torch.randn(5, 2)}
    assert module.compute_action_values(batch)[Columns.QF_PREDS].shape == shape
    assert module.forward_target(batch)[Columns.QF_PREDS].shape == shape


def test_a_head_of_given_actions_does_not_run_where_none_are_given():
    module = compose(POINT, HAND, algorithm="td3").build()
    obs = torch.randn(5, 3)
    for phase in (module.forward_train, module.forward_exploration, module.forward_inference):
        assert Columns.QF_PREDS not in phase({Columns.OBS: obs})
    assert list(module.forward_target({Columns.OBS: obs})) == [Columns.ACTION_DIST_INPUTS]


def test_actions_reach_the_head_as_they_are_given():
    module = compose(POINT, HAND, algorithm="td3").build()
    module.eval()
    obs, actions = torch.randn(5, 3), torch.randn(5, 2, requires_grad=True)
    batch = {Columns.OBS: obs, Columns.ACTIONS: actions}
    values = module.compute_action_values(batch)[Columns.QF_PREDS]
    torch.testing.assert_close(values, module.continuous_q(torch.cat([obs, actions], -1)))
    values.sum().backward()
    assert actions.grad.abs().sum() > 0


def test_the_blueprint_says_that_actions_are_read():
    node = compose(POINT, HAND, algorithm="sac").by_name["continuous_q"]
    assert node.inputs == ("critic.encoder", Columns.ACTIONS)
    assert node.in_dim == 3 + 2


def test_the_actions_that_it_reads_are_not_copied():
    assert compose(POINT, HAND, algorithm="sac").copied == ("critic", "continuous_q")


@pytest.mark.parametrize("fields", [{}, {"dueling": True}, {"num_atoms": 11}])
def test_twin_q_heads_have_an_axis_of_critics(fields):
    config = QHeadConfig(n_critics=2, hidden=(8,), **fields).resolve(spaces.Discrete(3))
    out = config.build(4, 3).q_values(torch.randn(5, 4))
    assert out[Columns.QF_PREDS].shape == (2, 5, 3)
    assert not torch.equal(*out[Columns.QF_PREDS])
