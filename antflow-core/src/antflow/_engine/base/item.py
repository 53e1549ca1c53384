"""Items: made of what users feed, and completed as results.

One object is an item from its feeding until its end, when it is the item's `PipelineResult`. While
it is on its way, `value` is what entered the stage that the item is at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from antflow._errors.texts import shown
from antflow.items import Item, checked_priority
from antflow.results import PipelineResult, UnprocessedItem

SPECIAL = (dict, Item, UnprocessedItem, PipelineResult)
"""Types of fed values that may say more of an item than its value, such as its id."""

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
    keys as metadata. An `Item` says all of it. Anything else is its own value, with its sequence
    number as id.
    """
    if isinstance(source, Item):
        item_id = sequence_id if source.id is None else source.id
        own = priority if source.priority is None else source.priority
        item = new_item(item_id, source.value, sequence_id, own)
        if source.metadata:
            item.metadata = dict(source.metadata)
        return item
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
    # Of its own, should the same be fed twice.
    if left.metadata:
        item.metadata = dict(left.metadata)
    if left.carrier:
        item.carrier = dict(left.carrier)
    return item


def from_failed(result: PipelineResult, sequence_id: int, priority: int) -> PipelineResult:
    """Make an item of a failed result; `result.stage` is where it belongs.

    Args:
        result: it keeps its metadata and carrier to itself.
        priority: used if the result has none, as one that no run has made.

    Raises:
        ValueError: the result is not a failure.
    """
    if result.error is None or result.stage is None:
        raise ValueError(
            f"The result of item {shown(result.id)} is not a failure, and only failures can be fed "
            "again; feed its value, or Item(result.value, id=result.id)"
        )
    own = checked_priority(getattr(result, "priority", priority))
    item = new_item(result.id, result.value, sequence_id, own)
    if result.metadata:
        item.metadata = dict(result.metadata)
    if result.carrier:
        item.carrier = dict(result.carrier)
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
    """Complete an item that has ended: a success has the attempts of the last stage alone."""
    details = item.details
    if details is None or details.error is not None or details.ended is not None:
        return item
    if details.attempted_by != last_stage:
        retry, details.retry = details.retry, None
        is_of_last = retry is not None and retry[0] == last_stage
        details.attempts = max(retry[1:3]) if retry is not None and is_of_last else 1
        details.attempted_by = last_stage
    return item


def describe(item: PipelineResult) -> dict[str, Any]:
    """Return an item as callbacks get it: its id, value and metadata."""
    return {**item.metadata, "id": item.id, "value": item.value}
