"""What all auxiliary heads share, and losses and rewards that a module has by itself."""

import copy

import numpy as np
import pytest
import torch
from actor_critics import GAMMA
from experiments import driver_of, experiment, trainer_of
from gymnasium import spaces
from torch import nn

from composer import Blueprint, compose
from composer.algorithms._actor_critic import ActorCritic
from composer.algorithms._auxiliary import gradients
from composer.algorithms._sequences import now
from composer.algorithms.base import AlgorithmConfig
from composer.apis import IntrinsicRewardAPI, SelfSupervisedLossAPI
from composer.columns import Columns
from composer.errors import CompositionError, ConfigError, ContractError
from composer.heads.base import HeadConfig
from composer.module.rl_module import RLModule
from composer.optimisers._descent import DescentConfig, Optimiser
from composer.optimisers._schedule import Elapsed
from composer.spaces import batch, map_structure, to_tensors
from composer.training.intrinsic import pay_rollout, pay_transitions

VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (16, 16, 1), np.uint8)
NESTED = spaces.Dict(image=IMAGE, speed=VECTOR, gear=spaces.Discrete(3, start=1))
TWO = spaces.Discrete(2)
ARM = spaces.Box(-2.0, 2.0, (2,), np.float32)
BOTH = spaces.Dict(arm=ARM, hand=TWO)
KINDS = ("reconstruction", "next_state", "curiosity")
ALL = {kind: {} for kind in KINDS} | {"features": {"type": "next_state", "predict": "features"}}
SMALL = {"encoder": {"hidden": [8]}, "heads": ALL}

