import math

import numpy as np
import pytest
import torch
from experiments import Probe, driver_of, experiment, record_minibatches
from gymnasium import spaces

from composer.algorithms.base import AlgorithmConfig
from composer.columns import Columns
from composer.errors import ConfigError, ContractError
from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.optimisers._schedule import Elapsed
from composer.training.rollouts import Rollout

POLICY_LOSS, VALUE_LOSS, ENTROPY, KL, CLIP_FRACTION = range(5)
CPU = torch.device("cpu")
WHOLE = {"num_minibatches": 1, "epochs": 1, "normalize_advantages": "none"}
"""An algorithm whose update is one step on the whole rollout."""


def ppo(module, **settings):
    config = AlgorithmConfig.parse({"type": "ppo", **settings})
    return config.build(module, torch.Generator().manual_seed(0))


def counter(end="terminated", length=3, vectorization="sync", num_envs=2):
    return {
        "id": "composer.testing:Counter-v0",
        "kwargs": {"length": length, "end": end},
        "vectorization": vectorization,
        "num_envs": num_envs,
    }


def probe(actions=2):
    return Probe(spaces.Box(0.0, np.inf, (1,), np.float32), spaces.Discrete(actions))


def log(*values):
    return torch.tensor([math.log(value) for value in values])


def column(minibatch, name):
    return minibatch[name].squeeze(-1).tolist() if name == Columns.OBS else minibatch[name].tolist()


# --- the first epoch


def out_of_bounds(**algorithm):
    """A driver whose policy's samples all lie above the upper bound of the actions."""
    wanted = experiment("ReachTruncated", algorithm={"rollout_steps": 20, **algorithm})
    module = wanted.blueprint.build()
    module.policy[-1].bias.data.fill_(10.0)
    return driver_of(wanted, module)


def test_actions_are_stored_as_they_were_sampled_and_clipped_only_for_the_environment():
    with out_of_bounds(**WHOLE) as driver:
        step = driver.module.act(driver.collector.obs, generator=driver.actions)
        assert (step.actions > 1.0).all()
        assert (step.env_actions == 3.0).all()
        driver.iterate(Elapsed())
        actions = driver.rollout.batch(CPU)[Columns.ACTIONS]
        assert (actions > 1.0).all()
        assert len(actions.unique()) == actions.numel()


def test_exploration_and_training_agree_exactly():
    with out_of_bounds(**WHOLE) as driver:
        driver.collector.collect(driver.rollout)
        columns = driver.rollout.batch(CPU)
        for t in range(driver.rollout.steps):  # in batches of one size: rounding may depend on it
            out = driver.module.forward_train({Columns.OBS: columns[Columns.OBS][:, t]})
            new = driver.module.action_distribution(out)
            log_prob = new.log_prob(columns[Columns.ACTIONS][:, t])
            assert torch.equal(log_prob, columns[Columns.ACTION_LOGP][:, t])
            assert torch.equal(out[Columns.VF_PREDS], columns[Columns.VF_PREDS][:, t])


def test_the_first_ratio_is_one_with_every_sample_outside_the_bounds():
    with out_of_bounds(**WHOLE | {"clip": 1e-4}) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
        (first,) = seen
        assert first["metrics"][CLIP_FRACTION] == 0.0
        assert first["metrics"][KL] == pytest.approx(0.0, abs=1e-9)
        # A ratio of 1 everywhere makes the surrogate minus the mean advantage.
        assert first["metrics"][POLICY_LOSS] == pytest.approx(-first[Columns.ADVANTAGES].mean())


def test_the_second_minibatch_has_moved():
    with out_of_bounds(num_minibatches=2, epochs=1, lr=1e-3) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
        assert [float(m["metrics"][KL]) > 1e-9 for m in seen] == [False, True]


# --- episode ends

# γ = λ = 1/2, rewards are 1, 2, 3 and the value of observation o is 10 · o. The errors of one step:
# 1 + 10/2 - 0 = 6;  2 + 20/2 - 10 = 2;  3 + V(3)/2 - 20 = -2 with V(3) = 30, and -17 without.
HAND_WORKED = {
    "truncated": {0: 6 + (2 - 2 / 4) / 4, 1: 2 - 2 / 4, 2: -2.0},
    "terminated": {0: 6 + (2 - 17 / 4) / 4, 1: 2 - 17 / 4, 2: -17.0},
}
DISCOUNTS = {"gamma": 0.5, "gae_lambda": 0.5}

