"""The bounded, prioritised, closeable hand-off in front of a stage."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from bisect import insort_right
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from operator import itemgetter

from antflow.types import PipelineResult

from .parking import ParkedItems
from .receivers import Receivers

MIN_PARKED = 1000
"""So many items may be parked in front of any stage: a small bound throttles it, since what is
parked is the failure rate times the throughput times the wait."""

_Line = deque[tuple[int, "Future[bool]"]]
"""Those that wait for room, each with a ticket; the future's result is whether there was any."""


class Channel:
    """Items on their way from senders to receivers; it decides which item may start.

    Ready items are in `queue`, by priority, then retried before fresh, then by arrival. Parked
    items are ready when they are due.

    A sender deposits its item and then waits while the channel is full: whoever waits holds
    nothing, so cancelling it loses nothing. A feeder, which stands outside the run, waits first.
    Full means more than `capacity` ready items, or too many parked ones: one bound for both would
    throttle stages whose items fail often.

    Two flags spare either side a call: with `append_directly`, a deposit may simply be appended to
    the queue, since no receiver waits for it and all items are of one priority; with
    `has_waiters`, whoever takes an item has to call `make_room`.

    Closing means: take no more. What is left, and what is still deposited, is `unprocessed`.

    Args:
        capacity: items that may wait; 0 hands each over directly, infinity never makes wait.
    """

    __slots__ = (
        "_feeders",
        "_is_mixed",
        "_max_parked",
        "_parked",
        "_receivers",
        "_refuses_feeders",
        "_senders",
        "_tickets",
        "_wants_receiver",
        "append_directly",
        "capacity",
        "closed",
        "has_waiters",
        "held",
        "queue",
        "reserved",
        "unprocessed",
    )

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.queue: deque[PipelineResult] = deque()
        self.unprocessed: list[PipelineResult] = []
        self.append_directly = True
        self.has_waiters = False
        self.closed = False
        self.held = 0  # items that receivers have taken by `get_nowait` and are not done with
        self.reserved = 0  # places of feeders that await observers before they deposit
        self._max_parked = max(MIN_PARKED, capacity)
        self._parked = ParkedItems(self._put_due, self._on_released)
        self._receivers = Receivers(self.startable, self._update_flags)
        self._wants_receiver = False
        self._is_mixed = False
        self._senders: _Line = deque()
        self._feeders: _Line = deque()
        self._tickets = count()
        self._refuses_feeders = False

    @property
    def pending(self) -> int:
        """Number of items that wait for a receiver."""
        return len(self.queue)

    @property
    def parked(self) -> int:
        """Number of items that wait until they are due."""
        return len(self._parked)

    @property
    def waiting_senders(self) -> int:
        """Number of items whose senders still wait for room."""
        return len(self._senders)

    # Depositing

    def put(self, item: PipelineResult) -> None:
        """Deposit an item, behind those of its priority."""
        if self.closed:
            self.unprocessed.append(item)
            return
        queue = self.queue
        if not queue or item.priority >= queue[-1].priority:
            queue.append(item)
        else:
            insort_right(queue, item, key=self._rank)
        if self._wants_receiver:
            self._receivers.wake(1)

    def put_fed(self, item: PipelineResult) -> None:
        """Deposit an item of a feeder, which does not wait after that."""
        self.put(item)

    def park(self, item: PipelineResult, delay: float) -> None:
        """Keep an item back for `delay` seconds, to be tried again; this never waits for room."""
        if self.closed:
            self.unprocessed.append(item)
            return
        item.get_details().due_in = id(self)
        if delay <= 0:
            self._put_due(item)
            return
        self._parked.add(item, delay)
        if len(self._parked) > self._max_parked:
            self._update_flags()

    def on_parked(self, changed: Callable[[bool], None]) -> None:
        """Call a function when the first item is parked (True), and when none is left (False)."""
        self._parked.on_change = changed

    def expect_priorities(self) -> None:
        """Expect items of more than one priority from now on."""
        self._is_mixed = True
        self._update_flags()

    def _put_due(self, item: PipelineResult) -> None:
        """Deposit an item that is tried again: behind those due before it, before fresh ones."""
        queue = self.queue
        if not queue or self._rank(queue[0]) > self._rank(item):
            queue.appendleft(item)
        else:
            insort_right(queue, item, key=self._rank)
        if self._wants_receiver:
            self._receivers.wake(1)

    def _on_released(self) -> None:
        self._update_flags()
        if self.has_waiters:
            self.make_room()

    def _rank(self, item: PipelineResult) -> tuple[int, bool]:
        details = item.details
        return item.priority, details is None or details.due_in != id(self)

    # Waiting for room

    def is_overfull(self) -> bool:
        """Return whether a sender that has just deposited has to wait."""
        return not self.closed and self._is_full(self.capacity + 1)

    async def wait_for_room(self) -> None:
        """Wait, having deposited, until there is room again or the channel is closed."""
        await self._wait_in_line(self._senders, next(self._tickets))

    def has_room(self) -> bool:
        """Return whether a feeder may deposit an item at once."""
        return self.closed or (not self._feeders and self._has_place())

    async def wait_for_place(self) -> None:
        """Wait until a feeder may deposit one item, is dismissed or the channel is closed."""
        ticket = next(self._tickets)
        while not self._refuses_feeders and await self._wait_in_line(self._feeders, ticket):
            # Another may have deposited between the wake-up and now.
            if self._has_place():
                return

    def make_room(self) -> None:
        """Wake those that wait for room, as far as there is any."""
        woken = 0
        while (line := self._next_line(woken)) is not None:
            _, waiter = line.popleft()
            woken += line is self._feeders
            if not waiter.done():
                waiter.set_result(True)
        self.has_waiters = bool(self._senders or self._feeders)

    def dismiss_feeders(self) -> None:
        """Make no feeder wait from now on: those that do find that they are refused."""
        self._refuses_feeders = True
        for _, waiter in self._feeders:
            if not waiter.done():
                waiter.set_result(False)
        self._feeders.clear()
        self.make_room()

    async def _wait_in_line(self, line: _Line, ticket: int) -> bool:
        if self.closed:
            return False
        waiter: Future[bool] = get_running_loop().create_future()
        entry = ticket, waiter
        if not line or line[-1][0] < ticket:
            line.append(entry)
        else:  # it was woken, and another was faster: it keeps its place
            insort_right(line, entry, key=itemgetter(0))
        self.has_waiters = True
        try:
            return await waiter
        except BaseException:
            if entry in line:
                line.remove(entry)
            self.make_room()  # of the place that this one leaves free
            raise

    def _next_line(self, woken: int) -> _Line | None:
        """Return whose turn it is: of those that may go on, what has waited longest."""
        lines = []
        if self._senders and self._may_sender_go(woken):
            lines.append(self._senders)
        if self._feeders and self._has_place(woken):
            lines.append(self._feeders)
        return min(lines, key=lambda line: line[0][0], default=None)

    def _may_sender_go(self, woken: int) -> bool:
        """Return whether there is room for a sender's item beside those of woken feeders."""
        return not self._is_full(self.capacity, woken)

    def _has_place(self, woken: int = 0) -> bool:
        """Return whether there is room for a feeder's item beside those of woken feeders."""
        return not self._is_full(self.capacity, woken)

    def _is_full(self, capacity: float, more: int = 0) -> bool:
        """Return whether there are so many items; waiting senders brought places of their own."""
        ready = len(self.queue) + self.reserved + more - len(self._senders)
        return ready >= capacity or len(self._parked) > self._max_parked

    # Taking

    def get_nowait(self) -> PipelineResult | None:
        """Take the first item that may start; None if there is none."""
        if not self.queue:
            return None
        self.held += 1
        item = self.queue.popleft()
        if self.has_waiters:
            self.make_room()
        return item

    def startable(self) -> int:
        """Return how many items may start now."""
        return len(self.queue)

    async def wait_for_item(self) -> None:
        """Wait, having found nothing, until woken for an item or the channel is closed."""
        if not self.closed:
            await self._receivers.wait()

    def receiver_ready(self, takes: int = 1) -> None:
        """Report that a receiver which was started lazily is there, and how many items it takes."""
        self._receivers.arrive(takes)

    def add_lazy_receivers(self, starters: Iterable[Callable[[], None]]) -> None:
        """Add receivers that are to be started when there is work for them."""
        self._receivers.add_lazy(starters)

    def close(self) -> None:
        """Take no more; everyone who waits goes on at once."""
        if self.closed:
            return
        self.closed = True
        self._receivers.close()
        for _, waiter in sorted((*self._senders, *self._feeders), key=itemgetter(0)):
            if not waiter.done():
                waiter.set_result(False)
        self._senders.clear()
        self._feeders.clear()
        self.has_waiters = False
        self._update_flags()
        self._set_aside()

    def _set_aside(self) -> None:
        """Move everything that is left to `unprocessed`."""
        self.unprocessed.extend(self.queue)
        self.queue.clear()
        self.unprocessed.extend(self._parked.clear())

    def _update_flags(self) -> None:
        """Note whether a deposit needs a receiver to be woken, or may simply be appended."""
        self._wants_receiver = self._receivers.wants_waking
        self.append_directly = not (
            self._wants_receiver
            or self._is_mixed
            or self.closed
            or len(self._parked) > self._max_parked
        )
