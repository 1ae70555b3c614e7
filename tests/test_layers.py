import inspect
import math

import pytest
import torch
from torch import nn

from composer.config import Config
from composer.encoders.cnn import CNNEncoderConfig
from composer.errors import ConfigError
from composer.heads.policy import PolicyHeadConfig
from composer.layers import ACTIVATIONS, ALIASES, Activation, HiddenLayers, orthogonal

ARGUMENTS = {
    "constant": {"val": 0.5},
    "sparse": {"sparsity": 0.5, "std": 0.1},
    "uniform": {"a": -0.1, "b": 0.1},
    "normal": {"mean": 0.0, "std": 0.1},
    "trunc_normal": {"mean": 0.0, "std": 0.1, "a": -0.2, "b": 0.2},
    "orthogonal": {"gain": 0.5},
    "xavier_uniform": {"gain": 0.5},
    "xavier_normal": {"gain": 0.5},
    "kaiming_uniform": {"a": 0.1, "mode": "fan_out", "nonlinearity": "leaky_relu"},
    "kaiming_normal": {"mode": "fan_out", "nonlinearity": "relu"},
    "dirac": {"groups": 2},
}
INITIALIZERS = sorted(
    name.removesuffix("_") for name in vars(nn.init) if name.endswith("_") and name[0] != "_"
)
FOR_VECTORS = {"zeros", "ones", "constant", "uniform", "normal", "trunc_normal"}


class Named(Config):
    activation: Activation = "tanh"


def problem(data, root=HiddenLayers):
    with pytest.raises(ConfigError) as error:
        root.parse(data)
    (only,) = error.value.problems
    return only


def given(name):
    return {"type": name, **ARGUMENTS.get(name, {})}


# activations


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_torchs_class_of_that_name(name):
    made = Named.parse({"activation": name}).activation
    expected = {"linear": "identity"}.get(name, name).replace("_", "")
    assert ACTIVATIONS[made].__name__.lower() == expected


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_is_the_same_activation(alias, name):
    assert Named.parse({"activation": alias}) == Named.parse({"activation": name})


@pytest.mark.parametrize("spelling", ["LeakyReLU", "leaky_relu", "leakyrelu", "LEAKY_RELU"])
def test_case_and_underscores_do_not_matter(spelling):
    assert Named.parse({"activation": spelling}).activation == "leaky_relu"


def test_null_is_no_activation():
    assert Named.parse({"activation": None}).activation == "linear"


def test_an_unknown_activation_names_the_nearest():
    found = problem({"activation": "tahn"}, Named)
    assert found.path == "activation"
    assert found.message == "there is no activation `tahn`; did you mean `tanh`?"
    assert found.valid[0] == "tanh"
    assert set(found.valid) == {*ACTIVATIONS, *ALIASES}
    assert found.fix == "activation=tanh"


def test_an_activation_that_is_no_name_is_refused():
    assert problem({"activation": 3}, Named).message == "there is no activation `3`"


# initialisers


@pytest.mark.parametrize("name", sorted(set(INITIALIZERS) - {"dirac"}))
def test_every_initializer_fills_a_linear_kernel_as_torch_does(name):
    config = HiddenLayers.parse({"hidden": [6], "kernel_initializer": given(name)})
    torch.manual_seed(3)
    weight = config.stack(4)[0].weight
    torch.manual_seed(3)
    expected = nn.Linear(4, 6).weight
    getattr(nn.init, f"{name}_")(expected, **ARGUMENTS.get(name, {}))
    assert torch.equal(weight, expected)


@pytest.mark.parametrize("name", sorted(set(INITIALIZERS) - {"eye", "sparse"}))
def test_every_initializer_but_two_fills_a_convolution(name):
    config = CNNEncoderConfig.parse({"conv_initializer": given(name)})
    kernel = torch.empty(4, 2, 3, 3)
    config.conv_initializer.apply(kernel)
    assert kernel.isfinite().all()


@pytest.mark.parametrize("name", ["eye", "sparse"])
def test_matrix_initializers_cannot_fill_a_convolution(name):
    found = problem({"conv_initializer": given(name)}, CNNEncoderConfig)
    assert found.message == f"initializer `{name}` cannot fill a convolution's kernel"
    assert name not in found.valid


@pytest.mark.parametrize("name", sorted(FOR_VECTORS))
def test_a_bias_is_filled(name):
    config = HiddenLayers.parse({"hidden": [6], "bias_initializer": given(name)})
    bias = config.stack(4)[0].bias
    fills = {"zeros": 0.0, "ones": 1.0, "constant": 0.5}
    if name in fills:
        assert bias.tolist() == [fills[name]] * 6
    else:
        assert bias.unique().numel() == 6


@pytest.mark.parametrize("name", sorted(set(INITIALIZERS) - FOR_VECTORS))
def test_an_initializer_of_matrices_cannot_fill_a_bias(name):
    found = problem({"bias_initializer": given(name)})
    assert found.path == "bias_initializer.type"
    assert found.message == f"initializer `{name}` cannot fill a bias, which is a vector"
    assert set(found.valid) == FOR_VECTORS


def test_torchs_trailing_underscore_may_be_written():
    plain = HiddenLayers.parse({"kernel_initializer": "xavier_uniform"})
    assert HiddenLayers.parse({"kernel_initializer": "xavier_uniform_"}) == plain
    assert HiddenLayers.parse({"kernel_initializer": {"type": "xavier_uniform_"}}) == plain


