import importlib.util
import sys

import numpy as np
import pytest
import torch
from experiments import experiment
from gymnasium import spaces
from gymnasium.spaces import GraphInstance

from composer import compose
from composer.checking import check
from composer.encoders.graph import GraphEncoderConfig
from composer.errors import CompositionError, ConfigError
from composer.spaces import batch, to_tensors
from composer.testing import check_encoder

POINT = spaces.Box(-1, 1, (2,))
COLOUR = spaces.Discrete(8)
GRAPH = spaces.Graph(POINT, COLOUR)
BARE = spaces.Graph(POINT, None)
ACTIONS = spaces.Discrete(3)
NODES = np.array([[0.1, 0.2], [-0.5, 0.9], [0.3, -0.7]], np.float32)


def graph(nodes=NODES, colours=(), links=()):
    links = np.array(links, np.int64).reshape(-1, 2)
    return GraphInstance(nodes, np.array(colours, np.int64), links)


def trunk_of(space=GRAPH, **encoder):
    return compose(space, ACTIONS, {"encoder": {"type": "graph", **encoder}}).build().main.encoder


def encoded(trunk, *graphs, space=GRAPH):
    return trunk(to_tensors(batch(space, graphs)))


@pytest.mark.parametrize(
    "space", [GRAPH, BARE, spaces.Graph(COLOUR, POINT), spaces.Sequence(GRAPH)], ids=str
)
def test_it_does_what_an_encoder_must(space):
    check_encoder(compose(space, ACTIONS).by_name["main.encoder"].config, space)


@pytest.mark.parametrize("pool", ["mean", "max", "sum", "attention", "gru"])
@pytest.mark.parametrize("options", [{}, {"features": 5, "rounds": 1, "hidden": []}])
def test_its_options_do_what_an_encoder_must(pool, options):
    check_encoder(GraphEncoderConfig(pool=pool, **options), GRAPH)


def test_nodes_and_edges_have_encoders_by_the_same_tree():
    blueprint = compose(GRAPH, ACTIONS, {"encoder": {"children": {"edges": {"hidden": [9]}}}})
    assert {node.name: node.config.type for node in blueprint.nodes[:-2]} == {
        "main.encoder.nodes": "mlp",
        "main.encoder.edges": "one_hot",
        "main.encoder": "graph",
    }
    assert blueprint.by_name["main.encoder.edges"].out_dim == 9
    parameters = blueprint.build().parameters()
    assert blueprint.parameter_count == sum(each.numel() for each in parameters)


@pytest.mark.parametrize("colours", [(), (5, 6)])
def test_a_graph_is_the_same_beside_a_larger_one(colours):
    trunk = trunk_of()
    small = graph(NODES[:2], colours, [(0, 1), (1, 1)][: len(colours)])
    large = graph(np.tile(NODES, (2, 1)), (7, 5, 6), [(0, 5), (5, 1), (4, 2)])
    for graphs in ((small, large), (large, small)):
        together = encoded(trunk, *graphs)
        alone = torch.cat([encoded(trunk, each) for each in graphs])
        torch.testing.assert_close(together, alone)


def test_leading_axes_make_no_difference():
    trunk = trunk_of()
    graphs = [graph(NODES[: 1 + i % 3], (5,), [(0, i % 3)]) for i in range(6)]
    obs = to_tensors(batch(GRAPH, graphs))
    shaped = {
        "nodes": {key: leaf.unflatten(0, (2, 3)) for key, leaf in obs["nodes"].items()},
        "edges": {key: leaf.unflatten(0, (2, 3)) for key, leaf in obs["edges"].items()},
        "links": obs["links"].unflatten(0, (2, 3)),
    }
    torch.testing.assert_close(trunk(shaped).flatten(0, 1), trunk(obs))


def test_the_numbering_of_nodes_and_the_order_of_links_make_no_difference():
    one = graph(NODES, (5, 6), [(0, 1), (2, 1)])
    new_names = np.array([2, 0, 1])  # of the nodes 0, 1, 2
    other = graph(NODES[[1, 2, 0]], (6, 5), [new_names[[2, 1]], new_names[[0, 1]]])
    first, second = encoded(trunk_of(), one, other)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    "other",
    [
        graph(NODES, (5,), [(1, 2)]),
        graph(NODES, (5,), [(1, 0)]),
        graph(NODES, (6,), [(0, 1)]),
        graph(NODES, (5, 5), [(0, 1), (0, 2)]),
        graph(),
    ],
    ids=["another end", "the other way", "another edge", "one more", "none"],
)
def test_other_links_are_another_graph(other):
    first, second = encoded(trunk_of(), graph(NODES, (5,), [(0, 1)]), other)
    assert not torch.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize(("rounds", "hears"), [(1, False), (2, True)])
def test_a_node_hears_of_others_as_many_links_away_as_there_are_rounds(rounds, hears):
    trunk = trunk_of(rounds=rounds, pool="sum", hidden=[])
    changed = NODES.copy()
    changed[2] += 1
    links = {"colours": (5, 5), "links": [(0, 1), (1, 2)]}
    nodes = []
    trunk.pooling = First()
    for given in (NODES, changed):
        nodes.append(encoded(trunk, graph(given, **links)))
    assert torch.equal(*nodes) is not hears


class First(torch.nn.Module):
    """What the first node knows."""

    def forward(self, values, mask):
        return values[..., 0, :]


@pytest.mark.parametrize("space", [GRAPH, BARE])
@pytest.mark.parametrize("nodes", [NODES, NODES[:1], NODES[:0]])
def test_without_links_or_nodes_features_and_gradients_are_finite(space, nodes):
    trunk = trunk_of(space)
    one = GraphInstance(nodes, None, None)
    features = encoded(trunk, one, one, space=space)
    assert features.isfinite().all()
    features.sum().backward()
    assert all(each.grad.isfinite().all() for each in trunk.parameters())


def test_only_a_graph_is_taken():
    refused = GraphEncoderConfig().refusal(POINT)
    assert refused == "`graph` takes a Graph, not Box(2,) float32"


# without torch-geometric


def test_building_without_its_package_names_the_extra(monkeypatch):
    blueprint = compose(GRAPH, ACTIONS)
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    with pytest.raises(CompositionError) as error:
        blueprint.build()
    (found,) = error.value.problems
    assert "encoder `graph` needs the package torch_geometric" in found.message
    assert found.fix == "pip install 'rl-composer[graph]'"


def without_torch_geometric(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "geometric" in name else found(name)
    )


def test_a_missing_package_of_what_the_catalog_chose_is_found_before_training(
    monkeypatch, tmp_path
):
    without_torch_geometric(monkeypatch)
    wanted = experiment("Bandit")
    monkeypatch.setattr(type(wanted), "blueprint", compose(GRAPH, ACTIONS, algorithm="ppo"))
    with pytest.raises(ConfigError) as error:
        check(wanted, tmp_path)
    (found,) = error.value.problems
    assert found.path == "model.encoder.type"
    assert found.fix == "pip install 'rl-composer[graph]'"


def test_a_rule_that_is_not_used_needs_no_package(monkeypatch, tmp_path):
    without_torch_geometric(monkeypatch)
    check(experiment("Bandit"), tmp_path)
