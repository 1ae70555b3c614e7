"""Recurrent layers over time: one fused call, whatever episodes begin on the way."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from composer.config import Size
from composer.layers import (
    ZEROS,
    BiasInitializer,
    Initialised,
    KernelInitializer,
    normed,
    orthogonal,
)
from composer.memories.base import Memory, State, StatefulMemoryConfig, kept

Cells = nn.LSTM | nn.GRU
CellsT = TypeVar("CellsT", nn.LSTM, nn.GRU)
Parts = tuple[Tensor, ...]
"""The leaves of a state as torch has them, `(layers, B, hidden)`."""

IDLE = 0.3
"""Share of the steps that may be empty where pieces of different lengths run side by side."""


class RecurrentConfig(StatefulMemoryConfig, Initialised):
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
        if features.shape[1] == 1 or is_first is None or not is_first[:, 1:].any():
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

    def _run(self, features: Tensor, parts: Parts) -> tuple[Tensor, Parts]:
        """All steps of sequences in which no episode begins after the first."""
        if features.shape[1] == 1 and not (torch.is_grad_enabled() or features.is_cuda):
            return self._step(features, parts)
        self.cells.training = True  # cuDNN has no gradients otherwise; there is no dropout
        given = tuple(part.contiguous() for part in parts)
        if isinstance(self.cells, nn.LSTM):
            return self.cells(features, given)
        out, after = self.cells(features, given[0])
        return out, (after,)

    def _restarting(self, features: Tensor, parts: Parts, is_first: Tensor) -> tuple[Tensor, Parts]:
        """Cuts the sequences where episodes begin, runs pieces of like lengths side by side, and
        joins them; the state after the last step then has no gradient.
        """
        batch, steps = is_first.shape
        pieces = Pieces.of(is_first)
        rows = pieces.starts.div(steps, rounding_mode="floor")
        goes_on = (pieces.starts % steps == 0).view(1, -1, 1)
        before = tuple(part[:, rows].masked_fill(~goes_on, 0.0) for part in parts)
        flat = features.flatten(0, 1)
        outs, places = [], []
        for part in pieces.side_by_side():
            own = pieces.steps(part)  # (pieces, longest)
            is_real = own >= 0
            given = flat[own.clamp(min=0)]
            out, _ = self._run(given, tuple(leaf[:, part] for leaf in before))
            outs.append(out[is_real])
            places.append(own[is_real])
        back = torch.cat(places).argsort()
        joined = torch.cat(outs)[back].unflatten(0, (batch, steps))
        is_last = (pieces.starts + pieces.lengths) % steps == 0
        return joined, self._after(flat, before, pieces.where(is_last), rows, is_last)

    @torch.no_grad()
    def _after(
        self, flat: Tensor, before: Parts, pieces: "Pieces", rows: Tensor, is_last: Tensor
    ) -> Parts:
        """The state after the last piece of each sequence."""
        own = pieces.steps(slice(None)).t()  # (longest, B)
        is_real = own >= 0
        packed = PackedSequence(flat[own[is_real]], is_real.sum(1).cpu())
        given = tuple(part[:, is_last].contiguous() for part in before)
        is_lstm = isinstance(self.cells, nn.LSTM)
        _, after = self.cells(packed, given if is_lstm else given[0])
        order = rows[is_last].argsort()
        return tuple(part[:, order] for part in (after if is_lstm else (after,)))


@dataclass(frozen=True)
class Pieces:
    """Runs of steps in which no episode begins after the first, the longest first.

    Attributes:
        starts: `(pieces,)`, among all steps of all sequences, one sequence after the other.
        lengths: `(pieces,)`.
    """

    starts: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, is_first: Tensor) -> Self:
        """Those of sequences `(B, T)`."""
        begins = is_first.clone()
        begins[:, 0] = True
        starts = begins.reshape(-1).nonzero().squeeze(-1)
        ends = torch.cat([starts[1:], starts.new_tensor([begins.numel()])])
        lengths, order = (ends - starts).sort(descending=True, stable=True)
        return cls(starts[order], lengths)

    def where(self, mask: Tensor) -> Self:
        """Some of them."""
        return type(self)(self.starts[mask], self.lengths[mask])

    def steps(self, part: slice) -> Tensor:
        """The steps of some, `(pieces, longest)` among all steps; -1 beyond the end of one."""
        starts, lengths = self.starts[part, None], self.lengths[part, None]
        ticks = torch.arange(int(lengths[0]), device=starts.device)
        return torch.where(ticks < lengths, starts + ticks, -1)

    def side_by_side(self) -> list[slice]:
        """Those that run at once: as many as leave less than `IDLE` of their steps empty."""
        lengths, parts, begin, real = self.lengths.tolist(), [], 0, 0
        for place, length in enumerate(lengths):
            real += length
            if real < (1 - IDLE) * lengths[begin] * (place + 1 - begin):
                parts.append(slice(begin, place))
                begin, real = place, length
        return [*parts, slice(begin, len(lengths))]
