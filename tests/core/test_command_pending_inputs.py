"""Every input is pending until its record is written."""

from __future__ import annotations

import pytest

from antflow import UnprocessedItem
from antflow._cli.pending_inputs import PendingInputs
from tests.core.command_parts import failed, make_pending, succeeded


def add_inputs(pending: PendingInputs, *numbers: int) -> None:
    for number in numbers:
        pending.add(number, number + 1, b'"%d"' % number)


def left(number: int) -> UnprocessedItem:
    return UnprocessedItem(number, None, {}, 100, "Work", number)


def test_an_input_is_removed_when_its_result_is_written() -> None:
    pending, output, failures = make_pending()
    add_inputs(pending, 0)
    pending.finish(succeeded(0, "a"))
    assert output.records == [{"id": 0, "value": "a"}]
    pending.remove(output.numbers)
    pending.close([])
    assert failures.records == []
    assert not pending.outcomes.total()


def test_a_result_that_was_not_written_is_reported_at_the_end() -> None:
    pending, _, failures = make_pending()
    add_inputs(pending, 0)
    pending.finish(succeeded(0))
    pending.close([])
    assert failures.records == [{"status": "unwritten", "line": 1, "input": "0"}]
    assert pending.outcomes == {"unwritten": 1}


def test_an_unprocessed_input_is_reported_with_its_stage_if_that_is_known() -> None:
    pending, _, failures = make_pending()
    add_inputs(pending, 0, 1)
    pending.close([left(1)])
    assert failures.records == [
        {"status": "unprocessed", "line": 2, "input": "1", "id": 1, "stage": "Work"},
        {"status": "unprocessed", "line": 1, "input": "0"},
    ]
    pending.close([])
    assert pending.outcomes == {"unprocessed": 2}


def test_an_unprocessed_input_is_reported_once() -> None:
    pending, _, failures = make_pending()
    add_inputs(pending, 0)
    pending.close([left(0)])
    pending.close([left(0)])
    assert len(failures.records) == 1
    assert pending.outcomes == {"unprocessed": 1}


def test_a_failure_has_the_input() -> None:
    pending, output, failures = make_pending()
    add_inputs(pending, 0)
    pending.finish(failed(0, ValueError("no")))
    assert output.records == []
    (record,) = failures.records
    assert (record["input"], record["error"], record["stage"]) == ("0", "no", "Work")
    pending.close([])
    assert pending.outcomes == {"failed": 1}
    assert pending.tally.has("ValueError")


def test_a_result_without_a_form_in_json_is_a_failure() -> None:
    pending, output, failures = make_pending()
    add_inputs(pending, 0)
    pending.finish(succeeded(0, object()))
    assert output.records == []
    assert failures.records[0]["error_type"] == "UnwritableError"
    assert "JSON has nothing for a object" in failures.records[0]["error"]


def test_items_that_the_pipeline_feeds_itself_are_written() -> None:
    pending, output, failures = make_pending(ordered=True)
    add_inputs(pending, 0)
    pending.finish(succeeded(1, "own"))
    pending.finish(failed(2, ValueError("own")))
    assert output.records == [{"id": 1, "value": "own"}]
    assert failures.records[0]["input"] is None
    pending.remove(output.numbers)
    pending.close([left(3)])
    assert pending.outcomes == {"failed": 1, "unprocessed": 2}


def test_in_order_a_failure_holds_no_result_back() -> None:
    pending, output, _ = make_pending(ordered=True)
    add_inputs(pending, 0, 1, 2)
    pending.finish(succeeded(2))
    pending.finish(failed(0, ValueError()))
    assert output.numbers == []
    pending.finish(succeeded(1))
    assert output.numbers == [1, 2]


def test_in_order_results_that_are_held_back_are_written_at_the_end() -> None:
    pending, output, _ = make_pending(ordered=True)
    add_inputs(pending, 0, 1)
    pending.finish(succeeded(1))
    pending.flush()
    assert output.numbers == [1]


def test_failures_are_counted_by_stage_and_type_with_the_first_of_each() -> None:
    pending, _, _ = make_pending(failures=False)
    pending.reject(1, b"x", ValueError("no JSON"))
    for number in range(1, 10):
        add_inputs(pending, number)
        pending.finish(failed(number, KeyError("k"), "Store" if number % 3 else "Fetch"))
    assert list(pending.tally.lines()) == [
        "ValueError x1: no JSON (line 1)",
        "KeyError x6 in Store: 'k' (line 2)",
        "KeyError x3 in Fetch: 'k' (line 4)",
    ]
    assert (pending.read_count, pending.outcomes["malformed"]) == (10, 1)


async def test_there_is_no_room_while_the_failures_are_full() -> None:
    pending, _, failures = make_pending(ordered=True)
    assert not pending.is_full
    failures.is_full = True
    assert pending.is_full
    await pending.wait_for_room()
    assert not pending.is_full


@pytest.mark.parametrize("ordered", [False, True])
def test_without_failures_the_order_decides_whether_there_is_room(ordered: bool) -> None:
    pending, _, _ = make_pending(ordered=ordered, failures=False)
    for number in range(10_000):
        add_inputs(pending, number)
    assert pending.is_full is ordered
