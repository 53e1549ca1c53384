"""Texts from users, fit to stand in one line of a terminal or a log."""

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


def safe_repr(value: object, longest: int) -> str:
    """Return the `repr()` of a value in the same way, or its type if the value cannot be shown."""
    try:
        return safe_text(repr(value), longest)
    except Exception:
        return safe_text(f"(of type {type(value).__name__})", longest)
