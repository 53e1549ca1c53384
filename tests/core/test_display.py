"""Displays of a run: what they are told, when, and what becomes of a run whose display fails."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import copy_context
from math import inf, nan
from threading import Event, Thread, current_thread
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from antflow import (
    DashboardSnapshot,
    ErrorSummary,
    Pipeline,
    PipelineError,
    PipelineResult,
    Stage,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    current_item,
    hookimpl,
    set_task_status,
)
from antflow._display import Display, chosen_dashboard
from antflow.plugins import NONE, PluginSet
from tests.core.simulation import Gate, others, settle, simulate
from tests.naming import id_of

METHODS = ["on_start", "on_update", "on_finish"]
each_method = pytest.mark.parametrize("method", METHODS)
sync_or_async = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


async def same(value: Any) -> Any:
    return value


async def fail(value: Any) -> Any:
    raise ValueError(value)


async def sleep(value: Any) -> Any:
    await asyncio.sleep(1)
    return value


def stage(*tasks: Any, **fields: Any) -> Stage:
    return Stage(**{"name": "Work", "workers": 1, "tasks": tasks, "task_attempts": 1, **fields})


def piped(*tasks: Any, **fields: Any) -> Pipeline:
    return Pipeline([stage(*(tasks or (same,)), **fields)])


def values(results: list[PipelineResult]) -> list[Any]:
    return [result.value for result in results]


def now() -> float:
    return asyncio.get_running_loop().time()


def run_exactly(main: Callable[[], Any], seed: int | None = None) -> Any:
    """Simulate with a clock that stands still but for what is slept."""
    return simulate(main, seed, tick=0.0)


class Recorder:
    """A dashboard that records each call and, if one is set, does `acts[method]` in it."""

    def __init__(self, **acts: Callable[[], Any]) -> None:
        self.acts = acts
        self.calls: list[str] = []
        self.times: list[float] = []
        self.pipeline: Pipeline | None = None
        self.total_items: int | None = -1
        self.snapshots: list[DashboardSnapshot] = []
        self.results: list[PipelineResult] | None = None
        self.summary: ErrorSummary | None = None

    def on_start(self, pipeline: Pipeline, total_items: int | None) -> Any:
        self.pipeline, self.total_items = pipeline, total_items
        return self._act("on_start")

    def on_update(self, snapshot: DashboardSnapshot) -> Any:
        self.snapshots.append(snapshot)
        return self._act("on_update")

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> Any:
        self.results, self.summary = results, summary
        return self._act("on_finish")

    def _act(self, method: str) -> Any:
        self.calls.append(method)
        self.times.append(now())
        return self.acts[method]() if method in self.acts else None

    @property
    def updates(self) -> list[float]:
        """When it was updated."""
        return [at for at, call in zip(self.times, self.calls, strict=True) if call == "on_update"]


Use = Callable[..., Coroutine[Any, Any, list[Any]]]


async def by_run(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    return values(await pipeline.run(items, **options))


async def by_stream(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    async with pipeline.stream(items, **options) as stream:
        return [result.value async for result in stream]


async def by_builder_run(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    (only,) = pipeline.stages
    builder = Pipeline.create().add(only.name, *only.tasks, workers=only.workers, retries=1)
    return values(await builder.run(items, **options))


async def by_builder_stream(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    (only,) = pipeline.stages
    builder = Pipeline.create().add(only.name, *only.tasks, workers=only.workers, retries=1)
    return [result.value async for result in builder.stream(items, **options)]


async def by_quick(pipeline: Pipeline, items: Any, **options: Any) -> list[Any]:
    (only,) = pipeline.stages
    tasks = list(only.tasks)
    return values(await Pipeline.quick(items, tasks, workers=1, retries=1, **options))


CUSTOM = [by_run, by_stream, by_builder_run, by_builder_stream]
each_use = pytest.mark.parametrize("use", CUSTOM)
run_or_stream = pytest.mark.parametrize("use", [by_run, by_stream])


async def raised_by(call: Awaitable[Any]) -> BaseException | None:
    """Return what a call raises, also where that is no Exception."""
    try:
        await call
    except BaseException as error:
        return error
    return None


async def cancelled(call: Coroutine[Any, Any, Any], seconds: float = 1, times: int = 1) -> None:
    """Cancel a call after some seconds, and see that nothing of it is left."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(seconds)
    for _ in range(times):
        task.cancel()
        await settle()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not others()


