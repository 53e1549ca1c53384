"""Reading and writing in threads: blocks, batches, pauses, slow and failing files, a last flush."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from select import select

import pytest

from antflow_cli import _file_io as file_io
from antflow_cli._file_io import MAX_WAITING_BYTES, FileWriter, LineReader, read_some, write_all
from antflow_cli._printing import print_err

LINE = b"x" * 999 + b"\n"


class Pipe:
    """A pipe, a FileWriter that writes to it, and the calls of the FileWriter."""

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

    def read_all(self) -> bytes:
        return b"".join(iter(lambda: os.read(self.reader, 1 << 16), b""))


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for descriptor in pipe.reader, pipe.writer:
        with suppress(OSError):
            os.close(descriptor)


# Reading


@pytest.mark.parametrize("size", [1, 3, 1 << 17])
@pytest.mark.parametrize("lines", [[], [b""], [b"a"], [b"a", b"", b"bcd", b"e"], [b"a\r"]])
async def test_lines_are_found_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, lines: list[bytes]
) -> None:
    monkeypatch.setattr(file_io, "BLOCK_BYTES", size)
    path = tmp_path / "file"
    for content in b"".join(line + b"\n" for line in lines), b"\n".join(lines):
        path.write_bytes(content)
        descriptor = os.open(path, os.O_RDONLY)
        read = [line async for block in LineReader(descriptor).blocks() for line in block]
        os.close(descriptor)
        assert read == (lines if content else [])


async def test_a_line_comes_before_the_next_is_there(pipe: Pipe) -> None:
    async with aclosing(LineReader(pipe.reader).blocks()) as blocks:
        for line in b"a", b"b":
            os.write(pipe.writer, line + b"\n")
            assert await anext(blocks) == [line]


async def test_a_read_of_a_silent_file_can_be_cancelled(pipe: Pipe) -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    waiting = asyncio.ensure_future(anext(LineReader(pipe.reader).blocks()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (thread,) = (each for each in threading.enumerate() if each.name == "antflow-reader")
    os.write(pipe.writer, b"late\n")
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)
    assert errors == []


def test_a_pipe_that_another_process_made_non_blocking_is_waited_for(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.set_blocking(pipe.reader, False)
    os.set_blocking(pipe.writer, False)
    content = bytes(range(256)) * (1 << 13)
    writing = threading.Thread(target=write_all, args=(pipe.writer, content))
    writing.start()
    got = b""
    while len(got) < len(content):
        got += read_some(pipe.reader, 1 << 16)
    writing.join()
    assert got == content
    monkeypatch.setattr(file_io, "_wait", lambda *_: os.write(pipe.writer, b"late"))
    assert read_some(pipe.reader, 10) == b"late"
    monkeypatch.setattr(file_io, "_wait", lambda *_: os.close(pipe.reader))
    with pytest.raises(BrokenPipeError):
        write_all(pipe.writer, content)


def test_a_message_waits_for_standard_error_that_another_process_made_non_blocking(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.set_blocking(pipe.writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe.writer, b"." * 1024)
    got: list[bytes] = []
    monkeypatch.setattr(file_io, "_wait", lambda *_: got.append(pipe.read()))
    with open(pipe.writer, "w", encoding="ascii", closefd=False) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(sys, "__stderr__", stream)
        print_err("a message \u2713")
        os.close(pipe.writer)
    got.append(pipe.read_all())
    assert b"".join(got).strip(b".") == b"a message \\u2713\n"


# Writing


async def test_the_first_line_is_written_at_once_and_then_a_batch(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_io, "PAUSE_SECONDS", 3600)
    writer = pipe.file_writer()
    writer.add(b"a\n", 7)
    await pipe.wait_for_call()
    assert (pipe.numbers, pipe.read()) == ([7], b"a\n")
    writer.add(b"b\n", 2)
    writer.add(b"c\n", 3)
    await asyncio.sleep(0)
    assert pipe.numbers == [7]
    await writer.close()
    assert (pipe.numbers, pipe.read()) == ([7, 2, 3], b"b\nc\n")


@pytest.mark.parametrize(("name", "value"), [("PAUSE_SECONDS", 0), ("BATCH_BYTES", 4)])
async def test_after_the_pause_or_a_full_batch_the_rest_is_written(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    monkeypatch.setattr(file_io, "PAUSE_SECONDS", 3600)
    monkeypatch.setattr(file_io, name, value)
    writer = pipe.file_writer()
    writer.add(b"a\n", 1)
    await pipe.wait_for_call()
    writer.add(b"b\n", 2)
    writer.add(b"c\n", 3)
    await pipe.wait_for_call()
    assert pipe.numbers == [1, 2, 3]
    await writer.close()


@pytest.mark.parametrize("blocks", [True, False])
async def test_there_is_no_room_while_the_file_accepts_nothing(pipe: Pipe, blocks: bool) -> None:
    os.set_blocking(pipe.writer, blocks)
    writer, lines = pipe.file_writer(), 0
    while not writer.is_full:
        writer.add(LINE, lines)
        lines += 1
    assert lines * len(LINE) > MAX_WAITING_BYTES
    waiting = asyncio.create_task(writer.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_all))
    await waiting
    assert not writer.is_full
    await writer.close()
    assert await reading == LINE * lines
    assert pipe.numbers == list(range(lines))


async def test_a_closed_pipe_is_reported_once(pipe: Pipe) -> None:
    os.close(pipe.reader)
    writer = pipe.file_writer()
    writer.add(b"a\n", 1)
    writer.add(b"b\n", 2)
    await pipe.wait_for_call()
    assert isinstance(writer.error, BrokenPipeError)
    writer.add(b"c\n", 3)
    await writer.wait_for_room()
    await writer.close()
    assert (pipe.numbers, pipe.failures) == ([], 1)


async def test_an_error_of_closing_the_file_is_remembered(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = pipe.file_writer()
    with monkeypatch.context() as patched:
        patched.setattr(os, "close", close)
        await writer.close()
    assert writer.error is not None
    assert writer.error.errno == errno.ENOSPC


async def test_a_flush_needs_no_event_loop(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_io, "PAUSE_SECONDS", 3600)
    writer = pipe.file_writer()
    for number in range(3):
        writer.add(b"a\n", number)
    writer.flush_in_time(60)
    assert (pipe.numbers, pipe.read()) == ([0, 1, 2], b"a\na\na\n")
    writer.add(b"b\n", 3)
    writer.flush_in_time(60)
    assert (pipe.numbers, pipe.read()) == ([0, 1, 2, 3], b"b\n")
    await writer.close()


@pytest.mark.parametrize("size", [1, 7, 999, 5_000, 100_000])
async def test_a_flush_ends_if_the_file_accepts_nothing_and_knows_what_it_accepted(
    pipe: Pipe, size: int
) -> None:
    writer, count = pipe.file_writer(), 0
    while not writer.is_full:
        writer.add(b"x" * size + b"\n", count)
        count += 1
    while select([], [pipe.writer], [], 0)[1]:
        await asyncio.sleep(0)
    writer.flush_in_time(0.01)
    assert writer.is_writing
    os.set_blocking(pipe.reader, False)
    accepted = b""
    with suppress(BlockingIOError):
        while True:
            accepted += pipe.read()
    assert pipe.numbers == list(range(accepted.count(b"\n")))
    assert len(pipe.numbers) < count


async def test_a_descriptor_that_another_has_closed_is_not_used(pipe: Pipe, tmp_path: Path) -> None:
    writer, reader = pipe.file_writer(), LineReader(pipe.reader)
    with (tmp_path / "other").open("w+b") as other:
        other.write(b"a line of another\n")
        other.seek(0)
        for descriptor in pipe.reader, pipe.writer:
            os.dup2(other.fileno(), descriptor)
        writer.add(b"a\n", 1)
        await pipe.wait_for_call()
        with pytest.raises(OSError, match="the program or a library has closed its descriptor"):
            await anext(reader.blocks())
        await writer.close()
        assert (pipe.numbers, pipe.failures) == ([], 1)
        assert other.read() == b"a line of another\n"
        assert os.fstat(pipe.writer)


async def test_lines_of_two_writers_of_a_pipe_do_not_interrupt_each_other(pipe: Pipe) -> None:
    turn, count = threading.Lock(), 2_000
    loop = asyncio.get_running_loop()
    writers = [
        FileWriter(each, loop, pipe.on_written, pipe.on_failed, turn)
        for each in (os.dup(pipe.writer), pipe.writer)
    ]
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_all))
    for number in range(count):
        for name, writer in zip((b"a", b"b"), writers, strict=True):
            writer.add(name * 300 + b"\n", number)
            await writer.wait_for_room()
    for writer in writers:
        await writer.close()
    assert sorted(set((await reading).splitlines())) == [b"a" * 300, b"b" * 300]
    assert len(pipe.numbers) == 2 * count
