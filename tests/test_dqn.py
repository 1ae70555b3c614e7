import numpy as np
import pytest
import torch
from experiments import experiment, trainer_of
from gymnasium import spaces
from torch import nn

from composer import compose
from composer.algorithms.base import AlgorithmConfig
from composer.algorithms.dqn import DQN, DQNConfig, move_targets, projected
from composer.apis import QNetAPI, TargetNetworkAPI
from composer.columns import Columns
from composer.errors import CompositionError, ConfigError, ContractError
from composer.module.rl_module import RLModule
from composer.optimisers._schedule import Elapsed

STATES = 3
GAMMA = 0.5


class Table(RLModule, QNetAPI, TargetNetworkAPI):
    """A value for each of three states and each action."""

    def setup(self):
        self.q = nn.Parameter(torch.zeros(STATES, 5))
        self.target_q = nn.Parameter(torch.zeros(STATES, 5), requires_grad=False)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.q[batch[Columns.OBS]]}

    def compute_q_values(self, batch):
        return {Columns.QF_PREDS: self.q[batch[Columns.OBS]]}

    def make_target_networks(self):
        self.target_q.data.copy_(self.q)

    def get_target_network_pairs(self):
        return []

    def forward_target(self, batch):
        return {Columns.QF_PREDS: self.target_q[batch[Columns.OBS]]}


def learner(online, target, action_space, **settings):
    """DQN on tables of values, `(3, n)`."""
    module = Table(observation_space=spaces.Discrete(STATES), action_space=action_space)
    algorithm = DQN(DQNConfig(**settings), module, torch.Generator())
    module.q = nn.Parameter(torch.tensor(online))
    module.target_q = nn.Parameter(torch.tensor(target), requires_grad=False)
    return algorithm


def transition(obs, action, reward, next_obs, **columns):
    """A batch of one."""
    return {
        Columns.OBS: torch.tensor([obs]),
        Columns.ACTIONS: torch.tensor([action]),
        Columns.REWARDS: torch.tensor([reward]),
        Columns.NEXT_OBS: torch.tensor([next_obs]),
        Columns.TERMINATEDS: torch.tensor([False]),
        Columns.DISCOUNTS: torch.tensor([GAMMA]),
        Columns.WEIGHTS: torch.ones(1),
        **columns,
    }


ONLINE = [[1.0, 2.0], [3.0, 5.0], [0.0, 0.0]]
TARGET = [[0.0, 0.0], [7.0, 4.0], [0.0, 0.0]]
TWO = spaces.Discrete(2)


def loss_of(algorithm, batch):
    loss, (q, goal, error) = algorithm.loss(batch)
    return float(loss.detach()), float(q), float(goal), float(error)


# --- the target and the loss


@pytest.mark.parametrize(
    ("double", "goal"),
    [
        (True, 1.5 + GAMMA * 4.0),  # the online network likes action 1 best, worth 4 to the target
        (False, 1.5 + GAMMA * 7.0),
    ],
)
def test_the_next_action_is_chosen_by_the_online_network_where_it_is_double(double, goal):
    algorithm = learner(ONLINE, TARGET, TWO, double=double, loss="mse")
    error = goal - 2.0
    batch = transition(0, 1, 1.5, 1)
    assert loss_of(algorithm, batch) == pytest.approx((error**2, 2.0, goal, error))
    assert algorithm.errors.tolist() == pytest.approx([error])


def test_huber_is_linear_beyond_an_error_of_one():
    algorithm = learner(ONLINE, TARGET, TWO, loss="huber")
    assert loss_of(algorithm, transition(0, 1, 1.5, 1))[0] == pytest.approx(1.5 - 0.5)
    assert loss_of(algorithm, transition(0, 1, 0.5, 1))[0] == pytest.approx(0.5**2 / 2)


def test_termination_cuts_the_bootstrap():
    batch = transition(0, 1, 1.5, 1, terminateds=torch.tensor([True]))
    assert loss_of(learner(ONLINE, TARGET, TWO), batch)[2] == 1.5


def test_an_n_step_return_bootstraps_with_the_discount_of_its_own_steps():
    batch = transition(0, 1, 1.5, 1, discounts=torch.tensor([GAMMA**3]))
    assert loss_of(learner(ONLINE, TARGET, TWO), batch)[2] == 1.5 + GAMMA**3 * 4


def test_a_masked_action_is_no_next_action():
    batch = transition(0, 1, 1.5, 1, next_action_mask=torch.tensor([[1, 0]], dtype=torch.int8))
    assert loss_of(learner(ONLINE, TARGET, TWO), batch)[2] == 1.5 + GAMMA * 7


