"""How much of something the workers of a stage may do at once, and how often."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Lock, Semaphore, get_running_loop, sleep

from .stage import Stage


class Limits:
    """The limits of one stage in one run.

    Args:
        stage: the definition.
    """

    def __init__(self, stage: Stage) -> None:
        self.tasks = {name: Semaphore(most) for name, most in stage.task_concurrency_limits.items()}
        calls = stage.call_concurrency
        self.calls = None if calls is None else Semaphore(calls)
        self.rate: Rate | None = None


class Rate:
    """A leaky bucket: it takes `rate` units at once, then one per `period / rate` seconds.

    Callers that wait go on in the order of their arrival, whatever their amounts. The bucket holds
    one unit at least, whatever the rate.

    Args:
        rate: units per period.
        period: length of the period in seconds.
    """

    def __init__(self, rate: float, period: float) -> None:
        self.most = max(rate, 1)
        self._per_second = rate / period
        self._time = get_running_loop().time  # taken here, so that a thread may ask for capacity
        self._level = 0.0, self._time()  # units at a time; one pair, so that a thread reads both
        self._turn = Lock()
        self._callers = 0

    def has_capacity(self, amount: float = 1) -> bool:
        """Return whether `acquire` would return at once."""
        return not self._callers and self._now() + amount <= self.most

    async def acquire(self, amount: float) -> None:
        """Take an amount of units, `most` at most, as soon as the bucket has room for it."""
        self._callers += 1
        try:
            async with self._turn:
                excess = self._now() + amount - self.most
                if excess > 0:
                    await sleep(excess / self._per_second)
                # A timer may be early by a rounding error: to wait for that much again would spin.
                level = min(self._now(), self.most - amount)
                self._level = level + amount, self._time()
        finally:
            self._callers -= 1

    def _now(self) -> float:
        level, since = self._level
        return max(level - (self._time() - since) * self._per_second, 0.0)


class Rates:
    """The call rates of one pipeline: they outlast its runs, as what is called does.

    A limiter belongs to one event loop; on another loop, another one starts from nothing.
    """

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None
        self._limiters: dict[str, Rate] = {}

    def of(self, stage: Stage) -> Rate | None:
        """Return the limiter of a stage on the running loop, if it has a rate."""
        if stage.call_rate is None:
            return None
        loop = get_running_loop()
        if loop is not self._loop:
            self._loop, self._limiters = loop, {}
        if stage.name not in self._limiters:
            self._limiters[stage.name] = Rate(stage.call_rate, stage.call_rate_period)
        return self._limiters[stage.name]
