"""`antflow.logs` for terminals: texts that are escaped and shortened, and log records."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow.logs import TerminalFormatter, escape_controls, shorten, text_of
from tests.helpers.hostile import ALL, controls, texts

anything = texts | st.text(st.characters())


@given(anything)
def test_what_is_returned_controls_no_terminal(text: str) -> None:
    safe = escape_controls(text)
    assert controls(safe) == set()
    assert safe.count("\n") == text.count("\n")
    assert escape_controls(safe) == safe
    assert escape_controls(text, one_line=True).isprintable()


@given(anything)
def test_a_text_without_controls_is_unchanged(text: str) -> None:
    if not controls(text):
        assert escape_controls(text) == text
    if text.isprintable():
        assert escape_controls(text, one_line=True) == text


def test_an_escape_is_that_of_python() -> None:
    for char in map(chr, range(sys.maxunicode + 1)):
        safe = escape_controls(char)
        assert safe == (ascii(char)[1:-1] if controls(char) else char)


@pytest.mark.parametrize(
    ("text", "one_line", "expected"),
    [
        ("a\tb\r\n\x1b[0m", False, "a\\tb\\r\n\\x1b[0m"),
        ("a\tb\r\n\x1b[0m", True, "a\\tb\\r\\n\\x1b[0m"),
        ("日本\u3000語 👩\u200d🚀 1\u202f000", False, "日本\u3000語 👩\u200d🚀 1\u202f000"),
        ("日本\u3000語 a\u200b", True, "日本\\u3000語 a\\u200b"),
        ("", True, ""),
    ],
)
def test_a_text_is_escaped(text: str, one_line: bool, expected: str) -> None:
    assert escape_controls(text, one_line=one_line) == expected


@given(anything, st.integers(60, 200))
def test_a_text_that_is_too_long_keeps_both_ends(text: str, longest: int) -> None:
    short = shorten(text * 30, longest)
    assert len(short) <= max(longest, 60)
    if len(text * 30) <= longest:
        assert short == text * 30
        return
    begin, note, end = short.partition(" characters are left out) ... ")
    assert note
    kept, _, left = begin.rpartition(" ... (")
    assert (text * 30).startswith(kept)
    assert (text * 30).endswith(end)
    assert len(kept) + int(left.replace(",", "")) + len(end) == len(text * 30)


class Unreadable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("a\n  b"), "a b"),
        (ValueError(), ""),
        (Unreadable(), "(no text: SystemExit in __str__)"),
    ],
)
def test_the_text_of_an_error_is_one_line(error: Exception, expected: str) -> None:
    assert text_of(error) == expected


def record(message: str, error: Exception | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, None)
    return logging.LogRecord("a\x1b", logging.ERROR, __file__, 1, "%s", (message,), exc_info)


def test_a_log_record_is_escaped_with_its_traceback() -> None:
    formatter = TerminalFormatter("%(name)s: %(message)s")
    made = record(ALL, ValueError(ALL))
    line = formatter.format(made)
    assert line.startswith("a\\x1b: \\x1b]0;title\\x07")
    assert "ValueError: \\x1b]0;title" in line
    assert controls(line) == set()
    # Another handler, of a file, gets the record as it is.
    assert logging.Formatter().format(made).count(ALL) == 2


def test_a_long_record_is_cut_in_its_middle() -> None:
    line = TerminalFormatter("%(levelname)s %(message)s").format(record(f"{'x' * 50_000}end"))
    assert line.startswith("ERROR xxx")
    assert " ... (40,059 characters are left out) ... xxx" in line
    assert line.endswith("xend")
    assert len(line) <= 10_000
    whole = "y" * (10_000 - len("ERROR "))
    assert TerminalFormatter("%(levelname)s %(message)s").format(record(whole)).endswith(whole)


def test_styles_and_defaults_are_those_of_logging() -> None:
    formatter = TerminalFormatter("{message} {of}", style="{", defaults={"of": "x"})
    assert formatter.format(record("a")) == "a x"
