"""StatusTracker: what it remembers and returns, and when it calls back."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, get_args
from weakref import WeakSet

import pytest

from antflow import Pipeline, PipelineError, Stage, StatusEvent, StatusTracker, TaskEvent, hookimpl
from antflow.events import StatusType
from tests.helpers.runs import cancel, same, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, simulate

STATUSES = get_args(StatusType)
CALLBACKS = {
    "on_status_change": "queued",
    "on_task_start": "start",
    "on_task_complete": "complete",
    "on_task_retry": "retry",
    "on_task_fail": "fail",
}


class Failing:
    """A task that fails so many times for each value."""

    __name__ = "failing"

    def __init__(self, times: dict[Any, int]) -> None:
        self._times = Counter(times)

    async def __call__(self, value: Any) -> Any:
        if self._times[value] > 0:
            self._times[value] -= 1
            raise ValueError(f"{value} fails")
        return value


def kind(event: StatusEvent | TaskEvent) -> str:
    return event.event_type if isinstance(event, TaskEvent) else event.status


def run(tracker: StatusTracker, stages: Iterable[Stage], *items: Any, **arguments: Any) -> Pipeline:
    async def main() -> Pipeline:
        pipeline = Pipeline(stages, status_tracker=tracker)
        await pipeline.run(items)
        return pipeline

    return simulate(main, **arguments)


def one_stage(times: dict[Any, int] | None = None, **fields: Any) -> list[Stage]:
    return [Stage("Work", 1, [Failing(times or {})], task_wait_seconds=0, **fields)]


def emit(tracker: StatusTracker, item_id: Any, *statuses: Any) -> None:
    """Call the tracker's hook with events; every status but "queued" is an item's last."""
    for status in statuses:
        event = StatusEvent(item_id, "Work", status, None, 0.0, final=status != "queued")
        tracker.antflow_item_status(event)


# Its arguments


@pytest.mark.parametrize("max_history", [-1, 1.5, "3", True, float("inf")])
def test_a_max_history_that_is_no_number_of_items_is_rejected(max_history: Any) -> None:
    with pytest.raises(ValueError, match=r"max_history is .*; give the number of items"):
        StatusTracker(max_history=max_history)


def test_a_pipeline_rejects_any_other_tracker() -> None:
    with pytest.raises(PipelineError, match="give a StatusTracker"):
        Pipeline(one_stage(), status_tracker=print)  # type: ignore[arg-type]


# Its methods


def test_an_unused_tracker_knows_nothing() -> None:
    tracker = StatusTracker()
    assert tracker.get_status("x") is None
    assert tracker.get_tracked_ids() == []
    assert tracker.get_by_status("failed") == []
    assert tracker.get_history("x") == []
    assert tracker.get_failed_items() == []
    assert tracker.get_stats() == dict.fromkeys(STATUSES, 0)
    assert str(tracker.get_error_summary()) == "No errors occurred"


def test_the_statistics_count_the_items_of_each_status() -> None:
    tracker = StatusTracker()
    stages = one_stage({"a": 9, "b": 1}, skip_if=lambda value: value == "c")
    run(tracker, stages, "a", "b", "c", "d", "e")
    expected = dict.fromkeys(STATUSES, 0) | {"failed": 1, "completed": 3, "skipped": 1}
    assert tracker.get_stats() == expected


def test_ids_are_in_the_order_of_their_first_events() -> None:
    tracker = StatusTracker()
    run(tracker, one_stage(), *({"id": name} for name in "cab"))
    assert tracker.get_tracked_ids() == ["c", "a", "b"]


def test_returned_lists_belong_to_the_caller() -> None:
    tracker = StatusTracker()
    emit(tracker, "x", "queued", "completed")
    tracker.get_tracked_ids().clear()
    tracker.get_history("x").clear()
    assert tracker.get_tracked_ids() == ["x"]
    assert len(tracker.get_history("x")) == 2


def test_items_are_found_by_their_present_status() -> None:
    tracker = StatusTracker()
    run(tracker, one_stage({"b": 9, "d": 9}), "a", "b", "c", "d")
    assert [event.item_id for event in tracker.get_by_status("failed")] == [1, 3]
    assert [event.item_id for event in tracker.get_by_status("completed")] == [0, 2]
    assert tracker.get_by_status("queued") == []


def test_a_history_has_all_events_of_an_item_in_order() -> None:
    seen: list[StatusEvent] = []
    tracker = StatusTracker(seen.append)
    stages = [Stage("First", 1, [Failing({"a": 1})], "per_stage"), Stage("Last", 1, [same])]
    run(tracker, stages, "a", "b")
    for item_id in range(2):
        events = [event for event in seen if event.item_id == item_id]
        assert tracker.get_history(item_id) == events
        assert tracker.get_status(item_id) == events[-1]
    assert [event.status for event in tracker.get_history(0)] == [
        *("queued", "in_progress", "retrying", "in_progress", "completed"),
        *("queued", "in_progress", "completed"),
    ]


def test_events_of_a_history_have_no_item() -> None:
    tracker = StatusTracker(lambda event: event.item.id)
    run(tracker, one_stage(), 7)
    for event in (*tracker.get_history(0), tracker.get_status(0), *tracker.get_by_status("failed")):
        assert event is not None
        with pytest.raises(LookupError, match="history"):
            event.item  # noqa: B018 - to read it is what raises


def test_a_tracker_keeps_neither_values_nor_the_run() -> None:
    tracker, task, value = StatusTracker(), Failing({}), Counted()
    kept = WeakSet[object]([task, value])
    run(tracker, [Stage("Work", 1, [task])], value)
    del task, value
    gc.collect()
    assert not kept
    tracker.on_task_start = print  # has no effect


def test_a_callback_finds_its_event_in_the_tracker() -> None:
    seen: list[bool] = []

    def compare(event: StatusEvent) -> None:
        seen.append(tracker.get_status(event.item_id) == event)

    tracker = StatusTracker(compare)
    run(tracker, one_stage({0: 1}), 0)
    assert seen == [True] * 3


# Failures


@pytest.mark.parametrize(
    ("fields", "attempts"),
    [
        ({"task_attempts": 1}, 1),
        ({"task_attempts": 4}, 4),
        ({"retry": "per_stage", "stage_attempts": 3}, 3),
        ({"retry": "per_stage", "stage_attempts": 1}, 1),
    ],
)
def test_failed_items_have_their_number_of_attempts(fields: dict[str, Any], attempts: int) -> None:
    tracker = StatusTracker()
    pipeline = run(tracker, one_stage({"a": 9}, **fields), {"id": "x", "value": "a"}, "b")
    (item,) = tracker.get_failed_items()
    assert (item.item_id, item.stage, item.attempts) == ("x", "Work", attempts)
    assert (item.error, item.error_type) == ("a fails", "ValueError")
    event = tracker.get_status("x")
    assert event is not None
    assert item.timestamp == event.timestamp
    assert item.attempts == pipeline.failures[0].attempts


# Callbacks


class Recorder:
    """A callback: plain, a coroutine function, or a function that returns a task."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def plain(self, event: Any) -> None:
        self.events.append(event)

    async def awaited(self, event: Any) -> None:
        await asyncio.sleep(1)
        self.events.append(event)

    def starts_a_task(self, event: Any) -> Awaitable[None]:
        return asyncio.create_task(self.awaited(event))


