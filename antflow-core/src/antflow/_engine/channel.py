"""The bounded, prioritised, closeable hand-off in front of a stage."""

from __future__ import annotations

from asyncio import Future, TimerHandle, get_running_loop
from bisect import insort_right
from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count

from antflow.types import PipelineResult

MIN_PARKED = 1000
"""So many items may be parked in front of any stage: a small bound throttles it, since what is
parked is the failure rate times the throughput times the wait."""

WAITING_PER_WAKE = 64
"""In a turn of the loop, one receiver is woken for every so many that wait; at least two are."""

_Waiter = tuple[int, "Future[bool]", bool]
"""A number by arrival; a future, whose result is whether there was room; whether it is a sender."""


class Channel:
    """Items on their way from senders to receivers; it decides which item may start.

    Ready items are in `queue`, by priority, then retried before fresh, then by arrival. Parked
    items are ready when they are due.

    A sender deposits its item and then waits while the channel is full: whoever waits holds
    nothing, so cancelling it loses nothing. A feeder, which stands outside the run, waits first.
    Two flags spare either side a call: with `append_directly`, a deposit may simply be appended to
    the queue, since no receiver waits for it and all items are of one priority; with
    `has_waiters`, whoever takes an item has to call `make_room`.

    Receivers are woken one at a time. One that arrives and leaves work until the next turn of the
    loop has a few more woken then, and so on: a trickle wakes one, and lasting work wakes ever
    more. Waking all of them is no gain: while they arrive, those at work come back for the next
    item. Lazy receivers are callables, each of which starts one more receiver; that one reports by
    `receiver_ready`.

    Closing means: take no more. What is left, and what is still deposited, is `unprocessed`.

    Args:
        capacity: items that may wait; 0 hands each over directly, infinity never makes wait.
        max_held: how many items its receivers may hold, those included that are to be tried again
            here; None where a receiver may take any item that is ready.
    """

    __slots__ = (
        "_is_mixed",
        "_is_wake_scheduled",
        "_lazy_receivers",
        "_max_held",
        "_max_parked",
        "_numbers",
        "_on_parked",
        "_parked",
        "_receivers",
        "_refuses_feeders",
        "_retrying",
        "_timer",
        "_waiters",
        "_waiting_senders",
        "_wants_receiver",
        "_woken",
        "append_directly",
        "capacity",
        "closed",
        "has_waiters",
        "held",
        "queue",
        "reserved",
        "unprocessed",
    )

    def __init__(self, capacity: float, max_held: int | None = None) -> None:
        self.capacity = capacity
        self.queue: deque[PipelineResult] = deque()
        self.unprocessed: list[PipelineResult] = []
        self.append_directly = True
        self.has_waiters = False
        self.closed = False
        self.held = 0
        self.reserved = 0  # places of feeders that await observers before they deposit
        self._max_held = max_held
        self._max_parked = max(MIN_PARKED, capacity)
        self._numbers = count()  # of those that wait and of parked items, by arrival
        self._on_parked: Callable[[bool], None] | None = None
        self._parked: list[tuple[float, int, PipelineResult]] = []
        self._retrying = 0  # parked, or due and not taken yet
        self._timer: TimerHandle | None = None
        self._receivers: deque[Future[None]] = deque()
        self._lazy_receivers: deque[Callable[[], None]] = deque()
        self._woken = 0  # receivers that have not arrived yet
        self._wants_receiver = False
        self._is_wake_scheduled = False
        self._is_mixed = False
        self._waiters: deque[_Waiter] = deque()
        self._waiting_senders = 0
        self._refuses_feeders = False

    @property
    def waiting_senders(self) -> int:
        """Number of items whose senders still wait for room."""
        return self._waiting_senders

    @property
    def pending(self) -> int:
        """Number of items that wait for a receiver; in front of a pull stage senders hold them."""
        if self._max_held is None:
            return len(self.queue)
        due = self._retrying - len(self._parked)
        return max(0, len(self.queue) - due - self._waiting_senders)

    @property
    def parked(self) -> int:
        """Number of items that wait until they are due; of a pull stage, until they are taken."""
        return len(self._parked) if self._max_held is None else self._retrying

    # Depositing

    def put(self, item: PipelineResult) -> None:
        """Deposit an item, behind those of its priority."""
        if self.closed:
            self._put_late(item)
            return
        queue = self.queue
        if not queue or item.priority >= queue[-1].priority:
            queue.append(item)
        else:
            insort_right(queue, item, key=self._rank)
        if self._wants_receiver:
            self._wake_receivers(1)

    def expect_priorities(self) -> None:
        """Expect items of more than one priority from now on."""
        self._is_mixed = True
        self._update_flags()

    def is_overfull(self) -> bool:
        """Return whether a sender that has just deposited has to wait."""
        return not self.closed and self._is_full(self.capacity + 1)

    async def wait_for_room(self) -> None:
        """Wait, having deposited, until there is room again or the channel is closed."""
        await self._wait_in_line(next(self._numbers), is_sender=True)

    def has_room(self) -> bool:
        """Return whether a feeder may deposit an item at once."""
        return self.closed or not (self._waiters or self._is_full(max(self.capacity, 1)))

    async def wait_for_place(self) -> None:
        """Wait until a feeder may deposit one item, is dismissed or the channel is closed."""
        number = next(self._numbers)
        while not self._refuses_feeders and await self._wait_in_line(number, is_sender=False):
            # Another may have deposited between the wake-up and now.
            if not self._is_full(max(self.capacity, 1)):
                return

    def make_room(self) -> None:
        """Wake those that wait for room, first come, first served, as far as there is any."""
        woken = 0
        while self._waiters:
            _, waiter, is_sender = self._waiters[0]
            if self._is_full(self.capacity if is_sender else max(self.capacity, 1), woken):
                break
            self._waiters.popleft()
            if is_sender:
                self._waiting_senders -= 1
            else:
                woken += 1
            if not waiter.done():
                waiter.set_result(True)
        self.has_waiters = bool(self._waiters)

    def dismiss_feeders(self) -> None:
        """Make no feeder wait from now on: those that do find that they are refused."""
        self._refuses_feeders = True
        feeders = [waiter for _, waiter, is_sender in self._waiters if not is_sender]
        self._waiters = deque(entry for entry in self._waiters if entry[2])
        for waiter in feeders:
            if not waiter.done():
                waiter.set_result(False)
        self.make_room()

    # Parking

    def park(self, item: PipelineResult, delay: float) -> None:
        """Keep an item back for `delay` seconds; whoever parks never waits for room."""
        if self.closed:
            self._put_late(item)
            return
        self._retrying += 1
        item.get_details().due_in = id(self)
        if delay <= 0:
            self._put_due(item)
            return
        loop = get_running_loop()
        heappush(self._parked, (loop.time() + delay, next(self._numbers), item))
        self._set_timer()
        if len(self._parked) == 1 and self._on_parked is not None:
            self._on_parked(True)
        if len(self._parked) > self._max_parked:
            self._update_flags()

    def on_parked(self, changed: Callable[[bool], None]) -> None:
        """Call a function when the first item is parked (True), and when none is left (False)."""
        self._on_parked = changed

    def _set_timer(self) -> None:
        due = self._parked[0][0]
        if self._timer is None or due < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = get_running_loop().call_at(due, self._release_due, due)

    def _release_due(self, due: float) -> None:
        """Make the items ready that are due; the loop may call this a moment before `due`."""
        self._timer = None
        now = max(due, get_running_loop().time())
        while self._parked and self._parked[0][0] <= now:
            self._put_due(heappop(self._parked)[2])
        if self._parked:
            self._set_timer()
        elif self._on_parked is not None:
            self._on_parked(False)
        self._update_flags()
        if self.has_waiters:
            self.make_room()

    def _put_due(self, item: PipelineResult) -> None:
        """Deposit an item that is tried again: behind those due before it, before fresh ones."""
        queue = self.queue
        if not queue or self._rank(queue[0]) > self._rank(item):
            queue.appendleft(item)
        else:
            insort_right(queue, item, key=self._rank)
        if self._wants_receiver:
            self._wake_receivers(1)

    def _rank(self, item: PipelineResult) -> tuple[int, bool]:
        details = item.details
        return item.priority, details is None or details.due_in != id(self)

    # Taking

    def get_nowait(self) -> PipelineResult | None:
        """Take the first item that may start; None if there is none."""
        queue = self.queue
        if not queue or (self._max_held is not None and not self.startable):
            return None
        item = queue.popleft()
        self.held += 1
        details = item.details
        if details is not None and details.due_in == id(self):
            details.due_in = None
            self._retrying -= 1
        if self.has_waiters:
            self.make_room()
        return item

    @property
    def startable(self) -> int:
        """Number of items that may start now."""
        if self._max_held is None:
            return len(self.queue)
        # Those to be tried again have receivers kept for them.
        due = self._retrying - len(self._parked)
        fresh = len(self.queue) - due
        return due + max(0, min(fresh, self._max_held - self.held - self._retrying))

    async def wait_for_item(self) -> None:
        """Wait, having found nothing, until woken for an item or the channel is closed."""
        if self.closed:
            return
        waiter = get_running_loop().create_future()
        self._receivers.append(waiter)
        self._update_flags()
        try:
            await waiter
        except BaseException:
            if _was_woken(waiter):
                self.receiver_ready(takes=0)
            elif waiter in self._receivers:
                self._receivers.remove(waiter)
                self._update_flags()
            raise
        self.receiver_ready()

    def receiver_ready(self, takes: int = 1) -> None:
        """Report that a woken receiver has arrived, and how many items it takes at once."""
        if self.closed:
            return
        self._woken -= 1
        if (
            (self._receivers or self._lazy_receivers)
            and not self._is_wake_scheduled
            and self.startable > takes
        ):
            self._is_wake_scheduled = True
            get_running_loop().call_soon(self._wake_more)
        self._update_flags()

    def add_lazy_receivers(self, starters: Iterable[Callable[[], None]]) -> None:
        """Add receivers that are to be started when there is work for them."""
        self._lazy_receivers.extend(starters)
        self._wake_receivers(min(1, self.startable))

    def close(self) -> None:
        """Take no more; everyone who waits goes on at once."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:  # so there are parked items
            self._timer.cancel()
            self._timer = None
            if self._on_parked is not None:
                self._on_parked(False)
        for receiver in self._receivers:
            if not receiver.done():
                receiver.set_result(None)
        for _, waiter, _ in self._waiters:
            if not waiter.done():
                waiter.set_result(False)
        self._receivers.clear()
        self._lazy_receivers.clear()
        self._waiters.clear()
        self._waiting_senders = 0
        self.has_waiters = False
        self._update_flags()
        self._set_aside()

    def _set_aside(self) -> None:
        """Move everything that is left to `unprocessed`."""
        self.unprocessed.extend(self.queue)
        self.queue.clear()
        self.unprocessed.extend(item for _, _, item in sorted(self._parked))
        self._parked.clear()
        self._retrying = 0

    def _put_late(self, item: PipelineResult) -> None:
        self.unprocessed.append(item)

    def _is_full(self, capacity: float, more: int = 0) -> bool:
        """Return whether there are so many items; waiting senders brought places of their own."""
        ready = len(self.queue) + more - self._waiting_senders
        if capacity > 0:  # else a sender only waits until its item is taken
            ready += self.reserved
        return ready >= capacity or len(self._parked) > self._max_parked

    async def _wait_in_line(self, number: int, *, is_sender: bool) -> bool:
        if self.closed:
            return False
        waiter: Future[bool] = get_running_loop().create_future()
        entry = number, waiter, is_sender
        if not self._waiters or self._waiters[-1][0] < number:
            self._waiters.append(entry)
        else:  # woken before, and overtaken: it keeps its place
            insort_right(self._waiters, entry)
        self._waiting_senders += is_sender
        self.has_waiters = True
        try:
            return await waiter
        except BaseException:
            if entry in self._waiters:
                self._waiters.remove(entry)
                self._waiting_senders -= is_sender
            self.make_room()  # of the place that this one leaves free
            raise

    def _update_flags(self) -> None:
        """Note whether a deposit needs a receiver to be woken, or may simply be appended."""
        has_receivers = bool(self._receivers or self._lazy_receivers)
        self._wants_receiver = has_receivers and not self._woken and not self._is_wake_scheduled
        self.append_directly = not (
            self._wants_receiver
            or self._is_mixed
            or self.closed
            or len(self._parked) > self._max_parked
        )

    def _wake_more(self) -> None:
        self._is_wake_scheduled = False
        if self.closed:
            return
        waiting = len(self._receivers) + len(self._lazy_receivers)
        self._wake_receivers(min(self.startable, max(2, waiting // WAITING_PER_WAKE)))

    def _wake_receivers(self, number: int) -> None:
        """Wake so many receivers, those that wait before lazy ones."""
        while number > 0 and (self._receivers or self._lazy_receivers):
            if not self._receivers:
                self._woken += 1
                self._lazy_receivers.popleft()()
            else:
                waiter = self._receivers.popleft()
                if waiter.done():
                    continue
                self._woken += 1
                waiter.set_result(None)
            number -= 1
        self._update_flags()


def _was_woken(waiter: Future[None]) -> bool:
    return waiter.done() and not waiter.cancelled()
