"""The calls of a dashboard: on_start, on_update in each interval, on_finish; and on_exit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from threading import Event, Thread, current_thread
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, ResultStream, current_item, set_task_status
from tests.helpers.displays import (
    CALLS,
    METHODS,
    Recorder,
    Use,
    by_run,
    by_stream,
    cancelled,
    each_use,
    piped,
    run_or_stream,
    sleep,
    sync_or_async,
)
from tests.helpers.runs import Indexed, now, refuse_odd, run_exactly, same, stage, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

# What it is called with


@each_use
@simulated()
async def test_a_dashboard_is_started_updated_and_finished(use: Use) -> None:
    dashboard = Recorder()
    pipeline = piped()
    assert await use(pipeline, range(3), custom_dashboard=dashboard) == [0, 1, 2]
    assert dashboard.calls == CALLS
    assert isinstance(dashboard.pipeline, Pipeline)
    assert dashboard.pipeline is pipeline or use not in (by_run, by_stream)
    assert not others()


def three() -> Iterator[int]:
    yield from range(3)


async def three_later() -> AsyncIterator[int]:
    for number in range(3):
        yield number


@each_use
@pytest.mark.parametrize(
    ("items", "total"),
    [
        *((lambda: [0, 1, 2], 3), (lambda: (0, 1, 2), 3), (lambda: range(3), 3)),
        *((lambda: {0, 1, 2}, 3), ({0: "a", 1: "b", 2: "c"}.keys, 3), (list, 0)),
        *((lambda: iter([0, 1, 2]), None), (three, None), (three_later, None), (Indexed, None)),
    ],
    ids=["list", "tuple", "range", "set", "keys", "empty", "iter", "generator", "async", "indexed"],
)
def test_on_start_gets_the_number_of_items_where_it_is_known(
    items: Callable[[], Any], total: int | None, use: Use
) -> None:
    dashboard = Recorder()
    found = simulate(lambda: use(piped(), items(), custom_dashboard=dashboard))
    assert found == list(range(3 if total is None else total))
    assert dashboard.total_items == total


def test_the_first_update_comes_before_any_item_is_read() -> None:
    read: list[int] = []
    dashboard = Recorder(on_update=lambda: read.append(-1))

    def items() -> Iterator[int]:
        for number in range(3):
            read.append(number)
            yield number

    simulate(by_run(piped(), items(), custom_dashboard=dashboard))
    assert read[0] == -1
    assert dashboard.snapshots[0].pipeline_stats.items_fed == 0


def test_updates_show_the_state_of_the_run() -> None:
    dashboard = Recorder()
    call = by_run(
        piped(sleep), range(5), custom_dashboard=dashboard, dashboard_update_interval=1.75
    )
    run_exactly(lambda: call)
    processed = [snapshot.pipeline_stats.items_processed for snapshot in dashboard.snapshots]
    assert processed == [0, 1, 3, 5]
    busy = [snapshot.worker_states["Work-W0"].current_item_id for snapshot in dashboard.snapshots]
    assert busy == [None, 1, 3, None]


@run_or_stream
def test_the_last_update_shows_the_end(use: Use) -> None:
    dashboard, pipeline = Recorder(), piped(sleep, refuse_odd)
    run_exactly(lambda: use(pipeline, range(5), custom_dashboard=dashboard))
    last = dashboard.snapshots[-1]
    assert last.worker_states == pipeline.get_worker_states()
    assert last.pipeline_stats.stage_stats["Work"].workers["idle"] == 0
    assert (last.pipeline_stats.items_processed, last.pipeline_stats.items_failed) == (3, 2)
    assert last.worker_metrics["Work-W0"].items_processed == 3
    assert last.error_summary == pipeline.get_error_summary() == dashboard.summary


@simulated()
async def test_on_finish_gets_the_results_in_input_order_and_the_failures() -> None:
    dashboard = Recorder()

    async def slowly(value: int) -> int:
        await asyncio.sleep(10 - value)
        return value

    pipeline = piped(slowly, refuse_odd, workers=6)
    both = await pipeline.run(range(6), custom_dashboard=dashboard, return_exceptions=True)
    assert len(both) == 6
    assert dashboard.results == pipeline.results
    assert values(dashboard.results) == [0, 2, 4]
    assert dashboard.summary is not None
    assert dashboard.summary.errors_by_type == {"ValueError": 3}


@pytest.mark.parametrize(("collect_results", "use"), [(False, by_run), (True, by_stream)])
def test_on_finish_gets_no_results_where_none_are_kept(collect_results: bool, use: Use) -> None:
    dashboard = Recorder()
    simulate(use(Pipeline([stage(same)], collect_results), range(3), custom_dashboard=dashboard))
    assert dashboard.results == []


def test_a_dashboard_runs_outside_any_worker() -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append((current_item(), set_task_status("lost")))

    dashboard = Recorder(**dict.fromkeys(METHODS, look))
    simulate(by_run(piped(), [1], custom_dashboard=dashboard))
    assert seen == [(None, False)] * 4


# When it is called


@each_use
@pytest.mark.parametrize(
    ("options", "updates"),
    [
        ({"dashboard_update_interval": 2}, [0, 2, 4, 5]),
        ({}, [step / 2 for step in range(10)] + [5]),
    ],
    ids=["given interval", "twice a second"],
)
def test_it_is_updated_at_the_begin_in_each_interval_and_at_the_end(
    options: dict[str, Any], updates: list[float], use: Use
) -> None:
    dashboard = Recorder()
    run_exactly(lambda: use(piped(sleep), range(5), custom_dashboard=dashboard, **options))
    assert sorted(set(dashboard.updates)) == updates
    assert dashboard.calls == ["on_start", *["on_update"] * len(dashboard.updates), "on_finish"]
    assert (dashboard.times[0], dashboard.times[-1]) == (0, 5)


@each_use
@simulated(tick=0.0)
async def test_asynchronous_methods_are_awaited(use: Use) -> None:
    dashboard = Recorder(**dict.fromkeys(METHODS, lambda: asyncio.sleep(4)))
    await use(piped(), range(3), custom_dashboard=dashboard)
    assert dashboard.calls == CALLS
    assert dashboard.times == [0, 4, 8, 12]
    assert now() == 16


def test_work_begins_after_on_start() -> None:
    dashboard, times = Recorder(on_start=lambda: asyncio.sleep(4)), list[float]()

    async def note(value: int) -> None:
        times.append(now())

    run_exactly(lambda: by_run(piped(note), range(2), custom_dashboard=dashboard))
    assert times == [4, 4]


def test_updates_of_a_slow_dashboard_do_not_overlap() -> None:
    inside: list[int] = []

    async def update() -> None:
        assert not inside
        inside.append(1)
        await asyncio.sleep(3)
        inside.clear()

    dashboard = Recorder(on_update=update)
    options = {"custom_dashboard": dashboard, "dashboard_update_interval": 2}
    run_exactly(lambda: by_run(piped(sleep), range(10), **options))
    assert dashboard.updates == [0, 3 + 2, 3 + 2 + 3 + 2, 13]


@simulated(tick=0.0)
async def test_an_update_that_runs_at_the_end_is_cancelled_and_the_last_one_follows() -> None:
    ends: list[str] = []

    async def update() -> None:
        try:
            await asyncio.sleep(0 if len(dashboard.snapshots) != 2 else 1000)
            ends.append("done")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    dashboard = Recorder(on_update=update)
    assert await by_run(piped(sleep), range(3), custom_dashboard=dashboard) == [0, 1, 2]
    assert ends == ["done", "cancelled", "done"]
    assert now() == 3


@simulated()
async def test_a_dashboard_may_show_one_run_after_the_other() -> None:
    dashboard = Recorder()
    pipeline = piped()
    for _ in range(2):
        await pipeline.run(range(2), custom_dashboard=dashboard)
    await pipeline.run(range(2))
    await asyncio.sleep(100)
    assert dashboard.calls == CALLS * 2


@run_or_stream
@simulated()
async def test_a_run_that_is_rejected_shows_nothing(use: Use) -> None:
    dashboard, gate = Recorder(), Gate()
    pipeline = piped(gate)
    running = await begun(pipeline.run([1]))
    with pytest.raises(PipelineError, match="already running"):
        await use(pipeline, [2], custom_dashboard=dashboard)
    assert dashboard.calls == []
    gate.open()
    assert values(await running) == [1]


# Streams


Stream = ResultStream


async def read_all(stream: Stream, pipeline: Pipeline) -> None:
    assert [result.value async for result in stream] == list(range(5))


async def break_off(stream: Stream, pipeline: Pipeline) -> None:
    async for _ in stream:
        break
    del stream
    await settle()


async def close(stream: Stream, pipeline: Pipeline) -> None:
    await anext(stream)
    await stream.aclose()


async def leave_block(stream: Stream, pipeline: Pipeline) -> None:
    async with stream:
        await anext(stream)


async def shut_down(stream: Stream, pipeline: Pipeline) -> None:
    await anext(stream)
    await pipeline.shutdown()
    await stream.aclose()


async def cancel_consumer(stream: Stream, pipeline: Pipeline) -> None:
    async def consume() -> None:
        async with stream:
            async for _ in stream:
                await asyncio.sleep(1000)

    await cancelled(consume(), seconds=5)


@pytest.mark.parametrize(
    "leave", [read_all, break_off, close, leave_block, shut_down, cancel_consumer]
)
@sync_or_async
@simulated(tick=0.0)
async def test_the_dashboard_of_a_stream_finishes_however_the_stream_is_left(
    leave: Callable[[Stream, Pipeline], Awaitable[None]], is_async: bool
) -> None:
    dashboard = Recorder(**dict.fromkeys(METHODS, lambda: asyncio.sleep(0)) if is_async else {})
    pipeline = piped(sleep)
    await leave(pipeline.stream(range(5), custom_dashboard=dashboard), pipeline)
    await settle()
    assert dashboard.calls[0] == "on_start"
    assert dashboard.calls[-2:] == ["on_update", "on_finish"]
    assert dashboard.calls.count("on_finish") == 1
    assert dashboard.results == []
    assert not others()


@simulated(tick=0.0)
async def test_a_stream_ends_after_on_finish() -> None:
    dashboard = Recorder(on_finish=lambda: asyncio.sleep(4))
    stream = piped(sleep).stream(range(3), custom_dashboard=dashboard)
    assert [now() async for _ in stream] == [1, 2, 3]
    assert now() == 3 + 4


@simulated(tick=0.0)
async def test_updates_go_on_while_the_consumer_of_a_stream_is_slow() -> None:
    dashboard = Recorder()
    stream = piped().stream(
        range(9), buffer_size=1, custom_dashboard=dashboard, dashboard_update_interval=1
    )
    async for _ in stream:
        await asyncio.sleep(2)
    assert dashboard.updates[:14] == list(range(14))


@pytest.mark.parametrize("is_read", [True, False])
@simulated(tick=0.0)
async def test_the_dashboard_of_a_stream_starts_when_the_stream_is_read(is_read: bool) -> None:
    dashboard = Recorder()
    stream = piped().stream(range(3), custom_dashboard=dashboard)
    await asyncio.sleep(5)
    assert dashboard.calls == []
    if is_read:
        await anext(stream)
    await stream.aclose()
    assert dashboard.times[:1] == [5] * is_read


# on_exit: the process ends while a task holds the event loop


class Taker(Recorder):
    """A dashboard whose on_exit records its thread and does something."""

    def __init__(self, act: Callable[[], Any] = lambda: None, **acts: Callable[[], Any]) -> None:
        super().__init__(**acts)
        self.act = act
        self.threads: list[Thread] = []

    def on_exit(self) -> None:
        self.threads.append(current_thread())
        self.act()


def leave_display(dashboard: Any, seconds: float = 60.0) -> None:
    """Leave the display in a task, as the command does before it ends the process.

    This has no effect before the stream is read and after its end.
    """
    streams: list[Stream] = []

    async def task(value: int) -> int:
        streams[0].leave_display(seconds)
        return value

    async def main() -> None:
        stream = piped(task).stream([1], custom_dashboard=dashboard)
        streams.append(stream)
        stream.leave_display(seconds)
        assert values([result async for result in stream]) == [1]
        stream.leave_display(seconds)

    simulate(main)


def test_on_exit_is_called_once_in_a_thread_of_its_own() -> None:
    dashboard = Taker()
    leave_display(dashboard)
    (thread,) = dashboard.threads
    assert thread is not current_thread()


def test_on_exit_is_optional() -> None:
    leave_display(Recorder())


def raise_exit(*_: Any) -> None:
    raise SystemExit("torn")


@pytest.mark.parametrize(
    "dashboard",
    [Taker(raise_exit), type("Taker", (Recorder,), {"on_exit": property(raise_exit)})()],
    ids=["called", "looked up"],
)
def test_an_on_exit_that_raises_is_logged(
    dashboard: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    leave_display(dashboard)
    (record,) = caplog.records
    assert record.getMessage() == "Dashboard Taker: on_exit raised; the process ends."
    assert record.exc_info is not None


def test_an_on_exit_that_hangs_is_not_awaited_any_longer() -> None:
    hangs, goes_on = Event(), Event()

    def hang() -> None:
        hangs.set()
        goes_on.wait()

    dashboard = Taker(hang)
    leave_display(dashboard, 0.0)
    assert hangs.wait(60)
    goes_on.set()
    dashboard.threads[0].join()


def test_on_exit_of_a_dropped_dashboard_is_not_called() -> None:
    dashboard = Taker(on_start=lambda: 1 / 0)
    leave_display(dashboard)
    assert dashboard.threads == []


@simulated()
async def test_a_dashboard_whose_coroutine_is_closed_is_not_dropped_with_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As the garbage collector does with the tasks of a loop that was closed too early."""
    tasks: list[Any] = []

    async def wait() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(3600)

    running = await begun(by_run(piped(), [1], custom_dashboard=Recorder(on_start=wait)))
    tasks[0].get_coro().close()
    running.cancel()
    await asyncio.wait([running])
    assert not [record for record in caplog.records if record.exc_info]


