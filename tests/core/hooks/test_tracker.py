"""StatusTracker: what it remembers, what it answers, and when it calls back."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, get_args
from weakref import ref

import pytest

from antflow import Pipeline, PipelineError, Stage, StatusEvent, StatusTracker, TaskEvent, hookimpl
from antflow.events import StatusType
from tests.helpers.observers import observe
from tests.helpers.runs import cancel, same
from tests.helpers.virtual_time import Gate, begun, settle, simulate

STATUSES = get_args(StatusType)
CALLBACKS = {
    "on_status_change": "queued",
    "on_task_start": "start",
    "on_task_complete": "complete",
    "on_task_retry": "retry",
    "on_task_fail": "fail",
}


class Failing:
    """A task that fails for some values, as often as they say."""

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


def tell(tracker: StatusTracker, item_id: Any, *statuses: Any) -> None:
    """Tell a tracker by hand what happens to an item; the last status is its final one."""
    for place, status in enumerate(statuses, 1):
        is_last = place == len(statuses)
        event = StatusEvent(item_id, "Work", status, None, float(place), final=is_last)
        tracker.antflow_item_status(event)


def begin(tracker: StatusTracker, item_id: Any) -> None:
    """Tell a tracker by hand that an item is queued, and that more will follow."""
    tracker.antflow_item_status(StatusEvent(item_id, "Work", "queued", None, 0.0))


# What it is made of


@pytest.mark.parametrize("max_history", [-1, 1.5, "3", True, float("inf")])
def test_a_max_history_that_is_no_number_of_items_is_refused(max_history: Any) -> None:
    with pytest.raises(ValueError, match=r"max_history is .*; give the number of items"):
        StatusTracker(max_history=max_history)


@pytest.mark.parametrize("max_history", [None, 0, 1, 10_000])
def test_a_max_history_may_be_none_or_any_number(max_history: int | None) -> None:
    assert StatusTracker(max_history=max_history).max_history == max_history


def test_max_history_is_given_by_name_only() -> None:
    with pytest.raises(TypeError):
        StatusTracker(None, None, None, None, None, 5)  # type: ignore[call-arg]


def test_callbacks_are_given_in_order_or_by_name() -> None:
    functions = [Recorder().plain for _ in CALLBACKS]
    by_place = StatusTracker(*functions)
    by_name = StatusTracker(**dict(zip(CALLBACKS, functions, strict=True)))  # type: ignore[arg-type]
    for name, function in zip(CALLBACKS, functions, strict=True):
        assert getattr(by_place, name) == getattr(by_name, name) == function
        assert getattr(StatusTracker(), name) is None


def test_a_pipeline_takes_nothing_else_as_its_tracker() -> None:
    with pytest.raises(PipelineError, match="give a StatusTracker"):
        Pipeline(one_stage(), status_tracker=print)  # type: ignore[arg-type]


# What it answers


def test_an_unused_tracker_knows_nothing() -> None:
    tracker = StatusTracker()
    assert tracker.get_status("x") is None
    assert tracker.get_tracked_ids() == []
    assert tracker.get_by_status("failed") == []
    assert tracker.get_history("x") == []
    assert tracker.get_failed_items() == []
    assert str(tracker.get_error_summary()) == "No errors occurred"


def test_the_statistics_have_every_status() -> None:
    assert StatusTracker().get_stats() == dict.fromkeys(STATUSES, 0)
    assert set(STATUSES) >= {"queued", "in_progress", "completed", "failed", "retrying", "skipped"}


def test_the_statistics_count_what_items_are_now() -> None:
    tracker = StatusTracker()
    stages = one_stage({"a": 9, "b": 1}, skip_if=lambda value: value == "c")
    run(tracker, stages, "a", "b", "c", "d", "e")
    expected = dict.fromkeys(STATUSES, 0) | {"failed": 1, "completed": 3, "skipped": 1}
    assert tracker.get_stats() == expected


def test_the_status_is_that_of_the_latest_event() -> None:
    seen: list[StatusEvent] = []
    tracker = StatusTracker(seen.append)
    run(tracker, one_stage(), {"id": "x", "value": 7})
    status = tracker.get_status("x")
    assert status == seen[-1]
    assert (status.item_id, status.status, status.worker) == ("x", "completed", "Work-W0")


def test_the_status_can_be_asked_for_while_the_item_is_on_its_way() -> None:
    gate, tracker = Gate(), StatusTracker()

    def status(item_id: int) -> str | None:
        event = tracker.get_status(item_id)
        return None if event is None else event.status

    async def main() -> None:
        running = asyncio.create_task(
            Pipeline([Stage("Work", 1, [gate])], status_tracker=tracker).run([0, 1])
        )
        await settle()
        assert [status(item_id) for item_id in range(3)] == ["in_progress", "queued", None]
        assert tracker.get_stats()["in_progress"] == tracker.get_stats()["queued"] == 1
        gate.open()
        await running
        assert [status(item_id) for item_id in range(3)] == ["completed", "completed", None]

    simulate(main)


def test_ids_are_in_the_order_in_which_they_were_first_seen() -> None:
    tracker = StatusTracker()
    run(tracker, one_stage(), *({"id": name} for name in "cab"))
    assert tracker.get_tracked_ids() == ["c", "a", "b"]


def test_ids_that_are_returned_are_the_caller_s_own() -> None:
    tracker = StatusTracker()
    tell(tracker, "x", "queued", "completed")
    tracker.get_tracked_ids().clear()
    tracker.get_history("x").clear()
    assert tracker.get_tracked_ids() == ["x"]
    assert len(tracker.get_history("x")) == 2


def test_items_are_found_by_what_they_are_now() -> None:
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
        told = [event for event in seen if event.item_id == item_id]
        assert tracker.get_history(item_id) == told
    assert [event.status for event in tracker.get_history(0)] == [
        "queued",
        "in_progress",
        "retrying",
        "in_progress",
        "completed",
        "queued",
        "in_progress",
        "completed",
    ]


def test_a_history_keeps_what_the_events_said() -> None:
    tracker = StatusTracker()
    pipeline = run(tracker, one_stage({"a": 9}), "a")
    event = tracker.get_history(0)[-1]
    assert event.metadata == {"error": "a fails", "error_type": "ValueError"}
    assert (event.stage, event.worker, event.worker_id) == ("Work", "Work-W0", 0)
    assert (event.pipeline, event.final) == (pipeline.name, True)
    assert event.run_id.startswith("pipeline-")


def test_events_of_a_history_have_no_item() -> None:
    tracker = StatusTracker(lambda event: event.item.id)
    run(tracker, one_stage(), 7)
    for event in (*tracker.get_history(0), tracker.get_status(0), *tracker.get_by_status("failed")):
        assert event is not None
        with pytest.raises(LookupError, match="history"):
            event.item  # noqa: B018 - to read it is what raises


def test_a_tracker_does_not_keep_the_values() -> None:
    class Value:
        pass

    async def main() -> None:
        tracker, value = StatusTracker(), Value()
        kept = ref(value)
        pipeline = Pipeline([Stage("Work", 1, [same])], False, tracker)
        await pipeline.run([value])
        del value, pipeline
        await settle()
        gc.collect()
        assert tracker.get_tracked_ids() == [0]
        assert kept() is None

    simulate(main)


def test_a_tracker_does_not_keep_a_run() -> None:
    tracker, task = StatusTracker(), Failing({})
    kept = ref(task)
    run(tracker, [Stage("Work", 1, [task])], "a")
    del task
    gc.collect()
    assert kept() is None
    tracker.on_task_start = print  # and nothing happens


def test_a_tracker_is_up_to_date_when_its_callback_is_called() -> None:
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
def test_failed_items_say_how_many_attempts_were_made(
    fields: dict[str, Any], attempts: int
) -> None:
    tracker = StatusTracker()
    pipeline = run(tracker, one_stage({"a": 9}, **fields), {"id": "x", "value": "a"}, "b")
    (item,) = tracker.get_failed_items()
    assert (item.item_id, item.stage, item.attempts) == ("x", "Work", attempts)
    assert (item.error, item.error_type) == ("a fails", "ValueError")
    event = tracker.get_status("x")
    assert event is not None
    assert item.timestamp == event.timestamp
    assert item.attempts == pipeline.failures[0].attempts


def test_attempts_are_those_of_the_task_that_failed() -> None:
    tracker = StatusTracker()
    tasks = [Failing({"a": 2}), Failing({"a": 9})]
    stages = [
        Stage("First", 1, [Failing({"a": 1})], task_wait_seconds=0),
        Stage("Last", 1, tasks, task_attempts=3, task_wait_seconds=0),
    ]
    run(tracker, stages, "a")
    (item,) = tracker.get_failed_items()
    assert (item.stage, item.attempts) == ("Last", 3)


def test_a_task_that_cancels_itself_has_made_one_attempt() -> None:
    async def give_up(value: int) -> None:
        raise asyncio.CancelledError

    tracker = StatusTracker()
    run(tracker, [Stage("Work", 1, [give_up])], 7)
    (item,) = tracker.get_failed_items()
    assert (item.error_type, item.attempts) == ("CancelledError", 1)


def test_attempts_are_noted_whether_or_not_a_callback_is_set_or_raises() -> None:
    def fail(event: TaskEvent) -> None:
        raise KeyError

    for tracker in (StatusTracker(), StatusTracker(on_task_fail=fail)):
        run(tracker, one_stage({"a": 9}, task_attempts=3), "a")
        assert tracker.get_failed_items()[0].attempts == 3


def test_items_that_were_tried_again_and_succeeded_have_not_failed() -> None:
    tracker = StatusTracker()
    run(tracker, one_stage({"a": 2}), "a")
    assert tracker.get_error_summary().total_failed == 0


def test_unprocessed_items_have_not_failed() -> None:
    tracker = StatusTracker()

    async def main() -> None:
        pipeline = Pipeline(one_stage(), status_tracker=tracker)
        await pipeline.feed(range(3))
        await pipeline.shutdown()

    simulate(main)
    assert tracker.get_stats() == dict.fromkeys(STATUSES, 0) | {"unprocessed": 3}
    assert tracker.get_failed_items() == []


# Callbacks


class Recorder:
    """A callback in each shape that a function may have."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def plain(self, event: Any) -> None:
        self.events.append(event)

    async def awaited(self, event: Any) -> None:
        await asyncio.sleep(1)
        self.events.append(event)

    def returns_an_awaitable(self, event: Any) -> Awaitable[None]:
        return self.awaited(event)

    def starts_a_task(self, event: Any) -> Awaitable[None]:
        return asyncio.create_task(self.awaited(event))


