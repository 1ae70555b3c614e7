import math

import numpy as np
import pytest
import torch
from actor_critics import GAMMA, learner, transition
from experiments import experiment, trainer_of
from gymnasium import spaces

from composer import compose
from composer.algorithms._sequences import now
from composer.algorithms.base import AlgorithmConfig
from composer.apis import ContinuousQAPI, QNetAPI
from composer.catalog.catalog import Catalog
from composer.columns import Columns
from composer.errors import CompositionError, ConfigError, ContractError
from composer.spaces import leaves

POINT = spaces.Box(-1.0, 1.0, (3,))
HAND = spaces.Box(-1.0, 1.0, (1,))
ARMS = spaces.Discrete(3)
BOTH = spaces.Dict(arm=spaces.Discrete(2), hand=HAND)
CERTAIN = -20.0
"""A log-std of which every sample is the mean, but for rounding."""


def sac(space, inputs, q, target_q, **settings):
    distribution = Catalog.default().distribution(space, algorithm="sac").config.bind(space)
    return learner(space, distribution, inputs, q, target_q, type="sac", **settings)


def goal_of(algorithm, batch, alpha):
    """Loss, goal and error of a batch of one."""
    loss, _, goal = algorithm.critic_loss(batch, torch.tensor(alpha))
    return float(loss.detach()), float(goal), float(algorithm.errors)


# --- goals


def test_the_goal_is_the_lower_critics_value_of_what_the_policy_would_do():
    after = math.tanh(0.5)
    algorithm = sac(
        HAND,
        inputs=[[0.0, 0.0], [0.5, CERTAIN], [0.0, 0.0]],
        q=[[[[2.0, 1.0]]] * 3, [[[4.0, 0.0]]] * 3],
        target_q=[[[[3.0, 0.0]]] * 3, [[[1.0, 0.5]]] * 3],
    )
    # Stored before the tanh: the critics see its tanh.
    batch = transition(torch.tensor([[1.0]]), reward=0.25)
    loss, goal, error = goal_of(algorithm, batch, [0.0])
    assert goal == pytest.approx(0.25 + GAMMA * min(3 * after, after + 0.5), abs=1e-5)
    first, second = 2 * math.tanh(1.0) + 1 - goal, 4 * math.tanh(1.0) - goal
    assert loss == pytest.approx((first**2 + second**2) / 2, abs=1e-4)
    assert error == pytest.approx((abs(first) + abs(second)) / 2, abs=1e-4)


def test_the_entropy_of_a_real_action_is_worth_alpha():
    inputs = [[0.0, 0.0], [0.3, -1.0], [0.0, 0.0]]
    algorithm = sac(HAND, inputs, [[[[0.0, 0.0]]] * 3], [[[[0.0, 0.0]]] * 3])
    state = algorithm.generator.get_state()
    _, goal, _ = goal_of(algorithm, transition(torch.zeros(1, 1)), [0.2])
    algorithm.generator.set_state(state)
    noise = torch.empty(1, 1).normal_(generator=algorithm.generator)
    kept = 0.3 + math.exp(-1.0) * noise
    normal = torch.distributions.Normal(0.3, math.exp(-1.0))
    log_prob = normal.log_prob(kept) - (1 - kept.tanh() ** 2).log()
    assert goal == pytest.approx(float(-GAMMA * 0.2 * log_prob), abs=1e-5)


LOGITS = [math.log(0.2), math.log(0.3), math.log(0.5)]


def test_the_goal_of_choices_is_an_expectation():
    algorithm = sac(
        ARMS,
        inputs=[[0.0] * 3, LOGITS, [0.0] * 3],
        q=[[[1.0, 2.0, 3.0]] * 3, [[0.0, 0.0, 5.0]] * 3],
        target_q=[[[1.0, 4.0, 0.0]] * 3, [[2.0, 3.0, 8.0]] * 3],
    )
    batch = transition(torch.tensor([2]), reward=1.0)
    loss, goal, _ = goal_of(algorithm, batch, [0.1])
    entropy = -(0.2 * math.log(0.2) + 0.3 * math.log(0.3) + 0.5 * math.log(0.5))
    assert goal == pytest.approx(1.0 + GAMMA * (0.2 * 1 + 0.3 * 3 + 0.5 * 0 + 0.1 * entropy))
    assert loss == pytest.approx(((3 - goal) ** 2 + (5 - goal) ** 2) / 2)