def test_null_leaves_torchs_default():
    config = HiddenLayers.parse(
        {"hidden": [6], "kernel_initializer": None, "bias_initializer": None}
    )
    torch.manual_seed(3)
    layer = config.stack(4)[0]
    torch.manual_seed(3)
    expected = nn.Linear(4, 6)
    assert torch.equal(layer.weight, expected.weight)
    assert torch.equal(layer.bias, expected.bias)


@pytest.mark.parametrize(
    ("initializer", "key", "message"),
    [
        ("ortogonal", "type", "there is no initializer `ortogonal`; did you mean `orthogonal`?"),
        (
            {"type": "orthogonal", "gian": 1.0},
            "gian",
            "initializer `orthogonal` has no argument `gian`; did you mean `gain`?",
        ),
        (
            {"type": "orthogonal", "gain": "big"},
            "gain",
            "argument `gain` of initializer `orthogonal` should be a finite number",
        ),
        (
            {"type": "orthogonal", "gain": True},
            "gain",
            "argument `gain` of initializer `orthogonal` should be a finite number",
        ),
        (
            {"type": "orthogonal", "gain": math.inf},
            "gain",
            "argument `gain` of initializer `orthogonal` should be a finite number",
        ),
        (
            {"type": "constant", "val": math.nan},
            "val",
            "argument `val` of initializer `constant` should be a finite number",
        ),
        (
            {"type": "kaiming_normal", "mode": 3},
            "mode",
            "argument `mode` of initializer `kaiming_normal` should be a name",
        ),
        ("constant", "val", "initializer `constant` needs the argument `val`"),
    ],
)
def test_a_wrong_initializer_says_what_is_wrong(initializer, key, message):
    found = problem({"kernel_initializer": initializer})
    assert found.path == f"kernel_initializer.{key}"
    assert found.message == message


@pytest.mark.parametrize(
    "initializer",
    [
        {"type": "uniform", "a": 1.0, "b": 0.0},
        {"type": "normal", "std": -1.0},
        {"type": "kaiming_normal", "mode": "fan"},
        {"type": "kaiming_normal", "nonlinearity": "tahn"},
        {"type": "trunc_normal", "mean": 10.0},
    ],
)
def test_what_torch_refuses_or_warns_of_is_an_error(initializer):
    found = problem({"kernel_initializer": initializer})
    assert found.message.startswith(f"initializer `{initializer['type']}`: ")


def test_an_argument_alone_changes_the_default_initializer():
    config = HiddenLayers.parse({"kernel_initializer": {"gain": 0.5}})
    assert config.kernel_initializer == orthogonal(0.5)
    head = PolicyHeadConfig.parse({"output_kernel_initializer": {"gain": 0.5}})
    assert head.output_kernel_initializer == orthogonal(0.5)
    assert head.kernel_initializer == HiddenLayers().kernel_initializer


def test_an_initializer_survives_json():
    config = HiddenLayers.parse({"kernel_initializer": given("kaiming_uniform")})
    assert config.to_data()["kernel_initializer"] == given("kaiming_uniform")
    assert HiddenLayers.parse(config.to_data()) == config


def test_reading_a_config_draws_no_random_numbers():
    before = torch.get_rng_state()
    for name in set(INITIALIZERS) - {"dirac"}:
        HiddenLayers.parse({"kernel_initializer": given(name)})
    assert torch.equal(torch.get_rng_state(), before)


def test_orthogonal_kernels_have_the_gain_of_ppo_by_default():
    kernel = HiddenLayers(hidden=(8,)).stack(8)[0].weight
    torch.testing.assert_close(kernel @ kernel.T, 2 * torch.eye(8), atol=1e-5, rtol=0)
    assert orthogonal(0.5).arguments == {"gain": 0.5}


# stacks


def names(stack):
    return [type(layer).__name__ for layer in stack]


def test_a_stack_is_a_layer_and_an_activation_for_each_width():
    config = HiddenLayers(hidden=(3, 5), activation="relu")
    assert names(config.stack(2)) == ["Linear", "ReLU", "Linear", "ReLU"]
    assert config.stack(2)(torch.zeros(7, 2)).shape == (7, 5)
    assert config.width(2) == 5


def test_layer_norm_stands_between_a_layer_and_its_activation():
    config = HiddenLayers(hidden=(3, 5), layer_norm=True)
    assert names(config.stack(2)) == ["Linear", "LayerNorm", "Tanh"] * 2


def test_an_empty_list_is_no_layer():
    config = HiddenLayers.parse({"hidden": []})
    features = torch.ones(2, 3)
    assert torch.equal(config.stack(3)(features), features)
    assert config.width(3) == 3


@pytest.mark.parametrize("hidden", [[0, 32], [-1], [32, 0]])
def test_a_width_that_is_not_positive_names_its_place(hidden):
    found = problem({"hidden": hidden})
    assert found.path == f"hidden[{next(i for i, width in enumerate(hidden) if width <= 0)}]"
    assert found.message == "the value should be greater than 0"


def test_every_argument_of_the_tested_initializers_exists():
    for name, arguments in ARGUMENTS.items():
        assert set(arguments) <= set(inspect.signature(getattr(nn.init, f"{name}_")).parameters)