each_kind = pytest.mark.parametrize("kind", KINDS)
trained_by = pytest.mark.parametrize(
    ("algorithm", "actions"),
    [
        ("ppo", TWO),
        ("ppo", BOTH),
        ("dqn", TWO),
        ("sac", TWO),
        ("sac", ARM),
        ("sac", BOTH),
        ("td3", ARM),
        ("tqc", ARM),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)


def module_of(space=VECTOR, actions=TWO, algorithm="ppo", **model):
    return compose(space, actions, SMALL | model, algorithm).build(seed=0)


def observations(space, count, seed=0):
    space = copy.deepcopy(space)
    space.seed(seed)
    return to_tensors(batch(space, [space.sample() for _ in range(count)]))


def transitions(module, count=6, seed=0):
    """A batch as a replay draws it, of what the module does."""
    space = module.observation_space
    obs = observations(space, count, seed)
    generator = torch.Generator().manual_seed(seed)
    return {
        Columns.OBS: obs,
        Columns.NEXT_OBS: observations(space, count, seed + 1),
        Columns.ACTIONS: module.act(obs, generator=generator).actions,
        Columns.REWARDS: torch.arange(float(count)),
        Columns.TERMINATEDS: torch.tensor([True] + [False] * (count - 1)),
        Columns.DISCOUNTS: torch.full((count,), GAMMA),
        Columns.WEIGHTS: torch.ones(count),
    }


def rollout(module, envs=3, steps=4, seed=0):
    """A batch as the on-policy driver makes it; the last step of the first row is a dummy."""
    space = module.observation_space
    flat = observations(space, envs * (steps + 1), seed)
    obs = map_structure(lambda leaf: leaf.reshape(envs, steps + 1, *leaf.shape[1:]), flat)
    seen = map_structure(lambda leaf: leaf[:, :-1], obs)
    generator = torch.Generator().manual_seed(seed)
    step = module.act(seen, generator=generator)
    zeros = torch.zeros(envs, steps, dtype=torch.bool)
    counted = ~zeros
    counted[0, -1] = False
    return {
        Columns.OBS: obs,
        Columns.ACTIONS: step.actions,
        Columns.ACTION_LOGP: step.log_prob,
        Columns.ACTION_DIST_INPUTS: step.dist_inputs,
        Columns.VF_PREDS: step.value,
        Columns.REWARDS: torch.arange(float(envs * steps)).reshape(envs, steps),
        Columns.TERMINATEDS: zeros,
        Columns.TRUNCATEDS: zeros,
        Columns.LOSS_MASK: counted,
    }


def learner(module, algorithm, **settings):
    config = AlgorithmConfig.parse({"type": algorithm, **settings})
    return config.build(module, torch.Generator().manual_seed(0))


def updated(algorithm, learner, seed=0):
    """The metrics of an update from what the learner's module did."""
    make = rollout if algorithm == "ppo" else transitions
    return learner.update(make(learner.module, seed=seed))


def optimised(learner):
    """Each parameter as often as an optimiser has it."""
    optimisers = getattr(learner, "optimisers", None) or {"all": learner.optimiser}
    return {
        name: [p for group in optimiser.torch.param_groups for p in group["params"]]
        for name, optimiser in optimisers.items()
    }


# --- every algorithm, every head


@pytest.mark.parametrize("space", [VECTOR, NESTED], ids=["vector", "nested"])
@trained_by
def test_every_algorithm_trains_every_head(algorithm, actions, space):
    module = module_of(space, actions, algorithm)
    trained = learner(module, algorithm)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    metrics = updated(algorithm, trained)
    assert {f"auxiliary/{role}" for role in ALL} <= metrics.keys()
    assert all(np.isfinite(value) for value in metrics.values())
    for role in ALL:
        moved = [n for n, p in module.named_parameters() if not torch.equal(p, before[n])]
        assert any(name.startswith(f"{role}.") for name in moved)


@trained_by
def test_every_trainable_parameter_is_in_one_optimiser(algorithm, actions):
    model = {"trunks": {"critic": {}, "auxiliary": {}}}
    module = module_of(VECTOR, actions, algorithm, **model)
    held = [id(p) for group in optimised(learner(module, algorithm)).values() for p in group]
    trainable = {id(p) for p in module.parameters() if p.requires_grad}
    assert len(held) == len(set(held))
    assert trainable <= set(held)


def test_what_only_auxiliary_losses_reach_is_a_group_of_its_own():
    model = {"trunks": {"critic": {}, "auxiliary": {}}, "heads": {"curiosity": {}}}
    module = module_of(VECTOR, ARM, "sac", **model)
    groups = optimised(learner(module, "sac"))
    own = [*module.auxiliary.parameters(), *module.curiosity.parameters()]
    assert {id(p) for p in groups["auxiliary"]} == {id(p) for p in own}


def test_the_state_of_that_group_is_saved_and_loaded():
    module = module_of(VECTOR, ARM, "td3")
    trained = learner(module, "td3")
    updated("td3", trained)
    tensors = trained.get_tensors()
    assert any(name.startswith("auxiliary/curiosity.") for name in tensors)
    again = learner(module, "td3")
    again.set_tensors(tensors)
    assert again.get_tensors().keys() == tensors.keys()


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_a_trunk_of_the_critics_descends_both_gradients(algorithm, monkeypatch):
    model = {"heads": {"reconstruction": {"reads": "critic", "weight": 3.0}}, "trunks": {}}
    model["trunks"] = {"critic": {"encoder": {"type": "mlp", "hidden": [8]}}}
    module = module_of(VECTOR, ARM, algorithm, **model)
    trained = learner(module, algorithm)
    weight = module.critic.encoder.layers[0].weight
    batch = transitions(module)
    own = module.compute_self_supervised_loss(batch, {})["reconstruction"]
    (expected,) = torch.autograd.grad(own, [weight])
    seen = {}
    monkeypatch.setattr(
        trained.optimisers["critic"].torch, "step", lambda: seen.update(grad=weight.grad.clone())
    )
    trained.shares = {}
    loss = trained.q(now(batch), torch.zeros(6, 2)).sum()
    trained.descend("critic", loss)
    alone = seen["grad"]
    trained.descend_own(batch)
    trained.descend("critic", trained.q(now(batch), torch.zeros(6, 2)).sum())
    torch.testing.assert_close(seen["grad"] - alone, expected)


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_a_trunk_of_their_own_leaves_the_layout_of_the_algorithm(algorithm):
    actions = ARM if algorithm != "ppo" else TWO
    usual = compose(VECTOR, actions, {}, algorithm)
    model = {"heads": {"reconstruction": {}}, "trunks": {"auxiliary": {}}}
    beside = compose(VECTOR, actions, model, algorithm)
    assert {"auxiliary.encoder", "reconstruction"} == beside.by_name.keys() - usual.by_name.keys()
    assert [beside.by_name[node.name] for node in usual.nodes] == list(usual.nodes)


def test_td3_follows_its_own_losses_between_the_policys_steps():
    module = module_of(VECTOR, ARM, "td3", heads={"reconstruction": {}})
    trained = learner(module, "td3", policy_delay=3)
    weight = module.main.encoder.layers[0].weight
    for _ in range(3):
        before = weight.detach().clone()
        updated("td3", trained)
        assert not torch.equal(weight, before)


def test_gradients_that_share_memory_are_clipped_once():
    first, second = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    parts = torch.nn.ParameterDict({"first": first, "second": second})
    config = DescentConfig(lr=1.0, max_grad_norm=1.0, optimiser={"type": "sgd"})
    optimiser = Optimiser(config, parts, dict(parts.items()))
    loss = 10 * (first + second).sum()
    optimiser.step(None, shares=gradients([loss], [first, second]))
    norm = torch.cat([first, second]).norm()
    assert float(norm.detach()) == pytest.approx(1.0, rel=1e-3)


# --- weight, and which trunk is trained


@each_kind
def test_the_weight_multiplies_the_loss(kind):
    once, thrice = (module_of(heads={kind: {"weight": w}}) for w in (1.0, 3.0))
    batch = transitions(once)
    (one,), (three,) = (m.compute_self_supervised_loss(batch, {}).values() for m in (once, thrice))
    torch.testing.assert_close(three, 3 * one)


@each_kind
def test_a_loss_trains_the_trunk_it_reads_unless_that_is_stopped(kind):
    for stopped in (False, True):
        stop = {"stop_gradient": ["main"]} if stopped else {}
        module = module_of(heads={kind: stop}, trunks={})
        module.compute_self_supervised_loss(transitions(module), {})[kind].backward()
        in_trunk = [p.grad is not None for p in module.main.parameters()]
        assert in_trunk == [not stopped] * len(in_trunk)
        assert all(p.grad is not None for p in getattr(module, kind).parameters())


@each_kind
def test_embeddings_that_are_there_are_not_computed_again(kind):
    module = module_of(heads={kind: {}})
    batch = transitions(module)
    out = module.forward_train(batch)
    fresh = module.compute_self_supervised_loss(batch, {})[kind]
    torch.testing.assert_close(module.compute_self_supervised_loss(batch, out)[kind], fresh)
    out[Columns.EMBEDDINGS] = {"main": torch.zeros_like(out[Columns.EMBEDDINGS]["main"])}
    assert module.compute_self_supervised_loss(batch, out)[kind] != fresh


@pytest.mark.parametrize(
    ("trunks", "head", "read"),
    [
        ({}, {}, "main"),
        ({"critic": {}}, {}, "main"),
        ({"critic": {}}, {"reads": "critic"}, "critic"),
        ({"critic": {}, "auxiliary": {}}, {}, "auxiliary"),
    ],
)
def test_a_head_reads_what_it_names_or_the_trunk_auxiliary_or_main(trunks, head, read):
    blueprint = compose(VECTOR, TWO, {"trunks": trunks, "heads": {"curiosity": head}}, "ppo")
    assert blueprint.by_name["curiosity"].inputs[0] == f"{read}.encoder"


def test_an_auxiliary_head_does_not_detach_the_trunk_it_shares_with_a_critic():
    blueprint = compose(VECTOR, ARM, {"trunks": {}, "heads": ALL}, "sac")
    detached = {node.name: getattr(node, "stop_gradient", None) for node in blueprint.nodes}
    assert detached["policy"]
    assert not any(detached[role] for role in ALL)


def test_two_of_one_kind_stand_on_two_trunks():
    heads = {"reconstruction": {}, "other": {"type": "reconstruction", "reads": "critic"}}
    module = module_of(trunks={"critic": {}}, heads=heads)
    losses = module.compute_self_supervised_loss(transitions(module), {})
    assert losses.keys() == {"reconstruction", "other"}
    assert losses["reconstruction"] != losses["other"]


def test_a_trunk_that_sees_one_key_rebuilds_that_key_alone():
    trunks = {"auxiliary": {"observe": ["speed"]}}
    module = module_of(NESTED, trunks=trunks, heads={"reconstruction": {}})
    batch = transitions(module)
    before = module.compute_self_supervised_loss(batch, {})
    batch[Columns.OBS]["gear"] = 4 - batch[Columns.OBS]["gear"]
    assert module.compute_self_supervised_loss(batch, {}) == before


def test_a_mask_of_the_actions_is_not_rebuilt():
    mask = spaces.Box(0, 1, (2,), np.int8)
    blueprint = compose(spaces.Dict(speed=VECTOR, action_mask=mask), TWO, SMALL, "ppo")
    assert blueprint.by_name["reconstruction"].out_dim == 3


# --- acting


@trained_by
def test_acting_does_without_auxiliary_heads(algorithm, actions):
    model = {"trunks": {"critic": {}, "auxiliary": {}}}
    blueprint = compose(VECTOR, actions, SMALL | model, algorithm)
    assert {*ALL, "auxiliary"} <= set(blueprint.non_inference_parts)
    slim = blueprint.build(seed=0, inference_only=True)
    assert not any(hasattr(slim, name) for name in (*ALL, "auxiliary"))
    obs = observations(VECTOR, 2)
    full = blueprint.build(seed=0)
    given, wanted = (m.act(obs, deterministic=True).actions for m in (slim, full))
    torch.testing.assert_close(given, wanted)


def test_auxiliary_heads_do_not_run_unless_a_loss_asks(monkeypatch):
    module = module_of(trunks={"critic": {}, "auxiliary": {}})
    obs = observations(VECTOR, 2)
    for name in (*ALL, "auxiliary"):
        monkeypatch.setattr(module, name, None)
    module.act(obs)
    assert module.forward_train({Columns.OBS: obs})[Columns.EMBEDDINGS].keys() == {"main", "critic"}


# --- the blueprint


def test_a_blueprint_with_auxiliary_heads_survives_json():
    blueprint = compose(NESTED, BOTH, SMALL, "ppo")
    again = Blueprint.from_json(blueprint.to_json())
    assert again.fingerprint == blueprint.fingerprint
    ours, theirs = (made.build(seed=0).state_dict() for made in (blueprint, again))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_parameters_of_auxiliary_heads_are_counted():
    blueprint = compose(NESTED, BOTH, SMALL, "ppo")
    module = blueprint.build()
    assert blueprint.parameter_count == sum(p.numel() for p in module.parameters())
    assert {SelfSupervisedLossAPI, IntrinsicRewardAPI} <= blueprint.apis
    assert "reads main, actions, next_obs" in blueprint.explain()


def test_other_parts_have_the_same_weights_with_auxiliary_heads_and_without():
    with_heads, without = (module_of(heads=heads).state_dict() for heads in (ALL, {}))
    assert all(torch.equal(with_heads[name], without[name]) for name in without)


@pytest.mark.parametrize("space", [VECTOR, IMAGE, NESTED], ids=["vector", "image", "nested"])
@each_kind
def test_a_head_gives_as_many_numbers_as_its_node_says(kind, space):
    node = compose(space, BOTH, {"heads": {kind: {}}}, "ppo").by_name[kind]
    for lead in ((), (2,), (2, 3)):
        given = node.build()(torch.zeros(*lead, node.in_dim))
        assert given.shape == (*lead, node.out_dim)


# --- mistakes


def refused(space, heads, actions=TWO, algorithm="ppo", **model):
    with pytest.raises((CompositionError, ConfigError, ContractError)) as error:
        compose(space, actions, {"heads": heads, **model}, algorithm)
    (found,) = error.value.problems
    return found


def test_a_weight_is_not_negative():
    found = refused(VECTOR, {"reconstruction": {"weight": -1.0}})
    assert found.path == "model.heads.reconstruction.weight"
    assert "greater than or equal to 0" in found.message


def test_a_trunk_that_is_not_there_cannot_be_read():
    found = refused(VECTOR, {"curiosity": {"reads": "critc"}})
    assert found.message == "there is no trunk `critc`; did you mean `critic`?"
    assert found.fix == "model.heads.curiosity.reads=critic"


TEXT = spaces.Text(5)
NAMED = spaces.Dict(name=TEXT, speed=VECTOR)


@pytest.mark.parametrize(
    ("space", "head", "fix"),
    [
        (TEXT, {"type": "reconstruction"}, "~model.heads.own"),
        (NAMED, {"type": "reconstruction"}, "model.trunks.auxiliary.observe='[speed]'"),
        (NAMED, {"type": "reconstruction", "reads": "main"}, "model.observe='[speed]'"),
        (TEXT, {"type": "next_state"}, "model.heads.own.predict=features"),
    ],
)
def test_what_has_no_fixed_length_is_not_rebuilt(space, head, fix):
    found = refused(space, {"own": head})
    assert "not Text(1..5, 62 characters)" in found.message
    assert found.path == "model.heads.own"
    assert found.fix == fix


@pytest.mark.parametrize(
    "model",
    [
        {"heads": {"own": {"type": "next_state", "predict": "features"}}},
        {"heads": {"own": {"type": "curiosity"}}},
        {"heads": {"own": "reconstruction"}, "trunks": {"auxiliary": {"observe": ["speed"]}}},
        {"heads": {"own": {"type": "reconstruction", "reads": "main"}}, "observe": ["speed"]},
    ],
)
def test_what_the_refusals_offer_works(model):
    assert compose(NAMED, TWO, model, "ppo").by_name["own"]


@pytest.mark.parametrize("kind", ["next_state", "curiosity"])
def test_actions_of_several_branches_are_refused(kind):
    found = refused(VECTOR, {kind: {}}, spaces.OneOf((ARM, TWO)))
    assert found.message.startswith(f"`{kind}` takes Box, Discrete, MultiDiscrete and MultiBinary")
    assert found.fix == f"~model.heads.{kind}"


def test_single_steps_are_not_learnt_from_longer_transitions():
    found = refused(VECTOR, ALL, algorithm={"type": "dqn", "n_step": 3})
    assert found.path == "algorithm.n_step"
    assert found.message.startswith("`next_state` and `curiosity` and `features` would learn from")
    assert found.fix == "algorithm.n_step=1"
    alone = {"heads": {"reconstruction": {}}}
    assert compose(VECTOR, TWO, alone, {"type": "dqn", "n_step": 3})


def test_every_auxiliary_head_offers_its_losses():
    offering = {tag for tag in HeadConfig.tags() if _offers(tag, SelfSupervisedLossAPI)}
    assert offering == set(KINDS)
    assert _offers("curiosity", IntrinsicRewardAPI)
    assert not _offers("next_state", IntrinsicRewardAPI)


def _offers(tag, api):
    return api in HeadConfig.members[tag].apis()


# --- intrinsic rewards


class Paying(RLModule):
    """Pays 10 · next - obs; a policy and values that do not matter."""

    def setup(self):
        self.linear = nn.Linear(1, 3)

    def _forward(self, batch, **kwargs):
        out = self.linear(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: out[..., :2], Columns.VF_PREDS: out[..., 2]}

    def compute_values(self, batch, embeddings=None):
        return self._forward(batch)[Columns.VF_PREDS]

    def compute_intrinsic_rewards(self, batch):
        return (10 * batch[Columns.NEXT_OBS] - batch[Columns.OBS]).squeeze(-1)


def paying():
    return Paying(spaces.Box(-9.0, 9.0, (1,), np.float32), TWO)


def test_a_rollout_is_paid_for_each_step_that_counts():
    given = {
        Columns.OBS: torch.tensor([[[1.0], [2.0], [4.0]]]),
        Columns.ACTIONS: torch.zeros(1, 2, dtype=torch.int64),
        Columns.REWARDS: torch.tensor([[0.5, 0.25]]),
        Columns.LOSS_MASK: torch.tensor([[True, True]]),
    }
    paid, logged = pay_rollout(paying(), given)
    assert paid[Columns.REWARDS].tolist() == [[0.5 + 19, 0.25 + 38]]
    assert float(logged["intrinsic_reward"]) == (19 + 38) / 2
    assert given[Columns.REWARDS].tolist() == [[0.5, 0.25]]
    given[Columns.LOSS_MASK] = torch.tensor([[True, False]])
    paid, logged = pay_rollout(paying(), given)
    assert paid[Columns.REWARDS].tolist() == [[0.5 + 19, 0.25]]
    assert float(logged["intrinsic_reward"]) == 19


def test_transitions_are_paid_for():
    given = {
        Columns.OBS: torch.tensor([[1.0], [2.0]]),
        Columns.NEXT_OBS: torch.tensor([[2.0], [0.0]]),
        Columns.REWARDS: torch.tensor([0.5, 0.25]),
    }
    paid, logged = pay_transitions(paying(), given)
    assert paid[Columns.REWARDS].tolist() == [19.5, -1.75]
    assert float(logged["intrinsic_reward"]) == (19 - 2) / 2


def test_what_a_module_pays_is_added_after_rewards_are_scaled():
    wanted = experiment(algorithm={"reward_scaling": "running"})
    space = wanted.blueprint.observation_space
    with driver_of(wanted, Paying(space, TWO)) as driver:
        seen, update = [], driver.algorithm.update
        driver.algorithm.update = lambda batch: seen.append(batch[Columns.REWARDS]) or update(batch)
        driver.iterate(Elapsed())
        obs = torch.from_numpy(driver.rollout.arrays[Columns.OBS]).squeeze(-1)
        counted = torch.from_numpy(driver.rollout.arrays[Columns.LOSS_MASK])
        scaled = torch.from_numpy(driver.rollout.arrays[Columns.REWARDS])
        paid = (10 * obs[:, 1:] - obs[:, :-1]) * counted
        torch.testing.assert_close(seen[0], scaled + paid)
        assert scaled.max() < 3.0  # 1, 2, 3 before


def test_a_module_that_pays_nothing_changes_nothing():
    module = module_of(heads={"reconstruction": {}})
    given = transitions(module)
    assert pay_transitions(module, given) == (given, {})


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_intrinsic_rewards_are_learnt_from_and_not_reported(algorithm):
    settings = {"type": algorithm}
    if algorithm == "dqn":
        settings |= {"learning_starts": 8, "replay": {"capacity": 100}, "batch_size": 4}
    head = {"curiosity": {"reward_scale": 100.0}}
    wanted = experiment(algorithm=settings, model={"heads": head}, total_steps=64)
    seen = []
    with trainer_of(wanted) as trainer:
        learner = trainer.driver.algorithm
        update = learner.update
        learner.update = lambda batch: seen.append(batch[Columns.REWARDS]) or update(batch)
        rows = []
        while not trainer.done:
            rows.append(trainer.step().metrics)
    returns = [row["episode_return"] for row in rows if "episode_return" in row]
    assert returns
    assert set(returns) == {6.0}  # 1 + 2 + 3
    assert any("train/intrinsic_reward" in row for row in rows)
    assert max(float(rewards.max()) for rewards in seen) > 3.0


def test_only_a_learner_of_single_steps_takes_a_module_that_pays():
    class Paid(Paying):
        def compute_q_values(self, batch):
            return {}

        def make_target_networks(self): ...

        def get_target_network_pairs(self):
            return []

        def forward_target(self, batch):
            return {}

    config = AlgorithmConfig.parse({"type": "dqn", "n_step": 2})
    with pytest.raises(ContractError, match="Paid would learn from single steps"):
        config.require(Paid)
    AlgorithmConfig.parse("dqn").require(Paid)


# --- hand-written modules


class Own(RLModule):
    """Everything that ppo, dqn and sac ask for, and a loss of its own that pulls `own` to obs."""

    def setup(self):
        self.pi, self.v = nn.Linear(3, 2), nn.Linear(3, 1)
        self.q = nn.Linear(3, 2)
        self.own = nn.Parameter(torch.zeros(3))

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.pi(batch[Columns.OBS])}

    def compute_values(self, batch, embeddings=None):
        return self.v(batch[Columns.OBS]).squeeze(-1)

    def compute_q_values(self, batch):
        return {Columns.QF_PREDS: self.q(batch[Columns.OBS])}

    def make_target_networks(self):
        self.target = copy.deepcopy(self.q).requires_grad_(False)

    def get_target_network_pairs(self):
        return [(self.q, self.target)]

    def forward_target(self, batch):
        return {Columns.QF_PREDS: self.target(batch[Columns.OBS])}

    def compute_self_supervised_loss(self, batch, out):
        assert Columns.ACTION_DIST_INPUTS in out
        assert Columns.ACTIONS in batch
        return {"pull": 2.0 * (self.own - batch[Columns.NEXT_OBS]).square().mean()}