# The order of calls


@each_use
def test_a_dashboard_is_started_updated_and_finished(use: Use) -> None:
    dashboard = Recorder()

    async def main() -> None:
        assert await use(piped(), range(3), custom_dashboard=dashboard) == [0, 1, 2]
        assert dashboard.calls == ["on_start", "on_update", "on_update", "on_finish"]
        assert not others()

    simulate(main)


@run_or_stream
def test_it_is_told_the_pipeline(use: Use) -> None:
    dashboard = Recorder()

    async def main() -> None:
        pipeline = piped()
        await use(pipeline, range(3), custom_dashboard=dashboard)
        assert dashboard.pipeline is pipeline

    simulate(main)


class Indexed:
    """Items that can only be had by their index."""

    def __getitem__(self, index: int) -> int:
        if index >= 3:
            raise IndexError
        return index


def three() -> Iterator[int]:
    yield from range(3)


async def three_later() -> AsyncIterator[int]:
    for number in range(3):
        yield number


@each_use
@pytest.mark.parametrize(
    ("items", "total"),
    [
        (lambda: [0, 1, 2], 3),
        (lambda: (0, 1, 2), 3),
        (lambda: range(3), 3),
        (lambda: {0, 1, 2}, 3),
        (lambda: {0: "a", 1: "b", 2: "c"}, 3),
        (list, 0),
        (lambda: iter([0, 1, 2]), None),
        (three, None),
        (three_later, None),
        (Indexed, None),
    ],
    ids=["list", "tuple", "range", "set", "dict", "empty", "iter", "generator", "async", "indexed"],
)
def test_it_is_told_how_many_items_there_are_where_that_is_known(
    items: Callable[[], Any], total: int | None, use: Use
) -> None:
    dashboard = Recorder()

    async def main() -> None:
        found = await use(piped(), items(), custom_dashboard=dashboard)
        assert found == list(range(3 if total is None else total))
        assert dashboard.total_items == total

    simulate(main)


@each_use
def test_it_is_updated_at_once_in_each_interval_and_before_the_end(use: Use) -> None:
    dashboard = Recorder()

    async def main() -> None:
        pipeline = piped(sleep)
        await use(pipeline, range(5), custom_dashboard=dashboard, dashboard_update_interval=2)
        assert dashboard.updates == [0, 2, 4, 5]
        assert dashboard.calls == ["on_start", *["on_update"] * 4, "on_finish"]
        assert (dashboard.times[0], dashboard.times[-1]) == (0, 5)

    run_exactly(main)


@each_use
def test_it_is_updated_twice_a_second_unless_told_otherwise(use: Use) -> None:
    dashboard = Recorder()

    async def main() -> None:
        await use(piped(sleep), range(2), custom_dashboard=dashboard)
        assert dashboard.updates[:4] == [0, 0.5, 1, 1.5]
        assert dashboard.updates[-1] == 2

    run_exactly(main)


def test_the_first_update_comes_before_any_item_is_read() -> None:
    read: list[int] = []
    dashboard = Recorder(on_update=lambda: read.append(-1))

    def items() -> Iterator[int]:
        for number in range(3):
            read.append(number)
            yield number

    async def main() -> None:
        await by_run(piped(), items(), custom_dashboard=dashboard)
        assert read[0] == -1
        assert dashboard.snapshots[0].pipeline_stats.items_fed == 0

    simulate(main)


@run_or_stream
def test_the_last_update_shows_the_end(use: Use) -> None:
    dashboard = Recorder()

    async def refuse_odd(value: int) -> int:
        await asyncio.sleep(1)
        if value % 2:
            raise ValueError
        return value

    async def main() -> None:
        pipeline = piped(refuse_odd)
        await use(pipeline, range(5), custom_dashboard=dashboard)
        last = dashboard.snapshots[-1]
        assert last.worker_states == pipeline.get_worker_states()
        assert last.pipeline_stats.stage_stats["Work"].workers["idle"] == 0
        assert (last.pipeline_stats.items_processed, last.pipeline_stats.items_failed) == (3, 2)
        assert last.worker_metrics["Work-W0"].items_processed == 3
        assert last.error_summary == pipeline.get_error_summary() == dashboard.summary

    run_exactly(main)


