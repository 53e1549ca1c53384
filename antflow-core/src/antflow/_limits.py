"""How much of something the workers of a stage may do at once, and how often."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Semaphore, get_running_loop
from typing import TYPE_CHECKING

from .stage import Stage

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


class Limits:
    """The limits of one stage in one run.

    Args:
        stage: the definition.
    """

    def __init__(self, stage: Stage) -> None:
        self.tasks = {name: Semaphore(most) for name, most in stage.task_concurrency_limits.items()}
        calls = stage.call_concurrency
        self.calls = None if calls is None else Semaphore(calls)
        self.rate: AsyncLimiter | None = None


class Rates:
    """The call rates of one pipeline: they outlast its runs, as what is called does.

    A limiter belongs to one event loop; on another loop, another one starts from nothing.
    """

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None
        self._limiters: dict[str, AsyncLimiter] = {}

    def of(self, stage: Stage) -> AsyncLimiter | None:
        """Return the limiter of a stage on the running loop, if it has a rate."""
        if stage.call_rate is None:
            return None
        loop = get_running_loop()
        if loop is not self._loop:
            self._loop, self._limiters = loop, {}
        if stage.name not in self._limiters:
            self._limiters[stage.name] = _bucket(stage.call_rate, stage.call_rate_period)
        return self._limiters[stage.name]


def _bucket(rate: float, period: float) -> AsyncLimiter:
    """Return a leaky bucket that takes `rate` calls at once, then one per `period / rate` seconds.

    It has room for one call at least, whatever the rate.
    """
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(rate, period) if rate >= 1 else AsyncLimiter(1, period / rate)
    limiter.has_capacity()  # so that it knows its loop when a thread asks
    return limiter