# Random runs


@pytest.mark.parametrize("seed", range(80))
def test_the_order_of_calls_holds_in_random_runs(seed: int) -> None:
    slow = dict.fromkeys(METHODS, lambda: asyncio.sleep(seed % 5 / 4))
    dashboard = Recorder(**(slow if seed % 3 else {}))
    ends = [Pipeline.shutdown, lambda pipeline: pipeline.shutdown(timeout=0.25)]
    ends += [lambda pipeline: pipeline.shutdown(drain=True)]

    async def main() -> None:
        pipeline = piped(sleep, workers=2)
        use = by_stream if seed % 2 else by_run
        running = asyncio.ensure_future(
            use(pipeline, range(4), custom_dashboard=dashboard, dashboard_update_interval=0.5)
        )
        await asyncio.sleep(seed / 16)
        if seed % 4 == 3:
            running.cancel()
        else:
            await ends[seed % 4](pipeline)
        await asyncio.wait([running])
        assert not others()
        stats = pipeline.get_stats()
        assert stats.items_fed == stats.items_processed + stats.items_unprocessed
        if dashboard.calls:
            middle = dashboard.calls[1:-1]
            assert (dashboard.calls[0], dashboard.calls[-1]) == ("on_start", "on_finish")
            assert middle == ["on_update"] * len(middle)

    simulate(main, seed)
