"""Sampling from a replay of a million steps, beside SB3's; in one run at one thread.

python -m benchmarks.bench_replay
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from gymnasium import spaces

from composer.columns import Columns
from composer.module.step import Step
from composer.replay_config import PrioritisedConfig
from composer.training.replay import Replay

CAPACITY, BATCH, ROUNDS = 1_000_000, 256, 7
ACTION = spaces.Discrete(4)
CASES: dict[str, tuple[spaces.Box, int, int]] = {
    "vector of 4, 1 environment": (spaces.Box(-1, 1, (4,), np.float32), 1, CAPACITY),
    "vector of 17, 8 environments": (spaces.Box(-1, 1, (17,), np.float32), 8, CAPACITY),
    "image 4×84×84, 8 environments, 50 000": (
        spaces.Box(0, 255, (4, 84, 84), np.uint8),
        8,
        50_000,
    ),
}


def filled(space: spaces.Box, num_envs: int, capacity: int, **options) -> Replay:
    """A full replay, laid down as a whole after its first step."""
    replay = Replay(space, num_envs, capacity, gamma=0.99, **options)
    never, ring = np.zeros(num_envs, np.bool_), replay.ring
    replay.write_observation(0, np.zeros((num_envs, *space.shape), space.dtype), never)
    replay.write_action(0, Step(torch.zeros(num_envs, dtype=torch.int64), None))
    for array in ring.storage.arrays.values():
        array.fill(0)
    ring.outcomes[Columns.LOSS_MASK] = True
    ring.end, replay.size = 2 * ring.length, num_envs * (ring.length - 1 - replay.n_step)
    return replay


def sb3(space: spaces.Box, num_envs: int, capacity: int):
    """SB3's replay, full."""
    from stable_baselines3.common.buffers import ReplayBuffer

    buffer = ReplayBuffer(capacity, space, ACTION, device="cpu", n_envs=num_envs)
    for array in vars(buffer).values():
        if isinstance(array, np.ndarray):
            array.fill(0)  # memory that was never written is read from one page
    buffer.full = True
    return buffer


def microseconds(sample: Callable[[], object], repeat: int = 1000) -> float:
    """The mean time of a batch, of the processor: others may be at work on the machine."""
    start = time.process_time()
    for _ in range(repeat):
        sample()
    return (time.process_time() - start) / repeat * 1e6


def main() -> None:
    """Prints a Markdown table: medians of alternating rounds."""
    torch.set_num_threads(1)
    print("| what | uniform, µs | n = 3 | prioritised, with its update | SB3 | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, case in CASES.items():
        generator = torch.Generator().manual_seed(0)
        replay, many = filled(*case), filled(*case, n_step=3)
        preferred = filled(*case, prioritised=PrioritisedConfig())
        theirs, errors = sb3(*case), torch.rand(BATCH)

        def prioritised(preferred=preferred, generator=generator, errors=errors) -> None:
            batch = preferred.sample(BATCH, generator)
            preferred.update_priorities(batch["indices"], errors)

        contenders = {
            "uniform": lambda replay=replay, g=generator: replay.sample(BATCH, g),
            "n": lambda many=many, g=generator: many.sample(BATCH, g),
            "prioritised": prioritised,
            "sb3": lambda theirs=theirs: theirs.sample(BATCH),
        }
        repeat = 20 if len(case[0].shape) > 1 else 1000
        times: dict[str, list[float]] = {key: [] for key in contenders}
        for _ in range(ROUNDS):
            for key, sample in contenders.items():
                times[key].append(microseconds(sample, repeat))
        middle = {key: statistics.median(values) for key, values in times.items()}
        cells = [f"{value:,.0f}" for value in middle.values()]
        print(f"| {name} | {' | '.join(cells)} | {middle['sb3'] / middle['uniform']:.2f}× |")


if __name__ == "__main__":
    main()
