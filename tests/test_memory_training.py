"""Training modules that have a memory: what PPO learns from, and runs from beginning to end."""

import contextlib
import copy
import re
import shlex

import numpy as np
import pytest
import torch
from experiments import (
    driver_of,
    experiment,
    record_minibatches,
    trainer_of,
)
from torch import nn

from composer.cli.main import main
from composer.columns import Columns
from composer.distributions.deterministic import DeterministicConfig
from composer.distributions.greedy import GreedyDistribution
from composer.distributions.squashed_gaussian import SquashedGaussianDistribution
from composer.encoders.base import EncoderConfig
from composer.errors import ComposerError, ConfigError, ContractError
from composer.experiment import Experiment
from composer.module.rl_module import RLModule
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
def test_what_was_collected_is_computed_again_from_the_states_that_were_kept(kind, problem, inputs):
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


def test_the_memory_is_given_what_was_done_and_paid_in_the_step_before():
    stack, driver = trained_driver("ReachTruncated")
    with stack:
        before = driver.rollout.batch(CPU)
        last = before[Columns.ACTIONS][:, -1].clone(), before[Columns.REWARDS][:, -1].clone()
        driver.collector.collect(driver.rollout)
        batch = driver.rollout.batch(CPU)
        pairs = (Columns.PREV_ACTIONS, Columns.ACTIONS), (Columns.PREV_REWARDS, Columns.REWARDS)
        for (previous, done), carried in zip(pairs, last, strict=True):
            expected = torch.cat([carried.unsqueeze(1), batch[done]], 1)
            begins = batch[Columns.IS_FIRST]
            torch.testing.assert_close(batch[previous][~begins], expected[~begins])


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
            "trunks": {
                "critic": {"memory": {"type": "attention", "hidden_size": 4, "max_seq_len": 3}}
            }
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


def test_more_minibatches_than_sequences_are_refused():
    with pytest.raises(ConfigError) as raised:
        _ = wanted(num_minibatches=10).blueprint
    (problem,) = raised.value.problems
    assert problem.path == "algorithm.num_minibatches"
    assert problem.message == (
        "a rollout of 3 environments × 3 sequences of 4 steps cannot be cut into 10 minibatches"
    )
    assert problem.fix == "algorithm.num_minibatches=4"
    assert wanted(num_minibatches=9).blueprint
    assert wanted(num_minibatches=33, memory={"max_seq_len": 1}).blueprint


# --- hand-written modules


class Own(RLModule):
    """An LSTM of one's own."""

    def setup(self):
        encoder = {"type": "mlp", "hidden": [8], "norm": "running"}
        config = EncoderConfig.parse(encoder).resolve(self.observation_space)
        self.encoder = config.build(self.observation_space)
        self.cells = nn.LSTM(8, 8, batch_first=True)
        self.policy = nn.Linear(8, self.model_config.get("inputs") or int(self.action_space.n))
        self.value = nn.Linear(8, 1)

    def get_initial_state(self, batch_size=1):
        return {name: torch.zeros(batch_size, 8) for name in ("h", "c")}

    def run(self, batch):
        """Features, and the state after them; obs `(B, T, …)` or `(B, …)`."""
        features, is_first = self.encoder(batch[Columns.OBS]), batch[Columns.IS_FIRST]
        is_step = is_first.dim() == 1
        if is_step:
            features, is_first = features.unsqueeze(1), is_first.unsqueeze(1)
        state = batch[Columns.STATE_IN]
        parts, outs = (state["h"].unsqueeze(0), state["c"].unsqueeze(0)), []
        for t in range(features.shape[1]):
            parts = tuple(part * ~is_first[:, t, None] for part in parts)
            out, parts = self.cells(features[:, t : t + 1], parts)
            outs.append(out)
        out, (h, c) = torch.cat(outs, 1), parts
        return out.squeeze(1) if is_step else out, {"h": h[0], "c": c[0]}

    def _forward(self, batch, **kwargs):
        features, state = self.run(batch)
        return {
            Columns.ACTION_DIST_INPUTS: self.policy(features),
            Columns.VF_PREDS: self.value(features).squeeze(-1),
            Columns.STATE_OUT: state,
        }

    def compute_values(self, batch, embeddings=None):
        return self.value(self.run(batch)[0]).squeeze(-1)


class LastOnly(Own):
    """Its `forward_train` speaks of the last step alone."""

    def _forward_train(self, batch, **kwargs):
        out = self._forward(batch)
        return {**out, Columns.ACTION_DIST_INPUTS: out[Columns.ACTION_DIST_INPUTS][:, -1]}


