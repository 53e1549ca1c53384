"""Whatever a user's objects say of themselves, fit to stand in one line of a terminal."""

from __future__ import annotations

LONGEST = 500
"""Characters; more than a line shows, and little enough to be looked at again and again."""


def one_line(text: str) -> str:
    """Return a text on one line, with control characters escaped, as in antflow's messages."""
    words = " ".join(text[: 2 * LONGEST].split())[:LONGEST]
    if words.isprintable():
        return words
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in words
    )


def text_of(value: object) -> str:
    """Return what an object says of itself, on one line, also where it cannot say it."""
    try:
        return one_line(str(value))
    except Exception as problem:
        return f"(no text: {type(problem).__name__} in __str__)"
