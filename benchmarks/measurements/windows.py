"""What is known of calls from the times at which they began."""

from collections import deque
from collections.abc import Iterable


class Window:
    """Adds up units over the last seconds, exactly: it slides, and its end is not part of it."""

    def __init__(self, per: float) -> None:
        self._per = per
        self._entries: deque[tuple[float, float]] = deque()
        self.used = 0.0
        self.worst = 0.0

    def advance(self, now: float) -> float:
        """Forget what was before, and return the units that are left."""
        entries = self._entries
        while entries and entries[0][0] + self._per <= now:
            self.used -= entries.popleft()[1]
        return self.used

    def add(self, units: float, now: float) -> None:
        """Add units."""
        self.advance(now)
        self._entries.append((now, units))
        self.used += units
        self.worst = max(self.worst, self.used)


def worst_window(times: Iterable[float], per: float) -> int:
    """The most calls that began within any `per` seconds."""
    window = Window(per)
    for time in sorted(times):
        window.add(1, time)
    return int(window.worst)
