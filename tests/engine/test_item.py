"""One item, from what a user feeds to a result."""

from __future__ import annotations

from typing import Any

import pytest

from antflow import Item
from antflow._engine.item import (
    as_result,
    as_results,
    describe,
    from_failed,
    from_unprocessed,
    make_item,
    note_attempts,
    to_unprocessed,
)
from antflow.results import PipelineResult, UnprocessedItem

WHOLE = {"id": 5, "name": "x"}
RICH = {"id": "a", "value": 1, "k": "v"}


@pytest.mark.parametrize(
    ("source", "identity", "value", "priority", "metadata"),
    [
        ("text", 3, "text", 50, {}),
        (None, 3, None, 50, {}),
        ([1, 2], 3, [1, 2], 50, {}),
        ({"name": "x"}, 3, {"name": "x"}, 50, {}),
        ({"value": 1}, 3, {"value": 1}, 50, {}),
        ({}, 3, {}, 50, {}),
        ({"id": "a", "value": 1}, "a", 1, 50, {}),
        ({"id": "a", "value": None}, "a", None, 50, {}),
        ({"id": None, "value": 1}, None, 1, 50, {}),
        ({**RICH, "n": 2}, "a", 1, 50, {"k": "v", "n": 2}),
        (WHOLE, 5, WHOLE, 50, {"name": "x"}),
        (Item(WHOLE), 3, WHOLE, 50, {}),
        (Item(1, id="a", priority=7, metadata={"k": "v"}), "a", 1, 7, {"k": "v"}),
    ],
)
def test_making_an_item_of_what_a_user_feeds(
    source: Any, identity: Any, value: Any, priority: int, metadata: dict[str, Any]
) -> None:
    item = make_item(source, sequence_id=3, priority=50)
    assert (item.id, item.value, item.sequence_id) == (identity, value, 3)
    assert (item.metadata, item.priority) == (metadata, priority)


def test_a_dict_without_a_value_is_its_own_value() -> None:
    assert make_item(WHOLE, 0, 100).value is WHOLE


@pytest.mark.parametrize("source", [dict(RICH), Item(1, metadata={"k": "v"}), "plain"])
def test_metadata_is_each_item_s_own(source: Any) -> None:
    first, second = make_item(source, 0, 100), make_item(source, 1, 100)
    before = dict(second.metadata)
    first.metadata["mine"] = True
    assert second.metadata == before
    assert make_item(source, 2, 100).metadata == before


@pytest.mark.parametrize(
    ("item", "described"),
    [
        (make_item(RICH, 0, 100), RICH),
        (make_item("x", 4, 100), {"id": 4, "value": "x"}),
        (PipelineResult("a", 1, 0, {"id": "b", "value": 2}), {"id": "a", "value": 1}),
    ],
)
def test_callbacks_get_a_copy_of_id_value_and_metadata(
    item: PipelineResult, described: dict[str, Any]
) -> None:
    copy = describe(item)
    assert copy == described
    copy["k"] = "changed"
    assert describe(item) == described


def test_an_unprocessed_item_names_its_stage_and_comes_back_as_it_was() -> None:
    item = make_item(RICH, sequence_id=3, priority=50)
    left = to_unprocessed(item, "Second")
    assert left == UnprocessedItem("a", 1, {"k": "v"}, 50, "Second", 3)
    again = from_unprocessed(left, left.sequence_id)
    assert describe(again) == describe(item)
    assert (again.priority, again.sequence_id) == (50, 3)


def test_a_failed_item_comes_back_with_what_is_its_own() -> None:
    failed = make_item(RICH, sequence_id=3, priority=50)
    failed.error, failed.stage, failed.attempts = ValueError(), "Second", 3
    again = from_failed(failed, 3, priority=100)
    assert describe(again) == RICH
    assert (again.priority, again.error, again.stage, again.attempts) == (50, None, None, 1)
    foreign = PipelineResult("a", 1, 3, error=ValueError(), stage="Second")
    assert from_failed(foreign, 3, priority=100).priority == 100


@pytest.mark.parametrize(("error", "stage"), [(None, None), (None, "Work"), (ValueError(), None)])
def test_a_result_that_is_no_failure_is_refused(error: Exception | None, stage: str | None) -> None:
    with pytest.raises(ValueError, match=r"item 'a' is not a failure.*feed its value, or Item"):
        from_failed(PipelineResult("a", 1, 3, error=error, stage=stage), 3, 100)


def test_items_that_are_fed_again_share_nothing_with_what_they_came_from() -> None:
    item = make_item(1, 0, 100)
    item.carrier["trace"] = "t"
    left = to_unprocessed(item, "Work")
    item.error, item.stage, item.metadata["k"] = ValueError(), "Work", "v"
    again = [from_unprocessed(left, 1), from_unprocessed(left, 2)]
    again += [from_failed(item, 3, 100), from_failed(item, 4, 100)]
    for each in (again[0], again[2]):
        each.carrier["trace"] = "of one"
    again[2].metadata["k"] = "of one"
    assert [each.carrier["trace"] for each in again] == ["of one", "t", "of one", "t"]
    assert left.carrier == item.carrier == {"trace": "t"}
    assert item.metadata == {"k": "v"}


def test_an_item_becomes_its_result_in_place() -> None:
    item = make_item(RICH, 3, 100)
    assert as_results([item], "Last") == [PipelineResult("a", 1, 3, {"k": "v"})]
    assert as_result(item, "Last") is item


@pytest.mark.parametrize(
    ("made", "error", "attempts"),
    [
        ([("Last", 3)], None, 3),
        ([("Last", 0)], None, 0),
        ([("First", 3)], None, 1),
        ([("First", 3)], ValueError(), 3),
        ([("First", 3), ("Second", 1)], ValueError(), 1),
        ([("First", 2), ("Last", 3)], ValueError(), 3),
    ],
)
def test_a_result_has_the_attempts_of_the_stage_that_it_ended_in(
    made: list[tuple[str, int]], error: Exception | None, attempts: int
) -> None:
    item = make_item("x", 0, 100)
    for stage, number in made:
        note_attempts(item, stage, number)
    if error is not None:
        item.error = error
    assert [each.attempts for each in as_results([item], "Last")] == [attempts]


def test_details_are_made_once_and_only_where_they_are_needed() -> None:
    item = make_item("x", 0, 100)
    note_attempts(item, "Last", 1)
    assert as_results([item], "Last")[0].details is None
    assert item.get_details() is item.get_details()
