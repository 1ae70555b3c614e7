"""What off-policy algorithms reach after a few steps, beside SB3 with equal settings."""

import statistics
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from composer import Experiment, Trainer

SEEDS = range(5)
EPISODES = 50
"""Greedy ones at the end of each run."""
RESAMPLES = 10_000
SETTINGS: dict[str, tuple[str, int, list[str], dict[str, Any]]] = {
    "dqn": (
        "CartPole-v1",
        50_000,
        [
            "env.num_envs=1",
            "model.encoder.hidden=[256,256]",
            "model.encoder.activation=relu",
            "algorithm.dueling=false",
            "algorithm.double=false",
            "algorithm.lr=2.3e-3",
            "algorithm.batch_size=64",
            "algorithm.rollout_steps=256",
            "algorithm.train_ratio=0.5",
            "algorithm.target_update_every=100",
            "algorithm.epsilon_start=0.893",
            "algorithm.epsilon_steps=8000",
            "algorithm.epsilon_end=0.04",
        ],
        {
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1000,
            "train_freq": 256,
            "gradient_steps": 128,
            "target_update_interval": 10,
            "exploration_fraction": 0.18,
            "exploration_final_eps": 0.04,
            "policy_kwargs": {"net_arch": [256, 256]},
        },
    ),
    "sac": (
        "Pendulum-v1",
        5_000,
        ["env.num_envs=1", "algorithm.lr=1e-3", "algorithm.learning_starts=500"],
        {"learning_rate": 1e-3, "learning_starts": 500},
    ),
}
"""By algorithm: its environment, its environment steps, and what makes both sides equal."""


@dataclass
class Returns:
    """Mean returns by seed, ours and theirs."""

    what: str
    ours: list[float]
    theirs: list[float]

    HEAD: ClassVar = ("return", "composer", "sb3")

    def cells(self) -> list[str]:
        return [self.what, described(self.ours), described(self.theirs)]


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Of the last axis, the mean of what lies between its quartiles; of five the middle three."""
    ordered, cut = np.sort(values, -1), values.shape[-1] // 4
    return ordered[..., cut : values.shape[-1] - cut].mean(-1)


def described(values: list[float]) -> str:
    """The interquartile mean with the 95% interval of its bootstrap, and all values."""
    given = np.array(values)
    draws = np.random.default_rng(0).choice(given, (RESAMPLES, len(given)))
    low, high = np.percentile(interquartile_mean(draws), [2.5, 97.5])
    each = ", ".join(f"{value:.0f}" for value in sorted(values))
    return f"{interquartile_mean(given):.0f} [{low:.0f}, {high:.0f}] of {each}"


def composer_return(name: str, seed: int) -> float:
    """One run of ours."""
    env_id, steps, words, _ = SETTINGS[name]
    words = [
        f"env.id={env_id}",
        f"algorithm={name}",
        f"seed={seed}",
        f"total_steps={steps}",
        f"evaluation.episodes={EPISODES}",
        "evaluation.every=0",
        "checkpoint.every=0",
        *words,
    ]
    trainer = Trainer(Experiment.load(words))
    while not trainer.done:
        trainer.step()
    mean = trainer.evaluate().mean
    trainer.close()
    return mean


def sb3_return(name: str, seed: int) -> float:
    """One run of SB3's."""
    import stable_baselines3
    from stable_baselines3.common.monitor import Monitor

    env_id, steps, _, options = SETTINGS[name]
    make = getattr(stable_baselines3, name.upper())
    model = make("MlpPolicy", gym.make(env_id), seed=seed, device="cpu", **options)
    model.learn(steps)
    returns: list[float] = []
    env = Monitor(gym.make(env_id))
    for episode in range(EPISODES):
        obs, _ = env.reset(seed=1000 + episode)
        done = False
        while not done:
            action, _ = model.predict(obs, deterministic=True)
            obs, _, terminated, truncated, _ = env.step(action)
            done = terminated or truncated
        returns.append(env.get_episode_rewards()[-1])
    return statistics.mean(returns)


def returns() -> list[Returns]:
    """Each algorithm, ours and theirs in turn, by seed."""
    rows = []
    for name, (env_id, steps, _, _) in SETTINGS.items():
        pairs = [(composer_return(name, seed), sb3_return(name, seed)) for seed in SEEDS]
        ours, theirs = (list(side) for side in zip(*pairs, strict=True))
        rows.append(Returns(f"{name} on {env_id}, {steps:,} steps", ours, theirs))
    return rows
