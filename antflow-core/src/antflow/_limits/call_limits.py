"""The limits that tasks wait for themselves, of a stage in one run, and call rates of all runs."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Semaphore, get_running_loop
from collections.abc import Mapping

from .leaky_bucket import Rate


class CallLimits:
    """The limits of one stage in one run for which a worker waits, with its item.

    Args:
        by_task: how many workers may run a task at once, by the task's name.
        calls: how many tasks may be inside `concurrency_limit` at once; None for no bound.
    """

    def __init__(self, by_task: Mapping[str, int], calls: int | None) -> None:
        # Of one run: a semaphore belongs to an event loop, and a run whose loop was closed never
        # releases its own.
        self.tasks = {name: Semaphore(most) for name, most in by_task.items()}
        self.calls = None if calls is None else Semaphore(calls)
        self.rate: Rate | None = None


class CallRates:
    """The call rates of one pipeline, which are kept between its runs.

    On another event loop, the rates start with a full allowance.
    """

    # The called service counts across runs, so a new run must not begin with a full allowance. A
    # `Rate` has a lock of its event loop, so it cannot be kept for another one.

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None
        self._by_stage: dict[str, Rate] = {}

    def of(self, stage: str, rate: float | None, period: float) -> Rate | None:
        """Return the rate of a stage on the running loop; None if it has none."""
        if rate is None:
            return None
        loop = get_running_loop()
        if loop is not self._loop:
            self._loop, self._by_stage = loop, {}
        if stage not in self._by_stage:
            self._by_stage[stage] = Rate(rate, period)
        return self._by_stage[stage]
