"""One seed for an experiment, a stream of its own for everything random in it."""

import hashlib

import torch


def derive_seed(seed: int, stream: str) -> int:
    """The seed of a named stream: 63 bits, the same on every machine.

    Each stream is separate: drawing from one, or adding one, changes no other. So an evaluation
    added to an experiment does not change its training.
    """
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_generator(seed: int, stream: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for a named stream, separate from every other and from torch's global one."""
    return torch.Generator(device).manual_seed(derive_seed(seed, stream))
