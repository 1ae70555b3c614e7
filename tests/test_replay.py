import json

import numpy as np
import pytest
import torch
from experiments import Probe
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.columns import Columns
from composer.errors import CheckpointError, TrainingError
from composer.executors import make_executor
from composer.module.step import Step
from composer.replay_config import PrioritisedConfig, ReplayConfig
from composer.spaces import batch, leaves
from composer.testing import Counter
from composer.training.collector import Collector
from composer.training.replay import Priorities, Replay, Sequences, SumTree

NUMBER = spaces.Box(0, np.inf, (1,), np.float64)
GAMMA = 0.5


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def replay_of(capacity, num_envs=1, space=NUMBER, **options):
    return Replay(space, num_envs, capacity, gamma=GAMMA, **options)


def put(replay, obs, reward=0.0, end="", counted=True, is_first=False, action=0, mask=None):
    """One step of one environment."""
    replay.write_observation(0, obs, np.array([is_first]))
    replay.write_action(0, Step(torch.tensor([action]), None), mask)
    flags = ([end == "terminated"], [end == "truncated"], [counted])
    replay.write_outcome(0, np.array([reward]), *map(np.array, flags))


def numbered(replay, steps, first=0):
    """Steps in an episode without end: the observation is the step's number, the reward too."""
    for number in range(first, first + steps):
        put(replay, np.full((1, 1), float(number)), number)


def transitions(replay, size=300, **options):
    """What can be drawn, by its observation: (reward, terminated, discount, next observation)."""
    columns = replay.sample(size, stream(), **options)
    rows = zip(
        *(
            columns[name].reshape(size).tolist()
            for name in ("obs", "rewards", "terminateds", "discounts", "next_obs")
        ),
        strict=True,
    )
    return {row[0]: row[1:] for row in rows}


def test_a_return_sums_n_rewards_and_bootstraps_from_what_followed_them():
    replay = replay_of(20, n_step=3)
    numbered(replay, 6)
    assert transitions(replay) == {
        0.0: (0 + 1 / 2 + 2 / 4, False, 1 / 8, 3.0),
        1.0: (1 + 2 / 2 + 3 / 4, False, 1 / 8, 4.0),
        2.0: (2 + 3 / 2 + 4 / 4, False, 1 / 8, 5.0),
    }
    assert len(replay) == 3


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_a_return_stops_at_an_end_and_bootstraps_from_the_final_observation(end):
    replay = replay_of(20, n_step=3)
    put(replay, [[10.0]], 1.0, is_first=True)
    put(replay, [[11.0]], 2.0, end=end)
    put(replay, [[12.0]], 0.0, counted=False)  # the final observation, seen at a dummy step
    for number in (20.0, 21.0, 22.0, 23.0):
        put(replay, [[number]], 4.0, is_first=number == 20)
    over = end == "terminated"
    assert transitions(replay) == {
        10.0: (1 + 2 / 2, over, 1 / 4, 12.0),
        11.0: (2.0, over, 1 / 2, 12.0),
        20.0: (4 + 4 / 2 + 4 / 4, False, 1 / 8, 23.0),
    }


def test_a_step_is_not_sampled_before_its_successor_is_whole():
    replay = replay_of(20)
    numbered(replay, 1)
    replay.write_observation(0, np.ones((1, 1)), np.zeros(1, np.bool_))
    assert len(replay) == 0
    with pytest.raises(ValueError, match="holds no whole transition yet"):
        replay.sample(1, stream())
    numbered(replay, 1, first=1)
    assert transitions(replay) == {0.0: (0.0, False, 1 / 2, 1.0)}


@pytest.mark.parametrize("n_step", [1, 2, 3])
def test_returns_go_round_the_end_of_the_ring_and_never_over_its_write_head(n_step):
    replay = replay_of(7, n_step=n_step)
    for newest in range(40):
        numbered(replay, 1, first=newest)
        replay.write_observation(0, np.full((1, 1), -1.0), np.zeros(1, np.bool_))
        oldest = max(0, newest - 5)
        expected = range(oldest, newest - n_step + 1)
        assert len(replay) == len(expected)
        if expected:
            assert transitions(replay) == {
                number: (
                    sum((number + k) * GAMMA**k for k in range(n_step)),
                    False,
                    GAMMA**n_step,
                    number + n_step,
                )
                for number in expected
            }