def test_a_mask_reaches_the_expectation_and_its_entropy():
    algorithm = sac(
        ARMS,
        inputs=[[0.0] * 3, LOGITS, [0.0] * 3],
        q=[[[0.0] * 3] * 3],
        target_q=[[[1.0, 4.0, 100.0]] * 3],
    )
    mask = torch.tensor([[1, 1, 0]], dtype=torch.int8)
    batch = transition(torch.tensor([0]), next_action_mask=mask)
    entropy = -(0.4 * math.log(0.4) + 0.6 * math.log(0.6))
    assert goal_of(algorithm, batch, [0.5])[1] == pytest.approx(
        GAMMA * (0.4 * 1 + 0.6 * 4 + 0.5 * entropy)
    )


def test_a_multi_discrete_has_the_mean_of_its_branches_and_the_sum_of_their_entropies():
    algorithm = sac(
        spaces.MultiDiscrete([2, 3]),
        inputs=[[0.0] * 5, [math.log(0.25), math.log(0.75), *LOGITS], [0.0] * 5],
        q=[[[1.0, 2.0, 3.0, 4.0, 5.0]] * 3],
        target_q=[[[4.0, 8.0, 1.0, 2.0, 3.0]] * 3],
    )
    entropies = [-sum(p * math.log(p) for p in probs) for probs in ((0.25, 0.75), (0.2, 0.3, 0.5))]
    loss, goal, error = goal_of(algorithm, transition(torch.tensor([[1, 2]])), [0.1])
    assert goal == pytest.approx(GAMMA * ((7.0 + 2.3) / 2 + 0.1 * sum(entropies)))
    assert loss == pytest.approx(((2 - goal) ** 2 + (5 - goal) ** 2) / 4)
    assert error == pytest.approx((abs(2 - goal) + abs(5 - goal)) / 2)


def test_a_joint_expects_over_choices_at_the_real_action_and_pays_each_entropy_by_its_own_alpha():
    logits = [math.log(0.25), math.log(0.75)]
    algorithm = sac(
        BOTH,
        inputs=[[0.0] * 4, [*logits, 0.5, CERTAIN], [0.0] * 4],
        q=[[[[1.0, 0.0], [2.0, 0.0]]] * 3],
        target_q=[[[[1.0, 2.0], [-2.0, 4.0]]] * 3],
    )
    action = {"arm": torch.tensor([1]), "hand": torch.tensor([[0.7]])}
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    after = math.tanh(0.5)
    loss, goal, _ = goal_of(algorithm, transition(action), [0.0, 0.3])
    value = 0.25 * (after + 2) + 0.75 * (4 - 2 * after)
    assert goal == pytest.approx(GAMMA * (value + 0.3 * entropy), abs=1e-5)
    assert loss == pytest.approx((2 * math.tanh(0.7) - goal) ** 2 / 2, abs=1e-5)


def test_termination_cuts_the_bootstrap_and_an_n_step_return_has_its_own_discount():
    algorithm = sac(ARMS, [[0.0] * 3] * 3, [[[0.0] * 3] * 3], [[[6.0] * 3] * 3])
    batch = transition(torch.tensor([0]), reward=1.0, terminateds=torch.tensor([True]))
    assert goal_of(algorithm, batch, [0.0])[1] == 1.0
    batch = transition(torch.tensor([0]), reward=1.0, discounts=torch.tensor([GAMMA**3]))
    assert goal_of(algorithm, batch, [0.0])[1] == 1.0 + GAMMA**3 * 6.0


