"""The canonical batch of ragged spaces, and space classes of one's own."""

import json
from typing import Literal

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from composer.blueprint.blueprint import Blueprint
from composer.catalog.catalog import Catalog
from composer.composition import compose
from composer.encoders.base import EncoderConfig
from composer.errors import CompositionError, ModuleError
from composer.spaces import (
    batch,
    canonical,
    facts,
    is_ragged,
    kind,
    leading_axes,
    leaves,
    map_structure,
    misfit,
    register_space,
    require_usable,
    space_from_data,
    space_to_data,
    to_tensors,
    zeros,
)

TEXT = spaces.Text(4, charset="cab")
POINT = spaces.Box(-1, 1, (2,))
GRAPH = spaces.Graph(POINT, spaces.Discrete(3))


def lists(tree):
    return map_structure(lambda leaf: leaf.tolist(), tree)


def assert_same(one, other):
    assert lists(one) == lists(other)
    assert [leaf.dtype for leaf in leaves(one)] == [leaf.dtype for leaf in leaves(other)]


# forms


def test_a_text_is_indices_into_its_sorted_characters():
    batched = batch(TEXT, ["ab", "c", "cabb"])
    assert lists(batched) == {
        "values": [[0, 1, 0, 0], [2, 0, 0, 0], [2, 0, 1, 1]],
        "lengths": [2, 1, 4],
    }
    assert {leaf.dtype for leaf in leaves(batched)} == {np.dtype(np.int64)}


def test_the_shortest_texts_have_room_for_one_character():
    empty = spaces.Text(4, min_length=0, charset="ab")
    assert lists(batch(empty, ["", ""])) == {"values": [[0], [0]], "lengths": [0, 0]}


@pytest.mark.parametrize("stack", [False, True])
def test_a_sequence_is_padded_at_its_end(stack):
    samples = [np.array([[1, 2], [3, 4]]), np.zeros((0, 2)), np.array([[5, 6]])]
    given = samples if stack else [tuple(sample) for sample in samples]
    batched = batch(spaces.Sequence(POINT, stack=stack), given)
    assert lists(batched) == {
        "values": [[[1, 2], [3, 4]], [[0, 0], [0, 0]], [[5, 6], [0, 0]]],
        "lengths": [2, 0, 1],
    }
    assert batched["values"].dtype == np.float32


def test_a_sequence_of_texts_is_padded_twice():
    batched = batch(spaces.Sequence(TEXT), [("ab",), ("c", "cab")])
    assert lists(batched) == {
        "values": {
            "values": [[[0, 1, 0], [0, 0, 0]], [[2, 0, 0], [2, 0, 1]]],
            "lengths": [[2, 0], [1, 3]],
        },
        "lengths": [1, 2],
    }


def test_a_stack_of_dicts_is_the_same_batch_as_a_tuple_of_them():
    element = spaces.Dict(word=TEXT, pair=spaces.Tuple([POINT, spaces.Discrete(3)]))
    points = np.array([[1, 2], [3, 4]], np.float32)
    loose = ({"word": "a", "pair": (points[0], 1)}, {"word": "bc", "pair": (points[1], 2)})
    stacked = {"word": ("a", "bc"), "pair": (points, np.array([1, 2]))}
    assert_same(
        batch(spaces.Sequence(element), [loose, ()]),
        batch(
            spaces.Sequence(element, stack=True),
            [stacked, {"word": (), "pair": (points[:0], np.zeros(0, np.int64))}],
        ),
    )


def test_a_graph_has_nodes_edges_and_links():
    points = np.array([[1, 2], [3, 4]])
    bare = spaces.GraphInstance(points[:1], None, None)
    linked = spaces.GraphInstance(points, np.array([2, 1, 0]), np.array([[0, 1], [1, 0], [1, 1]]))
    assert lists(batch(GRAPH, [bare, linked])) == {
        "nodes": {"values": [[[1, 2], [0, 0]], [[1, 2], [3, 4]]], "lengths": [1, 2]},
        "edges": {"values": [[0, 0, 0], [2, 1, 0]], "lengths": [0, 3]},
        "links": [[[0, 0]] * 3, [[0, 1], [1, 0], [1, 1]]],
    }
    assert batch(spaces.Graph(POINT, None), [bare]).keys() == {"nodes"}


