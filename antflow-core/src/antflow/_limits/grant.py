"""What an item holds of the limits of its stage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from typing import NamedTuple, Protocol

from .meter import Hold
from .meters import LOCK, Meters

acquire, release = LOCK.acquire, LOCK.release


class Wait(NamedTuple):
    """The wait of an item for the limits of its stage.

    Args:
        limit: name of the limit that held it back last.
        seconds: from the moment when it was the next to start until it started.
    """

    limit: str
    seconds: float


class LimitUser(Protocol):
    """A stage with limits in one run."""

    @property
    def all_meters(self) -> Collection[Meters]:
        """The limits."""

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the run."""


class Grant:
    """What an item holds of the limits of its stage, while the stage works on it.

    Args:
        user: the stage.
        holds: one for each limit that bounds the item.

    Attributes:
        wait: of the item; None if it could start at once.
        error: what `key` or `cost` raised; the item then holds nothing, and fails.
        is_used: whether a task was called for it.
    """

    __slots__ = ("_holds", "_user", "error", "is_used", "wait")

    def __init__(self, user: LimitUser, holds: Sequence[Hold]) -> None:
        self._user = user
        self._holds = holds
        self.wait: Wait | None = None
        self.error: BaseException | None = None
        self.is_used = False

    def is_of(self, meters: Meters) -> bool:
        """Return whether the item's stage has a limit, though it may not bound the item."""
        return meters in self._user.all_meters

    def holds(self, meters: Meters) -> bool:
        """Return whether the item holds a limit."""
        return any(hold.meter.limit is meters for hold in self._holds)

    def release(self, now: float, has_succeeded: bool = False) -> None:
        """Let others start in place of the item; called again, this does nothing."""
        acquire()  # half the price of `with`
        try:
            holds, self._holds = self._holds, ()
            for hold in holds:
                hold.meter.end(now, has_succeeded)
        finally:
            release()

    def correct(self, meters: Meters, units: float) -> None:
        """Enter how many units of one limit the item has really used."""
        with LOCK:
            now = self._user.clock()
            for hold in self._holds:
                if hold.meter.limit is meters:
                    hold.correct(units, now)

    def refund(self) -> None:
        """Give back the units of an item, unless a task was called for it."""
        if self.is_used:
            return
        with LOCK:
            now = self._user.clock()
            for hold in self._holds:
                hold.correct(0.0, now)

    def overload(self) -> None:
        """Let fewer attempts run at once where the concurrency adapts."""
        with LOCK:
            for hold in self._holds:
                hold.meter.overload(hold.generation)

    def pause(self, meters: Meters, seconds: float) -> None:
        """Let no attempt of the item's key start for some seconds."""
        with LOCK:
            until = self._user.clock() + seconds
            for hold in self._holds:
                if hold.meter.limit is meters:
                    hold.meter.pause(until)


class CommonGrant(Grant):
    """What each item of a stage holds if none of its limits has a rate or adapts.

    One object serves all items, so that none is made for each. Each item releases it once.
    """

    __slots__ = ()

    def release(self, now: float, has_succeeded: bool = False) -> None:
        """Let others start in place of one item."""
        acquire()
        try:
            for hold in self._holds:
                hold.meter.end(now, has_succeeded)
        finally:
            release()


class Holder(Protocol):
    """An attempt, which holds the limits of its item.

    Attributes:
        grant: what its item holds; None if that is nothing.
    """

    grant: Grant | None


CURRENT_HOLDER: ContextVar[Holder | None] = ContextVar("antflow_current_holder", default=None)
"""The attempt that calls the current task; each worker of a stage with limits sets it once."""
