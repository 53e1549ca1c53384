"""Redrawing a display, and keeping the program's output out of it."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import Any

import pytest
from rich.text import Text

from antflow_rich._areas import ENTER_ALTERNATE, LEAVE_ALTERNATE, BottomArea, FullScreenArea
from antflow_rich._capture import Capture, CapturedText
from antflow_rich._renderers import TERMINAL_IN_USE, LiveRenderer
from antflow_rich._terminal import Terminal
from antflow_rich._views import RunView
from tests.packages.rich.terminals import PseudoTerminal

VIEW = RunView("pages")
SHOW_CURSOR = "\x1b[?25h"


class Frames:
    """Frames that record their arguments and show their number."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def __call__(self, view: RunView, width: int, height: int) -> list[Text]:
        self.asked.append((view.name, width, height))
        return [Text(f"frame {len(self.asked)}")]


def summary(view: RunView, width: int) -> list[Text]:
    return [Text(f"summary of {view.name}"), Text(f"in {width}")]


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest.fixture
def live(tty: PseudoTerminal, frames: Frames) -> Iterator[LiveRenderer]:
    assert TERMINAL_IN_USE.acquire(blocking=False)
    yield LiveRenderer(Terminal(tty.stream), BottomArea(), frames, summary)
    assert TERMINAL_IN_USE.acquire(blocking=False)
    TERMINAL_IN_USE.release()


def begin(live: LiveRenderer, thread: Thread | None = None) -> SimpleQueue[Any]:
    queue: SimpleQueue[Any] = SimpleQueue()
    live.open(queue, thread or current_thread())
    return queue


def test_a_frame_is_asked_for_when_there_is_something_new(
    live: LiveRenderer, frames: Frames, tty: PseudoTerminal
) -> None:
    begin(live)
    live.draw(VIEW, 0.0)
    live.draw(VIEW, 0.3)
    assert frames.asked == [("pages", 80, 22)]
    live.draw(RunView("pages"), 0.6)
    tty.resize(40, 12)
    live.draw(VIEW, 0.9)
    assert frames.asked[1:] == [("pages", 80, 22), ("pages", 40, 11)]
    assert [tty.written().count(f"frame {number}") for number in (1, 2, 3)] == [2, 1, 1]
    live.close(None)


def test_nothing_is_written_before_the_first_frame(live: LiveRenderer, tty: PseudoTerminal) -> None:
    begin(live)
    assert tty.written() == ""
    live.close(None)
    assert tty.written() == ""


def test_what_the_program_writes_goes_through_the_queue(
    live: LiveRenderer, tty: PseudoTerminal
) -> None:
    queue = begin(live, Thread())
    print("said", file=tty.stream)
    written = [queue.get_nowait(), queue.get_nowait()]
    assert written == [CapturedText(0, "said"), CapturedText(0, "\n")]
    live.close(None)
    print("afterwards", file=tty.stream)
    assert tty.written() == "afterwards\n"


def test_output_is_written_above_the_frame(live: LiveRenderer, tty: PseudoTerminal) -> None:
    begin(live)
    live.add_output(CapturedText(0, "said\nbegun"))
    live.draw(VIEW, 0.0)
    written = tty.written()
    assert written.index("said") < written.index("begun") < written.index("frame 1")
    live.add_output(CapturedText(0, " and ended\n"))
    live.draw(VIEW, 0.3)
    assert "begun and ended\x1b[0m\r\n" in tty.written()
    live.close(None)


def test_output_before_the_first_view_is_drawn(
    live: LiveRenderer, frames: Frames, tty: PseudoTerminal
) -> None:
    begin(live)
    live.add_output(CapturedText(0, "said\n"))
    live.draw(None, 0.0)
    assert "said" in tty.written()
    assert frames.asked == []
    live.close(None)


def test_the_summary_stays(live: LiveRenderer, tty: PseudoTerminal) -> None:
    begin(live)
    live.draw(VIEW, 0.0)
    live.add_output(CapturedText(0, "last\n"))
    live.close(VIEW)
    left = tty.written().partition("frame 1")[2]
    positions = [left.index(each) for each in ("last", SHOW_CURSOR, "summary of pages", "in 80")]
    assert positions == sorted(positions)
    assert left.endswith("in 80\n")


def test_output_is_not_lost_when_no_frame_is_drawn(live: LiveRenderer, tty: PseudoTerminal) -> None:
    begin(live)
    live.add_output(CapturedText(0, "said\n"))
    live.close(VIEW)
    assert tty.written() == "said\nsummary of pages\nin 80\n"


def test_the_terminal_is_restored_when_a_frame_fails(
    live: LiveRenderer, tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(live)
    live.draw(VIEW, 0.0)
    monkeypatch.setattr(live, "_frame", lambda *_: 1 / 0)
    live.add_output(CapturedText(0, "said\n"))
    with pytest.raises(ZeroDivisionError):
        live.draw(RunView("other"), 0.3)
    live.close(None)
    assert tty.written().index("said") < tty.written().index(SHOW_CURSOR)
    assert "write" not in vars(tty.stream)


def test_the_terminal_is_restored_when_the_summary_fails(
    live: LiveRenderer, tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(live)
    live.draw(VIEW, 0.0)
    monkeypatch.setattr(live, "_summary", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        live.close(VIEW)
    assert SHOW_CURSOR in tty.written()
    assert "write" not in vars(tty.stream)


def test_streams_are_restored_when_the_terminal_is_gone(
    live: LiveRenderer, tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str) -> None:
        raise OSError("gone")

    begin(live)
    live.draw(VIEW, 0.0)
    monkeypatch.setattr(live._terminal, "write", fail)
    with pytest.raises(OSError, match="gone"):
        live.close(VIEW)
    assert "write" not in vars(tty.stream)


def test_the_alternate_screen_is_entered_and_left(tty: PseudoTerminal, frames: Frames) -> None:
    assert TERMINAL_IN_USE.acquire(blocking=False)
    live = LiveRenderer(Terminal(tty.stream), FullScreenArea(), frames, summary)
    begin(live)
    live.draw(VIEW, 0.0)
    live.draw(RunView("again"), 0.3)
    assert frames.asked == [("pages", 80, 24), ("again", 80, 24)]
    live.close(VIEW)
    written = tty.written()
    assert written.count(ENTER_ALTERNATE) == written.count(LEAVE_ALTERNATE) == 1
    assert (
        written.index("frame 2")
        < written.index(LEAVE_ALTERNATE)
        < written.index("summary of pages")
    )


def test_output_takes_rows_of_the_alternate_screen_for_some_seconds(
    tty: PseudoTerminal, frames: Frames
) -> None:
    assert TERMINAL_IN_USE.acquire(blocking=False)
    live = LiveRenderer(Terminal(tty.stream), FullScreenArea(), frames, summary)
    begin(live)
    live.draw(VIEW, 0.0)
    live.add_output(CapturedText(0, "said\n"))
    live.draw(VIEW, 0.3)
    assert tty.written().count("said") == 1
    live.draw(VIEW, 0.6)
    live.draw(VIEW, 20.0)
    assert [height for _, _, height in frames.asked] == [24, 22, 24]
    assert tty.written().count("said") == 2
    live.close(None)
    assert tty.written().count("said") == 3


def test_the_terminal_is_free_for_the_next_display_whatever_happens(
    live: LiveRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(capture: Capture) -> None:
        stop(capture)
        raise OSError("gone")

    stop = Capture.stop
    monkeypatch.setattr(Capture, "stop", fail)
    begin(live)
    with pytest.raises(OSError, match="gone"):
        live.close(None)
    assert not TERMINAL_IN_USE.locked()