def test_updates_show_what_happens_meanwhile() -> None:
    dashboard = Recorder()

    async def main() -> None:
        await by_run(
            piped(sleep), range(5), custom_dashboard=dashboard, dashboard_update_interval=1.75
        )
        processed = [shown.pipeline_stats.items_processed for shown in dashboard.snapshots]
        assert processed == [0, 1, 3, 5]
        busy = [shown.worker_states["Work-W0"].current_item_id for shown in dashboard.snapshots]
        assert busy == [None, 1, 3, None]

    run_exactly(main)


def test_on_finish_gets_the_results_in_input_order_and_what_failed() -> None:
    dashboard = Recorder()

    async def refuse_odd_slowly(value: int) -> int:
        await asyncio.sleep(10 - value)
        if value % 2:
            raise ValueError(value)
        return value

    async def main() -> None:
        pipeline = piped(refuse_odd_slowly, workers=6)
        both = await pipeline.run(range(6), custom_dashboard=dashboard, return_exceptions=True)
        assert len(both) == 6
        assert dashboard.results == pipeline.results
        assert values(dashboard.results) == [0, 2, 4]
        assert dashboard.summary is not None
        assert dashboard.summary.errors_by_type == {"ValueError": 3}

    simulate(main)


def test_on_finish_gets_no_results_where_none_are_kept() -> None:
    async def main() -> None:
        for collect_results, use in ((False, by_run), (True, by_stream)):
            dashboard = Recorder()
            pipeline = Pipeline([stage(same)], collect_results)
            await use(pipeline, range(3), custom_dashboard=dashboard)
            assert dashboard.results == []

    simulate(main)


@each_use
def test_an_async_dashboard_is_awaited(use: Use) -> None:
    dashboard = Recorder(**dict.fromkeys(METHODS, lambda: asyncio.sleep(4)))

    async def main() -> None:
        await use(piped(), range(3), custom_dashboard=dashboard)
        assert dashboard.calls == ["on_start", "on_update", "on_update", "on_finish"]
        assert dashboard.times == [0, 4, 8, 12]
        assert now() == 16

    run_exactly(main)


def test_work_begins_when_the_dashboard_has_begun() -> None:
    dashboard, begun = Recorder(on_start=lambda: asyncio.sleep(4)), list[float]()

    async def note(value: int) -> None:
        begun.append(now())

    async def main() -> None:
        await by_run(piped(note), range(2), custom_dashboard=dashboard)
        assert begun == [4, 4]

    run_exactly(main)


def test_updates_of_a_slow_dashboard_do_not_overlap() -> None:
    inside, most = 0, 0

    async def update() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(3)
        inside -= 1

    dashboard = Recorder(on_update=update)

    async def main() -> None:
        pipeline = piped(sleep)
        await by_run(pipeline, range(10), custom_dashboard=dashboard, dashboard_update_interval=2)
        assert most == 1
        assert dashboard.updates == [0, 3 + 2, 3 + 2 + 3 + 2, 13]

    run_exactly(main)


def test_an_update_under_way_at_the_end_is_cancelled_and_the_last_one_follows() -> None:
    ends: list[str] = []

    async def update() -> None:
        try:
            await asyncio.sleep(0 if len(dashboard.snapshots) != 2 else 1000)
            ends.append("done")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    dashboard = Recorder(on_update=update)

    async def main() -> None:
        assert await by_run(piped(sleep), range(3), custom_dashboard=dashboard) == [0, 1, 2]
        assert ends == ["done", "cancelled", "done"]
        assert now() == 3

    run_exactly(main)


def test_no_call_follows_on_finish() -> None:
    dashboard = Recorder()

    async def main() -> None:
        await by_run(piped(sleep), range(3), custom_dashboard=dashboard)
        count = len(dashboard.calls)
        await asyncio.sleep(100)
        assert len(dashboard.calls) == count
        assert dashboard.calls.count("on_finish") == 1

    run_exactly(main)


def test_a_dashboard_may_show_one_run_after_the_other() -> None:
    dashboard = Recorder()

    async def main() -> None:
        pipeline = piped()
        for _ in range(2):
            await pipeline.run(range(2), custom_dashboard=dashboard)
        await pipeline.run(range(2))
        assert dashboard.calls == ["on_start", "on_update", "on_update", "on_finish"] * 2

    simulate(main)


