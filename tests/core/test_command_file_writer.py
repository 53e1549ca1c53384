"""Writing of a file in a thread: order, batches, backpressure, failure and flush."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pytest

from antflow._cli import file_io
from antflow._cli.file_io import MAX_WAITING_BYTES, FileWriter

LINE = b"x" * 999 + b"\n"


class Written:
    """A pipe that a FileWriter writes to, and the calls of the FileWriter."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.numbers: list[int] = []
        self.failures = 0
        self.called = asyncio.Event()

    def file_writer(self) -> FileWriter:
        return FileWriter(self.writer, asyncio.get_running_loop(), self.on_written, self.on_failed)

    def on_written(self, numbers: Iterable[int]) -> None:
        self.numbers += numbers
        self.called.set()

    def on_failed(self) -> None:
        self.failures += 1
        self.called.set()

    async def wait_for_call(self) -> None:
        await self.called.wait()
        self.called.clear()

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
    writer = written.file_writer()
    writer.add(b"a\n", 7)
    await written.wait_for_call()
    assert (written.numbers, written.read()) == ([7], b"a\n")
    await writer.close()


async def test_lines_that_follow_at_once_are_written_as_one_batch(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_io, "PAUSE_SECONDS", 3600)
    writer = written.file_writer()
    writer.add(b"a\n", 1)
    await written.wait_for_call()
    writer.add(b"b\n", 2)
    writer.add(b"c\n", 3)
    await asyncio.sleep(0)
    assert written.numbers == [1]
    await writer.close()
    assert (written.numbers, written.read()) == ([1, 2, 3], b"a\nb\nc\n")


async def test_after_the_pause_the_rest_is_written(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_io, "PAUSE_SECONDS", 0)
    writer = written.file_writer()
    for number in range(3):
        writer.add(b"a\n", number)
        await written.wait_for_call()
    assert written.numbers == [0, 1, 2]
    await writer.close()


async def test_a_full_batch_does_not_wait_for_the_pause(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_io, "PAUSE_SECONDS", 3600)
    monkeypatch.setattr(file_io, "BATCH_BYTES", 4)
    writer = written.file_writer()
    writer.add(b"a\n", 1)
    await written.wait_for_call()
    writer.add(b"b\n", 2)
    writer.add(b"c\n", 3)
    await written.wait_for_call()
    assert written.numbers == [1, 2, 3]
    await writer.close()


@pytest.mark.parametrize("blocks", [True, False])
async def test_there_is_no_room_while_the_file_accepts_nothing(
    written: Written, *, blocks: bool
) -> None:
    os.set_blocking(written.writer, blocks)
    writer = written.file_writer()
    lines = 0
    while not writer.is_full:
        writer.add(LINE, lines)
        lines += 1
    assert lines * len(LINE) > MAX_WAITING_BYTES
    waiting = asyncio.create_task(writer.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    reading = asyncio.create_task(written.read_all())
    await waiting
    assert not writer.is_full
    await writer.close()
    assert await reading == LINE * lines
    assert written.numbers == list(range(lines))


async def test_a_closed_pipe_is_reported_once(written: Written) -> None:
    os.close(written.reader)
    writer = written.file_writer()
    writer.add(b"a\n", 1)
    writer.add(b"b\n", 2)
    await written.wait_for_call()
    assert isinstance(writer.error, BrokenPipeError)
    writer.add(b"c\n", 3)
    await writer.wait_for_room()
    await writer.close()
    assert (written.numbers, written.failures) == ([], 1)


async def test_an_error_of_closing_the_file_is_remembered(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = written.file_writer()
    with monkeypatch.context() as patched:
        patched.setattr(os, "close", close)
        await writer.close()
    assert writer.error is not None
    assert writer.error.errno == errno.ENOSPC


async def test_a_flush_needs_no_event_loop(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_io, "PAUSE_SECONDS", 3600)
    writer = written.file_writer()
    for number in range(3):
        writer.add(b"a\n", number)
    writer.flush_in_time(60)
    assert (written.numbers, written.read()) == ([0, 1, 2], b"a\na\na\n")
    writer.add(b"b\n", 3)
    writer.flush_in_time(60)
    assert (written.numbers, written.read()) == ([0, 1, 2, 3], b"b\n")
    await writer.close()


async def test_a_flush_ends_if_the_file_accepts_nothing(written: Written) -> None:
    writer = written.file_writer()
    writer.add(LINE * 1000, 1)
    writer.flush_in_time(0)
    assert written.numbers == []
    assert writer.is_writing
    assert len(await asyncio.to_thread(written.read)) > 0
