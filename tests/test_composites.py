"""Composite spaces: a part for each child, and what joins them."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from composer import Blueprint, compose
from composer.composites import part_names
from composer.errors import CompositionError
from composer.spaces import batch, to_tensors

IMAGE = spaces.Box(0, 255, (16, 16, 3), np.uint8)
OBSERVATION = spaces.Dict(
    image=IMAGE,
    speed=spaces.Box(-1, 1, (3,)),
    inner=spaces.Tuple([spaces.Discrete(3, start=2), spaces.MultiBinary(4)]),
)
ACTION = spaces.Dict(
    move=spaces.Discrete(3, start=1),
    arm=spaces.Box(-2, 3, (2,)),
    more=spaces.Tuple([spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)]),
)


def problems(call):
    with pytest.raises(CompositionError) as error:
        call()
    return error.value.problems


def by_name(blueprint):
    return {node.name: node for node in blueprint.nodes}


def sampled(space, count, seed=0):
    space.seed(seed)
    return batch(space, [space.sample() for _ in range(count)])


def test_each_key_has_an_encoder_by_the_same_tree():
    nodes = by_name(compose(OBSERVATION, ACTION))
    types = {name: node.config.type for name, node in nodes.items() if name.startswith("main")}
    assert types == {
        "main.encoder.image": "cnn",
        "main.encoder.inner.0": "one_hot",
        "main.encoder.inner.1": "one_hot",
        "main.encoder.inner": "tuple",
        "main.encoder.speed": "mlp",
        "main.encoder": "dict",
    }
    assert nodes["main.encoder.image"].reason.name == "image"
    assert nodes["main.encoder.inner"].inputs == ("main.encoder.inner.0", "main.encoder.inner.1")
    assert nodes["main.encoder"].out_dim == 512 + 2 * 64 + 64


def test_each_part_of_an_action_has_a_distribution_by_the_same_tree():
    nodes = by_name(compose(OBSERVATION, ACTION))
    types = {name: n.config.type for name, n in nodes.items() if name.startswith("distribution")}
    assert types == {
        "distribution.arm": "diag_gaussian",
        "distribution.more.0": "multi_categorical",
        "distribution.more.1": "bernoulli",
        "distribution.more": "joint",
        "distribution.move": "categorical",
        "distribution": "joint",
    }
    assert nodes["policy"].out_dim == 2 + (2 + 3) + 2 + 3
    assert nodes["distribution"].out_dim == 4 + (2 + 3) + 2 + 3


def test_a_composite_is_the_same_after_json():
    blueprint = compose(OBSERVATION, ACTION, algorithm="ppo")
    again = Blueprint.from_json(blueprint.to_json())
    assert again == blueprint
    assert again.fingerprint == blueprint.fingerprint


def test_the_catalogs_choice_builds_as_the_blueprint_does():
    blueprint = compose(OBSERVATION, ACTION)
    module = blueprint.build()
    choice = module.catalog.encoder(OBSERVATION).config
    parts = {name for name, _ in choice.build(OBSERVATION).named_parameters()}
    assert parts == {name for name, _ in module.main.encoder.named_parameters()}
    assert choice.out_dim(OBSERVATION) == by_name(blueprint)["main.encoder"].out_dim


def test_parameters_are_counted_once():
    blueprint = compose(OBSERVATION, ACTION, algorithm="ppo")
    module = blueprint.build()
    assert blueprint.parameter_count == sum(p.numel() for p in module.parameters())
    assert blueprint.parameter_counts["main.encoder"] == 0


def test_what_acts_gives_what_the_environment_takes():
    module = compose(OBSERVATION, ACTION, algorithm="ppo").build()
    step = module.act(sampled(OBSERVATION, 5))
    assert step.log_prob.shape == (5,)
    taken = gym.vector.utils.iterate(gym.vector.utils.batch_space(ACTION, 5), step.env_actions)
    assert all(one in ACTION for one in taken)


def test_a_joint_log_prob_is_the_sum_of_its_childrens():
    module = compose(OBSERVATION, ACTION, algorithm="ppo").build()
    out = module.forward_train({"obs": to_tensors(sampled(OBSERVATION, 4))})
    joint = module.action_distribution(out)
    actions = joint.sample()
    arm, more, move = (joint.children[key] for key in ("arm", "more", "move"))
    expected = arm.log_prob(actions["arm"]) + move.log_prob(actions["move"])
    expected = expected + more.children["0"].log_prob(actions["more"][0])
    expected = expected + more.children["1"].log_prob(actions["more"][1])
    torch.testing.assert_close(joint.log_prob(actions), expected)
    entropies = [child.entropy() for child in (arm, more, move)]
    torch.testing.assert_close(joint.entropy(), sum(entropies))
    torch.testing.assert_close(joint.kl(joint), torch.zeros(4))


def test_a_joint_mask_reaches_the_child_it_is_for():
    module = compose(OBSERVATION, ACTION).build()
    mask = {"move": np.tile(np.array([False, True, False]), (6, 1))}
    step = module.act(sampled(OBSERVATION, 6), action_mask=mask)
    assert (step.env_actions["move"] == 2).all()


def test_a_child_is_set_by_its_key():
    model = {"encoder": {"children": {"image": "mlp", "inner": {"hidden": [5]}}}}
    nodes = by_name(compose(OBSERVATION, ACTION, model=model))
    assert nodes["main.encoder.image"].config.type == "mlp"
    assert str(nodes["main.encoder.image"].reason) == "given"
    assert nodes["main.encoder.inner"].out_dim == 5


def test_children_of_a_tuple_are_a_list_or_by_index():
    space = spaces.Tuple([spaces.Discrete(3), spaces.Discrete(4)])
    for children in (
        [{"hidden": [3]}, {"hidden": [4]}],
        {0: {"hidden": [3]}, "1": {"hidden": [4]}},
    ):
        nodes = by_name(compose(space, ACTION, model={"encoder": {"children": children}}))
        assert [nodes[f"main.encoder.{i}"].out_dim for i in (0, 1)] == [3, 4]


def test_a_child_that_the_space_lacks_is_refused():
    model = {"encoder": {"children": {"imag": "mlp"}}, "distribution": {"children": {"2": "beta"}}}
    found = problems(lambda: compose(OBSERVATION, ACTION, model=model))
    assert found[0].path == "model.distribution.children.2"
    del model["distribution"]
    (found,) = problems(lambda: compose(OBSERVATION, ACTION, model=model))
    assert found.path == "model.encoder.children.imag"
    assert "has no part `imag`; did you mean `image`?" in found.message
    assert found.fix == "model.encoder.children.image.type=mlp"


def test_a_child_that_cannot_take_its_space_is_refused_at_its_path():
    model = {"encoder": {"children": {"speed": "cnn", "image": "one_hot"}}}
    found = problems(lambda: compose(OBSERVATION, ACTION, model=model))
    assert {p.path for p in found} == {
        "model.encoder.children.image",
        "model.encoder.children.speed",
    }
    assert found[0].fix == "model.encoder.children.image=cnn"


@pytest.mark.parametrize(
    "combine", ["concat", "sum", "attention", {"type": "attention", "heads": 2}]
)
def test_children_are_combined(combine):
    model = {"encoder": {"combine": combine, "hidden": [7]}}
    blueprint = compose(OBSERVATION, ACTION, model=model)
    assert by_name(blueprint)["main.encoder"].out_dim == 7
    module = blueprint.build()
    module.forward_train({"obs": to_tensors(sampled(OBSERVATION, 3))})[
        "action_dist_inputs"
    ].sum().backward()
    assert all(p.grad is not None for n, p in module.named_parameters() if "log_std" not in n)


def test_flatten_takes_every_leaf():
    space = spaces.Dict(a=spaces.Discrete(3, start=5), b=spaces.Tuple([spaces.Box(0, 1, (2, 2))]))
    blueprint = compose(space, ACTION, model={"encoder": {"type": "flatten", "hidden": []}})
    assert by_name(blueprint)["main.encoder"].out_dim == 3 + 4
    features = blueprint.build().main(
        {"obs": {"a": torch.tensor([6]), "b": (torch.ones(1, 2, 2),)}}
    )
    assert features.tolist() == [[0, 1, 0, 1, 1, 1, 1]]


def test_flatten_refuses_what_has_no_fixed_length():
    space = spaces.Dict(a=spaces.Text(3))
    (found,) = problems(lambda: compose(space, ACTION, model={"encoder": "flatten"}))
    assert "one fixed length" in found.message


# what a trunk observes


def test_a_trunk_sees_only_what_it_observes():
    model = {"observe": ["speed"], "trunks": {"critic": {"observe": ["image", "inner"]}}}
    blueprint = compose(OBSERVATION, ACTION, model=model, algorithm="ppo")
    nodes = by_name(blueprint)
    assert nodes["main.encoder"].config.type == "mlp"
    assert nodes["critic.encoder"].inputs == ("critic.encoder.image", "critic.encoder.inner")
    module = blueprint.build()
    one, other = sampled(OBSERVATION, 2), sampled(OBSERVATION, 2, seed=1)
    mixed = {**other, "speed": one["speed"]}
    outs = [module.forward_train({"obs": to_tensors(obs)}) for obs in (one, mixed)]
    assert torch.equal(outs[0]["action_dist_inputs"], outs[1]["action_dist_inputs"])
    assert not torch.equal(outs[0]["vf_preds"], outs[1]["vf_preds"])
    assert Blueprint.from_json(blueprint.to_json()) == blueprint


def test_one_entry_of_a_tuple_can_be_observed():
    space = spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (2,))])
    blueprint = compose(space, ACTION, model={"observe": [1]})
    assert by_name(blueprint)["main.encoder"].space == space[1]
    assert blueprint.build().act(sampled(space, 2)).env_actions["move"].shape == (2,)


@pytest.mark.parametrize(
    ("space", "keys", "message", "fix"),
    [
        (
            OBSERVATION,
            ["sped"],
            "has no key `sped`; did you mean `speed`?",
            "model.observe='[speed]'",
        ),
        (OBSERVATION, [], "a trunk that takes nothing has nothing to encode", "~model.observe"),
        (IMAGE, ["a"], "has no keys to choose from", "~model.observe"),
        (
            spaces.Tuple([IMAGE, IMAGE]),
            ["0", "1"],
            "takes one entry, or all",
            "model.observe='[0]'",
        ),
    ],
)
def test_keys_that_are_not_there_are_refused(space, keys, message, fix):
    (found,) = problems(lambda: compose(space, ACTION, model={"observe": keys}))
    assert message in found.message
    assert found.fix == fix


def test_names_that_a_tuple_does_not_have_are_refused_beside_their_number():
    space = spaces.Tuple([IMAGE, IMAGE])
    found = problems(lambda: compose(space, ACTION, model={"observe": ["image", "1"]}))
    assert ["has no key `image`" in each.message for each in found] == [True, False]
    line = found[-1].fix
    assert line == "model.observe='[0]'"
    compose(space, ACTION, model={"observe": [0]})


def test_a_part_is_named_by_its_key_where_that_can_be():
    names = part_names(["image", "type", "a.b", "0", "_x", "a_b", ""])
    assert names == {
        "image": "image",
        "type": "type_",
        "a.b": "a_b",
        "0": "0",
        "_x": "x",
        "a_b": "a_b_",
        "": "part",
    }


# one branch of several

BRANCHES = spaces.OneOf(
    [
        spaces.Discrete(3, start=4),
        spaces.Box(-2, 3, (2,)),
        spaces.Tuple([spaces.Discrete(2), spaces.OneOf([spaces.Discrete(2), spaces.Discrete(3)])]),
    ]
)


def branching(count=6, seed=0):
    module = compose(IMAGE, BRANCHES).build(seed=seed)
    out = {"action_dist_inputs": torch.randn(count, 3 + 3 + 4 + 2 + 2 + 2 + 3)}
    return module.action_distribution(out)


def test_a_branch_and_its_action_are_what_the_environment_takes():
    module = compose(IMAGE, spaces.Dict(a=BRANCHES)).build()
    taken = module.act(sampled(IMAGE, 40)).env_actions["a"]
    assert len(taken) == 40
    assert all(one in BRANCHES for one in taken)
    assert {int(branch) for branch, _ in taken} == {0, 1, 2}
    single = module.act(IMAGE.sample()).env_actions["a"]
    assert single in BRANCHES


def test_only_the_branch_that_was_drawn_counts():
    distribution = branching()
    actions = distribution.sample()
    branch = actions["branch"]
    own = [
        c.log_prob(v)
        for c, v in zip(distribution.children.values(), actions["values"], strict=True)
    ]
    expected = distribution.branch.log_prob(branch) + torch.stack(own, -1).gather(
        -1, branch.unsqueeze(-1)
    ).squeeze(-1)
    torch.testing.assert_close(distribution.log_prob(actions), expected)
    for index, values in enumerate(actions["values"][:2]):
        assert (values[branch != index] == 0).all()


def test_entropy_and_kl_of_branches_match_monte_carlo():
    space = spaces.OneOf([spaces.Discrete(3), spaces.Discrete(2)])
    module = compose(IMAGE, space).build()
    torch.manual_seed(0)
    one, other = torch.randn(2, 7)
    many = {"action_dist_inputs": one.expand(200_000, 7)}
    p, q = (
        module.action_distribution(many),
        module.action_distribution({"action_dist_inputs": other.expand(200_000, 7)}),
    )
    actions = p.sample(torch.Generator().manual_seed(0))
    log_p = p.log_prob(actions)
    torch.testing.assert_close(p.entropy()[0], -log_p.mean(), atol=0.01, rtol=0)
    torch.testing.assert_close(p.kl(q)[0], (log_p - q.log_prob(actions)).mean(), atol=0.02, rtol=0)


def test_without_exploring_the_best_branch_is_taken_then_its_best_action():
    distribution = branching()
    best = distribution.deterministic()
    assert torch.equal(best["branch"], distribution.branch.probs.argmax(-1))
    certain = distribution.to_deterministic()
    assert torch.equal(certain.sample()["branch"], best["branch"])
    assert torch.equal(certain.log_prob(best), torch.zeros(6))


def test_a_mask_reaches_the_branch_and_what_is_behind_it():
    module = compose(IMAGE, BRANCHES).build()
    mask = {
        "branch": torch.tensor([True, False, False]).expand(8, 3),
        "values": {"0": torch.tensor([False, False, True]).expand(8, 3)},
    }
    taken = module.act(sampled(IMAGE, 8), action_mask=mask).env_actions
    assert [(int(branch), int(value)) for branch, value in taken] == [(0, 6)] * 8


# one part after the other

CHOICES = spaces.Dict(a=spaces.Discrete(3), b=spaces.MultiDiscrete([2, 2]), c=spaces.MultiBinary(2))


def chained(space, count, order=None, seed=0):
    model = {"distribution": {"type": "autoregressive", **({"order": order} if order else {})}}
    blueprint = compose(IMAGE, space, model=model)
    width = by_name(blueprint)["distribution"].out_dim
    inputs = torch.randn(width, generator=torch.Generator().manual_seed(seed))
    return blueprint, blueprint.build().action_distribution(
        {"action_dist_inputs": inputs.expand(count, width)}
    )


def every():
    """All actions of CHOICES."""
    a = torch.arange(3)
    bits = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    grid = torch.cartesian_prod(a, torch.arange(4), torch.arange(4))
    return {"a": grid[:, 0], "b": bits[grid[:, 1]], "c": bits[grid[:, 2]]}


def test_the_probabilities_of_a_chain_sum_to_one_and_do_not_factorise():
    _, distribution = chained(CHOICES, 48)
    actions = every()
    probs = distribution.log_prob(actions).exp()
    torch.testing.assert_close(probs.sum(), torch.tensor(1.0))
    table = probs.reshape(3, 4, 4).sum(-1)  # of a and b
    independent = table.sum(1, keepdim=True) * table.sum(0, keepdim=True)
    assert (table - independent).abs().max() > 0.02


def test_entropy_and_kl_of_a_chain_are_exact_where_the_ways_are_few():
    (_, p), (_, q) = chained(CHOICES, 48), chained(CHOICES, 48, seed=1)
    actions = every()
    log_p, log_q = p.log_prob(actions), q.log_prob(actions)
    torch.testing.assert_close(p.entropy()[0], -(log_p.exp() * log_p).sum())
    torch.testing.assert_close(p.kl(q)[0], (log_p.exp() * (log_p - log_q)).sum())


def test_entropy_of_a_chain_that_begins_with_a_number_is_near_the_truth():
    space = spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Discrete(3))
    _, p = chained(space, 100_000)
    log_p = p.log_prob(p.sample(torch.Generator().manual_seed(0)))
    torch.testing.assert_close(p.entropy()[0], -log_p.mean(), atol=0.3, rtol=0)
    assert torch.equal(p.entropy()[0], chained(space, 1)[1].entropy()[0])


def test_a_chain_samples_by_its_probabilities():
    _, p = chained(CHOICES, 100_000)
    actions = p.sample(torch.Generator().manual_seed(0))
    index = (
        actions["a"] * 16
        + actions["b"] @ torch.tensor([8, 4])
        + actions["c"] @ torch.tensor([2, 1])
    )
    drawn = torch.bincount(index, minlength=48) / 100_000
    expected = chained(CHOICES, 48)[1].log_prob(every()).exp()
    assert (drawn - expected).abs().max() < 0.01


def test_a_chain_follows_the_order_that_is_stated():
    blueprint, p = chained(CHOICES, 1, order=["c"])
    assert by_name(blueprint)["distribution"].config.order == ("c", "a", "b")
    assert Blueprint.from_json(blueprint.to_json()) == blueprint
    given, _ = p.chain.run(lambda part, _: part.deterministic())
    assert list(given) == ["c", "a", "b"]
    assert torch.equal(p.deterministic()["c"], p.children["c"].deterministic())
    assert torch.equal(p.to_deterministic().sample()["a"], p.deterministic()["a"])


def test_a_masked_chain_keeps_to_its_mask():
    blueprint, _ = chained(CHOICES, 1)
    module = blueprint.build()
    mask = {"a": np.tile([False, True, False], (5, 1))}
    out = module.forward_train({"obs": to_tensors(sampled(IMAGE, 5))})
    p = module.action_distribution(out, mask=to_tensors(mask))
    assert (p.sample()["a"] == 1).all()
    assert p.entropy().isfinite().all()
    torch.testing.assert_close(p.kl(p), torch.zeros(5))


def test_wrong_orders_and_parts_without_a_length_are_refused():
    model = {"distribution": {"type": "autoregressive", "order": ["d"]}}
    (found,) = problems(lambda: compose(IMAGE, CHOICES, model=model))
    assert found.path == "model.distribution.order"
    space = spaces.Dict(a=BRANCHES)
    (found,) = problems(lambda: compose(IMAGE, space, model={"distribution": "autoregressive"}))
    assert "needs parts that are vectors of a fixed length" in found.message


# the key of the observation that is a mask


def test_a_mask_in_the_observation_is_not_encoded_but_obeyed():
    space = spaces.Dict(
        observation=spaces.Box(-1, 1, (3,)), action_mask=spaces.Box(0, 1, (4,), np.int8)
    )
    module = compose(space, spaces.Discrete(4)).build()
    assert {node.name for node in compose(space, spaces.Discrete(4)).nodes} == {
        "main.encoder.observation",
        "main.encoder",
        "policy",
        "distribution",
    }
    obs = sampled(space, 7)
    obs["action_mask"][:] = [0, 0, 1, 0]
    assert (module.act(obs).env_actions == 2).all()


def test_an_observation_that_is_only_a_mask_is_refused():
    space = spaces.Dict(action_mask=spaces.MultiBinary(4))
    (found,) = problems(lambda: compose(space, spaces.Discrete(4)))
    assert "there is nothing to observe" in found.message
