"""What an event contains: its fields, and a view of its item."""

from __future__ import annotations

import asyncio
from itertools import groupby
from time import time
from typing import Any

import pytest

from antflow import PipelineResult, Stage, StatusEvent, TaskEvent, current_item
from antflow.events import ItemView
from tests.helpers.events import (
    LONG,
    Chain,
    Event,
    Stop,
    Task,
    Watcher,
    cancel,
    run,
    short,
    watched,
)
from tests.helpers.runs import Failing, double, same
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import simulate


def status_event(worker: str | None = "Work-W0") -> StatusEvent:
    return StatusEvent("x", "Work", "in_progress", worker, 5.0)


def task_event() -> TaskEvent:
    return TaskEvent("x", "Work", "task", "Work-W0", "start", 1, 5.0)


def fed_item(**metadata: Any) -> PipelineResult:
    """Return an item as a run makes it."""
    made = PipelineResult("x", 7, 3, metadata)
    made.priority = 50
    return made


# Names, times and workers


@simulated()
async def test_all_events_name_the_pipeline_and_the_run(watcher: Watcher, chain: Chain) -> None:
    pipeline = watched(chain.stages(Failing(1)), watcher, name="mine")
    for _ in range(2):
        await pipeline.run(range(3))
        assert pipeline.get_stats().run_id == watcher.events[-1].run_id
    assert {event.pipeline for event in watcher.events} == {"mine"}
    ids = [run_id for run_id, _ in groupby(event.run_id for event in watcher.events)]
    assert len(ids) == len(set(ids)) == 2


def test_timestamps_are_unix_times_and_do_not_fall(watcher: Watcher, chain: Chain) -> None:
    before = time()
    run(watcher, chain.stages(Failing(1)))
    stamps = [event.timestamp for event in watcher.events]
    assert before <= stamps[0] <= stamps[-1] <= time()
    assert stamps == sorted(stamps)


def test_events_name_the_worker_unless_the_item_is_queued(watcher: Watcher, chain: Chain) -> None:
    run(watcher, chain.stages(Failing(1), retry="per_stage"))
    for event in watcher.events:
        is_queued = isinstance(event, StatusEvent) and event.status == "queued"
        assert event.worker == (None if is_queued else f"{event.stage}-W0")


@pytest.mark.parametrize(
    ("worker", "number"),
    [
        ("Work-W0", 0),
        ("Work-W12", 12),
        ("Odd-W1-Name-W3", 3),
        ("-W5", 5),
        *((name, None) for name in (None, "", "Work", "7", "Work-W", "Work-Wx", "Work-W-1")),
        *((name, None) for name in ("Work-W1.5", "Work-W²")),
    ],
)
def test_worker_id_is_the_number_at_the_end_of_the_name(
    worker: str | None, number: int | None
) -> None:
    assert status_event(worker).worker_id == number


def test_the_workers_of_a_stage_are_numbered() -> None:
    watcher = Watcher()
    run(watcher, [Stage("A-W9", 3, [Task(lambda value: asyncio.sleep(1))])], range(9))
    seen = {(event.worker, event.worker_id) for event in watcher.statuses()}
    assert seen == {(None, None), ("A-W9-W0", 0), ("A-W9-W1", 1), ("A-W9-W2", 2)}


# Errors


def test_a_failure_has_the_error_in_its_metadata(watcher: Watcher, chain: Chain) -> None:
    run(watcher, chain.stages(Failing(9), task_attempts=2))
    *earlier, last = watcher.statuses()
    assert last.metadata == {"error": "0, attempt 2", "error_type": "ValueError"}
    assert all(event.metadata == {} for event in earlier)


def test_a_failure_whose_text_raises_has_the_type_of_the_error(watcher: Watcher) -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise KeyError

    async def fail(value: int) -> None:
        raise Silent

    run(watcher, [Stage("A", 1, [fail], task_attempts=1)])
    assert watcher.statuses()[-1].metadata["error_type"] == "Silent"


def test_retrying_has_the_next_attempt_and_the_error(watcher: Watcher, chain: Chain) -> None:
    run(watcher, chain.stages(Failing(2), retry="per_stage"))
    metadata = [event.metadata for event in watcher.statuses() if event.metadata]
    assert metadata == [
        {"attempt": 2, "retry": True, "error": "0, attempt 1", "error_type": "ValueError"},
        {"attempt": 3, "retry": True, "error": "0, attempt 2", "error_type": "ValueError"},
    ]


