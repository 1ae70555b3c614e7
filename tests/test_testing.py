import importlib
import json
import sys
from typing import Literal

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from torch import nn

from composer import testing
from composer.distributions.base import ActionDistribution, DistributionConfig
from composer.distributions.beta import BetaConfig
from composer.distributions.diag_gaussian import DiagGaussianConfig
from composer.encoders.base import EncoderConfig
from composer.encoders.mlp import MLPEncoderConfig
from composer.encoders.one_hot import OneHotEncoderConfig
from composer.errors import CompositionError
from composer.layers import HiddenLayers
from composer.spaces import (
    batch,
    kind,
    leading_axes,
    samples,
    space_from_data,
    space_to_data,
)
from composer.testing import strategies

ALL = (*testing.PROBLEMS, testing.Counter, testing.Raises)


def run(env, policy, episodes, seed=0):
    """The mean return of a policy that maps an observation, or the mask in `info`, to an action."""
    returns = []
    for episode in range(episodes):
        obs, info = env.reset(seed=seed if episode == 0 else None)
        total, done = 0.0, False
        while not done:
            seen = info.get("action_mask", obs)
            obs, reward, terminated, truncated, info = env.step(policy(seen))
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
    return float(np.mean(returns))


def brightest_quadrant(image):
    halves = image.reshape(2, 16, 2, 16, 3).mean(axis=(1, 3, 4))
    return int(halves.argmax())


OPTIMAL = {
    testing.Bandit: lambda obs: 3,
    testing.ContextualBandit: lambda obs: obs,
    testing.MultiDiscreteBandit: lambda obs: (obs - testing.MultiDiscreteBandit.START).sum() % 3,
    testing.MultiBinaryBandit: lambda obs: obs.sum(),
    testing.ImageBandit: brightest_quadrant,
    testing.TextBandit: testing.TextBandit.WORDS.index,
    testing.SequenceBandit: lambda obs: int(np.argmax(obs)),
    testing.DictBandit: lambda obs: 2 * (obs["image"][8:].mean() > 128) + obs["digit"],
    testing.DigitsBandit: lambda obs: obs,
    testing.BitsBandit: lambda obs: obs,
    testing.MaskedBandit: lambda mask: mask.nonzero()[0].max(),
    testing.Chain: lambda obs: 1,
    testing.Reach1D: lambda obs: obs,
    testing.JointReach: lambda obs: {"arm": int(obs[1] < 0), "hand": obs[:1] * obs[1]},
    testing.ReachTruncated: lambda obs: obs,
}


@pytest.mark.filterwarnings("ignore:.*(is infinity|symmetric and normalized)")  # on purpose
@pytest.mark.parametrize("problem", ALL)
def test_every_environment_keeps_to_gymnasiums_interface(problem):
    check_env(gym.make(f"composer.testing:{problem.__name__}-v0").unwrapped, skip_render_check=True)


@pytest.mark.parametrize("problem", testing.PROBLEMS)
def test_the_optimal_policy_gets_the_optimal_return(problem):
    assert run(problem(), OPTIMAL[problem], 50) == pytest.approx(problem.optimal_return)


@pytest.mark.parametrize("problem", testing.PROBLEMS)
def test_random_actions_get_the_random_return(problem):
    env = problem()
    env.action_space.seed(1)
    returns = [run(env, lambda obs: env.action_space.sample(), 1, seed) for seed in range(2000)]
    error = np.std(returns) / np.sqrt(len(returns))
    assert abs(np.mean(returns) - problem.random_return) < 4 * error


@pytest.mark.parametrize("problem", testing.PROBLEMS)
def test_a_seed_decides_everything(problem):
    def draw():
        env = problem()
        start, _ = env.reset(seed=7)
        env.action_space.seed(7)
        first = env.step(env.action_space.sample())
        second, _ = env.reset()
        return start, first[0], second, first[1]

    for one, other in zip(draw(), draw(), strict=True):
        np.testing.assert_equal(one, other)


def test_a_blind_policy_gets_a_quarter_from_images():
    assert run(testing.ImageBandit(), lambda obs: 2, 2000) == pytest.approx(0.25, abs=0.04)


def test_one_digit_of_the_two_says_nothing():
    one_digit = run(testing.MultiDiscreteBandit(), lambda obs: obs[0] % 3, 2000)
    assert one_digit == pytest.approx(1 / 3, abs=0.045)


def test_contextual_bandit_counts_from_its_start():
    env = testing.ContextualBandit(arms=3, start=5)
    assert run(env, lambda obs: obs, 20) == 1.0
    assert env.reset(seed=0)[0] >= 5


