"""Displays of a run: what they are told and when, which is chosen, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import copy_context
from math import inf, nan
from threading import Event, Thread, current_thread
from types import SimpleNamespace
from typing import Any

import pytest

from antflow import (
    DashboardSnapshot,
    ErrorSummary,
    Pipeline,
    PipelineError,
    PipelineResult,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    current_item,
    hookimpl,
    set_task_status,
)
from antflow._engine.display import Display
from tests.helpers.displays import (
    CUSTOM,
    METHODS,
    Recorder,
    Use,
    by_quick,
    by_run,
    by_stream,
    cancelled,
    each_method,
    each_use,
    piped,
    run_or_stream,
    sleep,
    sync_or_async,
)
from tests.helpers.installation import Entry, install
from tests.helpers.runs import Indexed, fail, now, raised_by, run_exactly, same, stage, values
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate
from tests.naming import id_of

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
        ({0: "a", 1: "b", 2: "c"}.keys, 3),
        (list, 0),
        (lambda: iter([0, 1, 2]), None),
        (three, None),
        (three_later, None),
        (Indexed, None),
    ],
    ids=["list", "tuple", "range", "set", "keys", "empty", "iter", "generator", "async", "indexed"],
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
        running = await begun(pipeline.run([1]))
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
def installed(monkeypatch: pytest.MonkeyPatch, nothing_installed: None) -> dict[str, Recorder]:
    """Dashboards of an installed plugin."""
    dashboards = {name: Recorder() for name in ("progress", "compact", "detailed", "full")}

    class Dashboards:
        @hookimpl
        def antflow_dashboard(self, name: str) -> Recorder | None:
            return dashboards.get(name)

    install(monkeypatch, Entry("dashboards", Dashboards))
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
@pytest.mark.parametrize("name", ["compact", "nyan", 5])
def test_a_dashboard_that_is_not_installed_is_refused_with_where_to_get_it(
    name: Any, use: Use
) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="antflow-rich") as caught:
            await use(piped(), [1], dashboard=name)
        assert f"no dashboard {name!r}" in str(caught.value)
        assert "installed are: progress." in str(caught.value)
        assert "in a checkout of antflow: pip install ./antflow-rich" in str(caught.value)

    simulate(main)


@pytest.mark.parametrize(("name", "near"), [("ful", "full"), ("Progres", "progress")])
def test_a_misspelt_dashboard_is_refused_with_the_nearest_one(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {near!r}\\? Installed are: progress"):
        simulate(lambda: piped().run([1], dashboard=name))


@pytest.mark.parametrize("use", [*CUSTOM, by_quick])
@pytest.mark.parametrize("options", [{"progress": True}, {"dashboard": "progress"}])
def test_progress_that_is_not_installed_is_written_as_plain_lines(
    options: dict[str, Any], use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        assert await use(piped(), [1], **options) == [1]

    simulate(main)
    (line,) = capsys.readouterr().err.splitlines()
    assert ": 1 of 1 item in 0:00:00, 0 items failed" in line


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
        running = await begun(pipeline.run([1, 2], custom_dashboard=dashboard))
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
    display = pipeline._run.lifecycle.display
    assert display is not None
    display.leave(seconds)


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


def test_so_is_what_it_raises_when_it_is_asked_for_the_method(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Torn(Recorder):
        @property
        def on_exit(self) -> None:
            raise LookupError("torn")

    assert left_by_a_task(Torn()) == [1]
    assert caplog.messages == ["Dashboard Torn: on_exit raised; the process ends."]


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
        stream._leave_display(60.0)
        assert dashboard.threads == []
        async with stream:
            await anext(stream)
            stream._leave_display(60.0)
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
