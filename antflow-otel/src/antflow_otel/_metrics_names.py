"""What metrics call pipelines, stages and the rest: "other" once there are too many names."""

from __future__ import annotations

MOST = 100
OTHER = "other"


class Names:
    """Keeps the number of series bounded, whatever pipelines and stages are called.

    In each place, the first 100 names that come are kept; all that come later are "other". OTLP
    cannot carry lone surrogates, and a whole export would be lost with one of them.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], dict[str, str]] = {}

    def of(self, name: str, *place: str) -> str:
        """Return what something is called.

        Args:
            name: its own name.
            place: what kind of thing it is, and what it belongs to.
        """
        known = self._known.setdefault(place, {})
        called = known.get(name)
        if called is None:
            if len(known) >= MOST:
                return OTHER
            called = known[name] = name.encode("utf-8", "backslashreplace").decode("utf-8")
        return called