def test_two_runs_at_once_have_a_dashboard_each() -> None:
    first, second = Recorder(), Recorder()

    async def main() -> None:
        await asyncio.gather(
            by_run(piped(sleep), range(2), custom_dashboard=first),
            by_run(piped(sleep), range(4), custom_dashboard=second),
        )
        assert (first.total_items, second.total_items) == (2, 4)
        assert (first.times[-1], second.times[-1]) == (2, 4)

    run_exactly(main)


def test_a_run_that_is_refused_shows_nothing() -> None:
    dashboard, gate = Recorder(), Gate()

    async def main() -> None:
        pipeline = piped(gate)
        running = asyncio.ensure_future(pipeline.run([1]))
        await settle()
        for use in (by_run, by_stream):
            with pytest.raises(PipelineError, match="already running"):
                await use(pipeline, [2], custom_dashboard=dashboard)
        assert dashboard.calls == []
        gate.open()
        assert values(await running) == [1]

    simulate(main)


def test_a_dashboard_runs_outside_of_any_worker() -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append((current_item(), set_task_status("lost")))

    async def main() -> None:
        await by_run(piped(), [1], custom_dashboard=Recorder(**dict.fromkeys(METHODS, look)))
        assert seen == [(None, False)] * 4

    simulate(main)


# Streams


async def read_all(pipeline: Pipeline, dashboard: Recorder) -> None:
    assert await by_stream(pipeline, range(5), custom_dashboard=dashboard) == list(range(5))


async def leave_by_break(pipeline: Pipeline, dashboard: Recorder) -> None:
    async for _ in pipeline.stream(range(5), custom_dashboard=dashboard):
        break
    await settle()


async def leave_by_aclose(pipeline: Pipeline, dashboard: Recorder) -> None:
    stream = pipeline.stream(range(5), custom_dashboard=dashboard)
    await anext(stream)
    await stream.aclose()


async def leave_by_async_with(pipeline: Pipeline, dashboard: Recorder) -> None:
    async with pipeline.stream(range(5), custom_dashboard=dashboard) as stream:
        await anext(stream)


async def leave_by_shutdown(pipeline: Pipeline, dashboard: Recorder) -> None:
    stream = pipeline.stream(range(5), custom_dashboard=dashboard)
    await anext(stream)
    await pipeline.shutdown()
    await stream.aclose()


async def leave_by_cancellation(pipeline: Pipeline, dashboard: Recorder) -> None:
    async def consume() -> None:
        async with pipeline.stream(range(5), custom_dashboard=dashboard) as stream:
            async for _ in stream:
                await asyncio.sleep(1000)

    await cancelled(consume(), seconds=5)


@pytest.mark.parametrize(
    "leave",
    [
        read_all,
        leave_by_break,
        leave_by_aclose,
        leave_by_async_with,
        leave_by_shutdown,
        leave_by_cancellation,
    ],
)
@sync_or_async
def test_however_a_stream_is_left_its_dashboard_finishes(
    leave: Callable[[Pipeline, Recorder], Awaitable[None]], is_async: bool
) -> None:
    acts = dict.fromkeys(METHODS, lambda: asyncio.sleep(0)) if is_async else {}
    dashboard = Recorder(**acts)

    async def main() -> None:
        pipeline = piped(sleep)
        await leave(pipeline, dashboard)
        assert dashboard.calls[0] == "on_start"
        assert dashboard.calls[-2:] == ["on_update", "on_finish"]
        assert dashboard.calls.count("on_finish") == 1
        assert dashboard.results == []
        assert not others()

    run_exactly(main)


def test_a_stream_ends_when_its_dashboard_has_finished() -> None:
    dashboard = Recorder(on_finish=lambda: asyncio.sleep(4))

    async def main() -> None:
        stream = piped(sleep).stream(range(3), custom_dashboard=dashboard)
        ends = [now() async for _ in stream]
        assert ends == [1, 2, 3]
        assert now() == 3 + 4

    run_exactly(main)


def test_a_dashboard_goes_on_while_the_consumer_is_slow() -> None:
    dashboard = Recorder()

    async def main() -> None:
        stream = piped().stream(
            range(9), buffer_size=1, custom_dashboard=dashboard, dashboard_update_interval=1
        )
        async for _ in stream:
            await asyncio.sleep(2)
        assert dashboard.updates[:14] == list(range(14))

    run_exactly(main)


