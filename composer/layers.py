"""Activations, initialisers and stacks of linear layers."""

import inspect
import math
import warnings
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import torch
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from torch import Tensor, nn

from composer.config import Config, Listed, Size
from composer.errors import Problem, did_you_mean, nearest_first, shown
from composer.problems import invalid_keys, invalid_value

L = TypeVar("L", nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "leaky_relu": nn.LeakyReLU,
    "relu6": nn.ReLU6,
    "mish": nn.Mish,
    "sigmoid": nn.Sigmoid,
    "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "linear": nn.Identity,
}
ALIASES = {"swish": "silu", "identity": "linear", "none": "linear"}


def _activation(name: str | None) -> str:
    """The canonical name: case, underscores and torch's own spelling do not matter."""
    folded = {known.replace("_", ""): known for known in (*ACTIVATIONS, *ALIASES)}
    known = folded.get(str(name).lower().replace("_", ""))
    if known is None:
        names = (*ACTIVATIONS, *ALIASES)
        raise invalid_value(
            f"there is no activation `{shown(name)}`{did_you_mean(str(name), names)}",
            nearest_first(str(name), names),
        )
    return ALIASES.get(known, known)


Activation = Annotated[
    str,
    BeforeValidator(_activation),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [*ACTIVATIONS, *ALIASES, None]},
                {"type": "string", "pattern": "[A-Z]"},
            ]
        }
    ),
]
"""The name of an activation; `null` is `linear`."""

_INITIALIZERS = {
    name.removesuffix("_"): getattr(nn.init, name)
    for name in dir(nn.init)
    if name.endswith("_") and not name.startswith("_")
}
_FOR_VECTORS = frozenset({"zeros", "ones", "constant", "uniform", "normal", "trunc_normal"})


InitializerName = Annotated[
    str,
    WithJsonSchema(
        {"anyOf": [{"enum": sorted(_INITIALIZERS)}, {"type": "string", "pattern": "_$"}]}
    ),
]


class Initializer(Config):
    """A function of `torch.nn.init` by name, with its arguments: `{type: orthogonal, gain: 0.01}`.

    The trailing underscore of torch's names may be left out.
    """

    model_config = ConfigDict(extra="allow")

    type: InitializerName

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _known(self) -> "Initializer":
        if self.type not in _INITIALIZERS:
            close = did_you_mean(self.type, _INITIALIZERS)
            message = f"there is no initializer `{self.type}`{close}"
            raise self._refused("type", message, _INITIALIZERS)
        allowed = {
            name: parameter
            for name, parameter in inspect.signature(_INITIALIZERS[self.type]).parameters.items()
            if name not in ("tensor", "generator")
        }
        for name, value in self.arguments.items():
            if name not in allowed:
                close = did_you_mean(name, allowed)
                message = f"initializer `{self.type}` has no argument `{name}`{close}"
                raise self._refused(name, message, allowed, kind="unknown")
            wanted = str if isinstance(allowed[name].default, str) else int | float
            finite = not isinstance(value, float) or math.isfinite(value)
            if isinstance(value, bool) or not isinstance(value, wanted) or not finite:
                kind = "a name" if wanted is str else "a finite number"
                message = f"argument `{name}` of initializer `{self.type}` should be {kind}"
                raise self._refused(name, message)
        for name, parameter in allowed.items():
            if parameter.default is parameter.empty and name not in self.arguments:
                message = f"initializer `{self.type}` needs the argument `{name}`"
                raise self._refused(name, message)
        try:
            self._try_out()
        except (OverflowError, RuntimeError, TypeError, UserWarning, ValueError) as error:
            raise invalid_value(f"initializer `{self.type}`: {error}") from None
        return self

    def _refused(
        self, key: str, message: str, valid: Iterable[str] = (), kind: str = "value"
    ) -> ValidationError:
        """The error of one key, with the names that would have been right."""
        value = self.type if key == "type" else self.arguments.get(key, "???")
        names = nearest_first(self.type if key == "type" else key, valid)
        return invalid_keys((key, value, Problem(message, valid=names)), kind=kind)

    def _try_out(self) -> None:
        """Torch itself judges the arguments; its random numbers go on as if nothing was drawn."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="error"):
            self.apply(torch.empty(2) if self.type in _FOR_VECTORS else self._trial())

    def _trial(self) -> torch.Tensor:
        return torch.empty(2, 2, 1) if self.type == "dirac" else torch.empty(2, 2)

    def apply(self, tensor: torch.Tensor) -> None:
        """Fills a parameter in place, from torch's global generator."""
        _INITIALIZERS[self.type](tensor, **self.arguments)


