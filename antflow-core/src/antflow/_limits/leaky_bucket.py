"""`Rate`, the limit on calls per period, as a leaky bucket."""

from __future__ import annotations

from asyncio import Lock, get_running_loop, sleep


class Rate:
    """A leaky bucket: it takes `rate` units at once, then one per `period / rate` seconds.

    Waiting callers proceed in the order of their arrival, also those with large amounts. The bucket
    holds one unit at least, so that each rate above 0 lets calls through.

    Args:
        rate: units per period.
        period: length of the period in seconds.
    """

    def __init__(self, rate: float, period: float) -> None:
        self.most = max(rate, 1)
        self._per_second = rate / period
        self._time = get_running_loop().time  # found here, so that a thread can ask for capacity
        self._level = 0.0, self._time()  # units at a time; one pair, so that a thread reads both
        self._queue = Lock()  # asyncio's locks are fair: waiting callers form a queue
        self._callers = 0

    def has_capacity(self, amount: float = 1) -> bool:
        """Return whether `acquire` would return at once."""
        return not self._callers and self._now() + amount <= self.most

    async def acquire(self, amount: float) -> None:
        """Take an amount of units, `most` at most, as soon as the bucket has room for it."""
        self._callers += 1
        try:
            async with self._queue:
                excess = self._now() + amount - self.most
                if excess > 0:
                    await sleep(excess / self._per_second)
                # A timer may be early by a rounding error; to wait again for so little would spin.
                level = min(self._now(), self.most - amount)
                self._level = level + amount, self._time()
        finally:
            self._callers -= 1

    def _now(self) -> float:
        level, since = self._level
        return max(level - (self._time() - since) * self._per_second, 0.0)
