import math

import numpy as np
import pytest
import torch
from actor_critics import GAMMA, learner, transition
from experiments import experiment, trainer_of
from gymnasium import spaces

from composer import compose
from composer.algorithms.base import AlgorithmConfig
from composer.catalog.catalog import Catalog
from composer.columns import Columns
from composer.errors import CompositionError, ContractError
from composer.optimisers._schedule import Elapsed

POINT = spaces.Box(-1.0, 1.0, (3,))
HAND = spaces.Box(-1.0, 1.0, (1,))


def td3(q, target_q, inputs=0.0, target_inputs=0.0, **settings):
    """On critics that are lines, and a policy that does the same in every state."""
    return learner(
        HAND,
        Catalog.default().distribution(HAND, algorithm="td3").config.bind(HAND),
        [[inputs]] * 3,
        [[[line]] * 3 for line in q],
        [[[line]] * 3 for line in target_q],
        [[target_inputs]] * 3,
        type="td3",
        **settings,
    )


def test_the_goal_is_the_lower_critics_value_of_what_the_target_policy_would_do():
    algorithm = td3(
        q=[[2.0, 1.0], [4.0, 0.0]],
        target_q=[[3.0, 0.0], [1.0, 0.5]],
        inputs=0.9,
        target_inputs=0.4,
        policy_noise=0.0,
    )
    batch = transition(torch.tensor([[-0.5]]), reward=0.25)
    loss, _, goal = algorithm.critic_loss(batch)
    assert float(goal) == pytest.approx(0.25 + GAMMA * min(3 * 0.4, 0.4 + 0.5))
    first, second = 2 * -0.5 + 1 - float(goal), 4 * -0.5 - float(goal)
    assert float(loss.detach()) == pytest.approx(first**2 + second**2)
    assert float(algorithm.errors) == pytest.approx((abs(first) + abs(second)) / 2)


def smoothed(target_inputs, **settings):
    algorithm = td3([[0.0, 0.0]], [[0.0, 0.0]], target_inputs=target_inputs, **settings)
    batch = {Columns.NEXT_OBS: torch.zeros(4000, dtype=torch.int64)}
    return algorithm.smoothed(batch).squeeze(-1)


def test_the_target_policy_is_smoothed_by_clipped_noise():
    actions = smoothed(0.1, policy_noise=0.2, noise_clip=0.5)
    assert float(actions.mean()) == pytest.approx(0.1, abs=0.02)
    assert float(actions.std()) == pytest.approx(0.2, abs=0.02)
    clipped = smoothed(0.1, policy_noise=0.2, noise_clip=0.05)
    assert float(clipped.min()) == pytest.approx(0.05)
    assert float(clipped.max()) == pytest.approx(0.15)


def test_a_smoothed_action_stays_between_the_bounds():
    actions = smoothed(0.9, policy_noise=0.2, noise_clip=0.5)
    assert float(actions.max()) == 1.0


def test_the_policy_moves_up_the_first_critics_value():
    algorithm = td3(q=[[2.0, 1.0], [-4.0, 0.0]], target_q=[[0.0, 0.0]] * 2, inputs=0.3)
    loss = algorithm.policy_loss(transition(torch.zeros(1, 1)))
    assert float(loss.detach()) == pytest.approx(-(2 * 0.3 + 1))
    loss.backward()
    assert float(algorithm.module.inputs.grad[0]) == pytest.approx(-2.0)


def test_policy_and_targets_wait_for_the_critics():
    module = compose(POINT, HAND, algorithm="td3").build()
    algorithm = AlgorithmConfig.parse({"type": "td3", "policy_delay": 3}).build(
        module, torch.Generator().manual_seed(0)
    )
    batch = {
        Columns.OBS: torch.randn(4, 3),
        Columns.NEXT_OBS: torch.randn(4, 3),
        Columns.ACTIONS: torch.rand(4, 1),
        Columns.REWARDS: torch.randn(4),
        Columns.TERMINATEDS: torch.zeros(4, dtype=torch.bool),
        Columns.DISCOUNTS: torch.full((4,), 0.9),
        Columns.WEIGHTS: torch.ones(4),
    }
    moved = []
    for _ in range(4):
        before = module.get_state()
        algorithm.update(batch)
        after = module.get_state()
        changed = {name.partition(".")[0] for name in after if not after[name].equal(before[name])}
        moved.append(changed)
    everything = {"main", "policy", "continuous_q", "target"}
    assert moved == [{"continuous_q"}, {"continuous_q"}, everything, {"continuous_q"}]