def test_importance_weighs_each_transition():
    one, other = transition(0, 1, 1.5, 1), transition(0, 0, 0.0, 2)
    batch = {name: torch.cat([one[name], other[name]]) for name in one}
    algorithm = learner(ONLINE, TARGET, TWO, loss="mse")
    batch["weights"] = torch.tensor([1.0, 0.5])
    assert loss_of(algorithm, batch)[0] == pytest.approx((1.5**2 + 0.5 * 1.0**2) / 2)
    assert algorithm.errors.tolist() == [1.5, 1.0]


def test_a_multi_discrete_has_a_branch_for_each_component_and_one_target():
    # Tavakoli et al., equation 5: the mean over branches of what the target thinks of the best.
    online = [[1.0, 2.0, 4.0, 5.0, 6.0], [3.0, 5.0, 0.0, 9.0, 1.0], [0.0] * 5]
    target = [[0.0] * 5, [7.0, 4.0, 1.0, 2.0, 3.0], [0.0] * 5]
    algorithm = learner(online, target, spaces.MultiDiscrete([2, 3]), loss="mse")
    goal = 1.0 + GAMMA * (4.0 + 2.0) / 2
    loss, q, told, error = loss_of(algorithm, transition(0, [1, 2], 1.0, 1))
    assert (q, told) == ((2.0 + 6.0) / 2, goal)
    assert loss == pytest.approx(((goal - 2) ** 2 + (goal - 6) ** 2) / 2)
    assert error == pytest.approx((abs(goal - 2) + abs(goal - 6)) / 2)


# --- distributions of the return

ATOMS = torch.tensor([0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0, 2.0], [0.2, 0.5, 0.3]),
        ([0.25, 1.25, 2.25], [0.15, 0.05 + 0.375, 0.125 + 0.3]),  # each moves by a quarter
        ([9.0, 9.0, 9.0], [0.0, 0.0, 1.0]),
        ([-9.0, 1.5, 1.5], [0.2, 0.4, 0.4]),
    ],
)
def test_probability_goes_to_the_atoms_beside_a_value(values, expected):
    probs = torch.tensor([0.2, 0.5, 0.3])
    torch.testing.assert_close(
        projected(torch.tensor(values), probs, ATOMS), torch.tensor(expected)
    )


def test_the_distributional_loss_is_the_cross_entropy_to_the_projected_target():
    blueprint = compose(
        spaces.Box(-1, 1, (2,)),
        TWO,
        algorithm={"type": "dqn", "num_atoms": 3, "v_min": 0.0, "v_max": 2.0, "dueling": False},
    )
    module = blueprint.build()
    algorithm = DQN(AlgorithmConfig.parse({"type": "dqn"}, "algorithm"), module, torch.Generator())
    for network in (module.q, module.target["q"]):
        for parameter in network.parameters():
            parameter.data.zero_()
    online, target = (
        network.advantages[-1].bias.data for network in (module.q, module.target["q"])
    )
    online.copy_(torch.tensor([0.0, 0.0, 0.0, 0.2, 0.5, 0.3]).clamp(min=1e-9).log())
    target.copy_(torch.tensor([1.0, 1.0, 1.0, 0.2, 0.5, 0.3]).log())
    batch = transition([0.0, 0.0], 1, 1.0, [0.0, 0.0])
    # The best action is the second, by its mean; its values 0, 1, 2 become 1, 1.5 and 2.
    projection = torch.tensor([0.0, 0.2 + 0.25, 0.25 + 0.3])
    expected = -(projection * torch.tensor([0.2, 0.5, 0.3]).log()).sum()
    assert loss_of(algorithm, batch)[:2] == pytest.approx((float(expected), 0.5 + 0.6))
    assert algorithm.errors.tolist() == pytest.approx([float(expected)])


# --- the head


def test_a_dueling_head_adds_the_advantage_less_its_mean_to_the_value():
    head = dueling(spaces.Discrete(3), value=[10.0], advantages=[1.0, 2.0, 6.0])
    assert head(torch.zeros(4)).tolist() == [8.0, 9.0, 13.0]


def test_each_branch_duels_alone():
    head = dueling(spaces.MultiDiscrete([2, 2]), value=[10.0, 20.0], advantages=[1.0, 3.0, 0, 8])
    assert head(torch.zeros(4)).tolist() == [9.0, 11.0, 16.0, 24.0]


