"""Replay: what environments did, remembered for learning off policy."""

from composer.training.replay.priorities import Priorities
from composer.training.replay.replay import Replay, Sequences
from composer.training.replay.sum_tree import SumTree

__all__ = ["Priorities", "Replay", "Sequences", "SumTree"]
