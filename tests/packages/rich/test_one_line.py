"""Texts of users' objects are put on one line, without control characters."""

from __future__ import annotations

import pytest

from antflow._errors.texts import escaped
from antflow_rich._formats import MAX_TEXT, one_line, text_of


class Mute:
    def __str__(self) -> str:
        raise LookupError("nothing to say")


def test_a_plain_text_stays_as_it_is() -> None:
    assert one_line("order 7: größer als 3") == "order 7: größer als 3"


def test_several_lines_become_one() -> None:
    assert one_line("first\n  second\tthird\r\n") == "first second third"


@pytest.mark.parametrize("command", ["\x1b[2J", "\x07", "\x9b1m", "\u202eabc", "\x00", "\udcff"])
def test_commands_to_a_terminal_are_made_harmless(command: str) -> None:
    text = f"a{command}b"
    assert one_line(text).isprintable()
    assert one_line(text) == escaped(text)  # as the messages of antflow itself show it


def test_a_long_text_is_cut() -> None:
    assert len(one_line("x" * 10**6)) == MAX_TEXT


def test_objects_are_shown_by_their_str() -> None:
    assert text_of(17) == "17"
    assert text_of(("a", 1)) == "('a', 1)"


def test_an_object_whose_str_raises() -> None:
    assert text_of(Mute()) == "(no text: LookupError in __str__)"
    assert text_of(10**5000).startswith("(no text: ValueError")
