"""OptimiserConfig: a kind of `torch.optim`, its settings, and those of a module's parts."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import BeforeValidator, Field, field_validator
from torch import nn

from composer.config import Config, Family, Frozen, FrozenDict, NotNegative, Steps
from composer.errors import ModuleError, Problem, nearest
from composer.fixes import entry_line
from composer.module.rl_module import RLModule
from composer.module.state import Weights, within
from composer.optimisers._schedule import LearningRate
from composer.problems import invalid_value

PLACE = "algorithm.optimiser.parts"


def _two(value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise invalid_value("there are two betas, each in [0, 1)")
    return tuple(value)


Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Betas = Annotated[tuple[Beta, Beta], BeforeValidator(_two)]
"""Of the running means of the gradient and of its square."""


class PartConfig(Config):
    """What differs for a part of the module; null is as it is around the part."""

    lr: LearningRate | None = None
    """Learning rate; it follows the algorithm's schedule."""
    weight_decay: NotNegative | None = None
    frozen_until: Steps | None = None
    """Environment steps before which the part stays as it is, its running norms included."""


class OptimiserConfig(Family, family="optimiser", default="adam"):
    """An optimiser of `torch.optim`, its settings under torch's names."""

    torch_class: ClassVar[type[torch.optim.Optimizer]]
    fused: ClassVar[bool] = False
    """Torch has it as one kernel."""

    weight_decay: NotNegative = 0.0
    parts: Frozen[PartConfig] = FrozenDict()
    """By the part's dotted name, `main` or `main.encoder`; of two that hold a parameter the longer
    name wins, setting by setting."""

    @field_validator("parts", mode="before")
    @classmethod
    def _by_dotted_name(cls, parts: object) -> object:
        if not isinstance(parts, Mapping):
            return parts
        found: dict[Any, Any] = {}
        for name, own in _by_name(parts):
            both = isinstance(own, Mapping) and isinstance(found.get(name), Mapping)
            found[name] = {**found[name], **own} if both else own
        return found

    def settings_of(self, name: str) -> PartConfig:
        """What differs for a parameter or a submodule, by its dotted name."""
        found: dict[str, Any] = {}
        for part in sorted(self.parts, key=len):
            if within(name, [part]):
                found |= self.parts[part].altered()
        return PartConfig(**found)

    def build(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Torch's optimiser of parameter groups, which may say `lr` and `weight_decay`."""
        settings = self.model_dump(exclude={"type", "parts"})
        fused = {"fused": True} if self.fused else {}
        return self.torch_class(groups, lr=lr, **settings, **fused)  # pyright: ignore[reportCallIssue]

    def remembers(self) -> frozenset[str]:
        """What its state has for each parameter, once it has taken a step."""
        parameter = nn.Parameter(torch.zeros(1))
        parameter.grad = torch.zeros(1)
        optimiser = self.build([{"params": [parameter]}], lr=1.0)
        optimiser.step()
        return frozenset(optimiser.state[parameter])


def _by_name(parts: Mapping[Any, Any], above: str = "") -> Iterator[tuple[Any, Any]]:
    """`{main: {lr: …, encoder: {lr: …}}}` as `main` and `main.encoder`, each with its own."""
    for key, part in parts.items():
        name = f"{above}{key}" if isinstance(key, str) else key
        if not isinstance(part, Mapping):
            yield name, part
            continue
        inner = {below: item for below, item in part.items() if isinstance(item, Mapping)}
        if len(inner) < len(part) or not part:
            yield name, {below: item for below, item in part.items() if below not in inner}
        yield from _by_name(inner, f"{name}.")


def part_problems(config: OptimiserConfig, module: RLModule) -> Iterator[Problem]:
    """Parts that the module lacks, or has nothing to train in; or that nothing is trained at first.

    Args:
        config: The settings.
        module: Its weights may lie on torch's meta device.
    """
    if not config.parts:
        return
    own = Weights.of("this model", module.recipe(), module.state_dict())
    trained = [name for name, p in module.named_parameters() if p.requires_grad]
    idle = [part for part in config.parts if not any(within(name, [part]) for name in trained)]
    for part in idle:
        held = own.inside([part])
        why = Problem(f"the part `{part}` is not trained: it is frozen, or has no parameters")
        yield misplaced(config, part, why if held else own.no_part(part))
    until = [config.settings_of(name).frozen_until or 0 for name in trained]
    if not idle and min(until, default=0):
        yield _all_frozen(config, min(until))


def require_parts(config: OptimiserConfig, module: RLModule) -> None:
    """Refuses settings that say nothing of a module.

    Raises:
        ModuleError: As `part_problems`.
    """
    if problems := [*part_problems(config, module)]:
        raise ModuleError(*problems)


def misplaced(config: OptimiserConfig, part: str, problem: Problem) -> Problem:
    """The problem of a part's name, where it stands, with the line of the one that was meant."""
    said, right = config.parts[part].altered(), nearest(part, problem.valid)
    fix = entry_line(f"{PLACE}.{right}", said) if right and right != part else None
    return replace(problem, path=f"{PLACE}.{part}", value=said, fix=fix)


def _all_frozen(config: OptimiserConfig, until: int) -> Problem:
    last = [part for part, settings in config.parts.items() if settings.frozen_until][-1]
    path = f"{PLACE}.{last}.frozen_until"
    message = f"every part is frozen until step {until:,}: nothing is left to train"
    return Problem(message, path, config.parts[last].frozen_until, fix=f"{path}=0")
