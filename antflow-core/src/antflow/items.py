"""`Item`, an input with an id, metadata and a priority of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

__all__ = ["Item"]


@dataclass(frozen=True, slots=True, repr=False)
class Item:
    """One input with its id, metadata and priority; accepted wherever items are.

    `Item(value)` feeds any value as it is: a dict inside is a plain value, also with an "id".

    Args:
        value: what the first task gets.
        id: identifies the item in results, events and errors; None for its sequence number.
        metadata: travels with the item through all stages; each feeding copies it.
        priority: lower goes first; None for the priority of the call that feeds the item.

    Raises:
        TypeError: `metadata` is not a mapping.
        ValueError: `priority` is not a number.
    """

    value: Any
    id: Any = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)
    priority: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        # Checked here and not when it is fed: the traceback then leads to the line that made it.
        if self.metadata is not None and not isinstance(self.metadata, Mapping):
            raise TypeError(
                f"The metadata of an Item is a dict or None, not {self.metadata!r}; give "
                'metadata={"name": value}'
            )
        if self.priority is not None:
            checked_priority(self.priority)

    def __repr__(self) -> str:
        given = [
            f", {name}={value!r}"
            for name in ("id", "metadata", "priority")
            if (value := getattr(self, name)) is not None
        ]
        return f"Item({self.value!r}{''.join(given)})"


def checked_priority(priority: int) -> int:
    """Return a priority if it is one.

    Raises:
        ValueError: it cannot be compared with others.
    """
    # NaN is neither above nor below any other, so it would break the order of the queue.
    if not isinstance(priority, int | float) or isnan(priority):
        raise ValueError(
            f"A priority is an int or float, lower first; give one instead of {priority!r}"
        )
    return priority
