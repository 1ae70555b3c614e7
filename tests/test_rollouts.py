import numpy as np
import pytest
import torch
from gymnasium import spaces

from composer.columns import Columns
from composer.module.step import Step
from composer.spaces import batch, leaves
from composer.training.rollouts import Rollout

NUM_ENVS, STEPS = 2, 3
CPU = torch.device("cpu")
NEVER = np.zeros(NUM_ENVS, np.bool_)


def step_of(value, **fields):
    return Step(actions=torch.full((NUM_ENVS,), value), env_actions=None, **fields)


@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        (spaces.Box(0, 255, (2, 2), np.uint8), torch.uint8),
        (spaces.Box(-1, 1, (2,), np.float64), torch.float64),
        (spaces.Discrete(3), torch.int64),
        (spaces.MultiDiscrete([2, 3]), torch.int64),
        (spaces.MultiBinary(3), torch.int8),
    ],
)
def test_observations_keep_the_dtype_of_their_space(space, dtype):
    rollout = Rollout(space, NUM_ENVS, STEPS)
    rollout.write_observation(0, np.stack([space.sample()] * NUM_ENVS), NEVER)
    obs = rollout.batch(CPU)[Columns.OBS]
    assert obs.dtype == dtype
    assert obs.shape == (NUM_ENVS, STEPS + 1, *space.shape)


def test_nested_observations_are_stored_nested():
    space = spaces.Dict(
        image=spaces.Box(0, 255, (2, 2, 1), np.uint8),
        body=spaces.Dict(speed=spaces.Box(-1, 1, (1,)), gear=spaces.Discrete(5)),
        pair=spaces.Tuple([spaces.Discrete(2), spaces.MultiBinary(2)]),
    )
    rollout = Rollout(space, NUM_ENVS, STEPS)
    for t in range(STEPS + 1):
        obs = {
            "image": np.full((NUM_ENVS, 2, 2, 1), 10 + t, np.uint8),
            "body": {
                "speed": np.full((NUM_ENVS, 1), 20 + t, np.float32),
                "gear": np.full(NUM_ENVS, 30 + t),
            },
            "pair": (np.full(NUM_ENVS, 40 + t), np.full((NUM_ENVS, 2), 50 + t, np.int8)),
        }
        rollout.write_observation(t, obs, NEVER)
    stored = rollout.batch(CPU)[Columns.OBS]
    assert stored["image"].dtype == torch.uint8
    assert stored["image"][1, :, 0, 0, 0].tolist() == [10, 11, 12, 13]
    assert stored["body"]["speed"][1, :, 0].tolist() == [20, 21, 22, 23]
    assert stored["body"]["gear"][1].tolist() == [30, 31, 32, 33]
    assert isinstance(stored["pair"], tuple)
    assert stored["pair"][0][1].tolist() == [40, 41, 42, 43]
    assert stored["pair"][1][1, :, 1].tolist() == [50, 51, 52, 53]


def test_a_column_exists_only_where_the_module_gives_it():
    rollout = Rollout(spaces.Discrete(2), NUM_ENVS, STEPS)
    rollout.write_action(0, step_of(1))
    dependent = {
        Columns.ACTIONS,
        Columns.ACTION_LOGP,
        Columns.ACTION_DIST_INPUTS,
        Columns.VF_PREDS,
        Columns.ACTION_MASK,
        Columns.STATE_IN,
    }
    assert set(rollout.batch(CPU)) & dependent == {Columns.ACTIONS}


def test_what_the_module_gives_is_stored_by_environment_and_time():
    rollout = Rollout(spaces.Discrete(2), NUM_ENVS, STEPS)
    for t in range(STEPS):
        number = torch.tensor([t, 10 + t])
        step = Step(
            actions=number,
            env_actions=None,
            log_prob=-number.float(),
            value=2 * number.double(),
            dist_inputs=torch.stack([number, number], -1).float(),
        )
        rollout.write_action(t, step)
    columns = rollout.batch(CPU)
    number = torch.tensor([[0, 1, 2], [10, 11, 12]])
    assert torch.equal(columns[Columns.ACTIONS], number)
    assert torch.equal(columns[Columns.ACTION_LOGP], -number.float())
    assert torch.equal(columns[Columns.VF_PREDS], 2 * number.double())
    assert torch.equal(columns[Columns.ACTION_DIST_INPUTS][..., 1], number.float())


def test_an_action_mask_is_stored_with_its_step():
    rollout = Rollout(spaces.Discrete(2), NUM_ENVS, STEPS)
    for t in range(STEPS):
        mask = np.zeros((NUM_ENVS, 3), np.int8)
        mask[:, t] = 1
        rollout.write_action(t, step_of(t), mask)
    mask = rollout.batch(CPU)[Columns.ACTION_MASK]
    assert mask.dtype == torch.int8
    assert torch.equal(mask[0], torch.eye(3, dtype=torch.int8))