def test_the_advantages_alone_are_those_less_their_mean():
    module = compose(spaces.Box(-1, 1, (4,)), spaces.MultiDiscrete([2, 2]), algorithm="dqn").build()
    batch = {Columns.OBS: torch.randn(5, 4)}
    q = module.compute_q_values(batch)[Columns.QF_PREDS].unflatten(-1, (2, 2))
    advantages = module.compute_advantage_distribution(batch)[Columns.QF_PREDS].unflatten(
        -1, (2, 2)
    )
    torch.testing.assert_close(advantages, q - q.mean(-1, keepdim=True))


def test_without_a_stream_of_values_the_advantages_are_the_values():
    algorithm = {"type": "dqn", "dueling": False, "num_atoms": 3}
    module = compose(spaces.Box(-1, 1, (4,)), spaces.Discrete(2), algorithm=algorithm).build()
    batch = {Columns.OBS: torch.randn(5, 4)}
    given, expected = module.compute_advantage_distribution(batch), module.compute_q_values(batch)
    assert given.keys() == expected.keys() == {Columns.QF_PREDS, "atoms", "qf_logits", "qf_probs"}
    assert all(torch.equal(given[name], expected[name]) for name in given)


def dueling(action_space, value, advantages):
    module = compose(spaces.Box(-1, 1, (4,)), action_space, algorithm="dqn").build()
    for parameter in module.q.parameters():
        parameter.data.zero_()
    module.q.values[-1].bias.data = torch.tensor(value)
    module.q.advantages[-1].bias.data = torch.tensor(advantages)
    return lambda features: module.q(torch.zeros(module.q.advantages[-1].in_features))


def test_actions_are_those_of_the_highest_value_and_masked_ones_never():
    blueprint = compose(spaces.Box(-1, 1, (4,)), spaces.Discrete(5, start=7), algorithm="dqn")
    module, obs = blueprint.build(), torch.randn(6, 4)
    values = module.compute_q_values({Columns.OBS: obs})[Columns.QF_PREDS]
    step = module.act(obs)
    assert step.actions.tolist() == values.argmax(-1).tolist()
    assert step.env_actions.tolist() == (values.argmax(-1) + 7).tolist()
    mask = torch.nn.functional.one_hot(values.argmin(-1), 5).to(torch.int8)
    assert module.act(obs, action_mask=mask).actions.tolist() == values.argmin(-1).tolist()


# --- targets


def targeted(**model):
    return compose(spaces.Box(-1, 1, (4,)), TWO, model or None, "dqn").build()


def values_of(module, obs):
    online = module.compute_q_values({Columns.OBS: obs})[Columns.QF_PREDS]
    return online, module.forward_target({Columns.OBS: obs})[Columns.QF_PREDS]


def test_targets_equal_what_they_copy_until_it_moves_and_are_never_trained():
    module, obs = targeted(), torch.randn(3, 4)
    online, target = values_of(module, obs)
    assert torch.equal(online, target)
    for network, _ in module.get_target_network_pairs():
        for parameter in network.parameters():
            parameter.data.add_(1.0)
    online, moved = values_of(module, obs)
    assert torch.equal(target, moved)
    assert not torch.equal(online, moved)
    assert not any(
        p.requires_grad for _, copy in module.get_target_network_pairs() for p in copy.parameters()
    )
    trainable = {id(p) for p in module.parameters() if p.requires_grad}
    optimised = DQN(DQNConfig(), module, torch.Generator()).optimiser.live
    assert {id(p) for p in optimised} == trainable


@pytest.mark.parametrize("tau", [0.25, 1.0])
def test_targets_move_by_tau(tau):
    module = targeted()
    network, target = module.get_target_network_pairs()[0]
    (own, *_), (new, *_) = list(target.parameters()), list(network.parameters())
    new.data, own.data = torch.full_like(new, 4.0), torch.full_like(own, 2.0)
    move_targets(module, tau)
    torch.testing.assert_close(own, torch.full_like(own, 2.0 + tau * 2.0))


def flat(network):
    return nn.utils.parameters_to_vector(network.parameters()).detach().clone()


def test_targets_move_before_the_rollout_after_as_many_updates_as_are_said():
    algorithm, module = explorer(target_update_every=3)
    network, target = module.get_target_network_pairs()[-1]
    batch = transition([1.0, 2.0, 3.0, 4.0], 0, 1.0, [2.0, 3.0, 4.0, 5.0])
    copied_at = {2: 0, 4: 0, 6: 4, 8: 6, 10: 6, 12: 10}  # by updates, two of each rollout
    weights = {0: flat(network)}
    for updates, source in copied_at.items():
        algorithm.at(Elapsed())
        for _ in range(2):
            algorithm.update(batch)
            assert torch.equal(flat(target), weights[source]), updates
        weights[updates] = flat(network)


