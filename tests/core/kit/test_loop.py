"""`ClockLoop`: the event loop of a `Clock`, for those who need another kind of loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Pipeline, Stage
from antflow.testing import Clock, ClockLoop


class ReversedLoop(ClockLoop):
    """Runs the callbacks that are ready at once in the reverse of their order."""

    _ready: Any

    def _run_once(self) -> None:
        self._ready.reverse()
        super()._run_once()  # type: ignore[misc]


class ReversedClock(Clock):
    def make_loop(self) -> ClockLoop:
        self.loop = ReversedLoop(self)
        return self.loop


def test_a_clock_may_run_a_loop_with_another_order_of_callbacks() -> None:
    seen: list[int] = []

    async def work(value: int) -> None:
        await asyncio.sleep(value)
        seen.append(value)

    async def main() -> None:
        asyncio.get_running_loop().call_soon(seen.append, -1)
        asyncio.get_running_loop().call_soon(seen.append, -2)
        await Pipeline([Stage("Work", 2, [work])], autoload=False).run([20, 10])

    clock = ReversedClock()
    clock.run(main())
    assert seen == [-2, -1, 10, 20]
    assert clock.time() == clock.loop.time() == 20


def test_a_loop_that_fails_cancels_what_it_runs_and_raises_its_error() -> None:
    clock, cleaned = ReversedClock(), list[bool]()

    async def main() -> None:
        clock.loop.call_later(5, clock.loop.fail, ValueError("too late"))
        assert [timer.when() for timer in clock.loop.timers()] == [5]
        try:
            await asyncio.sleep(10)
        finally:
            cleaned.append(True)

    with pytest.raises(ValueError, match="too late"):
        clock.run(main())
    assert (cleaned, clock.time()) == ([True], 5)