ends = pytest.mark.parametrize("end", ["terminated", "truncated"])
vectorizations = pytest.mark.parametrize("vectorization", ["sync", "vector_entry_point"])


def advantages_of(minibatch):
    """By observation, and how often each was seen."""
    pairs = list(
        zip(column(minibatch, Columns.OBS), column(minibatch, Columns.ADVANTAGES), strict=True)
    )
    return dict(pairs), sorted(obs for obs, _ in pairs)


@ends
@vectorizations
def test_termination_cuts_the_bootstrap_and_truncation_takes_the_final_observations_value(
    end, vectorization
):
    wanted = experiment(
        counter(end, vectorization=vectorization),
        algorithm={**WHOLE, **DISCOUNTS, "rollout_steps": 7},
    )
    with driver_of(wanted, probe()) as driver:
        seen = record_minibatches(driver.algorithm)
        assert driver.iterate(Elapsed()).env_steps == 2 * 6
        advantages, observations = advantages_of(seen[0])
        assert advantages == pytest.approx(HAND_WORKED[end])
        # Two episodes in each of two environments; no dummy step, whose observation would be 3.
        assert observations == sorted([0.0, 1.0, 2.0] * 4)
        targets = dict(
            zip(column(seen[0], Columns.OBS), column(seen[0], Columns.VALUE_TARGETS), strict=True)
        )
        assert targets == pytest.approx({o: HAND_WORKED[end][o] + 10 * o for o in (0, 1, 2)})


@ends
@vectorizations
def test_an_episode_may_end_with_a_rollout_and_its_dummy_step_open_the_next(end, vectorization):
    wanted = experiment(
        counter(end, vectorization=vectorization),
        algorithm={**WHOLE, **DISCOUNTS, "rollout_steps": 3, "lr": 1e-30},
    )
    with driver_of(wanted, probe()) as driver:
        seen = record_minibatches(driver.algorithm)
        steps = [driver.iterate(Elapsed()).env_steps for _ in range(3)]
    assert steps == [2 * 3, 2 * 2, 2 * 2]
    first, second, third = (advantages_of(minibatch) for minibatch in seen)
    assert first[0] == pytest.approx(HAND_WORKED[end])
    # Dummy, 0, 1, and the value of 2 to go on from.
    assert second == (pytest.approx({0: 6 + 2 / 4, 1: 2.0}), [0, 0, 1, 1])
    # 2 and the end, dummy, 0 and the value of 1 to go on from.
    assert third == (pytest.approx({2: HAND_WORKED[end][2], 0: 6.0}), [0, 0, 2, 2])


def test_a_rollout_of_nothing_but_dummy_steps_is_collected_again():
    env = {"id": "composer.testing:Bandit-v0", "num_envs": 2}
    settings = {**WHOLE, "rollout_steps": 1, "reward_scaling": "running"}
    with driver_of(experiment(env, algorithm=settings)) as driver:
        assert [driver.iterate(Elapsed()).env_steps for _ in range(3)] == [2, 2, 2]


def test_fewer_counted_steps_than_minibatches_make_fewer_minibatches():
    env = {"id": "composer.testing:Bandit-v0", "num_envs": 2}
    settings = {"rollout_steps": 3, "num_minibatches": 6, "epochs": 1}
    with driver_of(experiment(env, algorithm=settings)) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
        assert [len(m[Columns.ADVANTAGES]) for m in seen] == [1] * 4


# --- minibatches


