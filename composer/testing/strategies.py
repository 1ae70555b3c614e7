"""Spaces as Hypothesis draws them: odd shapes, sizes of 1, rank 0, nested, every dtype.

    from hypothesis import given
    from composer.testing import check_encoder
    from composer.testing.strategies import accepted_by

    @given(accepted_by(MyEncoderConfig()))
    def test_my_encoder(space):
        check_encoder(MyEncoderConfig(), space)

They are small, so that a model for one is built in milliseconds, and shrink to the plainest space
of their kind.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from composer.distributions.base import DistributionConfig
from composer.encoders.base import EncoderConfig
from composer.errors import CompositionError

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "composer.testing.strategies needs Hypothesis: pip install 'rl-composer[testing]'",
        name=error.name,
    ) from None

Spaces = st.SearchStrategy[gym.Space]

FLOATS = (np.float32, np.float64, np.float16)
INTEGERS = tuple(
    np.dtype(f"{sign}int{bits}").type for bits in (64, 32, 16, 8) for sign in ("", "u")
)
FINITE = (-1.0, 1.0, 0.0, -0.1, 2.5, -30.0, 255.0, 6e4, -6e4)
"""Bounds that every float type can hold."""
CHARSETS = ("ab", "0123456789", "é名 \n", "x")
KEYS = ("a", "b", "image", "type", "0", "a.b", "a b", "é", "")
"""Of a Dict; some are no names, or mean something to torch."""
LARGE = 3000
"""Choices, more than are made one-hot."""


def shapes(rank: int | None = None) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of rank 0 to 4, or of one rank, a side of each being 1 to 3."""
    low, high = (0, 4) if rank is None else (rank, rank)
    return st.lists(st.integers(1, 3), min_size=low, max_size=high).map(tuple)


@st.composite
def float_boxes(
    draw: st.DrawFn, rank: int | None = None, bounded: bool | None = None
) -> spaces.Box:
    """A Box of floats, each component with bounds of its own.

    Args:
        draw: Hypothesis gives it.
        rank: By default 0 to 4.
        bounded: All bounds are finite, or at least one is not; by default either.
    """
    shape = draw(shapes(rank))
    lows, highs = [], []
    count = int(np.prod(shape))
    unbounded = -1 if bounded else draw(st.integers(0 if bounded is False else -1, count - 1))
    for component in range(count):
        low, high = sorted(draw(st.lists(st.sampled_from(FINITE), min_size=2, max_size=2)))
        if component == unbounded:
            without_low, without_high = draw(st.sampled_from([(1, 1), (1, 0), (0, 1)]))
            low, high = (-np.inf if without_low else low), (np.inf if without_high else high)
        lows.append(low)
        highs.append(high)
    low, high = (np.reshape(bound, shape) for bound in (lows, highs))
    dtype: Any = draw(st.sampled_from(FLOATS))
    return spaces.Box(low.astype(dtype), high.astype(dtype), shape, dtype)


@st.composite
def integer_boxes(draw: st.DrawFn, rank: int | None = None, most: int | None = None) -> spaces.Box:
    """A Box of integers or bools.

    Args:
        draw: Hypothesis gives it.
        rank: By default 0 to 4.
        most: Integers of a component; by default as many as the type has.
    """
    shape = draw(shapes(rank))
    dtype: Any = draw(st.sampled_from((*INTEGERS, np.bool_)))
    if not np.issubdtype(dtype, np.integer):
        return spaces.Box(0, 1, shape, dtype)
    ends = np.iinfo(dtype)
    if most is None and draw(st.booleans()):
        return spaces.Box(ends.min, ends.max, shape, dtype)
    small = [0, 2, -2] if ends.min else [0, 2]
    far = [ends.min, ends.max - 8] if ends.bits < 64 else []  # Gymnasium samples them as floats
    start = draw(st.sampled_from(small + far))
    widths = [draw(st.integers(0, min(8, (most or 9) - 1))) for _ in range(int(np.prod(shape)))]
    low = np.full(shape, start, dtype)
    return spaces.Box(low, low + np.reshape(widths, shape).astype(dtype), shape, dtype)


def boxes(rank: int | None = None) -> st.SearchStrategy[spaces.Box]:
    """Any Box that is no image."""
    return float_boxes(rank) | integer_boxes(rank)


def simplexes() -> st.SearchStrategy[spaces.Box]:
    """Shares between 0 and 1, two to four of them."""
    return st.integers(2, 4).map(lambda size: spaces.Box(0.0, 1.0, (size,), np.float32))


