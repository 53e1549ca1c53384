"""Limits the number of attribute values, and so the number of series of the metrics."""

from __future__ import annotations

MAX_LABELS = 100
OTHER = "other"


class LabelLimiter:
    """Keeps the number of series bounded, whatever pipelines and stages are called.

    Of each kind, and within the same parents, the first 100 names are kept; all later ones become
    "other".
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], dict[str, str]] = {}

    def label(self, name: str, *parents: str) -> str:
        """Return the attribute value for a name.

        Args:
            name: of a pipeline, plugin, stage, task or exception class.
            parents: its kind, and the labels of what it belongs to.
        """
        known = self._known.setdefault(parents, {})
        label = known.get(name)
        if label is None:
            if len(known) >= MAX_LABELS:
                return OTHER
            # OTLP cannot carry lone surrogates: one of them would lose the whole export.
            label = known[name] = name.encode("utf-8", "backslashreplace").decode("utf-8")
        return label