@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "sac"])
def test_a_hand_written_module_with_losses_is_trained_by_them(algorithm):
    module = Own(VECTOR, TWO)
    assert isinstance(module, SelfSupervisedLossAPI)
    trained = learner(module, algorithm)
    metrics = updated(algorithm, trained)
    assert metrics["auxiliary/pull"] > 0
    assert module.own.abs().min() > 0
    if isinstance(trained, ActorCritic):
        assert [id(p) for p in optimised(trained)["auxiliary"]] == [id(module.own)]


OWN_FILE = """
import torch
from torch import nn
from composer import Columns, RLModule

class Mine(RLModule):
    def setup(self):
        self.linear = nn.Linear(1, 3)

    def _forward(self, batch, **kwargs):
        out = self.linear(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: out[..., :2], Columns.VF_PREDS: out[..., 2]}

    def compute_values(self, batch, embeddings=None):
        return self._forward(batch)[Columns.VF_PREDS]

    def compute_self_supervised_loss(self, batch, out):
        return LOSS

    def compute_intrinsic_rewards(self, batch):
        return REWARD
"""


def hand_written(tmp_path, monkeypatch, loss, reward):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"own_{abs(hash((loss, reward, str(tmp_path))))}"
    text = OWN_FILE.replace("LOSS", loss).replace("REWARD", reward)
    (tmp_path / f"{name}.py").write_text(text)
    return experiment(model={"type": "custom", "path": f"{name}.Mine"})