@pytest.mark.parametrize(("retry", "delay"), [("per_task", 30.0), ("per_stage", 0.0)])
def test_attempts_have_their_error_and_the_delay_until_the_next(
    watcher: Watcher, retry: Any, delay: float
) -> None:
    errors = [ValueError(1), KeyError(2)]

    async def task(value: int) -> int:
        item = current_item()
        assert item is not None
        if item.attempt <= value:
            raise errors[item.attempt - 1]
        return value

    stage = Stage("A", 1, [task], retry, 2, task_wait_seconds=30, stage_attempts=2)
    run(watcher, [stage], [1, 2])
    for item_id, last in ((0, ("complete", None, None)), (1, ("fail", errors[1], None))):
        attempts = [event for event in watcher.attempts() if event.item_id == item_id]
        assert [(event.event_type, event.error, event.delay) for event in attempts] == [
            ("start", None, None),
            ("retry", errors[0], delay),
            ("start", None, None),
            last,
        ]


# Durations and waits


def test_a_duration_is_that_of_the_function_alone(watcher: Watcher, chain: Chain) -> None:
    calls = Failing(2)

    async def take_five_seconds(value: int) -> Any:
        await asyncio.sleep(5)
        return await calls(value)

    pipeline = run(watcher, chain.stages(Task(take_five_seconds)), tick=0.0)
    ends = [event for event in watcher.attempts() if event.event_type != "start"]
    took = [5.0 if event.task_name == "task" else 0.0 for event in ends]
    assert [event.duration for event in ends] == pytest.approx(took)
    assert {event.duration for event in watcher.attempts("start")} == {None}
    counted = pipeline.get_stats().stage_stats[chain.name].tasks["task"].duration
    assert counted.count == 3
    assert counted.sum == pytest.approx(15)


@simulated(tick=0.0)
async def test_the_duration_of_a_cancelled_attempt_ends_with_it(stop: Stop) -> None:
    _, running = await stop.running()
    await cancel(running)
    (event,) = stop.watcher.attempts("cancel")
    assert event.duration is not None
    assert LONG - 20 < event.duration <= LONG


@pytest.mark.parametrize(
    ("failures", "waits"),
    [(0, [50, 50]), (1, [50, 50, 0, 0])],
    ids=["first attempt", "retry of the stage"],
)
@simulated(tick=0.0)
async def test_queue_wait_is_the_time_in_front_of_the_stage(
    watcher: Watcher, failures: int, waits: list[float]
) -> None:
    pipeline = watched([Stage("A", 1, [Failing(failures)], "per_stage")], watcher)
    await pipeline.feed([0])
    await asyncio.sleep(50)
    await pipeline.start()
    await pipeline.join()
    assert [event.queue_wait for event in watcher.attempts()] == pytest.approx(waits)


def test_queue_wait_does_not_include_earlier_stages(watcher: Watcher) -> None:
    stages = [Stage(name, 1, [Task(lambda value: asyncio.sleep(10))]) for name in "AB"]
    run(watcher, stages, tick=0.0)
    assert max(event.queue_wait for event in watcher.attempts()) <= 1.0


# The item of an event


