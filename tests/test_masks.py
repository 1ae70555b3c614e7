import shlex

import gymnasium as gym
import numpy as np
import pytest
import torch
from experiments import Probe, driver_of, experiment, record_minibatches, trainer_of
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from composer import compose
from composer.columns import Columns
from composer.errors import CompositionError, EnvironmentFailure
from composer.executors import make_executor
from composer.experiment import Experiment
from composer.masks import allows_nothing, canonical_mask, free_mask, mask_key, mask_part
from composer.optimisers._schedule import Elapsed
from composer.spaces import leaves, map_structure
from composer.testing import MaskedBandit
from composer.training.evaluation import evaluate
from composer.training.masks import MaskReader

DIGITS = spaces.MultiDiscrete([2, 3], start=[5, 0])
GRID = spaces.MultiDiscrete([[2, 1], [1, 3]])
BITS = spaces.MultiBinary([2, 2])
REAL = spaces.Box(-1, 1, (2,))
BOTH = spaces.Dict(a=spaces.Discrete(2), b=spaces.Dict(c=DIGITS, d=REAL))
PAIR = spaces.Tuple([REAL, spaces.Discrete(3)])


def bits(*values):
    return np.array(values, np.int8)


def listed(mask):
    return map_structure(lambda leaf: leaf.tolist(), mask)


# forms

FORMS = [
    (spaces.Discrete(3, start=-1), bits(1, 0, 1), [True, False, True]),
    (spaces.Discrete(3), np.array([True, False, True]), [True, False, True]),
    (spaces.Box(0, 1, (2,), np.int64), bits(1, 0, 1, 1), [True, False, True, True]),
    (DIGITS, bits(1, 0, 0, 1, 1), [True, False, False, True, True]),
    (DIGITS, (bits(1, 0), bits(0, 1, 1)), [True, False, False, True, True]),
    (
        GRID,
        ((bits(1, 0), bits(1)), (bits(1), bits(0, 0, 1))),
        [True, False, True, True, False, False, True],
    ),
    (BITS, bits(0, 1, 2, 2).reshape(2, 2), [[0, 1], [2, 2]]),
    (
        BOTH,
        {"b": {"c": bits(1, 0, 0, 1, 1)}},
        {"a": [True, True], "b": {"c": [True, False, False, True, True], "d": ()}},
    ),
    (PAIR, (None, bits(0, 0, 1)), ((), [False, False, True])),
]


@pytest.mark.parametrize(("space", "given", "expected"), FORMS)
def test_a_mask_has_one_form_whatever_it_was_given_in(space, given, expected):
    assert listed(canonical_mask(space, given)) == expected
    canonical = canonical_mask(space, given)
    assert listed(canonical_mask(space, canonical)) == expected
    many = map_structure(
        lambda leaf: None if leaf is None else np.tile(leaf, (4, 5, *[1] * leaf.ndim)), given
    )
    for first in leaves(canonical_mask(space, many, (4, 5))):
        assert first.shape[:2] == (4, 5)
    one = map_structure(lambda leaf: leaf[3, 2], canonical_mask(space, many, (4, 5)))
    assert listed(one) == expected


@pytest.mark.parametrize("space", [space for space, *_ in FORMS])
def test_what_is_free_forbids_nothing(space):
    free = free_mask(space, (2,))
    assert not np.any(allows_nothing(space, free))
    assert listed(canonical_mask(space, None, (2,))) == listed(free)


@pytest.mark.parametrize(
    ("space", "given", "form"),
    [
        (spaces.Discrete(3), bits(1, 0), "Discrete(3) must be (3,) of 0 and 1, not (2,)"),
        (spaces.Discrete(3), np.array(["a"] * 3), "Discrete(3) must be (3,) of 0 and 1"),
        (DIGITS, (bits(1, 0), bits(1)), "MultiDiscrete([2, 3]) must be (5,) of 0 and 1"),
        (BITS, bits(1, 0, 1, 1), "must be (2, 2) of 0, 1 and 2 (free)"),
        (REAL, bits(1, 0), "must be left out: there is nothing to choose"),
        (BOTH, bits(1, 0), "must be a dict of {a: (2,) of 0 and 1, b: a dict of {c: (5,) of"),
        (BOTH, {"x": bits(1, 0)}, "must be a dict of {a: "),
        (PAIR, (bits(1, 0, 0),), "must be a tuple of (None, (3,) of 0 and 1)"),
    ],
)
def test_a_mask_of_another_form_is_refused_with_the_one_expected(space, given, form):
    with pytest.raises(ValueError, match="the action mask of") as caught:
        canonical_mask(space, given)
    assert form in str(caught.value)


