"""Plain lines, where nothing can be drawn again and again."""

from __future__ import annotations

import io
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TextIO

import pytest
from rich.text import Text

from antflow_rich._capture import CapturedText
from antflow_rich._renderers import PLAIN_WIDTH, PlainRenderer
from antflow_rich._views import RunView
from tests.packages.rich.terminals import PseudoTerminal

VIEW = RunView("pages")


def line(view: RunView) -> str:
    return f"{view.name} … 日\x1b[31m"


def summary(view: RunView, width: int) -> list[Text]:
    return [Text(f"━━ {view.name}   ", "bold red"), Text(f"in {width}")]


def plain(stream: TextIO | None, interval: float = 10.0) -> PlainRenderer:
    made = PlainRenderer(stream, interval, line, summary)
    made.open(SimpleQueue(), Thread())
    return made


def test_lines_come_at_once_and_then_at_intervals() -> None:
    stream = io.StringIO()
    display = plain(stream)
    for now in (100.0, 100.5, 109.9, 110.0, 119.0, 125.0, 134.0):
        display.draw(RunView(f"at {now}"), now)
    written = [text.partition(" …")[0] for text in stream.getvalue().splitlines()]
    assert written == ["at 100.0", "at 110.0", "at 125.0"]


def test_an_interval_of_nothing_gives_a_line_at_each_update() -> None:
    stream = io.StringIO()
    display = plain(stream, 0)
    for now in (0.0, 0.25, 0.5):
        display.draw(VIEW, now)
    assert len(stream.getvalue().splitlines()) == 3


def test_nothing_is_written_before_the_first_view() -> None:
    stream = io.StringIO()
    display = plain(stream)
    display.add_output(CapturedText(0, "not ours"))
    display.draw(None, 0.0)
    display.close(None)
    assert stream.getvalue() == ""


def test_neither_lines_nor_summary_have_escapes() -> None:
    stream = io.StringIO()
    display = plain(stream)
    display.draw(VIEW, 0.0)
    display.close(VIEW)
    assert stream.getvalue() == f"pages … 日[31m\n━━ pages\nin {PLAIN_WIDTH}\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_encoding_lacks_is_replaced(encoding: str) -> None:
    raw = io.BytesIO()
    display = plain(io.TextIOWrapper(raw, encoding))
    display.draw(VIEW, 0.0)
    display.close(VIEW)
    assert raw.getvalue().decode("ascii").splitlines() == ["pages ~ ?[31m", "== pages", "in 100"]


def test_without_a_stream_nothing_is_written() -> None:
    display = plain(None)
    display.draw(VIEW, 0.0)
    display.close(VIEW)


def test_lines_follow_what_the_program_has_written(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with path.open("w", encoding="utf-8") as stream:
        stream.write("begun\n")
        plain(stream).close(VIEW)
        stream.write("afterwards\n")
    assert path.read_text() == f"begun\n━━ pages\nin {PLAIN_WIDTH}\nafterwards\n"


def test_a_stopped_terminal_does_not_block_a_flush(tty: PseudoTerminal) -> None:
    display = plain(tty.stream)
    long = RunView("x" * 100_000)
    drawing = Thread(target=display.draw, args=(long, 0.0), daemon=True)
    drawing.start()
    tty.assert_blocks_only(drawing)
    while drawing.is_alive():
        tty.written()
    assert long.name in tty.written()
