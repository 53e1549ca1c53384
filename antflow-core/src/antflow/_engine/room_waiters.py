"""Those that wait for room in front of a stage, in the order in which they came."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from bisect import insort_right
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from operator import itemgetter

_Line = deque[tuple[int, "Future[bool]"]]
"""Each with a ticket; the future's result is whether there was room."""


class RoomWaiters:
    """Senders, which have deposited their item, and feeders, which have not.

    Whoever takes an item calls `wake` while `any` is set.

    Args:
        may_sender_go: returns whether a sender may go on, beside so many feeders woken before it.
        has_place: returns whether a feeder may deposit an item, beside so many others.
    """

    __slots__ = (
        "_feeders",
        "_has_place",
        "_is_closed",
        "_may_sender_go",
        "_refuses_feeders",
        "_tickets",
        "any",
        "senders",
    )

    def __init__(
        self, may_sender_go: Callable[[int], bool], has_place: Callable[[int], bool]
    ) -> None:
        self.any = False
        self.senders: _Line = deque()
        self._feeders: _Line = deque()
        self._may_sender_go = may_sender_go
        self._has_place = has_place
        self._tickets = count()
        self._refuses_feeders = False
        self._is_closed = False

    @property
    def has_feeders(self) -> bool:
        """Whether a feeder waits."""
        return bool(self._feeders)

    async def wait_as_sender(self) -> None:
        """Wait, having deposited, until there is room again or the channel is closed."""
        await self._wait(self.senders, next(self._tickets))

    async def wait_as_feeder(self) -> None:
        """Wait until a feeder may deposit one item, is dismissed or the channel is closed."""
        ticket = next(self._tickets)
        while not self._refuses_feeders and await self._wait(self._feeders, ticket):
            # Another may have deposited between the wake-up and now.
            if self._has_place(0):
                return

    def wake(self) -> None:
        """Wake those that wait, as far as there is room."""
        woken = 0
        while (line := self._next_line(woken)) is not None:
            _, waiter = line.popleft()
            woken += line is self._feeders
            if not waiter.done():
                waiter.set_result(True)
        self.any = bool(self.senders or self._feeders)

    def dismiss_feeders(self) -> None:
        """Make no feeder wait from now on: those that do find that they are refused."""
        self._refuses_feeders = True
        _refuse(self._feeders)
        self._feeders.clear()
        self.wake()

    def close(self) -> None:
        """Let everyone go on."""
        self._is_closed = True
        _refuse(sorted((*self.senders, *self._feeders), key=itemgetter(0)))
        self.senders.clear()
        self._feeders.clear()
        self.any = False

    async def _wait(self, line: _Line, ticket: int) -> bool:
        if self._is_closed:
            return False
        waiter: Future[bool] = get_running_loop().create_future()
        entry = ticket, waiter
        if not line or line[-1][0] < ticket:
            line.append(entry)
        else:  # it was woken, and another was faster: it keeps its place
            insort_right(line, entry, key=itemgetter(0))
        self.any = True
        try:
            return await waiter
        except BaseException:
            if entry in line:
                line.remove(entry)
            self.wake()  # others, for the place that this one leaves free
            raise

    def _next_line(self, woken: int) -> _Line | None:
        """Return the line whose turn it is: of those that may go on, the one waiting longest."""
        lines = []
        if self.senders and self._may_sender_go(woken):
            lines.append(self.senders)
        if self._feeders and self._has_place(woken):
            lines.append(self._feeders)
        return min(lines, key=lambda line: line[0][0], default=None)


def _refuse(waiters: Iterable[tuple[int, Future[bool]]]) -> None:
    for _, waiter in waiters:
        if not waiter.done():
            waiter.set_result(False)
