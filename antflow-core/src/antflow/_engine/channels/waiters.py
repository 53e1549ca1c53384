"""Waiting at a channel: senders and feeders for room, receivers for items."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Callable

_Line = deque["Future[bool]"]
"""The result of each is whether there was room."""


class SkippedSender(Future[bool]):
    """The future of a sender whose stage skipped the item; statistics tell it from the others."""

    __slots__ = ()


class RoomWaiters:
    """Senders, which have deposited their item, and feeders, which have not.

    Whoever takes an item calls `wake` while `any` is set. Where both may go on, senders and feeders
    alternate, so that neither starves.
    """

    __slots__ = (
        "_feeders",
        "_has_place",
        "_is_feeders_turn",
        "_may_sender_go",
        "_refuses_feeders",
        "any",
        "reserved",
        "senders",
    )

    def __init__(self, may_sender_go: Callable[[], bool], has_place: Callable[[], bool]) -> None:
        self.any = False
        self.senders: _Line = deque()
        self.reserved = 0  # room kept for feeders that were woken, or that await observers
        self._feeders: _Line = deque()
        self._may_sender_go = may_sender_go
        self._has_place = has_place
        self._is_feeders_turn = True
        self._refuses_feeders = False

    @property
    def has_feeders(self) -> bool:
        """Whether a feeder waits."""
        return bool(self._feeders)

    async def wait_as_sender(self, *, has_skipped: bool = False) -> None:
        """Wait, having deposited, until there is room again or the channel is closed.

        Args:
            has_skipped: whether the sender's stage skipped the item.
        """
        loop = get_running_loop()
        waiter = SkippedSender(loop=loop) if has_skipped else loop.create_future()
        await self._wait(self.senders, waiter)

    async def wait_as_feeder(self) -> None:
        """Wait until a feeder may deposit one item, is dismissed or the channel is closed."""
        if self._refuses_feeders:
            return
        if await self._wait(self._feeders, get_running_loop().create_future()):
            self.reserved -= 1

    def wake(self) -> None:
        """Wake those that wait, as far as there is room."""
        while (line := self._next_line()) is not None:
            waiter = line.popleft()
            if not waiter.done():
                waiter.set_result(True)
                self.reserved += line is self._feeders  # or another feeder could be faster
        self.any = bool(self.senders or self._feeders)

    def dismiss_feeders(self) -> None:
        """Make no feeder wait from now on: those that do find that they are refused."""
        self._refuses_feeders = True
        _refuse(self._feeders)
        self.wake()

    def close(self) -> None:
        """Let everyone go on."""
        self._refuses_feeders = True
        _refuse(self.senders)
        _refuse(self._feeders)
        self.any = False

    async def _wait(self, line: _Line, waiter: Future[bool]) -> bool:
        line.append(waiter)
        self.any = True
        try:
            return await waiter
        except BaseException:
            if waiter in line:
                line.remove(waiter)
            elif line is self._feeders and not waiter.cancelled() and waiter.result():
                self.reserved -= 1
            self.wake()  # another, for the room that this one does not use
            raise

    def _next_line(self) -> _Line | None:
        """Return the line whose turn it is, of those that may go on."""
        # Tickets that kept the order of arrival over both lines cost a sorted insertion, and a
        # second wait for a feeder that had been overtaken.
        may_sender_go = bool(self.senders) and self._may_sender_go()
        may_feeder_go = bool(self._feeders) and self._has_place()
        if may_sender_go and may_feeder_go:
            self._is_feeders_turn = not self._is_feeders_turn
            may_sender_go = not self._is_feeders_turn
        if may_sender_go:
            return self.senders
        return self._feeders if may_feeder_go else None


def _refuse(waiters: _Line) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(False)
    waiters.clear()


WAITING_PER_WAKE = 64
"""In a turn of the loop, one receiver is woken for every so many that wait; at least two are."""


class Receivers:
    """Wakes those that wait for items, one at a time.

    If a receiver arrives and leaves work until the next turn of the loop, a few more are woken
    then, and so on: a trickle wakes one, and lasting work wakes ever more.

    Lazy receivers are a number and a callable, which starts one more receiver each time; that one
    reports by `arrive`.

    Receivers can be removed: lazy ones and those that wait first. If all others are at work, some
    are `surplus`. While there is any, a receiver that is done with its item takes no other one but
    calls `wait`, which returns False: it has to stop. So there is none that waits meanwhile.

    Args:
        startable: returns how many items may start.
        on_change: called when `wants_waking` may have changed.

    Attributes:
        on_removed: called when `has_idle` may have become false without an item being taken.
    """

    __slots__ = (
        "_is_wake_scheduled",
        "_lazy",
        "_on_change",
        "_start_lazy",
        "_startable",
        "_waiting",
        "_woken",
        "on_removed",
        "surplus",
    )

    def __init__(self, startable: Callable[[], int], on_change: Callable[[], None]) -> None:
        self.surplus = 0
        self.on_removed: Callable[[], None] = lambda: None
        self._startable = startable
        self._on_change = on_change
        # With each, what is called if it is removed. The result is whether it goes on.
        self._waiting: deque[tuple[Future[bool], Callable[[], None]]] = deque()
        self._lazy = 0  # not started yet
        self._start_lazy: Callable[[], None] | None = None
        self._woken = 0  # that have not arrived yet
        self._is_wake_scheduled = False

    @property
    def wants_waking(self) -> bool:
        """Whether an item that becomes ready needs a receiver to be woken for it."""
        has_any = bool(self._waiting or self._lazy)
        return has_any and not self._woken and not self._is_wake_scheduled

    @property
    def has_idle(self) -> bool:
        """Whether a receiver waits, or is about to look for an item."""
        return bool(self._waiting or self._lazy or self._woken)

    async def wait(self, leave: Callable[[], None]) -> bool:
        """Wait until woken for an item or the channel is closed; False if the receiver is removed.

        It is removed at once while there are surplus receivers.

        Args:
            leave: called at the moment when the receiver is removed.
        """
        if self.surplus:
            self.surplus -= 1
            leave()
            self.on_removed()  # it may have been woken just before
            return False
        waiter: Future[bool] = get_running_loop().create_future()
        entry = waiter, leave
        self._waiting.append(entry)
        self._on_change()
        try:
            goes_on = await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                if waiter.result():  # woken and cancelled: wake another
                    self.arrive(takes=0)
            elif entry in self._waiting:
                self._waiting.remove(entry)
                self._on_change()
            raise
        if goes_on:
            self.arrive()
        return goes_on

    def arrive(self, takes: int = 1) -> None:
        """Report that a woken receiver is there, and how many items it takes at once."""
        self._woken -= 1
        has_more = bool(self._waiting or self._lazy) and not self._is_wake_scheduled
        if has_more and self._startable() > takes:
            self._is_wake_scheduled = True
            get_running_loop().call_soon(self._wake_more)
        self._on_change()

    def add_lazy(self, number: int, start: Callable[[], None]) -> int:
        """Add receivers that are to be started when there is work for them.

        Surplus receivers stay instead, as far as there are any.

        Returns:
            How many were added.
        """
        kept = min(number, self.surplus)
        self.surplus -= kept
        self._lazy += number - kept
        self._start_lazy = start
        self.wake(min(1, self._startable()))
        return number - kept

    def remove(self, number: int) -> int:
        """Remove receivers: at once those that are idle, the others when they are done.

        Returns:
            How many of them were not started.
        """
        lazy = min(number, self._lazy)
        self._lazy -= lazy
        left = number - lazy
        while left and self._waiting:
            waiter, leave = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(False)
                leave()
                left -= 1
        self.surplus += left
        self._on_change()
        self.on_removed()
        return lazy

    def wake(self, number: int) -> None:
        """Wake so many receivers, those that wait before lazy ones."""
        while number > 0 and (self._waiting or self._lazy):
            if not self._waiting:
                self._woken += 1
                self._lazy -= 1
                assert self._start_lazy is not None
                self._start_lazy()
            else:
                waiter, _ = self._waiting.popleft()
                if waiter.done():
                    continue
                self._woken += 1
                waiter.set_result(True)
            number -= 1
        self._on_change()

    def close(self) -> None:
        """Wake all receivers, the channel being closed; start no lazy one."""
        for waiter, _ in self._waiting:
            if not waiter.done():
                waiter.set_result(True)
        self._waiting.clear()
        self._lazy, self._start_lazy = 0, None

    def _wake_more(self) -> None:
        # Waking all of them costs wide pipelines three quarters of their speed: while they arrive,
        # the receivers at work come back for the next item.
        self._is_wake_scheduled = False
        waiting = len(self._waiting) + self._lazy
        self.wake(min(self._startable(), max(2, waiting // WAITING_PER_WAKE)))
