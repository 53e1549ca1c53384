"""What a stream can show, and what is written to it."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from threading import Thread

import pytest
from rich.text import Text

from antflow_rich._terminal import (
    DEFAULT_SIZE,
    Terminal,
    can_redraw,
    device_of,
    in_notebook,
    is_terminal,
    without_controls,
)
from tests.packages.rich.terminals import PseudoTerminal, pseudo_terminal

XTERM = {"TERM": "xterm"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (XTERM, True),
        ({**XTERM, "CI": "false"}, True),
        ({**XTERM, "NO_COLOR": "1"}, True),
        ({**XTERM, "CI": "true"}, False),
        ({**XTERM, "CI": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "unknown"}, False),
        ({}, False),
    ],
)
def test_a_terminal_can_be_drawn_in_unless_the_environment_says_otherwise(
    tty: PseudoTerminal, environ: Mapping[str, str], expected: bool
) -> None:
    assert can_redraw(tty.stream, environ) is expected


@pytest.mark.parametrize("environ", [XTERM, {**XTERM, "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}])
def test_no_variable_makes_a_terminal_of_another_stream(environ: Mapping[str, str]) -> None:
    assert not can_redraw(io.StringIO(), environ)


def test_a_stream_that_is_closed_missing_or_strange_is_no_terminal(tty: PseudoTerminal) -> None:
    assert is_terminal(tty.stream)
    tty.stream.close()
    for stream in (tty.stream, None, object()):
        assert not is_terminal(stream)
        assert device_of(stream) is None


def test_a_notebook_is_not_drawn_in(tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)
    assert in_notebook()
    assert not can_redraw(tty.stream, XTERM)


def test_ipython_in_a_terminal_is_no_notebook(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = type("TerminalInteractiveShell", (), {})()
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)
    assert can_redraw(tty.stream, XTERM)


def test_a_builtin_get_ipython_may_be_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in (lambda: 1 / 0, None, 7):
        monkeypatch.setattr("builtins.get_ipython", other, raising=False)
        assert not in_notebook()


def test_streams_of_one_terminal_have_the_same_device(tty: PseudoTerminal) -> None:
    with (
        open(os.dup(tty.stream.fileno()), "w", encoding="utf-8") as same,  # noqa: PTH123
        pseudo_terminal() as other,
    ):
        assert device_of(same) == device_of(tty.stream)
        assert device_of(other.stream) != device_of(tty.stream)


def test_the_size_is_the_present_one(tty: PseudoTerminal) -> None:
    terminal = Terminal(tty.stream)
    assert terminal.size() == (80, 24)
    tty.resize(40, 12)
    assert terminal.size() == (40, 12)


def test_a_terminal_that_does_not_report_its_size_has_the_default_one(tty: PseudoTerminal) -> None:
    tty.resize(0, 0)
    assert Terminal(tty.stream).size() == DEFAULT_SIZE
    assert Terminal(io.StringIO()).size() == DEFAULT_SIZE


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, "\x1b[1;31mfailed\x1b[0m"),
        ({"TERM": "xterm"}, "\x1b[1;31mfailed\x1b[0m"),
        ({"NO_COLOR": "1"}, "\x1b[1mfailed\x1b[0m"),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, "\x1b[1mfailed\x1b[0m"),
    ],
)
def test_colour_is_used_unless_it_is_not_wanted(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str], expected: str
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    assert Terminal(tty.stream).render_line(Text("failed", "bold red")) == expected


def test_colours_are_those_that_the_terminal_has(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert "38;2;16;32;48" in Terminal(tty.stream).render_line(Text("x", "#102030"))
    monkeypatch.delenv("COLORTERM")
    assert "38;5;" in Terminal(tty.stream).render_line(Text("x", "#102031"))


def test_a_text_cannot_control_the_terminal(tty: PseudoTerminal) -> None:
    evil = Text("a\x1b]0;title\x07b\x9b2Jc\rd\ne\u202ef")
    assert Terminal(tty.stream).render_line(evil) == "a]0;titleb2Jcdef"
    assert without_controls("naïve 日本 👩‍👩‍👧") == "naïve 日本 👩‍👩‍👧"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_encoding_lacks_is_replaced(encoding: str) -> None:
    with pseudo_terminal(encoding=encoding) as tty:
        terminal = Terminal(tty.stream)
        line = terminal.render_line(Text("━━ …"))
        assert line.isascii()
        assert "?" not in line
        terminal.write(f"{line} 日")
        assert tty.written() == f"{line} ?"


def test_a_stopped_terminal_does_not_block_a_flush(
    tty: PseudoTerminal,
) -> None:
    terminal = Terminal(tty.stream)
    text = "x" * 100_000
    drawing = Thread(target=terminal.write, args=(text,), daemon=True)
    drawing.start()
    tty.assert_blocks_only(drawing)
    while len(tty.written()) < len(text):
        pass
    drawing.join(5)
    assert tty.written() == text


def test_a_terminal_is_written_to_when_its_stream_is_captured(tty: PseudoTerminal) -> None:
    terminal = Terminal(tty.stream)
    taken: list[str] = []
    tty.stream.write = taken.append  # type: ignore[assignment, method-assign]
    terminal.write("drawn")
    assert (tty.written(), taken) == ("drawn", [])
