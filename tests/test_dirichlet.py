import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.distributions import Dirichlet, kl_divergence

from composer import compose
from composer.distributions.dirichlet import DirichletConfig, DirichletDistribution
from composer.errors import CompositionError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def shares(count, dtype=np.float32):
    return spaces.Box(0, 1, (count,), dtype)


def dirichlet(inputs):
    return DirichletConfig().bind(shares(inputs.shape[-1]))(inputs)


def torchs(inputs):
    return Dirichlet(1 + torch.nn.functional.softplus(inputs))


def test_the_dirichlet_is_torchs_stretched():
    inputs, others = 3 * torch.randn(2, 6, 4, generator=seeded(), dtype=torch.float64)
    ours, theirs = dirichlet(inputs), torchs(inputs)
    actions = ours.sample(seeded())
    stretched = 3 * math.log(2)  # each of the three dimensions is twice as long
    torch.testing.assert_close(
        ours.log_prob(actions), theirs.log_prob((actions + 1) / 2) - stretched
    )
    torch.testing.assert_close(ours.entropy(), theirs.entropy() + stretched)
    torch.testing.assert_close(ours.kl(dirichlet(others)), kl_divergence(theirs, torchs(others)))


def test_the_density_of_two_shares_integrates_to_one():
    first = torch.linspace(-1, 1, 20_003, dtype=torch.float64)[1:-1]
    inputs = torch.tensor([1.0, 3.0], dtype=torch.float64).expand(len(first), -1)
    density = dirichlet(inputs).log_prob(torch.stack([first, -first], -1)).exp()
    assert torch.trapezoid(density, first).item() == pytest.approx(1.0, abs=2e-3)


def test_samples_have_torchs_mean_and_spread():
    inputs = torch.tensor([1.0, 2.0, -1.0])
    drawn = (dirichlet(inputs.expand(20_000, -1)).sample(seeded()) + 1) / 2
    theirs = torchs(inputs)
    torch.testing.assert_close(drawn.mean(0), theirs.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(drawn.std(0), theirs.stddev, atol=0.01, rtol=0)


@pytest.mark.parametrize("count", [2, 10, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e6])
def test_what_the_environment_gets_sums_to_one(count, dtype, scale):
    space = shares(count, dtype)
    part = DirichletConfig().build(space)
    distribution = part(part.inputs(scale * torch.randn(50, count, generator=seeded())))
    for actions in (distribution.sample(seeded()), distribution.deterministic()):
        weights = distribution.to_env(actions)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-4 if count == 1000 else 2e-6)
        assert all(space.contains(row) for row in weights)
        assert distribution.log_prob(actions).isfinite().all()


def test_the_deterministic_action_is_where_the_density_is_highest():
    inputs = torch.tensor([3.0, 1.0], dtype=torch.float64)
    first = torch.linspace(-0.999, 0.999, 9_991, dtype=torch.float64)
    points = torch.stack([first, -first], -1)
    best = points[dirichlet(inputs.expand(len(first), -1)).log_prob(points).argmax()]
    torch.testing.assert_close(dirichlet(inputs).deterministic(), best, atol=3e-4, rtol=0)


def test_a_flat_dirichlet_has_its_mode_in_the_middle():
    inputs = torch.full((4,), -1e4, requires_grad=True)
    distribution = dirichlet(inputs)
    assert distribution.to_env(distribution.deterministic()).tolist() == [0.25] * 4
    assert distribution.entropy().item() == pytest.approx(3 * math.log(2) - math.log(6), abs=1e-5)


@pytest.mark.parametrize(
    ("space", "end"),
    [
        (spaces.Discrete(3), "not Discrete(3)"),
        (spaces.Box(0, 1, (2, 2)), "not Box(2, 2) float32 between 0 and 1"),
        (spaces.Box(0, 1, (1,)), "not Box(1,) float32 between 0 and 1"),
        (spaces.Box(-1, 1, (3,)), "not Box(3,) float32 between -1 and 1"),
        (spaces.Box(0, np.inf, (3,)), "not Box(3,) float32 between 0 and inf"),
        (spaces.Box(0, 1, (3,), np.int64), "not Box(3,) int64"),
    ],
)
def test_a_space_that_is_no_simplex_is_refused(space, end):
    assert DirichletConfig().refusal(space).endswith(end)


def test_it_is_chosen_by_config_only():
    observation = spaces.Box(-1, 1, (2,))
    assert compose(observation, shares(3)).build().distribution is not None
    chosen = compose(observation, shares(3), {"distribution": {"type": "dirichlet"}}, "ppo").build()
    by_rule = compose(observation, shares(3), None, "ppo").build()
    obs = np.zeros((5, 2), np.float32)
    np.testing.assert_allclose(chosen.act(obs).env_actions.sum(-1), 1, rtol=1e-6)
    assert not isinstance(by_rule.distribution.bound, DirichletDistribution)
    with pytest.raises(CompositionError, match="two or more shares between 0 and 1"):
        compose(observation, spaces.Box(-1, 1, (3,)), {"distribution": {"type": "dirichlet"}})