def test_an_episode_that_a_restart_cuts_off_is_truncated_before_the_reset():
    replay = replay_of(20, n_step=2)
    numbered(replay, 3)
    for number in (50.0, 51.0, 52.0):
        put(replay, [[number]], 8.0, is_first=number == 50)
    assert transitions(replay) == {
        0.0: (0 + 1 / 2, False, 1 / 4, 2.0),
        1.0: (1.0, False, 1 / 2, 2.0),
        50.0: (8 + 8 / 2, False, 1 / 4, 52.0),
    }


def test_masks_come_with_the_step_and_with_its_successor_and_were_free_before_the_first():
    replay = replay_of(20)
    put(replay, [[0.0]])
    for number, mask in [(1.0, [1, 0]), (2.0, [0, 1])]:
        put(replay, [[number]], mask=np.array([mask], np.bool_))
    columns = replay.sample(50, stream())
    masks = {0: [True, True], 1: [True, False], 2: [False, True]}
    for column, obs in (
        (Columns.ACTION_MASK, Columns.OBS),
        (Columns.NEXT_ACTION_MASK, Columns.NEXT_OBS),
    ):
        assert columns[column].tolist() == [masks[int(x)] for x in columns[obs]]


def test_a_step_without_a_mask_is_free_where_another_had_one_before():
    replay = replay_of(3)
    for mask in [np.array([[False, True]])] * 3 + [None] * 3:
        put(replay, [[0.0]], mask=mask)
    assert replay.sample(1, stream())[Columns.ACTION_MASK].tolist() == [[True, True]]


class Numbered(Counter):
    """Counts on in one episode after the other: no number is seen twice, and 1000 is an episode."""

    episode = 0

    def reset(self, **options):
        self.episode += 1
        obs, info = super().reset(**options)
        return obs + 1000 * self.episode, info

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs + 1000 * self.episode, reward, *rest


ENDS = st.sampled_from(["terminated", "truncated"])


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 6), ENDS), min_size=1, max_size=3),
    row=st.integers(2, 30),
    n_step=st.integers(1, 4),
    chunks=st.lists(st.integers(1, 25), min_size=1, max_size=4),
    preferred=st.booleans(),
    restart=st.booleans(),
)
def test_every_transition_is_one_that_happened(lengths, row, n_step, chunks, preferred, restart):
    envs = SyncVectorEnv([lambda of=of: Numbered(*of) for of in lengths])
    prioritised = PrioritisedConfig() if preferred else None
    capacity = len(lengths) * (row + n_step)
    replay = replay_of(capacity, len(lengths), n_step=n_step, prioritised=prioritised)
    space, actions = envs.single_observation_space, envs.single_action_space
    collector = Collector(envs, make_executor(Probe(space, actions)), None, stream())
    collector.restart(0)
    for chunk in chunks:
        if restart:
            collector.restart(0)
        replay.steps = chunk
        collector.collect(replay)
        assert len(replay) == replay._number(*replay.open)
        if not len(replay):
            continue
        columns = replay.sample(64, stream())
        envs_of = columns[Columns.INDICES].numpy() // replay.ring.length
        names = ("obs", "next_obs", "rewards", "discounts", "terminateds")
        for row_of, *values in zip(
            envs_of, *(columns[name].reshape(-1).tolist() for name in names), strict=True
        ):
            seen, following, reward, discount, terminated = values
            length, end = lengths[row_of]
            taken = int(following - seen)
            first = int(seen % 1000)  # the rewards that follow are first + 1, first + 2, …
            assert following // 1000 == seen // 1000  # of the same episode, so never a reset's
            assert 1 <= taken <= n_step
            over = following % 1000 == length
            assert terminated == (over and end == "terminated")
            assert over or restart or taken == n_step
            assert discount == GAMMA**taken
            assert reward == sum(GAMMA**k * (first + 1 + k) for k in range(taken))


def test_every_step_that_counts_is_equally_likely():
    replay = replay_of(40)
    numbered(replay, 4)
    put(replay, [[4.0]], counted=False)
    numbered(replay, 4, first=5)
    counts = torch.bincount(replay.sample(70_000, stream())[Columns.INDICES], minlength=9)
    assert counts[4] == counts[8] == 0
    drawn = counts[[0, 1, 2, 3, 5, 6, 7]].double() / 70_000
    assert torch.allclose(drawn, torch.full((7,), 1 / 7).double(), atol=0.006)


