import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from composer.config import Config
from composer.errors import CompositionError
from composer.spaces import (
    SpaceField,
    batch,
    category_counts,
    child_spaces,
    describe,
    facts,
    flat_dim,
    image_layout,
    kind,
    leaves,
    map_structure,
    require_usable,
    space_from_data,
    space_to_data,
    to_tensors,
)

EVERY_KIND = [
    spaces.Box(-1, 1, (3,), np.float32),
    spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
    spaces.Box(np.array([-1.5, -np.inf, 0.1]), np.array([2.5, 0.0, np.inf]), dtype=np.float64),
    spaces.Box(np.float32(0.1), np.float32(0.7), (2,), np.float32),
    spaces.Box(0, 255, (8, 8, 3), np.uint8),
    spaces.Box(-np.inf, np.inf, (2,), np.int64),
    spaces.Box(-3, 3, (), np.float32),
    spaces.Box(-1, 1, (2,), np.float16),
    spaces.Discrete(5),
    spaces.Discrete(5, start=-2),
    spaces.Discrete(5, dtype=np.int32),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete(np.array([[2, 3], [4, 5]]), start=np.array([[1, 0], [-1, 2]])),
    spaces.MultiDiscrete([2, 3], dtype=np.int32),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 3]),
    spaces.Text(5, min_length=2, charset="abc"),
    spaces.Dict(b=spaces.Discrete(2), a=spaces.Dict(x=spaces.Box(0, 1, (1,)))),
    spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(2))),
    spaces.OneOf((spaces.Discrete(2), spaces.Box(0, 1, (2,)))),
    spaces.Sequence(spaces.Box(0, 1, (2,))),
    spaces.Sequence(spaces.Discrete(2), stack=True),
    spaces.Graph(spaces.Box(0, 1, (2,)), spaces.Discrete(3)),
    spaces.Graph(spaces.Box(0, 1, (2,)), None),
]


class Grid(gym.Space):
    pass


class Pixels(spaces.Box):
    """Not registered."""


# facts


@pytest.mark.parametrize(
    ("space", "name"),
    [
        (spaces.Box(0, 1), "box"),
        (spaces.Discrete(2), "discrete"),
        (spaces.MultiDiscrete([2]), "multi_discrete"),
        (spaces.MultiBinary(2), "multi_binary"),
        (spaces.Text(2), "text"),
        (spaces.Dict(a=spaces.Discrete(2)), "dict"),
        (spaces.Tuple([spaces.Discrete(2)]), "tuple"),
        (spaces.OneOf([spaces.Discrete(2)]), "oneof"),
        (spaces.Sequence(spaces.Discrete(2)), "sequence"),
        (spaces.Graph(spaces.Box(0, 1), None), "graph"),
        (Grid(), "grid"),
        (Pixels(0, 1), "box"),
    ],
)
def test_a_kind_is_the_class_in_lower_case(space, name):
    assert kind(space) == name


def test_facts_of_a_vector():
    about = facts(spaces.Box(-1, 1, (3,), np.float64), key="arm.position")
    assert (about.kind, about.rank, about.shape, about.size) == ("box", 1, (3,), 3)
    assert (about.dtype, about.bounded, about.key) == ("float64", True, "arm.position")
    assert (about.image, about.layout) == (False, None)


def test_a_scalar_box_has_rank_zero_and_one_element():
    about = facts(spaces.Box(-1, 1, ()))
    assert (about.rank, about.shape, about.size) == (0, (), 1)


@pytest.mark.parametrize(
    ("low", "high", "bounded"),
    [(-1, 1, True), (-np.inf, 1, False), (-1, np.inf, False), (-np.inf, np.inf, False)],
)
def test_bounded_means_both_bounds_are_finite(low, high, bounded):
    assert facts(spaces.Box(low, high, (2,))).bounded is bounded