def test_moves_that_are_due_together_are_made_together():
    algorithm, module = explorer(tau=0.5, target_update_every=2)
    network, target = module.get_target_network_pairs()[-1]
    start = flat(target)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 1.0
    algorithm.updates = 7
    algorithm.at(Elapsed())
    torch.testing.assert_close(flat(target), start + 1.0 - 0.5**3)
    algorithm.at(Elapsed())
    torch.testing.assert_close(flat(target), start + 1.0 - 0.5**3)


def test_a_running_norm_is_shared_with_the_target():
    module = targeted(encoder={"norm": "running"})
    module.observe(torch.randn(64, 4) * 5 + 3)
    online, target = values_of(module, torch.randn(3, 4))
    assert torch.equal(online, target)


def test_an_inference_only_module_has_no_targets_and_acts_as_the_whole_one():
    blueprint = compose(spaces.Box(-1, 1, (4,)), TWO, algorithm="dqn")
    whole, acting = blueprint.build(), blueprint.build(inference_only=True)
    obs = torch.randn(8, 4)
    assert torch.equal(
        whole.act(obs, deterministic=True).actions, acting.act(obs, deterministic=True).actions
    )
    assert not hasattr(acting, "target")
    assert not acting.offers(TargetNetworkAPI)
    acting.set_state(whole.get_state(inference_only=True))


# --- exploration


def explorer(action_space=TWO, **settings):
    config = DQNConfig(**settings)
    module = compose(spaces.Box(-1, 1, (4,)), action_space, algorithm=config).build()
    return config.build(module, torch.Generator().manual_seed(0)), module


def explored(algorithm, module, count=4000, mask=None, env_steps=0):
    step = module.act(torch.zeros(count, 4), action_mask=mask)
    generator = torch.Generator().manual_seed(1)
    return step, algorithm.explore(step, mask, env_steps, generator)


def test_epsilon_falls_in_a_line_once_learning_starts():
    config = DQNConfig(learning_starts=100, epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=400)
    found = [config.epsilon(steps) for steps in (0, 99, 100, 300, 500, 9999)]
    assert found == pytest.approx([1.0, 1.0, 0.9, 0.5, 0.1, 0.1])


def test_epsilon_is_the_share_of_random_actions():
    algorithm, module = explorer(spaces.Discrete(4), learning_starts=0, epsilon_start=0.4)
    best, step = explored(algorithm, module)
    other = (step.actions != best.actions).float().mean()
    assert float(other) == pytest.approx(0.4 * 3 / 4, abs=0.03)
    counts = torch.bincount(step.actions[step.actions != best.actions], minlength=4)
    assert (counts.sort().values[1:] / counts.sum()).tolist() == pytest.approx(
        [1 / 3] * 3, abs=0.05
    )


def test_random_actions_are_allowed_ones():
    algorithm, module = explorer(spaces.Discrete(4, start=2), learning_starts=10**6)
    mask = torch.tensor([[0, 1, 0, 1]], dtype=torch.int8).expand(4000, 4)
    _, step = explored(algorithm, module, mask=mask)
    counts = torch.bincount(step.actions, minlength=4) / 4000
    assert counts.tolist() == pytest.approx([0, 0.5, 0, 0.5], abs=0.03)
    assert np.array_equal(step.env_actions, step.actions + 2)


# --- noise


def noisy_module():
    algorithm = {"type": "dqn", "noisy": True, "dueling": False}
    return compose(spaces.Box(-1, 1, (4,)), TWO, algorithm=algorithm).build()


def test_noisy_weights_are_drawn_for_each_environment_and_left_out_of_inference():
    module, obs = noisy_module(), torch.ones(3, 4)
    module.resample_noise(0, 3, torch.Generator().manual_seed(0))
    rows = module.forward_exploration({Columns.OBS: obs})[Columns.QF_PREDS]
    assert len({tuple(row) for row in rows.tolist()}) == 3
    again = module.forward_exploration({Columns.OBS: obs})[Columns.QF_PREDS]
    assert torch.equal(rows, again)
    calm = module.forward_inference({Columns.OBS: obs})[Columns.QF_PREDS]
    assert len({tuple(row) for row in calm.tolist()}) == 1