def test_every_counted_step_is_used_once_an_epoch_in_a_new_order():
    wanted = experiment(
        counter(length=100, num_envs=1),
        algorithm={"rollout_steps": 10, "num_minibatches": 4, "epochs": 2},
    )
    with driver_of(wanted, probe()) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
    assert [len(m[Columns.OBS]) for m in seen] == [3, 3, 2, 2] * 2
    first, second = (
        [o for m in part for o in column(m, Columns.OBS)] for part in (seen[:4], seen[4:])
    )
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_columns_of_one_step_stay_together_and_environments_apart():
    env = {"id": "composer.testing:Reach1D-v0", "num_envs": 3}
    with driver_of(experiment(env, algorithm={"rollout_steps": 9, "epochs": 1})) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
        columns = driver.rollout.batch(CPU)
    names = (Columns.ACTIONS, Columns.ACTION_LOGP, Columns.VF_PREDS)
    counted = columns[Columns.LOSS_MASK]
    stored = dict(  # every target is another, so it tells the step
        zip(
            columns[Columns.OBS][:, :-1][counted].flatten().tolist(),
            zip(*(columns[name][counted].flatten().tolist() for name in names), strict=True),
            strict=True,
        )
    )
    given = {
        obs: row
        for m in seen
        for obs, row in zip(
            column(m, Columns.OBS),
            zip(*(m[name].flatten().tolist() for name in names), strict=True),
            strict=True,
        )
    }
    assert len(given) == int(counted.sum())
    assert given == stored


def test_observations_reach_the_module_at_their_own_dtype():
    env = {"id": "composer.testing:ImageBandit-v0", "num_envs": 2, "kwargs": {"size": 16}}
    with driver_of(experiment(env, algorithm={"rollout_steps": 4})) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
    assert {m[Columns.OBS].dtype for m in seen} == {torch.uint8}


def masked_rollout(module, mask, space=None):
    """Two steps of two environments whose every action is 0, drawn from what the mask allows."""
    space = space or module.observation_space
    rollout = Rollout(space, 2, 2)
    no, yes = np.zeros(2, np.bool_), np.ones(2, np.bool_)
    logits = torch.zeros(2, 3)
    distribution = module.action_distribution({Columns.ACTION_DIST_INPUTS: logits}, mask=mask)
    actions = torch.zeros(2, dtype=torch.int64)
    for t in range(3):
        obs = np.full((2, 1), t, np.float32)
        obs = {"a": obs, "b": {"c": np.full(2, t)}} if isinstance(space, spaces.Dict) else obs
        rollout.write_observation(t, obs, no)
        if t < 2:
            step = Step(
                actions, actions.numpy(), distribution.log_prob(actions), torch.zeros(2),
                dist_inputs=logits,
            )  # fmt: skip
            rollout.write_action(t, step, None if mask is None else mask.numpy())
            rollout.write_outcome(t, np.array([1.0, 0.0]), no, no, yes)
    return rollout.batch(CPU)


def test_a_stored_action_mask_reaches_the_log_prob_the_entropy_and_the_kl():
    module = probe(actions=3)
    algorithm = ppo(module, **WHOLE)
    seen = record_minibatches(algorithm)
    mask = torch.tensor([[True, True, False], [True, False, True]])
    algorithm.update(masked_rollout(module, mask))
    (first,) = seen
    assert first[Columns.ACTION_LOGP].tolist() == pytest.approx([math.log(1 / 2)] * 4)
    assert sorted(first[Columns.ACTION_MASK].tolist()) == sorted(mask.tolist() * 2)
    assert first["metrics"][CLIP_FRACTION] == 0.0  # without the mask the ratio would be 2/3
    assert first["metrics"][ENTROPY] == pytest.approx(math.log(2))
    assert first["metrics"][KL] == 0.0


def test_a_masked_action_gets_no_gradient():
    module = probe(actions=3)
    algorithm = ppo(module, **WHOLE)
    mask = torch.tensor([[True, True, False]] * 2)
    algorithm.update(masked_rollout(module, mask))
    assert module.logits.grad[2] == 0.0
    assert (module.logits.grad[:2] != 0.0).all()
    assert torch.isfinite(module.logits.grad).all()


def test_nested_observations_stay_nested_in_minibatches():
    space = spaces.Dict(a=spaces.Box(0, 9, (1,)), b=spaces.Dict(c=spaces.Discrete(9)))
    module = Probe(space, spaces.Discrete(3))
    algorithm = ppo(module, **WHOLE)
    seen = record_minibatches(algorithm)
    algorithm.update(masked_rollout(module, None, space))
    obs = seen[0][Columns.OBS]
    assert sorted(obs["a"].squeeze(-1).tolist()) == [0, 0, 1, 1]
    assert obs["b"]["c"].tolist() == obs["a"].squeeze(-1).tolist()


# --- the loss


