"""What metrics call pipelines, stages and the rest: "other" once there are too many names."""

from __future__ import annotations

MOST = 100
OTHER = "other"


class Names:
    """Keeps the number of series bounded, whatever pipelines and stages are called.

    In each place, the first 100 names that come are kept; all that come later are "other".
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], set[str]] = {}

    def of(self, name: str, *place: str) -> str:
        """Return what something is called.

        Args:
            name: its own name.
            place: what kind of thing it is, and what it belongs to.
        """
        known = self._known.setdefault(place, set())
        if name not in known:
            if len(known) >= MOST:
                return OTHER
            known.add(name)
        return name