def test_a_stream_s_dashboard_begins_with_the_first_step() -> None:
    dashboard = Recorder()

    async def main() -> None:
        stream = piped().stream(range(3), custom_dashboard=dashboard)
        await asyncio.sleep(5)
        assert dashboard.calls == []
        await anext(stream)
        assert dashboard.times[0] == 5
        await stream.aclose()

    run_exactly(main)


def test_a_stream_that_is_never_read_shows_nothing() -> None:
    dashboard = Recorder()

    async def main() -> None:
        stream = piped().stream(range(3), custom_dashboard=dashboard)
        await stream.aclose()
        assert dashboard.calls == []

    simulate(main)


# By name


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorder]:
    """Dashboards that can be asked for by name, as if they were installed."""
    dashboards = {name: Recorder() for name in ("progress", "compact", "detailed", "full")}
    monkeypatch.setattr(PluginSet, "dashboard", lambda plugins, name: dashboards[name])
    return dashboards


@pytest.mark.parametrize("use", [*CUSTOM, by_quick])
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"progress": True}, "progress"),
        ({"dashboard": "compact"}, "compact"),
        ({"dashboard": "detailed"}, "detailed"),
        ({"dashboard": "full", "progress": False}, "full"),
    ],
    ids=id_of,
)
def test_an_installed_dashboard_is_found_by_its_name(
    installed: dict[str, Recorder], options: dict[str, Any], name: str, use: Use
) -> None:
    async def main() -> None:
        assert await use(piped(), range(3), **options) == [0, 1, 2]
        shown = [key for key, dashboard in installed.items() if dashboard.calls]
        assert shown == [name]
        assert installed[name].calls == ["on_start", "on_update", "on_update", "on_finish"]
        assert installed[name].total_items == 3

    simulate(main)


def test_progress_and_dashboard_are_the_second_and_third_argument_of_run(
    installed: dict[str, Recorder],
) -> None:
    async def main() -> None:
        await piped().run([1], True)
        await piped().run([1], False, "full")
        async for _ in piped().stream([1], True):
            pass
        assert len(installed["progress"].calls) == 8
        assert len(installed["full"].calls) == 4

    simulate(main)


@pytest.mark.parametrize("use", [*CUSTOM, by_quick])
@pytest.mark.parametrize("name", ["compact", "nyan", "progress", 5])
def test_a_dashboard_that_is_not_installed_is_refused_with_where_to_get_it(
    name: Any, use: Use
) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="antflow-rich") as caught:
            await use(piped(), [1], dashboard=name)
        assert f"no dashboard {name!r}" in str(caught.value)
        assert "installed are: none" in str(caught.value)
        assert "pip install antflow-rich" in str(caught.value)

    simulate(main)


@pytest.mark.parametrize("use", [*CUSTOM, by_quick])
def test_progress_that_is_not_installed_is_refused_likewise(use: Use) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=r"no dashboard 'progress'.*antflow-rich"):
            await use(piped(), [1], progress=True)

    simulate(main)


def test_no_name_is_known_to_the_core() -> None:
    for name in ("progress", "compact", "detailed", "full"):
        with pytest.raises(ValueError, match=f"no dashboard '{name}'"):
            NONE.dashboard(name)


# What is refused


@pytest.mark.parametrize("use", [*CUSTOM, by_quick])
def test_progress_and_dashboard_at_once_are_refused(use: Use) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="Cannot use both progress and dashboard"):
            await use(piped(), [1], progress=True, dashboard="compact")

    simulate(main)


@each_use
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"progress": True}, "Cannot use both progress and custom_dashboard"),
        ({"dashboard": "compact"}, "Cannot use both dashboard and custom_dashboard"),
        ({"progress": True, "dashboard": "full"}, "Cannot use both progress and dashboard"),
    ],
    ids=id_of,
)
def test_a_custom_dashboard_beside_another_display_is_refused(
    options: dict[str, Any], text: str, use: Use
) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=text) as caught:
            await use(piped(), [1], custom_dashboard=Recorder(), **options)
        assert "choose one" in str(caught.value)

    simulate(main)