def hand_worked(**columns):
    """Two steps that a uniform policy over two actions judges anew.

    Their ratios are 0.5 / 0.25 = 2 and 0.5 / 1 = 0.5 before any change.
    """
    return {
        Columns.OBS: torch.tensor([[0.3], [0.3]]),  # a value of 3
        Columns.ACTIONS: torch.tensor([0, 1]),
        Columns.ACTION_LOGP: log(0.25, 1.0),
        Columns.ACTION_DIST_INPUTS: torch.stack([log(0.25, 0.75), log(0.75, 0.25)]),
        Columns.VF_PREDS: torch.tensor([1.0, 1.0]),
        Columns.ADVANTAGES: torch.tensor([1.0, -1.0]),
        Columns.VALUE_TARGETS: torch.tensor([4.0, 4.0]),
        **columns,
    }


def metrics_of(batch=None, **settings):
    settings = {"normalize_advantages": "none", **settings}
    total, metrics = ppo(probe(), **settings).loss(hand_worked() if batch is None else batch)
    return [float(total.detach()), *(float(value) for value in metrics)]


def test_the_surrogate_takes_the_worse_of_the_ratio_and_its_clip():
    _, policy_loss, *_, outside = metrics_of(clip=0.2)
    # min(2, 1.2) · 1 and min(-0.5, -0.8).
    assert policy_loss == pytest.approx(-(1.2 - 0.8) / 2)
    assert outside == 1.0
    # Where the move was for the worse, the clip does not hide it: min(-2, -1.2), min(0.5, 0.8).
    batch = hand_worked(**{Columns.ADVANTAGES: torch.tensor([-1.0, 1.0])})
    assert metrics_of(batch, clip=0.2)[1] == pytest.approx(-(-2 + 0.5) / 2)


def test_clip_fraction_is_the_part_of_ratios_outside_the_clip():
    assert metrics_of(clip=0.6)[-1] == 0.5  # 2 is outside of 1 ± 0.6, 0.5 is not


def test_the_value_loss_is_the_mean_squared_error():
    assert metrics_of()[2] == pytest.approx((3 - 4) ** 2)


def test_value_clip_limits_the_change_and_takes_the_worse_error():
    # From 1 by at most 0.5: 1.5, whose error is larger than that of 3.
    assert metrics_of(value_clip=0.5)[2] == pytest.approx((1.5 - 4) ** 2)
    # The other way round the error of 3 itself is the larger one.
    batch = hand_worked(**{Columns.VALUE_TARGETS: torch.tensor([1.0, 1.0])})
    assert metrics_of(batch, value_clip=0.5)[2] == pytest.approx((3 - 1) ** 2)


def test_value_loss_clip_limits_the_squared_error():
    assert metrics_of(value_loss_clip=0.75)[2] == 0.75
    assert metrics_of(value_loss_clip=2.0)[2] == pytest.approx(1.0)


def test_entropy_is_the_new_policys():
    assert metrics_of()[3] == pytest.approx(math.log(2))


def test_kl_is_from_the_old_policy_to_the_new():
    old_to_new = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    new_to_old = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert metrics_of()[4] == pytest.approx(old_to_new)
    assert abs(old_to_new - new_to_old) > 0.01


def test_the_loss_is_the_weighted_sum_of_its_terms():
    total, policy_loss, value_loss, entropy, kl, _ = metrics_of(
        value_coef=0.25, entropy_coef=0.125, kl_coef=2.0
    )
    expected = policy_loss + 0.25 * value_loss - 0.125 * entropy + 2.0 * kl
    assert total == pytest.approx(expected)


def test_the_kl_term_pulls_towards_the_old_policy():
    batch = hand_worked(
        **{
            Columns.ADVANTAGES: torch.zeros(2),
            Columns.ACTION_DIST_INPUTS: torch.stack([log(0.25, 0.75)] * 2),
        }
    )
    for kl_coef, gradient in ((0.0, 0.0), (2.0, 2 * (0.5 - 0.25))):  # of KL: p_new - p_old
        module = probe()
        total, _ = ppo(module, kl_coef=kl_coef, normalize_advantages="none").loss(batch)
        total.backward()
        assert module.logits.grad[0] == pytest.approx(gradient)


