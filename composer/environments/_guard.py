"""An environment that raises while it runs: its traceback, and which one it was.

Gymnasium's own path loses some of it: `AsyncVectorEnv` turns every exception but the last into a
warning, formats tracebacks with `%`, and waits for ever for an exception that cannot be pickled.
Here a single environment puts its traceback into `info`, and the vector environment raises it.
"""

import contextlib
import multiprocessing.connection
import traceback
from typing import Any, NoReturn

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, VectorEnv, VectorWrapper

from composer.errors import EnvironmentFailure
from composer.masks import MASK_KEY
from composer.spaces import samples

REPORT = "composer_traceback"


class GuardedEnv(gym.Wrapper):
    """The outermost wrapper of a single environment: reports what is raised in it."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        try:
            return self.env.reset(seed=seed, options=options)
        except Exception:  # an environment may raise anything
            return self._any_observation(), {REPORT: traceback.format_exc()}

    def step(self, action: Any) -> Any:
        try:
            return self.env.step(action)
        except Exception:  # an environment may raise anything
            info = {REPORT: traceback.format_exc()}
            return self._any_observation(), 0.0, False, False, info

    def _any_observation(self) -> Any:
        return samples(self.observation_space, 1)[0]


class GuardedVectorEnv(VectorWrapper):
    """A vector environment whose `reset` and `step` raise nothing but `EnvironmentFailure`.

    After a failure it is closed, and no worker is left. Without `masks`, `info` has none.
    """

    env: Any  # a VectorEnv: those of Gymnasium take a list of seeds, which their base does not say

    def __init__(self, env: VectorEnv, *, name: str, masks: bool = True) -> None:
        super().__init__(env)
        self.name = name
        self.masks = masks

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        try:
            observations, infos = self.env.reset(seed=seed, options=options)
        except BaseException as error:
            self._fail("reset", error)
        if REPORT in infos:
            self._fail_by_report("reset", infos)
        self._drop_masks(infos)
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        try:
            result = self.env.step(actions)
        except BaseException as error:
            self._fail("step", error)
        if REPORT in result[4]:
            self._fail_by_report("step", result[4])
        self._drop_masks(result[4])
        return result

    def _drop_masks(self, infos: dict[str, Any]) -> None:
        if not self.masks:
            infos.pop(MASK_KEY, None)
            infos.pop(f"_{MASK_KEY}", None)

    def _fail_by_report(self, verb: str, infos: dict[str, Any]) -> NoReturn:
        self._abandon()
        reports = {i: text for i, text in enumerate(infos[REPORT]) if text is not None}
        first, *others = reports
        raise EnvironmentFailure(
            f"environment {first} of {self.num_envs} (`{self.name}`; the first is 0) raised in "
            f"{verb}:\n{reports[first].rstrip()}"
            + (f"\nat the same time raised: {', '.join(map(str, others))}" if others else "")
        )

    def _fail(self, verb: str, error: BaseException) -> NoReturn:
        died = self._dead_workers() if isinstance(error, EOFError | OSError) else ()
        if isinstance(error, Exception) or isinstance(self.env, AsyncVectorEnv):
            self._abandon()  # an interrupted worker holds an answer to a question nobody remembers
        if not isinstance(error, Exception):
            raise error
        if died:
            raise EnvironmentFailure(*died) from error
        text = "".join(traceback.format_exception(error)).rstrip()
        raise EnvironmentFailure(f"`{self.name}` raised in {verb}:\n{text}") from error

    def _dead_workers(self) -> tuple[str, ...]:
        processes = self.env.processes if isinstance(self.env, AsyncVectorEnv) else []
        by_sentinel = {process.sentinel: i for i, process in enumerate(processes)}
        dead = multiprocessing.connection.wait(list(by_sentinel), timeout=1.0)
        indices = sorted(i for sentinel, i in by_sentinel.items() if sentinel in dead)
        for i in indices:
            processes[i].join(timeout=1.0)  # its exit code comes a moment after its last word
        return tuple(
            f"the worker process of environment {i} of {self.num_envs} (`{self.name}`; the first "
            f"is 0) died with exit code {processes[i].exitcode}"
            for i in indices
        )

    def _abandon(self) -> None:
        """Closes what can be closed, and ends the workers without asking them."""
        if not isinstance(self.env, AsyncVectorEnv):
            with contextlib.suppress(Exception):  # it has failed already: that is what to tell
                self.env.close()
            return
        for process in self.env.processes:
            process.terminate()
        for process in self.env.processes:
            process.join()
        for pipe in self.env.parent_pipes:
            if pipe is not None:
                pipe.close()
        self.env.closed = True
