"""Running mean and variance of observations, by which a module normalises them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

LIMIT = 10.0
EPSILON = 1e-8


class RunningNorm(nn.Module):
    """Centres and scales each component by what it has gathered, and clips the result to ±10.

    The statistics are buffers, a part of the module's state. They change while `gathering` is
    on and at no other time, and not at all in a part that is frozen, in torch's `eval` mode; until
    then mean 0 and variance 1 leave the numbers as they are.

    Args:
        shape: Of the components; all axes in front of them are samples.
    """

    count: Tensor
    mean: Tensor
    var: Tensor

    def __init__(self, *, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.gathering = False
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("var", torch.ones(shape, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """x: `(*B, *shape)` float32 → the same shape, within ±10."""
        if self.gathering and self.training and x.numel():
            self._gather(x.detach())
        deviation = (self.var + EPSILON).sqrt()
        return ((x - self.mean.float()) / deviation.float()).clamp(-LIMIT, LIMIT)

    def _gather(self, x: Tensor) -> None:
        """Merges the moments of a batch (Chan et al., 1983)."""
        x = x.double().reshape(-1, *self.mean.shape)
        var, mean = torch.var_mean(x, 0, correction=0)
        total = self.count + len(x)
        weight = len(x) / total.double()
        shift = mean - self.mean
        self.var += weight * (var - self.var + (1 - weight) * shift.square())
        self.mean += weight * shift
        self.count.copy_(total)


def running_norms(module: nn.Module) -> list[RunningNorm]:
    """All that are somewhere in a module."""
    return [part for part in module.modules() if isinstance(part, RunningNorm)]


@contextmanager
def gathering(module: nn.Module) -> Iterator[None]:
    """Meanwhile the module's running norms take in what passes through them."""
    norms = running_norms(module)
    for norm in norms:
        norm.gathering = True
    try:
        yield
    finally:
        for norm in norms:
            norm.gathering = False