def test_advantages_are_normalised_by_minibatch():
    batch = hand_worked(**{Columns.ADVANTAGES: torch.tensor([5.0, 3.0])})
    # Mean 4, deviation 1: as the advantages 1 and -1.
    assert metrics_of(batch, normalize_advantages="minibatch")[1] == pytest.approx(-0.2)
    assert metrics_of(batch)[1] == pytest.approx(-(1.2 * 5 + 0.5 * 3) / 2)
    assert metrics_of(batch, normalize_advantages="batch") == metrics_of(batch)


@pytest.mark.parametrize("how", ["minibatch", "batch", "none"])
def test_normalising_by_batch_precedes_the_minibatches(how):
    settings = {**WHOLE, **DISCOUNTS, "normalize_advantages": how, "num_minibatches": 2}
    wanted = experiment(counter(), algorithm={**settings, "rollout_steps": 7})
    with driver_of(wanted, probe()) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
    given = torch.cat([m[Columns.ADVANTAGES] for m in seen])
    raw = torch.tensor([HAND_WORKED["terminated"][int(o)] for m in seen for o in m[Columns.OBS]])
    expected = (raw - raw.mean()) / raw.std(correction=0) if how == "batch" else raw
    assert given.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_minibatch_of_one_step_does_not_divide_by_nothing():
    batch = {name: value[:1] for name, value in hand_worked().items()}
    assert metrics_of(batch, normalize_advantages="minibatch")[1] == 0.0


# --- the update


def updated(**settings):
    """Metrics of one update on the counter, and the algorithm."""
    with driver_of(experiment(counter(), algorithm=settings)) as driver:
        return driver.iterate(Elapsed()).metrics, driver.algorithm


def test_the_kl_coefficient_halves_where_kl_is_under_half_its_target():
    metrics, algorithm = updated(**WHOLE, kl_coef=0.5)  # one step: no divergence
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-9)
    assert metrics["kl_coef"] == algorithm.kl_coef == 0.25


def test_the_kl_coefficient_grows_where_kl_is_over_twice_its_target():
    metrics, _ = updated(epochs=2, kl_coef=0.5, kl_target=1e-9)
    assert metrics["kl"] > 2e-9
    assert metrics["kl_coef"] == 0.75


def test_the_kl_coefficient_stays_where_kl_is_near_its_target():
    first, _ = updated(epochs=2, kl_coef=0.5)
    for factor in (0.6, 1.0, 1.9):
        metrics, _ = updated(epochs=2, kl_coef=0.5, kl_target=first["kl"] / factor)
        assert metrics["kl"] == first["kl"]
        assert metrics["kl_coef"] == 0.5


def test_a_kl_coefficient_of_zero_stays_zero_and_is_not_reported():
    metrics, algorithm = updated(epochs=2, kl_target=1e-9)
    assert algorithm.kl_coef == 0.0
    assert "kl_coef" not in metrics


def test_a_changed_kl_coefficient_wins_over_the_one_saved():
    _, algorithm = updated(**WHOLE, kl_coef=0.5)
    saved = algorithm.get_numbers()
    for start, expected in ((0.5, 0.25), (0.8, 0.8)):
        other = ppo(probe(), kl_coef=start)
        other.set_numbers(saved)
        assert other.kl_coef == expected


def test_target_kl_stops_after_the_epoch_that_exceeds_it():
    settings = {"num_minibatches": 1, "epochs": 10, "lr": 1e-3}
    # The first epoch of one minibatch does not diverge yet.
    assert updated(**settings, target_kl=1e-9)[0]["epochs"] == 2.0
    assert updated(**settings, target_kl=1e3)[0]["epochs"] == 10.0
    assert updated(**settings)[0]["epochs"] == 10.0


def gradient_norms(**settings):
    """The norm of the gradient that Adam was given, and the one reported."""
    with driver_of(experiment(counter(), algorithm={**WHOLE, **settings})) as driver:
        reported = driver.iterate(Elapsed()).metrics["grad_norm"]
        gradients = [parameter.grad.flatten() for parameter in driver.module.parameters()]
        return float(torch.cat(gradients).norm()), reported