def test_of_a_oneof_the_children_that_were_not_drawn_are_zero():
    space = spaces.OneOf([spaces.Discrete(3, start=5), TEXT, POINT])
    batched = batch(space, [(0, 7), (1, "ab"), (0, 6)])
    assert lists(batched) == {
        "branch": [0, 1, 0],
        "values": (
            [7, 0, 6],
            {"values": [[0, 0], [0, 1], [0, 0]], "lengths": [0, 2, 0]},
            [[0, 0]] * 3,
        ),
    }


def test_zeros_are_a_batch_as_short_as_can_be():
    space = spaces.Dict(a=spaces.Sequence(TEXT), b=spaces.Box(0, 1, (3,), np.uint8))
    none = zeros(space, (2, 5))
    assert map_structure(np.shape, none) == {
        "a": {"values": {"values": (2, 5, 1, 1), "lengths": (2, 5, 1)}, "lengths": (2, 5)},
        "b": (2, 5, 3),
    }
    assert leading_axes(space, none) == (2, 5)
    assert not any(leaf.any() for leaf in leaves(none))


def test_only_what_is_not_arrays_already_is_ragged():
    plain = spaces.Dict(a=spaces.Tuple([POINT, spaces.Discrete(2)]), b=spaces.MultiBinary(2))
    assert not is_ragged(plain)
    assert is_ragged(spaces.Dict(a=plain, b=spaces.Tuple([TEXT])))
    obs = object()
    assert canonical(plain, obs) is obs


@pytest.mark.parametrize(
    ("space", "sample"),
    [
        (TEXT, "ab"),
        (GRAPH, spaces.GraphInstance(np.zeros((2, 2)), None, None)),
        (spaces.OneOf([TEXT, POINT]), (0, "a")),
        (spaces.Sequence(POINT), (np.zeros(2), np.ones(2))),
        (spaces.Sequence(POINT), ()),
        (spaces.Sequence(POINT, stack=True), np.ones((3, 2))),
        (spaces.Dict(a=TEXT, b=POINT), {"a": "ab", "b": np.ones(2, np.float32)}),
    ],
    ids=str,
)
def test_a_single_environments_observation_has_no_leading_axis(space, sample):
    assert_same(
        canonical(space, sample), map_structure(lambda leaf: leaf[0], batch(space, [sample]))
    )
    assert leading_axes(space, canonical(space, sample)) == ()
    assert misfit(space, sample) is None


# properties

plain = st.sampled_from(
    [
        POINT,
        spaces.Box(0, 255, (2, 2), np.uint8),
        spaces.Discrete(3, start=4),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(2),
    ]
)
words = st.sampled_from([TEXT, spaces.Text(5, min_length=0), spaces.Text(3, min_length=3)])
graphs = st.sampled_from([GRAPH, spaces.Graph(spaces.Discrete(3), None)])


def nested(children):
    several = st.lists(children, min_size=1, max_size=3)
    return (
        several.map(lambda parts: spaces.Dict({f"k{i}": part for i, part in enumerate(parts)}))
        | several.map(spaces.Tuple)
        | several.map(spaces.OneOf)
        | children.map(spaces.Sequence)
        | children.map(lambda child: spaces.Sequence(child, stack=True))
    )


any_space = st.recursive(plain | words | graphs, nested, max_leaves=4)
each = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def drawn(space, seed, count):
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def as_vector_environments_do(space, samples):
    out = create_empty_array(space, n=len(samples))
    return concatenate(space, samples, out)


@each
@given(any_space, st.integers(0, 10**6), st.integers(1, 4))
def test_what_a_vector_environment_returns_is_the_batch_of_its_samples(space, seed, count):
    samples = drawn(space, seed, count)
    batched = batch(space, samples)
    returned = as_vector_environments_do(space, samples)
    assert_same(canonical(space, returned), batched)
    assert_same(canonical(space, batched), batched)
    assert misfit(space, returned) is None
    assert misfit(space, batched) is None
    assert misfit(space, to_tensors(batched)) is None
    assert leading_axes(space, batched) == (count,)


