"""What every executor promises, and the one that fits a module."""

from typing import Any, Protocol

import torch

from composer.module.rl_module import RLModule
from composer.module.step import Step
from composer.spaces import Nested


class Executor(Protocol):
    """Acts as `RLModule.act` does, with the module's current weights."""

    @property
    def device(self) -> torch.device:
        """Where it samples: the device of the generator it takes."""
        ...

    def act(
        self,
        obs: Nested,
        state: Nested = None,
        deterministic: bool = False,
        action_mask: Nested = None,
        is_first: Any = None,
        prev_actions: Nested = None,
        prev_rewards: Any = None,
        generator: torch.Generator | None = None,
    ) -> Step:
        """See `RLModule.act`."""
        ...

    def resample_noise(
        self, step: int, num_envs: int, generator: torch.Generator | None = None
    ) -> None:
        """See `RLModule.resample_noise`."""
        ...


def make_executor(module: RLModule) -> Executor:
    """The executor of a module, which now acts without what only learning has, such as dropout; in
    plain torch that is the module's own `act`.
    """
    module.rest()
    return module
