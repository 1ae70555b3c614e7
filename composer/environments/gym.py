"""Environments that Gymnasium can make, by id."""

import contextlib
import copy
import functools
import inspect
import os
import re
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from pydantic import BeforeValidator, field_validator

from composer.config import Config, Frozen, FrozenDict, Listed, invalid_value
from composer.environments import _lookup
from composer.environments._guard import GuardedEnv, GuardedVectorEnv
from composer.environments.base import EnvironmentConfig
from composer.errors import ComposerError, ConfigError, EnvironmentFailure, Problem
from composer.spaces import is_ragged

T = TypeVar("T")

REFUSED_ARGUMENTS = re.compile(
    r"unexpected keyword argument|multiple values for|missing \d+ required|takes no arguments"
)


class WrapperConfig(Config):
    """A `gymnasium.Wrapper`; a bare string is short for `{path: …}`."""

    path: str
    """Where the class is: `package.module.ClassName`."""
    kwargs: Frozen[Any] = FrozenDict()

    @field_validator("path")
    @classmethod
    def _is_dotted(cls, path: str) -> str:
        parts = path.split(".")
        if len(parts) < 2 or not all(part.isidentifier() for part in parts):
            raise invalid_value("a wrapper is named by its dotted path, `package.module.ClassName`")
        return path