SHAPES = ["plain", "awaited", "returns_an_awaitable", "starts_a_task"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", list(CALLBACKS))
def test_each_callback_gets_its_kind_of_event(shape: str, name: str) -> None:
    recorder, tracker = Recorder(), StatusTracker()
    setattr(tracker, name, getattr(recorder, shape))
    run(tracker, one_stage({"a": 1, "b": 9}), "a", "b")
    kinds = Counter(kind(event) for event in recorder.events)
    if name == "on_status_change":
        assert kinds == {"queued": 2, "in_progress": 2, "completed": 1, "failed": 1}
    else:
        assert kinds == {
            CALLBACKS[name]: {"start": 5, "complete": 1, "retry": 3, "fail": 1}[CALLBACKS[name]]
        }


@pytest.mark.parametrize("shape", SHAPES)
def test_a_callback_is_waited_for(shape: str) -> None:
    recorder = Recorder()
    seen: list[int] = []

    async def task(value: int) -> int:
        seen.append(len(recorder.events))
        return value

    run(StatusTracker(on_task_start=getattr(recorder, shape)), [Stage("Work", 1, [task])], 1, 2)
    assert seen == [1, 2]


def test_the_callback_for_failures_is_not_called_for_what_is_tried_again() -> None:
    failed: list[TaskEvent] = []
    run(StatusTracker(on_task_fail=failed.append), one_stage({"a": 2}), "a")
    assert failed == []


def cancel_an_attempt(tracker: StatusTracker) -> None:
    """Run an item, and cancel the run while its task waits."""

    async def main() -> None:
        running = await begun(
            Pipeline([Stage("Work", 1, [Gate()])], status_tracker=tracker).run([7])
        )
        await cancel(running)

    simulate(main)


def test_a_cancelled_attempt_calls_no_callback_but_that_of_the_start() -> None:
    recorder = Recorder()
    tracker = StatusTracker(None, *[recorder.plain] * 4)

    cancel_an_attempt(tracker)
    assert [kind(event) for event in recorder.events] == ["start"]


@pytest.mark.parametrize("name", list(CALLBACKS))
def test_a_callback_may_be_set_after_the_pipeline_is_made(name: str) -> None:
    recorder, tracker = Recorder(), StatusTracker()
    pipeline = Pipeline(one_stage({"a": 1, "b": 9}), status_tracker=tracker)
    setattr(tracker, name, recorder.plain)
    simulate(lambda: pipeline.run(["a", "b"]))
    assert CALLBACKS[name] in {kind(event) for event in recorder.events}


def held_run(tracker: StatusTracker, change: Callable[[], None]) -> None:
    """Run two items, and change the tracker while the first is held by a task."""
    gate, first = Gate(), Failing({"a": 1, "b": 9})

    async def main() -> None:
        stage = Stage("Work", 1, [gate, first], task_wait_seconds=0)
        running = await begun(Pipeline([stage], status_tracker=tracker).run(["a", "b"]))
        change()
        gate.open()
        await running

    simulate(main)


@pytest.mark.parametrize("name", list(CALLBACKS))
def test_a_callback_may_be_set_while_items_are_on_their_way(name: str) -> None:
    recorder, tracker = Recorder(), StatusTracker()
    held_run(tracker, lambda: setattr(tracker, name, recorder.plain))
    kinds = Counter(kind(event) for event in recorder.events)
    assert (
        kinds
        == {
            "on_status_change": {"completed": 1, "in_progress": 1, "failed": 1},
            "on_task_start": {"start": 6},
            "on_task_complete": {"complete": 3},
            "on_task_retry": {"retry": 3},
            "on_task_fail": {"fail": 1},
        }[name]
    )


@pytest.mark.parametrize("name", list(CALLBACKS))
def test_a_callback_may_be_removed_while_items_are_on_their_way(name: str) -> None:
    recorder, tracker = Recorder(), StatusTracker()
    setattr(tracker, name, recorder.plain)
    held_run(tracker, lambda: setattr(tracker, name, None))
    kinds = [kind(event) for event in recorder.events]
    assert kinds == {
        "on_status_change": ["queued", "queued", "in_progress"],
        "on_task_start": ["start"],
    }.get(name, [])


@pytest.mark.parametrize("name", list(CALLBACKS))
def test_a_callback_may_be_replaced_while_items_are_on_their_way(name: str) -> None:
    before, after, tracker = Recorder(), Recorder(), StatusTracker()
    setattr(tracker, name, before.plain)
    held_run(tracker, lambda: setattr(tracker, name, after.plain))
    assert len(before.events) == {"on_status_change": 3, "on_task_start": 1}.get(name, 0)
    assert after.events


def test_a_callback_may_remove_itself() -> None:
    seen: list[str] = []

    def once(event: TaskEvent) -> None:
        seen.append(event.event_type)
        tracker.on_task_start = None

    tracker = StatusTracker(on_task_start=once)
    run(tracker, one_stage(), 1, 2, 3)
    assert seen == ["start"]


def test_a_callback_that_is_removed_while_the_event_is_told_is_not_called() -> None:
    seen: list[str] = []

    def remove(event: TaskEvent) -> None:
        second.on_task_start = None

    first = StatusTracker(on_task_start=remove)
    second = StatusTracker(on_task_start=lambda event: seen.append(event.event_type))

    async def main() -> None:
        pipeline = Pipeline(one_stage())
        observe(pipeline, first, second)
        await pipeline.run([1])

    simulate(main)
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
        assert [result.value for result in pipeline.results] == ["a", "c"]
        assert [result.attempts for result in pipeline.results] == [2, 1]
        assert [failure.value for failure in pipeline.failures] == ["b"]
    for item_id in range(3):
        statuses = [event.status for event in tracker.get_history(item_id)]
        assert statuses == [event.status for event in undisturbed.get_history(item_id)]
    (record,) = (record for record in caplog.records if record.exc_info)
    assert "StatusTracker" in record.getMessage()


# What is remembered


def test_by_default_everything_is_remembered() -> None:
    tracker = StatusTracker()
    run(tracker, one_stage(), *range(500))
    assert tracker.get_tracked_ids() == list(range(500))


@pytest.mark.parametrize("most", [0, 1, 3, 10])
def test_so_many_items_that_have_ended_are_remembered(most: int) -> None:
    tracker = StatusTracker(max_history=most)
    run(tracker, one_stage({2: 9, 3: 9}), *range(5))
    assert tracker.get_tracked_ids() == list(range(5))[max(0, 5 - most) :]
    assert tracker.get_status(0) is None or most >= 5
    assert len(tracker.get_history(4)) == (3 if most else 0)


def test_what_has_not_ended_is_never_forgotten() -> None:
    tracker = StatusTracker(max_history=0)
    for item_id in range(5):
        begin(tracker, item_id)
    tell(tracker, 2, "completed")
    assert tracker.get_tracked_ids() == [0, 1, 3, 4]


def test_those_that_ended_first_are_forgotten_first() -> None:
    tracker = StatusTracker(max_history=2)
    for item_id in "abc":
        begin(tracker, item_id)
    for item_id in "bca":
        tell(tracker, item_id, "completed")
    assert tracker.get_tracked_ids() == ["a", "c"]


def test_the_error_summary_is_that_of_what_is_remembered() -> None:
    tracker = StatusTracker(max_history=2)
    pipeline = run(tracker, one_stage(dict.fromkeys(range(5), 9)), *range(5))
    assert [item.item_id for item in tracker.get_error_summary().failed_items] == [3, 4]
    assert tracker.get_error_summary().total_failed == 2
    assert pipeline.get_error_summary().total_failed == 5


def test_an_item_that_is_fed_again_is_not_forgotten_before_it_ends_again() -> None:
    tracker = StatusTracker(max_history=1)
    tell(tracker, "a", "queued", "unprocessed")
    begin(tracker, "a")
    tell(tracker, "b", "queued", "completed")
    assert tracker.get_tracked_ids() == ["a", "b"]
    tell(tracker, "a", "completed")
    assert tracker.get_tracked_ids() == ["a"]
    assert len(tracker.get_history("a")) == 4


def test_an_item_that_ended_twice_is_remembered_as_of_its_last_end() -> None:
    tracker = StatusTracker(max_history=2)
    for item_id in "abac":
        tell(tracker, item_id, "queued", "completed")
    assert tracker.get_tracked_ids() == ["a", "c"]
    assert [len(tracker.get_history(item_id)) for item_id in "abc"] == [4, 0, 2]


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    tracker = StatusTracker(max_history=3)
    run(tracker, one_stage(dict.fromkeys(range(0, 200, 2), 9)), *range(200))
    for remembered in (tracker._histories, tracker._attempts, tracker._ended):
        assert len(remembered) <= 3


class Counted:
    """An id that counts how often it is compared."""

    compared = 0

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return self is other


def test_to_forget_costs_the_same_however_much_is_remembered() -> None:
    tracker = StatusTracker(max_history=100)
    Counted.compared = 0
    for _ in range(1000):
        tell(tracker, Counted(), "queued", "completed")
    assert len(tracker.get_tracked_ids()) == 100
    assert Counted.compared < 1000


# Ids


def test_an_id_that_is_used_twice_has_one_history() -> None:
    tracker = StatusTracker()
    run(tracker, one_stage({"b": 9}), {"id": "x", "value": "a"}, {"id": "x", "value": "b"})
    assert tracker.get_tracked_ids() == ["x"]
    assert Counter(event.status for event in tracker.get_history("x")) == {
        "queued": 2,
        "in_progress": 2,
        "completed": 1,
        "failed": 1,
    }
    status = tracker.get_status("x")
    assert status is not None
    assert status.status == "failed"
    assert tracker.get_stats() == dict.fromkeys(STATUSES, 0) | {"failed": 1}


def test_an_id_that_fails_twice_has_the_attempts_of_the_last_time() -> None:
    tracker = StatusTracker()
    run(tracker, one_stage({"a": 9}, task_attempts=3), {"id": "x", "value": "a"})
    run(tracker, one_stage({"b": 9}, task_attempts=2), {"id": "x", "value": "b"})
    (item,) = tracker.get_failed_items()
    assert (item.error, item.attempts) == ("b fails", 2)


@pytest.mark.parametrize("item_id", [None, 0, "", (1, 2), 1.5, frozenset({1}), "x"])
def test_any_id_is_tracked(item_id: Any) -> None:
    tracker = StatusTracker()
    run(tracker, one_stage(), {"id": item_id, "value": 7})
    assert tracker.get_tracked_ids() == [item_id]
    assert len(tracker.get_history(item_id)) == 3


def test_an_id_that_is_no_key_is_tracked_too(caplog: pytest.LogCaptureFixture) -> None:
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


def test_a_tracker_goes_on_in_the_next_run() -> None:
    tracker = StatusTracker()

    async def main() -> None:
        pipeline = Pipeline(one_stage(), status_tracker=tracker)
        await pipeline.run(["a"])
        await pipeline.run(["a", "b"])

    simulate(main)
    assert [len(tracker.get_history(item_id)) for item_id in range(2)] == [6, 3]
    runs = [event.run_id for event in tracker.get_history(0)]
    assert len(set(runs[:3])) == len(set(runs[3:])) == 1
    assert runs[0] != runs[3]


def test_an_item_that_is_fed_again_has_one_history() -> None:
    tracker = StatusTracker()

    async def main() -> None:
        pipeline = Pipeline(one_stage(), status_tracker=tracker)
        await pipeline.feed([{"id": "x", "value": 7}])
        left = await pipeline.shutdown()
        await pipeline.feed(left)
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    assert [(event.status, event.final) for event in tracker.get_history("x")] == [
        ("queued", False),
        ("unprocessed", True),
        ("queued", False),
        ("in_progress", False),
        ("completed", True),
    ]


def test_two_pipelines_at_once_may_share_a_tracker() -> None:
    recorder = Recorder()
    tracker = StatusTracker(recorder.awaited, on_task_start=recorder.awaited)

    async def main() -> None:
        pipelines = [
            Pipeline(one_stage(), status_tracker=tracker, name=name) for name in ("one", "two")
        ]
        items = [[{"id": f"{name} {n}", "value": n} for n in range(5)] for name in ("one", "two")]
        await asyncio.gather(*map(Pipeline.run, pipelines, items))

    simulate(main)
    assert tracker.get_stats()["completed"] == 10
    assert len({event.run_id for event in recorder.events}) == 2
    for event in recorder.events:
        assert event.item_id.startswith(event.pipeline)
        assert event.run_id.startswith(f"{event.pipeline}-")


def test_two_pipelines_learn_of_a_callback_that_is_set_later() -> None:
    gate, recorder, tracker = Gate(), Recorder(), StatusTracker()

    async def main() -> None:
        stages = [Stage("Work", 1, [gate, same])]
        running = [
            asyncio.create_task(Pipeline(stages, status_tracker=tracker, name=name).run([name]))
            for name in ("one", "two")
        ]
        await settle()
        tracker.on_task_start = recorder.plain
        gate.open()
        await asyncio.gather(*running)

    simulate(main)
    assert sorted(event.pipeline for event in recorder.events) == ["one", "two"]


# Subclasses


class Subclass(StatusTracker):
    """A tracker that listens to more, or otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> Any:
        self.heard.append(event.status)
        return super().antflow_item_status(event)

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> Any:
        self.heard.append(event.event_type)
        return super().antflow_task_start(event)

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        self.heard.append(event.event_type)


def test_a_subclass_may_listen_in_its_own_way() -> None:
    tracker = Subclass()
    run(tracker, one_stage(), 7)
    assert tracker.heard == ["queued", "in_progress", "start", "completed"]
    assert tracker.get_stats()["completed"] == 1


def test_a_subclass_may_have_callbacks_besides() -> None:
    recorder, tracker = Recorder(), Subclass()
    tracker.on_task_start = recorder.plain
    run(tracker, one_stage(), 7)
    assert "start" in tracker.heard
    assert [kind(event) for event in recorder.events] == ["start"]


def test_a_subclass_may_listen_to_hooks_that_have_no_callback() -> None:
    tracker = Subclass()

    cancel_an_attempt(tracker)
    assert tracker.heard == ["queued", "in_progress", "start", "cancel", "unprocessed"]
