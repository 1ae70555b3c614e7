import errno
import json

import pytest

from composer.errors import TrainingError
from composer.loggers.base import Logger
from composer.training.metrics import MetricsSink


class Kept(Logger):
    def __init__(self):
        self.rows = []
        self.closed = 0

    def write(self, step, metrics):
        self.rows.append((step, dict(metrics)))

    def close(self):
        self.closed += 1


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def test_a_row_holds_the_mean_of_each_name_since_the_row_before(path):
    sink = MetricsSink(path)
    sink.add({"loss": 1.0, "return": 10.0})
    sink.add({"loss": 2.0})
    assert sink.flush(5, {"updates": 2}) == {"loss": 1.5, "return": 10.0, "updates": 2}
    sink.add({"loss": 7.0})
    sink.flush(9, {})
    assert lines(path) == [
        {"step": 5, "loss": 1.5, "return": 10.0, "updates": 2},
        {"step": 9, "loss": 7.0},
    ]


def test_a_row_written_as_it_is_leaves_what_is_gathered(path):
    sink = MetricsSink(path)
    sink.add({"loss": 1.0})
    sink.write(5, {"evaluation/return": 3.0})
    assert sink.flush(5, {}) == {"loss": 1.0}
    assert lines(path) == [{"step": 5, "evaluation/return": 3.0}, {"step": 5, "loss": 1.0}]


def test_every_logger_gets_every_row_and_is_closed_once(path):
    loggers = [Kept(), Kept()]
    sink = MetricsSink(path, loggers)
    sink.add({"loss": 1.0})
    sink.flush(5, {})
    sink.write(6, {"other": 2.0})
    sink.close()
    assert [logger.rows for logger in loggers] == [[(5, {"loss": 1.0}), (6, {"other": 2.0})]] * 2
    assert [logger.closed for logger in loggers] == [1, 1]


def test_without_a_path_rows_go_to_the_loggers_only():
    logger = Kept()
    MetricsSink(None, [logger]).write(1, {"loss": 1.0})
    assert logger.rows == [(1, {"loss": 1.0})]


def test_what_is_gathered_survives_by_its_state(path):
    sink, other = MetricsSink(path), MetricsSink(None)
    sink.add({"loss": 1.0})
    sink.add({"loss": 2.0})
    other.set_state(json.loads(json.dumps(sink.get_state())))
    other.add({"loss": 6.0})
    assert other.flush(0, {}) == {"loss": 3.0}


def test_rows_after_the_step_gone_on_from_are_replaced(path):
    path.write_text("".join(json.dumps({"step": s, "loss": 0.5}) + "\n" for s in (5, 10, 15, 20)))
    sink = MetricsSink(path, resume_step=10)
    sink.write(12, {"loss": 0.25})
    sink.write(14, {"loss": 0.125})
    assert lines(path) == [
        {"step": 5, "loss": 0.5},
        {"step": 10, "loss": 0.5},
        {"step": 12, "loss": 0.25},
        {"step": 14, "loss": 0.125},
    ]


def test_half_a_last_line_is_replaced(path):
    path.write_text('{"step": 5, "loss": 0.5}\n{"step": 10, "lo')
    MetricsSink(path, resume_step=10).write(12, {"loss": 0.25})
    assert lines(path) == [{"step": 5, "loss": 0.5}, {"step": 12, "loss": 0.25}]


def test_a_run_that_begins_anew_forgets_every_row(path):
    path.write_text('{"step": 5, "loss": 0.5}\n')
    MetricsSink(path).write(4, {"loss": 0.25})
    assert lines(path) == [{"step": 4, "loss": 0.25}]


def test_nothing_is_forgotten_until_something_is_written(path):
    path.write_text('{"step": 5, "loss": 0.5}\n')
    MetricsSink(path).close()
    assert lines(path) == [{"step": 5, "loss": 0.5}]


def test_a_full_disk_is_one_clear_error_and_what_was_written_stays(tmp_path):
    class Full(Logger):
        def write(self, step, metrics):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    sink = MetricsSink(tmp_path / "metrics.jsonl", [Full()])
    with pytest.raises(TrainingError, match="step 10 cannot be written: No space left on device"):
        sink.write(10, {"a": 1.0})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 10, "a": 1.0}