class OwnQ(Own):
    """Values of actions, by a memory."""

    def get_train_action_dist_cls(self):
        return GreedyDistribution

    def compute_q_values(self, batch, embeddings=None):
        return {Columns.QF_PREDS: self.policy(self.run(batch)[0])}

    def make_target_networks(self):
        self.copied = copy.deepcopy(self.policy)

    def get_target_network_pairs(self):
        return [(self.policy, self.copied)]

    def forward_target(self, batch):
        return {Columns.QF_PREDS: self.copied(self.run(batch)[0])}


class Forgetful(OwnQ):
    """Its `forward_train` says nothing of the state after a sequence."""

    def _forward_train(self, batch, **kwargs):
        out = self._forward(batch)
        return {name: value for name, value in out.items() if name != Columns.STATE_OUT}


class OwnActorCritic(Own):
    """A policy and critics by one memory, which takes sequences alone where it is trained."""

    def setup(self):
        super().setup()
        self.critics = nn.ModuleList(nn.Linear(8 + 1, 1) for _ in range(2))

    def get_train_action_dist_cls(self):
        return SquashedGaussianDistribution

    def _forward_train(self, batch, **kwargs):
        assert batch[Columns.IS_FIRST].dim() == 2
        return self._forward(batch)

    def _values(self, critics, batch):
        assert batch[Columns.PREV_ACTIONS].shape[:2] == batch[Columns.IS_FIRST].shape
        both = torch.cat([self.run(batch)[0], batch[Columns.ACTIONS]], -1)
        return {Columns.QF_PREDS: torch.stack([critic(both).squeeze(-1) for critic in critics])}

    def compute_action_values(self, batch):
        return self._values(self.critics, batch)

    def compute_self_supervised_loss(self, batch, out):
        change = batch[Columns.NEXT_OBS] - batch[Columns.OBS]
        return {"change": change[batch[Columns.LOSS_MASK]].square().mean()}

    def make_target_networks(self):
        self.copied_policy = copy.deepcopy(self.policy)
        self.copied_critics = copy.deepcopy(self.critics)

    def get_target_network_pairs(self):
        return [(self.policy, self.copied_policy), (self.critics, self.copied_critics)]

    def forward_target(self, batch):
        if Columns.ACTIONS in batch:
            return self._values(self.copied_critics, batch)
        return {Columns.ACTION_DIST_INPUTS: self.copied_policy(self.run(batch)[0])}


class OwnDeterministic(OwnActorCritic):
    """The same for `td3`."""

    def get_train_action_dist_cls(self):
        return DeterministicConfig().bind(self.action_space)


def own(name="Own", algorithm=None, **config):
    model = {"type": "custom", "path": f"test_memory_training.{name}", "config": config}
    return experiment(
        {"id": "composer.testing:TMaze-v0", "num_envs": 3},
        algorithm=algorithm or {"rollout_steps": 11, "num_minibatches": 1, "epochs": 1},
        model=model,
        total_steps=132,
    )


def test_a_hand_written_memory_is_trained_on_sequences_of_its_own_length():
    with trainer_of(own(max_seq_len=4)) as trainer:
        seen = record_minibatches(trainer.driver.algorithm)
        weights = trainer.module.cells.weight_hh_l0.clone()
        for _ in range(2):
            assert trainer.step().metrics["train/kl"] == pytest.approx(0.0, abs=1e-6)
        assert not torch.equal(weights, trainer.module.cells.weight_hh_l0)
        assert seen[0][Columns.ADVANTAGES].shape == (9, 4)
        assert float(trainer.module.encoder.state_dict()["scaling.norm.count"]) > 0


def refused(wanted, kind=ContractError):
    with pytest.raises(kind) as raised:
        wanted.require_model()
    (problem,) = raised.value.problems
    return problem


def test_a_forward_that_loses_the_axis_of_time_is_told_so():
    problem = refused(own("LastOnly", max_seq_len=4))
    assert problem.message.startswith(
        "`forward_train` of LastOnly must return `action_dist_inputs`: expected (*B, inputs), "
        "where *B is (2, 3)"
    )


@pytest.mark.parametrize(
    ("length", "message", "fix"),
    [
        (0, "sequences have a number of steps, 1 or more", 20),
        ("many", "sequences have a number of steps, 1 or more", 20),
        (12, "sequences of 12 steps are longer than the rollout of 11", 11),
    ],
)
def test_a_length_of_sequences_that_cannot_be_is_refused(length, message, fix):
    problem = refused(own(max_seq_len=length))
    assert message in problem.message
    assert problem.path == "model.config.max_seq_len"
    assert problem.value == length
    assert problem.fix == f"model.config.max_seq_len={fix}"


def test_more_minibatches_than_a_hand_written_memory_has_sequences_are_refused():
    few = {"rollout_steps": 11, "num_minibatches": 10}
    problem = refused(own(algorithm=few, max_seq_len=4), ConfigError)
    assert problem.fix == "algorithm.num_minibatches=4"


# --- runs


