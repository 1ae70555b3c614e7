"""A sweep's words, and the jobs they stand for."""

import pytest

from composer.errors import ConfigError
from composer.loading import Loader, jobs, load


def words_of(*words, config_dir=None):
    return [job.words for job in jobs(words, config_dir)]


def test_each_combination_is_a_job_the_last_word_varying_fastest():
    assert words_of("seed=0,1", "algorithm.lr=1e-3", "model.encoder.hidden=[64,64],[32]") == [
        ("seed=0", "algorithm.lr=1e-3", "model.encoder.hidden=[64,64]"),
        ("seed=0", "algorithm.lr=1e-3", "model.encoder.hidden=[32]"),
        ("seed=1", "algorithm.lr=1e-3", "model.encoder.hidden=[64,64]"),
        ("seed=1", "algorithm.lr=1e-3", "model.encoder.hidden=[32]"),
    ]


def test_a_job_knows_which_of_its_words_vary():
    assert [job.varied for job in jobs(["seed=0,1", "total_steps=5"])] == [("seed=0",), ("seed=1",)]


def test_words_without_a_sweep_are_one_job_as_they_were_typed():
    assert words_of("~tuned", "++seed=1", "model.encoder={}") == [
        ("~tuned", "++seed=1", "model.encoder={}")
    ]


def test_a_range_is_its_numbers():
    assert words_of("seed=range(0,3)") == [("seed=0",), ("seed=1",), ("seed=2",)]


def test_a_pattern_stands_for_the_options_that_fit_it(tmp_path):
    (tmp_path / "experiment").mkdir()
    for name in ("mine_a", "mine_b", "other"):
        (tmp_path / f"experiment/{name}.yaml").write_text("# @package _global_\nseed: 1\n")
    assert words_of("experiment=glob(mine_*)", config_dir=tmp_path) == [
        ("experiment=mine_a",),
        ("experiment=mine_b",),
    ]
    with pytest.raises(ConfigError, match=r"no experiment fits the pattern"):
        jobs(["experiment=glob(zz*)"], tmp_path)


def test_values_that_cannot_be_listed_are_refused():
    with pytest.raises(ConfigError) as raised:
        jobs(["algorithm.lr=interval(0,1)"])
    (problem,) = raised.value.problems
    assert problem.message.startswith("`algorithm.lr=interval(0,1)` is no list of values")
    assert problem.fix == "algorithm.lr=1,2,3"


def test_a_loader_gives_what_loading_alone_gives():
    loader = Loader()
    for words in (
        ["seed=1", "model.encoder.hidden=[64,64]"],
        ["seed=2", "algorithm.lr=${seed}"],
        ["env=pendulum", "seed=3"],
        ["seed=4"],
    ):
        shared, alone = loader.load(words), load(words)
        assert shared == alone
        assert shared.origin("seed") == alone.origin("seed")
