"""A module's parts by their dotted names: read, loaded, frozen, left out."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from composer.apis import InferenceOnlyAPI
from composer.errors import ModuleError, did_you_mean
from composer.modes import LearningModule
from composer.module.state import state_difference, within


class ModuleOfParts(LearningModule):
    """A torch module whose parts are told by their names, `main.encoder`."""

    def __init__(self) -> None:
        super().__init__()
        self._dropped: tuple[str, ...] = ()

    def get_state(
        self, components: str | Sequence[str] | None = None, *, inference_only: bool = False
    ) -> dict[str, Tensor]:
        """Copies of parameters and buffers by name.

        Args:
            components: Dotted names of parts; all by default.
            inference_only: Only what acting needs.

        Raises:
            ModuleError: If there is no such part.
        """
        dropped = self.non_inference_parts() if inference_only else ()
        wanted = self._part_names(components)
        return {
            name: tensor.detach().clone()
            for name, tensor in self.state_dict().items()
            if not within(name, dropped) and (wanted is None or within(name, wanted))
        }

    def set_state(
        self, state: Mapping[str, Any], components: str | Sequence[str] | None = None
    ) -> None:
        """Loads a state strictly: every name and shape must fit.

        Args:
            state: From `get_state`; arrays or tensors.
            components: Load these parts only; the state may hold more.

        Raises:
            ModuleError: Lists what is missing, unexpected or of another shape; nothing is loaded.
        """
        wanted = self._part_names(components)
        given = {
            name: torch.as_tensor(value)
            for name, value in state.items()
            if not within(name, self._dropped) and (wanted is None or within(name, wanted))
        }
        own = {
            name: tensor
            for name, tensor in self.state_dict().items()
            if wanted is None or within(name, wanted)
        }
        if difference := state_difference(own, given):
            raise ModuleError("the state does not fit this module:\n" + difference)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(given[name])

    def freeze(self, components: str | Sequence[str]) -> None:
        """Keeps parts as they are, the statistics of running norms included: an optimiser that is
        made afterwards leaves them out.

        Args:
            components: Dotted names of parts.

        Raises:
            ModuleError: If there is no such part.
        """
        parts = self._part_names(components) or ()
        for name, parameter in self.named_parameters():
            if within(name, parts):
                parameter.requires_grad_(False)
        self._frozen += [part for name, part in self.named_modules() if within(name, parts)]
        self._settle()

    def non_inference_parts(self) -> tuple[str, ...]:
        """Dotted names of what an inference-only module goes without.

        Raises:
            ModuleError: If `get_non_inference_attributes` names what the full module lacks.
        """
        if self._dropped or not isinstance(self, InferenceOnlyAPI):
            return self._dropped
        names = tuple(self.get_non_inference_attributes())
        for name in names:
            owner, _, attribute = name.rpartition(".")
            try:
                getattr(self.get_submodule(owner), attribute)
            except AttributeError:
                raise ModuleError(
                    f"{type(self).__name__}.get_non_inference_attributes names `{name}`, "
                    "which the module does not have"
                ) from None
        return names

    def _drop(self, attributes: Sequence[str]) -> None:
        """Deletes dotted attributes that `setup` has made, and remembers them all."""
        for attribute in attributes:
            owner, _, name = attribute.rpartition(".")
            with suppress(AttributeError):  # `setup` need not make what would be dropped
                delattr(self.get_submodule(owner), name)
        self._dropped = tuple(attributes)

    def _part_names(self, components: str | Sequence[str] | None) -> list[str] | None:
        if components is None:
            return None
        names = [components] if isinstance(components, str) else list(components)
        known = [name for name, _ in (*self.named_modules(), *self.named_parameters()) if name]
        for name in names:
            if name not in known:
                raise ModuleError(
                    f"{type(self).__name__} has no part `{name}`{did_you_mean(name, known)}"
                )
        return names


def without_dropped(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Lets an inference-only module load the state of a full one."""
    dropped = [prefix + part for part in module._dropped]  # pyright: ignore
    for name in [name for name in state_dict if within(name, dropped)]:
        del state_dict[name]
