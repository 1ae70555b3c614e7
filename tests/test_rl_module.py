import copy
import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from composer import Catalog, Columns, RLModule, compose
from composer.apis import InferenceOnlyAPI, ValueFunctionAPI
from composer.distributions.categorical import CategoricalDistribution
from composer.errors import ModuleError

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
TWO = spaces.Discrete(2)
BOUNDED = spaces.Box(np.array([-2.0, 0.0]), np.array([3.0, 0.1]), dtype=np.float64)
LEADS = [(), (5,), (2, 3)]


class VPG(RLModule):
    """As in RLlib's documentation."""

    def setup(self):
        hidden_dim = self.model_config.get("hidden_dim", 8)
        self._policy_net = nn.Sequential(
            nn.Linear(self.observation_space.shape[0], hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, int(self.action_space.n)),
        )

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self._policy_net(batch[Columns.OBS])}


class ActorCritic(VPG, ValueFunctionAPI, InferenceOnlyAPI):
    def setup(self):
        super().setup()
        self.nets = nn.ModuleDict({"value": nn.Linear(4, 1), "kept": nn.Linear(4, 1)})

    def compute_values(self, batch, embeddings=None):
        return self.nets["value"](batch[Columns.OBS]).squeeze(-1)

    def get_non_inference_attributes(self):
        return ["nets.value"]


def vpg(cls=VPG, action_space=TWO, **options):
    torch.manual_seed(0)
    return cls(observation_space=VECTOR, action_space=action_space, **options)


def obs_of(lead=(5,), space=VECTOR):
    space.seed(0)
    count = int(np.prod(lead))
    return np.stack([space.sample() for _ in range(count)]).reshape((*lead, *space.shape))


def returning(out):
    """A module whose forwards return `out`, or what `out` makes of the batch."""

    class Returning(RLModule):
        def _forward(self, batch, **kwargs):
            return out(batch) if callable(out) else out

    return vpg(Returning)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# writing one by hand


def test_a_module_is_written_by_setup_and_forward():
    module = vpg(model_config={"hidden_dim": 3})
    assert module._policy_net[0].out_features == 3
    out = module.forward_train({Columns.OBS: torch.zeros(5, 4)})
    assert out[Columns.ACTION_DIST_INPUTS].shape == (5, 2)


def test_setup_finds_everything_it_was_given():
    seen = {}

    class Looking(RLModule):
        def setup(self):
            seen.update(
                spaces=(self.observation_space, self.action_space),
                config=self.model_config,
                only=(self.inference_only, self.learner_only),
                catalog=self.catalog,
            )

    catalog = Catalog({})
    vpg(Looking, model_config={"a": 1}, catalog=catalog, inference_only=True)
    assert seen == {
        "spaces": (VECTOR, TWO),
        "config": {"a": 1},
        "only": (True, False),
        "catalog": catalog,
    }


def test_the_catalog_is_the_shipped_one_unless_given():
    assert vpg().catalog is Catalog.default()


def test_the_model_config_that_was_given_is_not_shared():
    given = {"hidden_dim": 3}
    vpg(model_config=given).model_config["hidden_dim"] = 9
    assert given == {"hidden_dim": 3}


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("forward", "_forward"),
        ("forward_train", "_forward_train"),
        ("forward_exploration", "_forward_exploration"),
        ("forward_inference", "_forward_inference"),
        ("act", "_forward"),
    ],
)
def test_a_public_phase_cannot_be_overridden(name, instead):
    message = f"Mine overrides `{name}`, .* write `{instead}` instead"
    with pytest.raises(ModuleError, match=message):
        type("Mine", (RLModule,), {name: lambda self, batch: {}})
    mixin = type("Mixin", (), {name: lambda self, batch: {}})
    with pytest.raises(ModuleError, match=message):
        type("Mine", (mixin, RLModule), {})


