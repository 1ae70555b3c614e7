"""What cannot be solved by what is seen now is learnt with a memory, and only with one."""

import pytest
from experiments import experiment, trainer_of

from composer import testing

BASE = {"lr": 3e-3, "lr_schedule": "linear", "rollout_steps": 32, "epochs": 4, "num_minibatches": 4}
SETTINGS = {
    "Recall": (12_000, {"gamma": 0.5}),
    "TMaze": (16_000, {"gamma": 0.9, "entropy_coef": 0.05}),
}
OPTIMA = {"Recall": testing.Recall.optimal_return, "TMaze": testing.TMaze.optimal_return}


OFF_POLICY = {
    "lr": 3e-3,
    "learning_starts": 300,
    "rollout_steps": 4,
    "train_ratio": 0.125,
    "batch_size": 128,
    "gamma": 0.5,
}
OWN = {
    "dqn": {"lr_schedule": "linear", "epsilon_steps": 1500, "target_update_every": 25},
    "sac": {"tau": 0.02, "target_entropy_fraction": 0.3},
}


def trained(problem, memory, total_steps, num_envs=16, **algorithm):
    """The mean return of the greedy policy after training."""
    wanted = experiment(
        {"id": f"composer.testing:{problem}-v0", "num_envs": num_envs},
        total_steps=total_steps,
        algorithm=algorithm,
        model={"memory": memory},
        evaluation={"every": 0, "episodes": 200, "num_envs": 10},
    )
    with trainer_of(wanted) as trainer:
        return trainer.train().evaluation.mean


@pytest.mark.parametrize("kind", ["lstm", "gru", "attention"])
@pytest.mark.parametrize("problem", SETTINGS)
def test_ppo_learns_with_a_memory(problem, kind):
    total_steps, algorithm = SETTINGS[problem]
    memory = {"type": kind, "hidden_size": 32}
    assert trained(problem, memory, total_steps, **BASE | algorithm) >= 0.95 * OPTIMA[problem]


# Chance gives 4 of 8 and 1/2; of 200 episodes' means the best of luck is 4.6 and 0.65.
@pytest.mark.parametrize(("problem", "at_best"), [("Recall", 4.6), ("TMaze", 0.65)])
def test_ppo_does_not_learn_without_one(problem, at_best):
    total_steps, algorithm = SETTINGS[problem]
    assert trained(problem, {"type": "none"}, total_steps, **BASE | algorithm) <= at_best


def trained_off_policy(algorithm, memory):
    settings = {"type": algorithm, **OFF_POLICY, **OWN[algorithm]}
    return trained("Recall", memory, 4000, num_envs=8, **settings)


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("dqn", "lstm"), ("dqn", "attention"), ("sac", "gru")]
)
def test_what_was_replayed_is_learnt_with_a_memory(algorithm, kind):
    reached = trained_off_policy(algorithm, {"type": kind, "hidden_size": 32})
    assert reached >= 0.95 * testing.Recall.optimal_return


def test_dqn_does_not_learn_without_one():
    assert trained_off_policy("dqn", {"type": "none"}) <= 4.6
