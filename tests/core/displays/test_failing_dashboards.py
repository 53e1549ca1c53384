"""Dashboards that raise or wait for long, and runs that fail or are stopped meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from antflow import Pipeline, PipelineError
from tests.helpers.displays import (
    CALLS,
    Recorder,
    Use,
    by_run,
    cancelled,
    each_method,
    piped,
    run_or_stream,
    sleep,
    sync_or_async,
)
from tests.helpers.runs import CustomExit, InputBrokeError, now, raised_by, run_exactly, values
from tests.helpers.simulated import simulated
from tests.helpers.task_factories import each_task_factory
from tests.helpers.virtual_time import begun, others, simulate
from tests.naming import id_of

# A dashboard that raises


def raising(error: BaseException, is_async: bool) -> Callable[[], Any]:
    async def raise_later() -> None:
        await asyncio.sleep(0)
        raise error

    def raise_at_once() -> None:
        raise error

    return raise_later if is_async else raise_at_once


@run_or_stream
@each_method
@sync_or_async
@pytest.mark.parametrize(
    "error", [ValueError("broken"), CustomExit(), asyncio.CancelledError()], ids=id_of
)
@simulated()
async def test_a_dashboard_that_raises_is_logged_and_dropped_and_the_run_goes_on(
    use: Use, method: str, is_async: bool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    dashboard = Recorder(**{method: raising(error, is_async)})
    pipeline = piped(sleep)
    assert await use(pipeline, range(3), custom_dashboard=dashboard) == [0, 1, 2]
    assert dashboard.calls[-1] == method
    assert dashboard.calls.count(method) == 1
    assert not others()
    dashboard.acts.clear()  # in the next run, it is called again
    dashboard.calls.clear()
    await use(pipeline, [], custom_dashboard=dashboard)
    assert dashboard.calls == CALLS
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.name.startswith("antflow")
    assert f"Dashboard Recorder: {method} raised" in record.getMessage()
    assert "the run goes on" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_later_update_that_raises_is_the_last_call(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    dashboard = Recorder(on_update=lambda: 1 / (number - len(dashboard.snapshots)))
    call = by_run(piped(sleep), range(5), custom_dashboard=dashboard)
    assert run_exactly(lambda: call) == list(range(5))
    assert dashboard.calls == ["on_start", *["on_update"] * number]
    assert len(caplog.records) == 1


@run_or_stream
@pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError()], ids=id_of)
@simulated(tick=0.0)
async def test_a_dashboard_that_raises_as_the_run_is_cancelled_is_dropped(
    use: Use, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def raise_later() -> None:
        await asyncio.sleep(1)
        raise error

    dashboard = Recorder(on_start=raise_later)
    await cancelled(use(piped(sleep), never(), custom_dashboard=dashboard), seconds=1)
    assert dashboard.calls == ["on_start"]
    (record,) = caplog.records
    assert "Dashboard Recorder: on_start raised" in record.getMessage()


async def never() -> AsyncIterator[int]:
    await asyncio.Event().wait()
    yield 0


@run_or_stream
@each_method
@sync_or_async
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=id_of)
@simulated()
async def test_an_interrupt_in_a_dashboard_ends_the_run_and_is_raised(
    use: Use, method: str, is_async: bool, error: BaseException
) -> None:
    dashboard = Recorder(**{method: raising(error, is_async)})
    pipeline, items = piped(sleep), range(3) if method == "on_finish" else never()
    assert await raised_by(use(pipeline, items, custom_dashboard=dashboard)) is error
    assert dashboard.calls[-1] == method
    assert not others()
    stats = pipeline.get_stats()
    assert stats.items_outstanding == 0
    assert len(pipeline.unprocessed) == stats.items_unprocessed


@run_or_stream
@simulated(tick=0.0)
async def test_an_interrupt_in_a_later_update_cancels_what_runs(use: Use) -> None:
    def update() -> None:
        if len(dashboard.snapshots) == 3:
            raise KeyboardInterrupt

    dashboard = Recorder(on_update=update)
    pipeline = piped(sleep)
    found = await raised_by(
        use(pipeline, range(9), custom_dashboard=dashboard, dashboard_update_interval=1.25)
    )
    assert isinstance(found, KeyboardInterrupt)
    assert now() == 2.5
    assert pipeline.get_stats().items_processed == 2
    assert len(pipeline.unprocessed) == 7
    assert not others()


# A run that is cancelled, stopped or joined while its dashboard waits


def waiting_in(method: str, number: int = 1) -> Recorder:
    """Return a dashboard that waits for ever in the call of that number of a method."""

    def wait_perhaps() -> Any:
        if dashboard.calls.count(method) == number:
            return asyncio.Event().wait()
        return asyncio.sleep(0)

    dashboard = Recorder(**{method: wait_perhaps})
    return dashboard


class Moment(NamedTuple):
    """A call of a dashboard, and the seconds of the only item and of an interval."""

    method: str
    number: int = 1
    item: float = 1
    interval: float = 1000

    def waits(self, use: Use) -> _Waits:
        """Return the call of a pipeline whose dashboard waits at this moment."""
        dashboard = waiting_in(self.method, self.number)
        pipeline = piped(asyncio.sleep)
        options = {"custom_dashboard": dashboard, "dashboard_update_interval": self.interval}
        return _Waits(pipeline, dashboard, use(pipeline, [self.item], **options))


class _Waits(NamedTuple):
    pipeline: Pipeline
    dashboard: Recorder
    call: Coroutine[Any, Any, list[Any]]


BEGINNINGS = {"start": Moment("on_start"), "first update": Moment("on_update")}
MOMENTS = {
    **BEGINNINGS,
    "update": Moment("on_update", 2, item=1000, interval=1),
    "last update": Moment("on_update", 2),
    "finish": Moment("on_finish"),
}
each_beginning = pytest.mark.parametrize("moment", BEGINNINGS.values(), ids=BEGINNINGS)
each_moment = pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)


@run_or_stream
@each_moment
@pytest.mark.parametrize("times", [1, 3])
@simulated(tick=0.0)
async def test_a_run_can_be_cancelled_while_its_dashboard_waits(
    use: Use, moment: Moment, times: int
) -> None:
    pipeline, dashboard, call = moment.waits(use)
    await cancelled(call, seconds=4, times=times)
    assert now() == 4
    assert dashboard.calls[-1] == "on_finish"
    assert dashboard.calls.count("on_finish") == 1
    stats = pipeline.get_stats()
    assert stats.items_outstanding == 0
    assert len(pipeline.unprocessed) == stats.items_unprocessed
    assert len(await pipeline.run([7])) == 1


@pytest.mark.parametrize("times", [1, 3])
@simulated(tick=0.0)
async def test_calls_do_not_overlap_though_an_update_delays_its_cancellation(times: int) -> None:
    inside: list[str] = []
    overtaken: list[str] = []

    async def update() -> None:
        overtaken.extend(inside)
        inside.append("update")
        try:
            await asyncio.sleep(1000 if dashboard.calls.count("on_update") == 2 else 0)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(4)
            raise
        finally:
            inside.remove("update")

    dashboard = Recorder(on_update=update, on_finish=lambda: overtaken.extend(inside))
    await cancelled(by_run(piped(sleep), range(9), custom_dashboard=dashboard), times=times)
    assert dashboard.calls[:3] == ["on_start", "on_update", "on_update"]
    assert dashboard.calls[-1] == "on_finish"
    assert now() == (5 if times == 1 else 1)
    assert not overtaken


@simulated(tick=0.0)
async def test_results_are_kept_though_the_run_is_cancelled_in_on_finish() -> None:
    pipeline = piped()
    await cancelled(by_run(pipeline, range(3), custom_dashboard=waiting_in("on_finish")))
    assert values(pipeline.results) == [0, 1, 2]


@run_or_stream
@each_moment
@pytest.mark.parametrize("timeout", [0, 2])
@simulated(tick=0.0)
async def test_a_shutdown_ends_at_its_timeout_though_the_dashboard_waits(
    use: Use, moment: Moment, timeout: float
) -> None:
    pipeline, dashboard, call = moment.waits(use)
    running = asyncio.ensure_future(call)
    await asyncio.sleep(2)
    await pipeline.shutdown(timeout=timeout)
    assert now() <= 2 + timeout
    await running
    assert dashboard.calls[-1] == "on_finish"
    assert not others()


@run_or_stream
@each_beginning
@pytest.mark.parametrize("drain", [False, True])
@simulated()
async def test_a_shutdown_before_the_input_is_read_leaves_the_input(
    use: Use, moment: Moment, drain: bool
) -> None:
    dashboard, items = waiting_in(moment.method), iter(range(3))
    pipeline = piped()
    running = await begun(use(pipeline, items, custom_dashboard=dashboard))
    assert await pipeline.shutdown(drain=drain) == []
    assert await running == []
    assert list(items) == [0, 1, 2]
    assert not others()


@simulated()
async def test_a_drain_while_the_dashboard_begins_finishes_what_was_fed_before() -> None:
    pipeline = piped()
    await pipeline.feed([1, 2])
    dashboard = waiting_in("on_start")
    running = await begun(pipeline.run([3], custom_dashboard=dashboard))
    assert await pipeline.shutdown(drain=True) == []
    assert values(await running) == [1, 2]


@run_or_stream
@each_beginning
@simulated(tick=0.0)
async def test_a_shutdown_before_the_input_is_read_does_not_wait_for_the_input(
    use: Use, moment: Moment
) -> None:
    async def delay_cancellation() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(4)
        await asyncio.sleep(4)

    dashboard = Recorder(**{moment.method: delay_cancellation})
    pipeline = piped()
    running = asyncio.ensure_future(use(pipeline, never(), custom_dashboard=dashboard))
    await asyncio.sleep(1)
    await pipeline.shutdown()
    assert await running == []
    assert not others()


@each_beginning
@simulated(tick=0.0)
async def test_a_shutdown_that_waits_for_a_dashboard_can_be_cancelled(moment: Moment) -> None:
    pipeline, _, call = moment.waits(by_run)
    running = await begun(call)
    stopping = await begun(pipeline.shutdown(drain=True))
    stopping.cancel()
    await asyncio.wait([stopping, running])
    assert not others()


@each_beginning
@simulated(tick=0.0)
async def test_join_waits_for_input_that_is_not_read_yet(moment: Moment) -> None:
    def begin_slowly() -> Any:
        return asyncio.sleep(4) if dashboard.calls.count(moment.method) == 1 else None

    dashboard = Recorder(**{moment.method: begin_slowly})
    pipeline = piped(sleep)
    running = await begun(by_run(pipeline, range(3), custom_dashboard=dashboard))
    await pipeline.join()
    assert now() == 4 + 3
    assert await running == [0, 1, 2]


@each_beginning
@simulated()
async def test_a_stream_that_is_left_while_its_dashboard_begins_ends(moment: Moment) -> None:
    dashboard = waiting_in(moment.method)
    pipeline = piped()
    stream = pipeline.stream(range(3), custom_dashboard=dashboard)
    step = await begun(anext(stream))
    await stream.aclose()
    assert isinstance(await raised_by(step), StopAsyncIteration)
    assert dashboard.calls[-1] == "on_finish"
    assert not others()


@each_task_factory
@pytest.mark.parametrize("end", ["shutdown", "join"])
@each_moment
@run_or_stream
@simulated(tick=0.0)
async def test_a_dashboard_that_waits_for_the_end_of_its_own_run_is_dropped(
    use: Use, moment: Moment, end: str, factory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def end_it() -> Any:
        if dashboard.calls.count(moment.method) == moment.number:
            return getattr(dashboard.pipeline, end)()
        return None

    dashboard = Recorder(**{moment.method: end_it})
    asyncio.get_running_loop().set_task_factory(factory)
    options = {"custom_dashboard": dashboard, "dashboard_update_interval": moment.interval}
    assert len(await use(piped(asyncio.sleep), [moment.item], **options)) == 1
    assert not others()
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], PipelineError)
    assert f"{end}()" in str(record.exc_info[1])


@run_or_stream
@pytest.mark.parametrize("moment", ["on_start", "on_update"])
@simulated(tick=0.0)
async def test_a_dashboard_may_shut_its_run_down_in_another_task(use: Use, moment: str) -> None:
    stopping: list[asyncio.Task[Any]] = []

    def stop() -> None:
        if dashboard.calls.count(moment) == (1 if moment == "on_start" else 3):
            assert dashboard.pipeline is not None
            stopping.append(asyncio.ensure_future(dashboard.pipeline.shutdown()))

    dashboard = Recorder(**{moment: stop})
    pipeline = piped(sleep)
    found = await use(
        pipeline, range(9), custom_dashboard=dashboard, dashboard_update_interval=1.25
    )
    assert found == ([] if moment == "on_start" else [0, 1, 2])
    await stopping[0]
    assert dashboard.calls[-1] == "on_finish"
    assert not others()


@simulated(tick=0.0)
async def test_a_dashboard_may_feed_the_run_that_it_shows() -> None:
    def feed_once() -> Any:
        if len(dashboard.snapshots) == 2:
            assert dashboard.pipeline is not None
            return dashboard.pipeline.feed(["extra"])
        return None

    dashboard = Recorder(on_update=feed_once)
    options = {"custom_dashboard": dashboard, "dashboard_update_interval": 1.25}
    assert await by_run(piped(sleep), ["a", "b"], **options) == ["a", "b", "extra"]


# A run that fails


def broken() -> Iterator[int]:
    yield 0
    raise InputBrokeError


async def broken_later() -> AsyncIterator[int]:
    yield 0
    raise InputBrokeError


async def stop_all(_: Any) -> None:
    raise CustomExit


@run_or_stream
@pytest.mark.parametrize(
    ("items", "task", "error", "failures"),
    [
        (broken, sleep, InputBrokeError, {}),
        (broken_later, sleep, InputBrokeError, {}),
        (lambda: range(3), stop_all, CustomExit, {"CustomExit": 1}),
    ],
    ids=["input", "async input", "task"],
)
def test_the_dashboard_of_a_run_that_an_error_ends_finishes(
    items: Callable[[], Any], task: Any, error: type, failures: dict[str, int], use: Use
) -> None:
    dashboard = Recorder()
    found = simulate(raised_by(use(piped(task), items(), custom_dashboard=dashboard)))
    assert isinstance(found, error)
    assert dashboard.calls[0] == "on_start"
    assert dashboard.calls[-2:] == ["on_update", "on_finish"]
    assert dashboard.snapshots[-1].pipeline_stats.items_processed == (not failures)
    assert dashboard.summary is not None
    assert dashboard.summary.errors_by_type == failures
