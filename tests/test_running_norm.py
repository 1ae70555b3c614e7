"""Normalising observations by running statistics."""

import numpy as np
import pytest
import torch
from experiments import driver_of, experiment, record_minibatches, trainer_of
from gymnasium import spaces
from torch import nn

from composer.columns import Columns
from composer.encoders.base import EncoderConfig
from composer.encoders.mlp import MLPEncoderConfig
from composer.module.rl_module import RLModule
from composer.optimisers._schedule import Elapsed
from composer.running_norm import RunningNorm, gathering, running_norms

CPU = torch.device("cpu")
REACH = {"id": "composer.testing:ReachTruncated-v0", "num_envs": 2, "vectorization": "sync"}
COUNTER = {"id": "composer.testing:Counter-v0", "num_envs": 2, "vectorization": "sync"}
NORMALISED = {"encoder": {"type": "mlp", "norm": "running"}}
CLIP_FRACTION, KL = 4, 3


def normalised(env=REACH, model=NORMALISED, **data):
    return experiment(env, model=model, **data)


def statistics(module):
    return {name: t for name, t in module.get_state().items() if ".norm." in name}


def gathered(norm, *batches):
    with gathering(norm):
        for batch in batches:
            norm(torch.as_tensor(batch))
    return norm


# the layer


def test_until_it_has_gathered_it_leaves_numbers_as_they_are_within_its_limits():
    obs = torch.tensor([[0.3, -9.9], [12.0, -1e9]])
    assert torch.equal(RunningNorm(shape=(2,))(obs), obs.clamp(-10, 10))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_its_statistics_are_numpys_over_all_batches(shape):
    rng = np.random.default_rng(0)
    batches = [
        rng.normal(1e4, 3.0, (*lead, *shape)).astype(np.float32)
        for lead in ((7,), (1,), (4, 5), (0,), ())
    ]
    norm = gathered(RunningNorm(shape=shape), *batches)
    seen = np.concatenate([batch.reshape(-1, *shape) for batch in batches]).astype(np.float64)
    assert norm.count == len(seen) == 29
    np.testing.assert_allclose(norm.mean, seen.mean(0), rtol=1e-12)
    np.testing.assert_allclose(norm.var, seen.var(0), rtol=1e-9)


def test_it_centres_divides_by_the_deviation_and_clips():
    norm = gathered(RunningNorm(shape=(1,)), [[1.0], [3.0], [5.0]])
    deviation = np.sqrt(8 / 3)
    expected = [-2 / deviation, 0.0, 6 / deviation, 10.0, -10.0]
    given = torch.tensor([[1.0], [3.0], [9.0], [1e9], [-1e9]])
    assert norm(given).flatten().tolist() == pytest.approx(expected)


def test_a_component_that_never_varied_is_0():
    norm = gathered(RunningNorm(shape=(1,)), [[0.1]] * 7, [[0.1]] * 3)
    assert norm(torch.tensor([0.1])).tolist() == [0.0]


def test_only_gathering_changes_statistics():
    norm = gathered(RunningNorm(shape=(1,)), [[1.0], [2.0]])
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.train()(torch.ones(3, 1))
    norm.eval()(torch.ones(3, 1))
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_gathering_ends_with_an_error_too():
    norm = RunningNorm(shape=(1,))
    with pytest.raises(RuntimeError), gathering(norm):
        raise RuntimeError
    assert not norm.gathering


# the encoders


@pytest.mark.parametrize(
    ("tag", "space", "shape"),
    [
        ("mlp", spaces.Box(-1, 1, (2, 3)), (2, 3)),
        ("residual_mlp", spaces.Box(-1, 1, ()), ()),
        ("cnn", spaces.Box(0, 255, (3, 12, 13), np.uint8), (3, 12, 13)),
        ("impala_cnn", spaces.Box(0, 255, (12, 13), np.uint8), (12, 13)),
        ("cnn3d", spaces.Box(0, 255, (2, 12, 13, 3), np.uint8), (2, 12, 13, 3)),
        ("conv1d", spaces.Box(-1, 1, (5, 3)), (5, 3)),
        ("set", spaces.Box(-1, 1, (5, 3)), (3,)),  # rows share those of a column
    ],
)
def test_each_component_has_its_own_statistics_and_they_are_no_parameters(tag, space, shape):
    plain, running = (
        EncoderConfig.parse({"type": tag, "norm": norm}).resolve(space).build(space)
        for norm in ("none", "running")
    )
    (norm,) = running_norms(running)
    assert norm.mean.shape == norm.var.shape == shape
    assert not running_norms(plain)
    assert dict(plain.named_parameters()).keys() == dict(running.named_parameters()).keys()


