"""A hand-written actor-critic whose outputs are numbers that a test writes down."""

import torch
from gymnasium import spaces
from torch import nn

from composer.algorithms.base import AlgorithmConfig
from composer.apis import ContinuousQAPI, QNetAPI, TargetNetworkAPI
from composer.columns import Columns
from composer.module.rl_module import RLModule

STATES = 3
GAMMA = 0.5


class Written(RLModule, TargetNetworkAPI):
    """Distribution inputs and target inputs, a row for each of three states."""

    def setup(self):
        width = self.model_config["width"]
        self.inputs = nn.Parameter(torch.zeros(STATES, width))
        self.target_inputs = torch.zeros(STATES, width)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.inputs[batch[Columns.OBS]]}

    def get_train_action_dist_cls(self):
        return self.dist

    def make_target_networks(self):
        pass

    def get_target_network_pairs(self):
        return []

    def forward_target(self, batch):
        if Columns.ACTIONS not in batch and isinstance(self, ContinuousQAPI):
            return {Columns.ACTION_DIST_INPUTS: self.target_inputs[batch[Columns.OBS]]}
        return {Columns.QF_PREDS: self.values(self.target_q, batch)}


class Tables(Written, QNetAPI):
    """Values of each choice, `(critics, 3, n)`."""

    def setup(self):
        super().setup()

    def values(self, q, batch):
        return q[:, batch[Columns.OBS]]

    def compute_q_values(self, batch):
        return {Columns.QF_PREDS: self.values(self.q, batch)}


class Lines(Written, ContinuousQAPI):
    """Values that are lines over the first real action: `(critics, 3, n, 2)`, slope and height."""

    def values(self, q, batch):
        slope, height = q[:, batch[Columns.OBS]].unbind(-1)  # (critics, B, n)
        return (slope * batch[Columns.ACTIONS][:, :1] + height).squeeze(-1)

    def compute_action_values(self, batch):
        return {Columns.QF_PREDS: self.values(self.q, batch)}


def learner(space, distribution, inputs, q, target_q, target_inputs=None, **settings):
    """An algorithm on a module of written numbers."""
    config = AlgorithmConfig.parse(settings)
    q, target_q, inputs = (torch.as_tensor(x, dtype=torch.float32) for x in (q, target_q, inputs))
    kind = Tables if q.dim() == 3 else Lines
    module = kind(spaces.Discrete(STATES), space, model_config={"width": inputs.shape[-1]})
    module.dist = distribution
    module.inputs = nn.Parameter(inputs)
    module.q, module.target_q = nn.Parameter(q), target_q
    if target_inputs is not None:
        module.target_inputs = torch.as_tensor(target_inputs, dtype=torch.float32)
    return config.build(module, torch.Generator().manual_seed(0))


def transition(actions, reward=0.0, obs=0, next_obs=1, **columns):
    """A batch of one; `actions` is a tree of tensors `(1, …)`."""
    return {
        Columns.OBS: torch.tensor([obs]),
        Columns.ACTIONS: actions,
        Columns.REWARDS: torch.tensor([reward]),
        Columns.NEXT_OBS: torch.tensor([next_obs]),
        Columns.TERMINATEDS: torch.tensor([False]),
        Columns.DISCOUNTS: torch.tensor([GAMMA]),
        Columns.WEIGHTS: torch.ones(1),
        **columns,
    }
