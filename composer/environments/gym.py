"""Environments that Gymnasium can make, by id."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import gymnasium
from gymnasium.vector import AutoresetMode, VectorEnv
from pydantic import BeforeValidator, field_validator

from composer.config import Config, Frozen, FrozenDict, Listed, invalid_value
from composer.environments import _lookup
from composer.environments._guard import GuardedVectorEnv
from composer.environments._making import construct, spaces_of, vectorize
from composer.environments._plain import with_plain_spaces
from composer.environments.base import EnvironmentConfig
from composer.errors import ComposerError, ConfigError, EnvironmentFailure, Problem


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
        return spaces_of(self.make_single)

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
                return GuardedVectorEnv(native, name=self.id, masks=self.has_masks)
            if self.vectorization == "vector_entry_point":
                raise native
        return vectorize(
            self.make_single,
            count,
            self.id,
            in_processes=self.vectorization == "async",
            masks=self.has_masks,
        )

    def make_single(self) -> gymnasium.Env:
        """One environment, with its wrappers."""
        spec = _lookup.find_spec(self.id)
        env = construct(functools.partial(gymnasium.make, self.id), self.kwargs, self.id, "env")
        if not _has_spaces(env):
            raise EnvironmentFailure(f"`{spec.id}` declares no observation or action space")
        for i, wrapper in enumerate(self.wrappers):
            path = f"env.wrappers[{i}]"
            made = _lookup.find_wrapper(wrapper.path, f"{path}.path")
            env = construct(functools.partial(made, env), wrapper.kwargs, wrapper.path, path)
        return with_plain_spaces(env)

    def _native(self, num_envs: int) -> VectorEnv | ComposerError:
        """The environment's own vector form, or why it cannot be used."""
        entry_point = self._native_entry_point()
        if isinstance(entry_point, Problem):
            return ConfigError(entry_point)
        observation_space, action_space = self.spaces()
        name = f"the vector form of {self.id}"
        find = functools.partial(_lookup.vector_creator, entry_point)
        try:  # before it is made: a vector environment that is half made complains when collected
            inspect.signature(construct(find, {}, name, "env")).bind_partial(**self.kwargs)
        except TypeError as error:
            return ConfigError(
                Problem(f"`{name}` {error}", path="env.kwargs", value=dict(self.kwargs))
            )
        make = functools.partial(
            gymnasium.make_vec, self.id, num_envs, vectorization_mode="vector_entry_point"
        )
        envs = construct(make, self.kwargs, name, "env")
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


def _has_spaces(env: gymnasium.Env) -> bool:
    spaces = (getattr(env, "observation_space", None), getattr(env, "action_space", None))
    return all(isinstance(space, gymnasium.Space) for space in spaces)


def _autoreset_name(mode: object) -> str:
    """A mode as Gymnasium's documentation calls it: `next-step`, `same-step`, `disabled`."""
    text = str(mode.value if isinstance(mode, AutoresetMode) else mode)
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", text).lower()
