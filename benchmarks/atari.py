"""One update of the default model in every game of ALE, and what came of it to ATARI.md.

python -m benchmarks.atari               all of them
python -m benchmarks.atari pong tennis   some of them, printed only
"""

import contextlib
import math
import subprocess
import sys
import time
from pathlib import Path

from composer import Experiment, Trainer
from composer.loading import options

WORDS = ("env.num_envs=2", "algorithm.rollout_steps=32", "algorithm.epochs=1", "evaluation.every=0")


def update(game: str) -> tuple[int, int, float]:
    """One rollout and one update: the game's actions, the model's parameters, and the seconds."""
    start = time.perf_counter()
    with contextlib.closing(Trainer(Experiment.load([f"env=atari/{game}", *WORDS]))) as trainer:
        result = trainer.step()
        if not all(map(math.isfinite, result.metrics.values())):
            raise ArithmeticError(f"{game}: {result.metrics}")
        actions = int(trainer.envs.single_action_space.n)  # pyright: ignore[reportAttributeAccessIssue]
        parameters = sum(p.numel() for p in trainer.module.parameters())
    return actions, parameters, time.perf_counter() - start


def main(names: list[str]) -> int:
    """Takes an update in each game; raises where one cannot be taken."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    files = (name.partition("/") for name in options("env"))
    games = names or [game for folder, _, game in files if folder == "atari" and game]
    lines = ["| game | actions | parameters | seconds |", "|---" * 4 + "|"]
    for game in games:
        actions, parameters, seconds = update(game)
        lines.append(f"| {game} | {actions} | {parameters:,} | {seconds:.1f} |")
        print(lines[-1], flush=True)
    text = (
        f"# Atari\n\nThe default model and one update of PPO, of 64 steps, in each of {len(games)} "
        f"games; one thread, commit {commit}.\n\n" + "\n".join(lines) + "\n"
    )
    if not names:
        Path(__file__).with_name("ATARI.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
