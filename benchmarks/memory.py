"""A memory that is trained, beside sb3-contrib's and torch's own layer."""

import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.speed import steps_a_second
from composer.memories.lstm import LSTMConfig

HIDDEN = 64
STEPS = 8 * 128 * 6
SIZES = {"B": 16, "T": 128, "H": 256}
"""Of the sequences: rows, steps, features in and out."""


def composer_recurrent_ppo() -> float:
    """Environment steps a second of PPO with an LSTM: 8 environments × 128 steps."""
    words = [
        "env.id=CartPole-v1",
        "env.num_envs=8",
        "algorithm=ppo",
        "algorithm.lr=2.5e-4",
        "algorithm.rollout_steps=128",
        "algorithm.epochs=4",
        "algorithm.num_minibatches=4",
        "model/memory=lstm",
        f"model.memory.hidden_size={HIDDEN}",
        "model.memory.max_seq_len=128",
        f"total_steps={STEPS}",
        "evaluation.every=0",
        "checkpoint.every=0",
    ]
    return steps_a_second(words)


def sb3_recurrent_ppo() -> float:
    """The same of sb3-contrib's RecurrentPPO: an LSTM for the actor and one for the critic."""
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.env_util import make_vec_env

    model = RecurrentPPO(
        "MlpLstmPolicy",
        make_vec_env("CartPole-v1", n_envs=8),
        learning_rate=2.5e-4,
        n_steps=128,
        batch_size=256,
        n_epochs=4,
        policy_kwargs={"lstm_hidden_size": HIDDEN, "net_arch": [64, 64]},
        device="cpu",
    )
    start = time.perf_counter()
    model.learn(STEPS)
    return STEPS / (time.perf_counter() - start)


def sequences(*, restarts: bool) -> dict[str, Callable[[], object]]:
    """Forward and backward over sequences, ours and torch's; there no episode begins on the way."""
    rows, steps, features = SIZES.values()
    memory = LSTMConfig(hidden_size=features).build(features)
    bare = nn.LSTM(features, features, batch_first=True)
    inputs = torch.randn(rows, steps, features)
    is_first = torch.zeros(rows, steps, dtype=torch.bool)
    if restarts:
        is_first = torch.rand(rows, steps) < 0.05
    state = memory.initial_state(rows)

    def ours() -> None:
        memory.zero_grad()
        memory(inputs, state, is_first)[0].sum().backward()

    def theirs() -> None:
        bare.zero_grad()
        bare(inputs)[0].sum().backward()

    return {"composer": ours, "hand-written": theirs}