def test_importance_weighs_each_transition():
    algorithm = sac(ARMS, [[0.0] * 3] * 3, [[[2.0] * 3] * 3], [[[0.0] * 3] * 3])
    one, other = transition(torch.tensor([0])), transition(torch.tensor([1]), reward=1.0)
    batch = {name: torch.cat([one[name], other[name]]) for name in one}
    batch[Columns.WEIGHTS] = torch.tensor([1.0, 0.5])
    loss, _, _ = algorithm.critic_loss(batch, torch.zeros(1))
    assert float(loss.detach()) == pytest.approx((2.0**2 + 0.5 * 1.0**2) / 2 / 2)
    assert algorithm.errors.tolist() == [2.0, 1.0]


# --- the policy


def test_the_policy_of_choices_is_at_rest_where_it_is_the_softmax_of_the_values():
    values, alpha = [1.0, 2.0, 0.5], 0.5
    inputs = [[value / alpha for value in values]] * 3
    algorithm = sac(ARMS, inputs, [[values] * 3, [[v + 1 for v in values]] * 3], [[[0.0] * 3] * 3])
    drawn = algorithm.draw(algorithm.policy(now({Columns.OBS: torch.tensor([0])})))
    loss = algorithm.actor_loss(transition(torch.tensor([0])), drawn, torch.tensor([alpha]))
    # Minus the soft value, α log Σ exp(Q / α), of the lower critic.
    assert float(loss.detach()) == pytest.approx(-alpha * np.logaddexp.reduce(inputs[0]), rel=1e-6)
    loss.backward()
    assert algorithm.module.inputs.grad.abs().max() < 1e-6


def test_each_branch_is_at_rest_where_it_is_the_softmax_of_its_own_values():
    values, alpha = [1.0, 2.0, 0.5, 0.0, 3.0], 0.5
    inputs = [[value / alpha for value in values]] * 3
    space = spaces.MultiDiscrete([2, 3])
    algorithm = sac(space, inputs, [[values] * 3], [[values] * 3])
    drawn = algorithm.draw(algorithm.policy(now({Columns.OBS: torch.tensor([0])})))
    batch = transition(torch.tensor([[0, 0]]))
    algorithm.actor_loss(batch, drawn, torch.tensor([alpha])).backward()
    assert algorithm.module.inputs.grad.abs().max() < 1e-6


def test_a_real_action_moves_up_the_value():
    inputs = [[0.5, CERTAIN]] * 3
    algorithm = sac(HAND, inputs, [[[[3.0, 0.0]]] * 3, [[[5.0, 0.0]]] * 3], [[[[0.0, 0.0]]] * 3])
    drawn = algorithm.draw(algorithm.policy(now({Columns.OBS: torch.tensor([0])})))
    batch = transition(torch.zeros(1, 1))
    algorithm.actor_loss(batch, drawn, torch.zeros(1)).backward()
    slope = -3.0 * (1 - math.tanh(0.5) ** 2)  # of the critic that is lower there
    assert float(algorithm.module.inputs.grad[0, 0]) == pytest.approx(slope, rel=1e-5)


def test_what_is_masked_gives_no_gradient_that_is_not_finite():
    algorithm = sac(ARMS, [[0.0, 0.0, 50.0]] * 3, [[[1.0, 2.0, 9.0]] * 3], [[[0.0] * 3] * 3])
    mask = torch.tensor([[True, False, False]])
    policy = algorithm.policy(now({Columns.OBS: torch.tensor([0])}), mask)
    drawn = algorithm.draw(policy)
    assert drawn.entropies.tolist() == [[0.0]]
    loss = algorithm.actor_loss(transition(torch.tensor([0])), drawn, torch.ones(1))
    loss.backward()
    assert float(loss.detach()) == -1.0
    assert torch.equal(algorithm.module.inputs.grad, torch.zeros(3, 3))


# --- the temperature


