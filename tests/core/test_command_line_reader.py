"""Blocks of lines, read in a thread."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from antflow._cli import file_io
from antflow._cli.file_io import LineReader


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for descriptor in ends:
        with suppress(OSError):
            os.close(descriptor)


async def lines_of(descriptor: int) -> list[bytes]:
    return [line async for block in LineReader(descriptor).blocks() for line in block]


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 17])
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\nbcd\ne", [b"a", b"", b"bcd", b"e"]),
        (b"a\r\n", [b"a\r"]),
    ],
)
def test_lines_are_found_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, content: bytes, lines: list[bytes]
) -> None:
    monkeypatch.setattr(file_io, "BLOCK_BYTES", size)
    path = tmp_path / "file"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    assert asyncio.run(lines_of(descriptor)) == lines
    os.close(descriptor)


async def test_a_line_comes_before_the_next_is_there(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    async with aclosing(LineReader(reader).blocks()) as blocks:
        for line in b"a", b"b":
            os.write(writer, line + b"\n")
            assert await anext(blocks) == [line]


async def test_a_read_of_a_silent_file_can_be_cancelled(pipe: tuple[int, int]) -> None:
    blocks = LineReader(pipe[0]).blocks()
    waiting = asyncio.ensure_future(anext(blocks))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.write(pipe[1], b"late\n")


async def test_a_file_that_has_nothing_yet_is_waited_for(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    os.set_blocking(reader, False)
    monkeypatch.setattr(file_io, "_wait", lambda *_: os.write(writer, b"late\n"))
    async with aclosing(LineReader(reader).blocks()) as blocks:
        assert await anext(blocks) == [b"late"]


async def test_a_file_that_cannot_be_read_raises(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        await anext(LineReader(descriptor).blocks())
    os.close(descriptor)
