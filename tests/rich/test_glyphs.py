"""What an encoding cannot write is replaced, and the line keeps its width and its styles."""

from __future__ import annotations

import pytest
from rich.text import Text

from antflow_rich._frames import FRAMES
from antflow_rich._glyphs import can_write, fit_for
from tests.rich.scenes import MIDWAY


def test_what_can_be_written_is_left_alone() -> None:
    line = Text("━━─ größer")
    assert fit_for("utf-8", line) is line


def test_figures_have_a_likeness_in_ascii() -> None:
    line = Text("▶ ██▓▒░ ━━── ▁█ 12µs…")
    assert fit_for("ascii", line).plain == "> ##+:. ==-- _# 12us~"


def test_a_user_s_characters_become_question_marks_only_where_they_must() -> None:
    assert fit_for("ascii", Text("größer")).plain == "gr??er"
    assert fit_for("latin-1", Text("größer █")).plain == "größer #"


def test_an_unknown_encoding_is_taken_to_have_ascii_only() -> None:
    assert not can_write("klingon", "a")
    assert fit_for("klingon", Text("a█")).plain == "a#"


@pytest.mark.parametrize("name", FRAMES)
def test_whole_displays_in_ascii(name: str) -> None:
    for line in FRAMES[name](MIDWAY, 80, 24):
        fitting = fit_for("ascii", line)
        assert fitting.plain.isascii()
        assert fitting.cell_len == line.cell_len
        assert fitting.spans == line.spans
