"""Where items end: kept, answered or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from unittest.mock import Mock

import pytest

from antflow._engine.base.item import new_item
from antflow._engine.base.run_state import RunState
from antflow._engine.channels.handle import ItemHandle
from antflow._engine.channels.result_queue import ResultQueue
from antflow.results import PipelineResult
from tests.helpers.virtual_time import begun, settle, simulate


def ended(number: int, *, failed: bool = False) -> PipelineResult:
    result = new_item(f"id-{number}", number, number, 100)
    if failed:
        result.error = ValueError(number)
    return result


def queue_of(
    *numbers: int, failed: tuple[int, ...] = (), keep: bool = True, stream: float | None = None
) -> ResultQueue:
    """Return a queue in which these items have ended, those that `failed` among them."""
    results = ResultQueue("Last", keep=keep)
    if stream is not None:
        results.stream(stream)
    for number in numbers:
        results.put(ended(number, failed=number in failed))
    return results


def ids(results: list[PipelineResult]) -> list[int]:
    return [result.sequence_id for result in results]


# Kept


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("is_closed", [True, False])
def test_results_are_kept_in_input_order_and_failures_beside_them(
    keep: bool, is_closed: bool
) -> None:
    results = queue_of(3, 1, 2, failed=(3, 1), keep=keep)
    if is_closed:
        results.close()
    results.put(ended(0))
    assert ids(results.kept()) == ([0, 2] if keep else [])
    assert len(results.queue) == (2 if keep else 0)
    assert ids(results.kept_failures()) == [1, 3]
    assert results.unprocessed == results.undelivered() == []
    assert not results.is_overfull()


# Streamed


@pytest.mark.parametrize("keep", [True, False])
def test_a_stream_has_failures_in_their_turn_and_keeps_nothing_beside(keep: bool) -> None:
    results = queue_of(2, 0, 1, failed=(0,), keep=keep, stream=10)
    assert ids(list(results.queue)) == [2, 0, 1]
    assert results.kept() == results.kept_failures() == []


@pytest.mark.parametrize("buffer_size", [0, 1, 3])
def test_a_sender_past_the_buffer_of_a_stream_waits(buffer_size: int) -> None:
    async def main() -> None:
        results = queue_of(stream=buffer_size)
        for number in range(buffer_size):
            results.put(ended(number))
            assert not results.is_overfull()
        results.put(ended(buffer_size, failed=True))
        assert results.is_overfull()
        waiting = await begun(results.waiters.wait_as_sender())
        assert not waiting.done()
        assert results.get_nowait() is not None
        await waiting

    simulate(main)


def test_a_waiting_consumer_is_woken_by_any_item() -> None:
    async def main() -> None:
        for failed in (True, False):
            results = queue_of(stream=0)
            consumer = await begun(results.wait_for_item())
            assert not results.append_directly
            results.put(ended(0, failed=failed))
            await consumer

    simulate(main)


def test_without_bound_every_sender_goes_on() -> None:
    async def main() -> None:
        results = queue_of(0, 1, 2, stream=0)
        waiting = [asyncio.ensure_future(results.waiters.wait_as_sender()) for _ in range(3)]
        await settle()
        results.unbound()
        await asyncio.gather(*waiting)
        assert not results.is_overfull()
        assert (len(results.queue), results.capacity) == (3, inf)

    simulate(main)


def test_what_the_consumer_did_not_take_is_undelivered_once_the_stream_has_ended() -> None:
    results = queue_of(2, 0, failed=(2,), stream=0)
    assert results.undelivered() == []
    results.close()
    results.put(ended(1))
    assert not results.is_overfull()
    assert ids(results.undelivered()) == ids(results.undelivered()) == [2, 0, 1]


# Awaited


def test_while_a_reply_is_expected_or_each_item_is_reported_none_is_simply_appended() -> None:
    reported: list[int] = []
    results = queue_of()
    state = RunState("", lambda: None)
    first, second = (ItemHandle(ended(number), state, Mock()) for number in (1, 2))
    changes: list[Callable[[], object]] = [
        lambda: results.expect(first),
        lambda: results.expect(second),
        lambda: results.withdraw(first),
        lambda: results.withdraw(second),
        lambda: results.call_after_each(lambda: reported.append(len(results.queue))),
        lambda: results.call_after_each(None),
    ]
    flags = [results.append_directly]
    for change in changes:
        change()
        results.put(ended(0))
        flags.append(results.append_directly)
    assert flags == [True, False, False, False, True, False, True]
    assert reported == [5]
