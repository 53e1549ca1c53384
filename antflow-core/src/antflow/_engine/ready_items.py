"""The order of items that are ready."""

from __future__ import annotations

from bisect import insort_right
from collections import deque

from antflow.results import PipelineResult


class ReadyItems(deque[PipelineResult]):
    """Ready items by priority, then those that are tried again before fresh ones, then by arrival.

    Whoever knows that an item goes last may simply append it.
    """

    __slots__ = ()

    def add(self, item: PipelineResult) -> None:
        """Insert an item behind those that go before it."""
        insort_right(self, item, key=self.rank)

    def insert_due(self, item: PipelineResult) -> None:
        """Insert an item that is tried again: behind those due before it, before fresh ones."""
        # In front of those due before it, new retries would starve old ones.
        if not self or (self[0].details is None and self[0].priority >= item.priority):
            self.appendleft(item)
        else:
            self.add(item)

    def take_out(self, item: PipelineResult) -> bool:
        """Take out one item; return whether it was there."""
        for index, each in enumerate(self):
            if each is item:  # not by `==`, which may run code of the value's class
                del self[index]
                return True
        return False

    def rank(self, item: PipelineResult) -> tuple[int, bool]:
        """Return where an item stands; lower goes first."""
        return item.priority, not self.is_retried(item)

    def is_retried(self, item: PipelineResult) -> bool:
        """Return whether an item is tried again here, and not fresh from the stage before."""
        details = item.details
        return details is not None and details.retried_in == id(self)
