"""Equal stacks of layers, side by side in one batched product."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def ensemble(members: Sequence[nn.Sequential]) -> nn.Sequential:
    """Stacks of linear layers, norms and activations as one with an axis in front of it.

    Args:
        members: Equal but for their weights, which are kept: each was initialised on its own.

    Returns:
        `(*B, F)` → `(members, *B, out)`.
    """
    layers: list[nn.Module] = [Repeated(len(members))]
    for copies in zip(*members, strict=True):
        first = copies[0]
        if isinstance(first, nn.Linear):
            layers.append(LinearEnsemble(copies))
        elif isinstance(first, nn.LayerNorm):
            layers.append(LayerNormEnsemble(copies))
        else:
            layers.append(first)
    return nn.Sequential(*layers)


def of_first(together: nn.Sequential, x: Tensor) -> Tensor:
    """What the first of the stacks makes of its input alone: `(*B, F)` → `(*B, out)`."""
    x = x.unsqueeze(0)
    for layer in itertools.islice(together, 1, None):
        x = layer(x)
    return x.squeeze(0)


class Repeated(nn.Module):
    """The same input for every member, without a copy."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        """x: `(*B, F)` → `(members, *B, F)`."""
        return x.expand(self.members, *x.shape)


class LinearEnsemble(nn.Module):
    """Linear layers of one size."""

    def __init__(self, members: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _stacked([member.weight.t() for member in members])  # (members, in, out)
        self.bias = _stacked([member.bias.unsqueeze(0) for member in members])  # (members, 1, out)

    def forward(self, x: Tensor) -> Tensor:
        """x: `(members, *B, in)` → `(members, *B, out)`; of the first members too."""
        weight, bias = _first(len(x), self.weight, self.bias)
        if x.dim() == 3:
            return torch.baddbmm(bias, x, weight)
        flat = x.reshape(len(x), -1, x.shape[-1])
        return torch.baddbmm(bias, flat, weight).reshape(*x.shape[:-1], -1)


class LayerNormEnsemble(nn.Module):
    """Layer norms of one size."""

    def __init__(self, members: Sequence[nn.LayerNorm]) -> None:
        super().__init__()
        self.eps = members[0].eps
        self.weight = _stacked([member.weight for member in members])  # (members, F)
        self.bias = _stacked([member.bias for member in members])

    def forward(self, x: Tensor) -> Tensor:
        """x: `(members, *B, F)` → the same shape; of the first members too."""
        weight, bias = _first(len(x), self.weight, self.bias)
        shape = (len(x), *[1] * (x.dim() - 2), x.shape[-1])
        normed = nn.functional.layer_norm(x, x.shape[-1:], eps=self.eps)
        return normed * weight.view(shape) + bias.view(shape)


def _first(members: int, *parameters: Tensor) -> tuple[Tensor, ...]:
    """Those of the first members; as they are where that is all."""
    if members == len(parameters[0]):
        return parameters
    return tuple(parameter[:members] for parameter in parameters)


def _stacked(parameters: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([parameter.detach() for parameter in parameters]))