def test_image_bandit_is_dark_but_for_one_quadrant():
    image, _ = testing.ImageBandit(size=8, channels=1).reset(seed=0)
    assert image.shape == (8, 8, 1)
    assert image.dtype == np.uint8
    assert (image >= 160).sum() == 4 * 4
    assert (image < 64).sum() == 3 * 4 * 4


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_counter_counts_and_ends_as_told(end):
    env = testing.Counter(length=2, end=end)
    assert env.reset()[0] == [0.0]
    obs, reward, terminated, truncated, _ = env.step(np.int64(0))
    assert (obs[0], reward, terminated, truncated) == (1.0, 1.0, False, False)
    obs, reward, terminated, truncated, _ = env.step(np.int64(0))
    assert (obs[0], reward) == (2.0, 2.0)
    assert (terminated, truncated) == (end == "terminated", end == "truncated")


@pytest.mark.parametrize("end", ["terminated", "truncated"])
@pytest.mark.parametrize("length", [1, 3])
def test_counters_vector_form_is_sync_vectorisation(end, length):
    envs = [
        gym.make_vec("Counter-v0", 2, vectorization_mode=mode, length=length, end=end)
        for mode in ("sync", "vector_entry_point")
    ]
    starts = [env.reset(seed=0)[0] for env in envs]
    np.testing.assert_array_equal(*starts)
    for _ in range(9):
        steps = [env.step(env.action_space.sample())[:4] for env in envs]
        for one, other in zip(*steps, strict=True):
            np.testing.assert_equal(one, other)
            assert one.dtype == other.dtype


def test_raises_raises_where_it_is_told_to():
    env = testing.Raises(at=2)
    env.reset()
    env.step(np.int64(0))
    with pytest.raises(ValueError, match="step 2, as it was told to"):
        env.step(np.int64(0))
    with pytest.raises(ValueError, match="step 0, as it was told to"):
        testing.Raises(at=0).reset()


class Misfit(HiddenLayers, EncoderConfig):
    """An encoder with one fault, which each test chooses."""

    type: Literal["misfit"] = "misfit"
    fault: str = "none"

    def refusal(self, space):
        return "it takes nothing" if self.fault == "refuses" else None

    def out_dim(self, space):
        return self.width(4) + (self.fault == "width")

    def build(self, space):
        return MisfitEncoder(fault=self.fault, layers=self.stack(4))


class MisfitEncoder(nn.Module):
    def __init__(self, *, fault, layers):
        super().__init__()
        self.fault = fault
        self.layers = layers
        self.gain = nn.Parameter(torch.ones(()))
        self.hidden_state = float(torch.randn(()))

    def forward(self, obs):
        features = self.layers(obs.float())
        if self.fault == "unused":
            return features
        if self.fault == "infinite":
            features = features / 0.0
        if self.fault == "one batch axis":
            features = features.reshape(-1, features.shape[-1])
        if self.fault == "state":
            features = features * self.hidden_state
        return features * self.gain


@pytest.fixture(autouse=True, scope="module")
def _no_misfit_elsewhere():
    yield
    EncoderConfig.members.pop("misfit", None)
    DistributionConfig.members.pop("misdrawn", None)


VECTOR = gym.spaces.Box(-1, 1, (4,), np.float32)


def test_a_sound_encoder_passes_the_check():
    testing.check_encoder(Misfit(hidden=(8,)), VECTOR)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("width", "its `out_dim` says"),
        ("one batch axis", "with leading axes"),
        ("infinite", "not finite"),
        ("state", "with its state loaded, a second one gives other outputs"),
        ("unused", "no gradient reaches `main.encoder.gain`"),
    ],
)
def test_a_fault_of_an_encoder_is_named(fault, says):
    with pytest.raises(AssertionError, match=says):
        testing.check_encoder(Misfit(hidden=(8,), fault=fault), VECTOR)


def test_an_encoder_that_refuses_the_space_is_not_checked():
    with pytest.raises(CompositionError, match="it takes nothing"):
        testing.check_encoder(Misfit(fault="refuses"), VECTOR)


class MisdrawnConfig(DiagGaussianConfig):
    """A distribution with one fault, which each test chooses."""

    type: Literal["misdrawn"] = "misdrawn"
    fault: str = "none"

    def in_dim(self, space):
        return super().in_dim(space) + (self.fault == "width")

    def build(self, space):
        return Misdrawn(part=DiagGaussianConfig().build(space), fault=self.fault)

    def bind(self, space):
        return Misdrawn(part=DiagGaussianConfig().bind(space), fault=self.fault)