def aims_of(space, mask=None, **settings):
    width = Catalog.default().distribution(space, algorithm="sac").config.bind(space).inputs_dim
    has_reals = any(isinstance(s, spaces.Box) for s in getattr(space, "values", lambda: [space])())
    q = [[[[0.0, 0.0]]] * 3] if has_reals else [[[0.0] * width] * 3]
    algorithm = sac(space, [[0.0] * width] * 3, q, q, **settings)
    return algorithm.aims(algorithm.policy(now({Columns.OBS: torch.tensor([0])}), mask))[0].tolist()


def test_the_target_entropy_of_real_actions_is_minus_their_number():
    assert aims_of(spaces.Box(-1.0, 1.0, (2, 3))) == [-6.0]
    assert aims_of(HAND, target_entropy=-0.5) == [-0.5]


def test_the_target_entropy_of_choices_is_a_share_of_the_highest():
    assert aims_of(ARMS) == pytest.approx([0.98 * math.log(3)])
    two = spaces.MultiDiscrete([2, 3])
    assert aims_of(two, target_entropy_fraction=0.5) == pytest.approx([0.5 * math.log(6)])


def test_the_target_entropy_counts_what_the_mask_leaves():
    two = spaces.MultiDiscrete([2, 3])
    mask = torch.tensor([[1, 0, 1, 0, 1]], dtype=torch.int8)
    assert aims_of(two, mask) == pytest.approx([0.98 * math.log(2)])


def test_a_joint_has_a_target_for_each_kind():
    assert aims_of(BOTH) == pytest.approx([-1.0, 0.98 * math.log(2)])


def test_the_temperature_rises_where_there_is_too_little_entropy():
    algorithm = sac(ARMS, [[0.0] * 3] * 3, [[[0.0] * 3] * 3], [[[0.0] * 3] * 3], alpha_init=0.5)
    entropies, aims = torch.tensor([[0.2], [0.4]]), torch.tensor([[1.0], [0.8]])
    loss = algorithm.temperature_loss(entropies, aims)
    assert float(loss.detach()) == pytest.approx(math.log(0.5) * (0.3 - 0.9))
    algorithm.descend("alpha", loss)
    assert float(algorithm.temperature().detach()) > 0.5


def test_a_fixed_temperature_stays():
    wanted = experiment("Bandit", algorithm={"type": "sac", "alpha": 0.3, "learning_starts": 16})
    with trainer_of(wanted) as trainer:
        while not trainer.done:
            metrics = trainer.step().metrics
        assert metrics["train/alpha"] == pytest.approx(0.3)
        assert "alpha" not in trainer.driver.algorithm.optimisers


# --- who trains what


def built(algorithm, observation=POINT, action=HAND, **model):
    config = AlgorithmConfig.parse(algorithm)
    module = compose(observation, action, model=model, algorithm=config).build()
    return config.build(module, torch.Generator().manual_seed(0))


def names_in(algorithm, name):
    trained = algorithm.optimisers[name].live
    return {n for n, p in algorithm.module.named_parameters() if any(p is q for q in trained)}


@pytest.mark.parametrize("action", [HAND, ARMS, BOTH], ids=["real", "choices", "both"])
@pytest.mark.parametrize("shared", [False, True])
def test_every_parameter_is_in_one_optimiser_and_a_shared_trunk_in_the_critics(action, shared):
    algorithm = built("sac", action=action, **({"trunks": {}} if shared else {}))
    actor, critic = names_in(algorithm, "actor"), names_in(algorithm, "critic")
    everything = {n for n, p in algorithm.module.named_parameters() if p.requires_grad}
    assert actor | critic == everything
    assert not actor & critic
    trunk = {name for name in everything if name.startswith("main.")}
    assert trunk <= (critic if shared else actor)
    assert all(name.startswith(("policy", "main")) for name in actor)


