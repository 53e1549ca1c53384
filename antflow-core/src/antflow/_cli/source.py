"""What a pipeline is fed: lines of a file, arguments, or the program's own items."""

from __future__ import annotations

import json
from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from inspect import isasyncgen
from typing import Any

from .line_reader import Blocks
from .pending_inputs import Ledger

Number = Callable[[Any], int]
"""Returns the `sequence_id` of a value's item, if that is fed next."""

Parse = Callable[[bytes], Any]
"""Returns what a line says; raises ValueError or RecursionError if it says nothing."""

NOTHING = object()
SKIPPED_AT_ONCE = 100
"""Lines without an item that are read before others have a turn on the event loop."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; write null, or a text")


decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def json_of(line: bytes) -> Any:
    """Return what a line of JSON says."""
    return decode(line.decode())


def text_of_line(line: bytes) -> str:
    """Return a line of text, without its end."""
    return line.decode().removesuffix("\r")


class Source:
    """What a pipeline is fed, and how far it has been read.

    Args:
        ledger: takes note of each input before it is fed.
        number_of: says the number that it gets.
        noun: what it is a sequence of, "line" or "item".
    """

    def __init__(self, ledger: Ledger, number_of: Number, noun: str) -> None:
        self.noun = noun
        self.position = 0
        self.is_at_end = False
        self.error: BaseException | None = None
        self._ledger = ledger
        self._number_of = number_of
        self._block: tuple[list[bytes], int, int] = [], 0, 0

    @property
    def consumed_bytes(self) -> int:
        """How many bytes of the file are in the lines that were read; from any thread."""
        lines, position, before = self._block
        ends = lines[: max(0, self.position - position)]
        return before + sum(map(len, ends)) + len(ends)

    async def lines(
        self, blocks: Blocks, parse: Parse, *, skips_blank: bool
    ) -> AsyncGenerator[Any, None]:
        """Read lines; those that cannot be parsed are refused, and the others go on.

        Args:
            blocks: of lines.
            parse: reads one.
            skips_blank: whether lines of nothing but spaces are skipped.
        """
        skipped = 0
        with self._noting():
            async with aclosing(blocks.read()) as read:
                async for block in read:
                    self._block = block, self.position, self.consumed_bytes
                    if not self.position:
                        block[0] = block[0].removeprefix(BYTE_ORDER_MARK)
                    for line in block:
                        if self._ledger.is_full:
                            await self._ledger.room()
                        value = self._parsed(line, parse, skips_blank=skips_blank)
                        if value is not NOTHING:
                            yield value
                            continue
                        skipped += 1
                        if skipped % SKIPPED_AT_ONCE == 0:
                            await sleep(0)
            self.is_at_end = True

    def _parsed(self, line: bytes, parse: Parse, *, skips_blank: bool) -> Any:
        self.position += 1
        try:
            value = parse(line)
        except (ValueError, RecursionError) as error:
            if line.strip() or not skips_blank:
                self._ledger.refuse(self.position, line, error)
            return NOTHING
        self._ledger.enter(self._number_of(value), self.position, line)
        return value

    async def items(self, items: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
        """Read items of a program, or arguments."""
        ledger = self._ledger
        with self._noting():
            async with aclosing(_each(items)) as read:
                async for value in read:
                    self.position += 1
                    ledger.enter(self._number_of(value), self.position, value)
                    yield value
                    if ledger.is_full:
                        await ledger.room()
            self.is_at_end = True

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if not isinstance(error, GeneratorExit):
                self.error = error
            raise


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    if not isinstance(items, AsyncIterable):
        for item in items:
            yield item
        return
    try:
        async for item in items:
            yield item
    finally:
        if isasyncgen(items):
            await items.aclose()