@each
@given(any_space, st.integers(0, 10**6))
def test_every_row_is_a_sample_alone_but_for_the_padding(space, seed):
    samples = drawn(space, seed, 3)
    batched = batch(space, samples)
    for i, sample in enumerate(samples):
        for whole, alone in zip(leaves(batched), leaves(batch(space, [sample])), strict=True):
            row, alone = whole[i], alone[0]
            inside = tuple(slice(0, size) for size in alone.shape)
            assert np.array_equal(row[inside], alone)
            assert np.count_nonzero(row) == np.count_nonzero(alone)


@each
@given(any_space)
def test_every_nested_space_survives_json(space):
    again = space_from_data(json.loads(json.dumps(space_to_data(space), allow_nan=False)))
    assert again == space
    assert facts(again) == facts(space)
    require_usable(again, "observation")


# misfits

EDGE = spaces.GraphInstance(np.zeros((2, 2)), np.array([1]), np.array([[0, 5]]))
LINKED = batch(GRAPH, [EDGE._replace(edge_links=np.array([[0, 1]]))])
SHORT = {"values": np.zeros((2, 3), np.int64), "lengths": np.array([2, 4])}


@pytest.mark.parametrize(
    ("space", "values", "words"),
    [
        (TEXT, ("ab", "xa"), "the observation[1] has the character 'x', which is not in Text(1..4"),
        (
            TEXT,
            ("abcab",),
            "the observation[0] has 5 characters, which is not in Text(1..4, 3 char",
        ),
        (TEXT, ("",), "the observation[0] has 0 characters"),
        (TEXT, (3,), "the observation[0] is of the type int, which is not in Text("),
        (TEXT, 3, "the observation is of the type int"),
        (TEXT, SHORT, "the observation['lengths'] has 4, but there are 3 values"),
        (TEXT, SHORT | {"lengths": np.array([2, 0])}, "the observation has 0 characters"),
        (TEXT, SHORT | {"lengths": np.array(["a", "b"])}, "['lengths'] is of <U1, not of numbers"),
        (
            TEXT,
            {"values": torch.tensor([[3]]), "lengths": torch.tensor([1])},
            "the observation['values'] has 3, which is not in Text",
        ),
        (
            spaces.Sequence(POINT),
            ((np.zeros(2), np.zeros(3)),),
            "the observation[0][1] has the shape (3,), where Box(2,) float32 needs (2,)",
        ),
        (
            spaces.Sequence(POINT, stack=True),
            (np.zeros((4, 3)),),
            "the observation[0] has the shape (4, 3), where Box(2,) float32 needs (B, 2)",
        ),
        (
            spaces.Sequence(spaces.Dict(a=TEXT, b=POINT), stack=True),
            ({"a": ("a",), "b": np.zeros((2, 2))},),
            "the observation[0]: the parts of a stack are not equally long",
        ),
        (
            spaces.Sequence(spaces.Discrete(2)),
            {"values": np.array([[0, 7]]), "lengths": np.array([2])},
            "the observation['values'] has 7, which is not in Discrete(2)",
        ),
        (GRAPH, (EDGE,), "the observation[0].edge_links has 5, but there is no such node"),
        (
            GRAPH,
            (EDGE._replace(edge_links=None),),
            "the observation[0] has edges without edge_links",
        ),
        (
            GRAPH,
            (EDGE._replace(nodes=np.zeros((2, 3))),),
            "the observation[0].nodes has the shape (2, 3), where Box(2,) float32 needs (B, 2)",
        ),
        (
            GRAPH,
            LINKED | {"links": np.array([[[0, 5]]])},
            "the observation['links'] has 5, but there is no such node",
        ),
        (
            spaces.OneOf([TEXT, POINT]),
            ((2, "a"),),
            "the observation[0] has the branch 2, which is not in OneOf(Text",
        ),
        (spaces.OneOf([TEXT, POINT]), ((0, "x"),), "the observation[0][1] has the character 'x'"),
        (
            spaces.OneOf([spaces.Discrete(2), POINT]),
            {"branch": np.array([2]), "values": (np.zeros(1), np.zeros((1, 2)))},
            "the observation['branch'] has 2",
        ),
        (spaces.Dict(a=TEXT), {"a": ("x",)}, "the observation['a'][0] has the character 'x'"),
        (spaces.Tuple([TEXT]), "ab", "the observation is not nested as Tuple(Text"),
        (TEXT, np.array("ab", object), "the observation is of the type ndarray"),
        (
            spaces.OneOf([POINT]),
            (torch.zeros(2, 2),),
            "the observation[0] is of the type Tensor, which is not in OneOf",
        ),
        (
            spaces.Sequence(POINT),
            {"values": (), "lengths": []},
            "the observation is not of the form of Sequence(Box(2,) float32)",
        ),
    ],
    ids=str,
)
def test_what_is_not_of_a_ragged_space_is_told(space, values, words):
    assert words in misfit(space, values)


