"""The monotonic clock of a run, replaceable where time is simulated."""

from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter

CLOCK: ContextVar[Callable[[], float]] = ContextVar("antflow_clock", default=perf_counter)
"""Seconds from some origin, never falling; a run reads this variable once, when it is made."""