def a_batch(algorithm, size=4):
    torch.manual_seed(0)
    module = algorithm.module
    obs, following = torch.randn(2, size, 3)
    step = module.act(obs)
    return {
        Columns.OBS: obs,
        Columns.NEXT_OBS: following,
        Columns.ACTIONS: step.actions,
        Columns.REWARDS: torch.randn(size),
        Columns.TERMINATEDS: torch.zeros(size, dtype=torch.bool),
        Columns.DISCOUNTS: torch.full((size,), 0.9),
        Columns.WEIGHTS: torch.ones(size),
    }


@pytest.mark.parametrize("action", [HAND, ARMS, BOTH], ids=["real", "choices", "both"])
def test_the_actors_step_moves_no_critic(action):
    algorithm = built("sac", action=action)
    before = algorithm.module.get_state()
    batch = a_batch(algorithm)
    drawn = algorithm.draw(algorithm.policy(now(batch)))
    alpha = algorithm.temperature().detach()
    algorithm.descend("actor", algorithm.actor_loss(batch, drawn, alpha))
    after = algorithm.module.get_state()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == names_in(algorithm, "actor")
    assert all(
        algorithm.module.get_parameter(n).grad is None for n in names_in(algorithm, "critic")
    )


def test_targets_follow_by_tau():
    algorithm = built({"type": "sac", "tau": 0.25, "lr": 1e-2})
    slow = algorithm.module.target.continuous_q.critics[1].weight
    before = slow.clone()
    algorithm.update(a_batch(algorithm))
    fast = algorithm.module.continuous_q.critics[1].weight
    torch.testing.assert_close(slow, before + 0.25 * (fast - before))
    assert not torch.equal(fast, before)


@pytest.mark.parametrize("action", [HAND, ARMS, BOTH], ids=["real", "choices", "both"])
def test_an_update_says_the_error_of_each_transition(action):
    algorithm = built("sac", action=action)
    metrics = algorithm.update(a_batch(algorithm, 7))
    assert algorithm.errors.shape == (7,)
    assert all(map(math.isfinite, metrics.values()))


# --- the graph


def test_the_critics_of_a_vector_have_their_layers_in_the_head():
    blueprint = compose(POINT, HAND, algorithm="sac")
    assert blueprint.by_name["critic.encoder"].config.type == "identity"
    assert blueprint.by_name["main.encoder"].config.hidden == (256, 256)
    assert blueprint.by_name["continuous_q"].config.hidden == (256, 256)
    assert blueprint.inference_nodes == {"main.encoder", "policy", "distribution", Columns.OBS} & (
        blueprint.inference_nodes
    )
    wide = compose(POINT, HAND, {"encoder": {"hidden": [400]}}, "sac")
    assert wide.by_name["critic.encoder"].config.type == "identity"


def test_a_trunk_that_the_layout_names_is_as_the_layout_has_it_unless_it_has_its_own():
    separate = compose(POINT, HAND, {"trunks": {"critic": {}}}, "sac")
    assert separate.by_name["critic.encoder"].config.type == "identity"
    own = {"trunks": {"critic": {"encoder": {"type": "mlp", "hidden": [7]}}}}
    assert compose(POINT, HAND, own, "sac").by_name["critic.encoder"].config.hidden == (7,)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (16, 16, 3), np.uint8),
        spaces.Dict(a=POINT, b=spaces.Discrete(2)),
        spaces.Text(5),
        spaces.Discrete(4),
    ],
    ids=["image", "dict", "text", "discrete"],
)
def test_the_critics_of_anything_else_have_a_trunk_as_the_actor_has(space):
    by_name = compose(space, HAND, algorithm="sac").by_name
    assert by_name["critic.encoder"].config == by_name["main.encoder"].config


def test_an_actor_that_shares_a_trunk_is_detached_from_it():
    blueprint = compose(POINT, HAND, {"trunks": {}}, "sac")
    assert blueprint.by_name["policy"].stop_gradient
    assert not blueprint.by_name["continuous_q"].stop_gradient
    assert "reads main, detached" in blueprint.explain()
    assert not compose(POINT, HAND, algorithm="sac").by_name["policy"].stop_gradient


