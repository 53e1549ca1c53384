"""The input of a run; each value is pending before it is fed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pytest

from antflow import UnprocessedItem
from antflow._cli.command_input import SKIPPED_AT_ONCE, CommandInput, parse_json, parse_text
from antflow._cli.pending_inputs import PendingInputs
from tests.core.command_parts import make_pending


class FakeLineReader:
    """Stands for a LineReader."""

    def __init__(self, *blocks: list[bytes], error: Exception | None = None) -> None:
        self._blocks = blocks
        self._error = error
        self.is_closed = False

    async def blocks(self) -> AsyncGenerator[list[bytes], None]:
        try:
            for block in self._blocks:
                yield block
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True


def input_of(pending: PendingInputs, noun: str = "line") -> CommandInput:
    return CommandInput(pending, lambda _: 10 + pending.read_count, noun)


def lines(
    command_input: CommandInput, reader: FakeLineReader, *, text: bool = False
) -> AsyncGenerator[Any, None]:
    parse = parse_text if text else parse_json
    return command_input.read_lines(reader, parse, skips_blank=not text)  # type: ignore[arg-type]


async def test_lines_of_json_are_numbered_and_blank_ones_skipped() -> None:
    pending, _, failures = make_pending()
    command_input = input_of(pending)
    reader = FakeLineReader(
        [b"\xef\xbb\xbf1", b" ", b"x"], [b'{"a": 2}\r', b'"\xff"', b"[" * 100_000]
    )
    assert [value async for value in lines(command_input, reader)] == [1, {"a": 2}]
    assert (command_input.position, command_input.is_at_end) == (6, True)
    assert [(each["line"], each["status"]) for each in failures.records] == [
        (3, "malformed"),
        (5, "malformed"),
        (6, "malformed"),
    ]
    pending.close([])
    assert [(each["line"], each["input"]) for each in failures.records[3:]] == [
        (1, 1),
        (4, {"a": 2}),
    ]


async def test_nan_and_infinity_make_a_line_malformed() -> None:
    pending, _, failures = make_pending()
    reader = FakeLineReader([b"NaN", b'{"a": -Infinity}', b"1"])
    assert [value async for value in lines(input_of(pending), reader)] == [1]
    assert [(each["status"], each["input"]) for each in failures.records] == [
        ("malformed", "NaN"),
        ("malformed", '{"a": -Infinity}'),
    ]
    assert failures.records[0]["error"] == "NaN is not JSON; write null, or a text"


async def test_lines_without_an_item_do_not_hold_the_loop() -> None:
    positions: list[int] = []
    command_input = input_of(make_pending()[0])
    asyncio.get_running_loop().call_soon(lambda: positions.append(command_input.position))
    reader = FakeLineReader([b""] * 200 + [b"x"] * 200 + [b"1"])
    assert [value async for value in lines(command_input, reader)] == [1]
    assert positions == [SKIPPED_AT_ONCE]


async def test_lines_of_text_are_taken_as_they_are() -> None:
    pending, _, failures = make_pending()
    reader = FakeLineReader([b"a\r", b"", b" b", b"\xff"])
    assert [value async for value in lines(input_of(pending), reader, text=True)] == ["a", "", " b"]
    assert [each["line"] for each in failures.records] == [4]


async def test_an_input_is_pending_before_it_is_fed() -> None:
    pending, _, failures = make_pending()
    command_input = input_of(pending)
    reader = FakeLineReader([b"1", b"2"])
    reading = lines(command_input, reader)
    assert await anext(reading) == 1
    await reading.aclose()
    assert reader.is_closed
    assert (command_input.position, command_input.is_at_end, command_input.error) == (
        1,
        False,
        None,
    )
    pending.close([])
    assert [each["line"] for each in failures.records] == [1]


async def test_an_error_of_the_file_is_remembered() -> None:
    pending, _, _ = make_pending()
    command_input = input_of(pending)
    error = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        assert [
            value async for value in lines(command_input, FakeLineReader([b"1"], error=error))
        ] == []
    assert command_input.error is error
    assert not command_input.is_at_end


async def test_room_is_waited_for() -> None:
    pending, _, failures = make_pending()
    failures.is_full = True
    assert [value async for value in lines(input_of(pending), FakeLineReader([b"1"]))] == [1]
    assert not failures.is_full
    failures.is_full = True
    assert [value async for value in input_of(pending, "item").read_items("a")] == ["a"]
    assert not failures.is_full


async def both_ways() -> AsyncIterator[int]:
    yield 1
    yield 2


@pytest.mark.parametrize("items", [[1, 2], range(1, 3), "both ways"])
async def test_items_of_any_kind(items: Any) -> None:
    pending, _, _ = make_pending()
    command_input = input_of(pending, "item")
    given = both_ways() if items == "both ways" else items
    assert [value async for value in command_input.read_items(given)] == [1, 2]
    assert (command_input.position, command_input.is_at_end, pending.read_count) == (2, True, 2)


async def test_an_unprocessed_item_of_an_earlier_run_keeps_its_number() -> None:
    pending, output, _ = make_pending()
    old = UnprocessedItem("a", 1, {}, 100, "Work", 77)
    command_input = CommandInput(pending, lambda value: 77 if value is old else 0, "item")
    assert [value async for value in command_input.read_items(["new", old])] == ["new", old]
    assert list(pending._origins) == [0, 77]
    assert output.lines == []


async def test_items_that_raise_are_closed_and_remembered() -> None:
    ended: list[str] = []

    def items() -> Iterator[int]:
        yield 1
        ended.append("raised")
        raise LookupError("no more")

    command_input = input_of(make_pending()[0], "item")
    with pytest.raises(LookupError):
        assert [value async for value in command_input.read_items(items())] == []
    assert isinstance(command_input.error, LookupError)
    assert ended == ["raised"]


async def test_whatever_the_items_raise_is_remembered() -> None:
    class Panic(BaseException):
        """As an extension raises it."""

    def items() -> Iterator[int]:
        yield 1
        raise Panic

    command_input = input_of(make_pending()[0], "item")
    with pytest.raises(Panic):
        assert [value async for value in command_input.read_items(items())] == []
    assert isinstance(command_input.error, Panic)


async def test_items_that_are_left_are_closed() -> None:
    closed: list[str] = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    reading = input_of(make_pending()[0], "item").read_items(items())
    assert await anext(reading) == 1
    await reading.aclose()
    assert closed == ["closed"]
