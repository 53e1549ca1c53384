"""Texts from outside in the displays: escaped; what the program writes itself: unchanged."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given, settings

from antflow import DashboardSnapshot, LimitStats, WorkerMetrics, WorkerState
from tests.helpers.hostile import ALL, controls, texts
from tests.packages.rich.screens import Screen, piped, shown
from tests.packages.rich.states import NOW, SECONDS, errors, failed, state, worked

DISPLAYS = ["progress", "compact", "detailed", "full"]
OWN = re.compile(r"\x1b\[\??[\d;]*[A-Za-z]|\r")
"""What a display itself writes: sequences without an argument that a text could bring."""
FOREIGN = "\x1b]", "\x1bc", "\x1b[2J", "\x1b\\"


def hostile(text: str) -> DashboardSnapshot:
    """Return a state in which every text is this one."""
    failure = failed(text, text, error=text, stage=text, location=text)
    limits = {text: LimitStats(3, 1)}
    worker = WorkerState(text, text, "busy", text, text, NOW - 1, text, 1)
    return state(
        [worked(text, 2, (0.9, 0.0, 0.0, 0.1), workers={"busy": 2}, limits=limits)],
        [failure],
        [(worker, WorkerMetrics(text, text, 1, 0, 1.0))],
    )


def is_safe(written: str) -> None:
    assert not [each for each in FOREIGN if each in written]
    assert controls(OWN.sub("", written)) == set()


def show(run: Any, text: str) -> None:
    run.replay(hostile(text), {text: 1})
    run.finish(errors([failed(text, text, error=text, stage=text, location=text)]))


@pytest.mark.parametrize("size", [(40, 12), (200, 60)], ids=str)
@pytest.mark.parametrize("display", DISPLAYS)
@settings(max_examples=8, deadline=None)
@given(text=texts)
def test_no_text_controls_the_terminal(display: str, size: tuple[int, int], text: str) -> None:
    with shown(display, *size, name=text) as run:
        show(run, text)
        is_safe(run.tty.written())
        assert not run.screen.has_overflowed


@settings(max_examples=8, deadline=None)
@given(text=texts)
def test_no_text_controls_what_reads_plain_lines(text: str) -> None:
    with piped(name=text) as run:
        run.update(hostile(text), SECONDS)
        lines = run.finish(errors([failed(text, text, error=text, stage=text)]))
        assert lines
        assert isinstance(run.stream, io.StringIO)
        assert controls(run.stream.getvalue()) == set()


def test_what_the_program_writes_is_passed_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal is the program's, with or without a display in it."""
    own = "\x1b[31mred\x1b[0m \x1b]8;;http://example.org\x07link\x1b]8;;\x07 \x07\n"
    monkeypatch.setattr(Screen, "feed", lambda *_: None)  # it knows no links
    with shown("progress") as run:
        run.tty.stream.write(own)
        run.close()
        assert own.rstrip("\n") in run.tty.written()


def test_the_notice_of_a_full_screen_has_neither_sequences_nor_marks() -> None:
    with shown("full") as run:
        run.update(state())
        run.write("said" + ALL.replace("\n", "").replace("\r", "") + "this\n")
        notice = run.screen.last_rows(3)
        assert controls("".join(notice)) == set()
        assert any("said" in line for line in notice)
