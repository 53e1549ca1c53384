"""What the program writes, taken from its streams."""

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
from antflow_rich._capture import LEFT_OUT, LONGEST_LINE, Capture, Said, Written, streams_of
from tests.rich.terminals import PseudoTerminal


class Taken:
    """A capture for a thread that does nothing, and what it takes."""

    def __init__(self, *streams: Any) -> None:
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.capture = Capture(streams, self.inbox, Thread())
        self.capture.begin()

    def texts(self) -> list[str]:
        found = []
        try:
            while True:
                found.append(self.inbox.get_nowait().text)
        except Empty:
            return found


def elsewhere(function: Any, *arguments: Any) -> None:
    thread = Thread(target=function, args=arguments)
    thread.start()
    thread.join()


def shouting(write: Callable[[str], int]) -> Callable[[str], int]:
    return lambda text: write(text.upper())


class Sealed:
    """A stream whose methods cannot be replaced."""

    __slots__ = ("written",)

    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        pass


def test_whoever_holds_the_stream_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), write_through=True)
    stream.write("before\n")
    logger = logging.getLogger("of a test")
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(stream)])
    monkeypatch.setattr(logger, "propagate", False)
    taken = Taken(stream)
    print("printed", file=stream)
    logger.warning("logged")
    stream.writelines(["lines\n"])
    elsewhere(stream.write, "by a thread\n")
    assert "".join(taken.texts()) == "printed\nlogged\nlines\nby a thread\n"
    assert stream.buffer.getvalue() == b"before\n"


def test_a_stream_is_given_back_as_it_was() -> None:
    stream = io.StringIO()
    taken = Taken(stream)
    taken.capture.end()
    assert vars(stream) == {}
    stream.write("after")
    assert stream.getvalue() == "after"
    assert taken.texts() == []


def test_what_was_taken_and_not_drawn_is_written_in_the_end() -> None:
    one, other = io.StringIO(), io.StringIO()
    taken = Taken(one, other)
    one.write("one")
    taken.inbox.put("some other message")
    other.write("other")
    taken.capture.end()
    assert (one.getvalue(), other.getvalue()) == ("one", "other")


def test_a_write_that_is_held_on_to_still_writes_in_the_end() -> None:
    stream = io.StringIO()
    taken = Taken(stream)
    write = stream.write
    taken.capture.end()
    write("late")
    assert stream.getvalue() == "late"


def test_a_write_that_was_replaced_before_is_put_back() -> None:
    stream: Any = io.StringIO()
    seen: list[str] = []
    stream.write = own = seen.append
    taken = Taken(stream)
    stream.write("during")
    taken.capture.end()
    assert stream.write is own
    assert seen == ["during"]


def test_a_write_that_was_replaced_meanwhile_is_left_alone() -> None:
    stream: Any = io.StringIO()
    taken = Taken(stream)
    before = stream.write
    stream.write = own = shouting(before)
    taken.capture.end()
    assert stream.write is own
    stream.write("after")
    assert stream.getvalue() == "AFTER"


def test_the_thread_that_draws_writes_as_before() -> None:
    stream = io.StringIO()
    inbox: SimpleQueue[Any] = SimpleQueue()
    capture = Capture([stream], inbox, current_thread())
    capture.begin()
    stream.write("drawn")
    assert stream.getvalue() == "drawn"
    assert inbox.empty()
    capture.end()


def test_a_forked_process_writes_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    taken = Taken(stream)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    stream.write("by a child")
    assert stream.getvalue() == "by a child"
    assert taken.texts() == []


def test_a_stream_that_cannot_be_captured_is_left_alone() -> None:
    sealed = Sealed()
    taken = Taken(sealed, None, stream := io.StringIO())
    sealed.write("sealed")
    stream.write("taken")
    assert taken.texts() == ["taken"]
    taken.capture.end()
    assert sealed.written == "sealed"


def test_what_is_no_text_is_refused_as_before() -> None:
    stream: Any = io.StringIO()
    taken = Taken(stream)
    with pytest.raises(TypeError):
        stream.write(b"bytes")
    taken.capture.end()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_capture, "MOST_WAITING", 3)


@pytest.mark.usefixtures("few")
def test_who_writes_faster_than_can_be_drawn_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    taken = Taken(stream)
    waits: list[float] = []

    def draw_one(seconds: float) -> None:
        waits.append(seconds)
        taken.inbox.get_nowait()

    monkeypatch.setattr(_capture, "sleep", draw_one)
    for number in range(5):
        stream.write(f"{number}\n")
    assert len(waits) == 2
    assert "".join(taken.texts()) == "2\n3\n4\n"


@pytest.mark.usefixtures("few")
def test_nobody_waits_for_a_stopped_terminal_and_what_is_left_out_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    taken = Taken(stream)
    waits: list[float] = []
    monkeypatch.setattr(_capture, "sleep", waits.append)
    monkeypatch.setattr(_capture, "monotonic", lambda: len(waits) / 10)
    for number in range(9):
        assert stream.write(f"{number}\n") == 2
    assert len(waits) / 10 == pytest.approx(_capture.LONGEST_WAIT, abs=0.11)
    assert "".join(taken.texts()) == "0\n1\n2\n"
    stream.write("on again\n")
    assert "".join(taken.texts()) == LEFT_OUT.format(6) + "on again\n"
    for number in range(5):
        stream.write(f"{number}\n")
    taken.capture.end()
    assert stream.getvalue() == "0\n1\n2\n" + LEFT_OUT.format(2)


def test_texts_are_put_together_to_lines() -> None:
    said = Said()
    for text in ("one", " two\nthree", "\n", "\n", "four"):
        said.add(Written(0, text))
    assert said.take() == ["one two", "three", ""]
    assert said.begun == "four"
    assert said.take() == []
    said.add(Written(0, "!\n"))
    assert said.take_all() == ["four!"]


def test_lines_of_two_streams_are_not_mixed() -> None:
    said = Said()
    for stream, text in ((0, "out"), (1, "err"), (0, "put\n"), (1, "or")):
        said.add(Written(stream, text))
    assert said.take() == ["output"]
    assert said.take_all() == ["error"]
    assert said.begun == ""


def test_of_a_line_that_is_begun_again_the_end_is_seen() -> None:
    said = Said()
    said.add(Written(0, "10 %\r20 %\r"))
    assert said.begun == "20 %"
    said.add(Written(0, "30 %"))
    assert said.begun == "30 %"


def test_a_bar_that_is_written_over_and_over_leaves_its_last_state_only() -> None:
    said = Said()
    for percent in range(101):
        said.add(Written(0, f"\r{percent} % " + "#" * (LONGEST_LINE // 10)))
    said.add(Written(0, "\r"))
    assert said.take() == []
    said.add(Written(0, "\n"))
    assert [line.rstrip("#\r") for line in said.take()] == ["100 % "]


def test_a_line_without_an_end_is_not_kept_forever() -> None:
    said = Said()
    for _ in range(3):
        said.add(Written(0, "x" * (LONGEST_LINE // 2 + 1)))
    assert [len(line) for line in said.take()] == [2 * (LONGEST_LINE // 2 + 1)]


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
