import itertools
import json
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.distributions import (
    AffineTransform,
    Bernoulli,
    Beta,
    Categorical,
    Independent,
    Normal,
    TanhTransform,
    TransformedDistribution,
    kl_divergence,
)

from composer.distributions.base import DeterministicDistribution, DistributionConfig
from composer.distributions.bernoulli import BernoulliConfig, BernoulliDistribution
from composer.distributions.beta import BetaConfig, BetaDistribution
from composer.distributions.categorical import CategoricalConfig, CategoricalDistribution
from composer.distributions.deterministic import DeterministicConfig
from composer.distributions.diag_gaussian import DiagGaussianConfig, DiagGaussianDistribution
from composer.distributions.multi_categorical import (
    MultiCategoricalConfig,
    MultiCategoricalDistribution,
)
from composer.distributions.squashed_gaussian import (
    SquashedGaussianConfig,
    SquashedGaussianDistribution,
)
from composer.errors import CompositionError, ConfigError, ModuleError
from composer.spaces import describe

SPACES = [
    spaces.Discrete(1),
    spaces.Discrete(4),
    spaces.Discrete(4, start=-3),
    spaces.Discrete(4, start=10, dtype=np.int32),
    spaces.MultiDiscrete([3, 1, 4]),
    spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[7, -2], [0, 1]], dtype=np.int32),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 1, 2]),
    spaces.Box(-2, 1, (2,), np.int64),
    spaces.Box(np.array([[0, 250]]), np.array([[3, 255]]), dtype=np.uint8),
    spaces.Box(-128, 127, (), np.int8),
    spaces.Box(2**62, 2**62 + 4, (3,), np.uint64),
    spaces.Box(-1, 1, (3,), np.float32),
    spaces.Box(np.array([-2.0, 0.0]), np.array([3.0, 0.1]), dtype=np.float64),
    spaces.Box(np.array([-np.inf, 0, -1]), np.array([0, np.inf, np.inf]), dtype=np.float64),
    spaces.Box(-np.inf, np.inf, (2,), np.float32),
    spaces.Box(np.float32(0.1), np.float32(0.7), (2,), np.float32),
    spaces.Box(-3e38, 3e38, (2,), np.float32),
    spaces.Box(-1.7e308, 1.7e308, (2,), np.float64),
    spaces.Box(-6e4, 6e4, (2,), np.float16),
    spaces.Box(-np.inf, np.inf, (2,), np.float16),
    spaces.Box(2.0, 2.0, (2,), np.float32),
    spaces.Box(0, 1, (3,), np.float32),
    spaces.Box(0, 1, (2,), np.float64),
    spaces.Box(-1, 2, (), np.float32),
    spaces.Box(-1, 2, (2, 3), np.float32),
    spaces.Box(-1, 2, (2, 1, 2), np.float64),
]
LEADS = [(), (5,), (2, 3)]


def conformance():
    """Every distribution, plain and with options, with every space it acts in."""
    for tag in DistributionConfig.tags():
        options = [{}]
        if tag in ("diag_gaussian", "squashed_gaussian"):
            options = [
                {"log_std": "independent"},
                {"log_std": "dependent", "log_std_init": -0.5},
            ]
        elif tag == "gsde":
            options = [{"latent_dim": 5, "log_std_init": -0.5}]
        for space, option in itertools.product(SPACES, options):
            config = DistributionConfig.parse({"type": tag, **option})
            if config.refusal(space) is None:
                name = f"{tag}-{option}-{describe(space)}"
                yield pytest.param(config.resolve(space), space, id=name)


