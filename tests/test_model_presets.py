"""The default networks of other libraries' PPO, by `model=`."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from torch import nn

from composer import Columns, Experiment
from composer.errors import CompositionError

VECTOR = spaces.Box(-np.inf, np.inf, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (4, 84, 84), np.uint8)
TWO = spaces.Discrete(2)
REAL = spaces.Box(-1, 1, (4,), np.float32)


def composed(observation, action, *words):
    experiment = Experiment.load(words)
    experiment.spaces = (observation, action)
    return experiment.blueprint


# rllib_ppo: what RLlib 2.60 itself counted


@pytest.mark.parametrize(
    ("words", "parameters"), [(["model.trunks={}"], 67_843), ([], 134_915)], ids=["shared", "apart"]
)
def test_rllib_has_as_many_parameters(words, parameters):
    blueprint = composed(VECTOR, TWO, "model=rllib_ppo", *words)
    assert blueprint.parameter_count == parameters
    acting = blueprint.build(inference_only=True)
    assert sum(p.numel() for p in acting.parameters()) == 67_586


def test_rllibs_policy_of_real_actions_gives_the_log_std_too():
    blueprint = composed(VECTOR, REAL, "model=rllib_ppo")
    acting = blueprint.build(inference_only=True)
    assert sum(p.numel() for p in acting.parameters()) == 69_128
    assert blueprint.by_name["policy"].out_dim == 8


@pytest.mark.parametrize(
    ("side", "features"), [(96, 9_216), (84, 30_976), (64, 2_048), (42, 30_976), (10, 288)]
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_rllibs_convolutions_leave_as_many_features(side, channels, features):
    space = spaces.Box(0, 255, (side, side, channels), np.uint8)
    nodes = composed(space, TWO, "model=rllib_ppo").by_name
    assert nodes["main.encoder"].out_dim == nodes["critic.encoder"].out_dim == features
    assert nodes["main.encoder"].reason.name == f"rllib_{side}"


def test_an_image_for_which_rllib_has_no_convolutions_has_ours_and_says_so():
    space = spaces.Box(0, 255, (50, 50, 3), np.uint8)
    reason = composed(space, TWO, "model=rllib_ppo").by_name["main.encoder"].reason
    assert reason.why.startswith("RLlib has no convolutions for an image of this size")


def layers_of(module):
    return [part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d)]


@pytest.mark.parametrize(
    "space", [VECTOR, spaces.Box(0, 255, (42, 42, 3), np.uint8), spaces.Discrete(9)]
)
def test_rllibs_layers_are_initialised_as_torch_does_it(space):
    """Uniform within 1/√n of n inputs, biases too; orthogonal kernels and zeros would not be."""
    for layer in layers_of(composed(space, TWO, "model=rllib_ppo").build(seed=0)):
        bound = 1 / math.sqrt(layer.weight[0].numel())
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.9 * bound
        assert 0 < layer.bias.abs().max() <= bound


# sb3: its own policies


def theirs(observation, action):
    """SB3's policy as its PPO builds it."""
    policy = ActorCriticCnnPolicy if len(observation.shape) == 3 else ActorCriticPolicy
    return policy(observation, action, lambda _: 3e-4)


SB3 = [
    (VECTOR, TWO),
    (VECTOR, REAL),
    (IMAGE, TWO),
    (spaces.Box(0, 255, (3, 64, 48), np.uint8), REAL),
    (spaces.Box(-np.inf, np.inf, (80, 80)), TWO),
    (spaces.Box(0, 9, (3,), np.int64), TWO),
    (spaces.Discrete(2000), TWO),
    (spaces.MultiDiscrete([2, 3]), TWO),
    (spaces.MultiBinary(3), TWO),
]
like_sb3 = pytest.mark.parametrize(("observation", "action"), SB3)


def pairs(ours, policy):
    """Our parameters beside SB3's: encoders, policy, value; then what both say of the log-std."""
    mine = dict(ours.named_parameters())
    other = dict(policy.named_parameters())
    scales = (
        [(mine.pop("distribution.log_std"), other.pop("log_std"))] if "log_std" in other else []
    )
    return [*zip(mine.values(), other.values(), strict=True), *scales]


