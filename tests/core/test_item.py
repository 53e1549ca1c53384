"""The record of one item, from what a user feeds to a result."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow._item import ItemRecord, as_result, read_item, take_back
from antflow.types import PipelineResult, UnprocessedItem
from tests.core.simulation import simulate

WHOLE = {"id": 5, "name": "x"}


@pytest.mark.parametrize(
    ("source", "identity", "value", "metadata"),
    [
        ("text", 3, "text", {}),
        (None, 3, None, {}),
        ([1, 2], 3, [1, 2], {}),
        ({"name": "x"}, 3, {"name": "x"}, {}),
        ({"value": 1}, 3, {"value": 1}, {}),
        ({}, 3, {}, {}),
        ({"id": "a", "value": 1}, "a", 1, {}),
        ({"id": "a", "value": None}, "a", None, {}),
        ({"id": None, "value": 1}, None, 1, {}),
        ({"id": "a", "value": 1, "k": "v", "n": 2}, "a", 1, {"k": "v", "n": 2}),
        (WHOLE, 5, WHOLE, {"name": "x"}),
    ],
)
def test_reading_what_a_user_feeds(
    source: Any, identity: Any, value: Any, metadata: dict[str, Any]
) -> None:
    item = read_item(source, sequence_id=3, priority=50)
    assert item.id == identity
    assert item.value == value
    assert item.metadata == metadata
    assert item.sequence_id == 3
    assert item.priority == 50


def test_a_dict_without_a_value_is_its_own_value() -> None:
    assert read_item(WHOLE, 0, 100).value is WHOLE


def test_metadata_is_not_the_callers_dict() -> None:
    source = {"id": 1, "k": "v"}
    item = read_item(source, 0, 100)
    item.metadata["more"] = True
    assert source == {"id": 1, "k": "v"}


def test_items_do_not_share_metadata() -> None:
    first, second = read_item("a", 0, 100), read_item("b", 1, 100)
    first.metadata["mine"] = True
    assert second.metadata == {}


def test_callbacks_get_id_value_and_metadata() -> None:
    item = read_item({"id": "a", "value": 1, "k": "v"}, 0, 100)
    assert item.describe() == {"id": "a", "value": 1, "k": "v"}
    assert read_item("x", 4, 100).describe() == {"id": 4, "value": "x"}


def test_metadata_hides_neither_id_nor_value() -> None:
    item = ItemRecord("a", 1, 0, 100, {"id": "other", "value": "other"})
    assert item.describe() == {"id": "a", "value": 1}


def test_what_a_callback_gets_is_a_copy() -> None:
    item = read_item({"id": "a", "k": "v"}, 0, 100)
    item.describe()["k"] = "changed"
    assert item.metadata == {"k": "v"}


def test_a_left_over_item_names_its_stage_and_comes_back_as_it_was() -> None:
    item = read_item({"id": "a", "value": 1, "k": "v"}, sequence_id=3, priority=50)
    left = item.left_over("Second")
    assert left == UnprocessedItem("a", 1, {"k": "v"}, 50, "Second", 3)
    again = take_back(left, left.sequence_id)
    assert again.describe() == item.describe()
    assert (again.priority, again.sequence_id) == (50, 3)


def test_what_is_taken_back_twice_is_two_items() -> None:
    item = read_item(1, 0, 100)
    item.carrier["trace"] = "t"
    left = item.left_over("Stage")
    one, other = take_back(left, 0), take_back(left, 1)
    one.carrier["trace"] = "of one"
    assert (one.sequence_id, other.sequence_id) == (0, 1)
    assert (left.carrier, other.carrier) == ({"trace": "t"}, {"trace": "t"})


def test_what_most_items_do_without_is_made_once() -> None:
    item = read_item("x", 0, 100)
    assert item.extra is None
    assert item.more() is item.more()


def test_an_item_becomes_its_result_in_place() -> None:
    item = read_item({"id": "a", "value": 1, "k": "v"}, 3, 100)
    result = as_result(item, "Last")
    assert result is item
    assert type(result) is PipelineResult
    assert result == PipelineResult("a", 1, 3, {"k": "v"})


def test_a_result_stays_as_it_is() -> None:
    result = PipelineResult("a", 1, 3, attempts=4)
    assert as_result(result, "Last") is result
    assert result.attempts == 4


@pytest.mark.parametrize(
    ("noted_by", "error", "attempts"),
    [
        ("Last", None, 3),
        ("First", None, 1),
        ("First", ValueError(), 3),
        ("Last", ValueError(), 3),
    ],
)
def test_a_result_tells_the_attempts_of_the_stage_that_it_ended_in(
    noted_by: str, error: Exception | None, attempts: int
) -> None:
    item = read_item("x", 0, 100)
    item.error = error
    item.more().noted_by = noted_by
    item.more().attempts = 3
    assert as_result(item, "Last").attempts == attempts


def test_a_result_keeps_nothing_of_the_one_who_waited_for_it() -> None:
    async def main() -> None:
        item = read_item("x", 0, 100)
        item.more().reply = asyncio.get_running_loop().create_future()
        as_result(item, "Last")
        assert item.extra is None

    simulate(main)
