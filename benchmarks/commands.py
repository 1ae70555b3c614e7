"""Start-up and checking, beside the least that such a program must do."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hydra import compose, initialize_config_module

from composer.checking import check_jobs
from composer.loading import hydra_words, jobs

ROUNDS = 7
COMPOSER = [sys.executable, "-m", "composer.cli.main"]
LINE = "composer train env="
BARE_HYDRA_APP = """\
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    print(cfg.x)

main()
"""


@dataclass
class Ratio:
    """Our seconds beside a baseline's, and the most that we allow ourselves."""

    what: str
    baseline: str
    ours: list[float]
    theirs: list[float]
    bar: float

    HEAD: ClassVar = ("command", "composer", "baseline", "its time", "ratio", "bar")

    @property
    def value(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def cells(self) -> list[str]:
        medians = [f"{statistics.median(side):.3g} s" for side in (self.ours, self.theirs)]
        ratios = [f"{self.value:.2f}×", f"{self.bar}×"]
        return [self.what, medians[0], self.baseline, medians[1], *ratios]


def commands() -> list[Ratio]:
    """Each command and its baseline in turn."""
    with tempfile.TemporaryDirectory() as home:
        app = _bare_hydra_app(Path(home))
        rewritten = [hydra_words(job.words) for job in jobs(WORDS)]
        return [
            _alternate(
                "`composer explain env=cartpole`",
                _command([*COMPOSER, "explain", "env=cartpole"], home),
                "`import torch, gymnasium`",
                _command([sys.executable, "-c", "import torch, gymnasium"], home),
                1.6,
            ),
            _alternate(
                "`composer --help`",
                _command([*COMPOSER, "--help"], home),
                "a bare Hydra application",
                _command(app, home),
                1.5,
            ),
            _alternate(
                "completion of `env=`",
                _command(
                    [*COMPOSER, "complete"], home, COMP_LINE="composer train env=", COMP_POINT="19"
                ),
                "a bare Hydra application",
                _command(app, home),
                1.5,
            ),
            _alternate(
                "`check` of 1000 jobs",
                lambda: _timed(lambda: _check_jobs(WORDS)),
                "Hydra's composing of them",
                lambda: _timed(lambda: _compose_with_hydra(rewritten)),
                1.25,
                rounds=1,
            ),
        ]


WORDS = ["env=cartpole", "algorithm.lr=1e-4,3e-4,1e-3,3e-3", "model.encoder.hidden=[64],[64,64]"]
WORDS += ["model=auto,shared,separate,auto,shared", "seed=range(0,25)"]


def _check_jobs(words: Sequence[str]) -> None:
    reports = list(check_jobs(jobs(words)))
    if len(reports) != 1000 or any(report.error for report in reports):
        raise RuntimeError("the sweep is not 1000 jobs that are ready")


def _compose_with_hydra(jobs_words: Sequence[Sequence[str]]) -> None:
    with initialize_config_module("composer.conf", version_base="1.3"):
        for words in jobs_words:
            compose("config", overrides=list(words))


def _alternate(
    what: str,
    ours: Callable[[], float],
    baseline: str,
    theirs: Callable[[], float],
    bar: float,
    rounds: int = ROUNDS,
) -> Ratio:
    row = Ratio(what, baseline, [], [], bar)
    for _ in range(rounds):
        row.ours.append(ours())
        row.theirs.append(theirs())
    return row


def _command(words: Sequence[str], home: str, **environment: str) -> Callable[[], float]:
    """A contender: the wall-clock seconds of a process."""

    def run() -> float:
        return _timed(
            lambda: subprocess.run(
                words, cwd=home, env={**os.environ, **environment}, capture_output=True, check=True
            )
        )

    return run


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _bare_hydra_app(home: Path) -> list[str]:
    (home / "conf").mkdir()
    (home / "conf" / "config.yaml").write_text("x: 1\n")
    (home / "app.py").write_text(BARE_HYDRA_APP)
    return [sys.executable, "app.py"]
