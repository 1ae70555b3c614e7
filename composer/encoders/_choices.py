"""Where each component's choice stands among the choices of all components."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn


def counts(space: gym.Space) -> list[int]:
    """Choices of each component of a Discrete or MultiDiscrete space, in C order."""
    assert isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
    sizes = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n
    return np.asarray(sizes).ravel().tolist()


class Positions(nn.Module):
    """Counts each component from its start, and all of them one behind the other."""

    offset: Tensor

    def __init__(self, *, counts: list[int], start: list[int], rank: int) -> None:
        super().__init__()
        self.rank = rank
        first = torch.tensor([0, *counts[:-1]]).cumsum(0)
        self.register_buffer("offset", first - torch.tensor(start), persistent=False)

    def forward(self, obs: Tensor) -> Tensor:
        """obs: `(*B, *shape)` integers → `(*B, components)` in [0, Σ counts)."""
        x = obs.flatten(-self.rank) if self.rank else obs.unsqueeze(-1)
        return x.long() + self.offset


def positions(space: gym.Space) -> Positions:
    """The positions of a Discrete or MultiDiscrete space of any shape and start."""
    assert isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
    start = np.asarray(space.start).ravel().tolist()
    return Positions(counts=counts(space), start=start, rank=len(space.shape or ()))
