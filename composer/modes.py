"""Parts that do otherwise while they learn: dropout, batch normalisation, classes of one's own."""

import functools
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from composer.seeds import drawing_from

_OURS = ("torch.", "composer.")
_TORCHS = (
    nn.modules.dropout._DropoutNd,
    nn.modules.batchnorm._NormBase,
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerEncoder,
    nn.RReLU,
    parametrizations._SpectralNorm,
)


def learners(module: nn.Module) -> list[nn.Module]:
    """The parts of a module that may do otherwise in torch's train mode; running norms, which
    gather apart from learning, are none.
    """
    return [part for part in module.modules() if _may_differ(part)]


def _may_differ(part: nn.Module) -> bool:
    is_known = type(part).__module__.startswith(_OURS) and not part._forward_pre_hooks
    return isinstance(part, _TORCHS) or not is_known


class LearningModule(nn.Module):
    """A torch module that learns at times, and parts of which do not.

    What is frozen, and slower copies of networks, never learn; what is held does not for now. All
    of that stays in torch's eval mode.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []
        self._held: set[nn.Module] = set()
        self._copies: list[nn.Module] = []

    def hold(self, parts: Collection[nn.Module]) -> None:
        """Keeps these parts as they are for now, and no others: what is let go of learns again."""
        held = set(parts)
        if held != self._held:
            for part in (self._held - held).difference(learners(self)):
                part.training = True
            self._held = held
            self._settle()

    def train(self, mode: bool = True) -> Self:
        """Torch's train mode; frozen and held parts and slower copies stay in eval mode."""
        super().train(mode)
        self._settle()
        return self

    def _settle(self) -> None:
        """Puts what never learns, or not now, into torch's eval mode."""
        for part in self._still():
            part.training = False
        self.__dict__.pop("_learners", None)

    def _still(self) -> set[nn.Module]:
        return {*self._frozen, *self._held, *self._copies}

    def rest(self) -> None:
        """Puts what does otherwise while it learns, such as dropout, into torch's eval mode."""
        for part in self._learners:
            part.training = False

    @contextmanager
    def learning(self, generator: torch.Generator | None = None) -> Iterator[None]:
        """Meanwhile that is in train mode, but for what is frozen or held.

        Args:
            generator: Where there is such a part, torch's global generators are seeded from it
                meanwhile; a CPU's. By default they are left as they are.
        """
        seeds = generator if self._learners else None
        for part in self._learners:
            part.training = True
        try:
            with nullcontext() if seeds is None else drawing_from(seeds, self.device):
                yield
        finally:
            self.rest()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Meanwhile that is in eval mode."""
        awake = [part for part in self._learners if part.training]
        self.rest()
        try:
            yield
        finally:
            for part in awake:
                part.training = True

    @functools.cached_property
    def _learners(self) -> list[nn.Module]:
        still = self._still()
        return [part for part in learners(self) if part not in still]

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self._anchor.device

    @functools.cached_property
    def _anchor(self) -> Tensor:
        """A parameter, which `.to(…)` moves in place; looking for one at each step is slow."""
        return next(self.parameters(), torch.empty(0))
