"""What is in use of a limit: of all of it, or for one key."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from math import inf
from operator import attrgetter
from typing import Any, Protocol

from .adaptive import AdaptiveConcurrency
from .window import Entry, Window


class Waiter(Protocol):
    """Items of one stage that wait at a meter; one of them may start at a time."""

    @property
    def stage(self) -> object:
        """Identifies their stage and run."""

    @property
    def turn(self) -> float:
        """Its rank among those that wait, at whatever meter: lower goes first."""

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop of their run."""

    @property
    def waiting(self) -> int:
        """How many items wait."""

    def call(self) -> None:
        """Note that the first of them may be able to start; return at once."""

    def goes_first(self) -> bool:
        """Return whether another stage has to wait for its turn; it is called when that is over."""


_turn = attrgetter("turn")


class LimitState(Protocol):
    """The state of a limit, over all keys."""

    paused_until: float
    in_use: int


class Hold:
    """What an item holds of one limit.

    Args:
        meter: for the item's key.
        entry: of its units in the window; None without a rate.
        units: that are entered there.
        generation: of the attempt, for a concurrency that adapts.
    """

    __slots__ = ("_corrected", "entry", "generation", "meter", "units")

    def __init__(self, meter: Meter, entry: Entry | None, units: float, generation: int) -> None:
        self.meter = meter
        self.entry = entry
        self.units = units
        self.generation = generation
        self._corrected: list[tuple[Entry, float]] | None = None  # its units, by entry

    def correct(self, units: float, now: float) -> None:
        """Enter how many units were really used; of several calls the last one counts."""
        window = self.meter.window
        if self.entry is None or window is None:
            return
        parts = self._corrected or [(self.entry, self.units)]
        change, self.units = units - self.units, units
        if change > 0:
            parts.append((window.add_used(change, now), change))
        else:
            parts = window.give_back(parts, -change, now)
            self.meter.call_next()
        self._corrected = parts


class Meter:
    """What is in use of a limit, and which items wait for it.

    Stages that share it take turns: the items of one may start if no items of another that could
    start wait before them.

    Args:
        key: what it is for; None if the limit has no keys.
        allowed: attempts at once, or what adapts them; None for no bound.
        window: of the rate; None for no bound.
    """

    __slots__ = (
        "_adaptive",
        "_allowed",
        "common_hold",
        "in_use",
        "key",
        "limit",
        "paused_until",
        "used_at",
        "waiters",
        "window",
    )

    def __init__(
        self,
        limit: LimitState,
        key: Any,
        allowed: float | AdaptiveConcurrency | None,
        window: Window | None,
    ) -> None:
        self.limit = limit
        self.key = key
        self.window = window
        self._adaptive: AdaptiveConcurrency | None = None
        self._allowed = inf
        if isinstance(allowed, AdaptiveConcurrency):
            self._adaptive = allowed
        elif allowed is not None:
            self._allowed = allowed
        self.in_use = 0
        self.paused_until = -inf
        self.used_at = -inf
        self.waiters: dict[Waiter, None] = {}
        # Without a window and a generation, what items hold does not differ.
        is_common = key is None and window is None and self._adaptive is None
        self.common_hold = Hold(self, None, 0.0, 0) if is_common else None

    @property
    def allowed(self) -> float:
        """Attempts that may run at once; infinity for no bound."""
        return self._allowed if self._adaptive is None else self._adaptive.allowed

    @property
    def waiting(self) -> int:
        """How many items wait for it."""
        return sum(waiter.waiting for waiter in list(self.waiters))

    def available(self, now: float) -> float:
        """Return how many units the window has left, or attempts where there is no rate."""
        attempts = max(0.0, self.allowed - self.in_use)
        if self.window is None:
            return attempts
        return self.window.available(now) if attempts else 0.0

    def due(self, units: float, now: float) -> float:
        """Return when an attempt may start: at once, if that is not after `now`.

        Infinity means that another has to end first.
        """
        allowed = self._allowed if self._adaptive is None else self._adaptive.allowed
        if self.in_use >= allowed:
            return inf
        due = self.paused_until
        if self.limit.paused_until > due:  # noqa: PLR1730 - a tenth of the price of `max`
            due = self.limit.paused_until
        if self.window is not None and (spaced := self.window.due(units, now)) > due:
            return spaced
        return due

    def is_turn_of(self, waiter: Waiter) -> bool:
        """Return whether no other stage goes first."""
        # A turn holds at all meters, or stages that need several could let each other go for ever.
        stage = waiter.stage
        own = min((each.turn for each in self.waiters if each.stage is stage), default=inf)
        turn = min(own, waiter.turn)
        # It is passed on at once where no worker is free, or two stages could wait for each other.
        # Another event loop may be held up for long, so it gets no turns.
        return not any(
            other.turn < turn
            and other.stage is not stage
            and other.loop is waiter.loop
            and other.goes_first()
            for other in self.waiters
        )

    def start(self, units: float, now: float, since: float) -> Hold:
        """Let an attempt start.

        Args:
            since: when its item began to wait.
        """
        self.in_use += 1
        self.limit.in_use += 1
        self.used_at = now
        if self.waiters:
            self.call_next()
        if self.common_hold is not None:
            return self.common_hold
        entry = None if self.window is None else self.window.add(units, now, since)
        generation = 0 if self._adaptive is None else self._adaptive.start()
        return Hold(self, entry, units, generation)

    def end(self, now: float, has_succeeded: bool) -> None:
        """Note that an attempt has ended."""
        self.in_use -= 1
        self.limit.in_use -= 1
        self.used_at = now
        if has_succeeded and self._adaptive is not None:
            self._adaptive.succeed()
        if self.waiters:
            self.call_next()

    def overload(self, generation: int | None = None) -> None:
        """Allow half as many attempts if the concurrency adapts.

        Args:
            generation: of the attempt that found the service overloaded; None if none did.
        """
        if self._adaptive is not None:
            self._adaptive.overload(generation)

    def pause(self, until: float) -> None:
        """Let no attempt start until that time."""
        self.paused_until = max(self.paused_until, until)

    def leave(self, waiter: Waiter) -> None:
        """Take out a waiter that does not wait any more; its turn is passed on."""
        if waiter in self.waiters:
            del self.waiters[waiter]
            self.call_next()

    def call_next(self) -> None:
        """Call the first waiter of each event loop whose items can start, and those before it."""
        # Those before it look for themselves as soon as one of their workers is free.
        goes_first = set[AbstractEventLoop]()  # the loops of which one goes first
        for waiter in sorted(self.waiters, key=_turn):
            if waiter.loop.is_closed():  # without notice, so that nothing of it will start
                del self.waiters[waiter]
            elif waiter.loop not in goes_first:
                waiter.call()
                if len(self.waiters) > 1 and waiter.goes_first():
                    goes_first.add(waiter.loop)

    def is_idle(self, now: float, per: float) -> bool:
        """Return whether it can be forgotten: it is in no use, and a new one would allow no more.

        Args:
            per: seconds for which it is kept after its last use.
        """
        if self.in_use or self.waiters or self.paused_until > now:
            return False
        is_empty = self.window is None or self.window.is_idle(now)
        return is_empty and self.used_at + per <= now
