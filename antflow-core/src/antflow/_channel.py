"""The bounded, prioritised, closeable hand-off in front of a stage."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from bisect import insort_right
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from operator import attrgetter

from ._item import ItemRecord

WAITING_PER_CALL = 64
"""In a turn of the loop, one receiver is called for every so many that wait; at least two are."""

_priority = attrgetter("priority")
_Line = deque[tuple[int, "Future[None]"]]


class Channel:
    """Items on their way from senders to receivers, by priority and then by arrival.

    A sender deposits its item and then waits while the channel is past its capacity: so whoever
    waits holds nothing, and cancelling it loses nothing. A feeder, who stands outside of the run,
    waits before it deposits. Two flags spare either side a call: `direct` says that a deposit may
    simply be appended to the queue, since nobody waits for it, all items are of one priority and
    no place is kept for a feeder; otherwise it has to go through `put`. `crowded` says that who
    takes an item has to `make_room`.
    `granted` counts the places kept for feeders who have been called to deposit.

    Receivers are called one at a time. If one that has arrived leaves work until the next turn of
    the loop, a few more are called then, and so on: a trickle, or work that one receiver does
    within its turn, wakes one, and lasting work wakes ever more. To wake many at once is no gain:
    while they arrive, those at work come back for the next item. Receivers in reserve are
    callables, each of which starts one more receiver; that one reports by `arrived`.

    Closing means: take no more. What is left, and what is still deposited, goes to `left_over`.

    Args:
        capacity: items that may wait; 0 hands each over directly, infinity never makes wait.
    """

    __slots__ = (
        "_called",
        "_feeder_capacity",
        "_feeders",
        "_hungry",
        "_looking",
        "_mixed",
        "_receivers",
        "_reserve",
        "_senders",
        "_tickets",
        "capacity",
        "closed",
        "crowded",
        "direct",
        "granted",
        "left_over",
        "queue",
    )

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.queue: deque[ItemRecord] = deque()
        self.left_over: list[ItemRecord] = []
        self.direct = True
        self.crowded = False
        self.closed = False
        self._feeder_capacity = max(capacity, 1)
        self._receivers: deque[Future[None]] = deque()
        self._reserve: deque[Callable[[], None]] = deque()
        self._called = 0
        self._hungry = False
        self._looking = False
        self._mixed = False
        self._senders: _Line = deque()
        self._feeders: _Line = deque()
        self.granted = 0
        self._tickets = count()

    @property
    def held(self) -> int:
        """Number of items whose senders still wait for room."""
        return len(self._senders)

    def put(self, item: ItemRecord) -> None:
        """Deposit an item, behind those of its priority."""
        queue = self.queue
        if not queue or item.priority >= queue[-1].priority:
            queue.append(item)
        else:
            insort_right(queue, item, key=_priority)
        if self._hungry:
            self._call()

    def sort(self) -> None:
        """Expect items of more than one priority from now on."""
        self._mixed = True
        self._look_ahead()

    def is_overfull(self) -> bool:
        """Tell whether a sender who has just deposited has to wait."""
        return self._used() > self.capacity and not self.closed

    async def wait_for_room(self) -> None:
        """Wait, having deposited, until there is room again or the channel is closed."""
        if self.closed:
            return
        waiter = self._stand_in(self._senders)
        try:
            await waiter
        except BaseException:
            self._leave(self._senders, waiter)
            raise

    def has_room(self) -> bool:
        """Tell whether a feeder may deposit an item at once."""
        return not self._feeders and self._used() < self._feeder_capacity

    async def wait_for_place(self) -> None:
        """Wait until a feeder may deposit one item or the channel is closed.

        The place is kept, so the caller deposits before it awaits anything else.
        """
        if self.closed:
            return
        waiter = self._stand_in(self._feeders)
        try:
            await waiter
        except BaseException:
            self._leave(self._feeders, waiter)
            if _was_called(waiter):
                self.give_back_place()
                self.make_room()
            raise
        self.give_back_place()

    def keep_place(self) -> None:
        """Keep the place of a feeder who may deposit, and awaits something before it does."""
        if not self.closed:
            self.granted += 1
            self._look_ahead()

    def give_back_place(self) -> None:
        """Keep it no more: it is to be used now, or by somebody else."""
        if not self.closed:
            self.granted -= 1
            self._look_back()

    def make_room(self) -> None:
        """Let those who wait for room go on, as far as there is any; for who finds it crowded."""
        while self.crowded:
            line = self._next_line()
            if line is None:
                return
            _, waiter = line.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self.granted += line is self._feeders
            self._look_back()

    async def wait_for_item(self) -> None:
        """Wait, having found nothing, until called for an item or the channel is closed."""
        if self.closed:
            return
        waiter = get_running_loop().create_future()
        self._receivers.append(waiter)
        self._look_ahead()
        try:
            await waiter
        except BaseException:
            if _was_called(waiter):
                self.arrived(takes=0)
            elif waiter in self._receivers:
                self._receivers.remove(waiter)
                self._summon(0)
            raise
        self.arrived()

    def arrived(self, takes: int = 1) -> None:
        """Report that a called receiver is there, and how many items it takes at once."""
        if self.closed:
            return
        self._called -= 1
        if len(self.queue) > takes and (self._receivers or self._reserve) and not self._looking:
            self._looking = True
            get_running_loop().call_soon(self._call_more)
        self._look_ahead()

    def _call_more(self) -> None:
        self._looking = False
        if self.closed:
            return
        waiting = len(self._receivers) + len(self._reserve)
        self._summon(min(len(self.queue), max(2, waiting // WAITING_PER_CALL)))

    def add_reserve(self, starters: Iterable[Callable[[], None]]) -> None:
        """Add receivers that are to be started when there is work for them."""
        self._reserve.extend(starters)
        self._summon(min(1, len(self.queue)))

    def dismiss_feeders(self) -> None:
        """Let all feeders who wait go on at once, to find that they are not wanted any more."""
        for _, waiter in self._feeders:
            if not waiter.done():
                waiter.set_result(None)
                self.granted += 1
        self._feeders.clear()
        self._look_back()

    def close(self) -> None:
        """Take no more; everyone who waits goes on at once."""
        if self.closed:
            return
        self.closed = True
        waiting = [*self._receivers, *(waiter for _, waiter in (*self._senders, *self._feeders))]
        self._receivers.clear()
        self._reserve.clear()
        self._senders.clear()
        self._feeders.clear()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.crowded = False
        self._look_ahead()
        self._set_aside()

    def _used(self) -> int:
        """Return what counts against the capacity: senders who wait brought their own places."""
        return len(self.queue) + self.granted - len(self._senders)

    def _look_back(self) -> None:
        """Note whether anyone waits for room, or is on the way to a place."""
        self.crowded = bool(self._senders or self._feeders)
        self._look_ahead()

    def _set_aside(self) -> None:
        self.left_over.extend(self.queue)
        self.queue.clear()

    def _call(self) -> None:
        """See to what was just deposited, someone being hungry for it."""
        if self.closed:
            self._set_aside()
        else:
            self._summon(1)

    def _look_ahead(self) -> None:
        """Note whether a deposit has to be seen to: by a receiver, or because none is to come."""
        waiting = bool(self._receivers or self._reserve)
        self._hungry = self.closed or (waiting and self._called == 0 and not self._looking)
        self.direct = not (self._hungry or self._mixed or self.granted)

    def _summon(self, number: int) -> None:
        """Call so many receivers, those who wait before those in reserve."""
        while number > 0 and (self._receivers or self._reserve):
            if not self._receivers:
                self._called += 1
                self._reserve.popleft()()
            else:
                waiter = self._receivers.popleft()
                if waiter.done():
                    continue
                self._called += 1
                waiter.set_result(None)
            number -= 1
        self._look_ahead()

    def _next_line(self) -> _Line | None:
        """Return whose turn it is to go on: of those that may, whoever has waited longest.

        A place granted to a feeder keeps no sender whose item has been taken.
        """
        used = self._used()
        granted = 0 if self.capacity else self.granted
        lines = [
            line
            for line, taken, capacity in (
                (self._senders, used - granted, self.capacity),
                (self._feeders, used, self._feeder_capacity),
            )
            if line and taken < capacity
        ]
        return min(lines, key=lambda line: line[0][0], default=None)

    def _stand_in(self, line: _Line) -> Future[None]:
        waiter: Future[None] = get_running_loop().create_future()
        line.append((next(self._tickets), waiter))
        self.crowded = True
        return waiter

    def _leave(self, line: _Line, waiter: Future[None]) -> None:
        for entry in line:
            if entry[1] is waiter:
                line.remove(entry)
                break
        if not self.closed:
            self._look_back()


def _was_called(waiter: Future[None]) -> bool:
    return waiter.done() and not waiter.cancelled()
