"""Ragged observations from the environment to the update."""

import copy
import functools

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from torch import nn

from composer.algorithms.base import AlgorithmConfig
from composer.apis import ValueFunctionAPI
from composer.columns import Columns
from composer.errors import EnvironmentFailure, ModuleError
from composer.executors import make_executor
from composer.module.rl_module import RLModule
from composer.optimisers._schedule import Elapsed
from composer.spaces import batch, leaves, map_structure
from composer.training.collector import Collector
from composer.training.evaluation import evaluate
from composer.training.on_policy import OnPolicyDriver
from composer.training.rollouts import Rollout

WORD = spaces.Text(6, charset="abc")
POINT = spaces.Box(-1, 1, (2,))
SPACE = spaces.Dict(
    word=WORD,
    rest=spaces.Tuple(
        [
            spaces.Sequence(spaces.Dict(name=WORD, at=POINT)),
            spaces.Graph(POINT, spaces.Discrete(3)),
            spaces.OneOf([WORD, POINT]),
            POINT,
        ]
    ),
)


class Talk(gym.Env):
    """Says a word; the right answer is whether it is longer than three characters."""

    action_space = spaces.Discrete(2)

    def __init__(self, space=SPACE):
        self.observation_space = copy.deepcopy(space)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.obs, self.steps = self.observation_space.sample(), 0
        return self.obs, {}

    def step(self, action):
        reward = float((len(self.obs["word"]) > 3) == action)
        self.obs, self.steps = self.observation_space.sample(), self.steps + 1
        return self.obs, reward, self.steps == 5, False, {}


class Misspelt(Talk):
    def step(self, action):
        obs, *outcome = super().step(action)
        return {**obs, "word": "xyz"}, *outcome


class Reader(RLModule, ValueFunctionAPI):
    """Reads how long the word is, and sums everything else."""

    def setup(self):
        self.layer = nn.Linear(3, 3)

    def features(self, obs):
        length = obs["word"]["lengths"]
        sums = [leaf.reshape(*length.shape, -1).sum(-1).float() for leaf in leaves(obs["rest"])]
        return torch.stack([length, length > 3, torch.stack(sums, -1).sum(-1).tanh()], -1).float()

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.layer(self.features(batch[Columns.OBS]))[..., :2]}

    def compute_values(self, batch, embeddings=None):
        return self.layer(self.features(batch[Columns.OBS]))[..., 2]


def talk(count=2, env=Talk):
    return SyncVectorEnv([env] * count)


def reader():
    torch.manual_seed(0)
    return Reader(SPACE, Talk.action_space)


def collected(env=Talk, steps=12):
    envs, module = talk(env=env), reader()
    collector = Collector(envs, make_executor(module), None, torch.Generator().manual_seed(0))
    collector.restart(0)
    rollout = Rollout(envs.single_observation_space, envs.num_envs, steps)
    collector.collect(rollout)
    return module, rollout.batch(torch.device("cpu"))


def test_a_module_computes_in_training_what_it_computed_while_acting():
    module, columns = collected()
    obs = map_structure(lambda leaf: leaf[:, :-1], columns[Columns.OBS])
    again = module.forward_train({Columns.OBS: obs})[Columns.ACTION_DIST_INPUTS]
    torch.testing.assert_close(again, columns[Columns.ACTION_DIST_INPUTS])
    assert len(obs["word"]["lengths"].unique()) > 2


def test_ppo_learns_from_ragged_observations():
    space = spaces.Dict(word=WORD, rest=spaces.Tuple([POINT]))
    envs = functools.partial(talk, 4, lambda: Talk(space))
    module = Reader(space, Talk.action_space)
    nn.init.zeros_(module.layer.weight)
    nn.init.zeros_(module.layer.bias)
    config = AlgorithmConfig.parse({"type": "ppo", "lr": 0.05, "rollout_steps": 32, "gamma": 0.0})
    driver = OnPolicyDriver(config, module, envs(), seed=0)
    driver.restart(0)
    driver.iterate(Elapsed())
    assert evaluate(module, envs(), 20, seed=1).mean == 5.0


@pytest.mark.parametrize(
    "run", [collected, lambda env: evaluate(reader(), talk(2, env), 2, seed=0)]
)
def test_an_observation_that_is_not_in_its_space_is_the_environments_fault(run):
    told = (
        r"an environment returned what is not in its observation space: the observation"
        r"\['word'\]\[0\] has the character 'x', which is not in Text\(1\.\.6, 3 characters\)"
    )
    with pytest.raises(EnvironmentFailure, match=told):
        run(Misspelt)


def test_act_takes_what_environments_return_and_the_canonical_batch_of_it():
    module, envs = reader(), talk(3)
    obs, _ = envs.reset(seed=0)
    samples = [env.obs for env in envs.unwrapped.envs]
    returned, canonical = (
        module.act(form, deterministic=True).dist_inputs for form in (obs, batch(SPACE, samples))
    )
    assert torch.equal(returned, canonical)


def test_act_takes_a_single_environments_observation():
    space = spaces.Dict(word=WORD, rest=spaces.Tuple([POINT]))
    sample = {"word": "abba", "rest": (np.zeros(2, np.float32),)}
    module = Reader(space, Talk.action_space)
    single = module.act(sample, deterministic=True)
    assert single.dist_inputs.shape == (2,)
    batched = module.act(batch(space, [sample]), deterministic=True)
    torch.testing.assert_close(single.dist_inputs, batched.dist_inputs[0])


def test_act_tells_what_is_wrong_with_a_ragged_observation():
    obs = talk(2).reset(seed=0)[0] | {"word": ("a", "abcabca")}
    with pytest.raises(ModuleError, match=r"\['word'\]\[1\] has 7 characters, which is not in Te"):
        reader().act(obs)


def test_a_module_of_nested_ragged_spaces_is_saved_and_loaded(tmp_path):
    module = reader()
    again = Reader.from_checkpoint(module.save_to_path(tmp_path / "module"))
    assert again.observation_space == SPACE
    obs, _ = talk(2).reset(seed=0)
    assert torch.equal(
        again.act(obs, deterministic=True).dist_inputs,
        module.act(obs, deterministic=True).dist_inputs,
    )
