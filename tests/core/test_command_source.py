"""What a pipeline is fed, each entered in the ledger before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pytest

from antflow import UnprocessedItem
from antflow._cli.pending_inputs import Ledger
from antflow._cli.source import SKIPPED_AT_ONCE, Source, json_of, text_of_line
from tests.core.command_parts import make_ledger


class FewBlocks:
    """Stands for the blocks of a file."""

    def __init__(self, *blocks: list[bytes], error: Exception | None = None) -> None:
        self._blocks = blocks
        self._error = error
        self.is_closed = False

    async def read(self) -> AsyncGenerator[list[bytes], None]:
        try:
            for block in self._blocks:
                yield block
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True


def source_of(ledger: Ledger, noun: str = "line") -> Source:
    return Source(ledger, lambda _: 10 + ledger.read, noun)


def lines(source: Source, blocks: FewBlocks, *, text: bool = False) -> AsyncGenerator[Any, None]:
    parse = text_of_line if text else json_of
    return source.lines(blocks, parse, skips_blank=not text)  # type: ignore[arg-type]


async def test_lines_of_json_are_numbered_and_blank_ones_skipped() -> None:
    ledger, _, failures = make_ledger()
    source = source_of(ledger)
    blocks = FewBlocks([b"\xef\xbb\xbf1", b" ", b"x"], [b'{"a": 2}\r', b'"\xff"', b"[" * 100_000])
    assert [value async for value in lines(source, blocks)] == [1, {"a": 2}]
    assert (source.position, source.is_at_end) == (6, True)
    assert [(each["line"], each["status"]) for each in failures.records] == [
        (3, "malformed"),
        (5, "malformed"),
        (6, "malformed"),
    ]
    ledger.close([])
    assert [(each["line"], each["input"]) for each in failures.records[3:]] == [
        (1, 1),
        (4, {"a": 2}),
    ]


async def test_numbers_that_json_has_not_make_a_line_malformed() -> None:
    ledger, _, failures = make_ledger()
    blocks = FewBlocks([b"NaN", b'{"a": -Infinity}', b"1"])
    assert [value async for value in lines(source_of(ledger), blocks)] == [1]
    assert [(each["status"], each["input"]) for each in failures.records] == [
        ("malformed", "NaN"),
        ("malformed", '{"a": -Infinity}'),
    ]
    assert failures.records[0]["error"] == "NaN is not JSON; write null, or a text"


async def test_lines_without_an_item_do_not_hold_the_loop() -> None:
    turns: list[int] = []
    source = source_of(make_ledger()[0])
    asyncio.get_running_loop().call_soon(lambda: turns.append(source.position))
    blocks = FewBlocks([b""] * 200 + [b"x"] * 200 + [b"1"])
    assert [value async for value in lines(source, blocks)] == [1]
    assert turns == [SKIPPED_AT_ONCE]


async def test_lines_of_text_are_taken_as_they_are() -> None:
    ledger, _, failures = make_ledger()
    blocks = FewBlocks([b"a\r", b"", b" b", b"\xff"])
    assert [value async for value in lines(source_of(ledger), blocks, text=True)] == ["a", "", " b"]
    assert [each["line"] for each in failures.records] == [4]


async def test_an_input_is_entered_before_it_is_fed() -> None:
    ledger, _, failures = make_ledger()
    source = source_of(ledger)
    blocks = FewBlocks([b"1", b"2"])
    reading = lines(source, blocks)
    assert await anext(reading) == 1
    await reading.aclose()
    assert blocks.is_closed
    assert (source.position, source.is_at_end, source.error) == (1, False, None)
    ledger.close([])
    assert [each["line"] for each in failures.records] == [1]


async def test_an_input_that_breaks_is_remembered() -> None:
    ledger, _, _ = make_ledger()
    source = source_of(ledger)
    error = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        assert [value async for value in lines(source, FewBlocks([b"1"], error=error))] == []
    assert source.error is error
    assert not source.is_at_end


async def test_room_is_waited_for() -> None:
    ledger, _, failures = make_ledger()
    failures.is_full = True
    assert [value async for value in lines(source_of(ledger), FewBlocks([b"1"]))] == [1]
    assert not failures.is_full
    failures.is_full = True
    assert [value async for value in source_of(ledger, "item").items("a")] == ["a"]
    assert not failures.is_full


async def both_ways() -> AsyncIterator[int]:
    yield 1
    yield 2


@pytest.mark.parametrize("items", [[1, 2], range(1, 3), "both ways"])
async def test_items_of_any_kind(items: Any) -> None:
    ledger, _, _ = make_ledger()
    source = source_of(ledger, "item")
    given = both_ways() if items == "both ways" else items
    assert [value async for value in source.items(given)] == [1, 2]
    assert (source.position, source.is_at_end, ledger.read) == (2, True, 2)


async def test_what_an_earlier_run_left_is_entered_under_the_number_of_its_item() -> None:
    ledger, output, _ = make_ledger()
    old = UnprocessedItem("a", 1, {}, 100, "Work", 77)
    source = Source(ledger, lambda value: 77 if value is old else 0, "item")
    assert [value async for value in source.items(["new", old])] == ["new", old]
    assert list(ledger._open) == [0, 77]
    assert output.lines == []


async def test_items_that_raise_are_closed_and_remembered() -> None:
    ended: list[str] = []

    def items() -> Iterator[int]:
        yield 1
        ended.append("raised")
        raise LookupError("no more")

    source = source_of(make_ledger()[0], "item")
    with pytest.raises(LookupError):
        assert [value async for value in source.items(items())] == []
    assert isinstance(source.error, LookupError)
    assert ended == ["raised"]


async def test_whatever_the_items_raise_is_remembered() -> None:
    class Panic(BaseException):
        """As an extension raises it."""

    def items() -> Iterator[int]:
        yield 1
        raise Panic

    source = source_of(make_ledger()[0], "item")
    with pytest.raises(Panic):
        assert [value async for value in source.items(items())] == []
    assert isinstance(source.error, Panic)


async def test_items_that_are_left_are_closed() -> None:
    closed: list[str] = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    reading = source_of(make_ledger()[0], "item").items(items())
    assert await anext(reading) == 1
    await reading.aclose()
    assert closed == ["closed"]
