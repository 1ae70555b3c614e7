"""Memories and replays: what sequences say, where they begin, and what is refused."""

import contextlib
from typing import Literal

import numpy as np
import pytest
import torch
from experiments import experiment, trainer_of

from composer.algorithms._sequences import View, after, after_slow, now, unrolled, with_next
from composer.algorithms.base import OffPolicyConfig
from composer.algorithms.dqn import DQNConfig
from composer.columns import Columns
from composer.errors import ComposerError
from composer.optimisers._schedule import Elapsed
from composer.replay_config import PrioritisedConfig
from composer.training.off_policy import OffPolicyDriver
from composer.training.replay import Replay, Sequences

KINDS = ("lstm", "gru", "attention")
each_kind = pytest.mark.parametrize("kind", KINDS)
ENVS = {"dqn": "Recall", "sac": "Recall", "td3": "ReachTruncated", "tqc": "ReachTruncated"}
EPISODES = ("Recall", "TMaze", "ReachTruncated")
"""The last ends by truncation alone, the second by both."""


def wanted(algorithm="dqn", problem=None, kind="lstm", memory=None, model=None, **settings):
    """Rows of 61 steps of 2 environments, in sequences of 4, of episodes that end on the way."""
    problem = problem or ENVS[algorithm]
    small = {
        "type": algorithm,
        "learning_starts": 10,
        "rollout_steps": 5,
        "batch_size": 24,
        "train_ratio": 0.2,
        "replay": {"capacity": 122, **settings.pop("replay", {})},
    }
    own = {"hidden_size": 4, "max_seq_len": 4, **(memory or {})} if kind != "none" else {}
    composed = {"encoder": {"hidden": [8]}, "memory": {"type": kind, **own}}
    model = model if model and "type" in model else {**composed, **(model or {})}
    return experiment(
        {"id": f"composer.testing:{problem}-v0", "num_envs": 2},
        algorithm=small | settings,
        model=model,
        total_steps=400,
    )


@contextlib.contextmanager
def driver_of(made):
    """The experiment's driver, at the beginning of training."""
    config = made.config
    with contextlib.closing(config.env.make()) as envs:
        module = made.blueprint.build(seed=config.seed)
        driver = OffPolicyDriver(config.algorithm, module, envs, config.seed, "raw")
        driver.restart(0)
        yield driver


def recorded(driver, steps):
    """What the policy's outputs were in each step `(N, steps, n)`, collected without learning."""
    act, outputs = driver.collector.executor.executor.act, []

    def recording(*given):
        step = act(*given)
        outputs.append(step.dist_inputs.clone())
        return step

    driver.collector.executor.executor.act = recording
    while driver.replay.ring.end < steps:
        driver.collector.collect(driver.replay)
    return torch.stack(outputs, 1)


def drawn(driver, size=24):
    """A batch of sequences, and for its steps that count their rows, begins and ends."""
    replay = driver.replay
    batch = replay.sample(size, driver.draws)
    rows, slots = np.divmod(batch[Columns.INDICES].numpy(), replay.ring.length)
    last = replay.ring.end - 1
    begins = torch.from_numpy(last - (last - slots) % replay.ring.length)
    sequence, step = batch[Columns.LOSS_MASK].nonzero(as_tuple=True)
    ends = batch[Columns.NEXT_INDEX][sequence, step]
    of = torch.from_numpy(rows)[sequence]
    return batch, (of, begins[sequence] + step), (of, begins[sequence] + ends)


