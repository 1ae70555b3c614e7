"""Ratios to hand-written code and to SB3, alternating in one run at one thread.

make bench            all parts
make bench ARGS=act   one part: build, act, ppo, updates, returns or commands

Each part's table is printed, and takes its place in benchmarks/RESULTS.md.
"""

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import gymnasium as gym
import numpy as np
import torch

from benchmarks import handwritten
from benchmarks.commands import Ratio, commands
from benchmarks.memory import SIZES, composer_recurrent_ppo, sb3_recurrent_ppo, sequences
from benchmarks.off_policy import SETTINGS, UPDATES, composer_updates, sb3_updates
from benchmarks.returns import Returns, returns
from benchmarks.speed import steps_a_second
from composer import compose

ROUNDS = 5
UPDATE_ROUNDS = 51
"""Many short ones: what slows the machine for a while then meets both sides."""
CONTENDERS = ("composer", "hand-written", "sb3")


@dataclass
class Row:
    """One thing measured: seconds, or steps a second, by contender and round."""

    what: str
    unit: str
    results: dict[str, list[float]]
    higher_is_better: bool = False

    HEAD: ClassVar = ("what", "unit", *CONTENDERS)

    def cells(self) -> list[str]:
        """Medians with their spread, then ratios to composer."""
        ours = statistics.median(self.results["composer"])
        cells = [self.what, self.unit]
        for name in CONTENDERS:
            values = self.results.get(name)
            if values is None:
                cells += ["–"]
                continue
            middle = statistics.median(values)
            spread = f"{_short(min(values))} … {_short(max(values))}"
            ratio = ours / middle if self.higher_is_better else middle / ours
            note = "" if name == "composer" else f", ours {ratio:.2f}× as fast"
            cells.append(f"{_short(middle)} ({spread}){note}")
        return cells


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def alternate(
    what: str,
    unit: str,
    contenders: dict[str, Callable[[], float]],
    rounds: int = ROUNDS,
    higher_is_better: bool = False,
) -> Row:
    """Runs the contenders in turn, every other round backwards; each gives its own figure."""
    results: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for _ in range(rounds):
        for name in order:
            results[name].append(contenders[name]())
        order.reverse()
    return Row(what, unit, results, higher_is_better)


def timed(function: Callable[[], object], repeat: int, scale: float) -> Callable[[], float]:
    """A contender: the mean time of a call, times `scale`."""

    def run() -> float:
        function()
        start = time.perf_counter()
        for _ in range(repeat):
            function()
        return (time.perf_counter() - start) / repeat * scale

    return run


def sb3_policy():
    """SB3's MlpPolicy for CartPole, 64×64, as PPO builds it."""
    from stable_baselines3.common.policies import ActorCriticPolicy

    env = gym.make("CartPole-v1")
    return ActorCriticPolicy(env.observation_space, env.action_space, lambda _: 2.5e-4)


def build() -> list[Row]:
    """From spaces to a module."""
    env = gym.make("CartPole-v1")
    spaces = env.observation_space, env.action_space
    contenders = {
        "composer": timed(lambda: compose(*spaces, algorithm="ppo").build(), 50, 1e3),
        "hand-written": timed(handwritten.ActorCritic, 50, 1e3),
        "sb3": timed(sb3_policy, 50, 1e3),
    }
    return [alternate("build, MLP 64×64", "ms", contenders)]


def act() -> list[Row]:
    """Numpy observations → actions, log-probabilities, values."""
    env = gym.make("CartPole-v1")
    module = compose(env.observation_space, env.action_space, algorithm="ppo").build()
    by_hand = handwritten.ActorCritic()
    policy = sb3_policy()

    def sb3(obs: np.ndarray) -> object:
        with torch.no_grad():
            return policy(torch.as_tensor(obs))

    rows = []
    for batch in (1, 8, 64, 1024):
        obs = np.random.default_rng(0).normal(size=(batch, 4)).astype(np.float32)
        contenders = {
            "composer": timed(lambda obs=obs: module.act(obs), 300, 1e6),
            "hand-written": timed(lambda obs=obs: by_hand.act(obs), 300, 1e6),
            "sb3": timed(lambda obs=obs: sb3(obs), 300, 1e6),
        }
        rows.append(alternate(f"act, MLP 64×64, B = {batch}", "µs", contenders))
    return rows


PPO_STEPS = 8 * 128 * 20