@pytest.mark.parametrize(
    ("space", "samples", "words"),
    [
        (TEXT, ["a", "x"], "sample 1 has the character 'x'"),
        (TEXT, ["abcab"], "sample 0 has 5 characters"),
        (TEXT, [None], "sample 0 is of the type NoneType"),
        (spaces.Sequence(POINT), [(np.zeros(3),)], r"sample 0\[0\] has the shape \(3,\)"),
        (spaces.Sequence(POINT), [7], "sample 0 is of the type int"),
        (spaces.OneOf([POINT]), [(1, np.zeros(2))], "sample 0 has the branch 1"),
        (spaces.OneOf([POINT]), [3], "sample 0 is of the type int"),
        (GRAPH, [EDGE], "sample 0.edge_links has 5, but there is no such node"),
        (GRAPH, [EDGE._replace(edges=np.array([1, 1]))], r"edge_links has the shape \(1, 2\), not"),
        (GRAPH, [3], "sample 0 is of the type int"),
        (spaces.Dict(a=TEXT), [{"b": "a"}], "sample 0 is not nested as Dict"),
        (POINT, [np.zeros(3)], r"sample 0 has the shape \(3,\), where Box\(2,\) float32 needs"),
    ],
    ids=str,
)
def test_samples_that_are_not_of_the_space_are_refused(space, samples, words):
    with pytest.raises(ValueError, match=words):
        batch(space, samples)


def test_what_a_vector_environment_returns_wrongly_is_refused():
    with pytest.raises(ValueError, match=r"the observation\['a'\]\[1\] has the character 'x'"):
        canonical(spaces.Dict(a=TEXT), {"a": ("a", "x")})


# classes of one's own