def test_one_unbounded_component_makes_a_box_unbounded():
    box = spaces.Box(np.array([0.0, -np.inf]), np.array([1.0, 1.0]), dtype=np.float64)
    assert not facts(box).bounded


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((8, 8, 111), "hwc"), ((17, 19, 19), "chw"), ((9, 9, 9), "hwc"), ((17, 18, 20), None)],
)
def test_a_board_has_any_number_of_planes(shape, layout):
    assert image_layout(spaces.Box(0, 1, shape, np.bool_)) == layout


def test_a_composite_holds_the_image_that_lies_in_it_but_has_no_layout():
    image = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    about = facts(spaces.Dict(a=spaces.Tuple([image]), b=spaces.Discrete(2)))
    assert (about.image, about.layout) == (True, None)
    assert not facts(spaces.Dict(b=spaces.Discrete(2))).image


def test_a_composite_is_bounded_if_all_its_parts_are():
    bounded, unbounded = spaces.Box(0, 1), spaces.Box(0, np.inf)
    assert facts(spaces.Dict(a=bounded, b=bounded)).bounded
    assert not facts(spaces.Dict(a=bounded, b=spaces.Tuple([unbounded]))).bounded


def test_children_go_by_key_or_by_number():
    two, three = spaces.Discrete(2), spaces.Discrete(3)
    assert child_spaces(spaces.Dict(b=two, a=three)) == {"b": two, "a": three}
    assert child_spaces(spaces.Tuple([two, three])) == {"0": two, "1": three}
    assert child_spaces(spaces.OneOf([two, three])) == {"0": two, "1": three}
    assert child_spaces(spaces.Sequence(two)) is None
    assert child_spaces(two) is None


@pytest.mark.parametrize("space", EVERY_KIND, ids=describe)
def test_every_kind_has_facts(space):
    about = facts(space)
    assert about.kind == kind(space)
    assert about.size == flat_dim(space)
    assert about.rank is None or about.rank == len(about.shape)


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (spaces.Box(0, 1, (2, 3)), 6),
        (spaces.Discrete(5, start=3), 5),
        (spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])), 14),
        (spaces.MultiBinary([2, 3]), 6),
        (spaces.Text(3), 0),
        (spaces.Dict(a=spaces.Discrete(2), b=spaces.Tuple([spaces.Box(0, 1, (3,))])), 5),
        (spaces.Dict(a=spaces.Discrete(2), b=spaces.Text(3)), 0),
        (spaces.OneOf([spaces.Discrete(2)]), 0),
    ],
)
def test_size_is_elements_or_one_hot_width(space, size):
    assert flat_dim(space) == size


# images


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((84, 84, 4), "hwc"),
        ((84, 84, 1), "hwc"),
        ((4, 84, 84), "chw"),
        ((1, 84, 84), "chw"),
        ((16, 16, 16), "hwc"),  # a tie
        ((3, 84, 3), "hwc"),  # a tie
        ((84, 84, 16), "hwc"),
        ((84, 84, 17), None),
        ((17, 84, 84), None),
        ((3, 2, 3), None),  # no side is as short as the middle
        ((1, 1, 1), "hwc"),
        ((84, 84), "hw"),
        ((2, 3), "hw"),
        ((4, 84, 84, 3), "thwc"),
        ((4, 3, 84, 84), "tchw"),
        ((16, 84, 84, 1), "thwc"),
        ((17, 84, 84, 1), None),  # too many for frames
        ((4, 84, 84, 17), None),
        ((9,), None),
        ((2, 2, 8, 8, 3), None),
    ],
)
def test_channels_are_the_short_outer_axis(shape, layout):
    assert image_layout(spaces.Box(0, 255, shape, np.uint8)) == layout


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0.0, 1.0, (15, 84), np.float32),
        spaces.Box(-np.inf, np.inf, (84, 84), np.float32),
        spaces.Box(-np.inf, np.inf, (84, 84, 3), np.float32),
        spaces.Box(np.zeros((9, 9, 3)), np.arange(243.0).reshape(9, 9, 3) + 1, dtype=np.float64),
        spaces.Discrete(3),
    ],
    ids=describe,
)
def test_what_is_no_image(space):
    assert image_layout(space) is None