PAIRS = list(conformance())
sampling = pytest.mark.parametrize(
    ("config", "space"), [pair for pair in PAIRS if pair.values[0].has_density]
)
conforms = pytest.mark.parametrize(("config", "space"), PAIRS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(config, space, lead=(5,), scale=1.0, seed=0):
    part = config.build(space)
    outputs = scale * torch.randn(*lead, part.in_dim, generator=seeded(seed))
    return part(part.inputs(outputs))


def in_space(space, actions, lead):
    actions = np.asarray(actions)
    return all(space.contains(np.asarray(actions[index])) for index in np.ndindex(*lead))


def categorical(logits, mask=None):
    return CategoricalConfig().bind(spaces.Discrete(logits.shape[-1]))(logits, mask)


def several(logits, space, mask=None):
    return MultiCategoricalConfig().bind(space)(logits, mask)


def bits(logits, mask=None):
    return BernoulliConfig().bind(spaces.MultiBinary(logits.shape[-1]))(logits, mask)


def gaussian(mean, log_std, space=None):
    space = space or spaces.Box(-1, 1, (mean.shape[-1],), np.float32)
    return DiagGaussianConfig().bind(space)(torch.cat([mean, log_std], -1))


# every distribution in every space it acts in


def test_every_space_has_a_distribution():
    assert {describe(pair.values[1]) for pair in PAIRS} == {describe(space) for space in SPACES}


@conforms
def test_dumped_and_loaded_a_config_is_equal(config, space):
    assert DistributionConfig.parse(json.loads(json.dumps(config.to_data()))) == config


@conforms
@pytest.mark.parametrize("lead", LEADS)
def test_shapes_follow_the_leading_axes(config, space, lead):
    distribution = made(config, space, lead)
    actions = distribution.sample(seeded())
    assert actions.shape == (*lead, *space.shape)
    assert distribution.deterministic().shape == (*lead, *space.shape)
    assert distribution.log_prob(actions).shape == lead
    assert distribution.entropy().shape == lead
    assert distribution.kl(made(config, space, lead, seed=1)).shape == lead
    assert distribution.to_env(actions).shape == (*lead, *space.shape)


@conforms
@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_what_the_environment_gets_lies_in_its_space(config, space, lead, scale):
    distribution = made(config, space, lead, scale)
    for actions in (distribution.sample(seeded()), distribution.deterministic()):
        env_actions = distribution.to_env(actions)
        assert in_space(space, env_actions, lead)
        assert env_actions.dtype == space.dtype


@conforms
def test_a_generator_makes_samples_reproducible_and_leaves_the_global_one(config, space):
    distribution = made(config, space)
    before = torch.get_rng_state()
    assert torch.equal(distribution.sample(seeded(7)), distribution.sample(seeded(7)))
    assert torch.equal(torch.get_rng_state(), before)


@sampling
def test_samples_have_no_gradient_and_log_probs_have(config, space):
    part = config.build(space)
    outputs = torch.randn(5, part.in_dim, requires_grad=True)
    distribution = part(part.inputs(outputs))
    actions = distribution.sample()
    assert not actions.requires_grad
    loss = distribution.log_prob(actions).sum() + distribution.entropy().sum()
    loss.backward()
    for tensor in (outputs, *part.parameters()):
        assert tensor.grad.isfinite().all()


@conforms
def test_kept_inputs_give_the_same_distribution_after_the_parameters_moved(config, space):
    part = config.build(space)
    inputs = part.inputs(torch.randn(5, part.in_dim, generator=seeded())).detach()
    actions = part(inputs).sample(seeded())
    before = part(inputs).log_prob(actions)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter += 1
    assert torch.equal(part(inputs).log_prob(actions), before)
    assert torch.equal(config.bind(space)(inputs).log_prob(actions), before)
    assert config.bind(space).inputs_dim == part.inputs_dim == inputs.shape[-1]


@conforms
def test_widths_are_what_the_config_says(config, space):
    assert config.build(space).in_dim == config.in_dim(space)


@conforms
def test_the_divergence_from_itself_is_zero(config, space):
    distribution = made(config, space)
    torch.testing.assert_close(distribution.kl(distribution), torch.zeros(5))


@conforms
def test_entropy_matches_monte_carlo(config, space):
    part = config.build(space)
    outputs = torch.randn(part.in_dim, generator=seeded(1))
    many = part(part.inputs(outputs).expand(20_000, -1))
    surprise = -many.log_prob(many.sample(seeded()))
    error = 5 * surprise.std().item() / math.sqrt(20_000) + 1e-5
    assert surprise.mean().item() == pytest.approx(many.entropy()[0].item(), abs=error)


@sampling
def test_divergence_matches_monte_carlo(config, space):
    part = config.build(space)
    inputs = [part.inputs(torch.randn(part.in_dim, generator=seeded(seed))) for seed in (1, 2)]
    first, second = (part(each.expand(20_000, -1)) for each in inputs)
    actions = first.sample(seeded())
    ratio = first.log_prob(actions) - second.log_prob(actions)
    error = 5 * ratio.std().item() / math.sqrt(20_000) + 1e-5
    assert ratio.mean().item() == pytest.approx(first.kl(second)[0].item(), abs=error)


@conforms
@pytest.mark.parametrize("lead", LEADS)
def test_made_deterministic_all_mass_is_on_one_action(config, space, lead):
    distribution = made(config, space, lead)
    certain = distribution.to_deterministic()
    action = distribution.deterministic()
    assert torch.equal(certain.sample(), action)
    assert torch.equal(certain.deterministic(), action)
    assert (certain.log_prob(action) == 0).all()
    assert (certain.log_prob(action + 1) == -torch.inf).all()
    assert torch.equal(certain.entropy(), torch.zeros(lead))
    torch.testing.assert_close(certain.kl(distribution), -distribution.log_prob(action))
    assert in_space(space, certain.to_env(action), lead)
    assert torch.equal(certain.to_deterministic().sample(), action)


def test_a_deterministic_distribution_takes_the_actions_themselves():
    space = spaces.Box(-1, 1, (2, 3))
    assert DeterministicDistribution.required_input_dim(space) == 6
    assert DeterministicDistribution.required_input_dim(spaces.Discrete(4)) == 1


# deterministic


def test_a_deterministic_action_is_the_tanh_of_the_outputs_and_they_learn_through_it():
    part = DeterministicConfig().build(spaces.Box(0, 4, (1, 2)))
    outputs = torch.tensor([0.5, -90.0], requires_grad=True)
    distribution = part(part.inputs(outputs))
    action = distribution.sample()
    np.testing.assert_allclose(distribution.to_env(action), [[2 + 2 * math.tanh(0.5), 0]], 1e-6)
    distribution.deterministic().sum().backward()
    torch.testing.assert_close(outputs.grad, 1 - outputs.detach().tanh() ** 2)


def test_a_deterministic_distribution_says_that_no_log_prob_is_to_be_learnt_from():
    assert not DeterministicConfig.has_density
    made_of = DeterministicConfig().bind(spaces.Box(-1, 1, (2,)))(torch.tensor([0.1, 0.2]))
    assert made_of.log_prob(torch.tensor([0.1, 0.2])) == 0
    assert made_of.log_prob(torch.tensor([0.1, 0.3])) == -torch.inf
    assert made_of.entropy() == 0


# refusals

OPEN = spaces.Box(np.zeros(2), np.array([1, np.inf]), dtype=np.float64)
UNBOUNDED = (
    "acts between finite bounds, and Box(2,) float64 has an infinite one\n"
    "choose a distribution that needs no bounds, or bound the actions by `env.wrappers`"
)


@pytest.mark.parametrize(
    ("config", "space", "message"),
    [
        (
            CategoricalConfig(),
            spaces.Box(-1, 1, (2,)),
            "`categorical` acts in a Discrete space, not Box(2,) float32",
        ),
        (
            DiagGaussianConfig(),
            spaces.Discrete(2),
            "`diag_gaussian` acts in a Box of floats, not Discrete(2)",
        ),
        (
            DiagGaussianConfig(),
            spaces.Box(0, 9, (2,), np.int32),
            "`diag_gaussian` acts in a Box of floats, not Box(2,) int32",
        ),
        (
            SquashedGaussianConfig(),
            spaces.Box(0, 9, (2,), np.int32),
            "`squashed_gaussian` acts in a Box of floats, not Box(2,) int32",
        ),
        (SquashedGaussianConfig(), OPEN, f"`squashed_gaussian` {UNBOUNDED}"),
        (BetaConfig(), OPEN, f"`beta` {UNBOUNDED}"),
        (DeterministicConfig(), OPEN, f"`deterministic` {UNBOUNDED}"),
        (
            BernoulliConfig(),
            spaces.MultiDiscrete([2, 2]),
            "`bernoulli` acts in a MultiBinary space, not MultiDiscrete([2, 2])",
        ),
        (
            MultiCategoricalConfig(),
            spaces.Box(0, 9, (2,), np.float32),
            "`multi_categorical` acts in a MultiDiscrete space or a Box of integers, not Box(2,) "
            "float32",
        ),
    ],
)
def test_a_space_it_cannot_act_in_is_refused(config, space, message):
    assert config.refusal(space) == message


# the normalised space


@pytest.mark.parametrize(
    ("low", "high"), [(-2.0, 3.0), (0.0, 0.1), (-3e38, 3e38), (1e6, 1e6 + 1), (-7.0, -5.0)]
)
def test_finite_bounds_are_minus_one_and_one(low, high):
    space = spaces.Box(low, high, (3,), np.float64)
    to_env = made(DiagGaussianConfig(), space).to_env
    middle = low / 2 + high / 2
    np.testing.assert_allclose(to_env(torch.tensor([-1.0, 0.0, 1.0])), [low, middle, high])
    np.testing.assert_array_equal(to_env(torch.tensor([-2.0, 5.0, 9.0])), [low, high, high])


def test_an_unbounded_dimension_is_itself_and_a_half_open_one_is_clipped():
    low = np.array([-np.inf, 0.5, -np.inf])
    high = np.array([np.inf, np.inf, 0.5])
    to_env = made(DiagGaussianConfig(), spaces.Box(low, high, dtype=np.float64)).to_env
    np.testing.assert_array_equal(to_env(torch.tensor([7.0, 7.0, 7.0])), [7, 7, 0.5])
    np.testing.assert_array_equal(to_env(torch.tensor([-7.0, -7.0, -7.0])), [-7, 0.5, -7])


def test_discrete_actions_count_from_zero_and_start_is_added_for_the_environment():
    distribution = made(CategoricalConfig(), spaces.Discrete(3, start=5))
    assert set(distribution.sample(seeded()).tolist()) <= {0, 1, 2}
    assert distribution.to_env(torch.tensor([0, 2])).tolist() == [5, 7]


def test_a_single_discrete_action_can_be_looked_up_in_a_dict():
    env_action = made(CategoricalConfig(), spaces.Discrete(3, start=5)).to_env(torch.tensor(1))
    assert {6: "right"}[env_action] == "right"


# categorical


def test_categorical_probabilities_sum_to_one():
    distribution = categorical(5 * torch.randn(6, 4, generator=seeded()))
    total = sum(distribution.log_prob(torch.full((6,), action)).exp() for action in range(4))
    torch.testing.assert_close(total, torch.ones(6))


def test_categorical_is_torchs():
    logits, others = torch.randn(2, 6, 4, generator=seeded())
    ours, theirs = categorical(logits), Categorical(logits=logits)
    actions = ours.sample(seeded())
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(
        ours.kl(categorical(others)), kl_divergence(theirs, Categorical(logits=others))
    )


def test_categorical_samples_by_its_probabilities():
    logits = torch.tensor([0.1, 0.2, 0.7]).log().expand(20_000, -1)
    shares = torch.bincount(categorical(logits).sample(seeded()), minlength=3) / 20_000
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.2, 0.7]), atol=0.02, rtol=0)