def test_the_state_at_every_step_and_after_the_last_is_stored_detached():
    rollout = Rollout(spaces.Discrete(2), NUM_ENVS, STEPS)
    for t in range(STEPS + 1):
        hidden = torch.full((NUM_ENVS, 4), float(t), requires_grad=True)
        rollout.write_observation(t, np.zeros(NUM_ENVS), NEVER, {"lstm": {"hidden": hidden}})
    hidden = rollout.batch(CPU)[Columns.STATE_IN]["lstm"]["hidden"]
    assert hidden.shape == (NUM_ENVS, STEPS + 1, 4)
    assert hidden[0, :, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert not hidden.requires_grad


def test_outcomes_are_stored_by_environment_and_time():
    rollout = Rollout(spaces.Discrete(2), NUM_ENVS, STEPS)
    yes, no = np.array([True, False]), np.array([False, True])
    rollout.write_outcome(1, np.array([1.5, -2.5]), yes, no, no)
    columns = rollout.batch(CPU)
    assert columns[Columns.REWARDS].tolist() == [[0.0, 1.5, 0.0], [0.0, -2.5, 0.0]]
    assert columns[Columns.TERMINATEDS].tolist() == [[False, True, False], [False] * 3]
    assert columns[Columns.TRUNCATEDS].tolist() == [[False] * 3, [False, True, False]]
    assert columns[Columns.LOSS_MASK].tolist() == [[False] * 3, [False, True, False]]


def test_a_rollout_uses_its_memory_again():
    rollout = Rollout(spaces.Discrete(5), NUM_ENVS, STEPS)
    rollout.write_action(0, step_of(1))
    first = rollout.batch(CPU)[Columns.ACTIONS]
    rollout.write_action(0, step_of(2))
    assert first[:, 0].tolist() == [2, 2]


WORD = spaces.Dict(text=spaces.Text(9, charset="ab"), speed=spaces.Box(-1, 1, (1,)))


def said(*texts):
    return batch(WORD, [{"text": text, "speed": [0.5]} for text in texts])


def test_a_ragged_column_grows_with_the_longest_and_keeps_what_it_had():
    rollout = Rollout(WORD, NUM_ENVS, STEPS)
    for t, texts in enumerate([("b", "bb"), ("bbbb", "a"), ("ab", "b"), ("bbb", "b")]):
        rollout.write_observation(t, said(*texts), NEVER)
    text = rollout.batch(CPU)[Columns.OBS]["text"]
    assert text["lengths"].tolist() == [[1, 4, 2, 3], [2, 1, 1, 1]]
    assert text["values"].tolist() == [
        [[1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [1, 1, 1, 0]],
        [[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]],
    ]


def test_what_is_shorter_leaves_nothing_of_the_longer_one_it_overwrites():
    rollout = Rollout(WORD, NUM_ENVS, STEPS)
    rollout.write_observation(0, said("bbbb", "bbbb"), NEVER)
    first = rollout.batch(CPU)[Columns.OBS]["text"]["values"]
    rollout.write_observation(0, said("b", "bb"), NEVER)
    assert first[:, 0].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0]]  # in the same memory


def test_nested_raggedness_grows_along_every_axis():
    space = spaces.Tuple([spaces.Sequence(spaces.Text(9, charset="ab"))])
    rollout = Rollout(space, 1, 2)
    samples = [[(("b", "b"),)], [(("bbb",),)], [(("bb",) * 3,)]]
    for t, sample in enumerate(samples):
        rollout.write_observation(t, batch(space, sample), np.zeros(1, np.bool_))
    (stored,) = rollout.batch(CPU)[Columns.OBS]
    assert stored["values"]["values"].shape == (1, 3, 3, 3)
    for t, sample in enumerate(samples):
        (alone,) = batch(space, sample)
        for leaf, part in zip(leaves(stored), leaves(alone), strict=True):
            inside = tuple(map(slice, part.shape[1:]))
            assert leaf[0, t][inside].tolist() == part[0].tolist()
            assert leaf[0, t].sum() == part.sum()


def test_nested_actions_are_stored_nested():
    rollout = Rollout(spaces.Discrete(2), NUM_ENVS, STEPS)
    for t in range(STEPS):
        number = torch.full((NUM_ENVS,), t)
        actions = {"move": number, "say": ({"values": number[:, None].expand(-1, t + 1)},)}
        rollout.write_action(t, Step(actions, None))
    actions = rollout.batch(CPU)[Columns.ACTIONS]
    assert actions["move"][0].tolist() == [0, 1, 2]
    assert actions["say"][0]["values"][0].tolist() == [[0, 0, 0], [1, 1, 0], [2, 2, 2]]


@pytest.mark.parametrize(
    ("mask", "free"), [([[True, False]], [[True, True]]), ([[0, 2]], [[2, 2]])]
)
def test_steps_before_the_first_mask_were_free(mask, free):
    rollout = Rollout(spaces.Box(0, 1, (1,)), 1, 2)
    step = Step(torch.zeros(1), np.zeros(1))
    rollout.write_action(0, step)
    rollout.write_action(1, step, np.array(mask))
    assert rollout.arrays[Columns.ACTION_MASK].tolist() == [free + mask]