def test_the_gradient_is_clipped_over_all_parameters_and_reported_as_it_was():
    free, reported = gradient_norms(max_grad_norm=None)
    assert free == pytest.approx(reported)
    assert free > 0.1
    assert gradient_norms(max_grad_norm=0.1) == pytest.approx((0.1, reported), rel=1e-4)
    assert gradient_norms(max_grad_norm=2 * free) == pytest.approx((free, reported))


def test_the_learning_rate_follows_its_schedule():
    for schedule, factor in (("constant", 1.0), ("linear", 0.75), ("cosine", 0.8535534)):
        settings = {**WHOLE, "lr": 1e-3, "lr_schedule": schedule}
        with driver_of(experiment(counter(), algorithm=settings)) as driver:
            metrics = driver.iterate(Elapsed(1, 4)).metrics
            assert metrics["lr"] == pytest.approx(1e-3 * factor)
            assert driver.algorithm.optimiser.torch.param_groups[0]["lr"] == metrics["lr"]


def test_a_shared_trunk_is_in_one_group_and_stepped_once():
    wanted = experiment(counter(), model={"trunks": {}}, algorithm={**WHOLE, "lr": 1e-3})
    with driver_of(wanted) as driver:
        before = {name: p.detach().clone() for name, p in driver.module.named_parameters()}
        assert not [name for name in before if name.startswith("critic.")]
        groups = driver.algorithm.optimiser.torch.param_groups
        assert sorted(id(p) for group in groups for p in group["params"]) == sorted(
            id(p) for p in driver.module.parameters()
        )
        driver.iterate(Elapsed())
        # Adam's first step is at most lr; a parameter stepped by both losses would go further.
        moves = {n: (p - before[n]).abs().max() for n, p in driver.module.named_parameters()}
        assert max(moves.values()) <= 1e-3 * (1 + 1e-3)
        assert moves["main.encoder.layers.0.weight"] > 0.5e-3


def test_a_separate_critic_leaves_the_actor_alone():
    wanted = experiment(counter(), algorithm={**WHOLE, "max_grad_norm": None})
    with driver_of(wanted) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
        driver.module.zero_grad()
        driver.module.forward_train(seen[0])[Columns.VF_PREDS].sum().backward()
        with_gradient = {n for n, p in driver.module.named_parameters() if p.grad is not None}
    assert {name.partition(".")[0] for name in with_gradient} == {"critic", "value"}


def test_explained_variance_is_one_for_a_perfect_critic_and_zero_for_a_constant_one():
    # γ = 0 makes the reward the target: the observation plus 1, which ten times it is not.
    settings = {**WHOLE, "gamma": 0.0, "rollout_steps": 7}
    for factor, expected in ((1.0, 1.0), (0.0, 0.0)):
        module = probe()
        module.factor.data.fill_(factor)
        with driver_of(experiment(counter(), algorithm=settings), module) as driver:
            metrics = driver.iterate(Elapsed()).metrics
            assert metrics["explained_variance"] == pytest.approx(expected, abs=1e-6)


def test_reported_losses_are_means_over_the_minibatches():
    with driver_of(experiment(counter())) as driver:
        seen = record_minibatches(driver.algorithm)
        metrics = driver.iterate(Elapsed()).metrics
    for name, index in (("value_loss", VALUE_LOSS), ("entropy", ENTROPY)):
        values = [float(m["metrics"][index]) for m in seen]
        assert metrics[name] == pytest.approx(np.mean(values))
    assert metrics["kl"] == pytest.approx(np.mean([float(m["metrics"][KL]) for m in seen[2:]]))


# --- contracts


class Actor(RLModule):
    def setup(self):
        self.logits = torch.nn.Parameter(torch.zeros(2))


def test_a_module_without_values_is_refused_with_what_to_add():
    with pytest.raises(ContractError, match="ppo requires ValueFunctionAPI, which Actor lacks"):
        ppo(Actor(spaces.Discrete(2), spaces.Discrete(2)))


def test_more_minibatches_than_steps_are_refused():
    with pytest.raises(ConfigError) as error:
        experiment(counter(), algorithm={"rollout_steps": 8, "num_minibatches": 17})
    (problem,) = error.value.problems
    assert problem.path == "algorithm.num_minibatches"
    assert problem.message == (
        "a rollout of 2 environments × 8 steps cannot be cut into 17 minibatches"
    )
    assert problem.fix == "algorithm.num_minibatches=4"