@st.composite
def images(draw: st.DrawFn, layout: str | None = None) -> spaces.Box:
    """A Box that is seen as an image, of bytes or of floats, by default in any layout."""
    layout = layout or draw(st.sampled_from(["hwc", "chw", "hw", "thwc", "tchw"]))
    is_bytes = draw(st.booleans())
    smallest = 16 if layout == "hw" and not is_bytes else 1
    sides = {axis: draw(st.integers(smallest, 24)) for axis in "hw"}
    sides |= {"c": draw(st.integers(1, min(4, *sides.values()))), "t": draw(st.integers(1, 3))}
    shape = tuple(sides[axis] for axis in layout)
    if is_bytes:
        return spaces.Box(0, 255, shape, np.uint8)
    low, high = draw(st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]))
    return spaces.Box(low, high, shape, np.float32)


starts = st.sampled_from([0, 1, -3, 10**6])
counts = st.integers(1, 5)


@st.composite
def discretes(draw: st.DrawFn, most: int = LARGE) -> spaces.Discrete:
    """A Discrete of 1 to 5 choices, or of many, counted from anywhere."""
    n = draw(counts | st.just(most))
    return spaces.Discrete(n, start=draw(starts), dtype=draw(st.sampled_from([np.int64, np.int32])))


@st.composite
def multi_discretes(draw: st.DrawFn, rank: int | None = None) -> spaces.MultiDiscrete:
    """A MultiDiscrete of rank 1 to 3, each component counted from a start of its own."""
    shape = draw(shapes(rank or draw(st.integers(1, 3))))
    size = int(np.prod(shape))
    nvec, start = (
        np.reshape(draw(st.lists(each, min_size=size, max_size=size)), shape)
        for each in (counts, starts)
    )
    return spaces.MultiDiscrete(
        nvec, start=start, dtype=draw(st.sampled_from([np.int64, np.int32]))
    )


def multi_binaries() -> st.SearchStrategy[spaces.MultiBinary]:
    """A MultiBinary of rank 1 to 3."""
    ranks = st.integers(1, 3).flatmap(shapes)
    return (st.integers(1, 4) | ranks).map(spaces.MultiBinary)


@st.composite
def texts(draw: st.DrawFn) -> spaces.Text:
    """A Text, which may be empty."""
    shortest = draw(st.integers(0, 2))
    longest = draw(st.integers(max(1, shortest), 5))
    charset = draw(st.sampled_from(CHARSETS))
    return spaces.Text(longest, min_length=shortest, charset=charset)


def graphs() -> st.SearchStrategy[spaces.Graph]:
    """A Graph, with or without edges."""
    nodes = boxes() | discretes()
    return st.builds(spaces.Graph, nodes, st.none() | nodes)


def sequences(elements: Spaces) -> st.SearchStrategy[spaces.Sequence]:
    """A Sequence, stacked or not."""
    return st.builds(spaces.Sequence, elements, stack=st.booleans())


def dicts(children: Spaces) -> st.SearchStrategy[spaces.Dict]:
    """A Dict of one to three keys."""
    keyed = st.dictionaries(st.sampled_from(KEYS), children, min_size=1, max_size=3)
    return keyed.map(lambda entries: spaces.Dict(list(entries.items())))


def tuples(children: Spaces) -> st.SearchStrategy[spaces.Tuple]:
    """A Tuple of one to three entries."""
    return st.lists(children, min_size=1, max_size=3).map(spaces.Tuple)


def one_ofs(children: Spaces) -> st.SearchStrategy[spaces.OneOf]:
    """A OneOf of one to three branches."""
    return st.lists(children, min_size=1, max_size=3).map(spaces.OneOf)


def plain_spaces() -> Spaces:
    """Box, Discrete, MultiDiscrete and MultiBinary."""
    return st.one_of(boxes(), discretes(), multi_discretes(), multi_binaries(), images())


def leaf_spaces() -> Spaces:
    """Everything that no space is inside of, and Graphs."""
    return plain_spaces() | texts() | graphs()


def observation_spaces(max_leaves: int = 5) -> Spaces:
    """Any space of Gymnasium's, nested to any depth, of about so many leaves at most."""
    return st.recursive(
        leaf_spaces(),
        lambda inner: dicts(inner) | tuples(inner) | sequences(inner) | one_ofs(inner),
        max_leaves=max_leaves,
    )


def action_leaves() -> Spaces:
    """Box, Discrete, MultiDiscrete and MultiBinary of few enough integers to act in."""
    return st.one_of(
        discretes(most=9),
        float_boxes(),
        multi_discretes(),
        multi_binaries(),
        integer_boxes(most=9),
    )


