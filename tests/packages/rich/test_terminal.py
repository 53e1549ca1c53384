"""In which terminals a display is drawn, and with which colours and characters."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr
from threading import Thread
from typing import Any

import pytest
from rich.text import Text

from antflow_rich import Rich
from antflow_rich._styles import encodable
from tests.packages.rich.screens import Shown, drawn, shown
from tests.packages.rich.states import MIDWAY, only
from tests.packages.rich.terminals import PseudoTerminal


def is_redrawn(**options: Any) -> bool:
    """Show a run; return whether its display is redrawn, rather than written line by line."""
    with shown("progress", **options) as run:
        captures_output = "write" in vars(run.tty.stream)
        run.display.on_update(only())
        assert any("was stopped" in line for line in run.finish())
    return captures_output


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "CI": "false"}, True),
        ({"TERM": "xterm", "CI": "0"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "xterm", "CI": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "unknown"}, False),
        ({}, False),
    ],
)
def test_a_terminal_is_drawn_in_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: bool
) -> None:
    monkeypatch.delenv("TERM")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert is_redrawn() is expected


@pytest.mark.parametrize(
    ("get_ipython", "expected"),
    [
        (type("ZMQInteractiveShell", (), {}), False),
        (type("Shell", (), {"__module__": "google.colab._shell"}), False),
        (type("TerminalInteractiveShell", (), {}), True),
    ],
    ids=["notebook", "colab", "ipython"],
)
def test_a_notebook_is_not_drawn_in(
    monkeypatch: pytest.MonkeyPatch, get_ipython: object, expected: bool
) -> None:
    monkeypatch.setattr("builtins.get_ipython", get_ipython, raising=False)
    assert is_redrawn() is expected


@pytest.mark.parametrize("environ", [{}, {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}])
def test_no_variable_makes_a_terminal_of_another_stream(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    show_in(stream)
    assert "was stopped" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def show_in(stream: Any) -> None:
    """Show a run that ends at once, with a stream as standard error."""
    with redirect_stderr(stream):
        Shown(Rich().antflow_dashboard("full"), "orders", 10).finish()


@pytest.mark.parametrize("stream", [None, "closed", "strange"])
def test_without_a_stream_that_can_be_written_to_nothing_is_drawn(
    tty: PseudoTerminal, stream: str | None
) -> None:
    written: list[str] = []

    class Strange:
        """A stream without `isatty` and an encoding."""

        write = staticmethod(written.append)

        def flush(self) -> None:
            pass

    if stream == "closed":
        tty.stream.close()
        with pytest.raises(ValueError, match="closed"):
            show_in(tty.stream)
    else:
        show_in(None if stream is None else Strange())
    assert ("was stopped" in "".join(written)) is (stream == "strange")


# Sizes


def test_a_display_adapts_to_the_present_size() -> None:
    with shown("progress") as run:
        assert len(run.replay(MIDWAY)[0]) == 80
        run.resize(40, 12)
        assert len(run.update(MIDWAY)[0]) == 40
        run.resize(90, 12)
        assert len(run.write("\n")[-1]) == 90  # the same state, drawn again


def test_a_terminal_that_does_not_report_its_size_has_the_usual_one() -> None:
    with shown("progress") as run:
        run.tty.resize(0, 0)
        assert len(run.replay(MIDWAY)[0]) == 80


# Colours and characters


@pytest.mark.parametrize(
    ("environ", "style"),
    [
        ({}, "1;31"),
        ({"TERM": "xterm"}, "1;31"),
        ({"COLORTERM": "truecolor"}, "1;31"),
        ({"NO_COLOR": "1"}, "1"),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, "1"),
    ],
)
def test_colour_is_used_unless_it_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], style: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with shown("compact") as run:
        run.replay(MIDWAY)
        assert run.screen.styles("5 items failed") == {style}
        styles = {style for row in run.screen.rows for _, style in row}
        assert ("NO_COLOR" in environ) is styles.isdisjoint({"31", "32", "33", "35"})


@pytest.mark.parametrize("display", ["progress", "compact", "detailed", "full"])
def test_a_display_in_ascii_has_substitutes_of_the_same_width(display: str) -> None:
    usual = drawn(display, 80, 24, MIDWAY)
    plain = drawn(display, 80, 24, MIDWAY, encoding="ascii")
    substitutes = str.maketrans("━─╱█▓▒░▶…▁▄", "=-/#+:.>~__")
    assert plain == [line.translate(substitutes) for line in usual]
    assert "".join(plain).isascii()


@pytest.mark.parametrize(
    ("encoding", "name"), [("ascii", "gr??er ?? 12us"), ("latin-1", "größer ?? 12µs")]
)
def test_what_the_encoding_of_a_terminal_lacks_is_replaced(encoding: str, name: str) -> None:
    with shown("progress", encoding=encoding, name="größer 日 12µs") as run:
        assert run.update(only())[0].startswith(f"{name}  --")


def test_styles_stay_where_a_wide_character_is_replaced() -> None:
    line = encodable("ascii", Text.assemble("日本 ", ("ant", "bold"), " 日", ("bee", "dim")))
    assert line.plain == "???? ant ??bee"
    assert [(line.plain[each.start : each.end], each.style) for each in line.spans] == [
        ("ant", "bold"),
        ("bee", "dim"),
    ]


@pytest.mark.parametrize("text", ["👩\u200d🔧x", "❤\ufe0fx", "日x"])
def test_a_line_keeps_its_width_where_characters_are_replaced(text: str) -> None:
    line = encodable("ascii", Text(text))
    assert line.cell_len == Text(text).cell_len
    assert line.plain.isascii()


def test_a_program_s_character_that_the_encoding_lacks_becomes_a_question_mark() -> None:
    with shown("progress", encoding="ascii", before="") as run:
        run.update(only())
        assert run.write("日 ok\n")[0] == "? ok"


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_text_cannot_control_the_terminal(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    """Not even the name of a plugin."""
    monkeypatch.setenv("TERM", term)
    with shown("progress", total=1) as run:
        run.clock.now += 1.0
        run.pipeline.plugin_faults = {"a\x1b]0;title\x07b\x9b2Jc\rd\ne\u202ef 日": 1}
        shown_name = r"a\x1b]0;title\x07b\x9b2Jc d e\u202ef 日"
        run.display.on_update(only(1))
        assert run.finish()[-1] == f"  plugin faults {shown_name} 1 (see the log)"


# A terminal that accepts nothing for a while


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_stopped_terminal_blocks_neither_a_flush_nor_the_caller(
    monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    with shown("full", 200, 60, name="x" * 500) as run:
        stream = sys.stderr
        while not run.tty.is_stopped:
            run.clock.now += 10
            run.display.on_update(MIDWAY)
        for _ in range(100):
            run.display.on_update(MIDWAY)
        flushing = Thread(target=stream.flush, daemon=True)
        flushing.start()
        flushing.join(5)
        assert not flushing.is_alive()
        assert any("was stopped" in line for line in run.finish(MIDWAY.error_summary))


def test_a_non_blocking_terminal_gets_everything() -> None:
    with shown("progress") as run:
        run.update(only())
        os.set_blocking(run.tty.stream.fileno(), False)
        run.write(f"{'x' * 9_990}\n" * 9)
        assert "".join(run.screen.all_lines).count("x") == 9 * 9_990