def test_noise_is_that_of_factorised_gaussians():
    module = noisy_module()
    layer = module.q.advantages[-1]
    width = layer.weight.shape[1]
    layer.weight.data.zero_()
    layer.bias.data.zero_()
    module.resample_noise(0, 20_000, torch.Generator().manual_seed(0))
    out = layer(torch.ones(20_000, width), True)
    # Fortunato et al., equations 10 and 11. Of means 0 and inputs 1, with σ = 0.5/√p everywhere,
    # the output is σ f(ε_out) (Σ f(ε_in) + 1), and E f(ε)² = E|ε| = √(2/π).
    mean_square = (2 / np.pi) ** 0.5
    expected = mean_square * (0.5**2 / width) * (width * mean_square + 1)
    assert float(out.detach().square().mean()) == pytest.approx(expected, rel=0.05)


def test_an_update_draws_the_noise_of_both_networks_and_trains_its_scale():
    algorithm = DQN(DQNConfig(noisy=True), noisy_module(), torch.Generator().manual_seed(0))
    batch = transition([0.1] * 4, 0, 1.0, [0.2] * 4)
    sigma = algorithm.module.q.advantages[-1].weight_sigma
    before = sigma.detach().clone()
    algorithm.update(batch)
    first = algorithm.module.q.advantages[-1].inner.clone()
    assert not torch.equal(first, algorithm.module.target["q"].advantages[-1].inner)
    algorithm.update(batch)
    assert not torch.equal(first, algorithm.module.q.advantages[-1].inner)
    assert not torch.equal(before, sigma)


# --- what cannot be


@pytest.mark.parametrize(
    "action_space", [spaces.Box(-1, 1, (2,)), spaces.MultiBinary(3), spaces.Tuple([TWO, TWO])]
)
def test_a_space_whose_actions_cannot_be_counted_is_refused_with_what_can(action_space):
    with pytest.raises(CompositionError) as caught:
        compose(spaces.Box(-1, 1, (4,)), action_space, algorithm="dqn")
    (problem,) = caught.value.problems
    assert problem.message.startswith("dqn values every action it could take")
    assert (problem.path, problem.value) == ("algorithm", "dqn")
    assert "ppo" in problem.valid


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"replay": {"capacity": 20}, "batch_size": 32},
            "a replay of 20 steps is smaller than a batch of 32",
        ),
        ({"replay": {"capacity": 100}, "n_step": 60}, "returns of 60 steps need 62"),
    ],
)
def test_a_replay_that_holds_too_little_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        experiment("Counter", algorithm={"type": "dqn", **settings})


def test_a_module_without_targets_is_refused_with_the_methods_to_paste():
    class Bare(RLModule, QNetAPI):
        def _forward(self, batch, **kwargs):
            return {}

        def compute_q_values(self, batch):
            return {}

    with pytest.raises(ContractError, match=r"(?s)TargetNetworkAPI.*def make_target_networks"):
        DQNConfig().require(Bare)


# --- training


ALL = {
    "n_step": 3,
    "replay": {"capacity": 200, "prioritised": {}},
    "num_atoms": 11,
    "noisy": True,
    "lr_schedule": "linear",
}


@pytest.mark.parametrize("settings", [{}, ALL], ids=["plain", "all"])
def test_a_new_trainer_goes_on_from_a_checkpoint_as_the_old_one_does(tmp_path, settings):
    small = {"type": "dqn", "learning_starts": 8, "batch_size": 8, "target_update_every": 5}
    wanted = experiment("Counter", algorithm=small | settings, total_steps=400)
    with trainer_of(wanted) as trainer:
        for _ in range(30):
            trainer.step()
        trainer.save(tmp_path / "saved")
        trainer.restore(tmp_path / "saved")
        expected = [trainer.step().metrics for _ in range(30)]
        weights = torch.cat([p.detach().flatten() for p in trainer.module.parameters()])
    with trainer_of(wanted) as other:
        other.restore(tmp_path / "saved")
        assert [other.step().metrics for _ in range(30)] == expected
        again = torch.cat([p.detach().flatten() for p in other.module.parameters()])
    assert torch.equal(weights, again)


# --- what is told of it


def test_the_parameters_are_those_of_rllib_and_the_copies_are_told_apart():
    box = spaces.Box(-1, 1, (4,))
    blueprint = compose(box, TWO, {"encoder": {"hidden": [256, 256]}}, "dqn")
    explanation = blueprint.explain()
    assert blueprint.parameter_count == 67_843
    assert "slower copies of main, q: 67,843 parameters more" in explanation
    assert sum(p.numel() for p in blueprint.build().parameters()) == 135_686
