import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from composer.config import Family
from composer.errors import ConfigError
from composer.loggers.base import LoggerConfig
from composer.loggers.tensorboard import TensorBoardLoggerConfig


def build(directory: Path, resume_step: int | None = None):
    return TensorBoardLoggerConfig().build(directory, resume_step)


def read(directory: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(directory / "tensorboard")).Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_every_value_can_be_read_back(tmp_path):
    logger = build(tmp_path)
    logger.write(10, {"train/return": 1.5, "loss/policy": -2})
    logger.write(20, {"train/return": 2.5})
    logger.close()
    assert read(tmp_path, "train/return") == [(10, 1.5), (20, 2.5)]
    assert read(tmp_path, "loss/policy") == [(10, -2.0)]


def test_resuming_withdraws_what_came_after_the_checkpoint(tmp_path):
    logger = build(tmp_path)
    for step in (10, 20, 30):
        logger.write(step, {"train/return": step})
    logger.close()
    resumed = build(tmp_path, resume_step=20)
    resumed.write(25, {"train/return": 0.5})
    resumed.close()
    assert read(tmp_path, "train/return") == [(10, 10.0), (20, 20.0), (25, 0.5)]


def test_a_run_without_values_leaves_no_files(tmp_path):
    build(tmp_path, resume_step=5).close()
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_is_imported_with_the_first_value(tmp_path):
    script = f"""
import sys
from pathlib import Path
from composer.loggers.tensorboard import TensorBoardLoggerConfig
logger = TensorBoardLoggerConfig().build(Path({str(tmp_path)!r}), None)
assert "tensorboard" not in sys.modules and "torch" not in sys.modules
logger.write(0, {{"a": 1.0}})
assert "tensorboard" in sys.modules
logger.close()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_logger_is_chosen_by_its_type():
    assert LoggerConfig.parse({"type": "tensorboard"}) == TensorBoardLoggerConfig()
    assert issubclass(LoggerConfig, Family)
    with pytest.raises(ConfigError, match="did you mean `tensorboard`"):
        LoggerConfig.parse({"type": "tensorbord"})