def composer_ppo(vectorization: str) -> float:
    """Environment steps a second of a Trainer with evaluation off."""
    words = [
        "env=cartpole",
        "experiment=null",
        f"env.vectorization={vectorization}",
        "env.num_envs=8",
        "algorithm.lr=2.5e-4",
        "algorithm.lr_schedule=constant",
        "algorithm.rollout_steps=128",
        "algorithm.epochs=4",
        "algorithm.num_minibatches=4",
        "algorithm.gamma=0.99",
        "algorithm.gae_lambda=0.95",
        "evaluation.every=0",
        f"total_steps={PPO_STEPS}",
    ]
    return steps_a_second(words)


def sb3_ppo() -> float:
    """Environment steps a second of SB3's PPO at the same settings."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env("CartPole-v1", n_envs=8)
    model = PPO(
        "MlpPolicy",
        envs,
        learning_rate=2.5e-4,
        n_steps=128,
        batch_size=256,
        n_epochs=4,
        device="cpu",
    )
    start = time.perf_counter()
    model.learn(PPO_STEPS)
    return PPO_STEPS / (time.perf_counter() - start)


def ppo() -> list[Row]:
    """PPO on CartPole, 8 environments × 128 steps, 4 epochs × 4 minibatches, 64×64."""
    contenders = {
        "composer": lambda: composer_ppo("sync"),
        "hand-written": lambda: handwritten.ppo(PPO_STEPS, seed=0),
        "sb3": sb3_ppo,
    }
    own = {**contenders, "composer": lambda: composer_ppo("vector_entry_point")}
    return [
        alternate("PPO CartPole, SyncVectorEnv", "steps/s", contenders, higher_is_better=True),
        alternate("PPO CartPole, own vector form", "steps/s", own, higher_is_better=True),
    ]


def updates() -> list[Row]:
    """Replay → batch → weights, networks of 256×256, 256 transitions."""
    rows = []
    for name in SETTINGS:
        makers = {"composer": composer_updates(name), "sb3": sb3_updates(name)}
        contenders = {
            who: timed(partial(go, UPDATES), 1, 1e3 / UPDATES) for who, go in makers.items()
        }
        what = f"{name} update, 256×256, B = 256"
        rows.append(alternate(what, "ms", contenders, UPDATE_ROUNDS))
    return rows


def memory() -> list[Row]:
    """PPO with an LSTM of 64 on CartPole; an LSTM over sequences beside torch's layer alone."""
    contenders = {"composer": composer_recurrent_ppo, "sb3": sb3_recurrent_ppo}
    rows = [alternate("PPO CartPole, LSTM 64", "steps/s", contenders, higher_is_better=True)]
    sizes = ", ".join(f"{name} = {size}" for name, size in SIZES.items())
    for restarts, what in ((False, "one episode each"), (True, "episodes of 20 steps")):
        pairs = sequences(restarts=restarts).items()
        layers = {who: timed(run, 3, 1e3) for who, run in pairs}
        rows.append(alternate(f"LSTM forward and backward, {sizes}, {what}", "ms", layers))
    return rows


PARTS = {
    "build": build,
    "act": act,
    "ppo": ppo,
    "updates": updates,
    "memory": memory,
    "returns": returns,
    "commands": commands,
}
HEAD = (
    f"# Speed\n\nMedians of {ROUNDS} alternating rounds (least … most), of {UPDATE_ROUNDS} short "
    "ones for updates, of 7 for the commands. Read the ratios: absolute times drift. Returns are "
    "interquartile means with 95% bootstrap intervals, and all values.\n"
)


def table(rows: Sequence[Row | Ratio | Returns]) -> str:
    """A Markdown table of rows of one kind."""
    head = list(type(rows[0]).HEAD)
    lines = [head, ["---"] * len(head), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine() -> str:
    """What the figures were measured on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"{platform.machine()}, 1 thread, Python {platform.python_version()}, "
        f"torch {torch.__version__}, gymnasium {gym.__version__}, commit {commit or 'unknown'}"
    )


def put(path: Path, name: str, text: str) -> None:
    """Writes a part's section, in the order of the parts; the others stay as they are."""
    _, *kept = path.read_text().split("\n## ") if path.exists() else [""]
    sections = {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in kept}
    sections[name] = text
    parts = (f"## {part}\n\n{sections[part]}\n" for part in PARTS if part in sections)
    path.write_text("\n".join([HEAD, *parts]))


def main(parts: list[str]) -> None:
    """Measures the parts that are named, or all."""
    torch.set_num_threads(1)
    for name in parts or PARTS:
        text = f"{table(PARTS[name]())}\n\n{machine()}"
        print(f"{name}\n\n{text}\n", flush=True)
        put(Path(__file__).with_name("RESULTS.md"), name, text)


if __name__ == "__main__":
    main(sys.argv[1:])
