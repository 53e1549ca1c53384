"""Items, or what waits for them, that are kept back until they are due."""

from __future__ import annotations

from asyncio import Handle, get_running_loop
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")


class ParkedItems(Generic[T]):
    """Keeps items back, in the order in which they become due, with one timer for all.

    Args:
        release: called with each item that is due.
        on_released: called when all items are released that are due at one moment.
    """

    __slots__ = (
        "_arrivals",
        "_heap",
        "_on_released",
        "_release",
        "_timer",
        "_timer_due",
        "on_change",
    )

    def __init__(self, release: Callable[[T], None], on_released: Callable[[], None]) -> None:
        self.on_change: Callable[[bool], None] | None = None  # with whether there are any items
        self._release = release
        self._on_released = on_released
        self._heap: list[tuple[float, int, T]] = []
        self._arrivals = count()
        self._timer: Handle | None = None  # uvloop's has no `when` where the time is past
        self._timer_due = inf

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due(self) -> float | None:
        """When the next item is due, on the event loop's clock; None if there is none."""
        try:
            return self._heap[0][0]
        except IndexError:  # another thread may ask while the last one is taken out
            return None

    def add(self, item: T, delay: float) -> None:
        """Keep an item back for `delay` seconds."""
        # On the loop's clock, which fires the timer; the arrival number keeps the order of equals.
        due = get_running_loop().time() + delay
        heappush(self._heap, (due, next(self._arrivals), item))
        self._set_timer()
        if len(self._heap) == 1 and self.on_change is not None:
            self.on_change(True)

    def remove(self, item: T) -> bool:
        """Take out an item; return whether it was there."""
        kept = len(self._heap)
        self.retain(lambda each: each is not item)
        return len(self._heap) < kept

    def retain(self, keeps: Callable[[T], bool]) -> None:
        """Take out all items but those for which `keeps` returns true."""
        had_any = bool(self._heap)
        self._heap = [entry for entry in self._heap if keeps(entry[2])]
        heapify(self._heap)
        if had_any and not self._heap and self.on_change is not None:
            self.on_change(False)

    def clear(self) -> list[T]:
        """Take out all items, in the order in which they would have been due."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_due = None, inf
        items = [item for _, _, item in sorted(self._heap)]
        self._heap.clear()
        if items and self.on_change is not None:
            self.on_change(False)
        return items

    def _set_timer(self) -> None:
        due = self._heap[0][0]
        if due < self._timer_due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_due = due
            self._timer = get_running_loop().call_at(due, self._release_due, due)

    def _release_due(self, due: float) -> None:
        """Release what is due; the loop may call this a moment before `due`."""
        self._timer, self._timer_due = None, inf
        now = max(due, get_running_loop().time())
        while self._heap and self._heap[0][0] <= now:
            self._release(heappop(self._heap)[2])
        if self._heap:
            self._set_timer()
        elif self.on_change is not None:
            self.on_change(False)
        self._on_released()
