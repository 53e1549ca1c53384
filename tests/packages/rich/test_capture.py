"""Capturing what the program writes to its streams."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread, current_thread
from typing import Any

import pytest

from antflow_rich import _capture
from antflow_rich._capture import MAX_LINE, OMITTED, Capture, CapturedText, LineBuffer, streams_of
from tests.packages.rich.terminals import PseudoTerminal


class Captured:
    """A capture for a thread that does nothing, and its queue."""

    def __init__(self, *streams: Any) -> None:
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self.capture = Capture(streams, self.queue, Thread())
        self.capture.start()

    def texts(self) -> list[str]:
        found = []
        try:
            while True:
                found.append(self.queue.get_nowait().text)
        except Empty:
            return found


def in_thread(function: Any, *arguments: Any) -> None:
    thread = Thread(target=function, args=arguments)
    thread.start()
    thread.join()


def shouting(write: Callable[[str], int]) -> Callable[[str], int]:
    return lambda text: write(text.upper())


class SlottedStream:
    """A stream whose methods cannot be replaced."""

    __slots__ = ("written",)

    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        pass


def test_all_writes_to_the_stream_object_are_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), write_through=True)
    stream.write("before\n")
    logger = logging.getLogger("of a test")
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(stream)])
    monkeypatch.setattr(logger, "propagate", False)
    captured = Captured(stream)
    print("printed", file=stream)
    logger.warning("logged")
    stream.writelines(["lines\n"])
    in_thread(stream.write, "by a thread\n")
    assert "".join(captured.texts()) == "printed\nlogged\nlines\nby a thread\n"
    assert stream.buffer.getvalue() == b"before\n"


def test_a_stream_is_restored() -> None:
    stream = io.StringIO()
    captured = Captured(stream)
    captured.capture.stop()
    assert vars(stream) == {}
    stream.write("after")
    assert stream.getvalue() == "after"
    assert captured.texts() == []


def test_queued_texts_are_written_at_the_end() -> None:
    one, other = io.StringIO(), io.StringIO()
    captured = Captured(one, other)
    one.write("one")
    captured.queue.put("some other message")
    other.write("other")
    captured.capture.stop()
    assert (one.getvalue(), other.getvalue()) == ("one", "other")


def test_a_kept_reference_to_write_works_after_the_end() -> None:
    stream = io.StringIO()
    captured = Captured(stream)
    write = stream.write
    captured.capture.stop()
    write("late")
    assert stream.getvalue() == "late"


def test_a_write_that_was_replaced_before_is_restored() -> None:
    stream: Any = io.StringIO()
    seen: list[str] = []
    stream.write = own = seen.append
    captured = Captured(stream)
    stream.write("during")
    captured.capture.stop()
    assert stream.write is own
    assert seen == ["during"]


def test_a_write_that_was_replaced_meanwhile_is_left_alone() -> None:
    stream: Any = io.StringIO()
    captured = Captured(stream)
    before = stream.write
    stream.write = own = shouting(before)
    captured.capture.stop()
    assert stream.write is own
    stream.write("after")
    assert stream.getvalue() == "AFTER"


def test_the_render_thread_is_not_captured() -> None:
    stream = io.StringIO()
    queue: SimpleQueue[Any] = SimpleQueue()
    capture = Capture([stream], queue, current_thread())
    capture.start()
    stream.write("drawn")
    assert stream.getvalue() == "drawn"
    assert queue.empty()
    capture.stop()


def test_a_forked_process_is_not_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    captured = Captured(stream)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    stream.write("by a child")
    assert stream.getvalue() == "by a child"
    assert captured.texts() == []


def test_a_stream_that_cannot_be_captured_is_left_alone() -> None:
    slotted = SlottedStream()
    captured = Captured(slotted, None, stream := io.StringIO())
    slotted.write("slotted")
    stream.write("captured")
    assert captured.texts() == ["captured"]
    captured.capture.stop()
    assert slotted.written == "slotted"


def test_bytes_raise_a_type_error_as_before() -> None:
    stream: Any = io.StringIO()
    captured = Captured(stream)
    with pytest.raises(TypeError):
        stream.write(b"bytes")
    captured.capture.stop()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_capture, "MAX_QUEUED", 3)


@pytest.mark.usefixtures("few")
def test_writing_faster_than_can_be_drawn_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    captured = Captured(stream)
    waits: list[float] = []

    def draw_one(seconds: float) -> None:
        waits.append(seconds)
        captured.queue.get_nowait()

    monkeypatch.setattr(_capture, "sleep", draw_one)
    for number in range(5):
        stream.write(f"{number}\n")
    assert len(waits) == 2
    assert "".join(captured.texts()) == "2\n3\n4\n"


@pytest.mark.usefixtures("few")
def test_writing_to_a_stopped_terminal_does_not_wait_and_omitted_texts_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    captured = Captured(stream)
    waits: list[float] = []
    monkeypatch.setattr(_capture, "sleep", waits.append)
    monkeypatch.setattr(_capture, "monotonic", lambda: len(waits) / 10)
    for number in range(9):
        assert stream.write(f"{number}\n") == 2
    assert len(waits) / 10 == pytest.approx(_capture.MAX_WAIT, abs=0.11)
    assert "".join(captured.texts()) == "0\n1\n2\n"
    stream.write("on again\n")
    assert "".join(captured.texts()) == OMITTED.format(6) + "on again\n"
    for number in range(5):
        stream.write(f"{number}\n")
    captured.capture.stop()
    assert stream.getvalue() == "0\n1\n2\n" + OMITTED.format(2)


def test_texts_are_joined_to_lines() -> None:
    buffer = LineBuffer()
    for text in ("one", " two\nthree", "\n", "\n", "four"):
        buffer.add(CapturedText(0, text))
    assert buffer.pop_lines() == ["one two", "three", ""]
    assert buffer.unfinished == "four"
    assert buffer.pop_lines() == []
    buffer.add(CapturedText(0, "!\n"))
    assert buffer.pop_all() == ["four!"]


def test_lines_of_two_streams_are_not_mixed() -> None:
    buffer = LineBuffer()
    for stream, text in ((0, "out"), (1, "err"), (0, "put\n"), (1, "or")):
        buffer.add(CapturedText(stream, text))
    assert buffer.pop_lines() == ["output"]
    assert buffer.pop_all() == ["error"]
    assert buffer.unfinished == ""


def test_a_carriage_return_hides_what_was_before_it() -> None:
    buffer = LineBuffer()
    buffer.add(CapturedText(0, "10 %\r20 %\r"))
    assert buffer.unfinished == "20 %"
    buffer.add(CapturedText(0, "30 %"))
    assert buffer.unfinished == "30 %"


def test_a_bar_that_is_overwritten_leaves_its_last_state_only() -> None:
    buffer = LineBuffer()
    for percent in range(101):
        buffer.add(CapturedText(0, f"\r{percent} % " + "#" * (MAX_LINE // 10)))
    buffer.add(CapturedText(0, "\r"))
    assert buffer.pop_lines() == []
    buffer.add(CapturedText(0, "\n"))
    assert [line.rstrip("#\r") for line in buffer.pop_lines()] == ["100 % "]


def test_a_line_without_an_end_is_not_kept_forever() -> None:
    buffer = LineBuffer()
    for _ in range(3):
        buffer.add(CapturedText(0, "x" * (MAX_LINE // 2 + 1)))
    assert [len(line) for line in buffer.pop_lines()] == [2 * (MAX_LINE // 2 + 1)]


def test_the_standard_streams_of_the_terminal_are_captured_and_no_others(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.dup(tty.stream.fileno()), "w", encoding="utf-8") as same:  # noqa: PTH123
        monkeypatch.setattr(sys, "stderr", tty.stream)
        monkeypatch.setattr(sys, "stdout", same)
        assert streams_of(tty.stream) == [tty.stream, same]
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        assert streams_of(tty.stream) == [tty.stream]
        assert streams_of(io.StringIO()) == []
