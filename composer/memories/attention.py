"""`attention`: the gated transformer for RL, GTrXL (Parisotto et al., 2020, arXiv:1910.06764)."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional

from composer.config import Size
from composer.memories.base import Memory, State, StatefulMemoryConfig
from composer.problems import invalid_value


class AttentionConfig(StatefulMemoryConfig):
    """Layers of causal self-attention over a window of steps, and gates around them.

    Each step attends to itself and to the `window` steps of its episode before it. Where they
    stand is told by a bias learnt for each distance and head (Raffel et al., 2020), in place of
    Transformer-XL's sinusoids. Keys and values of the window are the state, so that one step costs
    no more than its own.
    """

    type: Literal["attention"] = "attention"
    hidden_size: Size = 64
    num_layers: Size = 1
    num_heads: Annotated[Size, Field(validate_default=True)] = 4
    window: Size = 32
    """Steps before the present one."""
    feedforward: Size = 256
    """Width of the layer between the two linear ones that follow attention."""
    gate_bias: float = 2.0
    """How far the gates let features past each layer at first (section 3.2)."""

    @field_validator("num_heads")
    @classmethod
    def _divides(cls, heads: int, others: ValidationInfo) -> int:
        size = others.data.get("hidden_size", heads)
        if size % heads:
            raise invalid_value(
                f"hidden_size={size} is shared by num_heads={heads}, which must divide it",
                meant=(fewer for fewer in range(heads, 0, -1) if size % fewer == 0),
            )
        return heads

    def out_dim(self, in_dim: int) -> int:
        return self.hidden_size

    def build(self, in_dim: int) -> "Attention":
        embed = nn.Linear(in_dim, self.hidden_size)
        layers = [GatedLayer(self) for _ in range(self.num_layers)]
        return Attention(embed=embed, layers=layers, window=self.window)


class Attention(Memory):
    """An embedding, then layers.

    The state: `keys` and `values` of the window's steps, `(B, layers, window, hidden)`, the latest
    last, and `length`, how many of them are of this episode, `(B,)` int64.
    """

    def __init__(self, *, embed: nn.Linear, layers: list["GatedLayer"], window: int) -> None:
        super().__init__()
        self.embed = embed
        self.layers = nn.ModuleList(layers)
        self.window = window

    def initial_state(self, batch_size: int) -> State:
        weight = self.embed.weight
        shape = batch_size, len(self.layers), self.window, len(weight)
        length = torch.zeros(batch_size, dtype=torch.int64, device=weight.device)
        return {
            "keys": weight.new_zeros(shape),
            "values": weight.new_zeros(shape),
            "length": length,
        }

    def forward(
        self, features: Tensor, state: State | None = None, is_first: Tensor | None = None
    ) -> tuple[Tensor, State]:
        state = self.initial_state(len(features)) if state is None else state
        x, length = self.embed(features), state["length"]
        distances, allowed = self._seen(length, x, is_first)
        caches: list[tuple[Tensor, Tensor]] = []
        past = state["keys"].unbind(1), state["values"].unbind(1)
        for layer, *before in zip(self.layers, *past, strict=True):
            x, *cache = layer(x, before, distances, allowed)
            caches.append((cache[0], cache[1]))
        keys, values = (torch.stack(leaves, 1) for leaves in zip(*caches, strict=True))
        since = self._since(length, x, is_first)
        return x, {"keys": keys, "values": values, "length": since.clamp(max=self.window)}

    def _seen(self, length: Tensor, x: Tensor, is_first: Tensor | None) -> tuple[Tensor, Tensor]:
        """How many steps each step lies behind each, `(T, window + T)`, and which it may attend
        to, `(B, 1, T, window + T)`.
        """
        steps, window = x.shape[1], self.window
        places = torch.arange(window + steps, device=x.device)
        distances = places[window:, None] - places
        near = (distances >= 0) & (distances <= window)
        known = places >= window - length[:, None]  # (B, window + T)
        if is_first is None:
            allowed = near & known[:, None]
        else:
            episode = functional.pad(is_first.long().cumsum(1), (window, 0))
            same = episode[:, window:, None] == episode[:, None]
            allowed = near & same & known[:, None]
        return distances.clamp(0, window), allowed[:, None]

    def _since(self, length: Tensor, x: Tensor, is_first: Tensor | None) -> Tensor:
        """Steps of the present episode so far, as far as they are known, `(B,)`."""
        steps = x.shape[1]
        if is_first is None:
            return length + steps
        last = is_first * torch.arange(1, steps + 1, device=x.device)  # 1 + where it began
        begun = last.amax(1)
        return torch.where(begun > 0, steps - begun + 1, length + steps)


class GatedLayer(nn.Module):
    """Attention and two linear layers, each behind a norm and joined by a gate (equation 7)."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.num_heads = config.num_heads
        self.before = nn.LayerNorm(size)
        self.attended = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.bias = nn.Parameter(torch.zeros(config.num_heads, config.window + 1))
        self.first_gate = Gate(size, config.gate_bias)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(size),
            nn.Linear(size, config.feedforward),
            nn.ReLU(),
            nn.Linear(config.feedforward, size),
        )
        self.second_gate = Gate(size, config.gate_bias)

    def forward(
        self, x: Tensor, past: Sequence[Tensor], distances: Tensor, allowed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer.

        Args:
            x: `(B, T, hidden)`.
            past: Keys and values of the window before, `(B, window, hidden)` each.
            distances: `(T, window + T)` int64, from 0 to `window`.
            allowed: `(B, 1, T, window + T)` bool.

        Returns:
            What leaves it, `(B, T, hidden)`, and the keys and values of the window now.
        """
        window = past[0].shape[1]
        query, *new = self.attended(self.before(x)).chunk(3, -1)
        keys, values = (torch.cat(pair, 1) for pair in zip(past, new, strict=True))
        bias = self.bias[:, distances].masked_fill(~allowed, -torch.inf)
        heads = (self._by_head(part) for part in (query, keys, values))
        seen = functional.scaled_dot_product_attention(*heads, attn_mask=bias)
        x = self.first_gate(x, self.out(seen.transpose(1, 2).flatten(2)).relu())
        x = self.second_gate(x, self.feedforward(x).relu())
        return x, keys[:, -window:], values[:, -window:]

    def _by_head(self, part: Tensor) -> Tensor:
        """`(B, steps, hidden)` → `(B, heads, steps, hidden / heads)`."""
        return part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class Gate(nn.Module):
    """What a GRU makes of a layer's input as its state and of the layer's output as its input."""

    def __init__(self, size: int, bias: float) -> None:
        super().__init__()
        self.of_output = nn.Linear(size, 3 * size, bias=False)
        self.of_input = nn.Linear(size, 2 * size, bias=False)
        self.candidate = nn.Linear(size, size, bias=False)
        self.bias = nn.Parameter(torch.full((size,), bias))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x, what went into the layer, and y, what came out, `(*B, hidden)` → the same shape."""
        reset_y, update_y, candidate_y = self.of_output(y).chunk(3, -1)
        reset_x, update_x = self.of_input(x).chunk(2, -1)
        reset = (reset_y + reset_x).sigmoid()
        update = (update_y + update_x - self.bias).sigmoid()
        candidate = (candidate_y + self.candidate(reset * x)).tanh()
        return torch.lerp(x, candidate, update)
