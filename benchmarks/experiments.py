"""Trains each shipped experiment with three seeds and writes what came of it to EXPERIMENTS.md.

make experiments                   all of them, and an update in each game of Atari (atari.py)
make experiments ARGS=pendulum_ppo some of them, printed only
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from composer import Experiment, Trainer

BARS = {
    "cartpole_ppo": 475.0,
    "acrobot_ppo": -110.0,
    "pendulum_ppo": -250.0,
    "taxi_ppo": 7.0,
    "cartpole_dqn": 475.0,
    "cartpole_rainbow": 475.0,
    "acrobot_dqn": -110.0,
    "pendulum_sac": -200.0,
    "pendulum_td3": -200.0,
    "pendulum_tqc": -200.0,
    "cartpole_sac": 475.0,
}
"""Mean return over 100 greedy episodes that each experiment must reach."""
SEEDS = (0, 1, 2)


def train(name: str, seed: int) -> tuple[float, float]:
    """One run: the mean return of 100 greedy episodes at its end, and the seconds it took."""
    words = [f"experiment={name}", f"seed={seed}", "evaluation.every=0", "evaluation.episodes=100"]
    start = time.perf_counter()
    trainer = Trainer(Experiment.load(words))
    while not trainer.done:
        trainer.step()
    seconds = time.perf_counter() - start
    mean_return = trainer.evaluate().mean
    trainer.close()
    return mean_return, seconds


def main(names: list[str]) -> int:
    """Trains; the exit status is 1 where a bar is missed."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    lines = ["| experiment | bar | " + " | ".join(f"seed {s}" for s in SEEDS) + " | seconds |"]
    lines.append("|---" * (len(SEEDS) + 3) + "|")
    missed = 0
    for name in names or BARS:
        results = [train(name, seed) for seed in SEEDS]
        missed += sum(mean < BARS[name] for mean, _ in results)
        cells = [f"{mean:.1f}" for mean, _ in results]
        seconds = statistics.median(seconds for _, seconds in results)
        lines.append(f"| {name} | {BARS[name]:g} | {' | '.join(cells)} | {seconds:.0f} |")
        print(lines[-1], flush=True)
    text = (
        f"# Experiments\n\nMean return of 100 greedy episodes at the end of training, one thread, "
        f"commit {commit}.\n\n" + "\n".join(lines) + "\n"
    )
    print(text)
    if not names:
        Path(__file__).with_name("EXPERIMENTS.md").write_text(text)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
