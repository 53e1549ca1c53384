"""Where items end: kept, handed to the caller that waits for one, or streamed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from operator import attrgetter

from antflow.results import FailedItem, PipelineResult

from .channel import Channel
from .item import as_result, as_results

MAX_KEPT_FAILURES = 10_000  # a run that collects no results may have endless input


class ResultQueue(Channel):
    """The channel behind the last stage, in order of completion.

    Successes are its queue. Failures are kept beside it or, where results are `streamed`, in it.
    An item that a caller waits for goes to that caller and is kept nowhere. While `on_item` is set,
    it is called after each item.

    Args:
        stage: name of the last stage.
        keep: whether successes are kept.
    """

    __slots__ = ("_expected", "_on_item", "failed_items", "failures", "stage", "streamed")

    def __init__(self, stage: str, *, keep: bool) -> None:
        super().__init__(inf)  # results never make a worker wait; a stream sets a capacity
        self.stage = stage
        self.failures: deque[PipelineResult] = deque(maxlen=MAX_KEPT_FAILURES)
        self.failed_items: deque[FailedItem] = deque(maxlen=MAX_KEPT_FAILURES)
        self.streamed = False
        self._expected = 0
        self._on_item: Callable[[], None] | None = None
        if not keep:
            self.queue = deque(maxlen=0)  # a deposit is then the same append, and keeps nothing

    def keep_all_failures(self) -> None:
        """Keep all failures, not only the latest, of a run whose input ends."""
        self.failures, self.failed_items = deque(self.failures), deque(self.failed_items)

    def stream(self, buffer_size: float) -> None:
        """Have a consumer take all results, failures too.

        Args:
            buffer_size: results that may wait for the consumer.
        """
        self.queue = deque(self.queue)
        self.streamed = True
        self.capacity = buffer_size

    def put(self, item: PipelineResult) -> None:
        """Deposit an item that has ended."""
        if not (self._expected and self._answer(item)):
            if self.streamed or item.error is None:
                self.queue.append(item)
            else:
                self.failures.append(item)
            if self._wants_receiver:
                self.receivers.wake(1)
        if self._on_item is not None:
            self._on_item()

    def call_after_each(self, on_item: Callable[[], None] | None) -> None:
        """Call a function after each item from now on, or none any more."""
        if on_item != self._on_item:
            self._on_item = on_item
            self._update_flags()

    def expect_reply(self) -> None:
        """Look for one more item that a caller waits for."""
        self._expected += 1
        self._update_flags()

    def stop_expecting(self) -> None:
        """Look for one item less."""
        self._expected -= 1
        self._update_flags()

    def unbound(self) -> None:
        """Let every sender go on, the run being about to stop."""
        self.capacity = inf
        self.waiters.wake()

    def kept(self) -> list[PipelineResult]:
        """Return the successes that are kept, in input order."""
        return [] if self.streamed else self._in_input_order(self.queue)

    def kept_failures(self) -> list[PipelineResult]:
        """Return the failures that are kept, in input order."""
        return self._in_input_order(self.failures)

    def undelivered(self) -> list[PipelineResult]:
        """Return what the consumer of a stream that has ended did not take."""
        return as_results(self.queue, self.stage) if self.streamed and self.closed else []

    def _in_input_order(self, items: deque[PipelineResult]) -> list[PipelineResult]:
        return as_results(sorted(items, key=attrgetter("sequence_id")), self.stage)

    def _update_flags(self) -> None:
        super()._update_flags()
        if self._expected or self._on_item is not None:
            self.append_directly = False

    def has_reply(self, item: PipelineResult) -> bool:
        """Return whether a caller of `process` still waits for an item."""
        reply = None if item.details is None else item.details.reply
        return reply is not None and not reply.done()

    def _answer(self, item: PipelineResult) -> bool:
        details = item.details
        if details is None or details.reply is None:
            return False
        reply, details.reply = details.reply, None
        if reply.done():
            return False
        reply.set_result(as_result(item, self.stage))
        return True

    def _set_aside(self) -> None:
        """Leave everything where it is: what has ended is never unprocessed."""
