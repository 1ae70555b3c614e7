"""From the same weights and the same batch, updates move every weight as SB3's do."""

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch
from stable_baselines3.common.buffers import ReplayBufferSamples
from stable_baselines3.common.logger import Logger

from composer import compose
from composer.algorithms.base import AlgorithmConfig
from composer.columns import Columns

SIZE, OBS, ACTIONS, HIDDEN = 16, 3, 2, 8
GAMMA = 0.9
REAL = gym.spaces.Box(-1.0, 1.0, (ACTIONS,))
CHOICE = gym.spaces.Discrete(ACTIONS)
NOISE = 0.3
"""What every draw from a normal distribution gives, in standard deviations."""


class Nothing(gym.Env):
    """Only its spaces count."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (OBS,))

    def __init__(self, action_space):
        self.action_space = action_space


def of_sb3(name, action_space, settings):
    model = getattr(stable_baselines3, name.upper())(
        "MlpPolicy",
        Nothing(action_space),
        learning_rate=1e-2,
        gamma=GAMMA,
        tau=0.1,
        buffer_size=100,
        policy_kwargs={"net_arch": [HIDDEN, HIDDEN]},
        device="cpu",
        seed=0,
        **settings,
    )
    model.set_logger(Logger(None, []))
    return model


def of_ours(name, action_space, settings):
    config = AlgorithmConfig.parse({"type": name, "lr": 1e-2, "gamma": GAMMA, **settings})
    layers = {"hidden": (HIDDEN, HIDDEN), "activation": "relu"}
    heads = {"continuous_q": layers} if action_space is REAL else {}
    model = {"encoder": {"type": "mlp", **layers}, "heads": heads}
    space = Nothing(action_space).observation_space
    module = compose(space, action_space, model=model, algorithm=config).build(seed=1)
    return config.build(module, torch.Generator().manual_seed(0))


def transitions(action_space, kept):
    """The same for both; `kept` is what the replay has of an action of ours."""
    random = np.random.default_rng(0)
    obs, next_obs = torch.from_numpy(random.normal(size=(2, SIZE, OBS)).astype("f4"))
    rewards = torch.from_numpy(random.normal(size=SIZE).astype("f4"))
    terminated = torch.from_numpy(random.random(SIZE) < 0.3)
    if action_space is CHOICE:
        actions = torch.from_numpy(random.integers(ACTIONS, size=SIZE))
    else:
        actions = torch.from_numpy(random.uniform(-0.9, 0.9, (SIZE, ACTIONS)).astype("f4"))
    ours = {
        Columns.OBS: obs,
        Columns.NEXT_OBS: next_obs,
        Columns.ACTIONS: kept(actions),
        Columns.REWARDS: rewards,
        Columns.TERMINATEDS: terminated,
        Columns.DISCOUNTS: torch.full((SIZE,), GAMMA),
        Columns.WEIGHTS: torch.ones(SIZE),
    }
    columns = actions.reshape(SIZE, -1), next_obs, terminated.float()[:, None], rewards[:, None]
    return ours, ReplayBufferSamples(obs, *columns)


def linears(module):
    return [part for part in module.modules() if isinstance(part, torch.nn.Linear)]


def flat(layers):
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias)]


def ensembles(critic):
    """SB3's critics side by side, as ours are."""
    for copies in zip(*(linears(q) for q in critic.q_networks), strict=True):
        yield torch.stack([copy.weight.t() for copy in copies])
        yield torch.stack([copy.bias.unsqueeze(0) for copy in copies])


def theirs(model):
    """SB3's weights in the order of ours: networks, then their slower copies."""
    if hasattr(model, "q_net"):
        return flat([*linears(model.q_net), *linears(model.q_net_target)])
    if hasattr(model, "actor_target"):
        actor, copy = flat(linears(model.actor)), flat(linears(model.actor_target))
    else:
        last = model.actor.mu, model.actor.log_std
        actor = flat(linears(model.actor.latent_pi))
        actor += [torch.cat([layer.weight for layer in last]), torch.cat([x.bias for x in last])]
        copy = []
    return [*actor, *ensembles(model.critic), *copy, *ensembles(model.critic_target)]


def assert_alike(algorithm, model):
    for own, other in zip(algorithm.module.state_dict().values(), theirs(model), strict=True):
        torch.testing.assert_close(own, other.detach(), rtol=1e-3, atol=1e-5)


@pytest.fixture
def one_noise(monkeypatch):
    def same(tensor, mean=0.0, std=1.0, generator=None):
        return tensor.fill_(mean + NOISE * std)

    monkeypatch.setattr(torch.Tensor, "normal_", same)
    monkeypatch.setattr(
        "torch.distributions.normal._standard_normal",
        lambda shape, dtype, device: torch.full(shape, NOISE, dtype=dtype, device=device),
    )


@pytest.mark.parametrize(
    ("name", "action_space", "kept", "own", "other"),
    [
        ("dqn", CHOICE, torch.clone, {"dueling": False, "double": False}, {}),
        ("td3", REAL, torch.clone, {"tau": 0.1}, {}),
        ("sac", REAL, torch.atanh, {"tau": 0.1}, {}),
        ("sac", REAL, torch.atanh, {"tau": 0.1, "alpha": 0.2}, {"ent_coef": 0.2}),
    ],
    ids=["dqn", "td3", "sac", "sac-fixed-alpha"],
)
def test_updates_are_those_of_sb3(name, action_space, kept, own, other, one_noise):
    algorithm, model = of_ours(name, action_space, own), of_sb3(name, action_space, other)
    state = algorithm.module.state_dict()
    algorithm.module.set_state(dict(zip(state, theirs(model), strict=True)))
    before = [weights.clone() for weights in state.values()]
    assert_alike(algorithm, model)
    batch, samples = transitions(action_space, kept)
    model.replay_buffer.sample = lambda *_, **__: samples
    for _ in range(3):
        algorithm.update(batch)
        model.train(gradient_steps=1, batch_size=SIZE)
        assert_alike(algorithm, model)
    moved = [not torch.equal(*pair) for pair in zip(before, state.values(), strict=True)]
    assert all(moved) or name == "dqn"  # its copy waits