def test_scaling_comes_first():
    space = spaces.Box(0, 100, (1,), np.int64)
    encoder = MLPEncoderConfig(hidden=(), norm="running").resolve(space).build(space)
    gathered(encoder, [[0], [100]])
    (norm,) = running_norms(encoder)
    assert (norm.mean.item(), norm.var.item()) == (0.5, 0.25)
    assert encoder(torch.tensor([[100]])).item() == pytest.approx(1.0)


# training


def observations(driver):
    """Those the rollout counts, `(n, …)` float64, in any order."""
    columns = driver.rollout.batch(CPU)
    return columns[Columns.OBS][:, :-1][columns[Columns.LOSS_MASK]].double()


@pytest.mark.parametrize("at_once", [5, 1024])
def test_statistics_are_those_of_every_counted_observation_and_of_no_dummys(at_once, monkeypatch):
    monkeypatch.setattr("composer.training.on_policy.AT_ONCE", at_once)
    with driver_of(normalised(COUNTER)) as driver:
        seen = []
        for _ in range(4):
            driver.iterate(Elapsed())
            seen.append(observations(driver))
        norms = running_norms(driver.module)
    assert len(norms) == 2  # the actor's trunk and the critic's
    whole = torch.cat(seen)
    assert len(whole) < 4 * 2 * 8  # some steps were dummies
    for norm in norms:
        assert norm.count == len(whole)
        torch.testing.assert_close(norm.mean, whole.mean(0))
        torch.testing.assert_close(norm.var, whole.var(0, correction=0))


def test_statistics_stay_as_they_are_from_the_start_of_a_collection_through_all_its_epochs():
    with driver_of(normalised(algorithm={"num_minibatches": 1, "clip": 1e-4})) as driver:
        driver.iterate(Elapsed())
        before = statistics(driver.module)
        seen = record_minibatches(driver.algorithm)
        during = []
        update = driver.algorithm.update
        driver.algorithm.update = lambda *args: (
            during.append(statistics(driver.module)),
            update(*args),
            during.append(statistics(driver.module)),
        )[1]
        driver.iterate(Elapsed())
        after = statistics(driver.module)
    assert before["main.encoder.scaling.norm.var"] != 1.0
    for state in during:
        assert all(torch.equal(before[name], value) for name, value in state.items())
    assert all(not torch.equal(before[name], value) for name, value in after.items())
    assert seen[0]["metrics"][CLIP_FRACTION] == 0.0
    assert seen[0]["metrics"][KL] == pytest.approx(0.0, abs=1e-9)


def test_exploration_and_training_agree_exactly_with_statistics():
    with driver_of(normalised()) as driver:
        driver.iterate(Elapsed())
        driver.collector.collect(driver.rollout)
        columns = driver.rollout.batch(CPU)
        for t in range(driver.rollout.steps):
            out = driver.module.forward_train({Columns.OBS: columns[Columns.OBS][:, t]})
            new = driver.module.action_distribution(out)
            log_prob = new.log_prob(columns[Columns.ACTIONS][:, t])
            assert torch.equal(log_prob, columns[Columns.ACTION_LOGP][:, t])
            assert torch.equal(out[Columns.VF_PREDS], columns[Columns.VF_PREDS][:, t])