@each_use
@each_method
@pytest.mark.parametrize("value", [None, 5])
def test_a_custom_dashboard_that_lacks_a_method_is_refused_by_that(
    method: str, value: Any, use: Use
) -> None:
    class Lacking(Recorder):
        pass

    setattr(Lacking, method, value)
    dashboard = Lacking()

    async def main() -> None:
        with pytest.raises(ValueError, match=f"has no method {method}") as caught:
            await use(piped(), [1], custom_dashboard=dashboard)
        assert repr(dashboard) in str(caught.value)
        assert "on_start, on_update and on_finish" in str(caught.value)

    simulate(main)


@each_use
@pytest.mark.parametrize("dashboard", [5, "compact", object(), print], ids=id_of)
def test_what_is_no_dashboard_is_refused(dashboard: Any, use: Use) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="has no method on_start"):
            await use(piped(), [1], custom_dashboard=dashboard)

    simulate(main)


@each_use
@pytest.mark.parametrize("interval", [0, 0.0, -1, nan, inf, "1", None, True, [1]], ids=id_of)
def test_an_interval_that_is_no_number_of_seconds_is_refused(interval: Any, use: Use) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="give seconds, above 0") as caught:
            await use(piped(), [1], custom_dashboard=Recorder(), dashboard_update_interval=interval)
        assert f"dashboard_update_interval of pipeline 'pipeline' is {interval!r}" in str(
            caught.value
        )

    simulate(main)


@pytest.mark.parametrize("use", [*CUSTOM, by_quick])
@pytest.mark.parametrize("progress", [5, 1, 2.5, "yes", [1]], ids=id_of)
def test_progress_that_is_neither_true_nor_false_is_refused(progress: Any, use: Use) -> None:
    async def main() -> None:
        found = await raised_by(use(piped(), [1], progress=progress))
        assert isinstance(found, ValueError)
        assert f"progress={progress!r}; give True or False" in str(found)

    simulate(main)


@pytest.mark.parametrize("use", [*CUSTOM, by_quick])
@pytest.mark.parametrize("nothing", [None, False, 0, ""], ids=id_of)
def test_what_says_no_asks_for_nothing(nothing: Any, use: Use) -> None:
    async def main() -> None:
        assert await use(piped(), [1], progress=nothing, dashboard=nothing) == [1]

    simulate(main)


@run_or_stream
@pytest.mark.parametrize(
    "options",
    [
        {"dashboard": "nyan"},
        {"progress": True, "dashboard": "nyan"},
        {"custom_dashboard": object()},
        {"dashboard_update_interval": 0},
    ],
    ids=id_of,
)
def test_what_is_refused_has_read_nothing_and_started_nothing(
    options: dict[str, Any], use: Use
) -> None:
    async def main() -> None:
        pipeline, items = piped(), iter([1, 2])
        assert isinstance(await raised_by(use(pipeline, items, **options)), ValueError)
        assert await use(pipeline, items) == [1, 2]

    simulate(main)


def test_nothing_is_chosen_where_nothing_is_asked_for() -> None:
    assert (
        chosen_dashboard(NONE.dashboard, progress=False, dashboard=None, custom_dashboard=None)
        is None
    )


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


def test_calls_do_not_overlap_though_an_update_takes_its_time_to_be_cancelled() -> None:
    inside: list[str] = []

    async def update() -> None:
        inside.append("update")
        try:
            await asyncio.sleep(1000 if dashboard.calls.count("on_update") == 2 else 0)
        finally:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(4)
            inside.remove("update")

    def finish() -> None:
        assert not inside

    dashboard = Recorder(on_update=update, on_finish=finish)

    async def main() -> None:
        await cancelled(by_run(piped(sleep), range(9), custom_dashboard=dashboard), times=3)
        assert dashboard.calls[-1] == "on_finish"
        assert not inside

    run_exactly(main)


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
        running = asyncio.ensure_future(use(pipeline, items, custom_dashboard=dashboard))
        await settle()
        assert await pipeline.shutdown(drain=drain) == []
        assert await running == []
        assert list(items) == [0, 1, 2]
        assert not others()

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
        running = asyncio.ensure_future(call)
        await settle()
        stopping = asyncio.ensure_future(pipeline.shutdown(drain=True))
        await settle()
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
        running = asyncio.ensure_future(by_run(pipeline, range(3), custom_dashboard=dashboard))
        await settle()
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
        step = asyncio.ensure_future(anext(stream))
        await settle()
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


