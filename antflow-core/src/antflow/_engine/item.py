"""Items on their way through a run: from an input to a record, and from a record to a result.

One object is an item from its feeding until its end, when it is the item's `PipelineResult`. While
it is on its way, `value` is what entered the stage that the item is at.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import Any

from antflow.types import PipelineResult, UnprocessedItem

_new = PipelineResult.__new__


def new_item(item_id: Any, value: Any, sequence_id: int, priority: int) -> PipelineResult:
    """Return a new item without metadata."""
    item = _new(PipelineResult)  # half the price of a call with nine arguments
    item.id = item_id
    item.value = value
    item.sequence_id = sequence_id
    item.priority = priority
    item.details = None
    return item


def make_item(source: Any, sequence_id: int, priority: int) -> PipelineResult:
    """Make an item of what a user feeds.

    A dict with an "id" has that id, its "value" or else the whole dict as value, and its other
    keys as metadata. Anything else is its own value, with its sequence number as id.
    """
    if isinstance(source, dict) and "id" in source:
        item = new_item(source["id"], source.get("value", source), sequence_id, priority)
        metadata = {key: source[key] for key in source if key not in ("id", "value")}
        if metadata:
            item.metadata = metadata
        return item
    return new_item(sequence_id, source, sequence_id, priority)


def from_unprocessed(left: UnprocessedItem, sequence_id: int) -> PipelineResult:
    """Make an item of one that an earlier run left unprocessed."""
    item = new_item(left.id, left.value, sequence_id, checked_priority(left.priority))
    item.metadata = left.metadata
    if left.carrier:
        item.carrier = dict(left.carrier)  # of its own, should the same be fed twice
    return item


def to_unprocessed(item: PipelineResult, stage: str) -> UnprocessedItem:
    """Return an item as `shutdown` reports it, left in front of a stage."""
    return UnprocessedItem(
        item.id, item.value, item.metadata, item.priority, stage, item.sequence_id, item.carrier
    )


def note_attempts(item: PipelineResult, stage: str, attempts: int) -> None:
    """Set how many attempts a stage has made; where there was one, most items need no note."""
    if item.details is not None or attempts != 1:
        details = item.get_details()
        details.attempts, details.attempted_by = attempts, stage


def as_results(items: Iterable[PipelineResult], last_stage: str) -> list[PipelineResult]:
    """Return items that have ended as results."""
    return [item if item.details is None else as_result(item, last_stage) for item in items]


def as_result(item: PipelineResult, last_stage: str) -> PipelineResult:
    """Complete an item that has ended: a success tells of the attempts of the last stage alone."""
    details = item.details
    if details is not None and details.error is None and details.attempted_by != last_stage:
        details.attempts, details.attempted_by = 1, last_stage
    return item


def describe(item: PipelineResult) -> dict[str, Any]:
    """Return an item as callbacks get it: its id, value and metadata."""
    return {**item.metadata, "id": item.id, "value": item.value}


def checked_priority(priority: int) -> int:
    """Return a priority if it is one.

    Raises:
        ValueError: it cannot be compared with others.
    """
    if not isinstance(priority, int | float) or isnan(priority):
        raise ValueError(f"A priority is a number, lower first; give one instead of {priority!r}")
    return priority
