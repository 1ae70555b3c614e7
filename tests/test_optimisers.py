"""Optimisers: torch's own numbers, schedules, clipping, settings of parts, saving."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from experiments import experiment, trainer_of
from torch import nn

from composer import compose
from composer.algorithms.base import AlgorithmConfig
from composer.algorithms.ppo import PPOConfig
from composer.algorithms.sac import SACConfig
from composer.apis import ValueFunctionAPI
from composer.columns import Columns
from composer.engines.trainer import Trainer
from composer.errors import CheckpointError, ConfigError, ModuleError
from composer.module.rl_module import RLModule
from composer.optimisers._descent import DescentConfig, Optimiser
from composer.optimisers._schedule import Elapsed, lr_factor
from composer.optimisers.base import OptimiserConfig
from composer.running_norm import running_norms

VECTOR, TWO = gym.spaces.Box(-1.0, 1.0, (3,), np.float32), gym.spaces.Discrete(2)
KINDS = OptimiserConfig.tags()
kinds = pytest.mark.parametrize("kind", KINDS)


def two_layers(*names):
    torch.manual_seed(0)
    module = nn.Module()
    for name in names:
        module.add_module(name, nn.Linear(2, 2 if name == "square" else 3))
    return module


def optimiser_of(module, optimiser="adam", **settings):
    return Optimiser(DescentConfig.parse({"lr": 0.1, "optimiser": optimiser, **settings}), module)


def rising(module):
    """A loss whose gradient is 1, 2, 3, … in each parameter."""
    return sum(
        (p.flatten() * torch.arange(1.0, p.numel() + 1)).sum()
        for p in module.parameters()
        if p.requires_grad
    )


def stepped(module, steps=1, **settings):
    """An optimiser that has taken steps."""
    optimiser = optimiser_of(module, **settings)
    for _ in range(steps):
        optimiser.step(rising(module))
    return optimiser


class Two(RLModule, ValueFunctionAPI):
    """Two numbers, each a part of its own."""

    def setup(self):
        for name in ("one", "two"):
            part = nn.Module()
            part.weight = nn.Parameter(torch.ones(()))
            part.inner = nn.Module()
            part.inner.weight = nn.Parameter(torch.ones(()))
            self.add_module(name, part)

    def compute_values(self, batch, embeddings=None):
        return batch[Columns.OBS]


def numbers(module):
    return {name: pytest.approx(p.item()) for name, p in module.named_parameters()}


def on_two(loss=lambda m: sum(m.parameters()), steps=1, **settings):
    """The numbers of a `Two` after plain gradient steps of 0.1."""
    module = Two(VECTOR, TWO)
    optimiser = optimiser_of(module, **settings)
    for _ in range(steps):
        optimiser.step(loss(module))
    return {name: p.item() for name, p in module.named_parameters()}


# --- torch's numbers


@kinds
def test_a_kind_moves_parameters_as_torchs_own_does(kind):
    config = OptimiserConfig(type=kind)
    own, other = two_layers("square", "wide"), two_layers("square", "wide")
    stepped(own, steps=5, optimiser={"type": kind, "weight_decay": 0.1})
    bare = config.torch_class(other.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(5):
        bare.zero_grad()
        rising(other).backward()
        bare.step()
    for p, q in zip(own.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q)


@kinds
def test_what_a_kind_is_by_default_is_what_torchs_own_is(kind):
    config = OptimiserConfig(type=kind)
    defaults = config.torch_class([nn.Parameter(torch.ones(1))]).defaults
    said = config.model_dump(exclude={"type", "parts"})
    assert said == {name: defaults[name] for name in said}


@kinds
def test_every_kind_trains_and_goes_on_from_its_state(kind, tmp_path):
    wanted = experiment(algorithm={"lr": 1e-3, "optimiser": kind}, total_steps=200)
    with trainer_of(wanted) as trainer:
        before = trainer.module.get_state()
        trainer.step()
        trainer.save(tmp_path / "saved")
        trainer.restore(tmp_path / "saved")
        expected = trainer.step().metrics
        assert not same(before, trainer.module.get_state())
    with trainer_of(wanted) as other:
        other.restore(tmp_path / "saved")
        assert other.step().metrics == expected


def test_without_settings_of_parts_there_is_one_fused_group():
    (group,) = stepped(two_layers("square", "wide")).torch.param_groups
    assert len(group["params"]) == 4
    assert group["fused"] is True


def test_a_shared_parameter_is_in_one_group_once_and_stepped_once():
    module = nn.Module()
    module.actor = module.critic = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.actor.weight)
    optimiser = optimiser_of(module)
    optimiser.step((module.actor(torch.ones(1, 1)) + module.critic(torch.ones(1, 1))).sum())
    # Adam's first step is lr · g / |g|, whatever the gradient; two would be twice as far.
    assert module.actor.weight.item() == pytest.approx(-0.1)


def test_a_frozen_parameter_is_out_of_the_optimiser():
    module = two_layers("square", "wide")
    module.square.requires_grad_(False)
    assert list(optimiser_of(module).named) == ["wide.weight", "wide.bias"]


# --- schedules


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", (1.0, 1.0, 1.0, 1.0)),
        ("linear", (1.0, 0.75, 0.5, 0.0)),
        ("cosine", (1.0, 0.5 + 0.5 * math.sqrt(0.5), 0.5, 0.0)),
        (((100, 1.0), (300, 0.2)), (1.0, 1.0, 0.6, 0.2)),
        (((0, 0.0), (100, 1.0)), (0.0, 1.0, 1.0, 1.0)),
    ],
)
def test_a_schedule_follows_its_curve(schedule, factors):
    given = [lr_factor(schedule, 0, Elapsed(steps, 400)) for steps in (0, 100, 200, 400)]
    assert given == pytest.approx(factors)


def test_a_learning_rate_rises_from_0_to_its_schedule():
    given = [lr_factor("linear", 100, Elapsed(steps, 400)) for steps in (0, 50, 100, 200)]
    assert given == pytest.approx([0.0, 0.5 * 0.875, 0.75, 0.5])


def test_training_goes_by_points_of_environment_steps():
    points = [[0, 1], [24, 0.5]]
    wanted = experiment(algorithm={"lr": 0.5, "lr_schedule": points}, total_steps=1000)
    with trainer_of(wanted) as trainer:
        rates = [trainer.step().metrics["train/lr"] for _ in range(4)]
    assert rates == [0.5, 0.375, 0.25, 0.25]  # 12 steps an update


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "needs a point whose factor is 1"),
        ([[10, 1], [0, 0.5]], "environment steps should rise"),
        ([[0, 1], [0, 0.5]], "environment steps should rise"),
        ([[0, 1e-3], [1e6, 1e-5]], r"the highest factor should be 1.*lr=0\.001"),
        ([[0, 1, 2]], "a point is two numbers"),
        ([[0, -1]], "greater than or equal to 0"),
    ],
)
def test_points_that_are_no_schedule_are_refused(points, message):
    with pytest.raises(ConfigError, match=message):
        DescentConfig(lr_schedule=points)


def test_rllibs_points_in_place_of_the_learning_rate_are_refused_with_where_they_go():
    with pytest.raises(ConfigError, match="`lr_schedule` says when it is less") as error:
        AlgorithmConfig.parse({"type": "ppo", "lr": [[0, 1e-3], [1e6, 1e-5]]}, "algorithm")
    assert error.value.problems[0].fix == "algorithm.lr=0.001"


# --- clipping


@pytest.mark.parametrize(
    ("settings", "gradient", "norm"),
    [
        ({}, (3.0, -4.0), 5.0),
        ({"max_grad_norm": 1.0}, (0.6, -0.8), 5.0),
        ({"max_grad_value": 3.5}, (3.0, -3.5), math.hypot(3.0, 3.5)),
        # By value (2, -2); the norm √8 is then twice √2.
        ({"max_grad_value": 2.0, "max_grad_norm": math.sqrt(2)}, (1.0, -1.0), math.sqrt(8)),
    ],
)
def test_a_gradient_is_clipped_by_value_and_then_by_norm(settings, gradient, norm):
    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros(2))
    optimiser = optimiser_of(module, "sgd", **settings)
    given = optimiser.step((module.weight * torch.tensor([3.0, -4.0])).sum())
    assert given.item() == pytest.approx(norm)
    expected = [-0.1 * component for component in gradient]
    assert module.weight.tolist() == pytest.approx(expected, rel=1e-5)


# --- parts


def test_a_part_has_a_learning_rate_and_a_decay_of_its_own():
    parts = {"one": {"lr": 0.01}, "two": {"weight_decay": 0.5}}
    after = on_two(optimiser={"type": "sgd", "weight_decay": 1.0, "parts": parts})
    # The gradient is 1, and decay adds the weight, which is 1, times its factor.
    assert after["one.weight"] == pytest.approx(1 - 0.01 * (1 + 1.0))
    assert after["two.weight"] == pytest.approx(1 - 0.1 * (1 + 0.5))


def test_the_most_specific_name_wins_setting_by_setting():
    parts = {"one": {"lr": 0.01, "weight_decay": 0.0}, "one.inner": {"lr": 0.02}}
    after = on_two(optimiser={"type": "sgd", "weight_decay": 1.0, "parts": parts})
    assert after["one.weight"] == pytest.approx(1 - 0.01)
    assert after["one.inner.weight"] == pytest.approx(1 - 0.02)
    assert after["two.weight"] == after["two.inner.weight"] == pytest.approx(1 - 0.1 * 2)


def test_a_part_inside_another_may_be_written_inside_it():
    nested = {"main": {"lr": 1.0, "encoder": {"lr": 2.0}}, "main.encoder": {"weight_decay": 3.0}}
    config = OptimiserConfig(type="adam", parts=nested)
    assert {name: part.altered() for name, part in config.parts.items()} == {
        "main": {"lr": 1.0},
        "main.encoder": {"lr": 2.0, "weight_decay": 3.0},
    }
    assert OptimiserConfig.parse(config.to_data()) == config


def test_a_part_that_is_written_twice_and_once_wrongly_is_refused():
    with pytest.raises(ConfigError, match="should be a mapping"):
        OptimiserConfig.parse({"parts": {"a.b": {"lr": 1.0}, "a": {"b": {}}, "c": 5}})
    with pytest.raises(ConfigError, match="should be a mapping"):
        OptimiserConfig.parse({"type": "adam", "parts": {"a": {"b": {"lr": 1.0}}, "a.b": 5}})


def test_a_parts_learning_rate_goes_through_the_schedule():
    module = Two(VECTOR, TWO)
    settings = {"type": "sgd", "parts": {"one": {"lr": 0.01}}}
    optimiser = optimiser_of(module, settings, lr_schedule="linear", lr_warmup=10)
    optimiser.at(Elapsed(50, 100))
    assert [group["lr"] for group in optimiser.torch.param_groups] == [0.005, 0.05]
    assert optimiser.lr == 0.05


def test_in_training_a_parts_learning_rate_moves_it_less():
    parts = {"critic": {"lr": 1e-6}}
    with trainer_of(experiment(algorithm={"lr": 1e-3, "optimiser": {"parts": parts}})) as trainer:
        before = trainer.module.get_state()
        trainer.step()
        after = trainer.module.get_state()
    moved = {
        part: max(
            (after[name] - before[name]).abs().max().item()
            for name in before
            if name.startswith(f"{part}.")
        )
        for part in ("main", "critic")
    }
    # Four steps of Adam, each at most about lr.
    assert 0 < moved["critic"] < 1e-5
    assert 1e-4 < moved["main"] < 1e-2


def test_until_its_step_a_part_has_no_gradient_no_decay_and_no_momentum():
    module = Two(VECTOR, TWO)
    parts = {"one": {"frozen_until": 10}, "one.inner": {"frozen_until": 0}}
    settings = {"type": "sgd", "momentum": 0.5, "weight_decay": 1.0, "parts": parts}
    optimiser = optimiser_of(module, settings)
    for steps in (0, 9):
        optimiser.at(Elapsed(steps, 100))
        optimiser.step(sum(module.parameters()))
    assert module.one.weight.item() == 1.0
    assert module.one.weight.grad is None
    assert "one.weight/momentum_buffer" not in optimiser.get_tensors()
    assert module.one.inner.weight.item() < 1.0
    optimiser.at(Elapsed(10, 100))
    optimiser.step(sum(module.parameters()))
    assert module.one.weight.item() == pytest.approx(1 - 0.1 * 2)  # the first step of a momentum
    assert module.one.weight.grad is not None


def test_where_all_that_is_stepped_is_frozen_nothing_moves():
    module = Two(VECTOR, TWO)
    config = DescentConfig.parse({"optimiser": {"parts": {"one": {"frozen_until": 5}}}})
    named = {"one.weight": module.one.weight}
    optimiser = Optimiser(config, module, named)
    optimiser.at(Elapsed())
    assert optimiser.step(module.two.weight * module.one.weight.detach()).item() == 0.0
    assert module.one.weight.item() == 1.0


FROZEN = {
    "ppo": ({"optimiser": {"parts": {"main": {"frozen_until": 60}}}}, "main"),
    "dqn": ({"optimiser": {"parts": {"main": {"frozen_until": 60}}}}, "main"),
    "sac": ({"optimiser": {"parts": {"policy": {"frozen_until": 60}}}}, "policy"),
    "td3": ({"optimiser": {"parts": {"continuous_q": {"frozen_until": 60}}}}, "continuous_q"),
    "tqc": ({"optimiser": {"parts": {"policy.0": {"frozen_until": 60}}}}, "policy.0"),
}
frozen = pytest.mark.parametrize("algorithm", FROZEN)


def part_of(trainer, name):
    return {key: value for key, value in trainer.module.get_state().items() if key.startswith(name)}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def training(algorithm):
    settings, part = FROZEN[algorithm]
    off_policy = {"learning_starts": 8, "batch_size": 8}
    settings = {"type": algorithm, **settings} | (off_policy if algorithm != "ppo" else {})
    problem = "Reach1D" if algorithm in ("td3", "tqc") else "Counter"
    wanted = experiment(problem, algorithm=settings, total_steps=400)
    return wanted, part


def until(trainer, steps):
    seen = []
    while trainer.progress.env_steps < steps:
        seen.append(trainer.step().metrics)
    return seen


@frozen
def test_a_part_stays_as_it_is_until_its_step_and_then_trains(algorithm):
    wanted, part = training(algorithm)
    with trainer_of(wanted) as trainer:
        start, whole = part_of(trainer, part), trainer.module.get_state()
        until(trainer, 60)
        assert same(start, part_of(trainer, part))
        assert not same(whole, trainer.module.get_state())
        if algorithm != "ppo":
            pairs = trainer.module.get_target_network_pairs()
            for network, copy in pairs:
                if network in (trainer.module.get_submodule(part),):
                    assert same(network.state_dict(), copy.state_dict())
        until(trainer, 120)
        assert not same(start, part_of(trainer, part))


@frozen
@pytest.mark.parametrize("stop", [40, 100], ids=["before", "after"])
def test_a_run_that_was_resumed_trains_as_if_it_had_not_been(algorithm, stop, tmp_path):
    wanted, _ = training(algorithm)
    with trainer_of(wanted) as trainer:
        until(trainer, stop)
        trainer.save(tmp_path / "saved")
        trainer.restore(tmp_path / "saved")  # environments restart in both
        expected, state = until(trainer, stop + 60), trainer.module.get_state()
    with trainer_of(wanted) as other:
        other.restore(tmp_path / "saved")
        assert until(other, stop + 60) == expected
        assert same(state, other.module.get_state())


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_the_running_norms_of_a_frozen_part_stand_still(algorithm):
    wanted, _ = training(algorithm)
    data = wanted.to_data()
    del data["model"]
    scaled = {"encoder": {"type": "mlp", "norm": "running"}}
    with trainer_of(experiment(**{**data, "model": scaled})) as trainer:
        (norm,) = running_norms(trainer.module.main)
        until(trainer, 60)
        assert norm.count == 0
        until(trainer, 100)
        assert norm.count > 0


def test_the_temperature_of_sac_does_not_decay():
    config = AlgorithmConfig.parse({"type": "sac", "optimiser": {"weight_decay": 0.5}})
    module = compose(VECTOR, VECTOR, algorithm=config).build()
    optimisers = config.build(module, torch.Generator()).optimisers
    decays = {n: o.torch.param_groups[0]["weight_decay"] for n, o in optimisers.items()}
    assert decays == {"actor": 0.5, "critic": 0.5, "alpha": 0.0}


@pytest.mark.parametrize(
    ("part", "message"),
    [("thre", "has no part `thre`"), ("one.weght", "did you mean `one`"), ("one", "is frozen")],
)
def test_a_hand_written_module_is_told_of_parts_it_does_not_train(part, message):
    module = Two(VECTOR, TWO)
    module.freeze("one")
    with pytest.raises(ModuleError, match=message) as error:
        optimiser_of(module, {"parts": {part: {"lr": 1.0}}})
    assert error.value.problems[0].path == f"algorithm.optimiser.parts.{part}"


def test_a_model_of_ones_own_is_told_before_training_with_the_line_that_was_meant():
    parts = {"factr": {"lr": 1e-3}, "logits": {"frozen_until": 8}}
    custom = {"type": "custom", "path": "experiments.Probe"}
    wanted = experiment(model=custom, algorithm={"optimiser": {"parts": parts}})
    with pytest.raises(ModuleError, match="has no part `factr`; did you mean `factor`") as error:
        wanted.require_model()
    fixes = [problem.fix for problem in error.value.problems]
    assert fixes == ["algorithm.optimiser.parts.factor.lr=0.001"]


def test_a_trainer_that_freezes_a_part_with_settings_is_refused_before_it_makes_environments():
    wanted = experiment(algorithm={"optimiser": {"parts": {"main": {"lr": 1.0}}}})
    wanted.make_envs = lambda: pytest.fail("environments were made")
    with pytest.raises(ModuleError, match="`main` is not trained: it is frozen"):
        Trainer(wanted, freeze="main")


# --- what an algorithm's default keeps


def test_what_is_said_of_an_optimiser_in_part_leaves_the_algorithms_own_settings():
    def of(given):
        return PPOConfig(optimiser=given).optimiser

    assert PPOConfig().optimiser.eps == 1e-5
    assert of({"weight_decay": 0.1}).eps == of("adam").eps == of({"type": "adam"}).eps == 1e-5
    assert of("adamw").eps == of({"type": "adamw", "weight_decay": 0.1}).eps == 1e-8
    assert SACConfig().optimiser.eps == 1e-8


# --- state


def test_the_state_is_named_by_parameter_and_key():
    assert set(stepped(two_layers("square")).get_tensors()) == {
        f"square.{parameter}/{key}"
        for parameter in ("weight", "bias")
        for key in ("step", "exp_avg", "exp_avg_sq")
    }


def test_the_named_state_is_a_copy():
    module = two_layers("square")
    optimiser = stepped(module)
    state = optimiser.get_tensors()
    kept = {name: tensor.clone() for name, tensor in state.items()}
    optimiser.step(rising(module))
    assert same(kept, state)


@kinds
def test_the_state_fits_a_module_whose_parameters_come_in_another_order(kind):
    first, second = two_layers("square", "wide"), two_layers("wide", "square")
    optimiser = stepped(first, steps=3, optimiser=kind)
    other = optimiser_of(second, optimiser={"type": kind, "parts": {}})
    other.set_tensors(optimiser.get_tensors())
    second.load_state_dict(first.state_dict())
    for module, its in ((first, optimiser), (second, other)):
        its.step(rising(module))
    assert same(first.state_dict(), second.state_dict())


@kinds
def test_loading_leaves_nothing_of_the_state_before(kind):
    module, optimiser = two_layers("square"), stepped(two_layers("square"), optimiser=kind)
    optimiser.set_tensors({})
    assert same(optimiser.get_tensors(), optimiser_of(module, kind).get_tensors())


def test_state_of_a_parameter_that_the_module_lacks_is_refused_by_name():
    optimiser = stepped(two_layers("square"))
    state = optimiser.get_tensors() | {"other.weight/step": torch.ones(())}
    with pytest.raises(CheckpointError, match=r"`other\.weight/step` does not fit"):
        optimiser.set_tensors(state)


def test_state_of_another_shape_is_refused_and_changes_nothing():
    optimiser = stepped(two_layers("square"))
    before = optimiser.get_tensors()
    with pytest.raises(CheckpointError, match=r"`square\.weight/exp_avg` does not fit"):
        optimiser.set_tensors(before | {"square.weight/exp_avg": torch.ones(3)})
    assert same(before, optimiser.get_tensors())


def test_state_that_other_settings_left_is_refused_with_both():
    module = two_layers("square")
    state = stepped(module).get_tensors()
    told = r"remembers exp_avg, exp_avg_sq, step, and `adam` as it is set here .*max_exp_avg_sq"
    with pytest.raises(CheckpointError, match=told):
        optimiser_of(module, {"amsgrad": True}).set_tensors(state)


def test_a_checkpoint_of_another_kind_is_refused_and_nothing_is_loaded(tmp_path):
    with trainer_of(experiment(seed=1)) as trainer:
        trainer.step()
        trainer.save(tmp_path / "saved")
    with trainer_of(experiment(algorithm={"optimiser": "adamw"})) as other:
        before = other.module.get_state()
        with pytest.raises(CheckpointError, match="by the optimiser adam, whose state adamw"):
            other.restore(tmp_path / "saved")
        assert same(before, other.module.get_state())
        assert not other.driver.algorithm.optimiser.get_tensors()
