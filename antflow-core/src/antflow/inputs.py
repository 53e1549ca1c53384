"""`single_item`, which tells an input of many items from one that is a single item."""

from __future__ import annotations

from collections.abc import Mapping

from ._errors.texts import short
from .items import Item
from .results import PipelineResult, UnprocessedItem

__all__ = ["single_item"]


def single_item(items: object) -> str | None:
    """Return why an input is one item and what to give instead; None if it may be many.

    Texts, mappings and tables can be iterated over, but yield characters, numbers, keys or column
    names. Pipelines refuse them with this text.

    Args:
        items: an input.
    """
    if isinstance(items, Item | UnprocessedItem | PipelineResult):
        return f"{short(items)} is one; put it in a list: [item]"
    if isinstance(items, str):
        return f"the str {short(items)} is one; give [text], or text.splitlines() for lines"
    if isinstance(items, bytes | bytearray):
        kind = type(items).__name__
        return f"the {kind} {short(items)} is one; give [data], or data.splitlines() for lines"
    if isinstance(items, Mapping):
        return (
            f"the {type(items).__name__} {short(items)} is one; give [mapping], or "
            "mapping.values() or mapping.items() for its entries"
        )
    return _table(items)


def _table(items: object) -> str | None:
    """Return why an input is a table, recognised by its methods so that nothing is imported."""
    remedies = {
        "to_dicts": "frame.to_dicts()",  # polars
        "to_pylist": "table.to_pylist()",  # pyarrow
        "to_dict": 'frame.to_dict("records")',  # pandas
    }
    for method, remedy in remedies.items():
        # The columns last: some lazy frames compute them. A series has none, and yields its values.
        if hasattr(items, method) and hasattr(items, "columns"):
            return (
                f"a {type(items).__name__} yields its columns, not its rows; give {remedy} for one "
                "item per row, or [frame] for one item"
            )
    return None