def test_a_float_image_of_one_range_is_an_image():
    assert image_layout(spaces.Box(0.0, 1.0, (84, 84, 3), np.float32)) == "hwc"
    assert image_layout(spaces.Box(-1.0, 1.0, (16, 84), np.float32)) == "hw"


def test_bytes_are_an_image_whatever_their_bounds():
    high = np.full((84, 84, 3), 255, np.uint8)
    high[0] = 7
    assert image_layout(spaces.Box(np.zeros_like(high), high, dtype=np.uint8)) == "hwc"


def test_huge_bounds_that_differ_are_no_image_and_no_overflow():
    low = np.full((9, 9, 3), -3e38, np.float32)
    low[0] = 3e38
    assert image_layout(spaces.Box(low, np.float32(3.1e38), dtype=np.float32)) is None


# refusals


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (3, "the action space is 3; it must be a gymnasium.Space"),
        (spaces.Dict({}), r"the action space Dict\(\) has no parts"),
        (spaces.Tuple(()), r"the action space Tuple\(\) has no parts"),
        (spaces.Box(0, 1, (0,)), r"the action space Box\(0,\) float32 has no elements"),
        (spaces.Dict(a=spaces.Tuple([spaces.Box(0, 1, (3, 0))])), r"Box\(3, 0\) float32 has no"),
        (spaces.Sequence(spaces.Box(0, 1, (0,))), r"Box\(0,\) float32 has no elements"),
        (spaces.OneOf([spaces.Dict({})]), r"Dict\(\) has no parts"),
        (spaces.Graph(spaces.Discrete(2), spaces.Box(0, 1, (0,))), r"Box\(0,\) float32 has no"),
        (spaces.Tuple([Grid()]), r"does not know the space class Grid: register it .* with compo"),
    ],
)
def test_a_space_that_no_model_can_take_is_refused(space, message):
    with pytest.raises(CompositionError, match=message):
        require_usable(space, "action")


@pytest.mark.parametrize("space", EVERY_KIND, ids=describe)
def test_every_other_space_is_usable(space):
    require_usable(space, "observation")


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (spaces.Box(0, 1, (2,)), "Box(2,) float32"),
        (spaces.Discrete(3, start=1), "Discrete(3, start=1)"),
        (spaces.Discrete(3), "Discrete(3)"),
        (spaces.MultiDiscrete([2, 3]), "MultiDiscrete([2, 3])"),
        (spaces.Dict(a=spaces.Tuple([spaces.Discrete(2)])), "Dict(a: Tuple(Discrete(2)))"),
        (spaces.Text(8), "Text(1..8, 62 characters)"),
        (spaces.Sequence(spaces.Discrete(2)), "Sequence(Discrete(2))"),
        (
            spaces.Sequence(spaces.Text(2), stack=True),
            "Sequence(Text(1..2, 62 characters), stacked)",
        ),
        (spaces.Graph(spaces.Discrete(2), None), "Graph(nodes: Discrete(2), edges: none)"),
        (spaces.OneOf([spaces.Discrete(2)]), "OneOf(Discrete(2))"),
        (Grid(), "Grid"),
    ],
)
def test_a_space_is_described_in_a_few_words(space, text):
    assert describe(space) == text


# JSON


@pytest.mark.parametrize("space", EVERY_KIND, ids=describe)
def test_a_space_survives_json(space):
    text = json.dumps(space_to_data(space), allow_nan=False)
    again = space_from_data(json.loads(text))
    assert type(again) is type(space)
    assert again == space
    assert again.dtype == space.dtype
    assert facts(again).shape == facts(space).shape


def test_a_dict_space_keeps_the_order_of_its_keys():
    space = spaces.Dict([("b", spaces.Discrete(2)), ("a", spaces.Discrete(3))])
    again = space_from_data(json.loads(json.dumps(space_to_data(space))))
    assert list(again.keys()) == list(space.keys())


