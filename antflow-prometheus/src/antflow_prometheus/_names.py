"""What pipelines, stages and the rest are called: as they are, until there are too many names."""

from __future__ import annotations

Labels = tuple[str, ...]

MOST_PIPELINES = 100
MOST_WITHIN = 100
OTHER = "other"


class Names:
    """Keeps the number of series bounded, whatever pipelines and stages are called.

    The first names that come are kept; all that come later are one, "other". There are at most 100
    pipelines, and in each of them 100 stages and 100 plugins, and in each stage 100 tasks and
    exception classes.
    """

    def __init__(self) -> None:
        self._known: dict[Labels, set[str]] = {}

    def of(self, parents: Labels, name: str) -> Labels:
        """Return the labels of something.

        Args:
            parents: the labels of what it belongs to; none for a pipeline.
            name: its own name.
        """
        known = self._known.setdefault(parents, set())
        if name in known:
            return (*parents, name)
        if len(known) >= (MOST_WITHIN if parents else MOST_PIPELINES):
            return (*parents, OTHER)
        known.add(name)
        return (*parents, name)
