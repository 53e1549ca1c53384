"""Dashboards that implement hooks get the events of the run that they show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from antflow import Pipeline, StatusEvent, StatusTracker, TaskEvent, hookimpl
from tests.helpers.displays import CALLS, Recorder, Use, by_run, by_stream, each_use, piped
from tests.helpers.runs import fail, same, stage
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, simulate


class Listening(Recorder):
    """A dashboard that records events, too."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, Any]] = []

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        self.events.append((event.status, event.item_id))

    @hookimpl
    async def antflow_task_start(self, event: TaskEvent) -> None:
        await asyncio.sleep(0)
        self.events.append((event.event_type, event.item_id))

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        self.events.append((event.event_type, event.item_id))

    antflow_task_failure = antflow_task_success


SUCCESS = ["queued", "in_progress", "start", "complete", "completed"]
FAILURE = ["queued", "in_progress", "start", "fail", "failed"]


@each_use
@pytest.mark.parametrize(("task", "expected"), [(same, SUCCESS), (fail, FAILURE)])
def test_a_dashboard_with_hooks_gets_the_events(
    task: Callable[[Any], Any], expected: list[str], use: Use
) -> None:
    dashboard = Listening()
    simulate(use(piped(task), [7, 8], custom_dashboard=dashboard))
    for number in (0, 1):
        assert [kind for kind, item_id in dashboard.events if item_id == number] == expected
    assert dashboard.calls == CALLS


@simulated()
async def test_it_gets_the_events_of_its_own_run_beside_a_tracker() -> None:
    dashboard, tracker = Listening(), StatusTracker()
    pipeline = Pipeline([stage(same)], status_tracker=tracker)
    await pipeline.run([1, 2, 3])
    await pipeline.run([1], custom_dashboard=dashboard)
    await pipeline.run([1, 2, 3])
    await by_stream(pipeline, [1, 2, 3])
    assert [kind for kind, _ in dashboard.events] == SUCCESS
    assert len(tracker.get_history(0)) == 4 * 3


@pytest.mark.parametrize("seed", [None, *range(10)])
@pytest.mark.parametrize("fed", [[], [1, 2]])
def test_it_starts_before_it_gets_events(fed: list[int], seed: int | None) -> None:
    dashboard = Listening()
    events_at_start: list[int] = []
    dashboard.acts["on_start"] = lambda: events_at_start.append(len(dashboard.events))

    async def main() -> None:
        pipeline = piped()
        await pipeline.feed(fed)
        await by_run(pipeline, [3], custom_dashboard=dashboard)

    simulate(main, seed)
    assert events_at_start == [0]


@simulated()
async def test_it_gets_the_events_of_unprocessed_items_before_it_finishes() -> None:
    dashboard = Listening()
    at_finish: list[Any] = []
    dashboard.acts["on_finish"] = lambda: at_finish.extend(dashboard.events)
    pipeline = piped(Gate())
    running = await begun(pipeline.run([1, 2], custom_dashboard=dashboard))
    await pipeline.shutdown(timeout=0)
    await running
    assert sorted(at_finish[-2:]) == [("unprocessed", 0), ("unprocessed", 1)]


def test_a_tracker_that_is_a_dashboard_too_gets_each_event_once() -> None:
    class Both(StatusTracker):
        def on_start(self, pipeline: object, total_items: int | None) -> None: ...

        def on_update(self, snapshot: object) -> None: ...

        def on_finish(self, results: object, summary: object) -> None: ...

    both = Both()
    simulate(Pipeline([stage(same)], status_tracker=both).run([1], custom_dashboard=both))
    assert [event.status for event in both.get_history(0)] == ["queued", "in_progress", "completed"]


def test_a_hook_that_raises_does_not_drop_the_dashboard(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Recorder):
        @hookimpl
        def antflow_item_status(self, event: StatusEvent) -> None:
            raise ValueError

    dashboard = Faulty()
    assert simulate(by_run(piped(), range(3), custom_dashboard=dashboard)) == [0, 1, 2]
    assert dashboard.calls == CALLS
    assert len(caplog.records) == 1