@pytest.mark.parametrize("phase", ["train", "exploration", "inference"])
def test_no_forward_at_all_is_an_error(phase):
    class Empty(RLModule):
        pass

    with pytest.raises(ModuleError, match="Empty implements neither `_forward` nor"):
        getattr(vpg(Empty), f"forward_{phase}")({Columns.OBS: torch.zeros(1, 4)})


@pytest.mark.parametrize("phase", ["train", "exploration", "inference"])
def test_a_phase_may_have_a_forward_of_its_own(phase):
    class Own(VPG):
        pass

    mine = {"mine": True, Columns.ACTIONS: torch.zeros(1)}
    setattr(Own, f"_forward_{phase}", lambda self, batch: mine)
    module = vpg(Own)
    for each in ("train", "exploration", "inference"):
        out = getattr(module, f"forward_{each}")({Columns.OBS: torch.zeros(1, 4)})
        assert ("mine" in out) == (each == phase)


def test_arguments_reach_the_forward():
    class Told(VPG):
        def _forward(self, batch, **kwargs):
            return kwargs

    assert vpg(Told).forward_train({Columns.OBS: torch.zeros(1, 4)}, t=3) == {"t": 3}


# phases


@pytest.mark.parametrize("phase", ["exploration", "inference"])
def test_acting_phases_have_no_gradient(phase):
    out = getattr(vpg(), f"forward_{phase}")({Columns.OBS: torch.zeros(5, 4)})
    assert not out[Columns.ACTION_DIST_INPUTS].requires_grad


def test_training_has_a_gradient():
    module = vpg()
    module.forward_train({Columns.OBS: torch.ones(5, 4)})["action_dist_inputs"].sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_an_inference_only_module_cannot_be_trained():
    for module in (vpg(inference_only=True), compose(VECTOR, TWO).build(inference_only=True)):
        with pytest.raises(ModuleError, match="built inference_only: it has no parts to train"):
            module.forward_train({Columns.OBS: torch.zeros(1, 4)})


def test_calling_a_module_is_the_train_phase_or_exploration_of_an_inference_only_one():
    batch = {Columns.OBS: torch.zeros(1, 4)}
    assert vpg()(batch)[Columns.ACTION_DIST_INPUTS].requires_grad
    assert not vpg(inference_only=True)(batch)[Columns.ACTION_DIST_INPUTS].requires_grad


def test_training_and_exploration_agree_exactly():
    module = compose(VECTOR, BOUNDED, algorithm="ppo").build()
    batch = {Columns.OBS: torch.as_tensor(obs_of())}
    train, explore = module.forward_train(batch), module.forward_exploration(batch)
    for column in (Columns.ACTION_DIST_INPUTS, Columns.VF_PREDS):
        assert torch.equal(train[column], explore[column])


# the contract of what a forward returns


def test_a_phase_that_is_none_names_the_three():
    module = compose(VECTOR, TWO).build()
    with pytest.raises(ModuleError, match="no phase `trian`; did you mean `train`") as raised:
        module.action_distribution({}, phase="trian")
    (problem,) = raised.value.problems
    assert problem.valid == ("train", "exploration", "inference")


def test_an_output_without_inputs_has_no_distribution():
    with pytest.raises(ModuleError, match="has no `action_dist_inputs`"):
        compose(VECTOR, TWO).build().action_distribution({})