@pytest.mark.parametrize(
    ("space", "mask", "stuck"),
    [
        (spaces.Discrete(2), [[1, 0], [0, 0]], [False, True]),
        (DIGITS, [[1, 0, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1]], [False, True, True]),
        (BITS, np.zeros((2, 2, 2), np.int8), False),
        (REAL, (), False),
        (BOTH, {"a": bits(0, 0)}, True),
        (PAIR, (None, bits(0, 0, 0)), True),
    ],
)
def test_a_component_without_a_choice_is_found(space, mask, stuck):
    given = np.array(mask, np.int8) if isinstance(mask, list) else mask
    lead = given.shape[:1] if isinstance(given, np.ndarray) else ()
    assert np.asarray(allows_nothing(space, canonical_mask(space, given, lead))).tolist() == stuck


def test_the_part_of_a_child_is_none_where_the_mask_says_nothing_of_it():
    mask = canonical_mask(BOTH, {"a": bits(1, 0)})
    assert mask_part(mask, "a").tolist() == [True, False]
    assert mask_part(mask["b"], "d") is None
    assert mask_part(None, "a") is None
    assert mask_part({}, "a") is None
    assert mask_part((None, 3), 0) is None


# the key of an observation

BYTE = spaces.Box(0, 1, (3,), np.int8)


@pytest.mark.parametrize(
    ("mask", "action"),
    [
        (BYTE, spaces.Discrete(3)),
        (spaces.MultiBinary(3), spaces.Discrete(3, start=2)),
        (spaces.MultiDiscrete([2, 2, 2]), spaces.Discrete(3)),
        (spaces.Box(0, 1, (3,), np.float32), spaces.Discrete(3)),
        (spaces.MultiBinary(5), DIGITS),
        (spaces.Tuple([spaces.MultiBinary(2), BYTE]), DIGITS),
        (spaces.Box(0, 2, (2, 2), np.int8), BITS),
        (spaces.MultiDiscrete([[3, 3], [3, 3]]), BITS),
        (spaces.Dict(a=spaces.MultiBinary(2)), BOTH),
        (spaces.Dict(b=spaces.Dict(c=spaces.MultiBinary(5))), BOTH),
        (spaces.Tuple([BYTE, BYTE]), spaces.Tuple([spaces.Discrete(3)] * 2)),
    ],
)
def test_a_key_that_fits_the_actions_is_their_mask(mask, action):
    observation = spaces.Dict(action_mask=mask, obs=REAL)
    assert mask_key(observation, action) == "action_mask"


def test_without_the_key_there_is_none():
    assert mask_key(REAL, spaces.Discrete(3)) is None
    assert mask_key(spaces.Dict(obs=REAL), spaces.Discrete(3)) is None
    nested = spaces.Dict(obs=spaces.Dict(action_mask=BYTE))
    assert mask_key(nested, spaces.Discrete(3)) is None


@pytest.mark.parametrize(
    ("mask", "action", "form"),
    [
        (BYTE, spaces.Discrete(4), "(4,) of 0 and 1"),
        (spaces.Box(0, 5, (4,), np.int8), spaces.Discrete(4), "(4,) of 0 and 1"),
        (spaces.Box(-1, 1, (4,)), spaces.Discrete(4), "(4,) of 0 and 1"),
        (spaces.MultiDiscrete([3, 3, 3]), spaces.Discrete(3), "(3,) of 0 and 1"),
        (spaces.Tuple([BYTE, BYTE]), DIGITS, "(5,) of 0 and 1"),
        (spaces.MultiBinary([2, 2]), BITS, "(2, 2) of 0, 1 and 2 (free)"),
        (BYTE, REAL, "left out: there is nothing to choose"),
        (spaces.Dict(x=BYTE), BOTH, "a dict of {a: (2,) of 0 and 1"),
        (BYTE, PAIR, "a tuple of (None, (3,) of 0 and 1)"),
    ],
)
def test_a_key_that_fits_no_action_is_an_error_with_the_form_expected_and_a_cure(
    mask, action, form
):
    observation = spaces.Dict(action_mask=mask, obs=REAL)
    with pytest.raises(CompositionError, match="which is no mask of the actions") as caught:
        compose(observation, action)
    assert f"their mask would be {form}" in str(caught.value)
    assert "try     env.wrappers=" in str(caught.value)


