"""One-line texts of users' values for terminals and logs, and counts with their noun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from reprlib import Repr
from typing import TypeVar


def escaped(text: str) -> str:
    """Return a text with its control characters escaped, line breaks included."""
    # A name with an escape sequence could clear the terminal, or forge a line of the log.
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


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


def safe_repr(value: object, longest: int) -> str:
    """Return the `repr()` of a value on one line, cut like `safe_text`."""
    return safe_text(shown(value), longest)


def many(number: int, noun: str, form: str = ",") -> str:
    """Return a count with its noun, such as "1 item" or "1,234 items".

    Args:
        number: the count.
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