def test_equal_bounds_are_written_once():
    data = space_to_data(spaces.Box(0, 255, (84, 84, 4), np.uint8))
    assert (data["low"], data["high"]) == (0, 255)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=4))
def test_float_bounds_survive_json_exactly(values):
    bounds = np.sort(np.array(values, np.float32))
    box = spaces.Box(np.minimum(bounds[0], np.float32(3e38)), np.inf, (2,), np.float32)
    again = space_from_data(json.loads(json.dumps(space_to_data(box))))
    np.testing.assert_array_equal(again.low, box.low)


def test_a_subclass_is_written_as_the_space_it_is_derived_from():
    data = json.loads(json.dumps(space_to_data(Pixels(0, 1, (2,)))))
    assert space_from_data(data) == spaces.Box(0, 1, (2,))


@pytest.mark.parametrize(
    "data",
    [None, [], "box", {}, {"space": "Grid"}, {"space": "Box"}, {"space": "Discrete", "n": 0}],
)
def test_data_that_is_no_space_is_refused(data):
    class Holder(Config):
        space: SpaceField

    with pytest.raises(ValidationError):
        Holder.model_validate({"space": data})


# batches


def test_a_batch_is_nested_as_its_space_is():
    space = spaces.Dict(
        image=spaces.Box(0, 255, (2, 2), np.uint8),
        pair=spaces.Tuple((spaces.Discrete(3, start=1, dtype=np.int32), spaces.MultiBinary(2))),
    )
    space.seed(0)
    samples = [space.sample() for _ in range(5)]
    batched = batch(space, samples)
    assert batched["image"].shape == (5, 2, 2)
    assert batched["image"].dtype == np.uint8
    assert isinstance(batched["pair"], tuple)
    assert batched["pair"][0].shape == (5,)
    assert batched["pair"][0].dtype == np.int32
    np.testing.assert_array_equal(batched["pair"][1][3], samples[3]["pair"][1])


def test_map_structure_keeps_the_structure():
    tree = {"a": 1, "b": (2, {"c": 3})}
    assert map_structure(lambda x, y: x + y, tree, tree) == {"a": 2, "b": (4, {"c": 6})}
    assert leaves(tree) == [1, 2, 3]
    with pytest.raises(ValueError, match="shorter"):
        map_structure(lambda x, y: x, (1, 2), (1,))


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int32, np.int64, np.float32, np.float64, np.bool_, np.float16]
)
def test_tensors_have_the_arrays_dtype_and_memory(dtype):
    array = np.zeros(3, dtype)
    tensor = to_tensors({"a": (array,)})["a"][0]
    assert str(tensor.dtype).removeprefix("torch.") == array.dtype.name
    array[0] = 1
    assert tensor[0] == 1


@pytest.mark.parametrize("scalar", [3, np.int64(3), np.array(3), torch.tensor(3)])
def test_a_single_number_is_a_tensor_without_axes(scalar):
    tensor = to_tensors(scalar)
    assert tensor.shape == ()
    assert tensor == 3


def test_flipped_and_read_only_arrays_are_copied():
    flipped = np.arange(3.0)[::-1]
    assert to_tensors(flipped).tolist() == [2, 1, 0]
    fixed = np.arange(3.0)
    fixed.flags.writeable = False
    tensor = to_tensors(fixed)
    tensor[0] = 9
    assert fixed[0] == 0


@pytest.mark.parametrize(
    ("space", "counts"),
    [
        (spaces.Discrete(4, start=3), (4,)),
        (spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 1], [1, 1]]), (2, 3, 4, 5)),
        (spaces.MultiBinary([2, 2]), (2, 2, 2, 2)),
        (spaces.Box(np.array([-2, 250]), np.array([1, 255]), dtype=np.int16), (4, 6)),
        (spaces.Box(-np.inf, np.inf, (), np.int64), (2**64,)),
        (spaces.Box(-1, 1, (2,)), ()),
    ],
)
def test_every_component_of_a_discrete_space_has_so_many_values(space, counts):
    assert category_counts(space) == counts
