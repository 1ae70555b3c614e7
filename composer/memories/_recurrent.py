"""Recurrent layers over time: one fused call, whatever episodes begin on the way."""

from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from composer.config import Size
from composer.layers import (
    ZEROS,
    BiasInitializer,
    KernelInitializer,
    normed,
    orthogonal,
)
from composer.memories.base import Memory, State, StatefulMemoryConfig, kept

Cells = nn.LSTM | nn.GRU
CellsT = TypeVar("CellsT", nn.LSTM, nn.GRU)
Parts = tuple[Tensor, ...]
"""The leaves of a state as torch has them, `(layers, B, hidden)`."""


class RecurrentConfig(StatefulMemoryConfig):
    """Recurrent layers, one on top of the other; `null` as an initializer is torch's default."""

    hidden_size: Size = 256
    num_layers: Size = 1
    layer_norm: bool = False
    """Normalise what leaves the last layer."""
    skip: bool = False
    """The features that go in also go past it, beside what comes out."""
    kernel_initializer: KernelInitializer | None = orthogonal(1.0)
    """Of the weights of inputs and of states."""
    bias_initializer: BiasInitializer | None = ZEROS

    @abstractmethod
    def cells(self, in_dim: int) -> Cells:
        """Torch's layers, initialised."""

    def out_dim(self, in_dim: int) -> int:
        return self.hidden_size + (in_dim if self.skip else 0)

    def build(self, in_dim: int) -> "Recurrent":
        norm = nn.Sequential(*normed(self.hidden_size, layer_norm=self.layer_norm))
        return Recurrent(cells=self.cells(in_dim), norm=norm, skip=self.skip)

    def filled(self, cells: CellsT) -> CellsT:
        """The layers, initialised as the settings say."""
        for name, parameter in cells.named_parameters():
            fill = self.kernel_initializer if "weight" in name else self.bias_initializer
            if fill is not None:
                fill.apply(parameter)
        return cells


class Recurrent(Memory):
    """The layers, a norm of what they give, and the features beside it."""

    def __init__(self, *, cells: Cells, norm: nn.Module, skip: bool) -> None:
        super().__init__()
        self.cells = cells
        self.norm = norm
        self.skip = skip
        self.names = ("h", "c") if isinstance(cells, nn.LSTM) else ("h",)

    def initial_state(self, batch_size: int) -> State:
        """Zeros, `(batch_size, layers, hidden)`."""
        weight = self.cells.all_weights[0][0]
        shape = batch_size, self.cells.num_layers, self.cells.hidden_size
        return {name: weight.new_zeros(shape) for name in self.names}

    def forward(
        self, features: Tensor, state: State | None = None, is_first: Tensor | None = None
    ) -> tuple[Tensor, State]:
        state = self.initial_state(len(features)) if state is None else state
        if is_first is not None:
            state = kept(state, ~is_first[:, 0])
        parts = tuple(state[name].transpose(0, 1) for name in self.names)
        if features.shape[1] == 1:
            out, parts = self._step(features, parts)
        elif is_first is None or not is_first[:, 1:].any():
            out, parts = self._run(features, parts)
        else:
            out, parts = self._restarting(features, parts, is_first)
        out = self.norm(out)
        out = torch.cat([features, out], -1) if self.skip else out
        return out, {
            name: part.transpose(0, 1) for name, part in zip(self.names, parts, strict=True)
        }

    def _step(self, features: Tensor, parts: Parts) -> tuple[Tensor, Parts]:
        """One step: a cell a layer has half the overhead of a sequence of one."""
        x, after = features.squeeze(1), []
        for (w_ih, w_hh, b_ih, b_hh), *own in zip(self.cells.all_weights, *parts, strict=True):
            if isinstance(self.cells, nn.LSTM):
                own = torch.lstm_cell(x, own, w_ih, w_hh, b_ih, b_hh)
            else:
                own = (torch.gru_cell(x, own[0], w_ih, w_hh, b_ih, b_hh),)
            x = own[0]
            after.append(own)
        return x.unsqueeze(1), tuple(torch.stack(leaves) for leaves in zip(*after, strict=True))

    def _run(self, features: Tensor | PackedSequence, parts: Parts) -> tuple[Tensor, Parts]:
        """All steps of sequences in which no episode begins after the first."""
        given = tuple(part.contiguous() for part in parts)
        run: Callable[..., tuple] = self.cells
        if isinstance(self.cells, nn.LSTM):
            return run(features, given)
        out, after = run(features, given[0])
        return out, (after,)

    def _restarting(self, features: Tensor, parts: Parts, is_first: Tensor) -> tuple[Tensor, Parts]:
        """Cuts the sequences where episodes begin, runs all pieces side by side, joins them."""
        batch, steps = is_first.shape
        begins = is_first.clone()
        begins[:, 0] = True
        starts = begins.reshape(-1).nonzero().squeeze(-1)  # (pieces,), in all steps side by side
        ends = torch.cat([starts[1:], starts.new_tensor([batch * steps])])
        lengths, order = (ends - starts).sort(descending=True, stable=True)
        ticks = torch.arange(int(lengths[0]), device=starts.device).unsqueeze(-1)
        runs = ticks < lengths  # (longest, pieces): what torch packs, the longest piece first
        places = (starts[order] + ticks)[runs]
        rows = starts[order].div(steps, rounding_mode="floor")
        goes_on = (starts[order] % steps == 0).view(1, -1, 1)
        packed = PackedSequence(features.flatten(0, 1)[places], runs.sum(1).cpu())
        out, after = self._run(packed, tuple(part[:, rows] * goes_on for part in parts))
        back = torch.empty_like(places)
        back[places] = torch.arange(len(places), device=places.device)
        is_last = (ends[order] % steps == 0).nonzero().squeeze(-1)
        last = is_last[rows[is_last].argsort()]
        joined = out.data[back].unflatten(0, (batch, steps))
        return joined, tuple(part[:, last] for part in after)