def test_the_deterministic_action_of_a_categorical_is_the_most_probable():
    distribution = categorical(torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]]))
    assert distribution.deterministic().tolist() == [1, 0]


def test_enormous_logits_stay_finite():
    distribution = categorical(torch.tensor([[1e30, 0.0, -1e30]]))
    assert distribution.sample(seeded()).tolist() == [0]
    assert distribution.entropy().tolist() == [0.0]


# masks


def test_a_masked_action_is_never_taken():
    mask = torch.tensor([True, False, True])
    logits = torch.tensor([0.0, 50.0, 1.0])
    distribution = categorical(logits.expand(5_000, -1), mask.expand(5_000, -1))
    assert set(distribution.sample(seeded()).tolist()) == {0, 2}
    assert set(distribution.deterministic().tolist()) == {2}
    assert distribution.probs[0, 1] == 0


def test_a_masked_distribution_is_that_over_what_is_left():
    logits = torch.randn(6, 4, generator=seeded())
    mask = torch.tensor([True, False, True, True]).expand(6, -1)
    masked, rest = categorical(logits, mask), Categorical(logits=logits[:, [0, 2, 3]])
    torch.testing.assert_close(masked.entropy(), rest.entropy())
    torch.testing.assert_close(masked.log_prob(torch.full((6,), 2)), rest.logits[:, 1])
    other = torch.randn(6, 4, generator=seeded(1))
    torch.testing.assert_close(
        masked.kl(categorical(other, mask)),
        kl_divergence(rest, Categorical(logits=other[:, [0, 2, 3]])),
    )