def _named(value: object) -> object:
    if isinstance(value, str):
        value = {"type": value}
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        return {**value, "type": value["type"].removesuffix("_")}
    return value


_Named = BeforeValidator(_named, json_schema_input_type=Initializer | InitializerName)


def _only(allowed: frozenset[str], what: str) -> AfterValidator:
    def check(initializer: Initializer) -> Initializer:
        if initializer.type not in allowed:
            message = f"initializer `{initializer.type}` cannot fill {what}"
            raise initializer._refused("type", message, allowed)
        return initializer

    return AfterValidator(check)


_KERNELS = frozenset(_INITIALIZERS)
KernelInitializer = Annotated[
    Initializer, _only(_KERNELS - {"dirac"}, "a linear layer's kernel"), _Named
]
ConvInitializer = Annotated[
    Initializer,
    _only(_KERNELS - {"eye", "sparse"}, "a convolution's kernel"),
    _Named,
]
BiasInitializer = Annotated[Initializer, _only(_FOR_VECTORS, "a bias, which is a vector"), _Named]


def orthogonal(gain: float = math.sqrt(2)) -> Initializer:
    """Orthogonal kernels (Saxe et al., 2014), the usual choice for policy gradients."""
    return Initializer.model_validate({"type": "orthogonal", "gain": gain})


ZEROS = Initializer(type="zeros")


class Initialised(Config):
    """Settings some of whose defaults are initializers."""

    @model_validator(mode="before")
    @classmethod
    def _keep_initializers(cls, data: Any) -> Any:
        """`kernel_initializer.gain=0.5` alone changes the default's argument, not its type."""
        if not isinstance(data, dict):
            return data
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        return data | {
            name: default.to_data() | value
            for name, default in defaults.items()
            if isinstance(default, Initializer)
            and isinstance(value := data.get(name), dict)
            and "type" not in value
        }


class HiddenLayers(Initialised):
    """A stack of linear layers; `null` as an initializer is torch's default."""

    hidden: Listed[Size] = (64, 64)
    """Widths; an empty list is no layer."""
    activation: Activation = "tanh"
    layer_norm: bool = False
    """Normalise between a layer and its activation."""
    kernel_initializer: KernelInitializer | None = orthogonal()
    bias_initializer: BiasInitializer | None = ZEROS

    def width(self, in_dim: int, hidden: tuple[int, ...] | None = None) -> int:
        """Features that leave the stack, or one of other widths than `hidden`."""
        widths = self.hidden if hidden is None else hidden
        return widths[-1] if widths else in_dim

    def stack(self, in_dim: int, hidden: tuple[int, ...] | None = None) -> nn.Sequential:
        """`(*B, in_dim)` → `(*B, width)`; with other widths than `hidden` where they are given."""
        layers: list[nn.Module] = []
        for out_dim in self.hidden if hidden is None else hidden:
            layers.append(linear(in_dim, out_dim, self.kernel_initializer, self.bias_initializer))
            layers += normed(out_dim, layer_norm=self.layer_norm)
            layers.append(ACTIVATIONS[self.activation]())
            in_dim = out_dim
        return nn.Sequential(*layers)


def normed(width: int, *, layer_norm: bool) -> list[nn.Module]:
    """A layer norm, or nothing."""
    return [nn.LayerNorm(width)] if layer_norm else []


class Residual(nn.Sequential):
    """Adds what the layers make of the input to the input."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that the layers keep → the same shape."""
        return input + super().forward(input)


def linear(
    in_dim: int, out_dim: int, kernel: Initializer | None, bias: Initializer | None
) -> nn.Linear:
    """A linear layer, initialised."""
    return initialised(nn.Linear(in_dim, out_dim), kernel, bias)


def initialised(layer: L, kernel: Initializer | None, bias: Initializer | None) -> L:
    """The layer, its kernel and bias filled; None leaves torch's default."""
    if kernel is not None:
        kernel.apply(layer.weight)
    if bias is not None and layer.bias is not None:
        bias.apply(layer.bias)
    return layer
