"""What a part costs: memory and arithmetic, found without its weights."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from composer.blueprint.cost import fitting_in_memory
from composer.blueprint.nodes import Node


@dataclass(frozen=True)
class Cost:
    """What one part costs."""

    parameters: int
    """Trainable ones."""
    bytes: int
    """Of parameters and buffers."""
    multiply_adds: int
    """Of one forward pass of a single observation, one step long: those of linear layers,
    convolutions, recurrent layers, matrix products and attention. A part inside a sequence or a
    graph is counted for one element; what is as long as its observation, for a random one.
    """


def measure(node: Node) -> Cost:
    """The cost of a part. Its weights are never filled and draw no random numbers.

    Raises:
        CompositionError: Where the part is larger than torch can count.
    """
    with torch.random.fork_rng(devices=[]), fitting_in_memory(node):
        module = _without_weights(node)
        counter, example = _Counter(), node.example()
        if example is not None:
            zeros = {
                name: torch.zeros((), dtype=weight.dtype).expand(weight.shape)
                for name, weight in module.named_parameters()
            }
            with torch.no_grad(), counter:
                torch.func.functional_call(module, zeros, example)
    tensors = [*module.parameters(), *module.buffers()]
    return Cost(
        parameters=sum(weight.numel() for weight in module.parameters()),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        multiply_adds=counter.total,
    )


def _without_weights(node: Node) -> nn.Module:
    """The part, its parameters on the meta device and its buffers real.

    A forward pass on the meta device would import torch's compiler, which takes a second.
    """

    def moved(module: nn.Module, name: str, weight: nn.Parameter | None) -> nn.Parameter | None:
        if weight is None or weight.is_meta:  # the same object, so that tied weights stay one
            return weight
        return nn.Parameter(weight.to("meta"), weight.requires_grad)

    def kept(module: nn.Module, name: str, buffer: Tensor | None) -> Tensor | None:
        if buffer is None or not buffer.is_meta:
            return buffer
        return torch.zeros_like(buffer, device="cpu")

    # Torch documents that the hooks' results are taken, but types them as giving none.
    hooks: list[tuple[Any, Any]] = [
        (register_module_parameter_registration_hook, moved),
        (register_module_buffer_registration_hook, kept),
    ]
    with ExitStack() as stack:
        for register, hook in hooks:
            stack.callback(register(hook).remove)
        stack.enter_context(_Unallocated())
        return node.build()


class _Unallocated(TorchFunctionMode):
    """Puts what layers leave unfilled, their parameters, on the meta device from the start."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        device = {"device": "meta"} if func is torch.empty else {}
        return func(*args, **(kwargs or {}) | device)


class _Counter(TorchFunctionMode):
    """Adds up the multiply-adds of the functions that are called."""

    total = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = (_linear if func is nn.functional.linear else func)(*args, **kwargs)
        count = _COUNTED.get(getattr(func, "__name__", ""))
        if count is not None:
            self.total += count(out, *args, *kwargs.values())
        return out


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What zero weights give, without the copy of them that torch would make."""
    return input.new_zeros(*input.shape[:-1], weight.shape[0])


def _product(out: Tensor, left: Tensor, *_: Any) -> int:
    return out.numel() * left.shape[-1]


def _added_product(out: Tensor, _: Tensor, left: Tensor, *__: Any) -> int:
    return out.numel() * left.shape[-1]


def _convolution(out: Tensor, _: Tensor, kernel: Tensor, *__: Any) -> int:
    return out.numel() * kernel[0].numel()


def _transposed(_: Any, inputs: Tensor, kernel: Tensor, *__: Any) -> int:
    return inputs.numel() * kernel[0].numel()


def _recurrent(_: Any, inputs: Tensor, __: Any, weights: Sequence[Tensor], *___: Any) -> int:
    steps = inputs.numel() // inputs.shape[-1]
    return steps * sum(weight.numel() for weight in weights if weight.dim() == 2)


def _cell(_: Any, inputs: Tensor, __: Any, in_weight: Tensor, weight: Tensor, *___: Any) -> int:
    return inputs.numel() // inputs.shape[-1] * (in_weight.numel() + weight.numel())


def _attention(out: Tensor, query: Tensor, key: Tensor, *_: Any) -> int:
    return (query.numel() + out.numel()) * key.shape[-2]


_COUNTED: dict[str, Callable[..., int]] = {
    **dict.fromkeys(["linear", "matmul", "mm", "bmm"], _product),
    **dict.fromkeys(["addmm", "baddbmm"], _added_product),
    **dict.fromkeys(["conv1d", "conv2d", "conv3d"], _convolution),
    **dict.fromkeys(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], _transposed),
    **dict.fromkeys(["lstm", "gru", "rnn_tanh", "rnn_relu"], _recurrent),
    **dict.fromkeys(["lstm_cell", "gru_cell"], _cell),
    "scaled_dot_product_attention": _attention,
}
