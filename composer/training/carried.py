"""What is carried to a memory from step to step, by column; {} where a module has none."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from composer.columns import Columns
from composer.environments.base import TrainingReward
from composer.module.step import Step
from composer.spaces import Nested

Carried = Mapping[str, Nested]
NOTHING: Carried = MappingProxyType({})


def started(initial_state: Nested) -> Carried:
    """Where episodes begin; the state is {} or None without a memory."""
    return {Columns.STATE_IN: initial_state} if initial_state else NOTHING


def carried(step: Step, rewards: np.ndarray) -> Carried:
    """After a step; rewards `(N,)` as the algorithm learns from them."""
    if step.state is None:
        return NOTHING
    return {
        Columns.STATE_IN: step.state,
        Columns.PREV_ACTIONS: step.actions,
        Columns.PREV_REWARDS: rewards.astype(np.float32),
    }


def learnt_from(training_reward: TrainingReward) -> Callable[[np.ndarray], np.ndarray]:
    """What an algorithm learns from of rewards."""
    return np.sign if training_reward == "sign" else np.asarray