class InputBrokeError(Exception):
    """What an input raises."""


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


# A dashboard with hooks


class Listening(Recorder):
    """A dashboard that also hears what happens."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, Any]] = []

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        self.heard.append((event.status, event.item_id))

    @hookimpl
    async def antflow_task_start(self, event: TaskEvent) -> None:
        await asyncio.sleep(0)
        self.heard.append(("start", event.item_id))

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        self.heard.append(("success", event.item_id))

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        self.heard.append(("failure", event.item_id))


GOOD = ["queued", "in_progress", "start", "success", "completed"]
BAD = ["queued", "in_progress", "start", "failure", "failed"]


@each_use
@pytest.mark.parametrize(("task", "expected"), [(same, GOOD), (fail, BAD)], ids=["good", "bad"])
def test_a_dashboard_with_hooks_is_told_what_happens(
    task: Callable[[Any], Any], expected: list[str], use: Use
) -> None:
    dashboard = Listening()

    async def main() -> None:
        await use(piped(task), [7, 8], custom_dashboard=dashboard)
        for item_id in (0, 1):
            assert [what for what, whom in dashboard.heard if whom == item_id] == expected
        assert dashboard.calls == ["on_start", "on_update", "on_update", "on_finish"]

    simulate(main)


def test_a_dashboard_with_hooks_is_told_of_its_own_run_only() -> None:
    dashboard = Listening()

    async def main() -> None:
        pipeline = piped()
        await pipeline.run([1, 2, 3])
        await pipeline.run([1], custom_dashboard=dashboard)
        await pipeline.run([1, 2, 3])
        await by_stream(pipeline, [1, 2, 3])
        assert [what for what, _ in dashboard.heard] == GOOD

    simulate(main)


def test_a_dashboard_with_hooks_and_a_tracker_are_both_told() -> None:
    dashboard, tracker = Listening(), StatusTracker()

    async def main() -> None:
        pipeline = Pipeline([stage(same)], status_tracker=tracker)
        await pipeline.run([1], custom_dashboard=dashboard)
        assert [what for what, _ in dashboard.heard] == GOOD
        assert [event.status for event in tracker.get_history(0)] == [
            "queued",
            "in_progress",
            "completed",
        ]

    simulate(main)


def test_a_dashboard_has_started_before_it_is_told_of_an_item() -> None:
    dashboard = Listening()

    async def main() -> None:
        heard_at_start = []
        dashboard.acts["on_start"] = lambda: heard_at_start.append(len(dashboard.heard))
        await by_run(piped(), range(3), custom_dashboard=dashboard)
        assert heard_at_start == [0]

    simulate(main)


@pytest.mark.parametrize("seed", [None, *range(10)])
def test_a_dashboard_has_started_before_it_is_told_of_items_that_were_fed_before(
    seed: int | None,
) -> None:
    dashboard = Listening()

    async def main() -> None:
        heard_at_start = []
        dashboard.acts["on_start"] = lambda: heard_at_start.append(len(dashboard.heard))
        pipeline = piped()
        await pipeline.feed([1, 2])
        await by_run(pipeline, [3], custom_dashboard=dashboard)
        assert heard_at_start == [0]

    simulate(main, seed)


def test_a_tracker_that_is_a_dashboard_too_is_told_once() -> None:
    class Both(StatusTracker):
        def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
            """Nothing."""

        def on_update(self, snapshot: DashboardSnapshot) -> None:
            """Nothing."""

        def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
            """Nothing."""

    both = Both()

    async def main() -> None:
        await Pipeline([stage(same)], status_tracker=both).run([1], custom_dashboard=both)
        assert [event.status for event in both.get_history(0)] == [
            "queued",
            "in_progress",
            "completed",
        ]

    simulate(main)


def test_a_dashboard_with_hooks_is_told_of_what_is_left_before_it_finishes() -> None:
    dashboard, gate = Listening(), Gate()

    async def main() -> None:
        at_finish: list[Any] = []
        dashboard.acts["on_finish"] = lambda: at_finish.extend(dashboard.heard)
        pipeline = piped(gate)
        running = asyncio.ensure_future(pipeline.run([1, 2], custom_dashboard=dashboard))
        await settle()
        await pipeline.shutdown(timeout=0)
        await running
        assert sorted(at_finish[-2:]) == [("unprocessed", 0), ("unprocessed", 1)]

    simulate(main)


def test_a_hook_that_raises_does_not_cost_the_dashboard_its_display(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Faulty(Recorder):
        @hookimpl
        def antflow_item_status(self, event: StatusEvent) -> None:
            raise ValueError

    dashboard = Faulty()

    async def main() -> None:
        assert await by_run(piped(), range(3), custom_dashboard=dashboard) == [0, 1, 2]
        assert dashboard.calls == ["on_start", "on_update", "on_update", "on_finish"]

    simulate(main)
    assert len(caplog.records) == 1


# Whatever the order of events


@pytest.mark.parametrize("seed", range(80))
def test_a_dashboard_is_told_in_order_whatever_happens(seed: int) -> None:
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


# The process ends while a task holds the event loop


class Taker(Recorder):
    """A dashboard that has taken something.

    Args:
        act: what it does to give that back.
    """

    def __init__(self, act: Callable[[], Any] = lambda: None, **acts: Callable[[], Any]) -> None:
        super().__init__(**acts)
        self.act = act
        self.threads: list[Thread] = []

    def on_exit(self) -> None:
        self.threads.append(current_thread())
        self.act()


def leave(pipeline: Pipeline, seconds: float = 60.0) -> None:
    assert pipeline._run is not None
    pipeline._run.leave_display(seconds)


def left_by_a_task(dashboard: Any, seconds: float = 60.0) -> Any:
    """Have a task leave the display of its run, and return that run's results."""

    async def task(value: int) -> int:
        leave(pipeline, seconds)
        return value

    pipeline = piped(task)
    return simulate(lambda: by_run(pipeline, [1], custom_dashboard=dashboard))


