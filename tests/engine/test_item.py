"""An item's details, which most items never need."""

from __future__ import annotations

from antflow._engine.item import as_results, make_item, note_attempts


def test_details_are_made_once_and_only_where_they_are_needed() -> None:
    item = make_item("x", 0, 100)
    note_attempts(item, "Last", 1)
    assert as_results([item], "Last")[0].details is None
    assert item.get_details() is item.get_details()
