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


def trained(problem, memory):
    """The mean return of the greedy policy after training."""
    total_steps, algorithm = SETTINGS[problem]
    wanted = experiment(
        {"id": f"composer.testing:{problem}-v0", "num_envs": 16},
        total_steps=total_steps,
        algorithm=BASE | algorithm,
        model={"memory": memory},
        evaluation={"every": 0, "episodes": 200, "num_envs": 10},
    )
    with trainer_of(wanted) as trainer:
        return trainer.train().evaluation.mean


@pytest.mark.parametrize("kind", ["lstm", "gru", "attention"])
@pytest.mark.parametrize("problem", SETTINGS)
def test_ppo_learns_with_a_memory(problem, kind):
    assert trained(problem, {"type": kind, "hidden_size": 32}) >= 0.95 * OPTIMA[problem]


# Chance gives 4 of 8 and 1/2; of 200 episodes' means the best of luck is 4.6 and 0.65.
@pytest.mark.parametrize(("problem", "at_best"), [("Recall", 4.6), ("TMaze", 0.65)])
def test_ppo_does_not_learn_without_one(problem, at_best):
    assert trained(problem, {"type": "none"}) <= at_best
