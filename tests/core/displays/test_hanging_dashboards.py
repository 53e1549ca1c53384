"""Dashboards that never return: a run begins, ends and can be cancelled in spite of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.helpers.displays import Recorder, Use, piped, run_or_stream, sleep
from tests.helpers.runs import now, raised_by, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import begun, others

LIMIT = 5
MOST = 3 * LIMIT
"""Seconds that a run may take longer: for a call, for its cancellation, and for one call more."""


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def wait_though_cancelled_once() -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


async def poll_for_ever() -> None:
    while True:
        await asyncio.sleep(0.1)


HANGS: list[Callable[[], Awaitable[None]]] = [
    wait_for_ever,
    wait_though_cancelled_once,
    poll_for_ever,
]
MOMENTS = [("on_start", 1), ("on_update", 1), ("on_update", 2), ("on_update", 4), ("on_finish", 1)]
each_moment = pytest.mark.parametrize(("method", "number"), MOMENTS)
each_hang = pytest.mark.parametrize("hang", HANGS)


def hanging(method: str, number: int, hang: Callable[[], Awaitable[None]]) -> Recorder:
    """Return a dashboard that hangs in a call of a method, and in all calls after that."""

    def act() -> Any:
        return hang() if dashboard.calls.count(method) >= number else None

    dashboard = Recorder(**{method: act})
    return dashboard


async def end_others() -> None:
    """End what was left behind."""
    while others():
        for task in others():
            task.cancel()
        await asyncio.wait(others())


@run_or_stream
@each_moment
@each_hang
@simulated(tick=0.0)
async def test_a_run_ends_though_its_dashboard_hangs(
    use: Use,
    method: str,
    number: int,
    hang: Callable[[], Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    dashboard = hanging(method, number, hang)
    pipeline = piped(sleep)
    assert await use(pipeline, range(3), custom_dashboard=dashboard) == [0, 1, 2]
    assert now() <= 3 + MOST
    (record,) = caplog.records
    assert f"Dashboard Recorder: {method} raised" in record.getMessage()
    assert "the run goes on" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], TimeoutError)
    assert dashboard.calls[-1] == method  # it was dropped
    await end_others()


@run_or_stream
@each_moment
@each_hang
@pytest.mark.parametrize("by", ["timeout", "cancel", "shutdown"])
@simulated(tick=0.0)
async def test_a_run_can_be_ended_early_though_its_dashboard_hangs(
    use: Use, method: str, number: int, hang: Callable[[], Awaitable[None]], by: str
) -> None:
    dashboard = hanging(method, number, hang)
    pipeline = piped(sleep)
    call = use(pipeline, range(100), custom_dashboard=dashboard)
    if by == "timeout":
        assert isinstance(await raised_by(asyncio.wait_for(call, 3)), TimeoutError)
    else:
        running = asyncio.ensure_future(call)
        await asyncio.sleep(3)
        if by == "cancel":
            running.cancel()
        else:
            await pipeline.shutdown(timeout=0)
        await asyncio.wait([running])
    assert now() <= 3 + MOST
    stats = pipeline.get_stats()
    assert stats.items_outstanding == 0
    assert len(pipeline.unprocessed) == stats.items_unprocessed
    await end_others()
    assert values(await pipeline.run([7])) == [7]


@pytest.mark.parametrize("number", [1, 3])
@simulated(tick=0.0)
async def test_a_cancelled_run_does_not_update_a_dashboard_that_hangs_again(number: int) -> None:
    dashboard = hanging("on_update", number, wait_for_ever)
    running = await begun(piped(sleep).run(range(100), custom_dashboard=dashboard))
    await asyncio.sleep(2)
    running.cancel()
    await asyncio.wait([running])
    assert now() == 2
    assert dashboard.calls == ["on_start", *["on_update"] * number, "on_finish"]
    assert not others()


@simulated(tick=0.0)
async def test_an_update_may_take_long_while_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def act() -> Any:
        return asyncio.sleep(60) if dashboard.calls.count("on_update") == 2 else None

    dashboard = Recorder(on_update=act)
    assert len(await piped(sleep).run(range(100), custom_dashboard=dashboard)) == 100
    assert dashboard.calls.count("on_update") > 50
    assert dashboard.calls[-1] == "on_finish"
    assert not caplog.records


@pytest.mark.parametrize("seconds", [0, 1, 4.9])
@simulated(tick=0.0)
async def test_a_slow_dashboard_is_waited_for(
    seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[str] = []

    async def act(method: str) -> None:
        await asyncio.sleep(seconds)
        ended.append(method)

    methods = ("on_start", "on_update", "on_finish")
    dashboard = Recorder(**{method: lambda method=method: act(method) for method in methods})
    await piped(sleep).run([1], custom_dashboard=dashboard, dashboard_update_interval=1000)
    assert ended == ["on_start", "on_update", "on_update", "on_finish"]
    assert not caplog.records
