"""Units that start within a period: an exact sliding window, and even spacing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf

MAX_EXACT_ENTRIES = 512
"""Beyond so many entries, those within a thousandth of the period are merged."""

MERGED_SHARE = 1e-3
"""Of the period: the entries within it may be merged."""

MAX_CATCH_UP = 0.01
"""Seconds by which a start that waited for the spacing may be late without a loss of rate."""

ROUNDING = 1e-9
"""The share of the rate by which a sum of fractions may be off."""


class Entry:
    """Units that started at one time, or within a thousandth of the period.

    Args:
        at: when the last of them started, in seconds.
    """

    __slots__ = ("at", "units")

    def __init__(self, at: float, units: float) -> None:
        self.at = at
        self.units = units


class Window:
    """What has started within the last `per` seconds: never more than `rate` units.

    It is a log of times and units. On top of it starts are spaced evenly, as the generic cell rate
    algorithm does (ITU-T I.371): after a burst, each unit takes `per / rate` seconds.

    Args:
        rate: units in any window.
        per: length of the window in seconds.
        burst: units that may start at once.
    """

    # The spacing alone lets up to a burst more than `rate` start within some window. The log alone
    # lets a whole rate start at once.

    __slots__ = (
        "_burst",
        "_entries",
        "_interval",
        "_merged_since",
        "_most",
        "_per",
        "_rate",
        "_spaced_at",
        "used",
    )

    def __init__(self, rate: float, per: float, burst: float) -> None:
        self._rate, self._per, self._burst = rate, per, burst
        self._interval = per / rate
        self._entries: deque[Entry] = deque()
        self._spaced_at = -inf  # when the spacing has caught up with what has started
        self._merged_since = -inf  # when the first units of the last entry started
        self._most = rate * (1 + ROUNDING)
        self.used = 0.0

    def due(self, units: float, now: float) -> float:
        """Return when so many units may start: at once, if that is not after `now`."""
        entries = self._entries
        if entries and entries[0].at + self._per <= now:
            self.expire(now)
        allowance = self._burst - units
        spaced = self._spaced_at - allowance * self._interval if allowance > 0 else self._spaced_at
        excess = self.used + units - self._most
        return max(spaced, self._free_at(excess)) if excess > 0 else spaced

    def available(self, now: float) -> float:
        """Return how many units are left in the window that ends now."""
        self.expire(now)
        return max(0.0, self._rate - self.used)

    def add(self, units: float, now: float, since: float) -> Entry:
        """Enter units that start now.

        Args:
            since: when the item began to wait: a start that comes late, since timers and the event
                loop are late, does not delay the next ones.
        """
        # Without `max` and `min`, which would be a fifth of the price of a unit.
        start = now - MAX_CATCH_UP
        if since > start:  # noqa: PLR1730
            start = since
        if self._spaced_at > start:  # noqa: PLR1730
            start = self._spaced_at
        self._spaced_at = start + units * self._interval
        return self._enter(units, now)

    def add_used(self, units: float, now: float) -> Entry:
        """Enter units that an attempt used beyond those it started with; they count from now on."""
        self.expire(now)
        self._spaced_at = max(self._spaced_at, now) + units * self._interval
        return self._enter(units, now)

    def give_back(
        self, parts: Iterable[tuple[Entry, float]], units: float, now: float
    ) -> list[tuple[Entry, float]]:
        """Take back units that an attempt did not use, the latest first, as far as they count.

        Args:
            parts: the units of the attempt, by entry; an entry may have those of others, too.
            units: how many it did not use.

        Returns:
            The parts that are left, in their order.
        """
        self.expire(now)
        rest = []
        for entry, own in reversed(list(parts)):
            part = min(units, own, entry.units)
            entry.units -= part
            self.used -= part
            self._spaced_at -= part * self._interval
            units -= part
            rest.append((entry, own - part))
        return rest[::-1]

    def expire(self, now: float) -> None:
        """Forget the entries that no window which ends now or later contains."""
        entries = self._entries
        while entries and entries[0].at + self._per <= now:
            entry = entries.popleft()
            self.used -= entry.units
            entry.units = 0.0
        if not entries:
            self.used = 0.0  # whatever the rounding

    def is_idle(self, now: float) -> bool:
        """Return whether it holds nothing that a new window would not."""
        self.expire(now)
        return not self._entries and self._spaced_at <= now

    def _enter(self, units: float, now: float) -> Entry:
        entries = self._entries
        self.used += units
        if len(entries) >= MAX_EXACT_ENTRIES:
            last = entries[-1]
            if now - self._merged_since <= self._per * MERGED_SHARE:
                last.at = max(last.at, now)  # the latest: a window never has more than it says
                last.units += units
                return last
        self._merged_since = now
        entry = Entry(now, units)
        entries.append(entry)
        return entry

    def _free_at(self, excess: float) -> float:
        """Return when so many of the units that were used are in no window any more."""
        at = -inf
        for entry in self._entries:
            at = entry.at + self._per
            excess -= entry.units
            if excess <= 0:
                break
        return at
