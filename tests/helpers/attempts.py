"""A task that notes when each attempt starts and how many run at once, for tests of `Limit`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

from antflow import Limit, Pipeline
from tests.helpers.runs import now, stage


class Attempts:
    """A task that takes some seconds; `starts` are the time and the value of each attempt.

    Args:
        seconds: of an attempt, or a function of the value that returns them.
        act: called with the value after that; it may raise.
    """

    def __init__(
        self,
        seconds: float | Callable[[Any], float] = 0.0,
        act: Callable[[Any], Any] | None = None,
    ) -> None:
        self.__name__ = "attempt"
        self.starts: list[tuple[float, Any]] = []
        self.running = self.most = 0
        self._seconds = seconds
        self._act = act

    async def __call__(self, value: Any) -> Any:
        self.starts.append((round(now(), 6), value))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self._seconds(value) if callable(self._seconds) else self._seconds)
            if self._act is not None:
                self._act(value)
        finally:
            self.running -= 1
        return value

    @property
    def times(self) -> list[float]:
        """When attempts started."""
        return [time for time, _ in self.starts]

    @property
    def values(self) -> list[Any]:
        """Their values, in the order in which they started."""
        return [value for _, value in self.starts]

    def of(self, value: Any) -> list[float]:
        """When attempts at a value started."""
        return [time for time, each in self.starts if each == value]


async def run_limited(
    items: Iterable[Any], *limits: Limit, task: Attempts | None = None, **fields: Any
) -> Attempts:
    """Run items through a stage with limits, and return its task."""
    task = Attempts() if task is None else task
    await Pipeline([stage(task, **{"workers": 50, "limits": limits, **fields})]).run(items)
    return task


def worst_window(starts: Iterable[tuple[float, float]], per: float) -> float:
    """Return the most units that started within any `per` seconds, by trying each window.

    Args:
        starts: times, in order, and units.
        per: length of the window in seconds.
    """
    log = list(starts)
    sums = [0.0, *accumulate(units for _, units in log)]
    worst, first = 0.0, 0
    for last, (time, _) in enumerate(log):
        while log[first][0] + per <= time + 1e-9:  # rounding
            first += 1
        worst = max(worst, sums[last + 1] - sums[first])
    return worst
