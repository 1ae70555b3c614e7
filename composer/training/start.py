"""Start: what a run begins with beside its experiment: another's weights, and frozen parts."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from composer.blueprint.blueprint import Blueprint
from composer.blueprint.matching import words_to_match
from composer.errors import (
    CheckpointError,
    ComposerError,
    ModuleError,
    Problem,
    RunDirectoryError,
    nearest,
)
from composer.files import read_json, write_json
from composer.module.rl_module import RLModule
from composer.module.saved import read_weights
from composer.module.state import Weights, loadable, loading_problems, within
from composer.training.run_directory import START, RunDirectory


@dataclass(frozen=True)
class Start:
    """Weights of another run for parts of a model, and parts that stay as they are."""

    init_from: str = ""
    """As it was typed: `runs/a:main`."""
    directory: str = ""
    """The checkpoint or module that the weights are taken from; empty for none."""
    parts: tuple[str, ...] = ()
    """Parts that take weights; empty for the whole module."""
    freeze: tuple[str, ...] = ()
    """Parts that are not trained."""
    by_flags: bool = field(default=False, compare=False)
    """It was typed on the command line, of which errors then speak."""

    @classmethod
    def read(
        cls,
        init_from: str | Path | None = None,
        freeze: str | Sequence[str] = (),
        *,
        by_flags: bool = False,
    ) -> Self:
        """What was asked for.

        Args:
            init_from: A run (its best checkpoint), a checkpoint or a saved module; behind a colon
                the parts to take, `runs/a:main,policy`, else all.
            freeze: Parts, in one string with commas or a sequence.
            by_flags: It was typed on the command line.

        Raises:
            ComposerError: If there are no weights in the directory, or a name is empty.
        """
        frozen = tuple(freeze.split(",") if isinstance(freeze, str) and freeze else freeze)
        start = cls(freeze=frozen, by_flags=by_flags)
        if not all(frozen):
            raise ModuleError(start._problem("freeze", _EMPTY, ",".join(filter(None, frozen))))
        if init_from is None:
            return start
        text = str(init_from)
        path, parts = _split(text)
        start = replace(start, init_from=text, parts=parts)
        if not all(parts):
            right = _joined(path, [*filter(None, parts)])
            raise CheckpointError(start._problem("init_from", _EMPTY, right))
        try:
            return replace(start, directory=str(_weights_at(Path(path)).resolve()))
        except ComposerError as error:
            located = (start._problem("init_from", problem) for problem in error.problems)
            raise type(error)(*located) from None

    @classmethod
    def of(cls, run: RunDirectory) -> Self:
        """What a run has begun with.

        Raises:
            CheckpointError: If its `start.json` was edited.
        """
        path = run.path / START
        if not path.exists():
            return cls()
        match read_json(path):
            case {
                "init_from": str(init_from),
                "directory": str(directory),
                "parts": [*parts],
                "freeze": [*freeze],
            }:
                return cls(init_from, directory, tuple(parts), tuple(freeze))
        raise CheckpointError(f"{path} was edited: it does not say what the run has begun with")

    def kept_in(self, run: RunDirectory) -> Self:
        """What the run has begun with; this, if it has not begun.

        Raises:
            RunDirectoryError: If it has begun with something else.
        """
        recorded = type(self).of(run)
        if not self or recorded == self:
            return recorded
        if recorded or run.latest() is not None:
            raise RunDirectoryError(
                f"{run.path} has begun, with {recorded}; it cannot begin with {self}"
            )
        data = asdict(self)
        del data["by_flags"]
        write_json(run.path / START, data)
        return self

    def __bool__(self) -> bool:
        return bool(self.directory or self.freeze)

    def __str__(self) -> str:
        loaded = f"{', '.join(self.parts) or 'all weights'} of {_from_here(self.directory)}"
        frozen = f"{', '.join(self.freeze)} frozen"
        told = [loaded] * bool(self.directory) + [frozen] * bool(self.freeze)
        return "; ".join(told) or "weights of its own"

    def require_fit(self, module: RLModule) -> None:
        """Compares with a module, whose weights may lie on torch's meta device.

        Raises:
            CheckpointError: If the directory is missing or damaged.
            ModuleError: Lists what does not fit, part by part; or if nothing is left to train.
        """
        own = Weights.of("this model", module.recipe(), module.state_dict())
        problems = [*self._of_weights(own), *self._of_freezing(own, module)]
        if problems:
            raise ModuleError(*problems)

    def load(self, module: RLModule) -> None:
        """Loads the weights; a fitting module is taken for granted."""
        if self.directory:
            module.restore_from_path(self.directory, self.parts or None)

    def _of_weights(self, own: Weights) -> Iterator[Problem]:
        if not self.directory:
            return
        given = read_weights(_from_here(self.directory))
        whole = (name.partition(".")[0] for name in (*own.tensors, *given.tensors))
        parts = self.parts or tuple(dict.fromkeys(whole))
        problems = list(loading_problems(own, given, parts))
        right = _joined(_split(self.init_from)[0], loadable(own, given, self.parts))
        settings = _settings(own, given, parts) if problems else ""
        for problem in problems:
            located = self._problem("init_from", problem, right)
            yield replace(located, fix=settings) if settings else located

    def _of_freezing(self, own: Weights, module: RLModule) -> Iterator[Problem]:
        near = {part: nearest(part, own.parts) for part in self.freeze if not own.inside([part])}
        right = [near.get(part, part) for part in self.freeze]
        for part in near:
            yield self._problem("freeze", own.no_part(part), ",".join(filter(None, right)))
        trained = [name for name, tensor in module.named_parameters() if tensor.requires_grad]
        if self.freeze and all(within(name, self.freeze) for name in trained):
            yield self._problem("freeze", Problem("nothing is left to train"))

    def _problem(self, name: str, problem: Problem, right: str = "") -> Problem:
        """The problem of an argument, and what would be right in its place."""
        flag = f"--{name.replace('_', '-')}"
        line = f"{flag} {shlex.quote(right)}" if self.by_flags else f"{name}={right!r}"
        return replace(
            problem,
            path=flag if self.by_flags else name,
            value=self.init_from if name == "init_from" else ",".join(self.freeze),
            fix=line if right else None,
        )


_EMPTY = Problem("a part's name is empty")


def _weights_at(path: Path) -> Path:
    """The best checkpoint of a run, else the directory itself."""
    is_module = any((path / inner / "module.json").is_file() for inner in ("", "module"))
    return path if is_module else RunDirectory.open(path).checkpoint()


def _from_here(directory: str) -> Path:
    """The path as a person would type it."""
    path, here = Path(directory), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _settings(own: Weights, given: Weights, parts: Sequence[str]) -> str:
    """Words by which the parts would take the weights; empty where none would."""
    recipes = [side.recipe.get("blueprint") for side in (own, given)]
    both_have = all(side.inside([part]) for side in (own, given) for part in parts)
    if not (both_have and all(recipes)):
        return ""
    mine, theirs = (Blueprint.from_data(recipe) for recipe in recipes if recipe)
    return words_to_match(mine, theirs, parts)


def _split(text: str) -> tuple[str, tuple[str, ...]]:
    """`runs/a:main,policy` as the directory and the parts; a directory may have a colon too."""
    directory, colon, parts = text.rpartition(":")
    if not colon or Path(text).exists():
        return text, ()
    return directory, tuple(parts.split(","))


def _joined(directory: str, parts: Sequence[str]) -> str:
    """The same as text; nothing without parts."""
    return f"{directory}:{','.join(parts)}" if parts else ""
