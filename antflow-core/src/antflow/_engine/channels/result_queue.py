"""Where items end: kept, handed to the caller that waits for one, or streamed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from operator import attrgetter

from antflow._engine.base.item import as_result, as_results
from antflow.results import FailedItem, PipelineResult

from .channel import Channel, ReadyItems
from .handle import ItemHandle

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

    __slots__ = ("_handles", "_on_item", "failed_items", "failures", "stage", "streamed")

    def __init__(self, stage: str, *, keep: bool) -> None:
        super().__init__(inf)  # results never make a worker wait; a stream sets a capacity
        self.stage = stage
        self.failures: deque[PipelineResult] = deque(maxlen=MAX_KEPT_FAILURES)
        self.failed_items: deque[FailedItem] = deque(maxlen=MAX_KEPT_FAILURES)
        self.streamed = False
        self._handles: dict[int, ItemHandle] = {}  # of items that have not ended, by `id()`
        self._on_item: Callable[[], None] | None = None
        if not keep:
            self.queue = ReadyItems(
                maxlen=0
            )  # a deposit is then the same append, and keeps nothing

    def keep_all_failures(self) -> None:
        """Keep all failures, not only the latest, of a run whose input ends."""
        self.failures, self.failed_items = deque(self.failures), deque(self.failed_items)

    def stream(self, buffer_size: float) -> None:
        """Have a consumer take all results, failures too.

        Args:
            buffer_size: results that may wait for the consumer.
        """
        self.queue = ReadyItems(self.queue)
        self.streamed = True
        self.capacity = buffer_size

    def put(self, item: PipelineResult) -> None:
        """Deposit an item that has ended."""
        if not (self._handles and self._give_to_handle(item)):
            if item.outcome == "dropped":
                pass  # neither a success nor a failure
            elif self.streamed or item.error is None:
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

    def expect(self, handle: ItemHandle) -> None:
        """Give the result of an item to its handle."""
        self._handles[id(handle.item)] = handle
        if self.append_directly:
            self._update_flags()

    def withdraw(self, handle: ItemHandle) -> None:
        """Keep the result of an item like any other, though it has a handle."""
        self._handles.pop(id(handle.item), None)
        if not self._handles:
            self._update_flags()

    @property
    def expected(self) -> int:
        """Number of handles whose items have not ended."""
        return len(self._handles)

    def fail_handles(self, make_error: Callable[[], BaseException]) -> None:
        """Give an error to the handles of the items that are left, the run being over."""
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            handle.end(make_error())

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
        if self._handles or self._on_item is not None:
            self.append_directly = False

    def goes_to_handle(self, item: PipelineResult) -> bool:
        """Return whether an item's result goes to a handle."""
        handle = self._handles.get(id(item))
        return handle is not None and not handle.is_forgotten

    def _give_to_handle(self, item: PipelineResult) -> bool:
        """Give an item that has ended to its handle; return whether that is all to be done."""
        handle = self._handles.pop(id(item), None)
        if handle is None:
            return False
        if not self._handles:
            self._update_flags()
        handle.end(as_result(item, self.stage))
        return not handle.is_forgotten

    def _set_aside(self) -> None:
        """Leave everything where it is: what has ended is never unprocessed."""