def test_zero_times_log_zero_is_zero_and_so_is_its_gradient():
    logits = torch.randn(6, 4, generator=seeded(), requires_grad=True)
    mask = torch.tensor([True, False, False, False]).expand(6, -1)
    distribution = categorical(logits, mask)
    entropy = distribution.entropy()
    assert entropy.tolist() == [0.0] * 6
    (entropy + distribution.kl(categorical(logits.detach() + 1, mask))).sum().backward()
    assert torch.equal(logits.grad, torch.zeros(6, 4))


def test_a_row_that_allows_nothing_is_an_error():
    mask = torch.tensor([[True, False], [False, False]])
    with pytest.raises(ModuleError, match="an action mask allows no action at all"):
        categorical(torch.zeros(2, 2), mask)


def test_gymnasiums_own_masks_of_int8_are_masks():
    mask = torch.tensor([[1, 0, 1]], dtype=torch.int8)
    assert categorical(torch.zeros(1, 3), mask).probs.tolist() == [[0.5, 0.0, 0.5]]


@pytest.mark.parametrize(
    "tag", ["beta", "deterministic", "diag_gaussian", "gsde", "squashed_gaussian"]
)
def test_a_mask_of_what_is_no_choice_is_an_error(tag):
    part = DistributionConfig.parse({"type": tag}).bind(spaces.Box(-1, 1, (2,)))
    with pytest.raises(ModuleError, match=r"an action mask forbids choices, and Box.* has none"):
        part(torch.zeros(part.inputs_dim), torch.ones(2))


def test_one_mask_serves_all_leading_axes():
    distribution = categorical(torch.zeros(2, 5, 3), torch.tensor([True, False, True]))
    assert distribution.probs.shape == (2, 5, 3)
    assert not distribution.probs[..., 1].any()


# several categoricals

DIGITS = spaces.MultiDiscrete([2, 4, 3], start=[5, 0, -1])
MATRIX = spaces.MultiDiscrete([[2, 3], [1, 4]])


def test_the_probabilities_of_all_combinations_sum_to_one():
    actions = torch.tensor(list(itertools.product(range(2), range(4), range(3))))
    distribution = several(torch.randn(9, generator=seeded()).expand(24, -1), DIGITS)
    torch.testing.assert_close(distribution.log_prob(actions).exp().sum(), torch.tensor(1.0))


def test_several_categoricals_are_torchs_one_after_the_other():
    logits, others = 3 * torch.randn(2, 6, 9, generator=seeded())
    ours = several(logits, DIGITS)
    theirs = [Categorical(logits=part) for part in logits.split([2, 4, 3], -1)]
    rest = [Categorical(logits=part) for part in others.split([2, 4, 3], -1)]
    actions = ours.sample(seeded())
    log_probs = [each.log_prob(actions[:, i]) for i, each in enumerate(theirs)]
    torch.testing.assert_close(ours.log_prob(actions), sum(log_probs))
    torch.testing.assert_close(ours.entropy(), sum(each.entropy() for each in theirs))
    divergences = map(kl_divergence, theirs, rest)
    torch.testing.assert_close(ours.kl(several(others, DIGITS)), sum(divergences))
    best = torch.stack([each.logits.argmax(-1) for each in theirs], -1)
    assert torch.equal(ours.deterministic(), best)