GOOD_LOSS = '{"bias": self.linear.bias.square().mean()}'
GOOD_REWARD = "torch.ones(batch[Columns.OBS].shape[:-1])"


@pytest.mark.parametrize(
    ("loss", "reward", "told"),
    [
        ("self.linear.bias", GOOD_REWARD, "returns scalars by name, {name: ()}, here Parameter"),
        ('{"bias": self.linear.bias}', GOOD_REWARD, "here {'bias': (3,)}"),
        (GOOD_LOSS, "torch.ones(2, 1)", "gives rewards of the shape (2, 1) for 2 transitions"),
    ],
)
def test_a_hand_written_loss_or_reward_of_another_form_is_refused(
    tmp_path, monkeypatch, loss, reward, told
):
    wanted = hand_written(tmp_path, monkeypatch, loss, reward)
    with pytest.raises(ContractError) as error:
        wanted.require_model()
    assert told in str(error.value)


def test_a_hand_written_module_is_trained_from_yaml_by_its_losses(tmp_path, monkeypatch):
    wanted = hand_written(tmp_path, monkeypatch, GOOD_LOSS, GOOD_REWARD)
    with trainer_of(wanted) as trainer:
        metrics = trainer.step().metrics
    assert metrics["train/intrinsic_reward"] == 1.0
    assert metrics["train/auxiliary/bias"] > 0


