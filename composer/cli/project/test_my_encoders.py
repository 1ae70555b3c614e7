"""The encoder does what Composer needs of it, and the experiment is valid."""

from pathlib import Path

import numpy as np
from gymnasium import spaces
from hypothesis import given, settings
from my_encoders import SymlogEncoderConfig

from composer import Experiment
from composer.testing import check_encoder
from composer.testing.strategies import accepted_by

CONF = Path(__file__).parent / "conf"


@settings(max_examples=10, deadline=None)
@given(accepted_by(SymlogEncoderConfig(hidden=(16,))))
def test_symlog_is_an_encoder(space: spaces.Box) -> None:
    check_encoder(SymlogEncoderConfig(hidden=(16,)), space)


def test_symlog_refuses_an_image() -> None:
    assert SymlogEncoderConfig().refusal(spaces.Box(0, 255, (8, 8, 3), np.uint8))


def test_the_experiment_uses_it() -> None:
    experiment = Experiment.load(["experiment=mine"], config_dir=CONF)
    assert "symlog" in experiment.blueprint.explain()
