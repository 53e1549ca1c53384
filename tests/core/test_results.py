"""Where items end: kept, answered or streamed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow._item import ItemRecord
from antflow._results import MOST_KEPT_FAILURES, Results
from antflow.types import FailedItem, PipelineResult
from tests.core.simulation import begun, settle, simulate


def item(number: int, error: BaseException | None = None) -> ItemRecord:
    made = ItemRecord(f"id-{number}", number, number, 100, {})
    made.error = error
    return made


def awaited(number: int, error: BaseException | None = None) -> tuple[ItemRecord, Any]:
    made = item(number, error)
    reply = made.more().reply = asyncio.get_running_loop().create_future()
    return made, reply


def collecting(**settings: Any) -> Results:
    return Results("Last", **{"keep": True, **settings})


def numbers(results: list[PipelineResult]) -> list[int]:
    return [result.sequence_id for result in results]


# Kept


def test_successes_are_kept_in_input_order() -> None:
    results = collecting()
    for number in (2, 0, 1):
        results.put(item(number))
    assert numbers(results.kept()) == [0, 1, 2]
    assert results.kept_failures() == []


def test_failures_are_kept_beside_them_in_input_order() -> None:
    results = collecting()
    for number in (3, 1, 2, 0):
        results.put(item(number, ValueError(number) if number % 2 else None))
    assert numbers(results.kept()) == [0, 2]
    assert numbers(results.kept_failures()) == [1, 3]


def test_what_is_kept_are_results_and_stays_the_same() -> None:
    results = collecting()
    results.put(item(0))
    results.put(item(1, ValueError()))
    first, second = results.kept(), results.kept()
    assert first == second == [PipelineResult("id-0", 0, 0)]
    assert first is not second
    assert first[0] is second[0]
    assert {type(result) for result in first + results.kept_failures()} == {PipelineResult}


def test_without_collecting_successes_are_not_kept_and_failures_are() -> None:
    results = collecting(keep=False)
    for number in range(4):
        results.put(item(number, ValueError() if number == 3 else None))
    assert results.kept() == []
    assert not results.queue
    assert numbers(results.kept_failures()) == [3]


def test_of_many_failures_the_latest_are_kept() -> None:
    results = collecting(most_failures=3)
    for number in range(10):
        results.put(item(number, ValueError()))
    assert numbers(results.kept_failures()) == [7, 8, 9]


def test_collected_results_make_nobody_wait() -> None:
    results = collecting()
    for number in range(1000):
        results.put(item(number))
    assert not results.is_overfull()


@pytest.mark.parametrize("keep", [True, False])
def test_closing_leaves_everything_where_it_is(keep: bool) -> None:
    results = collecting(keep=keep)
    results.put(item(0))
    results.put(item(1, ValueError()))
    results.close()
    results.put(item(2))
    assert numbers(results.kept()) == ([0, 2] if keep else [])
    assert numbers(results.kept_failures()) == [1]
    assert results.left_over == []


def test_what_is_collected_is_not_undelivered() -> None:
    results = collecting()
    results.put(item(0))
    results.close()
    assert results.undelivered() == []


# Streamed


def test_a_stream_has_failures_in_their_turn_and_keeps_none() -> None:
    results = Results.for_stream("Last", 10)
    for number in (2, 0, 1):
        results.put(item(number, ValueError() if number == 0 else None))
    assert [one.sequence_id for one in results.queue] == [2, 0, 1]
    assert results.kept() == results.kept_failures() == []


@pytest.mark.parametrize("buffer_size", [0, 1, 3])
def test_a_stream_makes_wait_who_passes_its_buffer(buffer_size: int) -> None:
    async def main() -> None:
        results = Results.for_stream("Last", buffer_size)
        for number in range(buffer_size):
            results.put(item(number))
            assert not results.is_overfull()
        results.put(item(buffer_size, ValueError()))
        assert results.is_overfull()
        waiting = await begun(results.wait_for_room())
        assert not waiting.done()
        results.queue.popleft()
        assert results.crowded
        results.make_room()
        await waiting

    simulate(main)


def test_a_waiting_consumer_is_called() -> None:
    async def main() -> None:
        results = Results.for_stream("Last", 0)
        consumer = await begun(results.wait_for_item())
        assert not results.direct
        results.put(item(0))
        await consumer

    simulate(main)


def test_without_bound_everyone_goes_on() -> None:
    async def main() -> None:
        results = Results.for_stream("Last", 0)
        waiting = []
        for number in range(3):
            results.put(item(number))
            waiting.append(asyncio.ensure_future(results.wait_for_room()))
        await settle()
        results.unbound()
        await asyncio.gather(*waiting)
        assert not results.is_overfull()
        assert len(results.queue) == 3

    simulate(main)


def test_a_closed_stream_makes_nobody_wait() -> None:
    results = Results.for_stream("Last", 0)
    results.put(item(0))
    results.close()
    results.put(item(1))
    assert not results.is_overfull()
    assert numbers(results.undelivered()) == [0, 1]


def test_what_the_consumer_did_not_take_is_undelivered_once_it_has_gone() -> None:
    results = Results.for_stream("Last", 10)
    for number in (2, 0):
        results.put(item(number, ValueError() if number else None))
    assert results.undelivered() == []
    results.close()
    assert numbers(results.undelivered()) == [2, 0]
    assert numbers(results.undelivered()) == [2, 0]


# Awaited


@pytest.mark.parametrize("error", [None, ValueError("broken")])
@pytest.mark.parametrize("keep", [True, False])
def test_an_item_that_someone_waits_for_goes_to_that_one_only(
    error: Exception | None, keep: bool
) -> None:
    async def main() -> None:
        results = collecting(keep=keep)
        results.expect()
        one, reply = awaited(0, error)
        results.put(one)
        assert (await reply).error is error
        assert type(await reply) is PipelineResult
        assert results.kept() == results.kept_failures() == []

    simulate(main)


def test_an_item_of_a_feed_is_kept_while_others_are_awaited() -> None:
    async def main() -> None:
        results = collecting()
        results.expect()
        one, reply = awaited(0)
        results.put(item(1))
        results.put(item(2, ValueError()))
        assert not reply.done()
        results.put(one)
        assert (await reply).sequence_id == 0
        assert numbers(results.kept()) == [1]
        assert numbers(results.kept_failures()) == [2]

    simulate(main)


def test_a_result_that_nobody_waits_for_any_more_is_kept() -> None:
    async def main() -> None:
        results = collecting()
        results.expect()
        one, reply = awaited(0)
        reply.cancel()
        results.put(one)
        assert numbers(results.kept()) == [0]

    simulate(main)


def test_while_someone_waits_each_deposit_needs_care() -> None:
    results = collecting()
    assert results.direct
    results.expect()
    results.expect()
    results.expect_no_more()
    assert not results.direct
    results.expect_no_more()
    assert results.direct


# What is said of failures


def said(number: int) -> FailedItem:
    return FailedItem(f"id-{number}", "broken", "ValueError", "Last", 1, float(number))


def said_of(results: Results) -> list[str]:
    return [failed.item_id for failed in results.failed_items]


def test_what_is_said_of_failures_is_kept_in_their_order_and_all_of_it() -> None:
    results = collecting()
    results.failed_items.extend(said(number) for number in (3, 1, 2))
    assert said_of(results) == ["id-3", "id-1", "id-2"]
    results.failed_items.extend(map(said, range(MOST_KEPT_FAILURES)))
    assert len(results.failed_items) == MOST_KEPT_FAILURES + 3


def test_of_many_failures_the_latest_are_spoken_of() -> None:
    results = collecting(most_failures=3)
    results.failed_items.extend(map(said, range(10)))
    assert said_of(results) == ["id-7", "id-8", "id-9"]


def test_a_stream_keeps_what_is_said_of_the_latest_failures_and_no_failure_itself() -> None:
    results = Results.for_stream("Last", 10)
    for number in range(MOST_KEPT_FAILURES + 2):
        results.failed_items.append(said(number))
    results.put(item(0, ValueError()))
    assert said_of(results)[0] == "id-2"
    assert len(results.failed_items) == MOST_KEPT_FAILURES
    assert results.kept_failures() == []


def test_so_many_failures_are_kept_as_documented() -> None:
    assert MOST_KEPT_FAILURES == 10_000
