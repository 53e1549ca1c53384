"""Texts from outside for terminals and logs: escaped, cut, on one line; counts with their noun."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from reprlib import Repr
from typing import TypeVar

MAX_MESSAGE = 10_000
"""Characters of a message, a log line or a traceback on a terminal, before escaping."""

_LONGEST_NOTE = 50

# What acts on a terminal or changes the direction of its text: ASCII's controls but the line feed,
# DEL, C1, marks of direction, separators of lines, and surrogates, which no encoding has. Other
# invisible characters stay in messages: joiners belong to emoji, and wide blanks to Japanese.
CONTROLS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]"
)


def escape_controls(text: str, *, one_line: bool = False) -> str:
    r"""Return a text that is safe to write to a terminal, with control characters escaped.

    The escapes are those of Python: `\x1b` for ESC, which begins the sequences that clear a screen,
    and `\u202e` for a character that reverses a line. Text that is safe already is unchanged.

    Args:
        text: names, error texts or anything else that others have written.
        one_line: whether to escape line feeds, too, and all else that `repr` escapes, such as
            characters of no width. That suits names and ids. Without it, they stay.
    """
    if text.isprintable():
        return text
    if one_line:
        return "".join(char if char.isprintable() else _escape(char) for char in text)
    return CONTROLS.sub(lambda found: _escape(found[0]), text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def shorten(text: str, longest: int = MAX_MESSAGE) -> str:
    """Return a text without its middle if it is too long; a note says how much is left out.

    The beginning and the end of a message say the most.

    Args:
        text: a message, a log line or a traceback.
        longest: the most characters of the result.
    """
    if len(text) <= longest:
        return text
    half = (longest - _LONGEST_NOTE) // 2
    note = f" ... ({len(text) - 2 * half:,} characters are left out) ... "
    return f"{text[:half]}{note}{text[-half:]}"


def message_text(text: str, *, one_line: bool = False) -> str:
    """Return a message for a terminal: shortened, and escaped as by `escape_controls`."""
    return escape_controls(shorten(text), one_line=one_line)


def escaped(text: str) -> str:
    """Return a text with its control characters escaped, line breaks included."""
    return escape_controls(text, one_line=True)


def safe_text(text: str, longest: int) -> str:
    """Return a text on one line, with control characters escaped.

    Args:
        longest: the most characters of the result, before escaping.
    """
    return escaped(text if len(text) <= longest else f"{text[: longest - 3]}...")


def shown(value: object) -> str:
    """Return the `repr()` of a value, or its type if its `repr()` raises."""
    try:
        return repr(value)
    except BaseException:  # a value's class may raise anything there, SystemExit too
        return f"(of type {type(value).__name__})"


def safe_repr(value: object, longest: int) -> str:
    """Return the `repr()` of a value on one line, cut like `safe_text`."""
    return safe_text(shown(value), longest)


def many(number: int, noun: str, form: str = ",") -> str:
    """Return a count with its noun, such as "1 item" or "1,234 items".

    Args:
        noun: its noun in the singular.
        form: format of the number.
    """
    return f"{number:{form}} {noun if number == 1 else f'{noun}s'}"


Shown = TypeVar("Shown")

MAX_SHOWN = 10
"""How many texts `listed` shows."""

_values = Repr()
_values.maxstring = _values.maxother = 60


def one_line(make: Callable[[Shown], str]) -> Callable[[Shown], str]:
    """Decorate a `__repr__`: escape its text, and fall back to Python's own if it raises."""

    @wraps(make)
    def safe_repr(self: Shown) -> str:
        try:
            return escaped(make(self))
        except BaseException:  # a constructor has failed half way, or a value's own repr raises
            return object.__repr__(self)

    return safe_repr


def short(value: object) -> str:
    """Return the repr of a value, shortened."""
    try:
        return _values.repr(value)
    except BaseException:  # `reprlib` lets what is no Exception through
        return shown(value)


def listed(texts: Iterable[str], between: str = ", ") -> str:
    """Return the first few texts, and the number of the others."""
    texts = list(texts)
    more = len(texts) - MAX_SHOWN
    if more > 0:
        texts[MAX_SHOWN:] = [f"{more} more"]
    return between.join(texts)