def test_the_cure_for_a_key_that_fits_no_action_cures():
    observation = MaskedBandit(where="key").observation_space
    with pytest.raises(CompositionError) as caught:
        mask_key(observation, spaces.Discrete(9))
    (cure,) = shlex.split(caught.value.problems[0].fix)
    words = ["env.id=composer.testing:MaskedBandit-v0", "env.kwargs.where=key", cure]
    observed, _ = Experiment.load(words).config.env.spaces()
    assert mask_key(observed, spaces.Discrete(9)) is None


# what a vector environment returns


class Masking(gym.Env):
    """Gives masks one after the other; None for none. The first comes with `reset`."""

    def __init__(self, action_space, masks):
        self.observation_space = spaces.Box(0, 9, (1,), np.float32)
        self.action_space = action_space
        self.masks = masks

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return np.zeros(1, np.float32), self.info()

    def step(self, action):
        self.count += 1
        over = self.count == len(self.masks) - 1
        return np.full(1, self.count, np.float32), 1.0, over, False, self.info()

    def info(self):
        mask = self.masks[self.count]
        return {} if mask is None else {"action_mask": mask}


def masks_read(action_space, *masks):
    """The masks of environments with one episode each, step by step, as lists."""
    envs = SyncVectorEnv([lambda each=each: Masking(action_space, each) for each in masks])
    read, count = MaskReader(envs), len(masks)
    obs, infos = envs.reset()
    ended, lengths = np.zeros(count, np.bool_), np.zeros(count, np.int64)
    read_masks = [read(obs, infos, ended, lengths)]
    actions = [action_space.sample()] * count
    actions = (
        np.array(actions)
        if action_space.shape is not None
        else gym.vector.utils.concatenate(
            action_space, actions, gym.vector.utils.create_empty_array(action_space, count)
        )
    )
    for _ in range(len(masks[0]) - 1):
        obs, _, terminated, _, infos = envs.step(actions)
        lengths += 1
        read_masks.append(read(obs, infos, terminated, lengths))
    return [None if mask is None else listed(mask) for mask in read_masks]


def test_every_environment_has_its_own_mask_and_the_first_comes_with_reset():
    assert masks_read(
        spaces.Discrete(2), [bits(1, 0), bits(0, 1), None], [bits(0, 1), None, None]
    ) == [
        [[True, False], [False, True]],
        [[False, True], [True, True]],
        [[True, True], [True, True]],
    ]


def test_before_the_first_mask_there_is_none():
    masks = masks_read(spaces.Discrete(2), [None, bits(0, 1), None])
    assert masks == [None, [[False, True]], [[True, True]]]


def test_gymnasiums_tuples_become_one_row():
    given = (bits(1, 0), bits(0, 1, 1))
    (mask, *_) = masks_read(DIGITS, [given, given], [None, None])
    assert mask == [[True, False, False, True, True], [True] * 5]


def test_a_nested_mask_may_leave_parts_out():
    (mask, *_) = masks_read(
        BOTH, [{"a": bits(1, 0)}] * 2, [{"b": {"c": bits(1, 0, 0, 1, 1)}}] * 2, [None, None]
    )
    assert mask == {
        "a": [[True, False], [True, True], [True, True]],
        "b": {"c": [[True] * 5, [True, False, False, True, True], [True] * 5], "d": ()},
    }
    assert masks_read(PAIR, [(None, bits(1, 0, 0))] * 2)[0] == ((), [[True, False, False]])


def test_the_mask_of_an_episode_that_is_over_counts_for_nothing():
    assert masks_read(spaces.Discrete(2), [bits(1, 0), bits(0, 0)])[1] == [[True, True]]


def test_a_mask_that_allows_nothing_names_the_environment_and_the_step():
    with pytest.raises(EnvironmentFailure) as caught:
        masks_read(spaces.Discrete(2), [bits(1, 0)] * 4, [bits(1, 0), bits(1, 1), bits(0, 0), None])
    assert "environment 1 of 2 (the first is 0) allows no action at all after 2 steps" in str(
        caught.value
    )


def test_a_mask_of_another_form_is_an_error_with_a_cure():
    with pytest.raises(
        EnvironmentFailure, match=r"must be \(2,\) of 0 and 1, not \(3,\)"
    ) as caught:
        masks_read(spaces.Discrete(2), [bits(1, 0, 1)] * 2)
    assert caught.value.problems[0].fix == "env.action_mask=none"


def test_a_vector_environment_may_give_masks_without_saying_for_whom():
    envs = SyncVectorEnv([lambda: Masking(spaces.Discrete(2), [None])] * 2)
    rows = np.array([[1, 0], [0, 1]])
    never, steps = np.zeros(2, np.bool_), np.zeros(2, np.int64)
    mask = MaskReader(envs)(None, {"action_mask": rows}, never, steps)
    assert mask.tolist() == rows.astype(bool).tolist()


