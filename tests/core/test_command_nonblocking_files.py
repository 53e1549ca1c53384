"""Pipes that another process has made non-blocking."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE

import pytest

from antflow._cli import file_io
from antflow._cli.file_io import read_some, write_all

MORE_THAN_A_PIPE_HOLDS = b"x" * (1 << 21)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    for descriptor in ends:
        os.set_blocking(descriptor, False)
    yield ends
    for descriptor in ends:
        with suppress(OSError):
            os.close(descriptor)


def at_each_wait(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> list[int]:
    """Have something done before each wait, and return the events that are waited for."""
    waits: list[int] = []
    wait = file_io._wait

    def act_and_wait(descriptor: int, event: int) -> None:
        waits.append(event)
        do()
        wait(descriptor, event)

    monkeypatch.setattr(file_io, "_wait", act_and_wait)
    return waits


def test_a_read_waits_for_an_empty_pipe(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    waits = at_each_wait(monkeypatch, lambda: write_all(writer, b"late"))
    assert read_some(reader, 10) == b"late"
    assert waits == [EVENT_READ]
    os.close(writer)
    assert read_some(reader, 10) == b""


def test_a_write_waits_for_a_full_pipe_and_keeps_the_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    content = bytes(range(256)) * (1 << 13)
    writing = threading.Thread(target=write_all, args=(writer, content))
    writing.start()
    got = b""
    while len(got) < len(content):
        got += read_some(reader, 1 << 16)
    writing.join()
    assert got == content


def test_a_pipe_that_is_closed_meanwhile_raises(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    waits = at_each_wait(monkeypatch, lambda: os.close(reader))
    with pytest.raises(BrokenPipeError):
        write_all(writer, MORE_THAN_A_PIPE_HOLDS)
    assert waits == [EVENT_WRITE]
