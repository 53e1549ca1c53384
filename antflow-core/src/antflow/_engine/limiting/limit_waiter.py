"""Items of a stage that wait for a limit: the ready ones, or those of one key."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from itertools import count
from math import inf
from typing import NamedTuple, Protocol

from antflow._engine.channels.parking import ParkedItems
from antflow._limits.meter import Meter
from antflow._limits.meters import LOCK, Meters
from antflow.results import PipelineResult

_turns = count()

Line = tuple[Meters, Hashable]
"""Identifies the items that wait for one key of a limit."""


class Need(NamedTuple):
    """What an item needs of one limit.

    Args:
        key: of the item; None if the limit has no keys.
        has_key: whether items of other keys may pass the item.
    """

    meters: Meters
    key: Hashable
    units: float
    name: str
    has_key: bool

    @property
    def line(self) -> Line:
        """Identifies the items that need the same."""
        return self.meters, self.key


class Candidate:
    """An item that is the next to start, or waits for its key.

    Args:
        needs: of each limit that bounds it, those without keys first.
        error: what `key` or `cost` raised; the item then needs nothing.
    """

    __slots__ = ("error", "item", "limit", "needs", "since")

    def __init__(
        self, item: PipelineResult, needs: tuple[Need, ...], error: BaseException | None = None
    ) -> None:
        self.item = item
        self.needs = needs
        self.error = error
        self.limit: str | None = None  # the name of the one that it waited for last
        self.since = 0.0  # when it was the next to start, and might not


class Blocked(NamedTuple):
    """Why an item may not start.

    Args:
        need: the first that is not met.
        meter: where it has to wait for that.
        due: when to look again; infinity if the meter calls.
        now: when that was found.
    """

    need: Need
    meter: Meter
    due: float
    now: float


class WaitingStage(Protocol):
    """The channel of a stage that has limits."""

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop of the run."""

    @property
    def pending(self) -> int:
        """Number of ready items."""

    @property
    def calls(self) -> ParkedItems[LimitWaiter]:
        """Calls waiters when they are due."""

    def can_start(self, waiter: LimitWaiter) -> bool:
        """Return whether a worker is free for the first item of a waiter."""

    def goes_first(self, waiter: LimitWaiter) -> bool:
        """Return whether another stage has to wait for its turn behind a waiter."""

    def on_called(self, waiter: LimitWaiter) -> None:
        """Look again whether the first of a waiter's items may start."""


class LimitWaiter:
    """Items of a stage that wait at one meter at a time.

    Args:
        stage: the stage's channel.
        line: the limit and the key for which they wait; None for the stage's ready items.
    """

    __slots__ = ("_due", "candidates", "is_called", "line", "meter", "need", "stage", "turn")

    def __init__(self, stage: WaitingStage, line: Line | None = None) -> None:
        self.stage = stage
        self._due = inf  # when it is called by the clock
        self.line = line
        self.candidates: deque[Candidate] = deque()  # those in line
        self.is_called = False
        self.meter: Meter | None = None  # where it waits
        self.need: Need | None = None  # what its first item waits for
        self.turn = inf  # lower goes first; infinity before it waits

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop of the run."""
        return self.stage.loop

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return self.stage.pending if self.line is None else len(self.candidates)

    def can_start(self) -> bool:
        """Return whether a worker is free to start one."""
        return self.stage.can_start(self)

    def goes_first(self) -> bool:
        """Return whether another stage has to wait for its turn; it is called when that is over."""
        return self.stage.goes_first(self)

    def is_for(self, meters: Meters, first: Need | None) -> bool:
        """Return whether the items in its line wait for a limit.

        Args:
            first: what the first ready item of the stage waits for.
        """
        # Once its key is free, a line waits for the limit without keys that blocks the stage.
        need = first if self.is_called or self.need is None else self.need
        return self.line is not None and (self.line[0] if need is None else need.meters) is meters

    def wait(self, blocked: Blocked | None) -> None:
        """Wait for what blocks the first item; for nothing if that is None."""
        if blocked is None:
            self.stop()
            return
        if blocked.meter is not self.meter:
            self.leave()
            self.meter = blocked.meter
        if self.turn == inf:
            self.turn = next(_turns)
        blocked.meter.waiters.setdefault(self)
        self.need, self.is_called = blocked.need, False
        if blocked.due < self._due:  # or an earlier call looks again
            self._due = blocked.due
            self.stage.calls.add(self, blocked.due - blocked.now)

    def stop(self) -> None:
        """Wait no more, and use up the turn; what it waited for is passed on to the next waiter."""
        self.turn = inf
        self.leave()

    def leave(self) -> None:
        """Leave the meter, but keep the turn; what it waited for is passed on."""
        meter, self.meter, self.need = self.meter, None, None
        if meter is not None:
            meter.leave(self)

    def pass_on(self) -> None:
        """Let items of other stages start that wait behind these: no worker is free for these."""
        if self.meter is not None and len(self.meter.waiters) > 1:
            self.meter.call_next()

    def call(self) -> None:
        """Have the channel look whether the first item may start; from any thread."""
        if self.is_called:
            return
        if is_running(self.loop):
            self._call()
        else:
            with suppress(RuntimeError):  # its loop is closed
                self.loop.call_soon_threadsafe(self._call)

    def call_by_clock(self) -> None:
        """Have the channel look, the time being due."""
        self._due = inf
        self.call()
        if not self.can_start():  # nor does a limit call those behind it at this time
            with LOCK:
                self.pass_on()

    def _call(self) -> None:
        if not self.is_called and (self.meter is not None):
            self.is_called = True
            self.stage.on_called(self)


def is_running(loop: AbstractEventLoop) -> bool:
    """Return whether a loop runs in this thread, and this is called by it."""
    try:
        return get_running_loop() is loop
    except RuntimeError:  # no loop runs in this thread
        return False
