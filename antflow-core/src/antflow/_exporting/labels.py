"""Limits the number of label values, and so the number of series of the metrics."""

from __future__ import annotations

from typing import Literal

Labels = tuple[str, ...]
LabelKind = Literal["pipeline", "plugin", "stage", "error_type", "limit", "task"]

# Exception classes, too: a run counts 50 by name, but several runs of one pipeline are summed.
MAX_NAMES = 100
OTHER = "other"
"""The label of all names beyond the limit."""


class LabelLimiter:
    """Keeps the number of series bounded, whatever pipelines and stages are called.

    The first names are kept; all later ones become "other". There are at most 100 pipelines, each
    with at most 100 stages and 100 plugins, and each stage with at most 100 limits, 100 tasks and
    100 exception classes.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[LabelKind, Labels], set[str]] = {}

    def limit(self, kind: LabelKind, name: object, *parents: str) -> Labels:
        """Return the labels for a name, those of its parents included.

        Args:
            kind: the kind of thing that has the name.
            name: the name; what UTF-8 cannot encode becomes a question mark.
            parents: the labels of what it belongs to: the pipeline, and for a limit, a task or an
                exception class also the stage.
        """
        known = self._known.setdefault((kind, parents), set())
        label = str(name).encode("utf-8", "replace").decode()
        if label not in known:
            if len(known) >= MAX_NAMES:
                return (*parents, OTHER)
            known.add(label)
        return (*parents, label)