SHAPES = ["plain", "awaited", "starts_a_task"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_callback_is_awaited(shape: str) -> None:
    recorder = Recorder()
    seen: list[int] = []

    async def task(value: int) -> int:
        seen.append(len(recorder.events))
        return value

    run(StatusTracker(on_task_start=getattr(recorder, shape)), [Stage("Work", 1, [task])], 1, 2)
    assert seen == [1, 2]


def cancel_an_attempt(tracker: StatusTracker) -> None:
    """Run an item, and cancel the run while its task waits."""

    async def main() -> None:
        running = await begun(
            Pipeline([Stage("Work", 1, [Gate()])], status_tracker=tracker).run([7])
        )
        await cancel(running)

    simulate(main)


def test_a_cancelled_attempt_calls_only_on_task_start() -> None:
    recorder = Recorder()
    tracker = StatusTracker(None, *[recorder.plain] * 4)

    cancel_an_attempt(tracker)
    assert [kind(event) for event in recorder.events] == ["start"]


HELD_RUN = {
    "on_status_change": (
        ["queued", "queued", "in_progress"],
        {"completed": 1, "in_progress": 1, "failed": 1},
    ),
    "on_task_start": (["start"], {"start": 6}),
    "on_task_complete": ([], {"complete": 3}),
    "on_task_retry": ([], {"retry": 3}),
    "on_task_fail": ([], {"fail": 1}),
}
"""The events of each callback before and after a change during the first attempt."""


@pytest.mark.parametrize("change", ["set", "removed", "replaced"])
@pytest.mark.parametrize("name", HELD_RUN)
@simulated()
async def test_a_callback_may_be_changed_during_a_run(name: str, change: str) -> None:
    before, after, tracker, gate = Recorder(), Recorder(), StatusTracker(), Gate()
    stage = Stage("Work", 1, [gate, Failing({"a": 1, "b": 9})], task_wait_seconds=0)
    pipeline = Pipeline([stage], status_tracker=tracker)
    setattr(tracker, name, before.plain if change != "set" else None)
    running = await begun(pipeline.run(["a", "b"]))
    setattr(tracker, name, after.plain if change != "removed" else None)
    gate.open()
    await running
    events_before, events_after = HELD_RUN[name]
    assert list(map(kind, before.events)) == (events_before if change != "set" else [])
    assert Counter(map(kind, after.events)) == (events_after if change != "removed" else {})


def test_a_callback_that_another_observer_removes_at_an_event_is_not_called() -> None:
    seen: list[str] = []

    def remove(event: TaskEvent) -> None:
        second.on_task_start = None

    first = StatusTracker(on_task_start=remove)
    second = StatusTracker(on_task_start=lambda event: seen.append(event.event_type))
    simulate(Pipeline(one_stage(), plugins=[second, first], autoload=False).run([1]))
    assert seen == []


def raise_now(event: Any) -> None:
    raise KeyError("callback")


async def raise_later(event: Any) -> None:
    await asyncio.sleep(1)
    raise KeyError("callback")


async def raise_cancelled(event: Any) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("callback", [raise_now, raise_later, raise_cancelled])
@pytest.mark.parametrize("name", list(CALLBACKS))
def test_a_callback_that_raises_changes_nothing(
    name: str, callback: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    tracker, undisturbed = StatusTracker(), StatusTracker()
    setattr(tracker, name, callback)
    pipelines = [
        run(each, one_stage({"a": 1, "b": 9}), "a", "b", "c") for each in (tracker, undisturbed)
    ]
    for pipeline in pipelines:
        assert values(pipeline.results) == ["a", "c"]
        assert [result.attempts for result in pipeline.results] == [2, 1]
        assert values(pipeline.failures) == ["b"]
    for item_id in range(3):
        statuses = [event.status for event in tracker.get_history(item_id)]
        assert statuses == [event.status for event in undisturbed.get_history(item_id)]
    (record,) = (record for record in caplog.records if record.exc_info)
    assert "StatusTracker" in record.getMessage()


# What is remembered


@pytest.mark.parametrize("most", [0, 1, 3, 10, None])
def test_at_most_max_history_ended_items_are_remembered(most: int | None) -> None:
    tracker = StatusTracker(max_history=most)
    run(tracker, one_stage({2: 9, 3: 9}), *range(5))
    kept = list(range(5 if most is None else min(most, 5)))
    assert tracker.get_tracked_ids() == [5 - len(kept) + number for number in kept]
    assert (tracker.get_status(0) is None) == (len(kept) < 5)
    assert len(tracker.get_history(4)) == (3 if kept else 0)


def test_items_that_have_not_ended_are_always_remembered() -> None:
    tracker = StatusTracker(max_history=0)
    for item_id in range(5):
        emit(tracker, item_id, "queued")
    emit(tracker, 2, "completed")
    assert tracker.get_tracked_ids() == [0, 1, 3, 4]


def test_the_items_that_ended_first_are_forgotten_first() -> None:
    tracker = StatusTracker(max_history=2)
    for item_id in "abc":
        emit(tracker, item_id, "queued")
    for item_id in "bca":
        emit(tracker, item_id, "completed")
    assert tracker.get_tracked_ids() == ["a", "c"]


def test_the_error_summary_is_about_the_remembered_items() -> None:
    tracker = StatusTracker(max_history=2)
    pipeline = run(tracker, one_stage(dict.fromkeys(range(5), 9)), *range(5))
    assert [item.item_id for item in tracker.get_error_summary().failed_items] == [3, 4]
    assert tracker.get_error_summary().total_failed == 2
    assert pipeline.get_error_summary().total_failed == 5


def test_an_item_that_is_fed_again_is_remembered_until_it_ends_again() -> None:
    tracker = StatusTracker(max_history=1)
    emit(tracker, "a", "queued", "unprocessed")
    emit(tracker, "a", "queued")
    emit(tracker, "b", "queued", "completed")
    assert tracker.get_tracked_ids() == ["a", "b"]
    emit(tracker, "a", "completed")
    assert tracker.get_tracked_ids() == ["a"]
    assert len(tracker.get_history("a")) == 4


def test_an_item_that_ended_twice_counts_from_its_last_end() -> None:
    tracker = StatusTracker(max_history=2)
    for item_id in "abac":
        emit(tracker, item_id, "queued", "completed")
    assert tracker.get_tracked_ids() == ["a", "c"]
    assert [len(tracker.get_history(item_id)) for item_id in "abc"] == [4, 0, 2]


class Counted:
    """An id that counts how often it is compared."""

    compared = 0

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return self is other


def test_a_forgotten_item_leaves_nothing_behind() -> None:
    tracker, alive = StatusTracker(max_history=3), WeakSet[Counted]()

    def items() -> Iterator[dict[str, Any]]:
        for number in range(200):
            alive.add(item_id := Counted())
            yield {"id": item_id, "value": number}

    run(tracker, one_stage(dict.fromkeys(range(0, 200, 2), 9)), *items())
    gc.collect()
    assert len(alive) == 3


def test_the_cost_of_forgetting_does_not_grow_with_max_history() -> None:
    tracker = StatusTracker(max_history=100)
    Counted.compared = 0
    for _ in range(1000):
        emit(tracker, Counted(), "queued", "completed")
    assert len(tracker.get_tracked_ids()) == 100
    assert Counted.compared < 1000


# Ids


def test_an_id_that_fails_twice_has_the_attempts_of_its_last_failure() -> None:
    tracker = StatusTracker()
    run(tracker, one_stage({"a": 9}, task_attempts=3), {"id": "x", "value": "a"})
    run(tracker, one_stage({"b": 9}, task_attempts=2), {"id": "x", "value": "b"})
    (item,) = tracker.get_failed_items()
    assert (item.error, item.attempts) == ("b fails", 2)


@pytest.mark.parametrize("item_id", [None, 0, "", (1, 2), frozenset({1})])
def test_any_id_is_tracked(item_id: Any) -> None:
    tracker = StatusTracker()
    run(tracker, one_stage(), {"id": item_id, "value": 7})
    assert tracker.get_tracked_ids() == [item_id]
    assert len(tracker.get_history(item_id)) == 3


def test_an_id_that_is_not_hashable_is_tracked(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[StatusEvent] = []
    tracker = StatusTracker(seen.append)
    run(tracker, one_stage({"a": 9}), {"id": ["x"], "value": "a"})
    assert [event.item_id for event in seen] == [["x"]] * 3
    status = tracker.get_status(["x"])
    assert status is not None
    assert status.status == "failed"
    assert len(tracker.get_history(["x"])) == 3
    assert tracker.get_failed_items()[0].attempts == 3
    assert [record for record in caplog.records if record.name != "antflow"] == []


# One tracker for several runs


@simulated()
async def test_a_tracker_keeps_its_histories_for_the_next_run() -> None:
    tracker = StatusTracker()
    pipeline = Pipeline(one_stage(), status_tracker=tracker)
    await pipeline.run(["a"])
    await pipeline.run(["a", "b"])
    assert [len(tracker.get_history(item_id)) for item_id in range(2)] == [6, 3]
    runs = [event.run_id for event in tracker.get_history(0)]
    assert len(set(runs[:3])) == len(set(runs[3:])) == 1
    assert runs[0] != runs[3]


@simulated()
async def test_two_pipelines_at_once_may_share_a_tracker_and_its_new_callbacks() -> None:
    gate, recorder = Gate(), Recorder()
    tracker = StatusTracker(recorder.awaited)
    stages = [Stage("Work", 1, [gate, same])]
    pipelines = [Pipeline(stages, status_tracker=tracker, name=name) for name in ("one", "two")]
    items = [[{"id": f"{name} {n}", "value": n} for n in range(5)] for name in ("one", "two")]
    running = asyncio.gather(*map(Pipeline.run, pipelines, items))
    await asyncio.sleep(100)
    tracker.on_task_complete = recorder.awaited
    gate.open()
    await running
    assert tracker.get_stats()["completed"] == 10
    assert len({event.run_id for event in recorder.events}) == 2
    assert Counter(map(kind, recorder.events))["complete"] == 20
    for event in recorder.events:
        assert event.item_id.startswith(event.pipeline)
        assert event.run_id.startswith(f"{event.pipeline}-")


# Subclasses


class Subclass(StatusTracker):
    """A tracker that records the events of three hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[str] = []

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> Any:
        self.kinds.append(event.status)
        return super().antflow_item_status(event)

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> Any:
        self.kinds.append(event.event_type)
        return super().antflow_task_start(event)

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        self.kinds.append(event.event_type)


def test_a_subclass_may_implement_hooks_and_have_callbacks() -> None:
    recorder, tracker = Recorder(), Subclass()
    tracker.on_task_start = recorder.plain
    run(tracker, one_stage(), 7)
    assert tracker.kinds == ["queued", "in_progress", "start", "completed"]
    assert tracker.get_stats()["completed"] == 1
    assert [kind(event) for event in recorder.events] == ["start"]
    tracker.kinds.clear()
    cancel_an_attempt(tracker)
    assert tracker.kinds == ["queued", "in_progress", "start", "cancel", "unprocessed"]


@simulated(tick=0.0)
async def test_an_item_that_fails_between_attempts_has_nothing_of_an_earlier_run() -> None:
    async def fail(value: int) -> int:
        if value == 0:
            raise ValueError("fails")
        await asyncio.sleep(10)
        return value

    def stages(**options: Any) -> list[Stage]:
        return [Stage("Work", 1, [fail], **options)]

    tracker = StatusTracker()
    await Pipeline(stages(task_attempts=2, retry_wait=0), status_tracker=tracker).run([0])
    (failed,) = tracker.get_failed_items()
    assert (failed.attempts, (failed.location or "").endswith("in fail")) == (2, True)
    timed = stages(task_attempts=2, retry_wait=1, item_timeout=5)
    await Pipeline(timed, status_tracker=tracker).run([0, 1])
    late = next(item for item in tracker.get_failed_items() if item.item_id == 0)
    assert (late.error_type, late.attempts, late.location) == ("ItemTimeoutError", 1, None)
