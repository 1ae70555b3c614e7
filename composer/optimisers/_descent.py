"""How a module's parameters follow the gradient of a loss: the settings, and what does it."""

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from composer.config import Config, Positive, Steps
from composer.errors import CheckpointError
from composer.module.rl_module import RLModule
from composer.optimisers._schedule import Elapsed, LearningRate, Schedule, lr_factor
from composer.optimisers.adam import AdamConfig
from composer.optimisers.base import OptimiserConfig, require_parts


class DescentConfig(Config):
    """How parameters follow the gradient of a loss."""

    lr: LearningRate = 3e-4
    """Learning rate, where the schedule is highest."""
    lr_schedule: Schedule = "constant"
    """What `lr` is multiplied by: `linear` and `cosine` fall from 1 to 0 at the end of training;
    points `[[0, 1], [1e6, 0.1]]` are environment steps and factors, with lines between them."""
    lr_warmup: Steps = 0
    """Environment steps in which the learning rate rises from 0 to what the schedule says."""
    optimiser: OptimiserConfig = AdamConfig()
    """A kind of `torch.optim`, and what differs for parts of the model."""
    max_grad_norm: Positive | None = None
    """Largest norm of the gradient over all that is stepped together."""
    max_grad_value: Positive | None = None
    """Largest size of a gradient's component; it is clipped before the norm."""


class Optimiser:
    """Steps parameters down a loss: torch's optimiser, schedule, clipping, and frozen parts.

    Args:
        config: The settings.
        module: What holds the parameters.
        parameters: Those to step, by their names in the module, and no others then get a
            gradient; by default all that are trainable.

    Raises:
        ModuleError: If the settings are about parts that the module lacks or does not train.
    """

    def __init__(
        self,
        config: DescentConfig,
        module: nn.Module,
        parameters: Mapping[str, nn.Parameter] | None = None,
    ) -> None:
        if isinstance(module, RLModule):
            require_parts(config.optimiser, module)
        named = module.named_parameters() if parameters is None else parameters.items()
        self.config = config
        self.lr = config.lr
        self.is_apart = parameters is not None
        self.named = {name: p for name, p in named if p.requires_grad}
        self.torch = config.optimiser.build(self._groups(), config.lr)
        self.live = [*self.named.values()]
        self._module = module
        self._resting = [
            (part, until)
            for name, part in module.named_modules()
            if (until := config.optimiser.settings_of(name).frozen_until)
        ]

    def _groups(self) -> list[dict[str, object]]:
        """Parameters of the same settings together: one group where no part has its own."""
        groups: dict[tuple[float, float, int], list[nn.Parameter]] = defaultdict(list)
        optimiser = self.config.optimiser
        for name, parameter in self.named.items():
            own = optimiser.settings_of(name)
            lr = self.config.lr if own.lr is None else own.lr
            decay = optimiser.weight_decay if own.weight_decay is None else own.weight_decay
            groups[lr, decay, own.frozen_until or 0].append(parameter)
        return [
            {
                "params": parameters,
                "lr": lr,
                "initial_lr": lr,
                "weight_decay": decay,
                "frozen_until": until,
            }
            for (lr, decay, until), parameters in groups.items()
        ]

    def at(self, elapsed: Elapsed) -> None:
        """Takes the learning rates of now, and freezes the parts that do not train yet."""
        factor = lr_factor(self.config.lr_schedule, self.config.lr_warmup, elapsed)
        self.lr = self.config.lr * factor
        self.live = []
        for group in self.torch.param_groups:
            group["lr"] = group["initial_lr"] * factor
            is_live = elapsed.env_steps >= group["frozen_until"]
            self.live += group["params"] if is_live else []
            for parameter in group["params"] if group["frozen_until"] else ():
                parameter.requires_grad_(is_live)
        if isinstance(self._module, RLModule):
            self._module.hold([part for part, until in self._resting if elapsed.env_steps < until])

    def step(
        self,
        loss: Tensor | None,
        *,
        shares: Mapping[Tensor, Tensor] = MappingProxyType({}),
        measured: bool = True,
    ) -> Tensor:
        """One step down the gradient; nothing where all parameters are frozen.

        Args:
            loss: A scalar; None where there is nothing but the shares.
            shares: Gradients of further losses, by parameter.
            measured: Whether the norm is asked for; it is known anyway where it is clipped.

        Returns:
            The norm of the gradient before it was clipped by it; 0 where it is not known.
        """
        self.torch.zero_grad(set_to_none=True)
        if not self.live:
            return _unknown(loss)
        if loss is not None:
            loss.backward(inputs=self.live if self.is_apart else None)
        for parameter in self.live if shares else ():
            if parameter in shares:
                share, grad = shares[parameter], parameter.grad
                # Of its own: autograd may give one tensor for several, and clipping is in place.
                parameter.grad = share.clone() if grad is None else grad + share
        value, limit = self.config.max_grad_value, self.config.max_grad_norm
        if value is not None:
            nn.utils.clip_grad_value_(self.live, value)
        if measured or limit is not None:
            limit = float("inf") if limit is None else limit
            norm = nn.utils.clip_grad_norm_(self.live, limit)
        else:
            norm = _unknown(loss)
        self.torch.step()
        return norm

    def get_tensors(self) -> dict[str, Tensor]:
        """Copies of the state as `<parameter>/<key>`, whatever its layout in memory."""
        return {
            f"{name}/{key}": value.detach().clone()
            for name, parameter in self.named.items()
            for key, value in self.torch.state.get(parameter, {}).items()
        }

    def set_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Loads what `get_tensors` gave; nothing of the state before is left.

        Raises:
            CheckpointError: If the state is of other parameters, of other shapes, or of another
                optimiser; nothing is loaded.
        """
        states: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, value in tensors.items():
            name, _, field = key.rpartition("/")
            parameter = self.named.get(name)
            if parameter is None or (value.dim() and value.shape != parameter.shape):
                raise CheckpointError(f"the optimiser's state `{key}` does not fit the module")
            states[name][field] = value.clone()
        keys = self.config.optimiser.remembers()
        for name, state in states.items():
            if state.keys() != keys:
                raise CheckpointError(_other(self.config.optimiser.type, name, state, keys))
        fresh = self.config.optimiser.build(self._groups(), self.config.lr)
        ordered = (parameter for group in fresh.param_groups for parameter in group["params"])
        places = {parameter: place for place, parameter in enumerate(ordered)}
        data = fresh.state_dict()
        data["state"] |= {places[self.named[name]]: state for name, state in states.items()}
        self.torch.load_state_dict(data)


def _unknown(loss: Tensor | None) -> Tensor:
    return torch.zeros(()) if loss is None else loss.new_zeros(())


def _other(kind: str, name: str, given: Mapping[str, Tensor], own: frozenset[str]) -> str:
    """What is said of the state of an optimiser with other settings."""
    had, has = (", ".join(sorted(keys)) or "nothing" for keys in (given, own))
    return (
        f"the checkpoint is of another optimiser: of `{name}` it remembers {had}, and `{kind}` as "
        f"it is set here {has}"
    )