@given(st.lists(st.floats(0, 10).map(lambda x: round(x, 3)), min_size=1, max_size=40), st.data())
def test_a_sum_tree_finds_what_cumulative_sums_find(values, data):
    tree, values = SumTree(len(values)), np.array(values)
    tree.set(np.arange(len(values)), values)
    changed = np.array(data.draw(st.lists(st.integers(0, len(values) - 1))), np.int64)
    values[changed] = 1.0 + changed
    tree.set(changed, 1.0 + changed)
    whole = SumTree(len(values))
    whole.set_all(values)
    assert np.array_equal(tree.nodes, whole.nodes)
    assert tree.total == pytest.approx(values.sum())
    if tree.total:
        amounts = np.linspace(0, 1, 33, endpoint=False) * tree.total
        found = tree.find(amounts)
        sums = np.cumsum(values)
        assert (values[found] > 0).all()
        assert (sums[found] >= amounts - 1e-9).all()
        assert ((sums - values)[found] <= amounts + 1e-9).all()


def test_priorities_are_how_often_a_step_is_drawn_and_weights_make_up_for_it():
    priorities = Priorities(5, alpha=0.5, beta=0.4, eps=1e-9)
    priorities.enter(np.arange(4), np.array([True, True, True, False]))
    priorities.update(np.array([0, 1, 2]), np.array([1.0, -4.0, 9.0]))
    slots, weights = priorities.draw(60_000, stream(), progress=0.5)
    share = np.bincount(slots, minlength=5) / 60_000
    assert share == pytest.approx(np.array([1, 2, 3, 0, 0]) / 6, abs=1e-3)
    # (n P)^-beta over the largest, that of the least likely; beta is 0.7 half-way.
    assert weights == pytest.approx(np.array([1.0, 2**-0.7, 3**-0.7])[slots], rel=1e-5)


def test_a_new_step_has_the_highest_priority_and_one_that_was_overwritten_none():
    replay = replay_of(6, prioritised=PrioritisedConfig(alpha=1.0, eps=1e-9))
    numbered(replay, 4)  # 0, 1 and 2 can be sampled
    first = replay.sample(4, stream())
    replay.update_priorities(first[Columns.INDICES], torch.full((4,), 5.0))
    replay.update_priorities(torch.tensor([0, 1, 2]), torch.tensor([0.25, 0.5, 0.25]))
    numbered(replay, 2, first=4)
    replay.sample(4, stream())
    assert replay.priorities.tree.values == pytest.approx([0, 0.5, 0.25, 5, 5, 0])
    replay.update_priorities(torch.tensor([0]), torch.tensor([3.0]))
    assert replay.priorities.tree.values[0] == 0


def test_uniform_weights_are_one_and_errors_change_nothing():
    replay = replay_of(10)
    numbered(replay, 5)
    columns = replay.sample(8, stream())
    replay.update_priorities(columns[Columns.INDICES], torch.rand(8))
    assert columns[Columns.WEIGHTS].tolist() == [1.0] * 8
    assert columns[Columns.INDICES].dtype == torch.int64


def test_an_error_that_is_not_finite_is_refused():
    priorities = Priorities(2, alpha=0.6, beta=0.4, eps=1e-6)
    with pytest.raises(TrainingError, match="is not finite"):
        priorities.update(np.array([0]), np.array([np.nan]))


NESTED = spaces.Dict(
    image=spaces.Box(0, 255, (2, 2, 1), np.uint8),
    word=spaces.Text(9, charset="ab"),
    pair=spaces.Tuple([spaces.Discrete(99), spaces.Sequence(spaces.Discrete(9))]),
)


def sample_of(number):
    return {
        "image": np.full((2, 2, 1), number, np.uint8),
        "word": "ab" * (number % 4 + 1),
        "pair": (np.int64(number), tuple([number % 9] * (number % 5))),
    }


def nested_replay(steps=12, **options):
    replay = replay_of(10, space=NESTED, **options)
    for number in range(steps):
        put(replay, batch(NESTED, [sample_of(number)]), number, action=number)
    return replay