class Reader(Watcher):
    """Records the value of the item at each event of a stage."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, Any]] = []
        self._stage = stage

    def record(self, event: Event) -> None:
        if event.stage == self._stage:
            self.seen.append((short(event).split()[0], event.item.value))


def test_the_value_is_what_entered_the_stage_until_it_is_completed(chain: Chain) -> None:
    reader = Reader(chain.name)
    run(reader, chain.stages(double, double), [7])
    assert reader.seen == [
        ("queued", 7),
        ("in_progress", 7),
        *[("start", 7), ("complete", 7)] * 2,
        ("completed", 28),
    ]
    failed = Reader(chain.name)
    run(failed, chain.stages(double, Failing(9), task_attempts=1), [7])
    assert failed.seen[-1] == ("failed", 7)


def test_the_item_of_an_event_is_the_one_that_was_fed() -> None:
    kept: list[ItemView] = []

    class Keeper(Watcher):
        def record(self, event: Event) -> None:
            kept.append(event.item)

    run(Keeper(), [Stage("A", 1, [same])], [{"id": "x", "value": 7, "size": "L"}, 8])
    seen = {(view.id, view.value, view.sequence_id, view.priority) for view in kept}
    assert seen == {("x", 7, 0, 100), (1, 8, 1, 100)}
    assert [dict(view.metadata) for view in kept if view.id == "x"] == [{"size": "L"}] * 5


def test_later_events_show_the_metadata_that_a_task_sets() -> None:
    seen: list[dict[str, Any]] = []

    class Keeper(Watcher):
        def record(self, event: Event) -> None:
            seen.append(dict(event.item.metadata))

    async def task(value: int) -> int:
        item = current_item()
        assert item is not None
        item.metadata["pages"] = 3
        return value

    run(Keeper(), [Stage("Work", 1, [task])])
    assert seen == [{}, {}, {}, {"pages": 3}, {"pages": 3}]


def test_a_view_shows_the_item_as_it_is_now() -> None:
    item = fed_item(size="L")
    view = ItemView(item)
    assert (view.id, view.value, view.sequence_id, view.priority) == ("x", 7, 3, 50)
    assert repr(view) == "ItemView(id='x', value=7, sequence_id=3)"
    item.value = 8
    item.metadata["color"] = "red"
    assert view.value == 8
    assert view.metadata == {"size": "L", "color": "red"}


@pytest.mark.parametrize(
    "name", ["id", "value", "metadata", "priority", "sequence_id", "carrier", "another"]
)
def test_a_view_is_read_only(name: str) -> None:
    view = ItemView(fed_item())
    with pytest.raises(AttributeError):
        setattr(view, name, "other")
    with pytest.raises(AttributeError):
        delattr(view, name)


def test_the_metadata_of_a_view_is_read_only() -> None:
    metadata: Any = ItemView(fed_item(size="L")).metadata
    with pytest.raises(TypeError):
        metadata["size"] = "S"
    with pytest.raises(TypeError):
        del metadata["size"]


def test_the_carrier_of_a_view_belongs_to_the_item() -> None:
    item = fed_item()
    ItemView(item).carrier["trace"] = "t"
    assert ItemView(item).carrier == item.carrier == {"trace": "t"}
    assert item.metadata == {}


@pytest.mark.parametrize("event", [status_event(), task_event()])
def test_an_event_made_by_hand_has_no_item_until_it_is_given_one(event: Event) -> None:
    with pytest.raises(LookupError, match="made by hand"):
        event.item  # noqa: B018 - to read it is what raises
    assert event.about(fed_item()) is event
    assert event.item.id == "x"


def test_events_are_compared_and_shown_without_their_item() -> None:
    assert status_event() == status_event().about(fed_item())
    assert task_event() == task_event().about(fed_item())
    assert status_event() != status_event("Work-W1")
    assert "_item" not in repr(status_event().about(fed_item()))


# The carrier


class Tracer(Watcher):
    """Sets a text in the carrier at the first attempt, and records it at each later event."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str | None]] = []

    def record(self, event: Event) -> None:
        self.seen.append((short(event), event.item.carrier.get("trace")))
        if isinstance(event, TaskEvent):
            event.item.carrier.setdefault("trace", f"{event.item_id} {short(event)}")


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_an_item_keeps_its_carrier_in_all_stages_and_attempts(retry: Any) -> None:
    tracer = Tracer()
    tasks = [Failing(1), Failing(1)]
    stages = [
        Stage(name, 1, [task], retry, task_wait_seconds=0)
        for name, task in zip("AB", tasks, strict=True)
    ]
    simulate(watched(stages, tracer).run([7]))
    first = [text for text, _ in tracer.seen].index("start A.task 1")
    assert {trace for _, trace in tracer.seen[: first + 1]} == {None}
    assert {trace for _, trace in tracer.seen[first + 1 :]} == {"0 start A.task 1"}


def test_tasks_see_the_carrier_and_each_item_has_its_own() -> None:
    async def task(value: int) -> str:
        item = current_item()
        assert item is not None
        return item.carrier["trace"]

    async def main() -> list[Any]:
        pipeline = watched([Stage("A", 2, [task])], Tracer())
        return [result.value for result in await pipeline.run(range(3))]

    assert simulate(main) == [f"{number} start A.task 1" for number in range(3)]
