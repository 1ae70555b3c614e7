"""Trains each shipped experiment with three seeds and writes what came of it to EXPERIMENTS.md.

make experiments                   all of them, and an update in each game of Atari (atari.py)
make experiments ARGS=pendulum_ppo some of them; the rows of the others stay
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
    "cartpole_positions_ppo": 450.0,
    "recall_ppo": 7.6,
    "env=recall algorithm=ppo model/memory=gru": 7.6,
    "env=recall algorithm=ppo model/memory=attention": 7.6,
    "t_maze_ppo": 0.95,
    "env=t_maze algorithm=ppo model/memory=gru model.memory.max_seq_len=64": 0.95,
    "env=t_maze algorithm=ppo model/memory=attention model.memory.max_seq_len=64": 0.95,
}
"""Mean return over 100 greedy episodes that each experiment, or what is typed, must reach."""
CEILINGS = {"env=recall algorithm=ppo": 4.6, "env=t_maze algorithm=ppo": 0.65}
"""Those that must not reach more: without a memory nothing is better than chance, 4 and 1/2."""
ALL = (*BARS, *CEILINGS)
SEEDS = (0, 1, 2)


def train(name: str, seed: int) -> tuple[float, float]:
    """One run: the mean return of 100 greedy episodes at its end, and the seconds it took."""
    wanted = name.split() if "=" in name else [f"experiment={name}"]
    words = [*wanted, f"seed={seed}", "evaluation.every=0", "evaluation.episodes=100"]
    start = time.perf_counter()
    trainer = Trainer(Experiment.load(words))
    while not trainer.done:
        trainer.step()
    seconds = time.perf_counter() - start
    mean_return = trainer.evaluate().mean
    trainer.close()
    return mean_return, seconds


HEAD = (
    "# Experiments\n\nMean return of 100 greedy episodes at the end of training, one thread; "
    "seconds are the median of the seeds.\n"
)
COLUMNS = ["experiment", "bar", *(f"seed {seed}" for seed in SEEDS), "seconds", "commit"]


def put(path: Path, name: str, row: str) -> None:
    """Writes an experiment's row, in the order of the bars; the others stay as they are."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    rows[name] = row
    head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    path.write_text("\n".join([HEAD, *head, *(rows[name] for name in ALL if name in rows), ""]))


def main(names: list[str]) -> int:
    """Trains; the exit status is 1 where a bar is missed."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    missed = 0
    for name in names or ALL:
        results = [train(name, seed) for seed in SEEDS]
        bar, ceiling = BARS.get(name), CEILINGS.get(name)
        missed += sum(
            (bar is not None and mean < bar) or (ceiling is not None and mean > ceiling)
            for mean, _ in results
        )
        seconds = statistics.median(seconds for _, seconds in results)
        means = (f"{mean:.1f}" for mean, _ in results)
        held_to = f"at most {ceiling:g}" if bar is None else f"{bar:g}"
        cells = [name, held_to, *means, f"{seconds:.0f}", commit]
        row = f"| {' | '.join(cells)} |"
        print(row, flush=True)
        put(Path(__file__).with_name("EXPERIMENTS.md"), name, row)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
