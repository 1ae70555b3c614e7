"""`lstm`: long short-term memory (Hochreiter and Schmidhuber, 1997)."""

from typing import Literal

import torch
from torch import nn

from composer.memories._recurrent import RecurrentConfig


class LSTMConfig(RecurrentConfig):
    """An LSTM; its state is `h` and `c`, `(B, layers, hidden)` each."""

    type: Literal["lstm"] = "lstm"
    forget_bias: float = 1.0
    """How far the forget gates are open at first, beyond `bias_initializer`: what was seen is kept
    (Jozefowicz et al., 2015)."""

    def cells(self, in_dim: int) -> nn.LSTM:
        cells = self.filled(nn.LSTM(in_dim, self.hidden_size, self.num_layers, batch_first=True))
        with torch.no_grad():
            for _, _, bias, _ in cells.all_weights:  # gates: input, forget, cell, output
                bias[self.hidden_size : 2 * self.hidden_size] += self.forget_bias
        return cells