# from the environment to the loss

INFO = {"id": "composer.testing:MaskedBandit-v0", "num_envs": 4}
KEY = INFO | {"kwargs": {"where": "key"}}
forms = pytest.mark.parametrize("env", [INFO, KEY], ids=["info", "key"])


class Prefers(Probe):
    """Prefers the later arms, the more the longer it has learnt."""

    def compute_values(self, batch, embeddings=None):
        return self.factor.expand(leaves(batch[Columns.OBS])[0].shape[0])


def driver_in(env, **algorithm):
    space = MaskedBandit(**env.get("kwargs", {})).observation_space
    wanted = experiment(env, algorithm={"num_minibatches": 1, "epochs": 1, **algorithm})
    torch.manual_seed(0)
    return driver_of(wanted, Prefers(space, spaces.Discrete(4)))


@forms
def test_only_what_is_allowed_is_done_learnt_from_and_measured(env):
    with driver_in(env, rollout_steps=64) as driver:
        seen = record_minibatches(driver.algorithm)
        driver.iterate(Elapsed())
        arrays = driver.rollout.arrays
    counted = arrays[Columns.LOSS_MASK]
    masks = arrays[Columns.ACTION_MASK]
    assert masks[counted].sum(-1).tolist() == [2] * counted.sum()
    assert masks[~counted].all()
    taken = np.take_along_axis(masks, arrays[Columns.ACTIONS][..., None], -1)
    assert taken.all()
    assert not arrays[Columns.REWARDS].min() < 0
    (batch,) = seen
    *_, entropy, kl, outside = batch["metrics"]
    assert outside == 0
    assert kl == 0
    assert entropy == pytest.approx(np.log(2))  # of the two arms that are left
    assert batch[Columns.ACTION_LOGP].tolist() == pytest.approx([-np.log(2)] * counted.sum())


@forms
def test_the_log_probs_that_were_stored_are_those_computed_again(env):
    with driver_in(env) as driver:
        torch.nn.init.normal_(driver.module.logits)
        driver.collector.collect(driver.rollout)
        batch = driver.rollout.batch(torch.device("cpu"))
        mask = batch[Columns.ACTION_MASK].flatten(0, 1)
        obs = map_structure(lambda leaf: leaf[:, :-1].flatten(0, 1), batch[Columns.OBS])
        out = driver.module.forward_train({Columns.OBS: obs})
        now = driver.module.action_distribution(out, "train", mask)
        again = now.log_prob(batch[Columns.ACTIONS].flatten())
    assert torch.equal(again.detach(), batch[Columns.ACTION_LOGP].flatten())


@forms
@pytest.mark.parametrize("deterministic", [True, False])
def test_an_evaluation_does_only_what_is_allowed(env, deterministic):
    wanted = experiment(env)
    with driver_in(env) as driver:
        envs = wanted.config.env.make()
        with torch.no_grad():
            driver.module.logits += torch.arange(4) * 100.0
        result = evaluate(
            make_executor(driver.module), envs, 20, seed=0, deterministic=deterministic
        )
        envs.close()
    assert result.returns == pytest.approx([1.0] * 20)


@forms
def test_ppo_learns_what_only_a_mask_makes_possible(env):
    with driver_in(env, rollout_steps=32, epochs=8, lr=3e-2) as driver:
        for _ in range(20):
            metrics = driver.iterate(Elapsed())
        assert np.mean([episode.return_ for episode in metrics.episodes]) > 0.9


def test_an_environment_whose_masks_are_not_asked_for_gives_none():
    wanted = experiment(INFO | {"action_mask": "none"})
    with driver_of(wanted) as driver:
        driver.iterate(Elapsed())
        assert Columns.ACTION_MASK not in driver.rollout.arrays
        assert driver.rollout.arrays[Columns.REWARDS].min() < 0
    with trainer_of(wanted) as trainer:
        assert trainer.train().evaluation.mean < 0.9


def test_act_takes_the_mask_from_the_observation_and_a_mask_of_its_own_before_it():
    module = Prefers(MaskedBandit(where="key").observation_space, spaces.Discrete(4))
    only = np.tile(bits(0, 0, 1, 0), (50, 1))
    obs = {"action_mask": only, "nothing": np.ones((50, 1), np.float32)}
    for deterministic in (False, True):
        step = module.act(obs, deterministic=deterministic)
        assert set(step.actions.tolist()) == {2}
        assert step.log_prob.tolist() == [0.0] * 50
    assert set(module.act(obs, action_mask=1 - only).actions.tolist()) == {0, 1, 3}