def test_who_ends_the_process_has_a_dashboard_give_back_what_it_took() -> None:
    dashboard = Taker()
    assert left_by_a_task(dashboard) == [1]
    (thread,) = dashboard.threads
    assert thread is not current_thread()


def test_a_dashboard_that_takes_nothing_needs_no_such_method() -> None:
    assert left_by_a_task(Recorder()) == [1]


def test_what_a_dashboard_raises_as_the_process_ends_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise SystemExit("torn")

    assert left_by_a_task(Taker(fail)) == [1]
    (record,) = caplog.records
    assert record.getMessage() == "Dashboard Taker: on_exit raised; the process ends."
    assert record.exc_info is not None


def test_a_dashboard_that_gives_nothing_back_is_not_waited_for_any_longer() -> None:
    goes_on = Event()
    dashboard = Taker(goes_on.wait)
    assert left_by_a_task(dashboard, 0.0) == [1]
    goes_on.set()
    dashboard.threads[0].join()


@pytest.mark.parametrize("method", ["on_start", "on_finish"])
def test_a_dashboard_that_is_dropped_or_has_finished_is_not_told(method: str) -> None:
    def fail() -> None:
        raise ValueError

    dashboard = Taker(**({method: fail} if method == "on_start" else {}))

    async def main() -> None:
        pipeline = piped()
        await by_run(pipeline, [1], custom_dashboard=dashboard)
        leave(pipeline)

    simulate(main)
    assert dashboard.threads == []


def test_a_stream_leaves_the_display_of_its_run() -> None:
    dashboard = Taker()

    async def main() -> None:
        stream = piped().stream(range(3), custom_dashboard=dashboard)
        stream.leave_display(60.0)
        assert dashboard.threads == []
        async with stream:
            await anext(stream)
            stream.leave_display(60.0)
            assert len(dashboard.threads) == 1

    simulate(main)


def test_a_display_that_the_loop_leaves_behind_is_closed_without_a_word() -> None:
    """As after a `break` from a stream that is the last thing in the program."""
    dashboard = Recorder(on_start=lambda: asyncio.sleep(1))

    async def main() -> None:
        pipeline = piped(sleep)
        run: Any = SimpleNamespace(abort=None)
        beginning = Display(dashboard, pipeline, 1, 1.0, pipeline.get_dashboard_snapshot, run)
        begin = beginning.begin()
        copy_context().run(begin.send, None)
        begin.close()
        assert beginning.caller is None

    simulate(main)
    assert dashboard.calls == ["on_start"]
