"""Training modules that have a memory: what PPO learns from, and runs from beginning to end."""

import contextlib

import numpy as np
import pytest
import torch
from experiments import (
    driver_of,
    experiment,
    record_minibatches,
    trainer_of,
)

from composer.cli.main import main
from composer.columns import Columns
from composer.errors import ConfigError
from composer.experiment import Experiment
from composer.optimisers._schedule import Elapsed

CPU = torch.device("cpu")
KINDS = ("lstm", "gru", "attention")
PROBLEMS = ("Recall", "TMaze", "ReachTruncated")
each_kind = pytest.mark.parametrize("kind", KINDS)


def wanted(problem="Recall", kind="lstm", memory=None, model=None, env=None, **algorithm):
    """Rollouts of 3 environments × 11 steps, in sequences of 4, of episodes that end on the way."""
    own = {"type": kind, "hidden_size": 8, "max_seq_len": 4, **(memory or {})}
    return experiment(
        {"id": f"composer.testing:{problem}-v0", "num_envs": 3, **(env or {})},
        algorithm={"rollout_steps": 11, "num_minibatches": 2, "epochs": 2, "lr": 1e-2} | algorithm,
        model={"encoder": {"hidden": [8]}, "memory": own, **(model or {})},
        total_steps=132,
    )


def trained_driver(problem="Recall", kind="lstm", updates=1, **settings):
    stack = contextlib.ExitStack()
    driver = stack.enter_context(driver_of(wanted(problem, kind, **settings)))
    for _ in range(updates):
        driver.iterate(Elapsed())
    return stack, driver


