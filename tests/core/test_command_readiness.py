"""Files that do not wait: pipes that another process has made non-blocking."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE

import pytest

from antflow._cli import descriptor_io as readiness
from antflow._cli.descriptor_io import read, write

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
    wait = readiness._wait

    def act_and_wait(descriptor: int, event: int) -> None:
        waits.append(event)
        do()
        wait(descriptor, event)

    monkeypatch.setattr(readiness, "_wait", act_and_wait)
    return waits


def test_what_has_nothing_yet_is_waited_for(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    waits = at_each_wait(monkeypatch, lambda: write(writer, b"late"))
    assert read(reader, 10) == b"late"
    assert waits == [EVENT_READ]
    os.close(writer)
    assert read(reader, 10) == b""


def test_what_is_full_is_waited_for_and_gets_everything_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    content = bytes(range(256)) * (1 << 13)
    writing = threading.Thread(target=write, args=(writer, content))
    writing.start()
    got = b""
    while len(got) < len(content):
        got += read(reader, 1 << 16)
    writing.join()
    assert got == content


def test_a_reader_that_goes_away_meanwhile_is_told(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    waits = at_each_wait(monkeypatch, lambda: os.close(reader))
    with pytest.raises(BrokenPipeError):
        write(writer, MORE_THAN_A_PIPE_HOLDS)
    assert waits == [EVENT_WRITE]
