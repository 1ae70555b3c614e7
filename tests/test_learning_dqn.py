"""What dqn learns where the optimum is known, with each thing that was added to it."""

import pytest
from experiments import experiment, trainer_of, tuned

from composer import testing

BASE = {
    "type": "dqn",
    "lr": 2e-3,
    "lr_schedule": "linear",
    "learning_starts": 200,
    "train_ratio": 0.5,
    "rollout_steps": 4,
    "epsilon_steps": 1500,
    "target_update_every": 50,
}
NARROW = {"ContextualBandit": {"hidden": [32]}, "Chain": {"hidden": [32]}}
STEPS = {"MultiDiscreteBandit": 6000, "DigitsBandit": 6000, "MaskedBandit": 5000}
"""Environment steps, where 3000 are too few."""
SLACK = {"DictBandit": 0.02}
"""How far from its optimum a problem with noisy images is solved: 4 mistakes of 200."""


def greedy_return(problem, wrappers=(), **settings):
    """The mean return of the greedy policy after training."""
    wanted = experiment(
        {"id": f"composer.testing:{problem}-v0", "num_envs": 8, "wrappers": list(wrappers)},
        model={"encoder": NARROW.get(problem, {})},
        algorithm=BASE | settings,
        total_steps=STEPS.get(problem, 3000),
        evaluation={"every": 0, "episodes": 200, "num_envs": 10},
    )
    with trainer_of(wanted) as trainer:
        return trainer.train().evaluation.mean


@pytest.mark.parametrize(
    "problem",
    [
        "ContextualBandit",
        "MultiDiscreteBandit",
        "DictBandit",
        "SequenceBandit",
        "DigitsBandit",
        "MaskedBandit",
        "Chain",
    ],
)
def test_dqn_finds_the_optimum(problem):
    bar = getattr(testing, problem).optimal_return - SLACK.get(problem, 0.0)
    assert greedy_return(problem) >= bar


RAINBOW = {
    "num_atoms": 21,
    "v_min": -0.5,
    "v_max": 1.5,
    "noisy": True,
    "epsilon_start": 0.0,
    "epsilon_end": 0.0,
    "n_step": 3,
    "replay": {"capacity": 5000, "prioritised": {}},
}


@pytest.mark.parametrize(
    "settings",
    [
        {"double": False, "dueling": False, "loss": "mse"},
        {"n_step": 3},
        {"replay": {"capacity": 5000, "prioritised": {}}},
        {"num_atoms": 21, "v_min": -0.5, "v_max": 1.5},
        {"noisy": True, "epsilon_start": 0.0, "epsilon_end": 0.0},
        {"tau": 0.05, "target_update_every": 1},
        RAINBOW,
    ],
    ids=["plain", "n_step", "prioritised", "atoms", "noisy", "tau", "all"],
)
def test_every_variant_walks_the_chain(settings):
    assert greedy_return("Chain", **settings) >= testing.Chain.optimal_return


def test_a_policy_that_sees_nothing_finds_no_optimum():
    assert greedy_return("ContextualBandit", ("experiments.Blind",)) <= 1 / 4 + 0.1


@pytest.mark.slow
def test_dqn_solves_cartpole_as_it_is_tuned():
    wanted = tuned("CartPole-v1", "cartpole_dqn", evaluation={"every": 0, "episodes": 100})
    with trainer_of(wanted) as trainer:
        assert trainer.train().evaluation.mean >= 475.0
