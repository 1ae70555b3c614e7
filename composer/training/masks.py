"""Reads action masks out of what a vector environment returned."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from composer.errors import EnvironmentFailure, Problem
from composer.masks import MASK_KEY, allows_nothing, canonical_mask, free_mask, mask_key
from composer.spaces import Nested, map_structure
from composer.training.infos import info_of


class MaskReader:
    """Masks `(N, …)` in canonical form, step by step; None while the environments gave none.

    The key `action_mask` of a Dict observation is read where there is one, else
    `info["action_mask"]`. An environment that says nothing allows everything, and so does one whose
    episode is over: the step after its end is a dummy.
    """

    def __init__(self, envs: VectorEnv) -> None:
        self.space = envs.single_action_space
        self.key = mask_key(envs.single_observation_space, self.space)
        self.num_envs = envs.num_envs
        self.seen = False

    def __call__(
        self, obs: Nested, infos: dict[str, Any], ended: np.ndarray, lengths: np.ndarray
    ) -> Nested:
        """The mask of the next step.

        Args:
            obs: What is seen, `(N, …)`.
            infos: What came with it.
            ended: Whose next step is a dummy, `(N,)` bool.
            lengths: Steps taken in each episode, `(N,)`, for errors.

        Raises:
            EnvironmentFailure: A mask is of another form than the actions, or allows nothing.
        """
        if self.key is None and MASK_KEY not in infos:
            return free_mask(self.space, (self.num_envs,)) if self.seen else None
        self.seen = True
        try:
            mask = self._of_infos(infos) if self.key is None else self._canonical(obs[self.key])
        except ValueError as error:
            raise self._failure(str(error)) from None
        if ended.any():
            map_structure(_put(ended), mask, free_mask(self.space))
        stuck = np.broadcast_to(allows_nothing(self.space, mask), self.num_envs)
        if stuck.any():
            env = int(stuck.argmax())
            raise self._failure(
                f"environment {env} of {self.num_envs} (the first is 0) allows no action at all "
                f"after {lengths[env]} steps of its episode, which is not over"
            )
        return mask

    def _canonical(self, given: Nested) -> Nested:
        return canonical_mask(self.space, given, (self.num_envs,))

    def _of_infos(self, infos: dict[str, Any]) -> Nested:
        given = infos[MASK_KEY]
        if isinstance(given, Mapping) or np.asarray(given).dtype.kind == "O":
            rows = (info_of(infos, env).get(MASK_KEY) for env in range(self.num_envs))
            masks = (canonical_mask(self.space, row) for row in rows)
            return map_structure(lambda *leaves: np.stack(leaves), *masks)
        mask = self._canonical(given)
        absent = ~infos.get(f"_{MASK_KEY}", np.ones(self.num_envs, np.bool_))
        if absent.any():
            map_structure(_put(absent), mask, free_mask(self.space))
        return mask

    def _failure(self, message: str) -> EnvironmentFailure:
        fix = "env.action_mask=none" if self.key is None else None
        return EnvironmentFailure(Problem(message, fix=fix))


def _put(rows: np.ndarray) -> Any:
    """Writes one row over those that are marked."""

    def write(leaf: np.ndarray, row: np.ndarray) -> None:
        leaf[rows] = row

    return write