@pytest.mark.parametrize("inputs", [[], ["prev_action", "prev_reward"]], ids=["alone", "previous"])
@pytest.mark.parametrize("problem", PROBLEMS)
@each_kind
def test_what_was_collected_is_computed_again_from_the_states_that_were_kept(
    kind, problem, inputs
):
    stack, driver = trained_driver(problem, kind, memory={"inputs": inputs})
    with stack:
        for _ in range(2):
            driver.iterate(Elapsed())
            driver.collector.collect(driver.rollout)
            batch = driver.algorithm._with_advantages(driver.rollout.batch(CPU))
            out = driver.module.forward_train(batch)
            mask = batch[Columns.LOSS_MASK]
            new = driver.module.action_distribution(out).log_prob(batch[Columns.ACTIONS])
            for given, kept in (
                (new, Columns.ACTION_LOGP),
                (out[Columns.VF_PREDS], Columns.VF_PREDS),
                (out[Columns.ACTION_DIST_INPUTS], Columns.ACTION_DIST_INPUTS),
            ):
                torch.testing.assert_close(given[mask], batch[kept][mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("problem", PROBLEMS)
@each_kind
def test_the_first_ratio_is_one(kind, problem):
    with driver_of(wanted(problem, kind, epochs=1, num_minibatches=1)) as driver:
        for _ in range(2):
            metrics = driver.iterate(Elapsed()).metrics
            assert metrics["kl"] == pytest.approx(0.0, abs=1e-6)
            assert metrics["clip_fraction"] == 0.0


@pytest.mark.parametrize("max_seq_len", [1, 4, 11])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_step_that_counts_is_learnt_from_once_an_epoch(problem, max_seq_len):
    with driver_of(wanted(problem, memory={"max_seq_len": max_seq_len})) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
        columns = driver.rollout.batch(CPU)
    counted = columns[Columns.LOSS_MASK]
    assert problem != "ReachTruncated" or not counted.all()
    for epoch in (seen[:2], seen[2:]):
        rows = torch.cat([m[Columns.ACTION_LOGP][m[Columns.LOSS_MASK]] for m in epoch])
        assert rows.sort()[0].tolist() == columns[Columns.ACTION_LOGP][counted].sort()[0].tolist()


@each_kind
def test_what_does_not_count_changes_nothing(kind):
    stack, driver = trained_driver("ReachTruncated", kind)
    with stack:
        driver.collector.collect(driver.rollout)
        batch = driver.algorithm._with_advantages(driver.rollout.batch(CPU))
        mask = batch[Columns.LOSS_MASK]
        assert not mask.all()
        noise = dict(batch)
        for column in (
            Columns.ADVANTAGES, Columns.VALUE_TARGETS, Columns.ACTION_LOGP, Columns.VF_PREDS,
            Columns.ACTIONS,
        ):  # fmt: skip
            noise[column] = batch[column].clone()
            noise[column][~mask] = 1e6
        loss, metrics = driver.algorithm.loss(batch)
        again, same = driver.algorithm.loss(noise)
        assert torch.equal(loss, again)
        assert all(map(torch.equal, metrics, same))


@each_kind
def test_sequences_in_which_nothing_counts_are_left_out(kind):
    """Dummy steps make sequences of their own where those are of one step."""
    settings = {"memory": {"max_seq_len": 1}, "num_minibatches": 33}
    with driver_of(wanted("ReachTruncated", kind, **settings)) as driver:
        for _ in range(3):
            seen = record_minibatches(driver.algorithm)
            metrics = driver.iterate(Elapsed()).metrics
            assert all(np.isfinite(value) for value in metrics.values())
            assert all(m[Columns.LOSS_MASK].any() for m in seen)
    assert not driver.rollout.batch(CPU)[Columns.LOSS_MASK].all()


def test_the_bootstrap_uses_the_state_after_the_rollout():
    with driver_of(wanted("TMaze", gamma=1.0, gae_lambda=1.0)) as driver:
        driver.iterate(Elapsed())
        driver.collector.collect(driver.rollout)
        columns = driver.rollout.batch(CPU)
        collector = driver.collector
        given = collector.memory[Columns.STATE_IN]
        is_first = torch.from_numpy(collector.is_first)
        obs = torch.from_numpy(collector.obs)
        batch = {Columns.OBS: obs, Columns.STATE_IN: given, Columns.IS_FIRST: is_first}
        last = driver.module.compute_values(batch).detach()
        batch = driver.algorithm._with_advantages(columns)
        targets, checked = batch[Columns.VALUE_TARGETS], 0
        for env in range(3):
            ends = columns[Columns.TERMINATEDS][env] | columns[Columns.TRUNCATEDS][env]
            after = int(ends.nonzero()[-1]) + 2 if ends.any() else 0  # past its dummy step
            if after < 11:
                rewards = columns[Columns.REWARDS][env, after:].sum()
                place = env * 3 + after // 4, after % 4
                assert targets[place] == pytest.approx(float(rewards + last[env]), abs=1e-4)
                checked += 1
        assert checked


VARIANTS = {
    "shared": {"model": {"trunks": {}}},
    "only_actor": {"model": {"trunks": {"critic": {"memory": {"type": "none"}}}}},
    "only_critic": {
        "memory": None,
        "model": {
            "memory": {"type": "none"},
            "trunks": {"critic": {"memory": {"type": "lstm", "hidden_size": 8, "max_seq_len": 4}}},
        },
    },
    "two_kinds": {
        "model": {
            "trunks": {"critic": {"memory": {"type": "attention", "hidden_size": 4, "max_seq_len": 3}}}
        }
    },
    "auxiliary": {
        "model": {"heads": {"next": {"type": "next_state"}, "again": {"type": "reconstruction"}}}
    },
    "curiosity": {"model": {"heads": {"curious": {"type": "curiosity"}}}},
    "normalised": {"problem": "TMaze", "model": {"encoder": {"hidden": [8], "norm": "running"}}},
    "async": {"env": {"vectorization": "async"}},
    "sign": {"env": {"training_reward": "sign"}, "memory": {"inputs": ["prev_reward"]}},
    "scaled": {"reward_scaling": "running", "memory": {"inputs": ["prev_reward"]}},
    "kl": {"kl_coef": 0.1, "value_clip": 0.1, "normalize_advantages": "batch"},
    "gsde": {"problem": "ReachTruncated", "model": {"distribution": {"type": "gsde"}}},
    "masked": {"problem": "MaskedBandit"},
    "ragged": {"problem": "SequenceBandit"},
    "text": {"problem": "TextBandit"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_all_that_ppo_has_goes_with_a_memory(name):
    with trainer_of(wanted(**VARIANTS[name], epochs=1, num_minibatches=1)) as trainer:
        before = {k: v.clone() for k, v in trainer.module.state_dict().items()}
        for _ in range(2):
            metrics = trainer.step().metrics
            assert metrics["train/kl"] == pytest.approx(0.0, abs=1e-5)
            assert all(np.isfinite(value) for value in metrics.values())
        after = trainer.module.state_dict()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert {name.partition(".")[0] for name in moved if ".memory." in name} == {
            *trainer.module.get_initial_state(1)
        }
