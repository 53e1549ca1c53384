"""The input of a run: lines of a file, arguments, or the `items` of the program."""

from __future__ import annotations

import json
import os
import stat
from asyncio import sleep
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Sized,
)
from contextlib import aclosing
from inspect import isasyncgen
from typing import Any

from ._file_io import LineReader
from ._pending_inputs import PendingInputs

NumberOf = Callable[[Any], int]
"""Returns the `sequence_id` that a value's item gets if it is fed next."""

Parse = Callable[[bytes], Any]
"""Returns the value of a line; raises ValueError or RecursionError if it has none."""

NO_VALUE = object()
SKIPPED_AT_ONCE = 100
"""Lines without a value that are read before other tasks may run."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; write null, or a text")


decode = json.JSONDecoder(parse_constant=_reject_constant).decode


def parse_json(line: bytes) -> Any:
    """Return the value of a line of JSON."""
    return decode(line.decode())


def parse_text(line: bytes) -> str:
    """Return a line of text without its line end."""
    return line.decode().removesuffix("\r")


class CommandInput:
    """Reads values, and adds each to the pending inputs before it is fed.

    Args:
        pending: the inputs of the run.
        number_of: returns the number under which a value is added.
        noun: "line" or "item", for the report.
        on_begin: called once, at the first line or item, or at the end of an empty input.
    """

    def __init__(
        self, pending: PendingInputs, number_of: NumberOf, noun: str, on_begin: Callable[[], None]
    ) -> None:
        self.noun = noun
        self.position = 0
        self.is_at_end = False
        self.error: BaseException | None = None
        self._pending = pending
        self._number_of = number_of
        self._on_begin = on_begin
        self._block: tuple[list[bytes], int, int] = [], 0, 0

    @property
    def consumed_bytes(self) -> int:
        """The bytes of the lines that were read; may be called from any thread."""
        # One attribute holds all three, so that another thread sees values of the same block.
        lines, position, before = self._block
        consumed = lines[: max(0, self.position - position)]
        return before + sum(map(len, consumed)) + len(consumed)

    async def read_lines(
        self, reader: LineReader, parse: Parse, *, skips_blank: bool
    ) -> AsyncGenerator[Any, None]:
        """Yield the values of lines; reject those that cannot be parsed.

        Args:
            reader: of the file.
            parse: returns the value of a line.
            skips_blank: whether blank lines are no error.
        """
        skipped = 0
        with _ErrorMemory(self):
            async with aclosing(reader.blocks()) as blocks:
                async for block in blocks:
                    self._block = block, self.position, self.consumed_bytes
                    if not self.position:
                        self._on_begin()
                        block[0] = block[0].removeprefix(BYTE_ORDER_MARK)
                    for line in block:
                        if self._pending.is_full:
                            await self._pending.wait_for_room()
                        value = self._parse(line, parse, skips_blank=skips_blank)
                        if value is not NO_VALUE:
                            yield value
                            continue
                        skipped += 1
                        # A generator that never yields would hold the event loop.
                        if skipped % SKIPPED_AT_ONCE == 0:
                            await sleep(0)
            self._end()

    def _parse(self, line: bytes, parse: Parse, *, skips_blank: bool) -> Any:
        self.position += 1
        try:
            value = parse(line)
        except (ValueError, RecursionError) as error:
            if line.strip() or not skips_blank:
                # Its frames are this module's and json's, and say nothing of the user's program.
                self._pending.reject(self.position, line, error.with_traceback(None))
            return NO_VALUE
        # Nothing runs between this call and the numbering of the item, so both get one number.
        self._pending.add(self._number_of(value), self.position, line)
        return value

    async def read_items(
        self, items: Iterable[Any] | AsyncIterable[Any]
    ) -> AsyncGenerator[Any, None]:
        """Yield the items of the program, or the arguments."""
        pending = self._pending
        with _ErrorMemory(self):
            async with aclosing(_each(items)) as values:
                async for value in values:
                    if not self.position:
                        self._on_begin()
                    self.position += 1
                    pending.add(self._number_of(value), self.position, value)
                    yield value
                    if pending.is_full:
                        await pending.wait_for_room()
            self._end()

    def _end(self) -> None:
        if not self.position:
            self._on_begin()
        self.is_at_end = True


class _ErrorMemory:
    """Sets the `error` of an input to what a block raises.

    Args:
        command_input: the input.
    """

    # Not contextlib.contextmanager, which sets attributes of the error: an exception that is a
    # frozen dataclass refuses that.

    def __init__(self, command_input: CommandInput) -> None:
        self._input = command_input

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, raised: BaseException | None, _traceback: object) -> None:
        if raised is not None and not isinstance(raised, GeneratorExit):
            self._input.error = raised


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


class CountedInput:
    """An input with a known number of items, for displays and plugins.

    Args:
        items: the input.
        counted: says how many they are.
    """

    def __init__(self, items: AsyncIterator[Any], counted: Sized) -> None:
        self._items = items
        self._counted = counted

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._items

    def __len__(self) -> int:
        return len(self._counted)


class MeasuredInput:
    """Lines of a regular file, of which displays show the fraction that was read.

    Args:
        items: the items of the lines.
        command_input: counts the bytes of the lines that were read.
        descriptor: of the file; the part before its current offset is not read.
    """

    def __init__(
        self, items: AsyncIterator[Any], command_input: CommandInput, descriptor: int
    ) -> None:
        self._items = items
        self._input = command_input
        self._descriptor = descriptor
        self._offset = os.lseek(descriptor, 0, os.SEEK_CUR)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._items

    def fraction_read(self) -> float | None:
        """Return the fraction of the file that was read, from 0 to 1; None without a size."""
        if self._input.is_at_end:
            return 1.0
        size = os.fstat(self._descriptor).st_size - self._offset  # each time: the file may grow
        return self._input.consumed_bytes / size if size > 0 else None


def is_regular_file(descriptor: int) -> bool:
    """Return whether a file has a size that says how much there is to read."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)
