"""Substitutes for what an encoding cannot write keep the width and the styles of a line."""

from __future__ import annotations

import pytest
from rich.text import Text

from antflow_rich._frames import FRAMES
from antflow_rich._styles import can_encode, encodable
from tests.packages.rich.views import MIDWAY


def test_what_can_be_encoded_is_unchanged() -> None:
    line = Text("━━─ größer")
    assert encodable("utf-8", line) is line


def test_symbols_have_substitutes_in_ascii() -> None:
    line = Text("▶ ██▓▒░ ━━── ▁█ 12µs…")
    assert encodable("ascii", line).plain == "> ##+:. ==-- _# 12us~"


def test_a_user_s_characters_become_question_marks_only_where_they_must() -> None:
    assert encodable("ascii", Text("größer")).plain == "gr??er"
    assert encodable("latin-1", Text("größer █")).plain == "größer #"


def test_an_unknown_encoding_is_taken_to_have_ascii_only() -> None:
    assert not can_encode("klingon", "a")
    assert encodable("klingon", Text("a█")).plain == "a#"


@pytest.mark.parametrize("name", FRAMES)
def test_whole_displays_in_ascii(name: str) -> None:
    for line in FRAMES[name](MIDWAY, 80, 24):
        fitting = encodable("ascii", line)
        assert fitting.plain.isascii()
        assert fitting.cell_len == line.cell_len
        assert fitting.spans == line.spans
