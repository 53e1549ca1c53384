"""A limit keeps its rate though other work on the event loop makes its timers late."""

from __future__ import annotations

import asyncio

import pytest

from antflow import Limit, Pipeline
from antflow.testing import Clock
from tests.helpers.runs import stage


@pytest.mark.parametrize("held_up", [0.001, 0.004, 0.009])
@pytest.mark.parametrize("rate", [100, 400, 2_000])
def test_late_timers_lose_no_rate(rate: int, held_up: float) -> None:
    clock, started_at = Clock(), list[float]()

    async def task(value: int) -> int:
        started_at.append(clock.time())
        return value

    async def hold_up_the_loop() -> None:
        while True:
            clock.advance(held_up)
            await asyncio.sleep(0.0001)

    async def main() -> None:
        other_work = asyncio.create_task(hold_up_the_loop())
        await Pipeline([stage(task, workers=4, limits=[Limit(rate=rate)])]).run(range(2 * rate))
        other_work.cancel()

    clock.run(main())
    assert started_at[-1] - started_at[0] < 2.04  # 2 at best; a start may be late by 9 ms
    assert all(
        later - start >= 1 for start, later in zip(started_at, started_at[rate:], strict=False)
    )
