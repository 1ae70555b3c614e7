"""Every part in every space that it takes, as Hypothesis generates them, and any two spaces.

More cases than CI runs: `make fuzz`.
"""

import os
from functools import partial

import pytest
from gymnasium.vector.utils import batch_space, iterate
from hypothesis import HealthCheck, given, note, settings

from composer import Blueprint, compose
from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.spaces import batch, describe, samples
from composer.testing import check_distribution, check_encoder
from composer.testing.strategies import accepted_by, action_spaces, observation_spaces

EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "12"))

generated = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="CONFORMANCE_EXAMPLES" not in os.environ,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def tried(strategy, check):
    """Checks spaces that are drawn, and says which one fails."""

    @generated
    @given(strategy)
    def each(space):
        note(describe(space))
        check(space)

    each()


def configs(family, options):
    """Every member of a family as it is by default, and some with options."""
    said = [{"type": tag} for tag in family.tags()] + options
    return [pytest.param(family.parse(one), id="-".join(map(str, one.values()))) for one in said]


ENCODERS = configs(
    EncoderConfig,
    [
        {"type": "mlp", "norm": "running"},
        {"type": "mlp", "hidden": [], "layer_norm": True},
        {"type": "cnn", "norm": "running", "conv_layer_norm": True},
        {"type": "set", "pool": "attention"},
        {"type": "embedding", "size": 3, "combine": "sum"},
        {"type": "dict", "combine": "sum"},
        {"type": "tuple", "combine": "attention"},
    ],
)
DISTRIBUTIONS = configs(
    DistributionConfig,
    [
        {"type": "diag_gaussian", "log_std": "dependent"},
        {"type": "squashed_gaussian", "log_std": "independent"},
    ],
)


@pytest.mark.parametrize("config", ENCODERS)
def test_an_encoder_does_what_it_must_in_every_space_it_takes(config):
    tried(accepted_by(config), partial(check_encoder, config))


@pytest.mark.parametrize("config", DISTRIBUTIONS)
def test_a_distribution_does_what_it_must_in_every_space_it_acts_in(config):
    tried(accepted_by(config), partial(check_distribution, config))


@pytest.mark.filterwarnings("ignore:.*Casting input x")  # a number, where a Box is of rank 0
@generated
@given(observed=observation_spaces(), acted=action_spaces())
def test_any_two_spaces_compose_build_and_act(observed, acted):
    note(f"{describe(observed)} -> {describe(acted)}")
    blueprint = compose(observed, acted, algorithm="ppo")
    assert Blueprint.from_json(blueprint.to_json()) == blueprint
    module = blueprint.build(seed=0)
    obs = batch(observed, samples(observed, 3))
    for deterministic in (False, True):
        step = module.act(obs, deterministic=deterministic)
        for action in iterate(batch_space(acted, 3), step.env_actions):
            assert acted.contains(action)
        assert step.log_prob.isfinite().all()
