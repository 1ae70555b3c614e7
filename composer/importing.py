"""Classes that the configuration names: `package.module.ClassName` → the class."""

import contextlib
import difflib
import importlib
import pkgutil
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from composer.errors import ConfigError, Problem, line_to_type

T = TypeVar("T")
Cure = Callable[[BaseException], str | None]
"""What to type where an import failed."""


def find_class(
    path: str,
    base: type[T],
    at: str,
    cure: Cure = lambda _: None,
    fits: Callable[[type[T]], bool] = lambda _: True,
) -> type[T]:
    """The class at `package.module.ClassName`.

    Args:
        path: As the configuration has it.
        base: What it must be a subclass of.
        at: Where the configuration says so.
        cure: What to type where the module cannot be imported.
        fits: Whether a class can be offered in the place of one that is not there.

    Raises:
        ConfigError: There is no such module or class, or it is not one of `base`.
    """
    module_name, _, name = path.rpartition(".")
    if not (module_name and _is_dotted(path)):
        rule = "a class is named by its dotted path, `package.module.ClassName`"
        meant = re.sub(r"\.py\b", "", path.removeprefix("./")).replace(":", ".").replace("/", ".")
        is_near = "." in meant and meant != path and _is_dotted(meant)
        inside = _classes(_imported(meant), base) if _is_dotted(meant) else {}
        fitting = [each for each, found in inside.items() if fits(found)]
        fix = _line(at, meant if is_near and not inside else next(iter(fitting), None))
        raise ConfigError(Problem(rule, at, path, valid=tuple(inside), fix=fix))

    def leads_into_class(error: BaseException) -> str | None:
        outer = _class_above(module_name, base)
        return cure(error) or (_line(at, outer) if outer else None)

    module = import_module(module_name, path, at, leads_into_class)
    found = getattr(module, name, None)
    if found is None and hasattr(module, "__path__"):
        found = _imported(path)
    if isinstance(found, type) and issubclass(found, base):
        return found
    others = _classes(found if isinstance(found, ModuleType) else module, base)
    fitting = [each for each, other in others.items() if fits(other)]
    names = {each.rpartition(".")[2]: each for each in others}
    close = tuple(names[each] for each in closest(name, names)) if found is None else ()
    what = f"{base.__module__.partition('.')[0]}.{base.__name__}"
    message = (
        f"`{module_name}` has no `{name}`{f'; did you mean `{close[0]}`?' if close else ''}"
        if found is None
        else f"`{path}` is not a subclass of `{what}`"
    )
    fix = _line(at, next(iter([*close, *fitting]), None))
    raise ConfigError(Problem(message, at, path, valid=close or tuple(others), fix=fix))


def _classes(module: ModuleType | None, base: type[T]) -> dict[str, type[T]]:
    """The subclasses that a module has, by their dotted paths."""
    if module is None:
        return {}
    return {
        f"{module.__name__}.{name}": found
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, base) and found is not base
    }


def _imported(name: str) -> ModuleType | None:
    """A module, if it can be imported."""
    with contextlib.suppress(ConfigError):
        return import_module(name, name, "")
    return None


def _class_above(path: str, base: type) -> str | None:
    """The class that a path leads into: `mods.Policy` of `mods.Policy.x`."""
    while path:
        outer, _, name = path.rpartition(".")
        found = getattr(sys.modules.get(outer), name, None)
        if isinstance(found, type) and issubclass(found, base):
            return path
        path = outer
    return None


def _is_dotted(path: str) -> bool:
    return all(part.isidentifier() for part in path.split("."))


def _line(at: str, value: str | None) -> str | None:
    """A line to type; none in a list, whose entries cannot be set one by one."""
    if "[" in at:
        return None
    return line_to_type(at, value) if value else f"{at}=…"


def import_module(name: str, value: str, at: str, cure: Cure = lambda _: None) -> ModuleType:
    """A module; what it prints while it is imported goes to stderr.

    Raises:
        ConfigError: It cannot be imported; names the nearest where it is not there.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # some print a greeting
            return importlib.import_module(name)
    except Exception as error:  # a module may raise anything while it is imported
        message = f"the module `{name}` cannot be imported: {type(error).__name__}: {error}"
        fix = cure(error)
        if not fix and _is_not_there(name, error):
            close = _nearest_module(name, error)
            message += f"; did you mean `{close}`?" if close else ""
            fix = _line(at, value.replace(name, close, 1)) if close else ELSEWHERE
        raise ConfigError(Problem(message, at, value, fix=fix or own_line(error))) from error


_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
_OURS = str(Path(__file__).parent)


def own_line(error: BaseException, file: str | None = None) -> str | None:
    """The innermost line of a person's own code that an error came through: `file:line    code`.

    Args:
        error: As it was caught.
        file: Look at this file alone; by default, at whatever is neither installed nor ours.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}    {(error.text or '').strip()}"
    strange = ("<", _OURS, *_INSTALLED)
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if (frame.filename == file if file else not frame.filename.startswith(strange))
    ]
    return f"{own[-1].filename}:{own[-1].lineno}    {own[-1].line}" if own else None


ELSEWHERE = "--config-dir DIR    the configuration directory that lies beside the module"


def _is_not_there(name: str, error: Exception) -> bool:
    """Whether an import failed for want of the module itself, or of a package it is in."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return missing is not None and f"{name}.".startswith(f"{missing}.")


def _nearest_module(name: str, error: Any) -> str | None:
    """The module that was meant, where one of the names up to it is nearly that of another."""
    parent, _, missing = error.name.rpartition(".")
    where: Any = getattr(sys.modules.get(parent), "__path__", ()) if parent else None
    close = closest(missing, (found.name for found in pkgutil.iter_modules(where)), 0.75)
    right = f"{parent}.{close[0]}" if parent and close else "".join(close[:1])
    return f"{right}{name.removeprefix(error.name)}" if close else None


def closest(name: str, names: Iterable[str], closeness: float = 0.65) -> tuple[str, ...]:
    """Up to five names, the closest first."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=closeness)
    return tuple(by_lower[key] for key in close)
