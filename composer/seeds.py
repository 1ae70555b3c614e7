"""One seed for an experiment, a stream of its own for everything random in it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive_seed(seed: int, stream: str) -> int:
    """The seed of a named stream: 63 bits, the same on every machine.

    Each stream is separate: drawing from one, or adding one, changes no other. So an evaluation
    added to an experiment does not change its training.
    """
    return _number(f"{seed}/{stream}".encode())


def torch_generator(seed: int, stream: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for a named stream, separate from every other and from torch's global one."""
    return torch.Generator(device).manual_seed(derive_seed(seed, stream))


def resume_stream(generator: torch.Generator, state: Tensor) -> None:
    """Goes on where a checkpoint left a stream; on another kind of device, whose states have
    another form, with a stream that the state is the seed of.
    """
    if len(state) == len(generator.get_state()):
        generator.set_state(state.cpu())
    else:
        generator.manual_seed(_number(state.cpu().numpy().tobytes()))


def _number(data: bytes) -> int:
    """63 bits of a hash."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> 1


@contextmanager
def drawing_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Torch's global generators, from which dropout draws, seeded by a stream's next number and put
    back afterwards: the CPU's, and that of a CUDA device.
    """
    devices = [device] if device.type == "cuda" else []
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        for each in devices:
            torch.cuda.set_rng_state(torch.Generator(each).manual_seed(seed).get_state(), each)
        yield


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Torch's global generator, from which alone its initialisers draw, put back afterwards.

    One thread: an orthogonal initialisation rounds differently with another number of them.
    """
    generator, threads = torch.default_generator, torch.get_num_threads()
    state = generator.get_state()
    torch.set_num_threads(1)
    generator.manual_seed(seed)
    try:
        yield generator
    finally:
        torch.set_num_threads(threads)
        generator.set_state(state)
