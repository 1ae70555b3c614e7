"""Names in the configuration → what Gymnasium has registered, and classes of wrappers."""

import re
from collections.abc import Callable, Iterable

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

from composer.errors import ConfigError, Problem
from composer.importing import closest, find_class, import_module

HOMES = {"ALE": "ale_py", "BabyAI": "minigrid", "MiniGrid": "minigrid"}
"""How an id begins, and the module that registers it."""
EXTRA = {
    *("Box2D", "ale_py", "chess", "cv2", "imageio", "minigrid", "mpe2", "mujoco", "pettingzoo"),
    *("pygame", "pymunk", "rlcard"),
}
"""The modules that the extra `envs` brings."""


def find_spec(env_id: str) -> EnvSpec:
    """The spec of an id; `module:Name-v0` imports the module first, if it is not a known one.

    Raises:
        ConfigError: The module cannot be imported, or the id is not registered.
    """
    module, _, name = env_id.rpartition(":")
    home = module or HOMES.get(re.split("[-/]", name)[0])
    if home:
        import_module(home, env_id, "env.id", lambda error: installing(error) or _LIST)
    spec = gymnasium.registry.get(name)
    if spec is None:
        raise ConfigError(_unknown_id(env_id, module, name))
    return spec


def vector_creator(entry_point: str | Callable[..., object]) -> Callable[..., object]:
    """What makes an environment's own vector form."""
    return load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point


def find_wrapper(path: str, at: str) -> type[gymnasium.Wrapper]:
    """The class at `package.module.ClassName`; `at` is where the configuration says so.

    Raises:
        ConfigError: There is no such module or class, or it is not a `gymnasium.Wrapper`.
    """
    return find_class(path, gymnasium.Wrapper, at, installing)


def installing(error: BaseException | None) -> str | None:
    """The line that installs what an import failed for want of, where our extra brings it."""
    while error is not None:
        if isinstance(error, ImportError) and str(error.name).partition(".")[0] in EXTRA:
            return 'pip install "rl-composer[envs]"'
        error = error.__cause__ or error.__context__
    return None


_LIST = "composer ls env"
"""What shows the environments that there are."""


def _unknown_id(env_id: str, module: str, name: str) -> Problem:
    known = list(gymnasium.registry)
    base, namespace = _base(name), name.rpartition("/")[0]
    versions = sorted((key for key in known if _base(key) == base), key=_version, reverse=True)
    if versions:
        problem = "needs a version" if base == name else "has no such version"
        message, close = f"the environment `{base}` {problem}", versions
    elif namespace and not any(key.startswith(f"{namespace}/") for key in known):
        message = (
            f"no environments of `{namespace}` are registered; name the module that registers "
            f"them, as in `the_module:{name}`"
        )
        close = ()
    else:
        message, close = f"Gymnasium knows no environment `{name}`", _closest_ids(base, known)
    prefix = f"{module}:" if module else ""
    return Problem(
        f"{message}; did you mean `{close[0]}`?" if close else message,
        path="env.id",
        value=env_id,
        valid=tuple(close),
        fix=f"env.id={prefix}{close[0]}" if close else _LIST,
    )


def _closest_ids(base: str, known: Iterable[str]) -> tuple[str, ...]:
    """The latest versions of the environments with the closest names."""
    latest = {_base(key): key for key in sorted(known, key=_version)}
    return tuple(latest[close] for close in closest(base, latest))


def _base(env_id: str) -> str:
    """`CartPole-v1` without its version."""
    base, _, version = env_id.rpartition("-v")
    return base if version.isdigit() else env_id


def _version(env_id: str) -> int:
    version = env_id.rpartition("-v")[2]
    return int(version) if version.isdigit() else -1