WEIGHTLESS = [
    (VECTOR, "identity", "model/encoder=mlp"),
    (VECTOR, {"type": "mlp", "hidden": []}, "model.encoder.hidden='[64]'"),
    (NESTED, {"type": "flatten", "hidden": []}, "model.encoder.hidden='[64]'"),
    (
        spaces.Dict(speed=VECTOR),
        {"type": "dict", "children": {"speed": "identity"}},
        "model.encoder.hidden='[64]'",
    ),
]


@pytest.mark.parametrize("head", ["reconstruction", "next_state"])
@pytest.mark.parametrize(("space", "encoder", "fix"), WEIGHTLESS)
def test_a_head_that_is_there_to_train_a_trunk_is_refused_where_that_has_no_weights(
    head, space, encoder, fix
):
    model = {"encoder": encoder, "heads": {head: {}}}
    with pytest.raises(CompositionError) as refused:
        compose(space, TWO, model, "ppo")
    (problem,) = refused.value.problems
    assert problem.path == f"model.heads.{head}"
    message = f"the trunk `main`, which `{head}` is there to train, has no weights"
    assert problem.message == message
    assert problem.fix == fix


@pytest.mark.parametrize(
    "heads", [{"curiosity": {}}, {"reconstruction": {"stop_gradient": ["main"]}}]
)
def test_a_head_that_pays_or_only_looks_on_needs_no_weights_below_it(heads):
    assert compose(VECTOR, TWO, {"encoder": "identity", "heads": heads}, "ppo")
