"""Every input is in the ledger until what became of it is written."""

from __future__ import annotations

import pytest

from antflow import UnprocessedItem
from antflow._cli.pending_inputs import Ledger
from tests.core.command_parts import failed, make_ledger, succeeded


def enter(ledger: Ledger, *numbers: int) -> None:
    for number in numbers:
        ledger.enter(number, number + 1, b'"%d"' % number)


def left(number: int) -> UnprocessedItem:
    return UnprocessedItem(number, None, {}, 100, "Work", number)


def test_a_result_is_written_and_struck_out_when_it_is() -> None:
    ledger, output, failures = make_ledger()
    enter(ledger, 0)
    ledger.end(succeeded(0, "a"))
    assert output.records == [{"id": 0, "value": "a"}]
    ledger.forget(output.numbers)
    ledger.close([])
    assert failures.records == []
    assert not ledger.fates.total()


def test_a_result_that_was_not_written_is_told_at_the_end() -> None:
    ledger, _, failures = make_ledger()
    enter(ledger, 0)
    ledger.end(succeeded(0))
    ledger.close([])
    assert failures.records == [{"status": "unwritten", "line": 1, "input": "0"}]
    assert ledger.fates == {"unwritten": 1}


def test_what_did_not_end_is_told_at_the_end_with_its_stage_where_that_is_known() -> None:
    ledger, _, failures = make_ledger()
    enter(ledger, 0, 1)
    ledger.close([left(1)])
    assert failures.records == [
        {"status": "unprocessed", "line": 2, "input": "1", "id": 1, "stage": "Work"},
        {"status": "unprocessed", "line": 1, "input": "0"},
    ]
    ledger.close([])
    assert ledger.fates == {"unprocessed": 2}


def test_what_is_left_is_told_once_though_the_process_is_told_to_leave_meanwhile() -> None:
    ledger, _, failures = make_ledger()
    enter(ledger, 0)
    ledger.close([left(0)])
    ledger.close([left(0)])
    assert len(failures.records) == 1
    assert ledger.fates == {"unprocessed": 1}


def test_a_failure_is_told_with_what_was_read() -> None:
    ledger, output, failures = make_ledger()
    enter(ledger, 0)
    ledger.end(failed(0, ValueError("no")))
    assert output.records == []
    (record,) = failures.records
    assert (record["input"], record["error"], record["stage"]) == ("0", "no", "Work")
    ledger.close([])
    assert ledger.fates == {"failed": 1}
    assert ledger.tally.has("ValueError")


def test_a_result_that_json_has_not_is_a_failure() -> None:
    ledger, output, failures = make_ledger()
    enter(ledger, 0)
    ledger.end(succeeded(0, object()))
    assert output.records == []
    assert failures.records[0]["error_type"] == "UnwritableError"
    assert "JSON has nothing for a object" in failures.records[0]["error"]


def test_what_the_pipeline_has_fed_to_itself_is_written_too() -> None:
    ledger, output, failures = make_ledger(ordered=True)
    enter(ledger, 0)
    ledger.end(succeeded(1, "own"))
    ledger.end(failed(2, ValueError("own")))
    assert output.records == [{"id": 1, "value": "own"}]
    assert failures.records[0]["input"] is None
    ledger.forget(output.numbers)
    ledger.close([left(3)])
    assert ledger.fates == {"failed": 1, "unprocessed": 2}


def test_in_order_a_failure_holds_nobody_up() -> None:
    ledger, output, _ = make_ledger(ordered=True)
    enter(ledger, 0, 1, 2)
    ledger.end(succeeded(2))
    ledger.end(failed(0, ValueError()))
    assert output.numbers == []
    ledger.end(succeeded(1))
    assert output.numbers == [1, 2]


def test_in_order_what_is_kept_back_is_written_at_the_end() -> None:
    ledger, output, _ = make_ledger(ordered=True)
    enter(ledger, 0, 1)
    ledger.end(succeeded(1))
    ledger.release()
    assert output.numbers == [1]


def test_failures_are_counted_by_stage_and_type_with_the_first_of_each() -> None:
    ledger, _, _ = make_ledger(failures=False)
    ledger.refuse(1, b"x", ValueError("no JSON"))
    for number in range(1, 10):
        enter(ledger, number)
        ledger.end(failed(number, KeyError("k"), "Store" if number % 3 else "Fetch"))
    assert list(ledger.tally.lines()) == [
        "ValueError x1: no JSON (line 1)",
        "KeyError x6 in Store: 'k' (line 2)",
        "KeyError x3 in Fetch: 'k' (line 4)",
    ]
    assert (ledger.read, ledger.fates["malformed"]) == (10, 1)


async def test_there_is_no_room_while_the_failures_are_full() -> None:
    ledger, _, failures = make_ledger(ordered=True)
    assert not ledger.is_full
    failures.is_full = True
    assert ledger.is_full
    await ledger.room()
    assert not ledger.is_full


@pytest.mark.parametrize("ordered", [False, True])
def test_without_failures_there_is_room_as_long_as_the_order_has_some(ordered: bool) -> None:
    ledger, _, _ = make_ledger(ordered=ordered, failures=False)
    for number in range(10_000):
        enter(ledger, number)
    assert ledger.is_full is ordered