class Money(gym.Space):
    """Amounts `(euros, cents)` as text."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def sample(self):
        return f"{self.np_random.integers(self.limit)}.50"

    def __eq__(self, other):
        return isinstance(other, Money) and other.limit == self.limit


class Unregistered(gym.Space):
    pass


class RGBImage(spaces.Box):
    def __init__(self, side):
        super().__init__(0, 255, (side, side, 3), np.uint8)
        self.side = side


def amounts(space, samples):
    parts = np.array([[int(part) for part in sample.split(".")] for sample in samples])
    return {"euros": parts[:, 0], "cents": parts[:, 1]}


register_space(
    Money,
    to_data=lambda space: {"limit": space.limit},
    from_data=lambda data: Money(**data),
    batch=amounts,
)
register_space(
    RGBImage,
    to_data=lambda space: {"side": space.side},
    from_data=lambda data: RGBImage(data["side"]),
)


def test_a_registered_class_has_a_kind_and_survives_json():
    assert facts(Money(3)).kind == "money"
    assert kind(RGBImage(8)) == "rgb_image"
    assert space_from_data(json.loads(json.dumps(space_to_data(Money(3))))) == Money(3)
    assert space_from_data(space_to_data(RGBImage(8))).side == 8
    require_usable(spaces.Dict(a=Money(3)), "observation")


def test_a_registered_class_is_batched_anywhere():
    space = spaces.Dict(a=Money(9), b=spaces.Sequence(Money(9)), c=spaces.OneOf([POINT, Money(9)]))
    samples = [{"a": "3.50", "b": ("1.20", "4.00"), "c": (0, np.ones(2))}]
    batched = batch(space, samples)
    assert lists(batched) == {
        "a": {"euros": [3], "cents": [50]},
        "b": {"values": {"euros": [[1, 4]], "cents": [[20, 0]]}, "lengths": [2]},
        "c": {"branch": [0], "values": ([[1, 1]], {"euros": [0], "cents": [0]})},
    }
    returned = as_vector_environments_do(space, samples)
    assert_same(canonical(space, returned), batched)
    assert_same(canonical(space, batched), batched)
    assert_same(canonical(Money(9), "3.50"), {"euros": np.array(3), "cents": np.array(50)})
    assert misfit(space, batched) is None
    assert misfit(space, returned) is None
    assert map_structure(np.shape, zeros(Money(9), (2, 3))) == {"euros": (2, 3), "cents": (2, 3)}


def test_what_is_not_of_a_registered_class_is_told():
    assert "the observation[0] cannot be batched as Money: ValueError" in misfit(Money(3), ("x",))
    assert "not nested as a batch of Money" in misfit(Money(3), {"euros": np.zeros(2)})
    wrong = {"euros": np.zeros(2), "cents": np.array("a")}
    assert "the observation['cents'] is of <U1" in misfit(Money(3), wrong)


def test_a_registered_subclass_is_batched_as_its_base():
    image = RGBImage(8)
    assert not is_ragged(image)
    assert batch(image, [image.sample()]).shape == (1, 8, 8, 3)


def test_what_is_of_a_class_that_nobody_registered_is_not_judged():
    assert misfit(Unregistered(), np.zeros(3)) is None
    assert misfit(spaces.Dict(a=Unregistered()), {"a": (1, 2)}) is None


def test_a_rule_gives_a_registered_class_an_encoder_of_ones_own():
    class PurseConfig(EncoderConfig):
        type: Literal["purse"] = "purse"

        def refusal(self, space):
            return None if isinstance(space, Money) else "`purse` takes money"

        def out_dim(self, space):
            return 2

        def build(self, space):
            return Purse()

    class Purse(torch.nn.Module):
        def forward(self, obs):
            return torch.stack([obs["euros"], obs["cents"]], -1).float()

    rule = {"when": {"kind": "money"}, "use": {"type": "purse"}, "why": "it is money"}
    action = {"when": {"kind": "discrete"}, "use": {"type": "categorical"}, "why": "usual"}
    catalog = Catalog({"observation": {"mine": rule}, "action": {"discrete": action}})
    blueprint = compose(Money(9), spaces.Discrete(3), catalog=catalog)
    module = Blueprint.from_json(blueprint.to_json()).build(seed=0)
    assert module.act(("3.50", "1.20")).dist_inputs.shape == (2, 3)
    assert module.act("3.50").dist_inputs.shape == (3,)
    with pytest.raises(ModuleError, match=r"the observation\[1\] cannot be batched as Money"):
        module.act(("3.50", "x"))


@pytest.mark.parametrize(
    "use",
    [
        space_to_data,
        lambda space: batch(space, [1]),
        lambda space: canonical(spaces.Dict(a=space), {"a": (1, 2)}),
        lambda space: zeros(space, (2,)),
    ],
)
def test_a_class_that_nobody_registered_is_refused_with_the_call_that_would(use):
    call = r"composer.spaces.register_space\(Unregistered, to_data=…, from_data=…, batch=…\)"
    with pytest.raises(CompositionError, match=call):
        use(Unregistered())


def test_registering_what_cannot_be_is_refused():
    Box = type("Box", (gym.Space,), {})
    nothing = {"to_data": dict, "from_data": dict}
    with pytest.raises(CompositionError, match="has the name of that of gymnasium"):
        register_space(Box, **nothing, batch=amounts)
    with pytest.raises(CompositionError, match="give `batch` as well"):
        register_space(Unregistered, **nothing)
    with pytest.raises(CompositionError, match="leave out `batch`"):
        register_space(RGBImage, **nothing, batch=amounts)


def test_a_class_defined_anew_may_be_registered_again():
    for _ in range(2):
        Coin = type("Coin", (gym.Space,), {"__module__": __name__})
        register_space(Coin, to_data=vars, from_data=lambda _, cls=Coin: cls(), batch=amounts)
    assert type(space_from_data({"space": "Coin"})) is Coin