def test_nested_and_ragged_observations_come_back_nested_and_whole():
    columns = nested_replay().sample(40, stream())
    assert columns[Columns.OBS]["image"].dtype == torch.uint8
    numbers = columns[Columns.ACTIONS].tolist()
    for column, ahead in ((Columns.OBS, 0), (Columns.NEXT_OBS, 1)):
        for i, number in enumerate(numbers):
            alone = batch(NESTED, [sample_of(number + ahead)])
            for leaf, part in zip(leaves(columns[column]), leaves(alone), strict=True):
                inside = tuple(map(slice, part.shape[1:]))
                assert leaf[i][inside].tolist() == part[0].tolist()
                assert leaf[i].sum() == part.sum()


def test_images_are_stored_once_at_one_byte_a_pixel():
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    replay = replay_of(100, space=space)
    put(replay, np.zeros((1, *space.shape), np.uint8))
    held = [*leaves(tuple(replay.ring.storage.arrays.values())), replay.ring.outcomes]
    raw = 100 * (4 * 84 * 84 + 8 + 4 + 3)  # observation, action, reward, three flags
    assert sum(array.nbytes for array in held) <= 1.05 * raw


@pytest.mark.parametrize("prioritised", [None, PrioritisedConfig()])
@pytest.mark.parametrize("steps", [4, 12])
def test_a_replay_goes_on_from_its_state_with_the_same_batches(prioritised, steps):
    one = nested_replay(steps, prioritised=prioritised, n_step=2)
    two = nested_replay(0, prioritised=prioritised, n_step=2)
    drawn = one.sample(5, stream())
    one.update_priorities(drawn[Columns.INDICES], torch.arange(5.0))
    tensors = {name: tensor.clone() for name, tensor in one.get_tensors().items()}
    two.set_state(tensors, json.loads(json.dumps(one.get_numbers())))
    for number in range(20, 24):
        for replay in (one, two):
            put(replay, batch(NESTED, [sample_of(number)]), number)
        batches = [replay.sample(9, stream(1), progress=0.5) for replay in (one, two)]
        for left, right in zip(*map(leaves, batches), strict=True):
            assert left.dtype == right.dtype
            assert torch.equal(left, right)
        for replay, columns in zip((one, two), batches, strict=True):
            replay.update_priorities(columns[Columns.INDICES], torch.arange(9.0))


def test_a_replay_that_was_uniform_can_go_on_by_priority():
    one, two = replay_of(10), replay_of(10, prioritised=PrioritisedConfig())
    numbered(one, 25)
    two.set_state(one.get_tensors(), one.get_numbers())
    assert transitions(one) == transitions(two)


def test_the_state_of_other_rows_is_refused():
    one, two = replay_of(10), replay_of(12)
    numbered(one, 3)
    with pytest.raises(CheckpointError, match="1 environments × 10 steps, not for 1 × 12"):
        two.set_state(one.get_tensors(), one.get_numbers())


def test_a_replay_that_holds_no_batch_or_no_return_is_refused_with_a_line_that_is_not():
    problems = ReplayConfig(capacity=32).problems(num_envs=8, batch_size=64, n_step=3)
    assert [problem.message for problem in problems] == [
        "a replay of 32 steps is smaller than a batch of 64",
        "8 environments share the replay: of each it keeps 4 steps, and returns of 3 steps need 5",
    ]
    assert {problem.fix for problem in problems} == {"algorithm.replay.capacity=64"}
    assert ReplayConfig(capacity=64).problems(8, 64, 3) == []
    with pytest.raises(ValueError, match="too short"):
        replay_of(32, num_envs=8, n_step=3)
    assert replay_of(40, num_envs=8, n_step=3).ring.length == 5


def test_returns_longer_than_what_is_kept_are_blamed_with_both_ways_out():
    (problem,) = ReplayConfig(capacity=1000).problems(num_envs=8, batch_size=32, n_step=200)
    assert (problem.path, problem.value) == ("algorithm.n_step", 200)
    assert problem.message == (
        "8 environments share the replay: of each it keeps 125 steps, and returns of 200 steps "
        "need 202; shorten them, or keep more by algorithm.replay.capacity=1616"
    )
    assert problem.fix == "algorithm.n_step=123"
    assert ReplayConfig(capacity=1000).problems(8, 32, 123) == []
    assert ReplayConfig(capacity=1616).problems(8, 32, 200) == []
    assert replay_of(1000, num_envs=8, n_step=123).ring.length == 125


def test_a_replay_too_small_for_any_return_is_to_be_larger():
    (problem,) = ReplayConfig(capacity=16).problems(num_envs=8, batch_size=8, n_step=3)
    assert problem.fix == "algorithm.replay.capacity=40"
    assert ReplayConfig(capacity=40).problems(8, 8, 3) == []