def test_components_of_a_matrix_are_in_the_order_of_its_elements():
    logits = torch.tensor([0.0, 9, 0, 0, 9, 0, 9, 0, 0, 0])  # 1, 2, the only one, 0
    distribution = several(logits, MATRIX)
    assert distribution.deterministic().tolist() == [[1, 2], [0, 0]]
    assert distribution.to_env(distribution.deterministic()).tolist() == [[1, 2], [0, 0]]


def test_start_is_added_to_each_component_for_the_environment():
    assert several(torch.zeros(9), DIGITS).to_env(torch.tensor([1, 2, 0])).tolist() == [6, 2, -1]


def test_integers_of_a_box_count_from_its_low_bounds():
    space = spaces.Box(np.array([-3, 7]), np.array([-1, 8]), dtype=np.int16)
    part = MultiCategoricalConfig().resolve(space).build(space)
    assert part.in_dim == 3 + 2
    env_action = part(torch.zeros(5)).to_env(torch.tensor([2, 0]))
    assert env_action.tolist() == [-1, 7]
    assert env_action.dtype == np.int16


@pytest.mark.parametrize("form", ["flat", "Gymnasium's"])
def test_a_mask_reaches_each_component(form):
    parts = [np.array([0, 1], np.int8), np.array([1, 0, 1, 0], np.int8), np.ones(3, np.int8)]
    several_of = tuple(torch.as_tensor(part).expand(5_000, -1) for part in parts)
    mask = torch.cat(several_of, -1).bool() if form == "flat" else several_of
    logits = torch.tensor([50.0, 0, 0, 50, 0, 0, 0, 0, 0]).expand(5_000, -1)
    distribution = several(logits, DIGITS, mask)
    actions = distribution.sample(seeded())
    assert [set(column.tolist()) for column in actions.T] == [{1}, {0, 2}, {0, 1, 2}]
    assert distribution.deterministic()[0].tolist() == [1, 0, 0]
    torch.testing.assert_close(distribution.entropy()[0], torch.tensor(math.log(2 * 3)))
    torch.testing.assert_close(distribution.log_prob(actions)[0], torch.tensor(-math.log(2 * 3)))


def test_gymnasiums_masks_of_a_matrix_are_nested():
    rows = ((torch.tensor([0, 1]), torch.tensor([0, 0, 1])), (torch.ones(1), torch.eye(4)[3]))
    assert several(torch.zeros(10), MATRIX, rows).deterministic().tolist() == [[1, 2], [0, 3]]


def test_a_component_that_allows_nothing_is_an_error():
    mask = torch.tensor([True, True, False, False, False, False, True, True, True])
    with pytest.raises(ModuleError, match="an action mask allows no action at all"):
        several(torch.zeros(9), DIGITS, mask)


@pytest.mark.parametrize(
    ("space", "says", "fix"),
    [
        (spaces.Box(0, 999, (2,), np.int64), "has 1,000 integers", "max_integers=1000"),
        (spaces.Box(0, 10**6, (2,), np.int64), "has 1,000,001 integers", None),
        (spaces.Box(-np.inf, np.inf, (2,), np.int64), "env.wrappers", None),
    ],
)
def test_a_box_of_many_integers_is_refused_with_what_to_do(space, says, fix):
    with pytest.raises(CompositionError) as caught:
        MultiCategoricalConfig().resolve(space)
    (problem,) = caught.value.problems
    assert (problem.path, problem.value, problem.fix) == ("max_integers", 256, fix)
    assert says in problem.message
    if fix:
        raised = MultiCategoricalConfig(max_integers=1000)
        assert raised.resolve(space) == raised


def test_a_multi_discrete_may_have_many_categories():
    config = MultiCategoricalConfig()
    assert config.resolve(spaces.MultiDiscrete([1000])) == config


# bits


def test_the_probabilities_of_all_bits_sum_to_one():
    actions = torch.tensor(list(itertools.product(range(2), repeat=3)))
    distribution = bits(torch.randn(3, generator=seeded()).expand(8, -1))
    torch.testing.assert_close(distribution.log_prob(actions).exp().sum(), torch.tensor(1.0))


def test_bits_are_torchs():
    logits, others = 3 * torch.randn(2, 6, 4, generator=seeded())
    ours, theirs = bits(logits), Independent(Bernoulli(logits=logits), 1)
    actions = ours.sample(seeded())
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions.float()))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    rest = Independent(Bernoulli(logits=others), 1)
    torch.testing.assert_close(ours.kl(bits(others)), kl_divergence(theirs, rest))


