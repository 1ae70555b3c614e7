"""`sac`, `td3` and `tqc` find the optimum of tiny problems, in every kind of space."""

import pytest
import torch
from experiments import experiment, trainer_of, tuned

from composer import testing
from composer.algorithms._sequences import now
from composer.columns import Columns

BASE = {"lr": 3e-3, "batch_size": 64, "learning_starts": 128}
NARROW = {"encoder": {"hidden": [64]}, "heads": {"continuous_q": {"hidden": [64]}}}
NARROW_CHOICES = {"encoder": {"hidden": [64]}, "heads": {"q": {"hidden": [64]}}}
KEYED = NARROW | {
    "encoder": {
        "type": "dict",
        "children": {"sign": "one_hot", "size": {"type": "mlp", "hidden": [32]}},
        "hidden": [64],
    }
}
AS_IT_IS = {}
SMALL = {"n_critics": 2, "n_quantiles": 8, "top_quantiles_to_drop_per_net": 1}

# What is learnt from, by what, steps, updates a step, and what differs from the base.
CASES = [
    ("Reach1D", "sac", NARROW, 2_000, 0.25, {}),
    ("Reach1D", "td3", NARROW, 2_000, 0.25, {}),
    ("Reach1D", "tqc", NARROW, 2_000, 0.25, SMALL),
    ("Reach1D", "sac", NARROW, 2_000, 0.25, {"replay": {"prioritised": {}}}),
    ("ReachTruncated", "sac", NARROW, 2_000, 0.25, {"gamma": 0.9, "n_step": 3}),
    ("ReachTruncated", "td3", NARROW, 2_000, 0.25, {"gamma": 0.9}),
    ("ReachTruncated", "tqc", NARROW, 2_000, 0.25, {"gamma": 0.9} | SMALL),
    ("JointReach", "sac", NARROW, 3_000, 0.25, {"target_entropy_fraction": 0.2}),
    ("ContextualBandit", "sac", NARROW_CHOICES, 1_500, 0.25, {}),
    ("DigitsBandit", "sac", NARROW_CHOICES, 1_500, 0.25, {}),
    ("MaskedBandit", "sac", NARROW_CHOICES, 1_500, 0.25, {}),
    ("Chain", "sac", NARROW_CHOICES, 1_500, 0.25, {"target_entropy_fraction": 0.3}),
    ("ImageBandit", "sac", AS_IT_IS, 1_000, 0.125, {"lr": 1e-3, "batch_size": 32}),
    ("Pictured", "sac", AS_IT_IS, 2_000, 0.25, {"lr": 1e-3, "batch_size": 32}),
    ("Pictured", "td3", AS_IT_IS, 2_000, 0.25, {"lr": 1e-3, "batch_size": 32}),
    ("Pictured", "tqc", AS_IT_IS, 2_000, 0.25, {"lr": 1e-3, "batch_size": 32} | SMALL),
    ("MultiDiscreteBandit", "sac", NARROW_CHOICES, 2_000, 0.25, {"target_entropy_fraction": 0.3}),
    ("Repeated", "sac", AS_IT_IS, 2_000, 0.25, {}),
    ("Repeated", "td3", AS_IT_IS, 2_000, 0.25, {}),
    ("Repeated", "tqc", AS_IT_IS, 2_000, 0.25, SMALL),
    ("Keyed", "sac", KEYED, 3_000, 0.25, {}),
    ("Keyed", "td3", KEYED, 3_000, 0.25, {}),
    ("Keyed", "tqc", KEYED, 3_000, 0.25, SMALL),
]
SLACK = {"Reach1D": 0.02, "Pictured": 0.05, "Keyed": 0.05, "Repeated": 0.05, "JointReach": 0.05}
SLACK["ReachTruncated"] = 8 * SLACK["Reach1D"]
"""How far from its optimum a problem of real actions is solved: (0.14)² a step."""


def trained(problem, algorithm, model, steps, train_ratio, settings):
    """A trainer that has taken all its steps, and the mean return of its greedy policy."""
    seen = [f"experiments.{problem}"] if problem in ("Pictured", "Repeated", "Keyed") else []
    env = {
        "id": f"composer.testing:{'Reach1D' if seen else problem}-v0",
        "num_envs": 8,
        "wrappers": seen,
    }
    wanted = experiment(
        env,
        total_steps=steps,
        algorithm={"type": algorithm, "train_ratio": train_ratio} | BASE | settings,
        model=model,
        evaluation={"every": 0, "episodes": 200, "num_envs": 10},
    )
    with trainer_of(wanted) as trainer:
        return trainer, trainer.train().evaluation.mean


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}-{case[0]}")
def test_the_optimum_is_found(case):
    best = getattr(testing, case[0], testing.Reach1D).optimal_return
    assert trained(*case)[1] >= best - SLACK.get(case[0], 0.0)


def test_the_critics_of_a_task_that_only_truncation_ends_value_going_on_for_ever():
    settings = {"gamma": 0.9, "alpha": 0.0, "tau": 0.05}
    trainer, _ = trained("ReachTruncated", "sac", NARROW, 4_000, 0.25, settings)
    obs = torch.linspace(-1, 1, 9).unsqueeze(-1)
    algorithm = trainer.driver.algorithm
    with torch.no_grad():
        actions = algorithm.policy(now({Columns.OBS: obs})).deterministic()
        values = trainer.module.compute_action_values({Columns.OBS: obs, Columns.ACTIONS: actions})
    # Critics that took truncation for termination would count the 1 to 8 steps that are left:
    # (1 - γⁿ) / (1 - γ), 3.6 on average.
    assert float(values[Columns.QF_PREDS].mean()) == pytest.approx(1 / (1 - 0.9), abs=1.0)


@pytest.mark.slow
def test_sac_solves_pendulum_as_it_is_tuned():
    wanted = tuned("Pendulum-v1", "pendulum_sac", evaluation={"every": 0, "episodes": 100})
    with trainer_of(wanted) as trainer:
        assert trainer.train().evaluation.mean >= -200.0
