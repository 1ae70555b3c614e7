import functools

import numpy as np
import pytest
import torch
from experiments import experiment, trainer_of, tuned

from composer import testing
from composer.columns import Columns

NARROW = {
    "diag_gaussian": {"log_std_init": -1.5},
    "squashed_gaussian": {"log_std_init": -1.5, "log_std": "independent"},
    "beta": {},
    "gsde": {"log_std_init": -1.5},
}
"""Samples near the mean, so that a few thousand steps tell one action from the next."""

# Steps, environments, and what differs from this:
BASE = {"lr": 3e-3, "lr_schedule": "linear", "rollout_steps": 32, "epochs": 4, "num_minibatches": 4}
SETTINGS = {
    "Bandit": (2_000, 8, {}),
    "ContextualBandit": (4_000, 8, {}),
    "MultiDiscreteBandit": (16_000, 32, {"epochs": 8, "entropy_coef": 0.05}),
    "MultiBinaryBandit": (12_000, 16, {"entropy_coef": 0.02}),
    "ImageBandit": (2_000, 8, {"lr": 1e-3, "entropy_coef": 0.02}),
    "DictBandit": (3_000, 8, {"lr": 1e-3, "entropy_coef": 0.02}),
    "TextBandit": (4_000, 16, {}),
    "SequenceBandit": (8_000, 16, {}),
    "DigitsBandit": (8_000, 16, {}),
    "BitsBandit": (6_000, 16, {}),
    "MaskedBandit": (4_000, 8, {}),
    "Chain": (4_000, 8, {}),
    "Reach1D": (8_000, 16, {}),
    "JointReach": (16_000, 16, {"entropy_coef": 0.02}),
    "ReachTruncated": (12_000, 8, {"gamma": 0.9, "lr": 1e-2}),
}
SLACK = {"Reach1D": 0.01, "JointReach": 0.02, "ReachTruncated": 0.08}
"""How far from its optimum a problem of real actions is solved: (0.1)² a step."""


@functools.cache
def trained(problem, wrappers=(), distribution="diag_gaussian", encoder=()):
    """A trainer that has taken all its steps, and the mean return of its greedy policy."""
    total, num_envs, settings = SETTINGS[problem]
    env = {"id": f"composer.testing:{problem}-v0", "num_envs": num_envs, "wrappers": list(wrappers)}
    model = {"distribution": {"type": distribution, **NARROW[distribution]}}
    wanted = experiment(
        env,
        total_steps=total,
        algorithm=BASE | settings,
        model=(model if problem.startswith("Reach") else {}) | {"encoder": dict(encoder)},
        evaluation={"every": 0, "episodes": 200, "num_envs": 10},
    )
    with trainer_of(wanted) as trainer:
        return trainer, trainer.train().evaluation.mean


@pytest.mark.parametrize("problem", testing.PROBLEMS, ids=lambda problem: problem.__name__)
def test_ppo_finds_the_optimum(problem):
    name = problem.__name__
    _, mean = trained(name)
    assert mean >= problem.optimal_return - SLACK.get(name, 0.0)


@pytest.mark.parametrize("distribution", ["squashed_gaussian", "beta", "gsde"])
def test_ppo_reaches_with_other_distributions(distribution):
    _, mean = trained("Reach1D", distribution=distribution)
    assert mean >= testing.Reach1D.optimal_return - SLACK["Reach1D"]


# A policy that sees nothing gets the mean over the targets at best, and no more than 0.1 above it
# by the luck of 200 draws.
@pytest.mark.parametrize(
    ("problem", "at_best"),
    [
        ("ContextualBandit", 1 / 4),
        ("TextBandit", 1 / 4),
        ("SequenceBandit", 1 / 4),
        ("Reach1D", -1 / 3),
    ],
)
def test_a_policy_that_sees_nothing_finds_no_optimum(problem, at_best):
    _, mean = trained(problem, ("experiments.Blind",))
    assert mean <= at_best + 0.1


# Without places a policy tells two pairs of words from one another, and of a sequence its length L:
# the likeliest arm is then the last of L, and the arm is that one with Σ 1/4 · 1/(5 - L).
@pytest.mark.parametrize(
    ("problem", "at_best"), [("TextBandit", 1 / 2), ("SequenceBandit", 25 / 48)]
)
def test_an_encoder_that_is_blind_to_order_finds_no_optimum(problem, at_best):
    _, mean = trained(problem, encoder=(("positions", 0),))
    assert mean <= at_best + 0.1


@pytest.mark.parametrize("problem", ["TextBandit", "SequenceBandit"])
def test_what_reads_the_elements_in_order_needs_no_places(problem):
    _, mean = trained(problem, encoder=(("positions", 0), ("pool", "gru")))
    assert mean == 1.0


def test_the_value_of_a_task_that_only_truncation_ends_is_that_of_going_on_for_ever():
    trainer, _ = trained("ReachTruncated")
    obs = torch.linspace(-1, 1, 9).unsqueeze(-1)
    values = trainer.module.compute_values({Columns.OBS: obs}).detach().numpy()
    # A critic that took truncation for termination would count the 1 to 8 steps that are left:
    # (1 - γⁿ) / (1 - γ), 3.6 on average.
    assert values == pytest.approx(np.full(9, 1 / (1 - 0.9)), abs=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "stem", "bar"),
    [
        ("CartPole-v1", "cartpole_ppo", 475.0),
        ("Acrobot-v1", "acrobot_ppo", -110.0),
        ("Pendulum-v1", "pendulum_ppo", -250.0),
        ("Taxi-v3", "taxi_ppo", 7.0),
    ],
)
def test_ppo_solves_a_classic_as_it_is_tuned(env_id, stem, bar):
    wanted = tuned(env_id, stem, evaluation={"every": 0, "episodes": 100})
    with trainer_of(wanted) as trainer:
        assert trainer.train().evaluation.mean >= bar