QUICK = [
    "env=gym", "env.id=composer.testing:TMaze-v0", "env.num_envs=3", "logger=none",
    "algorithm.rollout_steps=11", "algorithm.num_minibatches=2", "algorithm.epochs=1",
    "model.memory.max_seq_len=4", "model.memory.hidden_size=8",
    "evaluation.every=0", "evaluation.episodes=3", "logging.every=0", "checkpoint.every=1",
]  # fmt: skip


def composer(capsys, *words):
    capsys.readouterr()
    status = main([*words])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


@each_kind
def test_a_run_with_a_memory_from_check_to_resume(kind, tmp_path, capsys):
    words = [f"model/memory={kind}", *QUICK, "total_steps=66"]
    assert "main.memory" in composer(capsys, "explain", *words)
    composer(capsys, "check", *words)
    run = tmp_path / "run"
    trained = composer(capsys, "train", "--run-dir", str(run), *words)
    at_the_end = re.findall(r"return (\S+) ± ", trained)[-1]
    assert f"return {at_the_end} ± " in composer(capsys, "eval", str(run))
    composer(capsys, "resume", str(run), "total_steps=132")
    steps = [int(path.name.removeprefix("step_")) for path in run.glob("checkpoints/step_*")]
    assert max(steps) >= 132


@each_kind
def test_whoever_goes_on_from_a_checkpoint_learns_the_same(kind, tmp_path):
    experiment = wanted("TMaze", kind)
    with trainer_of(experiment) as trainer, trainer_of(experiment) as other:
        trainer.step()
        trainer.save(tmp_path / "saved")
        trainer.step()
        trainer.restore(tmp_path / "saved")  # in the middle of episodes, of which nothing is kept
        other.restore(tmp_path / "saved")
        assert trainer.step().metrics.keys() == other.step().metrics.keys()
        ours, theirs = trainer.module.state_dict(), other.module.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@each_kind
def test_the_same_seed_gives_the_same_run(kind):
    weights = []
    for _ in range(2):
        with trainer_of(wanted("TMaze", kind)) as trainer:
            trainer.train()
            weights.append(trainer.module.state_dict())
            evaluated = [trainer.evaluate().returns for _ in range(2)]
            assert evaluated[0] == evaluated[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def moved(trainer):
    before = {name: value.clone() for name, value in trainer.module.state_dict().items()}
    trainer.step()
    after = trainer.module.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


@each_kind
def test_a_frozen_memory_stays_as_it_is(kind):
    with trainer_of(wanted("TMaze", kind), freeze="main.memory") as trainer:
        names = moved(trainer)
        assert not any(name.startswith("main.memory.") for name in names)
        assert any(name.startswith("critic.memory.") for name in names)
        assert any(name.startswith("main.encoder.") for name in names)


@each_kind
def test_a_memory_has_a_learning_rate_of_its_own(kind):
    parts = {"main.memory": {"lr": 1e-9}}
    with trainer_of(wanted("TMaze", kind, optimiser={"type": "sgd", "parts": parts})) as trainer:
        before = {name: value.clone() for name, value in trainer.module.state_dict().items()}
        trainer.step()
        change = {
            name: float((value - before[name]).abs().max())
            for name, value in trainer.module.state_dict().items()
        }
    assert max(v for name, v in change.items() if name.startswith("main.memory.")) < 1e-7
    assert max(v for name, v in change.items() if name.startswith("main.encoder.")) > 1e-6


WRONG = [
    # the words before, the wrong word, where it is wrong
    (["algorithm=dqn"], "algorithm.replay.burn_in=3", "algorithm.replay.burn_in"),
    (
        ["algorithm=dqn", "model/memory=gru"],
        "algorithm.replay.capacity=64",
        "algorithm.replay.capacity",
    ),
    (["model/memory=lstm"], "model.memory.max_seq_len=0", "model.memory.max_seq_len"),
    (["model/memory=lstm"], "model.memory.max_seq_len=129", "model.memory.max_seq_len"),
    (["model/memory=lstm"], "algorithm.num_minibatches=1000", "algorithm.num_minibatches"),
    (["model/memory=attention"], "model.memory.window=0", "model.memory.window"),
    (["model/memory=attention"], "model.memory.num_heads=3", "model.memory.num_heads"),
    (["model/memory=lstm"], "model.memory.inputs=[prev_actoin]", "model.memory.inputs[0]"),
]


@pytest.mark.parametrize(("words", "wrong", "path"), WRONG, ids=[row[1] for row in WRONG])
def test_a_wrong_word_is_refused_and_the_line_to_type_in_its_place_works(words, wrong, path):
    with pytest.raises(ComposerError) as raised:
        _ = Experiment.load([*words, wrong]).blueprint
    (problem,) = raised.value.problems
    assert problem.path == path
    assert "command line" in str(problem.origin)
    assert problem.fix or path.endswith("[0]")
    if problem.fix:
        assert Experiment.load([*words, *shlex.split(problem.fix)]).blueprint
