"""What a person's own class raises, told with the line that raised it and without a traceback."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from composer.errors import ComposerError, ModuleError, Problem, line_to_type, nearest
from composer.importing import own_line
from composer.incomplete import place_of
from composer.module.settings import MissingSettingError

PATH = "model.path"


@dataclass(frozen=True)
class OwnCode:
    """A class that a configuration names.

    Args:
        module_class: The class.
        path: As the configuration has it.
    """

    module_class: type
    path: str

    @contextmanager
    def telling(self, when: str) -> Iterator[None]:
        """Tells whatever is raised, where nothing but the class can be the cause.

        Args:
            when: What it did: `was made`.

        Raises:
            ComposerError: Of the same kind, where it is one; its own paths and lines to type are
                about a composed model, and left out.
            ModuleError: Anything else.
        """
        try:
            yield
        except MissingSettingError as error:
            raise ModuleError(_missing(error)) from error
        except ComposerError as error:
            problems = (
                replace(item, path=PATH, value=self.path, valid=(), fix=self._place(error))
                for item in error.problems
            )
            raise type(error)(*problems) from error
        except Exception as error:  # a person's code may raise anything
            raise self._mishap(error, when) from error

    @contextmanager
    def guarding(self, when: str) -> Iterator[None]:
        """Tells what came through the class's file, where other code runs too.

        Raises:
            ModuleError: As `telling`.
        """
        try:
            yield
        except ComposerError:
            raise
        except Exception as error:  # a person's code may raise anything
            if own_line(error, self._file) is None:
                raise
            raise self._mishap(error, when) from error

    def _mishap(self, error: Exception, when: str) -> ModuleError:
        name = self.module_class.__name__
        message = f"{name} raised {type(error).__name__} as it {when}: {error}"
        return ModuleError(Problem(message, PATH, self.path, fix=self._place(error)))

    def _place(self, error: Exception) -> str | None:
        """Where to mend it: the innermost line of the class's file that raised, else the class."""
        return own_line(error, self._file) or place_of(self.module_class)

    @property
    def _file(self) -> str | None:
        with suppress(TypeError):  # the class was made in no file
            return inspect.getsourcefile(self.module_class)
        return None


def _missing(error: MissingSettingError) -> Problem:
    """The problem of a setting, where a configuration gives the settings."""
    (problem,) = error.problems
    close = nearest(error.key, error.given)
    if close is None:
        return replace(problem, path="model.config", fix=f"model.config.{error.key}=…")
    value = error.given[close]
    fix = line_to_type(f"model.config.{error.key}", value)
    return replace(problem, path=f"model.config.{close}", value=value, fix=fix)
