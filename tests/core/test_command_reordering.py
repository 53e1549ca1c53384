"""Results in the order of their inputs."""

from __future__ import annotations

import asyncio

import pytest

from antflow._cli import pending_inputs
from antflow._cli.pending_inputs import ReorderBuffer


@pytest.fixture
def lines() -> list[int]:
    return []


@pytest.fixture
def buffer(lines: list[int]) -> ReorderBuffer:
    return ReorderBuffer(lambda line, number: lines.append(number))


def test_a_result_waits_for_those_before_it(buffer: ReorderBuffer, lines: list[int]) -> None:
    for number in 3, 1, 2:
        buffer.expect(number)
    assert buffer.put(1, b"")
    assert lines == []
    buffer.put(3, b"")
    assert lines == [3, 1]
    buffer.put(2, b"")
    assert lines == [3, 1, 2]


def test_an_input_without_a_line_holds_nothing_back(
    buffer: ReorderBuffer, lines: list[int]
) -> None:
    buffer.expect(0)
    buffer.expect(1)
    buffer.put(1, b"")
    buffer.put(0, None)
    assert lines == [1]


def test_an_unexpected_number_is_returned_to_the_caller(
    buffer: ReorderBuffer, lines: list[int]
) -> None:
    buffer.expect(0)
    assert not buffer.put(5, b"")
    assert lines == []


def test_a_flush_writes_lines_that_are_held_back(buffer: ReorderBuffer, lines: list[int]) -> None:
    for number in range(4):
        buffer.expect(number)
    buffer.put(3, b"")
    buffer.put(1, b"")
    buffer.flush()
    assert lines == [1, 3]
    buffer.flush()
    assert lines == [1, 3]


async def test_not_too_much_is_read_ahead(
    buffer: ReorderBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_inputs, "MAX_AHEAD", 2)
    buffer.expect(0)
    assert not buffer.is_full
    buffer.expect(1)
    assert buffer.is_full
    waiting = asyncio.ensure_future(buffer.wait_for_room())
    buffer.put(1, b"")
    await asyncio.sleep(0)
    assert not waiting.done()
    buffer.put(0, b"")
    await waiting
    assert not buffer.is_full
