"""Dropout and batch normalisation: on while a module learns, off while it acts."""

import copy
import sys
from contextlib import closing

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn.utils import parametrizations

from composer import Columns, Experiment, RLModule, Trainer, compose
from composer.algorithms.base import AlgorithmConfig
from composer.distributions.greedy import GreedyDistribution

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
TWO = spaces.Discrete(2)


class Moody(RLModule):
    """Remembers in which mode each phase found its dropout."""

    def setup(self):
        self.encoder = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.5))
        self.policy = nn.Linear(16, 2)
        self.value = nn.Linear(16, 1)
        self.seen = {"train": set(), "exploration": set(), "inference": set()}

    def logits(self, batch, phase):
        self.seen[phase].add((self.training, self.encoder[1].training, self.encoder[2].training))
        return {Columns.ACTION_DIST_INPUTS: self.policy(self.encoder(batch[Columns.OBS]))}

    def _forward_train(self, batch, **kwargs):
        return self.logits(batch, "train")

    def _forward_exploration(self, batch, **kwargs):
        return self.logits(batch, "exploration")

    def _forward_inference(self, batch, **kwargs):
        return self.logits(batch, "inference")

    def compute_values(self, batch, embeddings=None):
        return self.value(self.encoder(batch[Columns.OBS])).squeeze(-1)


class MoodyQ(Moody):
    def compute_q_values(self, batch):
        return {Columns.QF_PREDS: self.forward_train(batch)[Columns.ACTION_DIST_INPUTS]}

    def make_target_networks(self):
        self.target = copy.deepcopy(nn.Sequential(self.encoder, self.policy)).requires_grad_(False)

    def get_target_network_pairs(self):
        return [(nn.Sequential(self.encoder, self.policy), self.target)]

    def forward_target(self, batch):
        return {Columns.QF_PREDS: self.target(batch[Columns.OBS])}

    def get_train_action_dist_cls(self):
        return GreedyDistribution


class MoodySAC(MoodyQ):
    get_train_action_dist_cls = RLModule.get_train_action_dist_cls


SHORT = ["logger=none", "evaluation={episodes: 2, every: 0}", "model=custom"]


def trainer_of(cls, *typed, envs=2):
    setattr(sys.modules[__name__], cls.__name__, cls)
    path = f"model.path={__name__}.{cls.__name__}"
    return Trainer(Experiment.load([path, f"env.num_envs={envs}", *SHORT, *typed]))


@pytest.mark.parametrize(
    ("cls", "typed"),
    [
        (Moody, ["algorithm.rollout_steps=16", "algorithm.epochs=1"]),
        (
            MoodyQ,
            ["algorithm=dqn", "algorithm.learning_starts=8", "algorithm.rollout_steps=32"],
        ),
    ],
)
def test_a_module_learns_in_train_mode_and_acts_in_eval_mode(cls, typed):
    with closing(trainer_of(cls, *typed)) as trainer:
        for _ in range(2):
            trainer.step()
        first, again = trainer.evaluate(), trainer.evaluate()
        assert trainer.module.seen == {
            "train": {(True, True, True)},
            "exploration": {(False, False, False)},
            "inference": {(False, False, False)},
        }
        assert int(trainer.module.encoder[1].num_batches_tracked) > 0
        assert first == again


def test_what_is_frozen_stays_in_eval_mode():
    module = Moody(VECTOR, TWO)
    module.freeze("encoder")
    module.rest()
    with module.learning():
        assert module.training
        assert not module.encoder[2].training
    assert not module.training
    module.train()
    assert (module.training, module.policy.training) == (True, True)
    assert not any(part.training for part in module.encoder.modules())


def test_a_copy_has_modes_of_its_own():
    module = Moody(VECTOR, TWO)
    module.rest()
    with copy.deepcopy(module).learning():
        assert not module.encoder[2].training


PPO = ["algorithm.rollout_steps=16", "algorithm.epochs=1"]
DQN = ["algorithm=dqn", "algorithm.learning_starts=8", "algorithm.rollout_steps=16"]
SAC = ["algorithm=sac", *DQN[1:]]
each = pytest.mark.parametrize(
    ("cls", "typed"), [(Moody, PPO), (MoodyQ, DQN), (MoodySAC, SAC)], ids=["ppo", "dqn", "sac"]
)
ACTS = {(False, False, False)}


@each
def test_a_part_that_is_frozen_for_now_rests_until_its_step(cls, typed):
    until = "algorithm.optimiser.parts={encoder:{frozen_until:64}}"
    with closing(trainer_of(cls, *typed, until)) as trainer:
        encoder, seen = trainer.module.encoder, trainer.module.seen
        seen["train"].clear()  # actor-critics are made at rest
        while trainer.progress.env_steps < 64:
            trainer.step()
        assert (seen["train"], seen["exploration"]) == ({(True, False, False)}, ACTS)
        assert encoder[1].num_batches_tracked == 0
        seen["train"].clear()
        for _ in range(2):
            trainer.step()
            assert not any(part.training for part in encoder[1:])
        assert (seen["train"], seen["exploration"]) == ({(True, True, True)}, ACTS)
        assert encoder[1].num_batches_tracked > 0