def test_the_policy_has_a_target_too():
    module = compose(POINT, HAND, algorithm="td3").build()
    assert set(module.target) == {"main", "policy", "critic", "continuous_q"}
    torch.testing.assert_close(
        module.forward_target({Columns.OBS: torch.ones(2, 3)})[Columns.ACTION_DIST_INPUTS],
        module.forward_inference({Columns.OBS: torch.ones(2, 3)})[Columns.ACTION_DIST_INPUTS],
    )


def explored(action, env_steps, n=4000, **settings):
    config = AlgorithmConfig.parse({"type": "td3"} | settings)
    module = compose(POINT, action, algorithm=config).build()
    algorithm = config.build(module, torch.Generator())
    step = module.act(torch.zeros(n, 3))
    return step, algorithm.explore(step, None, env_steps, torch.Generator().manual_seed(0))


def test_noise_is_added_to_what_the_policy_does():
    before, step = explored(spaces.Box(-2.0, 6.0, (1,)), env_steps=1000, exploration_noise=0.3)
    noise = step.actions - before.actions
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(noise.std()) == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(step.env_actions, 2.0 + 4.0 * step.actions.numpy(), atol=1e-5)


def test_a_noisy_action_stays_between_the_bounds():
    _, step = explored(HAND, env_steps=1000, exploration_noise=2.0)
    assert float(step.actions.abs().max()) == 1.0


def test_until_learning_starts_actions_are_uniform():
    _, step = explored(spaces.Tuple([HAND, spaces.Box(0.0, 1.0, (2,))]), env_steps=999)
    assert float(step.actions[1].var()) == pytest.approx(1 / 3, rel=0.1)
    assert step.env_actions[1].min() >= 0.0


def test_the_learning_rate_falls_as_it_is_scheduled():
    config = AlgorithmConfig.parse({"type": "td3", "lr_schedule": "cosine", "lr": 1.0})
    module = compose(POINT, HAND, algorithm=config).build()
    algorithm = config.build(module, torch.Generator())
    algorithm.at(Elapsed(1, 4))
    assert algorithm.lr == (1 + math.sqrt(0.5)) / 2


def test_a_run_goes_on_bit_for_bit(tmp_path):
    small = {"type": "td3", "batch_size": 8, "learning_starts": 16, "train_ratio": 0.75}
    wanted = experiment("Reach1D", algorithm=small, total_steps=96)

    def rest(trainer):
        seen = []
        while not trainer.done:
            seen.append(trainer.step().metrics)
        return seen, trainer.module.get_state()

    with trainer_of(wanted) as trainer:
        while trainer.progress.env_steps < 50:
            trainer.step()
        trainer.save(tmp_path / "checkpoint")
        trainer.restore(tmp_path / "checkpoint")
        metrics, state = rest(trainer)
    with trainer_of(wanted) as trainer:
        trainer.restore(tmp_path / "checkpoint")
        again, same = rest(trainer)
    assert metrics == again
    assert all(torch.equal(state[name], same[name]) for name in state)


@pytest.mark.parametrize("tag", ["td3", "tqc"])
@pytest.mark.parametrize("action", [spaces.MultiDiscrete([2, 3]), spaces.Discrete(2)])
def test_choices_are_refused(tag, action):
    with pytest.raises(CompositionError) as caught:
        compose(POINT, action, algorithm=tag)
    problem = caught.value.problems[0]
    assert problem.message.startswith(f"{tag} moves real actions along the gradient of their value")
    assert {"dqn", "ppo", "sac"} <= set(problem.valid)


@pytest.mark.parametrize("tag", ["td3", "tqc"])
def test_actions_without_bounds_are_refused(tag):
    with pytest.raises(CompositionError, match="has an infinite one") as caught:
        compose(POINT, spaces.Box(-np.inf, 1.0, (2,)), algorithm=tag)
    assert caught.value.problems[0].valid == ("ppo",)


def test_a_distribution_that_spreads_is_refused():
    with pytest.raises(ContractError) as caught:
        compose(POINT, HAND, {"distribution": "squashed_gaussian"}, "td3")
    assert caught.value.problems[0].fix == "model/distribution=deterministic"
