"""`graph`: Graph observations, messages between nodes along their links, pooled."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor, nn

from composer.config import Listed, Size
from composer.encoders._composite import CompositeEncoderConfig
from composer.encoders._packing import packed, scattered, within
from composer.encoders._pooling import MeanPoolingConfig, PoolingConfig
from composer.errors import CompositionError, Problem
from composer.layers import HiddenLayers
from composer.spaces import Nested, describe


class GraphEncoderConfig(HiddenLayers, CompositeEncoderConfig):
    """Nodes and edges through encoders of their own, rounds of messages, and the nodes pooled.

    A round is a layer of GINE (Hu et al., 2020, arXiv:1905.12265, section 5.2): to each node are
    added the ReLUs of neighbour + edge, then follows a linear layer. Departing from it, a message
    goes both ways along a link, and a learnt vector, added to the edge, tells which.
    """

    type: Literal["graph"] = "graph"
    packages: ClassVar[tuple[str, ...]] = ("torch_geometric",)
    packages_extra: ClassVar[str | None] = "graph"

    features: Size = 64
    """The width that nodes and edges are brought to."""
    rounds: Size = 2
    """How many links away a node hears of another."""
    pool: PoolingConfig = MeanPoolingConfig()
    """How the nodes become one: `mean`, `max`, `sum`, `attention`, or `gru` by their index."""
    hidden: Listed[Size] = (64,)
    """Linear layers behind the pooling; their activation, norm and initializers are also those of
    a round."""

    def refusal(self, space: gym.Space) -> str | None:
        if isinstance(space, spaces.Graph):
            return None
        return f"`graph` takes a Graph, not {describe(space)}"

    def child_spaces(self, space: gym.Space) -> dict[str, gym.Space]:
        assert isinstance(space, spaces.Graph)
        edges = {} if space.edge_space is None else {"edges": space.edge_space}
        return {"nodes": space.node_space, **edges}

    def joined_dim(self, space: gym.Space, widths: Mapping[str, int]) -> int:
        return self.width(self.features)

    def join(
        self, space: gym.Space, parts: Mapping[str, nn.Module], widths: Mapping[str, int]
    ) -> "GraphEncoder":
        linked = "edges" in parts
        return GraphEncoder(
            **parts,
            node_layer=nn.Linear(widths["nodes"], self.features),
            edge_layer=nn.Linear(widths["edges"], self.features) if linked else None,
            directions=nn.Embedding(2, self.features) if linked else None,
            messages=nn.ModuleList(_gine() for _ in range(self.rounds)),
            updates=nn.ModuleList(
                self.stack(self.features, (self.features,)) for _ in range(self.rounds)
            ),
            pooling=self.pool.build(self.features),
            layers=self.stack(self.features),
        )


def _gine() -> nn.Module:
    """Nodes `(M, G)`, links `(2, K)`, edges `(K, G)` → nodes, with what they heard, `(M, G)`.

    Raises:
        CompositionError: If torch-geometric is not installed.
    """
    try:
        from torch_geometric.nn import GINEConv
    except ModuleNotFoundError:
        raise CompositionError(
            Problem(
                "encoder `graph` needs the package torch_geometric, which is not installed",
                fix="pip install 'rl-composer[graph]'",
            )
        ) from None
    return GINEConv(nn.Identity())


class GraphEncoder(nn.Module):
    """All graphs of a batch as one large graph, then the nodes of each pooled.

    Args:
        nodes: `(M, …)` → `(M, F_n)`.
        edges: `(K, …)` → `(K, F_e)`; None in a space without edges, where nobody hears of anybody.
        node_layer: `(M, F_n)` → `(M, G)`.
        edge_layer: `(K, F_e)` → `(K, G)`.
        directions: 0 along a link, 1 against it → `(G,)`.
        messages: Of each round; nodes, links, edges → nodes.
        updates: Of each round, `(M, G)` → `(M, G)`.
        pooling: `(*B, N, G)`, `(*B, N)` bool → `(*B, G)`.
        layers: `(*B, G)` → `(*B, F)`.
    """

    def __init__(
        self,
        *,
        nodes: nn.Module,
        edges: nn.Module | None = None,
        node_layer: nn.Module,
        edge_layer: nn.Module | None,
        directions: nn.Module | None,
        messages: nn.ModuleList,
        updates: nn.ModuleList,
        pooling: nn.Module,
        layers: nn.Module,
    ) -> None:
        super().__init__()
        self.nodes = nodes
        self.edges = edges
        self.node_layer = node_layer
        self.edge_layer = edge_layer
        self.directions = directions
        self.messages = messages
        self.updates = updates
        self.pooling = pooling
        self.layers = layers

    def forward(self, obs: Nested) -> Tensor:
        """obs: `{"nodes": {"values": (*B, N, …), "lengths": (*B,)}}`, and with an edge space
        `"edges"` likewise and `"links": (*B, E, 2)` → `(*B, F)` float32.
        """
        values, counts = obs["nodes"]["values"], obs["nodes"]["lengths"]
        mask = within(counts, values)
        x = self.node_layer(self.nodes(packed(values, mask)))  # (M, G)
        links, edges = self._linked(obs, counts, x)
        for message, update in zip(self.messages, self.updates, strict=True):
            x = update(message(x, links, edges))
        return self.layers(self.pooling(scattered(x, mask), mask))

    def _linked(self, obs: Nested, counts: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both ways of every link: from and to which of the M nodes `(2, K)`, and its `(K, G)`."""
        if self.edges is None or self.edge_layer is None or self.directions is None:
            return counts.new_zeros(2, 0), x[:0]
        values, lengths = obs["edges"]["values"], obs["edges"]["lengths"]
        mask = within(lengths, values)
        first = counts.flatten().cumsum(0).view_as(counts) - counts  # (*B,) of the M nodes
        links = (obs["links"] + first[..., None, None])[mask].t()
        edges = self.edge_layer(self.edges(packed(values, mask)))
        ways = self.directions(torch.arange(2, device=links.device)).unsqueeze(1)  # (2, 1, G)
        return torch.cat((links, links.flip(0)), 1), (edges + ways).flatten(0, 1)