def test_acting_and_evaluating_leave_statistics_as_they_are():
    with trainer_of(normalised()) as trainer:
        trainer.step()
        before = statistics(trainer.module)
        obs = np.full((3, 1), 7.0, np.float32)
        for deterministic in (False, True):
            trainer.module.act(obs, deterministic=deterministic)
        for phase in ("forward_train", "forward_exploration", "forward_inference"):
            getattr(trainer.module, phase)({Columns.OBS: torch.as_tensor(obs)})
        trainer.evaluate()
        after = statistics(trainer.module)
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_they_change_what_the_policy_sees():
    with driver_of(normalised(COUNTER)) as driver:
        obs = np.full((1, 1), 2.0, np.float32)
        before = driver.module.forward_inference({Columns.OBS: torch.as_tensor(obs)})
        driver.module.observe(torch.tensor([[100.0], [200.0]]))
        after = driver.module.forward_inference({Columns.OBS: torch.as_tensor(obs)})
    name = Columns.ACTION_DIST_INPUTS
    assert not torch.equal(before[name], after[name])


def test_without_a_running_norm_nothing_is_observed(monkeypatch):
    monkeypatch.setattr(RLModule, "observe", lambda *_: pytest.fail("observed"))
    with driver_of(experiment(REACH)) as driver:
        driver.iterate(Elapsed())


def test_off_policy_steps_that_count_are_observed_once_the_updates_are_done():
    settings = {"type": "dqn", "learning_starts": 0, "rollout_steps": 8, "train_ratio": 1.0}
    with trainer_of(normalised(COUNTER, algorithm=settings)) as trainer:
        driver = trainer.driver
        done, update, observe = [], driver.algorithm.update, driver.module.observe
        driver.algorithm.update = lambda batch: done.append("update") or update(batch)
        driver.module.observe = lambda obs: done.append(len(obs)) or observe(obs)
        for _ in range(2):
            done.clear()
            steps = driver.iterate(Elapsed()).env_steps
            assert done == ["update"] * steps + [steps]


# state


def test_a_checkpoint_holds_the_statistics(tmp_path):
    with trainer_of(normalised()) as trainer:
        trainer.step()
        trainer.module.save_to_path(tmp_path / "module")
        loaded = RLModule.from_checkpoint(tmp_path / "module")
        state = statistics(trainer.module)
    assert len(state) == 6
    assert state["main.encoder.scaling.norm.count"] > 0
    restored = statistics(loaded)
    assert all(torch.equal(restored[name], value) for name, value in state.items())


def test_an_actor_gets_the_statistics_of_its_own_trunk():
    with trainer_of(normalised()) as trainer:
        trainer.step()
        state = trainer.module.get_state(inference_only=True)
        actor = trainer.experiment.blueprint.build(inference_only=True)
        actor.set_state(state)
        obs = {Columns.OBS: torch.full((1, 1), 0.7)}
        name = Columns.ACTION_DIST_INPUTS
        expected = trainer.module.forward_inference(obs)[name]
        assert torch.equal(actor.forward_inference(obs)[name], expected)
    assert "main.encoder.scaling.norm.mean" in state
    assert not any(key.startswith("critic") for key in state)


def test_a_restored_run_goes_on_as_the_one_that_was_not_stopped(tmp_path):
    wanted = normalised()
    with trainer_of(wanted) as first, trainer_of(wanted) as second:
        first.step()
        first.save(tmp_path / "saved")
        first.restore(tmp_path / "saved")  # environments restart in both
        second.restore(tmp_path / "saved")
        for trainer in (first, second):
            trainer.step()
            trainer.step()
        one, other = first.module.get_state(), second.module.get_state()
    assert all(torch.equal(other[name], value) for name, value in one.items())


def test_statistics_are_not_in_the_optimiser_and_not_counted():
    plain = experiment(REACH, model={"encoder": "mlp"}).blueprint
    running = normalised().blueprint
    assert running.parameter_count == plain.parameter_count
    with driver_of(normalised()) as driver:
        assert not any("norm" in name for name in driver.get_tensors())


class Handmade(RLModule):
    def setup(self):
        self.norm = RunningNorm(shape=self.observation_space.shape)
        self.policy = nn.Linear(self.observation_space.shape[0], 2)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(self.norm(batch[Columns.OBS]))}


def test_a_module_of_ones_own_may_hold_one():
    module = Handmade(spaces.Box(-1, 1, (1,)), spaces.Discrete(2))
    module.observe(torch.tensor([[1.0], [4.0]]))
    assert (module.norm.count.item(), module.norm.mean.item()) == (2, 2.5)
