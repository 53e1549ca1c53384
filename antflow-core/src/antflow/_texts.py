"""Texts from users, fit to stand in one line of a terminal or a log, and counts with their noun."""

from __future__ import annotations


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
