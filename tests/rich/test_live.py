"""Drawing again and again, and keeping clear of it what the program writes."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import Any

import pytest
from rich.text import Text

from antflow_rich._capture import Capture, Written
from antflow_rich._live import IN_USE, Live
from antflow_rich._region import Region
from antflow_rich._scene import Scene
from antflow_rich._screen import ENTER, LEAVE, Screen
from antflow_rich._terminal import Terminal
from tests.rich.terminals import PseudoTerminal

SCENE = Scene("pages")
SHOW_CURSOR = "\x1b[?25h"


class Frames:
    """Frames that count how often they are asked for, and tell what they are given."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def __call__(self, scene: Scene, width: int, height: int) -> list[Text]:
        self.asked.append((scene.name, width, height))
        return [Text(f"frame {len(self.asked)}")]


def summary(scene: Scene, width: int) -> list[Text]:
    return [Text(f"summary of {scene.name}"), Text(f"in {width}")]


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest.fixture
def live(tty: PseudoTerminal, frames: Frames) -> Iterator[Live]:
    assert IN_USE.acquire(blocking=False)
    yield Live(Terminal(tty.stream), Region(), frames, summary)
    assert IN_USE.acquire(blocking=False)
    IN_USE.release()


def begin(live: Live, painter: Thread | None = None) -> SimpleQueue[Any]:
    inbox: SimpleQueue[Any] = SimpleQueue()
    live.open(inbox, painter or current_thread())
    return inbox


def test_a_frame_is_asked_for_when_there_is_something_new(
    live: Live, frames: Frames, tty: PseudoTerminal
) -> None:
    begin(live)
    live.draw(SCENE, 0.0)
    live.draw(SCENE, 0.3)
    assert frames.asked == [("pages", 80, 22)]
    live.draw(Scene("pages"), 0.6)
    tty.resize(40, 12)
    live.draw(SCENE, 0.9)
    assert frames.asked[1:] == [("pages", 80, 22), ("pages", 40, 11)]
    assert [tty.written().count(f"frame {number}") for number in (1, 2, 3)] == [2, 1, 1]
    live.close(None)


def test_nothing_is_written_before_the_first_frame(live: Live, tty: PseudoTerminal) -> None:
    begin(live)
    assert tty.written() == ""
    live.close(None)
    assert tty.written() == ""


def test_what_the_program_writes_goes_through_the_inbox(live: Live, tty: PseudoTerminal) -> None:
    inbox = begin(live, Thread())
    print("said", file=tty.stream)
    written = [inbox.get_nowait(), inbox.get_nowait()]
    assert written == [Written(0, "said"), Written(0, "\n")]
    live.close(None)
    print("afterwards", file=tty.stream)
    assert tty.written() == "afterwards\n"


def test_what_was_heard_is_written_above_the_frame(live: Live, tty: PseudoTerminal) -> None:
    begin(live)
    live.hear(Written(0, "said\nbegun"))
    live.draw(SCENE, 0.0)
    written = tty.written()
    assert written.index("said") < written.index("begun") < written.index("frame 1")
    live.hear(Written(0, " and ended\n"))
    live.draw(SCENE, 0.3)
    assert "begun and ended\x1b[0m\r\n" in tty.written()
    live.close(None)


def test_text_without_a_scene_is_drawn_too(live: Live, frames: Frames, tty: PseudoTerminal) -> None:
    begin(live)
    live.hear(Written(0, "said\n"))
    live.draw(None, 0.0)
    assert "said" in tty.written()
    assert frames.asked == []
    live.close(None)


def test_the_summary_stays(live: Live, tty: PseudoTerminal) -> None:
    begin(live)
    live.draw(SCENE, 0.0)
    live.hear(Written(0, "last\n"))
    live.close(SCENE)
    left = tty.written().partition("frame 1")[2]
    positions = [left.index(each) for each in ("last", SHOW_CURSOR, "summary of pages", "in 80")]
    assert positions == sorted(positions)
    assert left.endswith("in 80\n")


def test_what_was_heard_is_not_lost_when_no_frame_is_drawn(live: Live, tty: PseudoTerminal) -> None:
    begin(live)
    live.hear(Written(0, "said\n"))
    live.close(SCENE)
    assert tty.written() == "said\nsummary of pages\nin 80\n"


def test_the_terminal_is_given_back_when_a_frame_fails(
    live: Live, tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(live)
    live.draw(SCENE, 0.0)
    monkeypatch.setattr(live, "_frame", lambda *_: 1 / 0)
    live.hear(Written(0, "said\n"))
    with pytest.raises(ZeroDivisionError):
        live.draw(Scene("other"), 0.3)
    live.close(None)
    assert tty.written().index("said") < tty.written().index(SHOW_CURSOR)
    assert "write" not in vars(tty.stream)


def test_the_terminal_is_given_back_when_the_summary_fails(
    live: Live, tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(live)
    live.draw(SCENE, 0.0)
    monkeypatch.setattr(live, "_ending", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        live.close(SCENE)
    assert SHOW_CURSOR in tty.written()
    assert "write" not in vars(tty.stream)


def test_streams_are_given_back_when_the_terminal_is_gone(
    live: Live, tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str) -> None:
        raise OSError("gone")

    begin(live)
    live.draw(SCENE, 0.0)
    monkeypatch.setattr(live._terminal, "write", fail)
    with pytest.raises(OSError, match="gone"):
        live.close(SCENE)
    assert "write" not in vars(tty.stream)


def test_the_alternate_screen_is_entered_and_left(tty: PseudoTerminal, frames: Frames) -> None:
    assert IN_USE.acquire(blocking=False)
    live = Live(Terminal(tty.stream), Screen(), frames, summary)
    begin(live)
    live.draw(SCENE, 0.0)
    live.draw(Scene("again"), 0.3)
    assert frames.asked == [("pages", 80, 24), ("again", 80, 24)]
    live.close(SCENE)
    written = tty.written()
    assert written.count(ENTER) == written.count(LEAVE) == 1
    assert written.index("frame 2") < written.index(LEAVE) < written.index("summary of pages")


def test_what_is_said_makes_the_alternate_screen_smaller_for_some_seconds(
    tty: PseudoTerminal, frames: Frames
) -> None:
    assert IN_USE.acquire(blocking=False)
    live = Live(Terminal(tty.stream), Screen(), frames, summary)
    begin(live)
    live.draw(SCENE, 0.0)
    live.hear(Written(0, "said\n"))
    live.draw(SCENE, 0.3)
    assert tty.written().count("said") == 1
    live.draw(SCENE, 0.6)
    live.draw(SCENE, 20.0)
    assert [height for _, _, height in frames.asked] == [24, 22, 24]
    assert tty.written().count("said") == 2
    live.close(None)
    assert tty.written().count("said") == 3


def test_the_terminal_is_free_for_the_next_display_whatever_happens(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(capture: Capture) -> None:
        end(capture)
        raise OSError("gone")

    end = Capture.end
    monkeypatch.setattr(Capture, "end", fail)
    begin(live)
    with pytest.raises(OSError, match="gone"):
        live.close(None)
    assert not IN_USE.locked()
