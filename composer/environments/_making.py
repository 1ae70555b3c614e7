"""Making environments: one with what it may raise told in plain words, and several as one."""

import contextlib
import copy
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import gymnasium
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from composer.environments._guard import GuardedEnv, GuardedVectorEnv
from composer.environments._lookup import installing
from composer.errors import ComposerError, ConfigError, EnvironmentFailure, Problem
from composer.spaces import is_ragged

T = TypeVar("T")

MakeSingle = Callable[[], gymnasium.Env]

REFUSED_ARGUMENTS = re.compile(
    r"unexpected keyword argument|multiple values for|missing \d+ required|takes no arguments"
)


def construct(make: Callable[..., T], kwargs: Any, name: str, path: str) -> T:
    """Calls a constructor, and tells what it may raise in the words of the configuration.

    What it prints goes to stderr: stdout holds what a command was asked for.

    Args:
        make: The constructor.
        kwargs: Its arguments.
        name: What it makes.
        path: Whose `kwargs` in the configuration the arguments are.

    Raises:
        ConfigError: It refuses the arguments.
        EnvironmentFailure: A package is missing, or it raises something else.
    """
    try:
        with _no_deprecations(), contextlib.redirect_stdout(sys.stderr):
            return make(**copy.deepcopy(dict(kwargs)))
    except ComposerError:
        raise
    except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
        message = f"`{name}` needs a package that is missing: {error}"
        raise EnvironmentFailure(Problem(message, fix=installing(error))) from error
    except Exception as error:  # a constructor may raise anything
        cause = error.__context__ if isinstance(error.__context__, TypeError) else error
        if isinstance(error, TypeError) and REFUSED_ARGUMENTS.search(str(cause)):
            problem = Problem(f"`{name}`: {cause}", path=f"{path}.kwargs", value=dict(kwargs))
            raise ConfigError(problem) from error
        raise EnvironmentFailure(
            f"`{name}` raised while it was made:\n{traceback.format_exc().rstrip()}"
        ) from error


def spaces_of(make_single: MakeSingle) -> tuple[gymnasium.Space, gymnasium.Space]:
    """The observation space and the action space of an environment that is made for this."""
    env = make_single()
    env.close()
    return env.observation_space, env.action_space


def vectorize(
    make_single: MakeSingle, num_envs: int, name: str, *, in_processes: bool, masks: bool
) -> VectorEnv:
    """Several environments behind one interface, in this process or each in one of its own.

    Raises:
        EnvironmentFailure: Their spaces cannot be batched, or a process dies.
    """
    singles = [SingleEnv(make_single)] * num_envs
    try:
        if in_processes:  # Gymnasium shares memory wrongly for texts, not at all for sequences
            shared_memory = not is_ragged(spaces_of(make_single)[0])
            envs = AsyncVectorEnv(singles, shared_memory=shared_memory)
        else:
            envs = SyncVectorEnv(singles)
        return GuardedVectorEnv(envs, name=name, masks=masks)
    except ComposerError:
        raise
    except (EOFError, ConnectionError) as error:
        raise EnvironmentFailure(
            f"a worker process of `{name}` died while it made its environment; its "
            "traceback stands above"
        ) from error
    except Exception as error:  # Gymnasium raises many kinds, as the environment does
        raise EnvironmentFailure(
            Problem(
                f"`{name}` cannot be vectorised by "
                f"`{'Async' if in_processes else 'Sync'}VectorEnv`:\n"
                f"{type(error).__name__}: {error}",
                fix="env.vectorization=sync" if in_processes else None,
            )
        ) from error


@dataclass(frozen=True)
class SingleEnv:
    """Makes one of the environments, in this process or in a worker of it."""

    make_single: MakeSingle
    home: int = field(default_factory=os.getpid)

    def __call__(self) -> gymnasium.Env:
        if os.getpid() != self.home:
            # A worker leaves when it is told to, by the trainer alone: Ctrl-C reaches the whole
            # process group, and a forked worker has inherited the trainer's own handlers.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return GuardedEnv(self.make_single())


@contextlib.contextmanager
def _no_deprecations() -> Iterator[None]:
    """Without Gymnasium's advice to use a later version of an environment: the id was a choice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*is out of date", DeprecationWarning)
        warnings.filterwarnings("ignore", r".*(AutoresetMode|autoreset_mode)", UserWarning)
        yield
