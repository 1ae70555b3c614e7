"""`lstm`: long short-term memory (Hochreiter and Schmidhuber, 1997)."""

from typing import Literal

from torch import nn

from composer.memories._recurrent import RecurrentConfig


class LSTMConfig(RecurrentConfig):
    """An LSTM; its state is `h` and `c`, `(B, layers, hidden)` each."""

    type: Literal["lstm"] = "lstm"

    def cells(self, in_dim: int) -> nn.LSTM:
        return nn.LSTM(in_dim, self.hidden_size, self.num_layers, batch_first=True)
