"""The encoder does what Composer needs of it, and the experiment is valid."""

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from my_encoders import SymlogEncoderConfig

from composer import Experiment
from composer.testing import check_encoder

CONF = Path(__file__).parent / "conf"


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (4,), np.float32),
        spaces.Box(-np.inf, np.inf, (3,), np.float64),
        spaces.Box(0, 255, (5,), np.uint8),
    ],
    ids=str,
)
def test_symlog_is_an_encoder(space: spaces.Box) -> None:
    check_encoder(SymlogEncoderConfig(hidden=(16,)), space)


def test_symlog_refuses_an_image() -> None:
    assert SymlogEncoderConfig().refusal(spaces.Box(0, 255, (8, 8, 3), np.uint8))


def test_the_experiment_uses_it() -> None:
    experiment = Experiment.load(["experiment=mine"], config_dir=CONF)
    assert "symlog" in experiment.blueprint.explain()