def test_the_deterministic_action_sets_the_bits_that_are_more_probable_than_not():
    assert bits(torch.tensor([-1.0, 2.0, 0.5])).deterministic().tolist() == [0, 1, 1]


def test_bits_of_a_matrix_are_in_the_order_of_its_elements():
    part = BernoulliConfig().bind(spaces.MultiBinary([2, 3]))
    distribution = part(torch.tensor([9.0, -9, -9, -9, 9, 9]))
    assert distribution.to_env(distribution.deterministic()).tolist() == [[1, 0, 0], [0, 1, 1]]


def test_enormous_log_odds_stay_finite():
    logits = torch.tensor([1e30, -1e30], requires_grad=True)
    distribution = bits(logits)
    assert distribution.sample(seeded()).tolist() == [1, 0]
    entropy = distribution.entropy()
    entropy.backward()
    assert (entropy.item(), logits.grad.tolist()) == (0.0, [0.0, 0.0])


def test_a_mask_of_bits_forbids_forces_or_frees_each():
    space = spaces.MultiBinary([2, 2])
    mask = torch.tensor([[0, 1], [2, 2]], dtype=torch.int8)
    logits = torch.tensor([5.0, -5.0, 0.0, 0.0]).expand(5_000, -1)
    distribution = BernoulliConfig().bind(space)(logits, mask)
    samples = distribution.sample(seeded())
    assert (samples[:, 0] == torch.tensor([0, 1])).all()
    assert {tuple(row) for row in samples[:, 1].tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    torch.testing.assert_close(distribution.entropy()[0], torch.tensor(2 * math.log(2)))
    torch.testing.assert_close(distribution.log_prob(samples)[0], torch.tensor(-2 * math.log(2)))


@pytest.mark.parametrize("mask", [torch.tensor([True, False]), torch.tensor([0, 3])])
def test_a_mask_of_bits_that_cannot_be_meant_is_an_error(mask):
    with pytest.raises(ModuleError, match="0 where a bit must not be set, 1 where it must be"):
        bits(torch.zeros(2), mask)


# diagonal Gaussian


def test_the_gaussian_density_integrates_to_one():
    points = torch.linspace(-8, 8, 20_001, dtype=torch.float64).unsqueeze(-1)
    distribution = gaussian(torch.full((20_001, 1), 0.3), torch.full((20_001, 1), -0.5))
    density = distribution.log_prob(points).exp()
    assert torch.trapezoid(density, points[:, 0]).item() == pytest.approx(1.0, abs=1e-6)


def test_the_gaussian_is_torchs():
    mean, log_std, other_mean, other_log_std = torch.randn(4, 6, 3, generator=seeded())
    ours = gaussian(mean, log_std)
    theirs = Independent(Normal(mean, log_std.exp()), 1)
    actions = 3 * torch.randn(6, 3, generator=seeded(1))
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(
        ours.kl(gaussian(other_mean, other_log_std)),
        kl_divergence(theirs, Independent(Normal(other_mean, other_log_std.exp()), 1)),
    )


def test_gaussian_log_probs_know_no_bounds():
    distribution = gaussian(torch.zeros(1, 1), torch.zeros(1, 1), spaces.Box(-1, 1, (1,)))
    action = torch.tensor([[9.0]])
    torch.testing.assert_close(distribution.log_prob(action), Normal(0, 1).log_prob(action)[:, 0])
    assert distribution.to_env(action).tolist() == [[1.0]]


def test_gaussian_samples_have_its_mean_and_spread():
    samples = gaussian(torch.full((20_000, 1), 2.0), torch.full((20_000, 1), -1.0)).sample(seeded())
    assert samples.mean().item() == pytest.approx(2.0, abs=0.02)
    assert samples.std().item() == pytest.approx(math.exp(-1.0), rel=0.02)


def test_the_deterministic_action_of_a_gaussian_is_its_mean():
    mean = torch.tensor([[0.5, -3.0]])
    assert torch.equal(gaussian(mean, torch.zeros(1, 2)).deterministic(), mean)


def test_actions_of_a_matrix_space_are_in_the_order_of_its_elements():
    space = spaces.Box(-1, 1, (2, 3))
    mean = torch.arange(6.0).unsqueeze(0)
    distribution = gaussian(mean, torch.zeros(1, 6), space)
    assert distribution.deterministic().tolist() == [[[0, 1, 2], [3, 4, 5]]]
    peak = distribution.log_prob(distribution.deterministic())
    torch.testing.assert_close(peak, torch.tensor([-3 * math.log(2 * math.pi)]))


def test_an_independent_log_std_is_one_free_parameter_a_component():
    part = DiagGaussianConfig(log_std_init=-0.7).build(spaces.Box(-1, 1, (3,)))
    assert part.in_dim == 3
    torch.testing.assert_close(part.log_std.data, torch.full((3,), -0.7))
    inputs = part.inputs(torch.zeros(2, 5, 3))
    torch.testing.assert_close(inputs[..., 3:], torch.full((2, 5, 3), -0.7))


def test_a_dependent_log_std_is_the_second_half_of_the_outputs():
    part = DiagGaussianConfig(log_std="dependent", log_std_init=-0.5).build(spaces.Box(-1, 1, (2,)))
    assert part.in_dim == 4
    assert not list(part.parameters())
    inputs = part.inputs(torch.tensor([1.0, 2.0, 0.0, 1.0]))
    assert inputs.tolist() == [1.0, 2.0, -0.5, 0.5]


def test_the_log_std_is_clipped_to_its_range():
    config = DiagGaussianConfig(log_std="dependent", log_std_min=-1.0, log_std_max=1.0)
    inputs = config.build(spaces.Box(-1, 1, (2,))).inputs(torch.tensor([0.0, 0.0, -9.0, 9.0]))
    assert inputs[2:].tolist() == [-1.0, 1.0]
    free = DiagGaussianConfig(log_std_min=-1.0, log_std_max=1.0).build(spaces.Box(-1, 1, (2,)))
    with torch.no_grad():
        free.log_std += 9
    assert free.inputs(torch.zeros(2))[2:].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("config", [DiagGaussianConfig, SquashedGaussianConfig])
@pytest.mark.parametrize(
    "options", [{"log_std_init": 3.0}, {"log_std_min": 1.0}, {"log_std_init": -21.0}]
)
def test_a_log_std_that_starts_outside_its_range_is_refused(config, options):
    with pytest.raises(ConfigError, match=r"must lie between log_std_min .* and log_std_max"):
        config.parse(options)


# squashed Gaussian

UNIT = spaces.Box(-1, 1, (1,), np.float32)


def squashed(mean, log_std, space=None):
    space = space or spaces.Box(-1, 1, (mean.shape[-1],), np.float32)
    return SquashedGaussianConfig().bind(space)(torch.cat([mean, log_std], -1))


@pytest.mark.parametrize("log_std", [-1.0, 0.0, 0.7])
def test_the_squashed_density_integrates_to_one_between_the_bounds(log_std):
    before = torch.linspace(-15, 15, 20_001, dtype=torch.float64).unsqueeze(-1)
    distribution = squashed(torch.full_like(before, 0.3), torch.full_like(before, log_std))
    density = distribution.log_prob(before).exp()
    assert torch.trapezoid(density, before[:, 0].tanh()).item() == pytest.approx(1.0, abs=1e-4)


def test_the_squashed_gaussian_is_torchs():
    mean, log_std = torch.randn(2, 6, 3, generator=seeded(), dtype=torch.float64)
    theirs = Independent(TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform()), 1)
    before = torch.randn(6, 3, generator=seeded(1), dtype=torch.float64)
    ours = squashed(mean, log_std).log_prob(before)
    torch.testing.assert_close(ours, theirs.log_prob(before.tanh()))


