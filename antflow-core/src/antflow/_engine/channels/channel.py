"""The channel in front of a stage: a bounded priority queue that can be closed."""

from __future__ import annotations

from bisect import insort_right
from collections import deque
from collections.abc import Callable

from antflow.results import PipelineResult

from .parking import ParkedItems
from .waiters import Receivers, RoomWaiters


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


MIN_PARKED = 1000
"""So many items may be parked in front of any stage: a small bound throttles it, since what is
parked is the failure rate times the throughput times the wait."""


class Channel:
    """Items on their way from senders to receivers; it decides which item may start.

    Ready items are in `queue`. Parked items are ready when they are due.

    A sender deposits its item and then waits while the channel is full: whoever waits holds
    nothing, so cancelling it loses nothing. A feeder, which stands outside the run, waits first.
    Full means more than `capacity` ready items, or too many parked ones: one bound for both would
    throttle stages whose items fail often.

    With `append_directly`, a deposit may simply be appended to the queue, since no receiver waits
    for it, all items are of one priority, and no sender has to stop. Receivers that are started
    lazily are added to `receivers`; those that wait for room are the `waiters`.

    Closing means: take no more. What is left, and what is still deposited, is `unprocessed`.

    Args:
        capacity: items that may wait; 0 hands each over directly, infinity never makes wait.
        max_parked: items that may be parked until senders wait; None for 1,000, or for the capacity
            if that is more.
    """

    __slots__ = (
        "_drop",
        "_has_surplus_senders",
        "_is_mixed",
        "_max_parked",
        "_wants_receiver",
        "append_directly",
        "capacity",
        "closed",
        "parked_items",
        "queue",
        "receivers",
        "unprocessed",
        "waiters",
    )

    def __init__(self, capacity: float, max_parked: int | None = None) -> None:
        self.capacity = capacity
        self.queue = ReadyItems()
        self.unprocessed: list[PipelineResult] = []
        self.append_directly = True
        self.closed = False
        self._max_parked = max(MIN_PARKED, capacity) if max_parked is None else max_parked
        self.parked_items = ParkedItems[PipelineResult](self._put_due, self._on_released)
        self.receivers = Receivers(self.startable, self._update_flags)
        self.waiters = RoomWaiters(self._may_sender_go, self._has_place)
        self._wants_receiver = False
        self._is_mixed = False
        self._drop: Callable[[PipelineResult], None] | None = None
        self._has_surplus_senders = False

    @property
    def pending(self) -> int:
        """Number of items that wait for a receiver."""
        return len(self.queue)

    @property
    def parked(self) -> int:
        """Number of items that wait until they are due."""
        return len(self.parked_items)

    # Depositing

    def put(self, item: PipelineResult) -> None:
        """Deposit an item, behind those of its priority."""
        # This never waits: a sender waits after its deposit, so that cancelling it loses nothing.
        self.enqueue(item)
        if self._wants_receiver:
            self.receivers.wake(1)

    def enqueue(self, item: PipelineResult) -> None:
        """Deposit an item of a receiver that goes on to take the next: none has to be woken."""
        if self._drop is not None and is_to_be_dropped(item):
            self._drop(item)
            self._on_released()  # of the room that was reserved for it
            return
        if self.closed:
            self.unprocessed.append(item)
            return
        queue = self.queue
        if not queue or item.priority >= queue[-1].priority:
            queue.append(item)
        else:
            queue.add(item)

    def put_fed(self, item: PipelineResult) -> None:
        """Deposit an item of a feeder, which does not wait after that."""
        self.put(item)

    def park(self, item: PipelineResult, delay: float) -> None:
        """Keep an item back for `delay` seconds, to be tried again; this never waits for room.

        Without a delay the receiver that parks it takes it next: none has to be woken.
        """
        if self._drop is not None and is_to_be_dropped(item):
            self._drop(item)
            return
        if self.closed:
            self.unprocessed.append(item)
            return
        item.get_details().retried_in = id(self.queue)
        if delay <= 0:
            self.queue.insert_due(item)
            return
        self.parked_items.add(item, delay)
        if len(self.parked_items) > self._max_parked:
            self._update_flags()

    def drop_deposited(self, drop: Callable[[PipelineResult], None]) -> None:
        """Look, from now on, for deposited items that are to be dropped, and drop them."""
        self._drop = drop
        self._update_flags()

    def remove(self, item: PipelineResult) -> bool:
        """Take out an item that waits; return whether it was there."""
        if not (self.queue.take_out(item) or self.parked_items.remove(item)):
            return False
        self._on_released()
        return True

    def note_senders(self, *, has_surplus: bool) -> None:
        """Have senders look up after each deposit, because some of them have to stop, or not."""
        if has_surplus != self._has_surplus_senders:
            self._has_surplus_senders = has_surplus
            self._update_flags()

    def expect_priorities(self) -> None:
        """Expect items of more than one priority from now on."""
        self._is_mixed = True
        self._update_flags()

    def _put_due(self, item: PipelineResult) -> None:
        self.queue.insert_due(item)
        if self._wants_receiver:
            self.receivers.wake(1)

    def _on_released(self) -> None:
        self._update_flags()
        if self.waiters.any:
            self.waiters.wake()

    # Room

    def is_overfull(self) -> bool:
        """Return whether a sender that has just deposited has to wait."""
        return not self.closed and self._is_full(self.capacity + 1)

    def has_room(self) -> bool:
        """Return whether a feeder may deposit an item at once."""
        return self.closed or (not self.waiters.has_feeders and self._has_place())

    def _may_sender_go(self) -> bool:
        """Return whether there is room for a waiting sender's item."""
        return not self._is_full(self.capacity)

    def _has_place(self) -> bool:
        """Return whether there is room for a feeder's item."""
        return not self._is_full(self.capacity)

    def _is_full(self, capacity: float) -> bool:
        """Return whether so many items are ready, or too many are parked."""
        # The items of waiting senders do not count: those went past the capacity.
        waiters = self.waiters
        ready = len(self.queue) + waiters.reserved - len(waiters.senders)
        return ready >= capacity or len(self.parked_items) > self._max_parked

    # Taking

    def get_nowait(self) -> PipelineResult | None:
        """Take the first item that may start; None if there is none."""
        if not self.queue:
            return None
        item = self.queue.popleft()
        if self.waiters.any:
            self.waiters.wake()
        return item

    def peek(self) -> PipelineResult | None:
        """Return the first item that may start, without taking it."""
        return self.queue[0] if self.queue else None

    def startable(self) -> int:
        """Return how many items may start now."""
        return len(self.queue)

    async def wait_for_item(self, leave: Callable[[], None] = lambda: None) -> bool:
        """Wait, having found nothing, until woken for an item or the channel is closed.

        Args:
            leave: called at the moment when the receiver is removed, being one too many.

        Returns:
            False if it was removed.
        """
        return self.closed or await self.receivers.wait(leave)

    def close(self) -> None:
        """Take no more, and let all waiters go on at once."""
        if self.closed:
            return
        self.closed = True
        self._set_aside()
        self._update_flags()
        self.receivers.close()  # last, since nothing can be woken on a loop that is closed
        self.waiters.close()
        self._update_flags()

    def _set_aside(self) -> None:
        """Move everything that is left to `unprocessed`."""
        self.unprocessed.extend(self.queue)
        self.queue.clear()
        self.unprocessed.extend(self.parked_items.clear())

    def _update_flags(self) -> None:
        """Note whether a deposit needs a receiver to be woken, or may simply be appended."""
        # Two flags that change rarely spare each deposit the questions behind them.
        self._wants_receiver = self.receivers.wants_waking
        self.append_directly = not (
            self._wants_receiver
            or self._is_mixed
            or self._drop is not None
            or self._has_surplus_senders
            or self.closed
            or len(self.parked_items) > self._max_parked
        )


CANCELLED = "cancelled"
"""The reason of an item that its handle has cancelled."""


def is_cancelled(item: PipelineResult) -> bool:
    """Return whether no attempt at an item is to be made any more."""
    return item.details is not None and item.details.drop_reason == CANCELLED


def is_to_be_dropped(item: PipelineResult) -> bool:
    """Return whether an item is dropped when it waits next."""
    return item.details is not None and item.details.drop_reason is not None
