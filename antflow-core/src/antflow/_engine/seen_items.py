"""Ready items of a stage with limits that were looked at, with what they need."""

from __future__ import annotations

from antflow.results import PipelineResult

from .limit_waiter import Candidate
from .limiter import Limiter
from .ready_items import ReadyItems


class SeenItems(dict[int, Candidate]):
    """Ready items that were looked at, by `id()`.

    They are kept until they go: so `key` and `cost` are called once, also where a more urgent item
    comes before one.

    Args:
        queue: the ready items.
        limiter: of the stage.
    """

    __slots__ = ("_limiter", "_queue")

    def __init__(self, queue: ReadyItems, limiter: Limiter) -> None:
        super().__init__()
        self._queue = queue
        self._limiter = limiter

    def look_at(self, item: PipelineResult) -> Candidate:
        """Return a ready item with what it needs; it may be ready no more after that."""
        candidate = self.get(id(item))
        if candidate is None:
            candidate = self._limiter.candidate(item)
            # `key` and `cost` may have submitted an item that goes first, or cancelled this one.
            queue = self._queue
            if (queue and queue[0] is item) or any(each is item for each in queue):
                self[id(item)] = candidate
        return candidate