@pytest.mark.parametrize(
    ("burn_in", "n_step", "steps"), [(0, 1, 40), (2, 1, 330), (3, 3, 90)], ids=str
)
@pytest.mark.parametrize("algorithm", ENVS)
@each_kind
def test_networks_say_of_a_sequence_what_they_said_when_acting(
    kind, algorithm, burn_in, n_step, steps
):
    settings = {"memory": {"inputs": ["prev_action", "prev_reward"]}, "n_step": n_step}
    with driver_of(wanted(algorithm, kind=kind, replay={"burn_in": burn_in}, **settings)) as driver:
        said = recorded(driver, steps)
        batch, here, there = drawn(driver)
        assert batch[Columns.IS_FIRST].any()
        assert not batch[Columns.LOSS_MASK][:, burn_in:].all()  # dummy steps are among them
        found = unrolled(driver.module, batch, burn_in)
        views = [(now(found), here), (after(found), there)]
        for view, places in views:
            out = driver.module.forward_train(view.columns)[Columns.ACTION_DIST_INPUTS]
            torch.testing.assert_close(view.pick(out), said[places], atol=1e-5, rtol=1e-4)
        if algorithm in ("dqn", "td3"):
            view = after_slow(found)
            out = driver.module.forward_target(view.columns)
            slow = out[Columns.QF_PREDS if algorithm == "dqn" else Columns.ACTION_DIST_INPUTS]
            torch.testing.assert_close(view.pick(slow), said[there], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("problem", EPISODES[:2])
def test_goals_are_those_of_what_was_said_at_the_end_of_each_transition(problem):
    with driver_of(wanted("dqn", problem, double=False, gamma=0.5, loss="mse")) as driver:
        said = recorded(driver, 50)
        batch, here, there = drawn(driver)
        found = unrolled(driver.module, batch, 0)
        loss, (q, goal, error) = driver.algorithm.loss(found)
        ring = driver.replay.ring
        outcomes = ring.outcomes[here[0].numpy(), here[1].numpy() % ring.length]
        actions = ring.storage.arrays[Columns.ACTIONS][here[0], here[1] % ring.length]
        taken = said[here].gather(1, torch.from_numpy(actions).view(-1, 1)).squeeze(1)
        alive = torch.from_numpy(~outcomes[Columns.TERMINATEDS]).float()
        wanted_goal = torch.from_numpy(outcomes[Columns.REWARDS].copy())
        wanted_goal += 0.5 * alive * said[there].amax(1)
    torch.testing.assert_close(goal, wanted_goal.mean())
    torch.testing.assert_close(q, taken.mean())
    torch.testing.assert_close(error, (taken - wanted_goal).abs().mean())
    torch.testing.assert_close(loss.detach(), (taken - wanted_goal).square().mean())


def at(driver, column, places):
    """A column of the replay at the rows and times of transitions, kept since they happened."""
    rows, times = places
    return torch.from_numpy(driver.replay.ring.storage.arrays[column][rows, times % 61])


def test_masks_are_those_of_both_ends_of_each_transition():
    with driver_of(wanted("dqn", "MaskedBandit", n_step=2)) as driver:
        recorded(driver, 50)
        batch, here, there = drawn(driver)
        found = unrolled(driver.module, batch, 0)
        masks = found[Columns.ACTION_MASK], found[Columns.NEXT_ACTION_MASK]
        for mask, places in zip(masks, (here, there), strict=True):
            torch.testing.assert_close(mask, at(driver, Columns.ACTION_MASK, places))
    assert not torch.equal(*masks)


def test_auxiliary_losses_see_what_followed_each_step():
    with driver_of(wanted("td3", "ReachTruncated")) as driver:
        recorded(driver, 50)
        batch, here, there = drawn(driver)
        found = with_next(batch)
        counted = batch[Columns.LOSS_MASK]
        for column, places in ((Columns.OBS, here), (Columns.NEXT_OBS, there)):
            torch.testing.assert_close(found[column][counted], at(driver, Columns.OBS, places))
    assert (
        found[Columns.OBS].shape
        == found[Columns.NEXT_OBS].shape
        == (24, 4, *batch["obs"].shape[2:])
    )


@pytest.mark.parametrize("algorithm", ["sac", "td3", "tqc"])
def test_critics_value_the_action_of_each_step(algorithm):
    """However other steps act: the values of all are those of one step at a time."""
    with driver_of(wanted(algorithm, "ReachTruncated")) as driver:
        recorded(driver, 50)
        batch, *_ = drawn(driver, 4)
        view = now(unrolled(driver.module, batch, 0))
        width = driver.algorithm.parts.deterministic().shape[-1]
        actions = torch.rand(len(view.places), width, requires_grad=True)
        values = driver.algorithm.q(view, actions)
        for m in range(len(actions)):
            alone = torch.zeros_like(actions)
            alone[m] = actions.detach()[m]
            torch.testing.assert_close(driver.algorithm.q(view, alone)[:, m], values[:, m])
        (gradient,) = torch.autograd.grad(values[:, 1].sum(), actions)
    assert gradient[1].any()
    assert not gradient[0].any()


@each_kind
def test_over_the_burn_in_a_memory_only_gets_its_state(kind):
    with driver_of(wanted(kind=kind, replay={"burn_in": 3})) as driver:
        recorded(driver, 50)
        batch, *_ = drawn(driver)
        found = unrolled(driver.module, batch, 3)
        columns = now(found).columns
        assert columns[Columns.OBS].shape == (24, 4 + 1)
        state = columns[Columns.STATE_IN]["main"]
        assert not any(leaf.requires_grad for leaf in state.values())
        known = driver.module.forward_train(
            {
                **{c: batch[c][:, :3] for c in (Columns.OBS, Columns.IS_FIRST)},
                Columns.STATE_IN: batch[Columns.STATE_IN],
            }
        )[Columns.STATE_OUT]["main"]
        for name, leaf in state.items():
            torch.testing.assert_close(leaf, known[name].detach())
        assert after_slow(found).columns[Columns.OBS].shape == (24, 3 + 4 + 1)


@each_kind
def test_a_state_that_was_kept_is_the_one_after_the_sequence_before(kind):
    with driver_of(wanted(kind=kind)) as driver:
        recorded(driver, 330)
        ring = driver.replay.ring
        assert ring.end > ring.length  # the oldest are overwritten
        firsts = ring.flat(np.arange(ring.start + -ring.start % 4, ring.end - 8, 4))
        columns = driver.replay._stretches(firsts)
        later = ring.states_at(ring.ahead(firsts, 4))["main"]
        given = (Columns.OBS, Columns.IS_FIRST)
        batch = {name: torch.from_numpy(columns[name][:, :4]) for name in given}
        state = columns[Columns.STATE_IN]["main"]
        batch[Columns.STATE_IN] = {"main": {k: torch.from_numpy(v) for k, v in state.items()}}
        out = driver.module.forward_train(batch)[Columns.STATE_OUT]["main"]
        begins = torch.from_numpy(columns[Columns.IS_FIRST][:, 4])  # there nothing is known
    assert not begins.all()
    for name, leaf in out.items():
        expected = torch.from_numpy(later[name])
        torch.testing.assert_close(leaf[~begins], expected[~begins], atol=1e-5, rtol=1e-4)


def test_a_sequence_has_a_priority_of_its_largest_error_and_the_mean():
    space = driver_space()
    replay = Replay(
        space, 1, 40, gamma=0.5, prioritised=PrioritisedConfig(alpha=1.0, eps=1e-6),
        sequences=Sequences(2),
    )  # fmt: skip
    counted = torch.tensor([[True, True], [False, True]])
    replay.priorities.tree.set(np.array([0, 2]), np.ones(2))
    replay.update_priorities(torch.tensor([0, 2]), torch.tensor([-1.0, 3.0, 0.5]), counted)
    found = replay.priorities.tree.values[[0, 2]]
    assert found == pytest.approx([0.9 * 3 + 0.1 * 2, 0.5], abs=1e-5)


def driver_space():
    with driver_of(wanted()) as driver:
        return driver.collector.envs.single_observation_space


def test_an_update_takes_as_many_sequences_as_hold_its_transitions():
    with driver_of(wanted(batch_size=10)) as driver:
        seen = []
        driver.algorithm.update = lambda batch: seen.append(batch) or {"loss": 0.0}
        driver.algorithm.errors = torch.zeros(0)
        while not seen:
            driver.iterate(Elapsed())
    assert seen[0][Columns.OBS].shape == (3, 4 + 1)  # of 4 steps


VARIANTS = {
    "plain": {},
    "prioritised": {"replay": {"prioritised": {}, "burn_in": 2}, "n_step": 2},
    "atoms": {"num_atoms": 11, "noisy": True},
}


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [*(("dqn", s) for s in VARIANTS.values()), *((a, VARIANTS["prioritised"]) for a in ENVS)],
    ids=[*VARIANTS, *ENVS],
)
def test_a_new_trainer_goes_on_from_a_checkpoint_as_the_old_one_does(tmp_path, algorithm, settings):
    made = wanted(algorithm, memory={"inputs": ["prev_action", "prev_reward"]}, **settings)
    with trainer_of(made) as trainer:
        for _ in range(14):
            metrics = trainer.step().metrics
        assert metrics
        assert all(np.isfinite(value) for value in metrics.values())
        trainer.save(tmp_path / "saved")
        trainer.restore(tmp_path / "saved")
        expected = [trainer.step().metrics for _ in range(6)]
    with trainer_of(made) as other:
        other.restore(tmp_path / "saved")
        assert [other.step().metrics for _ in range(6)] == expected


