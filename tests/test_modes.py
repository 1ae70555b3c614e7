"""Dropout and batch normalisation: on while a module learns, off while it acts."""

import copy
import sys
from contextlib import closing

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Columns, Experiment, RLModule, Trainer, compose
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


SHORT = ["logger=none", "evaluation={episodes: 2, every: 0}", "env.num_envs=2", "model=custom"]


def trainer_of(cls, *typed):
    setattr(sys.modules[__name__], cls.__name__, cls)
    return Trainer(Experiment.load([f"model.path={__name__}.{cls.__name__}", *SHORT, *typed]))


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