def test_the_squashed_log_prob_is_finite_however_far_out():
    before = torch.tensor([[60.0], [-60.0]], requires_grad=True)
    log_prob = squashed(torch.zeros(2, 1), torch.zeros(2, 1)).log_prob(before)
    expected = Normal(0, 1).log_prob(torch.tensor(60.0)) - 2 * (math.log(2) - 60)
    torch.testing.assert_close(log_prob, expected.expand(2))
    log_prob.sum().backward()
    assert before.grad.isfinite().all()


def test_what_is_kept_is_before_the_tanh_and_the_environment_gets_what_is_after():
    distribution = squashed(torch.zeros(2), torch.zeros(2), spaces.Box(0, 4, (2,)))
    np.testing.assert_allclose(
        distribution.to_env(torch.tensor([0.5, -100.0])), [2 + 2 * math.tanh(0.5), 0.0]
    )


def test_the_deterministic_action_of_a_squashed_gaussian_is_the_tanh_of_its_mean():
    distribution = squashed(torch.tensor([0.5]), torch.tensor([1.0]))
    expected = torch.tensor([0.5]).tanh().numpy()
    np.testing.assert_allclose(distribution.to_env(distribution.deterministic()), expected)
    certain = distribution.to_deterministic()
    np.testing.assert_allclose(certain.to_env(certain.sample()), expected)


def test_the_divergence_of_squashed_gaussians_is_that_of_their_bases():
    mean, log_std, other_mean, other_log_std = torch.randn(4, 6, 3, generator=seeded())
    torch.testing.assert_close(
        squashed(mean, log_std).kl(squashed(other_mean, other_log_std)),
        gaussian(mean, log_std).kl(gaussian(other_mean, other_log_std)),
    )


@pytest.mark.parametrize(("std", "error"), [(0.1, 1e-4), (1.0, 1e-4), (2.0, 1e-3), (7.3, 0.1)])
def test_the_squashed_entropy_is_as_near_as_it_says(std, error):
    means = torch.tensor([0.0, 0.5, 2.0, 6.0], dtype=torch.float64).unsqueeze(-1)
    log_std = torch.full_like(means, math.log(std))
    z = torch.linspace(-9, 9, 100_001, dtype=torch.float64)
    weight = Normal(0, 1).log_prob(z).exp()
    for mean, entropy in zip(means, squashed(means, log_std).entropy(), strict=True):
        before = (mean + std * z).unsqueeze(-1)
        many = squashed(mean.expand_as(before), torch.full_like(before, math.log(std)))
        surprise = torch.trapezoid(-weight * many.log_prob(before), z)
        assert entropy.item() == pytest.approx(surprise.item(), abs=error)


