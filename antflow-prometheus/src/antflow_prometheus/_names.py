"""What pipelines, stages and the rest are called: as they are, until there are too many names."""

from __future__ import annotations

from typing import Literal

Labels = tuple[str, ...]
Kind = Literal["pipeline", "plugin", "stage", "error", "task"]

MOST_PIPELINES = 100
MOST_WITHIN = 100
OTHER = "other"


class Names:
    """Keeps the number of series bounded, whatever pipelines and stages are called.

    The first names that come are kept; all that come later are one, "other". There are at most 100
    pipelines, and in each of them 100 stages and 100 plugins, and in each stage 100 tasks and 100
    exception classes.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Kind, Labels], set[str]] = {}

    def of(self, kind: Kind, parents: Labels, name: object) -> Labels:
        """Return the labels of something.

        Args:
            kind: what it is.
            parents: the labels of what it belongs to; none for a pipeline.
            name: its own name; what UTF-8 does not have is shown as a question mark.
        """
        known = self._known.setdefault((kind, parents), set())
        label = str(name).encode("utf-8", "replace").decode()
        if label in known:
            return (*parents, label)
        if len(known) >= (MOST_WITHIN if parents else MOST_PIPELINES):
            return (*parents, OTHER)
        known.add(label)
        return (*parents, label)
