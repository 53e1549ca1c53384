"""Limits the number of label values, and so the number of series of the metrics."""

from __future__ import annotations

from typing import Literal

Labels = tuple[str, ...]
LabelKind = Literal["pipeline", "plugin", "stage", "error", "task"]

MAX_PIPELINES = 100
MAX_PER_PARENT = 100
OTHER = "other"


class LabelLimiter:
    """Keeps the number of series bounded, whatever pipelines and stages are called.

    The first names are kept; all later ones become "other". There are at most 100 pipelines, each
    with at most 100 stages and 100 plugins, and each stage with at most 100 tasks and 100
    exception classes.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[LabelKind, Labels], set[str]] = {}

    def labels(self, kind: LabelKind, parents: Labels, name: object) -> Labels:
        """Return the labels for a name, those of its parents included.

        Args:
            kind: the kind of thing that has the name.
            parents: the labels of what it belongs to; none for a pipeline.
            name: the name; what UTF-8 cannot encode becomes a question mark.
        """
        known = self._known.setdefault((kind, parents), set())
        label = str(name).encode("utf-8", "replace").decode()
        if label in known:
            return (*parents, label)
        if len(known) >= (MAX_PER_PARENT if parents else MAX_PIPELINES):
            return (*parents, OTHER)
        known.add(label)
        return (*parents, label)
