import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from composer import compose
from composer.encoders.graph import GraphEncoderConfig
from composer.environments._guard import REPORT, GuardedEnv
from composer.spaces import samples
from composer.testing import check_encoder

GRAPH = spaces.Graph(spaces.Discrete(3, start=5, dtype=np.int32), spaces.Discrete(2, start=-9))
NESTED = [
    GRAPH,
    spaces.Graph(spaces.Box(-1, 1, (2,)), spaces.Discrete(2, start=1)),
    spaces.Graph(spaces.Discrete(2, start=1), None),
    spaces.Dict(a=spaces.Tuple([GRAPH, spaces.Discrete(2)])),
    spaces.OneOf([GRAPH, spaces.Text(3)]),
    spaces.Sequence(GRAPH),
    spaces.Sequence(GRAPH, stack=True),
]


@pytest.mark.parametrize("space", NESTED, ids=str)
def test_samples_are_of_their_space_wherever_its_graphs_count_from(space):
    assert all(map(space.contains, samples(space, 20)))


def test_every_choice_of_a_graph_is_sampled():
    drawn = [each for each in samples(GRAPH, 20) if each.edges is not None]
    assert {int(node) for each in drawn for node in each.nodes} == {5, 6, 7}
    assert {int(edge) for each in drawn for edge in each.edges} == {-9, -8}


def test_a_seed_decides_the_samples():
    space = spaces.Text(8)
    assert samples(space, 5) == samples(space, 5, seed=0) != samples(space, 5, seed=1)


@pytest.mark.parametrize("space", [spaces.Text(8), spaces.Dict(a=spaces.Tuple([GRAPH]))], ids=str)
def test_sampling_leaves_the_space_as_it_is(space):
    space.seed(3)
    expected = str(space.sample())
    space.seed(3)
    assert samples(space, 2, seed=4)
    assert str(space.sample()) == expected


def test_an_encoder_of_a_graph_that_does_not_count_from_0_passes_the_check():
    check_encoder(GraphEncoderConfig(), GRAPH)


def test_the_example_that_costs_are_counted_on_is_of_the_space():
    (example,) = compose(GRAPH, spaces.Discrete(2)).by_name["main.encoder"].example()
    assert set(example["nodes"]["values"].flatten().tolist()) <= {5, 6, 7}


class Failing(gym.Env):
    observation_space = GRAPH
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        raise ValueError("as it was told to")


def test_the_observation_beside_a_report_is_of_the_space():
    observation, info = GuardedEnv(Failing()).reset()
    assert GRAPH.contains(observation)
    assert "as it was told to" in info[REPORT]
