"""The receivers of a channel, and how many of them are woken."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Callable, Iterable

WAITING_PER_WAKE = 64
"""In a turn of the loop, one receiver is woken for every so many that wait; at least two are."""


class Receivers:
    """Wakes those that wait for items, one at a time.

    One that arrives and leaves work until the next turn of the loop has a few more woken then, and
    so on: a trickle wakes one, and lasting work wakes ever more. Waking all of them is no gain:
    while they arrive, those at work come back for the next item.

    Lazy receivers are callables, each of which starts one more receiver; that one reports by
    `arrive`.

    Args:
        startable: returns how many items may start.
        on_change: called when `wants_waking` may have changed.
    """

    __slots__ = (
        "_is_wake_scheduled",
        "_lazy",
        "_on_change",
        "_startable",
        "_waiting",
        "_woken",
    )

    def __init__(self, startable: Callable[[], int], on_change: Callable[[], None]) -> None:
        self._startable = startable
        self._on_change = on_change
        self._waiting: deque[Future[None]] = deque()
        self._lazy: deque[Callable[[], None]] = deque()
        self._woken = 0  # that have not arrived yet
        self._is_wake_scheduled = False

    @property
    def wants_waking(self) -> bool:
        """Whether an item that becomes ready needs a receiver to be woken for it."""
        has_any = bool(self._waiting or self._lazy)
        return has_any and not self._woken and not self._is_wake_scheduled

    async def wait(self) -> None:
        """Wait until woken for an item or the channel is closed."""
        waiter = get_running_loop().create_future()
        self._waiting.append(waiter)
        self._on_change()
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():  # another has to be woken in its place
                self.arrive(takes=0)
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
                self._on_change()
            raise
        self.arrive()

    def arrive(self, takes: int = 1) -> None:
        """Report that a woken receiver is there, and how many items it takes at once."""
        self._woken -= 1
        has_more = bool(self._waiting or self._lazy) and not self._is_wake_scheduled
        if has_more and self._startable() > takes:
            self._is_wake_scheduled = True
            get_running_loop().call_soon(self._wake_more)
        self._on_change()

    def add_lazy(self, starters: Iterable[Callable[[], None]]) -> None:
        """Add receivers that are to be started when there is work for them."""
        self._lazy.extend(starters)
        self.wake(min(1, self._startable()))

    def wake(self, number: int) -> None:
        """Wake so many receivers, those that wait before lazy ones."""
        while number > 0 and (self._waiting or self._lazy):
            if not self._waiting:
                self._woken += 1
                self._lazy.popleft()()
            else:
                waiter = self._waiting.popleft()
                if waiter.done():
                    continue
                self._woken += 1
                waiter.set_result(None)
            number -= 1
        self._on_change()

    def close(self) -> None:
        """Wake all receivers, the channel being closed; start no lazy one."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()
        self._lazy.clear()

    def _wake_more(self) -> None:
        self._is_wake_scheduled = False
        waiting = len(self._waiting) + len(self._lazy)
        self.wake(min(self._startable(), max(2, waiting // WAITING_PER_WAKE)))