def test_what_is_let_go_of_learns_again_unless_it_is_frozen():
    module = Moody(VECTOR, TWO)
    module.rest()
    module.hold(list(module.modules()))
    module.freeze("encoder")
    assert not any(part.training for part in module.modules())
    module.hold([])
    with module.learning():
        assert (module.training, module.value.training) == (True, True)
        assert not any(part.training for part in module.encoder.modules())
    assert not module.training


def test_a_rollout_of_one_environment_is_valued_at_rest():
    with closing(trainer_of(Moody, *PPO, envs=1)) as trainer:
        trainer.step()  # batch normalisation in train mode refuses a batch of one


def test_an_algorithm_is_made_at_rest_and_leaves_the_modes_as_they_were():
    config = AlgorithmConfig.parse("sac").resolve(TWO)
    module = MoodySAC(VECTOR, TWO)
    algorithm = config.build(module, torch.Generator())
    assert module.seen["train"] == ACTS
    assert (module.training, module.encoder[2].training) == (True, True)
    with module.learning():
        assert algorithm.parts.choices
    assert module.seen["train"] == ACTS
    assert module.encoder[1].num_batches_tracked == 0


class Anew(MoodyQ):
    def make_target_networks(self):
        self.target = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.5))
        self.target.append(nn.Linear(16, 2))
        self.target.insert(0, self.same)

    def get_target_network_pairs(self):
        return [(nn.Sequential(self.same, *self.encoder, self.policy), self.target)]

    def setup(self):
        super().setup()
        self.same = nn.Dropout(0.5)


def test_slower_copies_never_learn(tmp_path):
    module = Anew(VECTOR, TWO)
    path = module.save_to_path(tmp_path / "saved")

    def copies_rest():
        with module.learning():
            assert module.same.training  # which the copy shares
            return not any(module.target[i].training for i in (2, 3))

    assert copies_rest()
    module.train()
    assert copies_rest()
    module.freeze("value")
    assert copies_rest()
    module.restore_from_path(path, component="policy")
    assert copies_rest()
    AlgorithmConfig.parse("dqn").build(module, torch.Generator())
    assert copies_rest()


@each
def test_dropout_is_seeded_by_the_experiment_and_goes_on_when_it_does(cls, typed, tmp_path):
    saved, states = tmp_path / "saved", []
    for start in range(2):
        torch.manual_seed(start)
        with closing(trainer_of(cls, *typed)) as trainer:
            trainer.step()
            trainer.step()
            states.append(trainer.module.get_state())
            trainer.save(saved)
            trainer.restore(saved)  # environments restart in both
            trainer.step()
            whole = trainer.module.get_state()
    with closing(trainer_of(cls, *typed)) as trainer:
        trainer.restore(saved)
        trainer.step()
        resumed = trainer.module.get_state()
    for first, second in (states, (whole, resumed)):
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_learning_leaves_the_global_stream_as_it_was_and_draws_only_where_something_differs():
    modules = compose(VECTOR, TWO, algorithm="ppo").build(), Moody(VECTOR, TWO)
    for module, draws in zip(modules, (False, True), strict=True):
        stream, before = torch.Generator(), torch.get_rng_state()
        start = stream.get_state()
        with module.learning(stream):
            torch.rand(3 if draws else 0)
        assert torch.equal(stream.get_state(), start) is not draws
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("of", [parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_a_norm_of_weights_moves_in_updates_alone(of):
    module = Moody(VECTOR, TWO)
    of(module.policy)
    module.rest()
    obs = {Columns.OBS: torch.rand(3, 4)}

    def logits():
        return module.forward_exploration(obs)[Columns.ACTION_DIST_INPUTS]

    first = logits()
    assert torch.equal(first, logits())
    with module.learning():
        logits()
        vectors = [buffer.clone() for buffer in module.policy.buffers()]
        logits()
    pairs = zip(vectors, module.policy.buffers(), strict=True)
    assert not any(torch.equal(before, after) for before, after in pairs)


def test_what_was_in_eval_mode_learns_too():
    module = Moody(VECTOR, TWO).eval()
    with module.learning():
        assert module.encoder[1].training
        assert module.encoder[2].training


def test_the_mode_returns_when_an_update_fails():
    module = Moody(VECTOR, TWO)
    with pytest.raises(ZeroDivisionError), module.learning():
        raise ZeroDivisionError
    assert not module.encoder[2].training


def test_a_composed_module_has_nothing_to_turn():
    model = {"encoder": {"norm": "running"}}
    module = compose(VECTOR, TWO, algorithm="ppo", model=model).build()
    module.rest()
    assert all(part.training for part in module.modules())
    module.observe(torch.rand(8, 4))
    assert int(module.main.encoder.scaling.norm.count) == 8
