"""Texts from users, fit to stand in one line of a terminal or a log, and counts with their noun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from reprlib import Repr
from typing import TypeVar


def escaped(text: str) -> str:
    """Return a text with its control characters escaped, line breaks included."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def safe_text(text: str, longest: int) -> str:
    """Return a text on one line, with control characters escaped.

    Args:
        text: from a user.
        longest: the number of characters above which it is cut.
    """
    return escaped(text if len(text) <= longest else f"{text[: longest - 3]}...")


def shown(value: object) -> str:
    """Return the `repr()` of a value, or its type if the value cannot be shown."""
    try:
        return repr(value)
    except Exception:
        return f"(of type {type(value).__name__})"


def safe_repr(value: object, longest: int) -> str:
    """Return the same on one line, as `safe_text` does."""
    return safe_text(shown(value), longest)


def many(number: int, noun: str, form: str = ",") -> str:
    """Return a count with its noun, such as "1 item" or "1,234 items".

    Args:
        number: the count.
        noun: its noun in the singular.
        form: of the number, as `format` takes it.
    """
    return f"{number:{form}} {noun if number == 1 else f'{noun}s'}"


Shown = TypeVar("Shown")

MOST_SHOWN = 10
"""How many stages, or tasks of a stage, are shown."""

_values = Repr()
_values.maxstring = _values.maxother = 60


def one_line(make: Callable[[Shown], str]) -> Callable[[Shown], str]:
    """Make a `__repr__` of one printable line, which is Python's own where the other one fails."""

    @wraps(make)
    def safe_repr(self: Shown) -> str:
        try:
            return escaped(make(self))
        except Exception:  # an object half made, or a name or value that cannot be shown
            return object.__repr__(self)

    return safe_repr


def short(value: object) -> str:
    """Return the repr of a value, shortened."""
    return _values.repr(value)


def listed(texts: Iterable[str], between: str = ", ") -> str:
    """Return the first few texts, and how many more there are."""
    texts = list(texts)
    more = len(texts) - MOST_SHOWN
    if more > 0:
        texts[MOST_SHOWN:] = [f"{more} more"]
    return between.join(texts)
