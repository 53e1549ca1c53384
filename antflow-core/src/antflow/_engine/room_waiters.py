"""Those that wait for room in front of a stage, in the order in which they came."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Callable

_Line = deque["Future[bool]"]
"""The result of each is whether there was room."""


class RoomWaiters:
    """Senders, which have deposited their item, and feeders, which have not.

    Whoever takes an item calls `wake` while `any` is set. Where both may go on, senders and feeders
    take turns, so that neither starve.

    Args:
        may_sender_go: returns whether a sender may go on.
        has_place: returns whether a feeder may deposit an item.
    """

    __slots__ = (
        "_feeders",
        "_has_place",
        "_is_closed",
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
        self.reserved = 0  # places of feeders that were woken, or await observers
        self._feeders: _Line = deque()
        self._may_sender_go = may_sender_go
        self._has_place = has_place
        self._is_feeders_turn = True
        self._refuses_feeders = False
        self._is_closed = False

    @property
    def has_feeders(self) -> bool:
        """Whether a feeder waits."""
        return bool(self._feeders)

    async def wait_as_sender(self) -> None:
        """Wait, having deposited, until there is room again or the channel is closed."""
        if not self._is_closed:
            await self._wait(self.senders)

    async def wait_as_feeder(self) -> None:
        """Wait until a feeder may deposit one item, is dismissed or the channel is closed."""
        if not (self._refuses_feeders or self._is_closed) and await self._wait(self._feeders):
            self.reserved -= 1

    def wake(self) -> None:
        """Wake those that wait, as far as there is room."""
        while (line := self._next_line()) is not None:
            waiter = line.popleft()
            if not waiter.done():
                waiter.set_result(True)
                self.reserved += line is self._feeders  # or another could take the place first
        self.any = bool(self.senders or self._feeders)

    def dismiss_feeders(self) -> None:
        """Make no feeder wait from now on: those that do find that they are refused."""
        self._refuses_feeders = True
        _refuse(self._feeders)
        self.wake()

    def close(self) -> None:
        """Let everyone go on."""
        self._is_closed = True
        _refuse(self.senders)
        _refuse(self._feeders)
        self.any = False

    async def _wait(self, line: _Line) -> bool:
        waiter: Future[bool] = get_running_loop().create_future()
        line.append(waiter)
        self.any = True
        try:
            return await waiter
        except BaseException:
            if waiter in line:
                line.remove(waiter)
            elif line is self._feeders and not waiter.cancelled() and waiter.result():
                self.reserved -= 1
            self.wake()  # others, for the place that this one leaves free
            raise

    def _next_line(self) -> _Line | None:
        """Return the line whose turn it is, of those that may go on."""
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
