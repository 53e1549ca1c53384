"""What observers receive: two kinds of event, and the item of each, to be read."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import pytest

from antflow import (
    Pipeline,
    PipelineResult,
    Stage,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    current_item,
)
from antflow.events import ItemView, StatusType, TaskEventType
from tests.helpers.runs import same
from tests.helpers.virtual_time import simulate

READ_ONLY = ["id", "value", "metadata", "priority", "sequence_id", "carrier"]


def status_event(worker: str | None = "Work-W0") -> StatusEvent:
    return StatusEvent("x", "Work", "in_progress", worker, 5.0)


def task_event() -> TaskEvent:
    return TaskEvent("x", "Work", "task", "Work-W0", "start", 1, 5.0)


def fed_item(**metadata: Any) -> PipelineResult:
    """Return an item as a run makes it."""
    made = PipelineResult("x", 7, 3, metadata)
    made.priority = 50
    return made


def run(tracker: StatusTracker, items: list[Any], *, stages: int = 1) -> Pipeline:
    async def main() -> Pipeline:
        named = [Stage(f"Stage{number}", 1, [same]) for number in range(stages)]
        pipeline = Pipeline(named, status_tracker=tracker)
        await pipeline.run(items)
        return pipeline

    return simulate(main)


# The events


def test_every_status_has_its_name() -> None:
    assert get_args(StatusType) == (
        "queued",
        "in_progress",
        "completed",
        "failed",
        "retrying",
        "skipped",
        "dropped",
        "unprocessed",
    )


def test_every_kind_of_task_event_has_its_name() -> None:
    assert get_args(TaskEventType) == ("start", "complete", "retry", "fail", "cancel")


def test_a_status_event_made_by_hand_needs_five_values() -> None:
    event = status_event()
    assert (event.item_id, event.stage, event.status) == ("x", "Work", "in_progress")
    assert (event.worker, event.timestamp, event.metadata) == ("Work-W0", 5.0, {})
    assert (event.pipeline, event.run_id, event.final) == ("", "", False)


def test_a_task_event_made_by_hand_needs_seven_values() -> None:
    event = task_event()
    assert (event.item_id, event.stage, event.task_name) == ("x", "Work", "task")
    assert (event.worker, event.event_type, event.attempt) == ("Work-W0", "start", 1)
    assert (event.timestamp, event.error, event.duration, event.delay) == (5.0, None, None, None)
    assert (event.queue_wait, event.pipeline, event.run_id) == (0.0, "", "")


def test_the_order_of_the_first_values_is_that_of_older_programs() -> None:
    assert StatusEvent("x", None, "failed", None, 5.0, {"error": "e"}).metadata == {"error": "e"}
    error = ValueError("e")
    event = TaskEvent("x", "Work", "task", "Work-W0", "fail", 2, 5.0, error, 1.5)
    assert (event.error, event.duration) == (error, 1.5)


def test_events_do_not_share_their_metadata() -> None:
    assert status_event().metadata is not status_event().metadata


def test_events_of_the_same_values_are_equal_whatever_the_item() -> None:
    assert status_event() == status_event().about(fed_item())
    assert task_event() == task_event().about(fed_item())
    assert status_event() != status_event("Work-W1")


def test_an_event_shows_its_values() -> None:
    shown = repr(status_event().about(fed_item()))
    assert "item_id='x'" in shown
    assert "status='in_progress'" in shown
    assert "_item" not in shown


@pytest.mark.parametrize(
    ("worker", "number"),
    [
        ("Work-W0", 0),
        ("Work-W12", 12),
        ("Odd-W1-Name-W3", 3),
        ("-W5", 5),
        (None, None),
        ("", None),
        ("Work", None),
        ("7", None),
        ("Work-W", None),
        ("Work-Wx", None),
        ("Work-W-1", None),
        ("Work-W1.5", None),
        ("Work-W²", None),
    ],
)
def test_the_number_of_a_worker_is_what_follows_its_last_w(
    worker: str | None, number: int | None
) -> None:
    assert status_event(worker).worker_id == number


def test_workers_of_a_run_have_the_numbers_of_their_names() -> None:
    seen: set[tuple[str | None, int | None]] = set()
    tracker = StatusTracker(lambda event: seen.add((event.worker, event.worker_id)))

    async def main() -> None:
        async def work(value: int) -> int:
            await asyncio.sleep(1)
            return value

        await Pipeline([Stage("A-W9", 3, [work])], status_tracker=tracker).run(range(9))

    simulate(main)
    assert seen == {(None, None), ("A-W9-W0", 0), ("A-W9-W1", 1), ("A-W9-W2", 2)}


# The item of an event


@pytest.mark.parametrize("event", [status_event(), task_event()])
def test_an_event_made_by_hand_has_no_item(event: StatusEvent | TaskEvent) -> None:
    with pytest.raises(LookupError, match="made by hand"):
        event.item  # noqa: B018 - to read it is what raises


@pytest.mark.parametrize("event", [status_event(), task_event()])
def test_an_event_is_given_its_item_in_place(event: StatusEvent | TaskEvent) -> None:
    assert event.about(fed_item()) is event
    assert event.item.id == "x"


def test_a_view_shows_all_of_the_item() -> None:
    view = ItemView(fed_item(size="L"))
    assert (view.id, view.value, view.sequence_id, view.priority) == ("x", 7, 3, 50)
    assert view.metadata == {"size": "L"}
    assert view.carrier == {}


def test_a_view_names_the_item() -> None:
    assert repr(ItemView(fed_item())) == "ItemView(id='x', value=7, sequence_id=3)"


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_view_cannot_be_written_to(name: str) -> None:
    view = ItemView(fed_item())
    with pytest.raises(AttributeError):
        setattr(view, name, "other")
    with pytest.raises(AttributeError):
        delattr(view, name)


def test_a_view_takes_no_other_attributes() -> None:
    view: Any = ItemView(fed_item())
    with pytest.raises(AttributeError):
        view.note = "mine"


def test_the_metadata_of_a_view_cannot_be_written_to() -> None:
    metadata: Any = ItemView(fed_item(size="L")).metadata
    with pytest.raises(TypeError):
        metadata["size"] = "S"
    with pytest.raises(TypeError):
        del metadata["size"]
    assert metadata == {"size": "L"}


def test_a_view_shows_the_item_as_it_is_now() -> None:
    item = fed_item()
    view = ItemView(item)
    item.value = 8
    item.metadata["size"] = "L"
    assert view.value == 8
    assert view.metadata == {"size": "L"}


def test_what_is_put_into_the_carrier_belongs_to_the_item() -> None:
    item = fed_item()
    ItemView(item).carrier["trace"] = "t"
    assert ItemView(item).carrier == {"trace": "t"}
    assert item.carrier == {"trace": "t"}
    assert item.metadata == {}


def test_the_items_of_a_run_are_those_that_were_fed() -> None:
    seen: list[tuple[Any, ...]] = []

    def note(event: StatusEvent) -> None:
        item = event.item
        seen.append((item.id, item.value, dict(item.metadata), item.sequence_id, item.priority))

    run(StatusTracker(note), [{"id": "x", "value": 7, "size": "L"}, 8])
    assert seen[0] == ("x", 7, {"size": "L"}, 0, 100)
    assert (1, 8, {}, 1, 100) in seen


def test_a_view_that_is_kept_shows_what_became_of_the_item() -> None:
    kept: list[ItemView] = []
    run(StatusTracker(lambda event: kept.append(event.item)), [{"id": "x", "value": 7}])
    seen = [(view.id, view.value, view.priority, view.sequence_id) for view in kept]
    assert seen == [("x", 7, 100, 0)] * 3


def test_what_a_task_notes_on_the_item_is_seen_by_later_events() -> None:
    seen: dict[str, dict[str, Any]] = {}

    async def task(value: int) -> int:
        item = current_item()
        assert item is not None
        item.metadata["pages"] = 3
        return value

    async def main() -> None:
        tracker = StatusTracker(
            lambda event: seen.setdefault(event.status, dict(event.item.metadata))
        )
        await Pipeline([Stage("Work", 1, [task])], status_tracker=tracker).run([7])

    simulate(main)
    assert seen == {"queued": {}, "in_progress": {}, "completed": {"pages": 3}}
