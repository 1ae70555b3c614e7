import numpy as np
import pytest
import torch
from experiments import driver_of, experiment, record_minibatches
from gymnasium import spaces
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from torch.nn.functional import normalize

from composer import RLModule, compose
from composer.columns import Columns
from composer.distributions.gsde import GSDEConfig
from composer.errors import ConfigError
from composer.executors import make_executor
from composer.optimisers._schedule import Elapsed
from composer.testing import Reach1D
from composer.training.evaluation import evaluate

SPACE = spaces.Box(-1, 1, (2,))
OBSERVED = spaces.Box(-1, 1, (3,))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def part_of(space=SPACE, **options):
    part = GSDEConfig(latent_dim=5, **options).build(space)
    torch.nn.init.normal_(part.log_std, generator=seeded(9))
    return part


def module_of(**options):
    model = {"distribution": {"type": "gsde", **options}}
    return compose(OBSERVED, SPACE, model, "ppo").build()


def test_log_prob_and_entropy_are_stable_baselines_ones():
    part, outputs = part_of(), torch.randn(6, 7, generator=seeded())
    theirs = StateDependentNoiseDistribution(2)
    theirs.proba_distribution_net(5)
    z = normalize(outputs[:, 2:], dim=-1)
    theirs.proba_distribution(outputs[:, :2], part.log_std, z)
    ours = part(part.inputs(outputs))
    actions = ours.sample(seeded())
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.deterministic(), theirs.mode())


def test_with_noise_that_is_held_samples_are_stable_baselines_ones():
    part, outputs = part_of(), torch.randn(6, 7, generator=seeded())
    part.resample_noise(0, 6, seeded())
    theirs = StateDependentNoiseDistribution(2)
    theirs.proba_distribution_net(5)
    theirs.exploration_matrices = part.noises
    z = normalize(outputs[:, 2:], dim=-1)
    theirs.proba_distribution(outputs[:, :2], part.log_std, z)
    torch.testing.assert_close(part(part.inputs(outputs)).sample(), theirs.sample())


@pytest.mark.parametrize("space", [SPACE, spaces.Box(-1, 1, ()), spaces.Box(-1, 1, (2, 1, 2))])
@pytest.mark.parametrize("lead", [(), (4,), (6,), (2, 3)])
def test_held_noise_makes_one_sample_of_one_state(space, lead):
    part = part_of(space)
    part.resample_noise(0, 6, seeded())
    distribution = part(part.inputs(torch.randn(*lead, part.in_dim, generator=seeded())))
    actions = distribution.sample(seeded(1))
    assert actions.shape == (*lead, *space.shape)
    assert torch.equal(actions, distribution.sample(seeded(2)))
    assert not torch.equal(actions, distribution.deterministic())


def test_before_noise_is_drawn_each_sample_has_noise_of_its_own():
    part = part_of()
    distribution = part(part.inputs(torch.randn(4, 7, generator=seeded())))
    assert not torch.equal(distribution.sample(seeded(1)), distribution.sample(seeded(2)))


def test_over_many_noises_actions_have_the_spread_of_the_density():
    part, output = part_of(), torch.randn(7, generator=seeded())
    part.resample_noise(0, 20_000, seeded())
    distribution = part(part.inputs(output.expand(20_000, -1)))
    actions = distribution.sample()
    std = distribution.base.log_std[0].exp().detach()
    torch.testing.assert_close(actions.std(0), std, atol=0, rtol=0.03)
    torch.testing.assert_close(
        actions.mean(0), output[:2], atol=4 * std.max() / 20_000**0.5, rtol=0
    )


def test_the_spread_starts_as_it_is_told_whatever_the_policys_outputs_are():
    part = GSDEConfig(log_std_init=-1.5).build(SPACE)
    for scale in (0.01, 1.0, 100.0):
        outputs = scale * torch.randn(5, part.in_dim, generator=seeded())
        log_std = part(part.inputs(outputs)).base.log_std
        torch.testing.assert_close(log_std, torch.full((5, 2), -1.5), atol=1e-4, rtol=0)