@like_sb3
def test_with_the_same_weights_sb3_gives_the_same(observation, action):
    policy = theirs(observation, action)
    ours = composed(observation, action, "model=sb3").build(seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for mine, other in pairs(ours, policy):
            mine.copy_(0.1 * torch.randn(mine.shape, generator=generator))
            other.copy_(mine)
        observation.seed(0)
        obs = torch.as_tensor(np.stack([observation.sample() for _ in range(3)]))
        out = ours.forward_train({Columns.OBS: obs})
        distribution = ours.action_distribution(out, phase="train")
        their_distribution = policy.get_distribution(obs)
        torch.testing.assert_close(
            ours.compute_values({Columns.OBS: obs}), policy.predict_values(obs).squeeze(-1)
        )
        their_entropy = their_distribution.entropy()
        torch.testing.assert_close(distribution.entropy(), their_entropy)
        torch.testing.assert_close(distribution.deterministic(), their_distribution.mode())


@like_sb3
def test_sb3s_layers_start_alike(observation, action):
    """The singular values of an orthogonal kernel are its gain."""
    ours = composed(observation, action, "model=sb3").build(seed=0)
    for mine, other in pairs(ours, theirs(observation, action)):
        values = [p.flatten(1) if p.dim() > 1 else p for p in (mine.detach(), other.detach())]
        if mine.dim() > 1:
            values = [torch.linalg.matrix_norm(p, 2) for p in values]
        torch.testing.assert_close(*values, atol=1e-5, rtol=1e-4)


def test_sb3_shares_the_network_of_an_image_only():
    assert "critic.encoder" not in composed(IMAGE, TWO, "model=sb3").by_name
    assert "critic.encoder" in composed(VECTOR, TWO, "model=sb3").by_name


# cleanrl: its scripts, counted by hand


def test_cleanrl_has_the_networks_of_ppo_py():
    trunk = (4 * 64 + 64) + (64 * 64 + 64)
    expected = 2 * trunk + (64 * 2 + 2) + (64 + 1)
    assert composed(VECTOR, TWO, "model=cleanrl").parameter_count == expected == 9_155


def test_cleanrl_has_the_networks_of_ppo_continuous_action_py():
    trunk = (4 * 64 + 64) + (64 * 64 + 64)
    expected = 2 * trunk + (64 * 4 + 4) + (64 + 1) + 4
    assert composed(VECTOR, REAL, "model=cleanrl").parameter_count == expected == 9_289


def test_cleanrl_has_the_network_of_ppo_atari_py():
    convolutions = (4 * 64 * 32 + 32) + (32 * 16 * 64 + 64) + (64 * 9 * 64 + 64)
    expected = convolutions + (3136 * 512 + 512) + (512 * 2 + 2) + (512 + 1)
    assert composed(IMAGE, TWO, "model=cleanrl").parameter_count == expected == 1_685_667


@pytest.mark.parametrize("observation", [VECTOR, IMAGE])
def test_cleanrl_and_sb3_have_the_same_networks(observation):
    one, other = (composed(observation, TWO, f"model={name}") for name in ("cleanrl", "sb3"))
    assert one.fingerprint == other.fingerprint


# what is typed


@pytest.mark.parametrize("name", ["rllib_ppo", "sb3", "cleanrl"])
def test_a_hint_changes_what_the_preset_chose(name):
    blueprint = composed(VECTOR, TWO, f"model={name}", "model.encoder.hidden=[3]")
    assert blueprint.by_name["main.encoder"].config.hidden == (3,)


def test_an_image_too_small_for_sb3s_network_blames_the_preset_once():
    small = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    with pytest.raises(CompositionError) as error:
        composed(spaces.Dict(left=small, right=small), TWO, "model=sb3")
    (problem,) = error.value.problems
    assert problem.path == "catalog.observation.image.use.filters[1].kernel"
    assert "need 36×36 pixels or more" in problem.message
    assert problem.origin.startswith("composer/conf/model/sb3.yaml:")
    assert composed(spaces.Dict(left=small, right=small), TWO, "model=sb3", problem.fix)


def test_the_users_own_filters_are_blamed_where_they_stand():
    small = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    with pytest.raises(CompositionError) as error:
        composed(small, TWO, "model=sb3", "model.encoder.filters=[[8,30]]")
    (problem,) = error.value.problems
    assert problem.path == "model.encoder.filters[0].kernel"
    assert problem.fix == "model.encoder.filters=auto"