@pytest.mark.parametrize(
    ("space", "obs", "told"),
    [
        (VECTOR, np.zeros(3), r"`obs`: expected \(\*B, 4\) float32, given \(3,\) float64"),
        (VECTOR, torch.zeros(4, 2), r"`obs`: expected \(\*B, 4\) float32, given \(4, 2\) float32"),
        (VECTOR, "left", "the observation is of <U4, not of numbers"),
        (VECTOR, None, "the observation is of object, not of numbers"),
        (VECTOR, [[1.0], [1.0, 2.0]], "the observation is no array"),
        (spaces.Discrete(3), np.array([0, 3]), r"observation has 3, which is not in Discrete\(3\)"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_an_observation_of_another_space_is_refused(space, obs, told, is_first):
    module = compose(space, TWO).build()
    module.proven.update(() if is_first else ("exploration",))
    with pytest.raises(ModuleError, match=told):
        module.act(obs)


def test_a_mistake_inside_a_module_is_shown_as_it_is():
    class Broken(VPG):
        def _forward(self, batch, **kwargs):
            return self.nothing

    with pytest.raises(AttributeError, match="nothing"):
        Broken(VECTOR, TWO).act(np.zeros(4))


def test_actions_alone_are_used_as_they_are():
    actions = torch.tensor([1, 0, 1])
    step = returning({Columns.ACTIONS: actions}).act(obs_of((3,)))
    assert torch.equal(step.actions, actions)
    assert step.env_actions.tolist() == [1, 0, 1]
    assert step.log_prob is None
    assert step.dist_inputs is None


def test_actions_and_inputs_give_the_log_prob_of_those_actions():
    logits = torch.tensor([[5.0, 0.0]])
    out = {Columns.ACTIONS: torch.tensor([1]), Columns.ACTION_DIST_INPUTS: logits}
    for deterministic in (False, True):
        step = returning(out).act(obs_of((1,)), deterministic=deterministic)
        assert step.actions.tolist() == [1]
        torch.testing.assert_close(step.log_prob, logits.log_softmax(-1)[:, 1])


def test_inputs_alone_are_sampled_when_exploring():
    module = returning({Columns.ACTION_DIST_INPUTS: torch.zeros(200, 2)})
    step = module.act(obs_of((200,)), generator=seeded())
    assert set(step.actions.tolist()) == {0, 1}


def test_inputs_alone_are_made_deterministic_in_inference():
    module = returning({Columns.ACTION_DIST_INPUTS: torch.tensor([[0.0, 0.1]]).expand(200, -1)})
    step = module.act(obs_of((200,)), deterministic=True)
    assert set(step.actions.tolist()) == {1}


@pytest.mark.parametrize("is_first", [True, False])
def test_neither_is_an_error_that_says_what_came(is_first):
    message = (
        "`forward_exploration` of Returning must return `action_dist_inputs` or `actions`: "
        "expected any value, given nothing"
    )
    module = returning({"logits": 1})
    module.proven.update(() if is_first else ("exploration", "inference"))
    with pytest.raises(ModuleError, match=f"{message} beside `logits`"):
        module.act(obs_of())
    with pytest.raises(ModuleError, match="`forward_inference` of Returning must return"):
        module.act(obs_of(), deterministic=True)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_forward_that_returns_no_mapping_is_told_so(is_first):
    module = returning(torch.zeros(5, 2))
    module.proven.update(() if is_first else ("exploration",))
    with pytest.raises(ModuleError, match="must return a mapping of columns, not Tensor"):
        module.act(obs_of())


@pytest.mark.parametrize(("space", "width"), [(TWO, 1), (TWO, 3), (BOUNDED, 2)])
def test_inputs_of_another_width_are_refused(space, width):
    module = returning({Columns.ACTION_DIST_INPUTS: torch.zeros(5, width)})
    module = vpg(type(module), space)
    with pytest.raises(ModuleError, match=rf"the shape \(5, {width}\), where .* needs"):
        module.act(obs_of())


def test_actions_for_the_environment_may_be_given_too():
    out = {Columns.ACTIONS: torch.tensor([1]), Columns.ACTIONS_FOR_ENV: "as it is"}
    assert returning(out).act(obs_of((1,))).env_actions == "as it is"


def test_state_out_and_values_are_passed_on():
    out = {
        Columns.ACTIONS: torch.tensor([1]),
        Columns.STATE_OUT: {"h": torch.ones(1)},
        Columns.VF_PREDS: torch.ones(1),
    }
    for deterministic in (False, True):
        module = returning(out)
        module.get_initial_state = lambda batch_size=1: {"h": torch.zeros(batch_size)}
        step = module.act(obs_of((1,)), deterministic=deterministic)
        assert step.state["h"] == 1
        assert step.value == 1


def test_what_act_is_given_reaches_the_forward_as_tensors():
    seen = {}

    def remember(batch):
        seen.update(batch)
        return {Columns.ACTIONS: torch.tensor([1])}

    returning(remember).act(
        obs_of((1,)),
        state={"h": np.ones(1)},
        is_first=np.array([True]),
        prev_actions=np.array([1]),
        prev_rewards=np.array([0.5]),
        action_mask=np.array([[True, True]]),
    )
    assert set(seen) == {
        "obs",
        "state_in",
        "is_first",
        "prev_actions",
        "prev_rewards",
        "action_mask",
    }
    assert isinstance(seen["state_in"]["h"], torch.Tensor)


def test_a_module_without_memory_has_no_state():
    module = compose(VECTOR, TWO).build()
    assert module.get_initial_state(3) == {}
    assert not module.is_stateful
    assert module.act(obs_of()).state is None


# distributions of the phases


class Cold(CategoricalDistribution):
    """Always the last action."""

    def sample(self, generator=None):
        return torch.full(self.log_probs.shape[:-1], self.log_probs.shape[-1] - 1)

    deterministic = sample


@pytest.mark.parametrize("phase", ["train", "exploration", "inference"])
def test_each_phase_may_have_a_distribution_of_its_own(phase):
    class Mine(VPG):
        pass

    setattr(Mine, f"get_{phase}_action_dist_cls", lambda self: Cold)
    module = vpg(Mine)
    out = module.forward_train({Columns.OBS: torch.zeros(3, 4)})
    kinds = {
        each: type(module.action_distribution(out, each))
        for each in ("train", "exploration", "inference")
    }
    # The other phases have what training has, unless they say otherwise.
    cold = {"train", "exploration", "inference"} if phase == "train" else {phase}
    assert {each for each, kind in kinds.items() if kind is Cold} == cold
    if phase != "train":
        actions = module.act(obs_of(), deterministic=phase == "inference").actions
        assert set(actions.tolist()) == {1}


@pytest.mark.parametrize(
    ("space", "width"), [(spaces.Discrete(3), 3), (spaces.Box(-1, 1, (2,)), 4)]
)
def test_by_default_the_catalog_chooses_the_distribution(space, width):
    class Plain(RLModule):
        def _forward(self, batch, **kwargs):
            return {Columns.ACTION_DIST_INPUTS: torch.zeros(*batch["obs"].shape[:-1], width)}

    step = vpg(Plain, action_space=space).act(obs_of())
    assert step.actions.shape == (5, *space.shape)
    assert all(space.contains(action) for action in step.env_actions)


# acting


@pytest.mark.parametrize("action_space", [TWO, spaces.Discrete(3, start=5), BOUNDED])
@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_act_takes_any_leading_axes(action_space, lead, deterministic):
    module = compose(VECTOR, action_space, algorithm="ppo").build()
    step = module.act(obs_of(lead), deterministic=deterministic)
    assert step.actions.shape == (*lead, *action_space.shape)
    assert step.log_prob.shape == lead
    env_actions = np.asarray(step.env_actions)
    assert env_actions.dtype == action_space.dtype
    assert all(action_space.contains(env_actions[index]) for index in np.ndindex(*lead))
    assert (step.value is None) == deterministic
    assert not step.log_prob.requires_grad


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Taxi-v3"])
def test_env_actions_are_what_an_environment_takes(env_id):
    env = gym.make(env_id)
    module = compose(env.observation_space, env.action_space, algorithm="ppo").build()
    obs, _ = env.reset(seed=0)
    for deterministic in (False, True):
        step = module.act(obs, deterministic=deterministic)
        assert env.action_space.contains(step.env_actions)
        obs, *_ = env.step(step.env_actions)
    env.close()


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
def test_env_actions_are_what_a_vector_environment_takes(env_id):
    envs = gym.make_vec(env_id, num_envs=3, vectorization_mode="sync")
    module = compose(envs.single_observation_space, envs.single_action_space).build()
    obs, _ = envs.reset(seed=0)
    step = module.act(obs)
    assert envs.action_space.contains(step.env_actions)
    envs.step(step.env_actions)
    envs.close()


def test_acting_deterministically_is_repeatable_and_takes_the_most_probable():
    module = compose(VECTOR, TWO).build()
    step = module.act(obs_of((50,)), deterministic=True)
    assert torch.equal(step.actions, module.act(obs_of((50,)), deterministic=True).actions)
    assert torch.equal(step.actions, step.dist_inputs.argmax(-1))


def test_a_generator_makes_acting_reproducible():
    module = compose(VECTOR, BOUNDED).build()
    first, second, other = (module.act(obs_of(), generator=seeded(s)).actions for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_log_prob_is_about_actions_even_where_all_are_out_of_bounds():
    options = {"log_std_init": 2.0}
    model = {"distribution": {"type": "diag_gaussian", **options}}
    module = compose(VECTOR, BOUNDED, model, "ppo").build()
    obs = obs_of((2000,))
    step = module.act(obs, generator=seeded())
    out = module.forward_train({Columns.OBS: torch.as_tensor(obs)})
    outside = (step.actions.abs() > 1).all(-1)
    assert outside.sum() > 1000
    log_prob = module.action_distribution(out).log_prob(step.actions)
    ratio = (log_prob - step.log_prob).exp()
    assert torch.equal(ratio[outside], torch.ones(int(outside.sum())))
    assert all(BOUNDED.contains(action) for action in step.env_actions)
    again = module.action_distribution({Columns.ACTION_DIST_INPUTS: step.dist_inputs})
    assert torch.equal(again.log_prob(step.actions), step.log_prob)


def test_a_mask_reaches_the_sample_and_its_log_prob():
    module = compose(VECTOR, spaces.Discrete(3)).build()
    mask = np.tile(np.array([0, 1, 0], np.int8), (50, 1))
    for deterministic in (False, True):
        step = module.act(obs_of((50,)), action_mask=mask, deterministic=deterministic)
        assert set(step.actions.tolist()) == {1}
        assert torch.equal(step.log_prob, torch.zeros(50))
    with pytest.raises(ModuleError, match="allows no action at all"):
        module.act(obs_of((50,)), action_mask=np.zeros_like(mask))


def test_gymnasiums_mask_of_several_choices_reaches_samples_and_log_probs_learnt_from():
    module = compose(VECTOR, spaces.MultiDiscrete([2, 3], start=[5, 0])).build()
    mask = tuple(np.tile(np.array(each, np.int8), (50, 1)) for each in ([0, 1], [1, 0, 1]))
    for deterministic in (False, True):
        step = module.act(obs_of((50,)), action_mask=mask, deterministic=deterministic)
        assert set(step.env_actions[:, 0]) == {6}
        assert set(step.env_actions[:, 1]) <= {0, 2}
    out = module.forward_train({Columns.OBS: torch.as_tensor(obs_of((50,)))})
    now = module.action_distribution(out, mask=tuple(map(torch.as_tensor, mask)))
    assert torch.equal(now.log_prob(step.actions), step.log_prob)
    assert (now.entropy() <= math.log(2)).all()


def test_the_value_is_computed_where_the_forward_does_not_give_it():
    module = vpg(ActorCritic)
    step = module.act(obs_of())
    batch = {Columns.OBS: torch.as_tensor(obs_of())}
    torch.testing.assert_close(step.value, module.compute_values(batch).detach())
    assert not step.value.requires_grad


def test_values_from_embeddings_encode_nothing_twice():
    module = compose(VECTOR, TWO, {"trunks": {}}, "ppo").build()
    batch = {Columns.OBS: torch.as_tensor(obs_of())}
    out = module.forward_train(batch)
    values = module.compute_values({}, out[Columns.EMBEDDINGS])
    assert torch.equal(values, out[Columns.VF_PREDS])
    assert torch.equal(values, module.compute_values(batch))


def test_a_value_head_of_another_role_gives_the_values():
    module = compose(VECTOR, TWO, {"heads": {"baseline": {"type": "value"}}}).build()
    batch = {Columns.OBS: torch.as_tensor(obs_of())}
    assert torch.equal(module.compute_values(batch), module.forward_train(batch)["vf_preds"])


def test_a_detached_head_does_not_train_its_trunk():
    model = {"trunks": {}, "heads": {"value": {"stop_gradient": ["main"]}}}
    module = compose(VECTOR, TWO, model, "ppo").build()
    batch = {Columns.OBS: torch.as_tensor(obs_of())}
    (module.forward_train(batch)["vf_preds"].sum() + module.compute_values(batch).sum()).backward()
    assert all(parameter.grad is None for parameter in module.main.parameters())
    assert all(parameter.grad is not None for parameter in module.value.parameters())


@pytest.mark.parametrize("action_space", [TWO, BOUNDED])
def test_finite_gradients_reach_every_parameter_of_a_composed_module(action_space):
    module = compose(VECTOR, action_space, algorithm="ppo").build()
    obs = obs_of((20,))
    out = module.forward_train({Columns.OBS: torch.as_tensor(obs)})
    log_prob = module.action_distribution(out).log_prob(module.act(obs).actions)
    (log_prob.mean() + out[Columns.VF_PREDS].mean()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


# state


def test_a_state_is_a_copy():
    module = vpg()
    state = module.get_state()
    before = copy.deepcopy(state)
    with torch.no_grad():
        module._policy_net[0].weight += 1
    assert all(torch.equal(state[name], before[name]) for name in state)
    module.set_state(before)
    assert torch.equal(module.get_state()["_policy_net.0.weight"], before["_policy_net.0.weight"])


def test_a_state_may_be_arrays():
    module, other = vpg(), vpg()
    with torch.no_grad():
        other._policy_net[0].weight += 1
    module.set_state({name: tensor.numpy() for name, tensor in other.get_state().items()})
    assert torch.equal(module._policy_net[0].weight, other._policy_net[0].weight)


def test_a_state_that_does_not_fit_is_refused_with_a_diff_and_nothing_is_loaded():
    module = vpg()
    before = module.get_state()
    state = {name: tensor + 1 for name, tensor in before.items()}
    del state["_policy_net.0.bias"]
    state["_policy_net.2.weight"] = torch.zeros(3, 8)
    state["extra"] = torch.zeros(7)
    with pytest.raises(ModuleError) as error:
        module.set_state(state)
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        "the state does not fit this module:",
        "missing     _policy_net.0.bias (8,)",
        "unexpected  extra (7,)",
        "shape       _policy_net.2.weight: expected (2, 8), given (3, 8)",
    ]
    assert all(torch.equal(module.get_state()[name], before[name]) for name in before)


@pytest.mark.parametrize("components", ["policy", ["policy"], ["policy", "critic.encoder"]])
def test_components_are_parts_of_a_state(components):
    first, second = (compose(VECTOR, TWO, algorithm="ppo").build(seed=seed) for seed in (0, 1))
    parts = [components] if isinstance(components, str) else components
    state = first.get_state(components)
    assert all(any(name.startswith(part + ".") for part in parts) for name in state)
    before = second.get_state()
    second.set_state(first.get_state(), components)
    after = second.get_state()
    for name, tensor in after.items():
        source = state if name in state else before
        assert torch.equal(tensor, source[name])


def test_one_parameter_is_a_component():
    module = compose(VECTOR, BOUNDED).build()
    assert list(module.get_state("distribution.log_std")) == ["distribution.log_std"]


def test_a_component_that_does_not_exist_names_the_nearest():
    with pytest.raises(ModuleError, match="has no part `polcy`; did you mean `policy`"):
        compose(VECTOR, TWO).build().get_state("polcy")


def test_a_component_that_is_missing_from_a_state_is_an_error():
    full = compose(VECTOR, TWO, algorithm="ppo").build()
    with pytest.raises(ModuleError, match=r"missing     value.layers.0.weight \(1, 64\)"):
        full.set_state(full.get_state("policy"), "value")


# inference only, written by hand


def test_an_inference_only_module_goes_without_what_it_names():
    full, small = vpg(ActorCritic), vpg(ActorCritic, inference_only=True)
    assert set(full.state_dict()) - set(small.state_dict()) == {
        "nets.value.weight",
        "nets.value.bias",
    }
    assert full.get_state(inference_only=True).keys() == small.get_state().keys()
    assert "nets.kept.weight" in small.state_dict()


def test_an_inference_only_module_acts_without_a_value():
    small = vpg(ActorCritic, inference_only=True)
    assert small.act(obs_of()).value is None


def test_a_full_state_loads_into_an_inference_only_module_and_nothing_else_is_dropped():
    full, small = vpg(ActorCritic), vpg(ActorCritic, inference_only=True)
    with torch.no_grad():
        full.nets["kept"].weight += 1
    small.load_state_dict(full.state_dict())
    assert torch.equal(small.nets["kept"].weight, full.nets["kept"].weight)
    small.set_state(full.get_state())
    with pytest.raises(RuntimeError, match=r"nets\.values\.weight"):
        small.load_state_dict({**full.state_dict(), "nets.values.weight": torch.zeros(1)})
    with pytest.raises(ModuleError, match=r"unexpected  nets\.values\.weight"):
        small.set_state({**full.get_state(), "nets.values.weight": torch.zeros(1)})


def test_a_full_state_loads_into_an_inference_only_module_inside_another():
    full, small = (nn.ModuleDict({"a": vpg(ActorCritic, inference_only=o)}) for o in (False, True))
    small.load_state_dict(full.state_dict())


def test_a_state_of_an_inference_only_module_does_not_fit_a_full_one():
    small = vpg(ActorCritic, inference_only=True)
    with pytest.raises(ModuleError, match=r"missing     nets.value.weight \(1, 4\)"):
        vpg(ActorCritic).set_state(small.get_state())


def test_a_name_that_the_module_does_not_have_is_an_error():
    class Wrong(VPG, InferenceOnlyAPI):
        def get_non_inference_attributes(self):
            return ["valeu"]

    with pytest.raises(ModuleError, match="names `valeu`, which the module does not have"):
        vpg(Wrong).get_state(inference_only=True)


def test_setup_need_not_make_what_an_inference_only_module_drops():
    class Lean(VPG, InferenceOnlyAPI):
        def setup(self):
            super().setup()
            if not self.inference_only:
                self.value = nn.Linear(4, 1)

        def get_non_inference_attributes(self):
            return ["value"]

    small = vpg(Lean, inference_only=True)
    small.load_state_dict(vpg(Lean).state_dict())
    assert not hasattr(small, "value")


def test_a_module_can_be_copied():
    module = compose(VECTOR, BOUNDED, algorithm="ppo").build()
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    obs = obs_of()
    assert twin.act(obs, deterministic=True).actions.abs().sum() > 0
    assert module.act(obs, deterministic=True).actions.abs().sum() == 0


def test_the_device_is_where_the_parameters_are():
    module = compose(VECTOR, TWO).build(device="meta")
    assert module.device == torch.device("meta")
    assert vpg(RLModule).device == torch.device("cpu")


class Counting(VPG):
    """Counts the steps of each episode in its state."""

    def get_initial_state(self, batch_size=1):
        return {"count": torch.zeros(batch_size, 1)}

    def _forward(self, batch, **kwargs):
        state = {"count": batch[Columns.STATE_IN]["count"] + 1}
        return {**super()._forward(batch), Columns.STATE_OUT: state}


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_a_stateful_module_starts_from_its_initial_state_and_carries_it_on(lead):
    module = vpg(Counting)
    obs = np.zeros((*lead, 4), np.float32)
    first = module.act(obs)
    second = module.act(obs, first.state)
    assert module.is_stateful
    assert torch.equal(second.state["count"], torch.full((*lead, 1), 2.0))