@pytest.mark.parametrize(
    ("action", "api", "distribution"),
    [
        (HAND, ContinuousQAPI, "squashed_gaussian"),
        (ARMS, QNetAPI, "categorical"),
        (spaces.MultiDiscrete([2, 3]), QNetAPI, "multi_categorical"),
        (spaces.Box(0, 3, (2,), np.int64), QNetAPI, "multi_categorical"),
        (BOTH, ContinuousQAPI, "joint"),
        (spaces.Tuple([ARMS, ARMS]), QNetAPI, "joint"),
    ],
)
def test_the_critic_is_of_the_kind_that_the_actions_need(action, api, distribution):
    blueprint = compose(POINT, action, algorithm="sac")
    assert api in blueprint.apis
    assert blueprint.by_name["distribution"].config.type == distribution


def test_twins_that_do_not_act_do_not_run_while_collecting():
    module = compose(POINT, ARMS, algorithm="sac").build()
    assert Columns.QF_PREDS not in module.forward_exploration({Columns.OBS: torch.zeros(1, 3)})


# --- warm-up


def explored(action, mask=None, env_steps=0, n=2000):
    algorithm = built("sac", action=action)
    masks = None if mask is None else np.tile(np.array(mask, np.bool_), (n, 1))
    step = algorithm.module.act(torch.zeros(n, 3), action_mask=masks)
    generator = torch.Generator().manual_seed(0)
    return step, algorithm.explore(step, masks, env_steps, generator)


def test_until_learning_starts_real_actions_are_uniform():
    _, step = explored(spaces.Box(-2.0, 6.0, (1,)))
    assert step.env_actions.mean() == pytest.approx(2.0, abs=0.2)
    assert step.env_actions.var() == pytest.approx(8**2 / 12, rel=0.1)
    torch.testing.assert_close(
        torch.as_tensor(step.env_actions), 2.0 + 4.0 * step.actions.tanh(), atol=1e-5, rtol=0
    )


def test_until_learning_starts_choices_are_uniform_among_those_allowed():
    _, step = explored(spaces.MultiDiscrete([2, 3]), [1, 0, 1, 0, 1])
    assert not step.actions[:, 0].any()
    assert set(step.actions[:, 1].tolist()) == {0, 2}
    assert step.actions[:, 1].float().mean() == pytest.approx(1.0, abs=0.1)


def test_until_learning_starts_every_part_of_a_joint_is_uniform():
    _, step = explored(BOTH)
    assert step.actions["arm"].float().mean() == pytest.approx(0.5, abs=0.05)
    assert step.env_actions["hand"].var() == pytest.approx(1 / 3, rel=0.1)


def test_once_learning_starts_the_policy_explores_by_itself():
    before, step = explored(BOTH, env_steps=1000)
    assert step is before


# --- going on


@pytest.mark.parametrize("problem", ["Reach1D", "MaskedBandit"])
def test_a_run_goes_on_bit_for_bit(problem, tmp_path):
    small = {"type": "sac", "batch_size": 8, "learning_starts": 16, "replay": {"prioritised": {}}}
    wanted = experiment(problem, algorithm=small | {"n_step": 2}, total_steps=96)

    def rest(trainer):
        seen = []
        while not trainer.done:
            seen.append(trainer.step().metrics)
        return seen, trainer.module.get_state()

    with trainer_of(wanted) as trainer:
        while trainer.progress.env_steps < 48:
            trainer.step()
        trainer.save(tmp_path / "checkpoint")
        trainer.restore(tmp_path / "checkpoint")  # environments restart in both
        metrics, state = rest(trainer)
    with trainer_of(wanted) as trainer:
        trainer.restore(tmp_path / "checkpoint")
        again, same = rest(trainer)
    assert metrics == again
    assert all(torch.equal(state[name], same[name]) for name in state)


