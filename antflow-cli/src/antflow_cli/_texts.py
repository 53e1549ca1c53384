"""Texts of the command: cut, escaped, and fit for the encoding of a stream."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from antflow.logs import escape_controls, shorten


def message_text(text: str, *, one_line: bool = False) -> str:
    """Return a message for a terminal: shortened, and escaped as by `escape_controls`."""
    return escape_controls(shorten(text), one_line=one_line)


def encodable(text: str, stream: Any) -> str:
    """Return a text with escapes for the characters that the encoding of a stream lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def escaped(text: str) -> str:
    """Return a text with its control characters escaped, line breaks included."""
    return escape_controls(text, one_line=True)


def safe_text(text: str, longest: int) -> str:
    """Return a text on one line, with control characters escaped.

    Args:
        text: the text.
        longest: the most characters of the result, before escaping.
    """
    return escaped(text if len(text) <= longest else f"{text[: longest - 3]}...")


def shown(value: object) -> str:
    """Return the `repr()` of a value, or its type if its `repr()` raises."""
    try:
        return repr(value)
    except BaseException:  # a value's class may raise anything there, SystemExit too
        return f"(of type {type(value).__name__})"


def many(number: int, noun: str) -> str:
    """Return a count with its noun, such as "1 item" or "1,234 items"."""
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, whatever its case; None if none is similar."""
    by_lower = {one.lower(): one for one in known}
    close = get_close_matches(word.lower(), list(by_lower), n=1)
    return by_lower[close[0]] if close else None