class Misdrawn(ActionDistribution):
    def __init__(self, *, part, fault):
        super().__init__()
        self.part = part
        self.fault = fault
        self.in_dim, self.inputs_dim = part.in_dim, part.inputs_dim
        if fault == "unused" and list(part.parameters()):
            self.gain = nn.Parameter(torch.ones(()))

    def inputs(self, outputs):
        return self.part.inputs(outputs)

    def forward(self, inputs, mask=None):
        made = self.part(inputs, mask)
        sample, log_prob = made.sample, made.log_prob
        changed = {
            "outside": ("to_env", lambda actions: sample().numpy() + 9),
            "gradient": ("sample", lambda generator=None: sample(generator) + 0 * inputs.mean()),
            "stray": ("sample", lambda generator=None: sample()),
            "summed": ("log_prob", lambda actions: log_prob(actions).sum()),
            "infinite": ("log_prob", lambda actions: log_prob(actions) / 0),
            "negative": ("kl", lambda other: made.log_std.sum(-1) - other.log_std.sum(-1) - 1),
            "entropy": ("entropy", lambda: inputs.sum(-1, keepdim=True)),
        }
        if self.fault in changed:
            setattr(made, *changed[self.fault])
        return made


def test_a_sound_distribution_passes_the_check():
    testing.check_distribution(MisdrawnConfig(), VECTOR)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("width", "it takes 4, but its `in_dim` says 5"),
        ("outside", "`to_env` of `sample` gives"),
        ("gradient", "`sample` has a gradient"),
        ("stray", "of one generator, it samples otherwise"),
        ("summed", r"the `log_prob` of `sample` has the shape \(\), not \(4,\)"),
        ("infinite", "the `log_prob` of `sample` is not finite"),
        ("negative", "the `kl` from itself is not 0"),
        ("entropy", r"the `entropy` has the shape \(1,\), not \(\)"),
        ("unused", "no gradient reaches `distribution.gain`"),
    ],
)
def test_a_fault_of_a_distribution_is_named(fault, says):
    with pytest.raises(AssertionError, match=f"the distribution does not do what it must: {says}"):
        testing.check_distribution(MisdrawnConfig(fault=fault), VECTOR)


def test_a_distribution_that_refuses_the_space_is_not_checked():
    with pytest.raises(CompositionError, match="acts in a Box of floats"):
        testing.check_distribution(MisdrawnConfig(), gym.spaces.Discrete(2))


def drawn(strategy, count=60):
    found = []
    settings(max_examples=count, derandomize=True, deadline=None, database=None)(
        given(strategy)(lambda space: found.append(space))
    )()
    return found


def test_spaces_are_generated_for_each_kind_that_a_part_takes():
    found = drawn(strategies.accepted_by(MLPEncoderConfig()), 200)
    assert {len(space.shape) for space in found} == {0, 1, 2, 3, 4}
    assert {space.dtype.kind for space in found} == {"f", "i", "u", "b"}
    assert {space.is_bounded() for space in found} == {True, False}
    kinds = {kind(space) for space in drawn(strategies.accepted_by(OneHotEncoderConfig()))}
    assert kinds == {"discrete", "multi_discrete", "multi_binary"}


def test_only_what_a_part_takes_is_generated():
    assert all(space.is_bounded() for space in drawn(strategies.accepted_by(BetaConfig())))


def test_a_part_that_takes_nothing_is_told():
    with pytest.raises(ValueError, match="`misfit` takes no space of the kinds"):
        strategies.accepted_by(Misfit(fault="refuses"))


@pytest.mark.parametrize("seen", [strategies.observation_spaces(), strategies.action_spaces()])
def test_generated_spaces_can_be_sampled_batched_and_written(seen):
    for space in drawn(seen):
        assert leading_axes(space, batch(space, samples(space, 3))) == (3,)
        assert space_from_data(json.loads(json.dumps(space_to_data(space)))) == space


def test_without_hypothesis_the_strategies_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "composer.testing.strategies")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rl-composer\[testing\]'"):
        importlib.import_module("composer.testing.strategies")


def test_a_vector_is_shown_in_part():
    env = testing.PartlyObserved(gym.make("CartPole-v1"), [0, 2])
    whole = env.unwrapped.observation_space
    assert env.observation_space == spaces.Box(whole.low[[0, 2]], whole.high[[0, 2]])
    env.reset(seed=0)
    obs, *_ = env.step(1)
    np.testing.assert_allclose(obs, np.array(env.unwrapped.state)[[0, 2]], rtol=1e-6)
    assert obs in env.observation_space


@pytest.mark.parametrize(
    ("env_id", "entries", "error"),
    [
        ("CartPole-v1", [4], ValueError),
        ("CartPole-v1", [], ValueError),
        ("Taxi-v3", [0], TypeError),
    ],
)
def test_entries_that_are_not_there_are_refused(env_id, entries, error):
    with pytest.raises(error, match="entries are"):
        testing.PartlyObserved(gym.make(env_id), entries)
