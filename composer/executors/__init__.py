"""Executors: ways of running a module for acting. Collectors call an executor, never the module."""

from composer.executors.base import Executor, make_executor

__all__ = ["Executor", "make_executor"]
