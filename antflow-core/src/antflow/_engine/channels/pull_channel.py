"""The hand-off in front of a stage that pulls: nothing waits there."""

from __future__ import annotations

from antflow.results import PipelineResult

from .channel import Channel, is_to_be_dropped


class PullChannel(Channel):
    """A channel whose senders wait until a receiver has taken their item.

    Statistics count that item as still in the sender's stage. An item that is to be tried again
    keeps the receiver that it came from: a fresh item is taken only while fewer items are held,
    parked or due than there are receivers. A feeder may leave one item waiting.

    Args:
        receivers: how many there are.
    """

    __slots__ = ("_fed", "_retrying", "held", "max_held")

    def __init__(self, receivers: int) -> None:
        super().__init__(0)
        self.max_held = receivers
        self.held = 0  # items that receivers have taken and are not done with
        self._retrying = 0  # parked, or due and not taken yet
        self._fed: set[int] = set()  # items that wait and came from feeders, by id

    @property
    def pending(self) -> int:
        """Number of items that wait for a receiver; senders still hold theirs."""
        return max(0, len(self.queue) - self._due - len(self.waiters.senders))

    @property
    def parked(self) -> int:
        """Number of items that are to be tried again."""
        return self._retrying

    def put_fed(self, item: PipelineResult) -> None:
        """Deposit an item of a feeder, which does not wait after that."""
        if not (self.closed or is_to_be_dropped(item)):
            self._fed.add(id(item))
        self.put(item)

    def park(self, item: PipelineResult, delay: float) -> None:
        """Keep an item back for `delay` seconds, to be tried again."""
        # Counted as held by the receiver that it came from, or more fresh items would be taken
        # than there are workers.
        self._retrying += not (self.closed or is_to_be_dropped(item))
        super().park(item, delay)

    def is_overfull(self) -> bool:
        """Return whether a sender that has just deposited has to wait: until its item is taken."""
        return not self.closed and len(self.waiters.senders) < self._sent

    def peek(self) -> PipelineResult | None:
        """Return the first item that may start, without taking it."""
        if not PullChannel.startable(self):
            return None
        return self.queue[self._first_index()]

    def _first_index(self) -> int:
        if self._free_receivers:
            return 0
        # Fresh items may precede those due, by priority.
        return next(index for index, item in enumerate(self.queue) if self.queue.is_retried(item))

    def get_nowait(self) -> PipelineResult | None:
        """Take the first item that may start; None if there is none."""
        if not PullChannel.startable(self):
            return None
        index = self._first_index()
        item = self.queue[index]
        del self.queue[index]
        self.held += 1
        if self.queue.is_retried(item):
            item.get_details().retried_in = None
            self._retrying -= 1
        self._fed.discard(id(item))
        if self.waiters.any:
            self.waiters.wake()
        return item

    def startable(self) -> int:
        """Return how many items may start now."""
        due = self._due
        return due + min(len(self.queue) - due, self._free_receivers)

    @property
    def _free_receivers(self) -> int:
        return max(0, self.max_held - self.held - self._retrying)

    @property
    def _due(self) -> int:
        """How many items in the queue are to be tried again."""
        return self._retrying - len(self.parked_items)

    def _may_sender_go(self) -> bool:
        """Return whether its item has been taken: fewer of senders' items wait than senders."""
        return len(self.waiters.senders) > self._sent

    @property
    def _sent(self) -> int:
        """How many items of senders wait."""
        return len(self.queue) - len(self._fed) - self._due

    def remove(self, item: PipelineResult) -> bool:
        """Take out an item that waits; return whether it was there."""
        is_retried = self.queue.is_retried(item)
        if not super().remove(item):
            return False
        if is_retried:
            item.get_details().retried_in = None
            self._retrying -= 1
            if self._wants_receiver and self.startable():  # it had kept a receiver from the next
                self.receivers.wake(1)
        self._fed.discard(id(item))
        if self.waiters.any:
            self.waiters.wake()
        return True

    def _has_place(self) -> bool:
        return not (self._fed or self.waiters.reserved)

    def _set_aside(self) -> None:
        super()._set_aside()
        self._retrying = 0
        self._fed.clear()
