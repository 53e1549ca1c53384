"""Results in the order of their inputs."""

from __future__ import annotations

import asyncio

import pytest

from antflow._cli import order
from antflow._cli.order import Order


@pytest.fixture
def lines() -> list[int]:
    return []


@pytest.fixture
def ordered(lines: list[int]) -> Order:
    return Order(lambda line, number: lines.append(number))


def test_a_result_waits_for_those_before_it(ordered: Order, lines: list[int]) -> None:
    for number in 3, 1, 2:
        ordered.expect(number)
    assert ordered.end(1, b"")
    assert lines == []
    ordered.end(3, b"")
    assert lines == [3, 1]
    ordered.end(2, b"")
    assert lines == [3, 1, 2]


def test_what_has_no_line_holds_nobody_up(ordered: Order, lines: list[int]) -> None:
    ordered.expect(0)
    ordered.expect(1)
    ordered.end(1, b"")
    ordered.end(0, None)
    assert lines == [1]


def test_what_was_not_expected_is_left_to_the_caller(ordered: Order, lines: list[int]) -> None:
    ordered.expect(0)
    assert not ordered.end(5, b"")
    assert lines == []


def test_at_the_end_what_is_kept_back_is_written(ordered: Order, lines: list[int]) -> None:
    for number in range(4):
        ordered.expect(number)
    ordered.end(3, b"")
    ordered.end(1, b"")
    ordered.release()
    assert lines == [1, 3]
    ordered.release()
    assert lines == [1, 3]


async def test_not_too_much_is_read_ahead(ordered: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MOST_AHEAD", 2)
    ordered.expect(0)
    assert not ordered.is_full
    ordered.expect(1)
    assert ordered.is_full
    waiting = asyncio.ensure_future(ordered.room())
    ordered.end(1, b"")
    await asyncio.sleep(0)
    assert not waiting.done()
    ordered.end(0, b"")
    await waiting
    assert not ordered.is_full