def test_noise_trains_its_log_std_and_not_what_it_is_a_function_of():
    part = part_of()
    outputs = torch.randn(5, 7, generator=seeded(), requires_grad=True)
    part(part.inputs(outputs)).log_prob(torch.ones(5, 2)).sum().backward()
    assert outputs.grad[:, :2].all()
    assert not outputs.grad[:, 2:].any()
    assert part.log_std.grad.all()


def test_environments_have_noise_of_their_own_which_they_keep():
    module = module_of()
    module.resample_noise(0, 4, seeded())
    obs = np.ones((4, 3), np.float32)
    actions = module.act(obs, generator=seeded(1)).actions
    assert len({tuple(row) for row in actions.tolist()}) == 4
    assert torch.equal(module.act(obs, generator=seeded(2)).actions, actions)
    module.resample_noise(1, 4, seeded(3))
    assert torch.equal(module.act(obs).actions, actions)
    module.resample_noise(0, 4, seeded(3))
    assert not torch.equal(module.act(obs).actions, actions)


def test_noise_is_a_part_of_the_modules_state(tmp_path):
    module = module_of()
    module.resample_noise(0, 4, seeded())
    module.save_to_path(tmp_path / "saved")
    again = RLModule.from_checkpoint(tmp_path / "saved")
    other = module_of()
    other.set_state(module.get_state())
    obs = np.ones((1, 3), np.float32)
    first = module.act(obs).actions
    assert torch.equal(again.act(obs).actions, first)
    assert torch.equal(other.act(obs).actions, first)


GSDE = {"distribution": {"type": "gsde", "log_std_init": -1.0}}


def noises_of(driver, rollouts=1):
    """The first number of the noise at each step of rollouts."""
    seen, act = [], driver.module.act

    def acting(*args, **kwargs):
        seen.append(driver.module.distribution.noise[0, 0].item())
        return act(*args, **kwargs)

    driver.collector.executor = type(
        "Watched", (), {"act": staticmethod(acting), "resample_noise": driver.module.resample_noise}
    )
    for _ in range(rollouts):
        driver.collector.collect(driver.rollout)
    return seen


@pytest.mark.parametrize(("every", "lasting"), [(None, 8), (3, 3), (1, 1)])
def test_noise_is_drawn_at_the_start_of_each_rollout_and_as_often_as_told(every, lasting):
    model = {"distribution": {"type": "gsde", "resample_every": every}}
    with driver_of(experiment("Reach1D", model=model)) as driver:
        seen = noises_of(driver, rollouts=2)
    first, second = seen[:8], seen[8:]
    for rollout in (first, second):
        assert [rollout.index(noise) for noise in rollout] == [t - t % lasting for t in range(8)]
    assert not set(first) & set(second)


def test_the_first_ratio_of_ppo_is_one():
    wanted = experiment("ReachTruncated", model=GSDE, algorithm={"epochs": 1, "num_minibatches": 1})
    with driver_of(wanted) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
    batch = seen[0]
    kl, outside = batch["metrics"][-2:]
    assert outside == 0
    assert kl.item() == pytest.approx(0, abs=1e-6)
    assert batch[Columns.ACTION_LOGP].isfinite().all()


def test_the_same_seed_gives_the_same_evaluation_of_samples():
    wanted = experiment("Reach1D", model=GSDE)
    module = wanted.blueprint.build()
    envs = wanted.config.env.make()
    first, second = (
        evaluate(make_executor(module), envs, 6, seed=1, deterministic=False) for _ in range(2)
    )
    greedy = evaluate(make_executor(module), envs, 6, seed=1)
    envs.close()
    assert first == second
    assert first != greedy


def test_it_acts_in_a_box_of_floats_only():
    assert GSDEConfig().refusal(Reach1D().action_space) is None
    assert GSDEConfig().refusal(spaces.Discrete(2)) == (
        "`gsde` acts in a Box of floats, not Discrete(2)"
    )


@pytest.mark.parametrize(
    ("key", "value"), [("log_std_init", 3.0), ("latent_dim", 0), ("resample_every", 0)]
)
def test_a_setting_out_of_range_is_refused(key, value):
    with pytest.raises(ConfigError, match=key):
        GSDEConfig.parse({"type": "gsde", key: value}, "model.distribution")
