"""What `repr()` shows of an object: one short line that cannot fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from reprlib import Repr
from typing import TypeVar

from ._texts import escaped

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
