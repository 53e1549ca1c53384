"""Dashboards that raise or wait, and runs that fail or are stopped meanwhile."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from antflow import Pipeline, PipelineError
from tests.helpers.displays import (
    Recorder,
    Use,
    by_run,
    cancelled,
    each_method,
    each_use,
    piped,
    run_or_stream,
    sleep,
    sync_or_async,
)
from tests.helpers.runs import InputBrokeError, fail, now, raised_by, run_exactly, values
from tests.helpers.virtual_time import begun, others, simulate
from tests.naming import id_of

# A dashboard that raises


class StrangeError(BaseException):
    """What is no Exception."""


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
    "error", [ValueError("broken"), StrangeError(), asyncio.CancelledError()], ids=id_of
)
def test_a_dashboard_that_raises_is_logged_and_dropped_and_the_run_goes_on(
    use: Use,
    method: str,
    is_async: bool,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dashboard = Recorder(**{method: raising(error, is_async)})

    async def main() -> None:
        assert await use(piped(sleep), range(3), custom_dashboard=dashboard) == [0, 1, 2]
        assert dashboard.calls[-1] == method
        assert dashboard.calls.count(method) == 1
        assert not others()

    simulate(main)
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
    def update() -> None:
        if len(dashboard.snapshots) == number:
            raise ValueError

    dashboard = Recorder(on_update=update)

    async def main() -> None:
        assert await by_run(piped(sleep), range(5), custom_dashboard=dashboard) == list(range(5))
        assert dashboard.calls == ["on_start", *["on_update"] * number]

    run_exactly(main)
    assert len(caplog.records) == 1


@each_method
def test_a_dashboard_that_was_dropped_is_called_again_in_the_next_run(method: str) -> None:
    dashboard = Recorder(**{method: raising(ValueError(), is_async=False)})

    async def main() -> None:
        pipeline = piped()
        await pipeline.run([1], custom_dashboard=dashboard)
        dashboard.acts.clear()
        dashboard.calls.clear()
        await pipeline.run([1], custom_dashboard=dashboard)
        assert dashboard.calls == ["on_start", "on_update", "on_update", "on_finish"]

    simulate(main)


@run_or_stream
@each_method
@sync_or_async
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=id_of)
def test_an_interrupt_in_a_dashboard_ends_the_run_and_is_raised(
    use: Use, method: str, is_async: bool, error: BaseException
) -> None:
    dashboard = Recorder(**{method: raising(error, is_async)})

    async def main() -> None:
        pipeline = piped(sleep)
        assert await raised_by(use(pipeline, range(3), custom_dashboard=dashboard)) is error
        assert dashboard.calls[-1] == method
        assert not others()
        stats = pipeline.get_stats()
        assert stats.items_outstanding == 0
        assert len(pipeline.unprocessed) == stats.items_unprocessed

    simulate(main)


@run_or_stream
def test_an_interrupt_in_a_later_update_cancels_what_runs(use: Use) -> None:
    def update() -> None:
        if len(dashboard.snapshots) == 3:
            raise KeyboardInterrupt

    dashboard = Recorder(on_update=update)

    async def main() -> None:
        pipeline = piped(sleep)
        found = await raised_by(
            use(pipeline, range(9), custom_dashboard=dashboard, dashboard_update_interval=1.25)
        )
        assert isinstance(found, KeyboardInterrupt)
        assert now() == 2.5
        assert pipeline.get_stats().items_processed == 2
        assert len(pipeline.unprocessed) == 7
        assert not others()

    run_exactly(main)


async def never() -> AsyncIterator[int]:
    await asyncio.Event().wait()
    yield 0


@run_or_stream
@pytest.mark.parametrize("method", ["on_start", "on_update"])
@sync_or_async
def test_an_interrupt_before_the_input_is_read_does_not_wait_for_the_input(
    use: Use, method: str, is_async: bool
) -> None:
    dashboard = Recorder(**{method: raising(KeyboardInterrupt(), is_async)})

    async def main() -> None:
        found = await raised_by(use(piped(), never(), custom_dashboard=dashboard))
        assert isinstance(found, KeyboardInterrupt)
        assert not others()

    simulate(main)


# A run that is cancelled, stopped or joined while its dashboard waits


def waiting_in(method: str, number: int = 1) -> Recorder:
    """Return a dashboard that waits for ever in the so manieth call of a method."""

    def wait_perhaps() -> Any:
        if dashboard.calls.count(method) == number:
            return asyncio.Event().wait()
        return asyncio.sleep(0)

    dashboard = Recorder(**{method: wait_perhaps})
    return dashboard


class Moment(NamedTuple):
    """A call in which a dashboard waits, and how long the only item and an interval are."""

    method: str
    number: int = 1
    item: float = 1
    interval: float = 1000

    def waits(self, use: Use, pipeline: Pipeline | None = None) -> _Waits:
        """Return what runs a pipeline with a dashboard that waits then."""
        dashboard = waiting_in(self.method, self.number)
        pipeline = pipeline or piped(asyncio.sleep)
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
def test_a_run_can_be_cancelled_while_its_dashboard_waits(
    use: Use, moment: Moment, times: int
) -> None:
    async def main() -> None:
        pipeline, dashboard, call = moment.waits(use)
        await cancelled(call, seconds=10, times=times)
        assert now() == 10
        assert dashboard.calls[-1] == "on_finish"
        assert dashboard.calls.count("on_finish") == 1
        stats = pipeline.get_stats()
        assert stats.items_outstanding == 0
        assert len(pipeline.unprocessed) == stats.items_unprocessed

    run_exactly(main)


@run_or_stream
@each_moment
def test_a_run_that_was_cancelled_while_its_dashboard_waited_can_be_followed_by_another(
    use: Use, moment: Moment
) -> None:
    async def main() -> None:
        pipeline = piped(asyncio.sleep)
        await cancelled(moment.waits(use, pipeline).call, seconds=10)
        assert len(await pipeline.run([7])) == 1

    run_exactly(main)


@pytest.mark.parametrize("times", [1, 3])
def test_calls_do_not_overlap_though_an_update_takes_its_time_to_be_cancelled(times: int) -> None:
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

    def finish() -> None:
        overtaken.extend(inside)

    dashboard = Recorder(on_update=update, on_finish=finish)

    async def main() -> None:
        await cancelled(by_run(piped(sleep), range(9), custom_dashboard=dashboard), times=times)
        assert dashboard.calls[:3] == ["on_start", "on_update", "on_update"]
        assert dashboard.calls[-1] == "on_finish"
        assert now() == (5 if times == 1 else 1)

    run_exactly(main)
    assert not overtaken


def test_what_had_ended_is_kept_though_the_run_was_cancelled_in_on_finish() -> None:
    async def main() -> None:
        pipeline = piped()
        await cancelled(by_run(pipeline, range(3), custom_dashboard=waiting_in("on_finish")))
        assert values(pipeline.results) == [0, 1, 2]

    run_exactly(main)


@run_or_stream
@each_moment
@pytest.mark.parametrize("timeout", [0, 4])
def test_shutdown_with_a_time_limit_ends_though_the_dashboard_waits(
    use: Use, moment: Moment, timeout: float
) -> None:
    async def main() -> None:
        pipeline, dashboard, call = moment.waits(use)
        running = asyncio.ensure_future(call)
        await asyncio.sleep(10)
        await pipeline.shutdown(timeout=timeout)
        assert now() <= 10 + timeout
        await running
        assert dashboard.calls[-1] == "on_finish"
        assert not others()

    run_exactly(main)


@run_or_stream
@each_beginning
@pytest.mark.parametrize("drain", [False, True])
def test_shutdown_before_the_input_is_read_ends_the_run_with_nothing_read(
    use: Use, moment: Moment, drain: bool
) -> None:
    dashboard, items = waiting_in(moment.method), iter(range(3))

    async def main() -> None:
        pipeline = piped()
        running = await begun(use(pipeline, items, custom_dashboard=dashboard))
        assert await pipeline.shutdown(drain=drain) == []
        assert await running == []
        assert list(items) == [0, 1, 2]
        assert not others()

    simulate(main)


def test_a_drain_while_the_dashboard_begins_finishes_what_was_fed_before() -> None:
    async def main() -> None:
        pipeline = piped()
        await pipeline.feed([1, 2])
        dashboard = waiting_in("on_start")
        running = await begun(pipeline.run([3], custom_dashboard=dashboard))
        assert await pipeline.shutdown(drain=True) == []
        assert values(await running) == [1, 2]

    simulate(main)


@run_or_stream
@each_beginning
def test_shutdown_before_the_input_is_read_does_not_wait_for_the_input(
    use: Use, moment: Moment
) -> None:
    def go_on_regardless() -> Any:
        async def wait() -> None:
            try:
                await asyncio.sleep(4)
            except asyncio.CancelledError:
                await asyncio.sleep(4)

        return wait()

    dashboard = Recorder(**{moment.method: go_on_regardless})

    async def main() -> None:
        pipeline = piped()
        running = asyncio.ensure_future(use(pipeline, never(), custom_dashboard=dashboard))
        await asyncio.sleep(1)
        await pipeline.shutdown()
        assert await running == []
        assert not others()

    run_exactly(main)


@each_beginning
def test_a_shutdown_that_waits_for_a_dashboard_can_be_cancelled(moment: Moment) -> None:
    async def main() -> None:
        pipeline, _, call = moment.waits(by_run)
        running = await begun(call)
        stopping = await begun(pipeline.shutdown(drain=True))
        stopping.cancel()
        await asyncio.wait([stopping, running])
        assert not others()

    run_exactly(main)


@each_beginning
def test_join_waits_for_input_that_is_still_to_be_read(moment: Moment) -> None:
    def begin_slowly() -> Any:
        return asyncio.sleep(4) if dashboard.calls.count(moment.method) == 1 else None

    dashboard = Recorder(**{moment.method: begin_slowly})

    async def main() -> None:
        pipeline = piped(sleep)
        running = await begun(by_run(pipeline, range(3), custom_dashboard=dashboard))
        await pipeline.join()
        assert now() == 4 + 3
        assert await running == [0, 1, 2]

    run_exactly(main)


@each_beginning
def test_a_stream_that_is_left_while_its_dashboard_begins_ends(moment: Moment) -> None:
    dashboard = waiting_in(moment.method)

    async def main() -> None:
        pipeline = piped()
        stream = pipeline.stream(range(3), custom_dashboard=dashboard)
        step = await begun(anext(stream))
        await stream.aclose()
        assert isinstance(await raised_by(step), StopAsyncIteration)
        assert dashboard.calls[-1] == "on_finish"
        assert not others()

    simulate(main)


@pytest.mark.parametrize("end", ["shutdown", "join"])
@each_moment
@run_or_stream
def test_a_dashboard_that_waits_for_the_end_of_its_own_run_is_dropped(
    use: Use, moment: Moment, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    def end_it() -> Any:
        if dashboard.calls.count(moment.method) == moment.number:
            assert dashboard.pipeline is not None
            return getattr(dashboard.pipeline, end)()
        return None

    dashboard = Recorder(**{moment.method: end_it})

    async def main() -> None:
        options = {"custom_dashboard": dashboard, "dashboard_update_interval": moment.interval}
        assert len(await use(piped(asyncio.sleep), [moment.item], **options)) == 1
        assert not others()

    run_exactly(main)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], PipelineError)
    assert f"{end}()" in str(record.exc_info[1])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks are not eager before Python 3.12")
@pytest.mark.parametrize("end", ["shutdown", "join"])
@each_moment
def test_a_dashboard_that_waits_for_its_own_run_is_dropped_where_tasks_are_eager(
    moment: Moment, end: str
) -> None:
    def end_it() -> Any:
        if dashboard.calls.count(moment.method) == moment.number:
            return getattr(dashboard.pipeline, end)()
        return None

    dashboard = Recorder(**{moment.method: end_it})

    async def main() -> None:
        factory = vars(asyncio)["eager_task_factory"]
        asyncio.get_running_loop().set_task_factory(factory)
        options = {"custom_dashboard": dashboard, "dashboard_update_interval": moment.interval}
        assert len(await by_run(piped(asyncio.sleep), [moment.item], **options)) == 1

    run_exactly(main)


@run_or_stream
@pytest.mark.parametrize("moment", ["on_start", "on_update"])
def test_a_dashboard_may_have_its_run_shut_down_in_a_task_of_its_own(use: Use, moment: str) -> None:
    stopping: list[asyncio.Task[Any]] = []

    def stop() -> None:
        if dashboard.calls.count(moment) == (1 if moment == "on_start" else 3):
            assert dashboard.pipeline is not None
            stopping.append(asyncio.ensure_future(dashboard.pipeline.shutdown()))

    dashboard = Recorder(**{moment: stop})

    async def main() -> None:
        pipeline = piped(sleep)
        found = await use(
            pipeline, range(9), custom_dashboard=dashboard, dashboard_update_interval=1.25
        )
        assert found == ([] if moment == "on_start" else [0, 1, 2])
        await stopping[0]
        assert dashboard.calls[-1] == "on_finish"
        assert not others()

    run_exactly(main)


def test_a_dashboard_may_feed_the_run_that_it_shows() -> None:
    def feed_once() -> Any:
        if len(dashboard.snapshots) == 2:
            assert dashboard.pipeline is not None
            return dashboard.pipeline.feed(["extra"])
        return None

    dashboard = Recorder(on_update=feed_once)

    async def main() -> None:
        found = await by_run(
            piped(sleep),
            ["a", "b", "c"],
            custom_dashboard=dashboard,
            dashboard_update_interval=1.25,
        )
        assert found == ["a", "b", "c", "extra"]

    run_exactly(main)


# A run that fails


def broken() -> Iterator[int]:
    yield 0
    raise InputBrokeError


async def broken_later() -> AsyncIterator[int]:
    yield 0
    raise InputBrokeError


@each_use
@pytest.mark.parametrize("items", [broken, broken_later])
def test_a_run_whose_input_raises_finishes_its_dashboard(
    items: Callable[[], Any], use: Use
) -> None:
    dashboard = Recorder()

    async def main() -> None:
        found = await raised_by(use(piped(), items(), custom_dashboard=dashboard))
        assert isinstance(found, InputBrokeError)
        assert dashboard.calls == ["on_start", "on_update", "on_update", "on_finish"]
        assert dashboard.snapshots[-1].pipeline_stats.items_processed == 1

    simulate(main)


@run_or_stream
def test_a_run_that_a_task_ends_finishes_its_dashboard(use: Use) -> None:
    dashboard = Recorder()

    async def stop_all(_: Any) -> None:
        raise StrangeError

    async def main() -> None:
        found = await raised_by(use(piped(stop_all), range(3), custom_dashboard=dashboard))
        assert isinstance(found, StrangeError)
        assert dashboard.calls == ["on_start", "on_update", "on_update", "on_finish"]
        assert dashboard.summary is not None
        assert dashboard.summary.errors_by_type == {"StrangeError": 1}

    simulate(main)


def test_a_dashboard_sees_that_all_items_failed() -> None:
    dashboard = Recorder()

    async def main() -> None:
        assert await by_run(piped(fail), range(3), custom_dashboard=dashboard) == []
        assert dashboard.results == []
        assert dashboard.summary is not None
        assert dashboard.summary.total_failed == 3

    simulate(main)