def test_a_capacity_may_be_written_as_a_float():
    assert ReplayConfig.parse({"capacity": 1e6}).capacity == 1_000_000


def test_the_latest_observations_are_those_of_the_last_steps():
    replay = replay_of(8, space=NUMBER)
    numbered(replay, 11)
    assert sorted(replay.latest(3).ravel().tolist()) == [8.0, 9.0, 10.0]


def test_a_dummy_step_is_none_of_the_latest():
    replay = replay_of(8)
    put(replay, [[1.0]], end="terminated")
    put(replay, [[2.0]], counted=False)
    put(replay, [[3.0]], is_first=True)
    assert replay.latest(3).ravel().tolist() == [1.0, 3.0]


def column(batch, name):
    return batch[name].reshape(len(batch[name]), -1).tolist()


def test_a_sequence_has_its_burn_in_before_it_and_its_bootstraps_behind_it():
    replay = replay_of(20, n_step=2, sequences=Sequences(3, burn_in=2))
    numbered(replay, 10)
    batch = replay.sample(40, stream())
    assert {row[0] for row in column(batch, "obs")} == {0.0, 3.0}  # at each third step
    assert len(replay) == 2
    one = [row[0] for row in column(batch, "obs")].index(3.0)
    assert column(batch, "obs")[one] == [3, 4, 5, 6, 7, 8, 9]  # T + n
    assert column(batch, "loss_mask")[one] == [False, False, True, True, True]
    assert column(batch, "rewards")[one] == [t + GAMMA * (t + 1) for t in range(3, 8)]
    assert column(batch, "next_index")[one] == [2, 3, 4, 5, 6]
    assert column(batch, "discounts")[one] == [GAMMA**2] * 5
    assert batch["indices"][one] == 3


def test_a_sequence_says_where_episodes_begin_and_learns_nothing_from_the_steps_between():
    replay = replay_of(20, n_step=2, sequences=Sequences(4))
    put(replay, [[10.0]], 1.0, is_first=True)
    put(replay, [[11.0]], 2.0, end="terminated")
    put(replay, [[12.0]], 0.0, counted=False)
    for number in (20.0, 21.0, 22.0):
        put(replay, [[number]], 4.0, is_first=number == 20)
    batch = replay.sample(1, stream())
    assert column(batch, "obs") == [[10, 11, 12, 20, 21, 22]]
    assert column(batch, "is_first") == [[True, False, False, True, False, False]]
    assert column(batch, "loss_mask") == [[True, True, False, True]]
    kept = batch["loss_mask"][0]
    assert batch["next_index"][0][kept].tolist() == [2, 2, 5]
    assert batch["terminateds"][0][kept].tolist() == [True, True, False]
    assert batch["rewards"][0][kept].tolist() == [1 + 2 / 2, 2, 4 + 4 / 2]


@given(
    row=st.integers(12, 16),
    steps=st.integers(12, 40),
    sequence=st.builds(Sequences, st.integers(1, 3), st.integers(0, 2)),
    n_step=st.integers(1, 3),
    preferred=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_every_sequence_is_one_that_happened(row, steps, sequence, n_step, preferred):
    prioritised = PrioritisedConfig() if preferred else None
    replay = replay_of(row, n_step=n_step, prioritised=prioritised, sequences=sequence)
    numbered(replay, steps)
    batch = replay.sample(400, stream())
    numbers = np.array(column(batch, "obs"))
    assert numbers.shape == (400, sequence.burn_in + sequence.length + n_step)
    assert (np.diff(numbers, axis=1) == 1).all()
    oldest = max(0, steps - row + 1)
    whole = range(oldest, steps - numbers.shape[1] + 1)
    begins = {t for t in whole if t % sequence.length == 0}
    assert len(replay) == len(begins)
    assert set(numbers[:, 0]) == begins
    assert (batch["indices"].numpy() % row == numbers[:, 0] % row).all()
    assert not batch["is_first"][numbers > 0].any()


def test_sequences_that_no_row_holds_are_refused():
    with pytest.raises(
        ValueError, match=r"rows of 12 steps .* returns of 3, in sequences of 2 \+ 4"
    ):
        replay_of(12, n_step=3, sequences=Sequences(4, burn_in=2))
    replay_of(13, n_step=3, sequences=Sequences(4, burn_in=2))