@pytest.mark.parametrize("algorithm", ENVS)
@each_kind
def test_an_update_moves_memories_and_their_copies(kind, algorithm):
    settings = {"target_update_every": 2} if algorithm == "dqn" else {"tau": 0.5}
    with trainer_of(wanted(algorithm, kind=kind, **settings)) as trainer:
        before = {k: v.clone() for k, v in trainer.module.state_dict().items()}
        for _ in range(20):
            trainer.step()
        moved = {k for k, v in trainer.module.state_dict().items() if not torch.equal(v, before[k])}
    memories = {name for name in before if ".memory." in name and "target." not in name}
    assert memories <= moved
    assert any(name.startswith("target.") and ".memory." in name for name in moved)


OWN_Q = {"type": "custom", "path": "test_memory_training.OwnQ", "config": {"max_seq_len": 4}}
HEADS = {
    "reconstruction": {"heads": {"again": {"type": "reconstruction"}}},
    "curiosity": {"heads": {"curious": {"type": "curiosity"}}},
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("algorithm", ["dqn", "td3"])
def test_auxiliary_heads_learn_beside_a_memory(algorithm, head):
    with trainer_of(wanted(algorithm, model=HEADS[head], replay={"burn_in": 2})) as trainer:
        for _ in range(12):
            metrics = trainer.step().metrics
    losses = [value for name, value in metrics.items() if "auxiliary/" in name]
    assert losses
    assert all(np.isfinite(losses))
    assert ("train/intrinsic_reward" in metrics) == (head == "curiosity")


def test_a_hand_written_memory_learns_from_a_replay():
    settings = {"type": "dqn", "learning_starts": 10, "batch_size": 8, "replay": {"burn_in": 2}}
    made = experiment(
        {"id": "composer.testing:TMaze-v0", "num_envs": 3},
        algorithm=settings, model=OWN_Q, total_steps=200,
    )  # fmt: skip
    with trainer_of(made) as trainer:
        weights = trainer.module.cells.weight_hh_l0.clone()
        for _ in range(30):
            metrics = trainer.step().metrics
        assert not torch.equal(weights, trainer.module.cells.weight_hh_l0)
        batch = trainer.driver.replay.sample(4, trainer.driver.draws)
        state = now(unrolled(trainer.module, batch, 2)).columns[Columns.STATE_IN]
        assert not any(leaf.requires_grad for leaf in state.values())
    assert np.isfinite(metrics["train/loss"])


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_a_hand_written_memory_of_policy_and_critics_learns_from_a_replay(algorithm):
    name, inputs = ("OwnActorCritic", 2) if algorithm == "sac" else ("OwnDeterministic", 1)
    path = f"test_memory_training.{name}"
    model = {"type": "custom", "path": path, "config": {"max_seq_len": 4, "inputs": inputs}}
    made = wanted(algorithm, "ReachTruncated", model=model, replay={"burn_in": 2}, n_step=2)
    made.require_model()
    with trainer_of(made) as trainer:
        weights = trainer.module.cells.weight_hh_l0.clone()
        for _ in range(16):
            metrics = trainer.step().metrics
        assert not torch.equal(weights, trainer.module.cells.weight_hh_l0)
    assert np.isfinite([metrics["train/critic_loss"], metrics["train/auxiliary/change"]]).all()


def test_what_is_drawn_where_transitions_end_together_is_the_same():
    """Of 2 sequences of 3 steps four states, of which three are one step."""
    columns = {Columns.IS_FIRST: torch.zeros(2, 3, dtype=torch.bool)}
    view = View(columns, torch.tensor([2, 5, 2, 2]))
    drawn = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    assert view.alike(drawn).flatten().tolist() == [1, 2, 1, 1]
    laid = view.lay(view.alike(drawn)).flatten().tolist()
    assert laid == [0, 0, 1, 0, 0, 2]


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_goals_are_those_of_the_copies_where_each_transition_ends(algorithm):
    """Transition by transition: other copies, bursts, weights, n-step returns."""
    quiet = {"alpha": 0.0} if algorithm == "sac" else {"policy_noise": 0.0}
    made = wanted(algorithm, "ReachTruncated", replay={"burn_in": 2}, n_step=2, gamma=0.5, **quiet)
    with driver_of(made) as driver:
        recorded(driver, 50)
        module, learner = driver.module, driver.algorithm
        with torch.no_grad():
            for weight in module.target.parameters():
                weight += 0.3 * torch.randn_like(weight)
        batch, *_ = drawn(driver, 6)
        batch[Columns.WEIGHTS] = torch.rand(6)
        found = unrolled(module, batch, 2)
        if algorithm == "sac":  # the same actions are asked about again
            given, choose = [], learner.draw
            learner.draw = lambda policy: given.append(choose(policy)) or given[-1]
            loss, q, goal = learner.critic_loss(found, torch.zeros(1))
            actions = after(found).alike(given[0].actions)
        else:
            loss, q, goal = learner.critic_loss(found)
            actions = learner.target_policy(after_slow(found)).deterministic()
        counted, ends = batch[Columns.LOSS_MASK].nonzero(), batch[Columns.NEXT_INDEX]
        differences = []
        for m, (row, step) in enumerate(counted.tolist()):
            one = {
                name: batch[name][row : row + 1]
                for name in (Columns.OBS, Columns.IS_FIRST)
            } | {Columns.STATE_IN: leaves_of(batch[Columns.STATE_IN], row)}  # fmt: skip
            end = int(ends[row, step])
            seen = {name: v[:, : end + 1] for name, v in one.items() if name != Columns.STATE_IN}
            acts = torch.zeros(1, end + 1, actions.shape[-1])
            acts[0, end] = actions[m].detach()
            asked = {**seen, Columns.STATE_IN: one[Columns.STATE_IN], Columns.ACTIONS: acts}
            ahead = module.forward_target(asked)[Columns.QF_PREDS][:, 0, end].amin()
            alive = 1.0 - batch[Columns.TERMINATEDS][row, step].float()
            best = batch[Columns.REWARDS][row, step]
            best = best + batch[Columns.DISCOUNTS][row, step] * alive * ahead
            torch.testing.assert_close(goal[m], best.reshape(goal[m].shape), atol=1e-5, rtol=1e-4)
            differences.append(q[:, m].squeeze() - best)
        scale = 0.5 if algorithm == "sac" else 1.0
        squares = scale * torch.stack(differences).square()  # (M, critics)
        weights = batch[Columns.WEIGHTS][counted[:, 0]].unsqueeze(1)
    torch.testing.assert_close(loss.detach(), (weights * squares).mean(0).sum())


def leaves_of(states, row):
    return {t: {k: v[row : row + 1] for k, v in own.items()} for t, own in states.items()}


def test_a_resumed_target_moves_as_often_as_is_now_said(tmp_path):
    with trainer_of(wanted(target_update_every=2)) as trainer:
        for _ in range(20):
            trainer.step()
        trainer.save(tmp_path / "saved")
    with trainer_of(wanted(target_update_every=10)) as other:
        other.restore(tmp_path / "saved")
        learner, moved = other.driver.algorithm, 0
        for _ in range(15):
            before = other.module.target["q"].state_dict()
            before = {k: v.clone() for k, v in before.items()}
            other.step()
            after_it = other.module.target["q"].state_dict()
            moved += any(not torch.equal(v, before[k]) for k, v in after_it.items())
        assert moved in (2, 3)
        assert learner.updates - learner.moved_at < 20


def test_what_is_drawn_after_a_longer_burn_in_was_set_is_all_there(tmp_path):
    with trainer_of(wanted(replay={"prioritised": {}, "capacity": 600})) as trainer:
        for _ in range(9):
            trainer.step()
        trainer.save(tmp_path / "saved")
    longer = {"prioritised": {}, "capacity": 600, "burn_in": 9}
    with trainer_of(wanted(replay=longer, n_step=6)) as other:
        other.restore(tmp_path / "saved")
        replay = other.driver.replay
        batch = replay.sample(400, other.driver.draws)
        begins = batch[Columns.INDICES].numpy() % replay.ring.length
        assert begins.max() + replay.reach < replay.ring.end


# --- what is refused


class OfStepsConfig(DQNConfig):
    """Learns from single steps, as an algorithm that says nothing of sequences."""

    type: Literal["of_steps"] = "of_steps"
    has_sequences = OffPolicyConfig.has_sequences


def problem_of(made):
    look = made.require_model if made.is_hand_written else lambda: made.blueprint
    with pytest.raises(ComposerError) as raised:
        look()
    (problem,) = raised.value.problems
    return problem


@pytest.mark.parametrize("model", [{}, OWN_Q], ids=["composed", "hand-written"])
def test_an_algorithm_of_single_steps_takes_no_memory_and_those_that_do_are_named(model):
    problem = problem_of(wanted("of_steps", "TMaze", model=model))
    assert problem.path == "algorithm"
    assert (
        problem.message == "of_steps learns from single steps, and a memory from sequences of them"
    )
    assert problem.valid == ("dqn", "ppo", "sac", "td3", "tqc")
    assert problem.fix == "algorithm=dqn"


def test_a_burn_in_wants_the_state_after_it():
    model = {**OWN_Q, "path": "test_memory_training.Forgetful"}
    wanted("dqn", "TMaze", model=model).require_model()
    problem = problem_of(wanted("dqn", "TMaze", model=model, replay={"burn_in": 2}))
    assert "returns no `state_out` from `forward_train`" in problem.message


def test_a_burn_in_without_a_memory_is_refused():
    problem = problem_of(wanted(kind="none", replay={"burn_in": 3}))
    assert problem.path == "algorithm.replay.burn_in"
    assert problem.message == "there is no memory that could get its state from them"
    assert problem.fix == "algorithm.replay.burn_in=0"


def test_a_replay_too_short_for_a_sequence_is_refused_with_one_that_is_not():
    problem = problem_of(wanted(n_step=2, replay={"capacity": 24, "burn_in": 3}))
    assert problem.path == "algorithm.replay.capacity"
    assert problem.message == (
        "2 environments share the replay: of each it keeps 12 steps, and sequences of 3 + 4 with "
        "returns of 2 steps need 13"
    )
    assert problem.fix == "algorithm.replay.capacity=26"
    with trainer_of(wanted(n_step=2, replay={"capacity": 26, "burn_in": 3})) as trainer:
        found = [trainer.step().metrics for _ in range(12)]
    assert all(found[3:])