# --- refusals


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            spaces.Box(-np.inf, np.inf, (2,)),
            "sac squashes actions by a tanh between finite bounds, and Box(2,) float32 has an "
            "infinite one",
        ),
        (
            spaces.MultiBinary(3),
            "sac acts in Box, Discrete and MultiDiscrete spaces, and in a Dict or Tuple of them, "
            "not MultiBinary(3)",
        ),
        (
            spaces.Dict(a=HAND, b=spaces.OneOf([HAND, ARMS])),
            "sac acts in Box, Discrete and MultiDiscrete spaces, and in a Dict or Tuple of them, "
            "not OneOf(Box(1,) float32, Discrete(3))",
        ),
    ],
)
def test_a_space_in_which_it_cannot_act_is_refused(action, message):
    with pytest.raises(CompositionError) as caught:
        compose(POINT, action, algorithm="sac")
    assert caught.value.problems[0].message.startswith(message)
    assert "ppo" in caught.value.problems[0].valid


@pytest.mark.parametrize(
    ("action", "distribution", "able"),
    [
        (HAND, "diag_gaussian", ("squashed_gaussian",)),
        (HAND, "deterministic", ("squashed_gaussian",)),
        (ARMS, "greedy", ("categorical",)),
        (BOTH, "autoregressive", ("joint",)),
    ],
)
def test_a_distribution_that_it_cannot_train_is_refused(action, distribution, able):
    with pytest.raises(ContractError) as caught:
        compose(POINT, action, {"distribution": distribution}, "sac")
    problem = next(p for p in caught.value.problems if p.path == "model.distribution")
    assert problem.value == distribution
    assert problem.valid == able
    assert problem.fix == f"model/distribution={able[0]}"


def test_a_q_of_choices_is_refused_for_real_actions():
    with pytest.raises(CompositionError, match="the head `q` values choices"):
        compose(POINT, HAND, algorithm={"type": "sac", "critic": "q"})


def test_dqn_cannot_act_by_several_critics():
    with pytest.raises(CompositionError, match="no head chooses actions"):
        compose(POINT, ARMS, {"heads": {"q": {"n_critics": 2}}}, "dqn")


def test_several_noisy_critics_are_refused():
    with pytest.raises(ConfigError, match="noise explores by the one critic that acts"):
        compose(POINT, ARMS, {"heads": {"q": {"n_critics": 2, "noisy": True}}}, "sac")


def test_a_part_of_the_replays_settings_leaves_its_capacity():
    config = AlgorithmConfig.parse({"type": "sac", "replay": {"prioritised": {}}})
    assert config.replay.capacity == AlgorithmConfig.parse("sac").replay.capacity == 1_000_000
    assert config.replay.prioritised is not None


@pytest.mark.parametrize("frozen", [["main", "policy"], ["critic", "continuous_q"]])
def test_what_is_frozen_stays_and_the_rest_learns(frozen):
    module = compose(POINT, spaces.Box(-1, 1, (1,)), algorithm="sac").build()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.freeze(frozen)
    config = AlgorithmConfig.parse({"type": "sac"})
    batch = {
        Columns.OBS: torch.rand(8, *POINT.shape),
        Columns.ACTIONS: torch.rand(8, 1),
        Columns.REWARDS: torch.rand(8),
        Columns.NEXT_OBS: torch.rand(8, *POINT.shape),
        Columns.TERMINATEDS: torch.zeros(8, dtype=torch.bool),
        Columns.DISCOUNTS: torch.full((8,), 0.9),
        Columns.WEIGHTS: torch.ones(8),
    }
    config.resolve(module.action_space).build(module, torch.Generator()).update(batch)
    moved = {
        name.partition(".")[0]
        for name, value in module.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved - {"target"} == {"main", "policy", "continuous_q"} - {*frozen}


def test_observations_of_any_kind_can_be_learnt_from():
    wanted = experiment("TextBandit", algorithm={"type": "sac", "learning_starts": 8})
    with trainer_of(wanted) as trainer:
        trainer.train()
        assert all(bool(leaf.isfinite().all()) for leaf in leaves(trainer.module.get_state()))