def test_the_squashed_entropy_has_a_gradient_that_narrows_what_lies_at_the_bounds():
    log_std = torch.tensor([2.0], requires_grad=True)
    squashed(torch.zeros(1), log_std).entropy().backward()
    assert log_std.grad.item() < 0


def test_a_squashed_gaussians_spread_depends_on_the_state_by_default():
    assert SquashedGaussianConfig().in_dim(UNIT) == 2


# beta


def beta(inputs, space=None):
    return BetaConfig().bind(space or spaces.Box(-1, 1, (inputs.shape[-1] // 2,)))(inputs)


def torchs_beta(inputs):
    alpha, beta = (1 + torch.nn.functional.softplus(inputs)).chunk(2, -1)
    stretch = AffineTransform(-1.0, 2.0)
    return Beta(alpha, beta), TransformedDistribution(Beta(alpha, beta), stretch)


@pytest.mark.parametrize("inputs", [[0.0, 0.0], [-3.0, 5.0], [40.0, 30.0], [-200.0, -200.0]])
def test_the_beta_density_integrates_to_one_between_the_bounds(inputs):
    points = torch.linspace(-1, 1, 20_003, dtype=torch.float64)[1:-1].unsqueeze(-1)
    distribution = beta(torch.tensor(inputs, dtype=torch.float64).expand(20_001, -1))
    density = distribution.log_prob(points).exp()
    assert torch.trapezoid(density, points[:, 0]).item() == pytest.approx(1.0, abs=2e-3)


def test_the_beta_is_torchs_stretched():
    inputs, others = 3 * torch.randn(2, 6, 8, generator=seeded(), dtype=torch.float64)
    ours, (theirs, stretched) = beta(inputs), torchs_beta(inputs)
    actions = ours.sample(seeded())
    torch.testing.assert_close(ours.log_prob(actions), stretched.log_prob(actions).sum(-1))
    torch.testing.assert_close(ours.entropy(), (theirs.entropy() + math.log(2)).sum(-1))
    divergence = kl_divergence(theirs, torchs_beta(others)[0]).sum(-1)
    torch.testing.assert_close(ours.kl(beta(others)), divergence)


def test_beta_samples_have_its_mean_and_spread():
    inputs = torch.tensor([1.0, 2.0])
    samples = beta(inputs.expand(20_000, -1)).sample(seeded())
    theirs = torchs_beta(inputs)[0]
    assert samples.mean().item() == pytest.approx(2 * theirs.mean.item() - 1, abs=0.02)
    assert samples.std().item() == pytest.approx(2 * theirs.stddev.item(), rel=0.02)


def test_the_deterministic_action_of_a_beta_is_where_its_density_is_highest():
    points = torch.linspace(-0.999, 0.999, 9_991, dtype=torch.float64).unsqueeze(-1)
    distribution = beta(torch.tensor([3.0, 1.0], dtype=torch.float64).expand(len(points), -1))
    best = points[distribution.log_prob(points).argmax()]
    torch.testing.assert_close(distribution.deterministic()[0], best, atol=3e-4, rtol=0)


def test_a_flat_beta_has_its_mode_in_the_middle():
    inputs = torch.full((2,), -1e4, requires_grad=True)
    distribution = beta(inputs, spaces.Box(2, 4, (1,)))
    assert distribution.to_env(distribution.deterministic()).tolist() == [3.0]
    assert distribution.entropy().item() == pytest.approx(math.log(2), abs=1e-6)


def test_beta_samples_at_the_bounds_have_a_finite_density():
    distribution = beta(torch.tensor([[-50.0, 500.0], [500.0, -50.0], [9e4, -9.0]]))
    for seed in range(50):
        samples = distribution.sample(seeded(seed))
        assert (samples.abs() < 1).all()
        assert distribution.log_prob(samples).isfinite().all()


def test_classes_bind_to_a_space_without_a_config():
    for cls, space in (
        (CategoricalDistribution, spaces.Discrete(4)),
        (BernoulliDistribution, spaces.MultiBinary(4)),
        (MultiCategoricalDistribution, spaces.MultiDiscrete([3, 1])),
        (DiagGaussianDistribution, spaces.Box(-1, 1, (2,))),
        (SquashedGaussianDistribution, spaces.Box(-1, 1, (2,))),
        (BetaDistribution, spaces.Box(-1, 1, (2,))),
    ):
        part = cls.for_space(space)
        assert part.inputs_dim == 4 == cls.required_input_dim(space)
        assert isinstance(part(torch.zeros(3, 4)), cls)
        assert not list(part.parameters())
