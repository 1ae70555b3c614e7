import math

import pytest
import torch
from actor_critics import GAMMA, learner, transition
from experiments import experiment
from gymnasium import spaces

from composer import compose
from composer.algorithms._sequences import now
from composer.algorithms.tqc import quantile_huber, truncated
from composer.catalog.catalog import Catalog
from composer.columns import Columns
from composer.errors import ConfigError
from composer.heads.continuous_q import ContinuousQHeadConfig

POINT = spaces.Box(-1.0, 1.0, (3,))
HAND = spaces.Box(-1.0, 1.0, (1,))
CERTAIN = -20.0


def test_the_highest_quantiles_of_all_critics_together_are_left_out():
    quantiles = torch.tensor([[[1.0, 5.0, 9.0]], [[2.0, 3.0, 4.0]]])
    assert truncated(quantiles, 1).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert truncated(quantiles, 0).tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]]


def test_the_quantile_huber_loss_weighs_both_sides_of_a_quantile():
    quantiles, goals = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.5, 3.0]])
    # Levels 1/4 and 3/4; the Huber loss of d is d² / 2 up to 1, then |d| - 1/2.
    pairs = [
        0.25 * 0.125,  # 0.5 above 0
        0.25 * 2.5,  # 3 above 0
        0.25 * 1.0,  # 0.5 below 2, by 1.5: |3/4 - 1|
        0.75 * 0.5,  # 3 above 2
    ]
    assert quantile_huber(quantiles, goals).tolist() == pytest.approx([sum(pairs) / 4])


def test_quantiles_of_samples_make_the_loss_least():
    samples = torch.linspace(0.0, 100.0, 1001).unsqueeze(0)
    levels = (torch.arange(5) + 0.5) / 5
    best = (100 * levels).unsqueeze(0).requires_grad_()
    quantile_huber(best, samples).sum().backward()
    assert best.grad.abs().max() < 1e-3


def tqc(q, target_q, **settings):
    """On critics whose quantiles are lines over the action, `(critics, quantiles, 2)`."""
    return learner(
        HAND,
        Catalog.default().distribution(HAND, algorithm="tqc").config.bind(HAND),
        [[0.5, CERTAIN]] * 3,
        [[critic] * 3 for critic in q],
        [[critic] * 3 for critic in target_q],
        type="tqc",
        **settings,
    )


def test_the_goal_is_of_the_lower_quantiles_at_what_the_policy_would_do():
    after = math.tanh(0.5)
    algorithm = tqc(
        q=[[[0.0, 1.0], [0.0, 2.0]], [[0.0, 0.0], [1.0, 0.0]]],
        target_q=[[[1.0, 0.0], [0.0, 9.0]], [[0.0, 8.0], [0.0, -1.0]]],
        top_quantiles_to_drop_per_net=1,
    )
    batch = transition(torch.tensor([[1.0]]), reward=0.25)
    loss, q, goal = algorithm.critic_loss(batch, torch.zeros(1))
    expected = [0.25 - GAMMA, 0.25 + GAMMA * after]
    assert goal.tolist() == [pytest.approx(expected, abs=1e-5)]
    assert q[1].tolist() == [pytest.approx([0.0, math.tanh(1.0)])]
    each = quantile_huber(q, goal)
    assert float(loss.detach()) == pytest.approx(float(each.mean()), abs=1e-6)
    means = [1.5 - sum(expected) / 2, math.tanh(1.0) / 2 - sum(expected) / 2]
    assert float(algorithm.errors) == pytest.approx(sum(map(abs, means)) / 2, abs=1e-5)


def test_the_policy_follows_the_mean_of_all_quantiles():
    algorithm = tqc(
        q=[[[1.0, 0.0], [2.0, 0.0]], [[3.0, 0.0], [6.0, 0.0]]], target_q=[[[0.0, 0.0]] * 2] * 2
    )
    drawn = algorithm.draw(algorithm.policy(now({Columns.OBS: torch.tensor([0])})))
    loss = algorithm.actor_loss(transition(torch.zeros(1, 1)), drawn, torch.zeros(1))
    assert float(loss.detach()) == pytest.approx(-3.0 * math.tanh(0.5), abs=1e-5)


def test_the_head_has_the_papers_critics_and_quantiles():
    head = compose(POINT, HAND, algorithm="tqc").by_name["continuous_q"].config
    assert isinstance(head, ContinuousQHeadConfig)
    assert (head.n_critics, head.n_quantiles) == (5, 25)


def test_dropping_every_quantile_is_refused():
    wrong = {"type": "tqc", "n_quantiles": 3, "top_quantiles_to_drop_per_net": 3}
    with pytest.raises(ConfigError, match="nothing is left of 3 quantiles without the 3 highest"):
        experiment("Reach1D", algorithm=wrong)