def action_spaces(max_leaves: int = 4) -> Spaces:
    """What can be acted in, nested to any depth: all but Text, Sequence and Graph."""
    return st.recursive(
        action_leaves(),
        lambda inner: dicts(inner) | tuples(inner) | one_ofs(inner),
        max_leaves=max_leaves,
    )


Kinds = Sequence[tuple[gym.Space, Spaces]]
"""Kinds of space, the plainest of each first."""


def action_kinds() -> Kinds:
    """Every kind of space that can be acted in."""
    real = spaces.Box(-1, 1, ())
    return [
        *((_box(rank), float_boxes(rank, bounded=True)) for rank in range(5)),
        *((_box(rank, -np.inf), float_boxes(rank, bounded=False)) for rank in range(5)),
        *((_box(rank, 0, np.int64), integer_boxes(rank, most=9)) for rank in range(5)),
        (spaces.Box(0, 1, (2,), np.float32), simplexes()),
        (spaces.Discrete(3), discretes(most=9)),
        (spaces.MultiDiscrete([3]), multi_discretes(1)),
        (spaces.MultiDiscrete(np.array([[3]])), multi_discretes()),
        (spaces.MultiBinary(3), multi_binaries()),
        (spaces.OneOf([real]), one_ofs(action_leaves())),
        (spaces.OneOf([spaces.Tuple([real])]), one_ofs(action_spaces(3))),
        (spaces.Dict(a=real), dicts(action_leaves())),
        (spaces.Dict(a=spaces.Tuple([real])), dicts(action_spaces(3))),
        (spaces.Tuple([real]), tuples(action_leaves())),
        (spaces.Tuple([spaces.Tuple([real])]), tuples(action_spaces(3))),
    ]


def observation_kinds() -> Kinds:
    """Every kind of space."""
    nested = spaces.Tuple([spaces.Discrete(2)])
    return [
        *((_box(rank), float_boxes(rank, bounded=True)) for rank in range(5)),
        *((_box(rank, -np.inf), float_boxes(rank, bounded=False)) for rank in range(5)),
        *((_box(rank, 0, np.int64), integer_boxes(rank)) for rank in range(5)),
        (spaces.Box(0, 255, (20, 20), np.uint8), images("hw")),
        (spaces.Box(0, 255, (20, 20, 3), np.uint8), images("hwc") | images("chw")),
        (spaces.Box(0, 255, (2, 20, 20, 3), np.uint8), images("thwc") | images("tchw")),
        (spaces.Discrete(3), discretes()),
        (spaces.MultiDiscrete([3]), multi_discretes(1)),
        (spaces.MultiDiscrete(np.array([[3]])), multi_discretes()),
        (spaces.MultiBinary(3), multi_binaries()),
        (spaces.Text(3), texts()),
        (spaces.Graph(_box(1), None), graphs()),
        (spaces.Sequence(spaces.Discrete(2)), sequences(leaf_spaces())),
        (spaces.Sequence(nested), sequences(observation_spaces(3))),
        (spaces.OneOf([spaces.Discrete(2)]), one_ofs(plain_spaces())),
        (spaces.OneOf([nested]), one_ofs(observation_spaces(3))),
        (spaces.Dict(a=spaces.Discrete(2)), dicts(plain_spaces())),
        (spaces.Dict(a=nested), dicts(observation_spaces(3))),
        (spaces.Tuple([spaces.Discrete(2)]), tuples(plain_spaces())),
        (spaces.Tuple([nested]), tuples(observation_spaces(3))),
    ]


def accepted_by(config: EncoderConfig | DistributionConfig, kinds: Kinds | None = None) -> Spaces:
    """Spaces of every kind that an encoder or a distribution takes.

    Args:
        config: Of the part.
        kinds: By default those of observations, or of actions.

    Raises:
        ValueError: If it takes none of the kinds.
    """
    usual = observation_kinds if isinstance(config, EncoderConfig) else action_kinds
    fitting = [drawn for plain, drawn in kinds or usual() if accepts(config, plain)]
    if not fitting:
        raise ValueError(f"`{config.type}` takes no space of the kinds that are generated")
    return st.one_of(fitting).filter(lambda space: accepts(config, space))


def accepts(config: EncoderConfig | DistributionConfig, space: gym.Space) -> bool:
    """Whether it does not refuse the space, neither at once nor when it is completed for it."""
    if config.refusal(space) is not None:
        return False
    try:
        config.resolve(space)
    except CompositionError:
        return False
    return True


def _box(rank: int, low: float = -1, dtype: type[Any] = np.float32) -> spaces.Box:
    return spaces.Box(low, 1, (2,) * rank, dtype)