def _from_path(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


Wrapper = Annotated[
    WrapperConfig, BeforeValidator(_from_path, json_schema_input_type=WrapperConfig | str)
]


class GymEnvironmentConfig(EnvironmentConfig):
    """Any environment with a Gymnasium id; `module:Name-v0` imports the module first."""

    type: Literal["gym"] = "gym"
    id: str
    kwargs: Frozen[Any] = FrozenDict()
    """Passed to `gymnasium.make`, and so to the environment's constructor."""
    vectorization: Literal["auto", "sync", "async", "vector_entry_point"] = "auto"
    """`auto`: the environment's own vector form where it fits, else `sync`."""
    wrappers: Listed[Wrapper] = ()
    """The first is the innermost."""

    def problems(self) -> list[Problem]:
        if self.vectorization != "vector_entry_point":
            return []
        entry_point = self._native_entry_point()
        return [entry_point] if isinstance(entry_point, Problem) else []

    def spaces(self) -> tuple[gymnasium.Space, gymnasium.Space]:
        env = self.make_single()
        env.close()
        return env.observation_space, env.action_space

    def make(self, num_envs: int | None = None) -> VectorEnv:
        """As the base says.

        Raises:
            ConfigError: The id, a wrapper or an argument is wrong, or the vectorisation asked for
                cannot be had.
            EnvironmentFailure: A package is missing, the environment raises while it is made, or
                it resets in another mode than next-step.
        """
        count = self.num_envs if num_envs is None else num_envs
        self._refuse_other_autoreset()
        if self.vectorization in ("auto", "vector_entry_point"):
            native = self._native(count)
            if isinstance(native, VectorEnv):
                return GuardedVectorEnv(native, name=self.id)
            if self.vectorization == "vector_entry_point":
                raise native
        singles, is_async = [_SingleEnv(self)] * count, self.vectorization == "async"
        try:
            if is_async:  # Gymnasium shares memory wrongly for texts, not at all for sequences
                made = AsyncVectorEnv(singles, shared_memory=not is_ragged(self.spaces()[0]))
            else:
                made = SyncVectorEnv(singles)
            return GuardedVectorEnv(made, name=self.id)
        except ComposerError:
            raise
        except (EOFError, ConnectionError) as error:
            raise EnvironmentFailure(
                f"a worker process of `{self.id}` died while it made its environment; its "
                "traceback stands above"
            ) from error
        except Exception as error:  # Gymnasium raises many kinds, as the environment does
            raise EnvironmentFailure(
                Problem(
                    f"`{self.id}` cannot be vectorised by "
                    f"`{'Async' if is_async else 'Sync'}VectorEnv`:\n"
                    f"{type(error).__name__}: {error}",
                    fix="env.vectorization=sync" if is_async else None,
                )
            ) from error

    def make_single(self) -> gymnasium.Env:
        """One environment, with its wrappers."""
        spec = _lookup.find_spec(self.id)
        env = _construct(functools.partial(gymnasium.make, self.id), self.kwargs, self.id, "env")
        if not _has_spaces(env):
            raise EnvironmentFailure(f"`{spec.id}` declares no observation or action space")
        for i, wrapper in enumerate(self.wrappers):
            path = f"env.wrappers[{i}]"
            made = _lookup.find_wrapper(wrapper.path, f"{path}.path")
            env = _construct(functools.partial(made, env), wrapper.kwargs, wrapper.path, path)
        return env

    def _native(self, num_envs: int) -> VectorEnv | ComposerError:
        """The environment's own vector form, or why it cannot be used."""
        entry_point = self._native_entry_point()
        if isinstance(entry_point, Problem):
            return ConfigError(entry_point)
        observation_space, action_space = self.spaces()
        name = f"the vector form of {self.id}"
        find = functools.partial(_lookup.vector_creator, entry_point)
        try:  # before it is made: a vector environment that is half made complains when collected
            inspect.signature(_construct(find, {}, name, "env")).bind_partial(**self.kwargs)
        except TypeError as error:
            return ConfigError(
                Problem(f"`{name}` {error}", path="env.kwargs", value=dict(self.kwargs))
            )
        make = functools.partial(
            gymnasium.make_vec, self.id, num_envs, vectorization_mode="vector_entry_point"
        )
        envs = _construct(make, self.kwargs, name, "env")
        unfit = None
        mode = _autoreset_name(envs.metadata.get("autoreset_mode"))
        if envs.single_observation_space != observation_space:
            unfit = self._other_space("observes", envs.single_observation_space, observation_space)
        elif envs.single_action_space != action_space:
            unfit = self._other_space("takes", envs.single_action_space, action_space)
        elif mode != "next-step":
            unfit = EnvironmentFailure(
                Problem(
                    f"the vector form of `{self.id}` resets in the autoreset mode `{mode}`; "
                    "only `next-step` is supported",
                    fix="env.vectorization=sync",
                )
            )
        if unfit is not None:
            envs.close()
        return envs if unfit is None else unfit

    def _native_entry_point(self) -> str | Callable[..., object] | Problem:
        """What makes the environment's own vector form, or why there is none to make."""
        if self.wrappers:
            return self._no_native("an environment's own vector form takes no wrappers")
        spec = _lookup.find_spec(self.id)
        return spec.vector_entry_point or self._no_native(
            f"`{self.id}` has no vector form of its own"
        )

    def _no_native(self, message: str) -> Problem:
        return Problem(
            message,
            path="env.vectorization",
            value=self.vectorization,
            fix="env.vectorization=sync",
        )

    def _other_space(
        self, verb: str, actual: gymnasium.Space, expected: gymnasium.Space
    ) -> ConfigError:
        return ConfigError(
            self._no_native(
                f"the vector form of `{self.id}` {verb} {actual}, the environment itself {expected}"
            )
        )

    def _refuse_other_autoreset(self) -> None:
        if "autoreset_mode" in self.kwargs:
            mode = _autoreset_name(self.kwargs["autoreset_mode"])
            if mode != "next-step":
                raise EnvironmentFailure(
                    Problem(
                        f"the autoreset mode `{mode}` is not supported, only `next-step`",
                        path="env.kwargs.autoreset_mode",
                        value=self.kwargs["autoreset_mode"],
                        fix="~env.kwargs.autoreset_mode",
                    )
                )


@dataclass(frozen=True)
class _SingleEnv:
    """Makes one of the environments, in this process or in a worker of it."""

    config: GymEnvironmentConfig
    home: int = field(default_factory=os.getpid)

    def __call__(self) -> gymnasium.Env:
        if os.getpid() != self.home:
            # A worker leaves when it is told to, by the trainer alone: Ctrl-C reaches the whole
            # process group, and a forked worker has inherited the trainer's own handlers.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return GuardedEnv(self.config.make_single())


def _construct(make: Callable[..., T], kwargs: Any, name: str, path: str) -> T:
    """Calls a constructor, and tells what it may raise in the words of the configuration."""
    try:
        with _no_deprecations():
            return make(**copy.deepcopy(dict(kwargs)))
    except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
        raise EnvironmentFailure(f"`{name}` needs a package that is missing: {error}") from error
    except Exception as error:  # a constructor may raise anything
        cause = error.__context__ if isinstance(error.__context__, TypeError) else error
        if isinstance(error, TypeError) and REFUSED_ARGUMENTS.search(str(cause)):
            problem = Problem(f"`{name}`: {cause}", path=f"{path}.kwargs", value=dict(kwargs))
            raise ConfigError(problem) from error
        raise EnvironmentFailure(
            f"`{name}` raised while it was made:\n{traceback.format_exc().rstrip()}"
        ) from error


def _has_spaces(env: gymnasium.Env) -> bool:
    spaces = (getattr(env, "observation_space", None), getattr(env, "action_space", None))
    return all(isinstance(space, gymnasium.Space) for space in spaces)


@contextlib.contextmanager
def _no_deprecations() -> Iterator[None]:
    """Without Gymnasium's advice to use a later version of an environment: the id was a choice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*is out of date", DeprecationWarning)
        warnings.filterwarnings("ignore", r".*(AutoresetMode|autoreset_mode)", UserWarning)
        yield


def _autoreset_name(mode: object) -> str:
    """A mode as Gymnasium's documentation calls it: `next-step`, `same-step`, `disabled`."""
    text = str(mode.value if isinstance(mode, AutoresetMode) else mode)
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", text).lower()
