"""A file that is written to beside the loop: order, batches, room, failure, and haste."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pytest

from antflow._cli import file_writer as sink
from antflow._cli.file_writer import MOST_WAITING, Sink

LINE = b"x" * 999 + b"\n"


class Written:
    """A pipe that a sink writes to, and what the sink has told."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.numbers: list[int] = []
        self.failures = 0
        self.told = asyncio.Event()

    def sink(self) -> Sink:
        return Sink(self.writer, asyncio.get_running_loop(), self.note, self.fail)

    def note(self, numbers: Iterable[int]) -> None:
        self.numbers += numbers
        self.told.set()

    def fail(self) -> None:
        self.failures += 1
        self.told.set()

    async def hear(self) -> None:
        await self.told.wait()
        self.told.clear()

    def read(self) -> bytes:
        return os.read(self.reader, 1 << 22)

    async def read_all(self) -> bytes:
        parts = []
        while part := await asyncio.to_thread(os.read, self.reader, 1 << 16):
            parts.append(part)
        return b"".join(parts)


@pytest.fixture
def written() -> Iterator[Written]:
    written = Written()
    yield written
    for descriptor in written.reader, written.writer:
        with suppress(OSError):
            os.close(descriptor)


async def test_the_first_line_is_written_at_once(written: Written) -> None:
    one = written.sink()
    one.add(b"a\n", 7)
    await written.hear()
    assert (written.numbers, written.read()) == ([7], b"a\n")
    await one.close()


async def test_what_follows_at_once_is_written_together(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "PAUSE_SECONDS", 3600)
    one = written.sink()
    one.add(b"a\n", 1)
    await written.hear()
    one.add(b"b\n", 2)
    one.add(b"c\n", 3)
    await asyncio.sleep(0)
    assert written.numbers == [1]
    await one.close()
    assert (written.numbers, written.read()) == ([1, 2, 3], b"a\nb\nc\n")


async def test_after_the_pause_the_rest_is_written(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "PAUSE_SECONDS", 0)
    one = written.sink()
    for number in range(3):
        one.add(b"a\n", number)
        await written.hear()
    assert written.numbers == [0, 1, 2]
    await one.close()


async def test_enough_does_not_wait_for_the_pause(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "PAUSE_SECONDS", 3600)
    monkeypatch.setattr(sink, "ENOUGH", 4)
    one = written.sink()
    one.add(b"a\n", 1)
    await written.hear()
    one.add(b"b\n", 2)
    one.add(b"c\n", 3)
    await written.hear()
    assert written.numbers == [1, 2, 3]
    await one.close()


@pytest.mark.parametrize("blocks", [True, False])
async def test_who_adds_waits_while_the_file_takes_nothing(
    written: Written, *, blocks: bool
) -> None:
    os.set_blocking(written.writer, blocks)
    one = written.sink()
    lines = 0
    while not one.is_full:
        one.add(LINE, lines)
        lines += 1
    assert lines * len(LINE) > MOST_WAITING
    waiting = asyncio.create_task(one.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    reading = asyncio.create_task(written.read_all())
    await waiting
    assert not one.is_full
    await one.close()
    assert await reading == LINE * lines
    assert written.numbers == list(range(lines))


async def test_a_reader_that_goes_away_is_told_of_once(written: Written) -> None:
    os.close(written.reader)
    one = written.sink()
    one.add(b"a\n", 1)
    one.add(b"b\n", 2)
    await written.hear()
    assert isinstance(one.error, BrokenPipeError)
    one.add(b"c\n", 3)
    await one.room()
    await one.close()
    assert (written.numbers, written.failures) == ([], 1)


async def test_a_file_that_says_at_its_closing_that_it_is_full_has_failed(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    one = written.sink()
    with monkeypatch.context() as patched:
        patched.setattr(os, "close", close)
        await one.close()
    assert one.error is not None
    assert one.error.errno == errno.ENOSPC


async def test_in_haste_what_waits_is_written_without_the_loop(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "PAUSE_SECONDS", 3600)
    one = written.sink()
    for number in range(3):
        one.add(b"a\n", number)
    one.hurry(60)
    assert (written.numbers, written.read()) == ([0, 1, 2], b"a\na\na\n")
    one.add(b"b\n", 3)
    one.hurry(60)
    assert (written.numbers, written.read()) == ([0, 1, 2, 3], b"b\n")
    await one.close()


async def test_haste_ends_where_the_file_takes_nothing(written: Written) -> None:
    one = written.sink()
    one.add(LINE * 1000, 1)
    one.hurry(0)
    assert written.numbers == []
    assert one.is_writing
    assert len(await asyncio.to_thread(written.read)) > 0
