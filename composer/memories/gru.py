"""`gru`: gated recurrent units (Cho et al., 2014, arXiv:1406.1078)."""

from typing import Literal

from torch import nn

from composer.memories._recurrent import RecurrentConfig


class GRUConfig(RecurrentConfig):
    """A GRU; its state is `h`, `(B, layers, hidden)`."""

    type: Literal["gru"] = "gru"

    def cells(self, in_dim: int) -> nn.GRU:
        return self.filled(nn.GRU(in_dim, self.hidden_size, self.num_layers, batch_first=True))
