"""The record of one item on its way through a run."""

from __future__ import annotations

from asyncio import Future
from typing import Any

from .items import Item, checked_priority
from .types import PipelineResult, UnprocessedItem


class ItemRecord(PipelineResult):
    """One item from its feeding to its end, when the same object becomes its result.

    `value` is what entered the stage that the item is at; it changes when a stage is done with it.
    `queued_at` is the run's clock when the item was handed to its present channel, and `extra`
    holds what most items do without.
    """

    __slots__ = ()

    extra: Extra | None
    priority: int
    queued_at: float

    def __init__(
        self,
        id: Any,  # noqa: A002 - named as users name it
        value: Any,
        sequence_id: int,
        priority: int,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.id = id
        self.value = value
        self.sequence_id = sequence_id
        self.rare = None
        self.priority = priority
        self.queued_at = 0.0
        self.extra = None
        if metadata is not None:
            self.metadata = metadata

    def more(self) -> Extra:
        """Return what most items do without, made on first use."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    def describe(self) -> dict[str, Any]:
        """Return the item as callbacks get it: id, value and metadata."""
        return {**self.metadata, "id": self.id, "value": self.value}

    def left_over(self, stage: str) -> UnprocessedItem:
        """Return the item as shutdown reports it, left in front of a stage."""
        return UnprocessedItem(
            self.id,
            self.value,
            self.metadata,
            self.priority,
            stage,
            self.sequence_id,
            self.carrier,
        )


class Extra:
    """What most items do without: a second attempt, or someone who waits for the result.

    `stage_attempt` numbers the present attempt of the stage as a whole. `attempts` were made by
    the stage called `noted_by`, the last one that took note.
    """

    __slots__ = ("attempts", "noted_by", "reply", "stage_attempt")

    def __init__(self) -> None:
        self.attempts = 1
        self.noted_by: str | None = None
        self.reply: Future[PipelineResult] | None = None
        self.stage_attempt = 1


def as_results(items: list[ItemRecord], last_stage: str) -> list[PipelineResult]:
    """Turn many items into results, as `as_result` does, at the price of a call for few of them."""
    results: list[Any] = items
    for item in results:
        if item.extra is None:
            item.__class__ = PipelineResult
        else:
            as_result(item, last_stage)
    return results


SPELLED_OUT = (dict, Item, UnprocessedItem, PipelineResult)
"""Types of fed values that may say more of an item than its value, such as its id."""


def read_item(source: Any, sequence_id: int, priority: int) -> ItemRecord:
    """Make an item of what a user feeds.

    A dict with an "id" has that id, its "value" or else the whole dict as value, and its other
    keys as metadata. An `Item` says all of it. Anything else is its own value, with its sequence
    number as id.
    """
    if isinstance(source, Item):
        return ItemRecord(
            sequence_id if source.id is None else source.id,
            source.value,
            sequence_id,
            priority if source.priority is None else source.priority,
            dict(source.metadata) if source.metadata else None,
        )
    if isinstance(source, dict) and "id" in source:
        metadata = {key: source[key] for key in source if key not in ("id", "value")}
        value = source.get("value", source)
        return ItemRecord(source["id"], value, sequence_id, priority, metadata or None)
    return ItemRecord(sequence_id, source, sequence_id, priority)


def as_result(item: PipelineResult, last_stage: str) -> PipelineResult:
    """Turn an item that has ended into its result, in place; a result stays as it is.

    Args:
        item: the item.
        last_stage: the pipeline's last stage; attempts noted by an earlier one are not those that
            a success ended with.
    """
    if isinstance(item, ItemRecord):
        extra = item.extra
        if extra is not None:
            if item.error is not None or extra.noted_by == last_stage:
                item.attempts = extra.attempts
            item.extra = None
        item.__class__ = PipelineResult  # type: ignore[assignment]
    return item


def take_back(left: UnprocessedItem, sequence_id: int) -> ItemRecord:
    """Make an item of one that an earlier run left unprocessed."""
    priority = checked_priority(left.priority)
    item = ItemRecord(left.id, left.value, sequence_id, priority, left.metadata)
    if left.carrier:
        item.carrier = dict(left.carrier)  # of its own, should the same be fed twice
    return item


def take_failed(result: PipelineResult, sequence_id: int, priority: int) -> ItemRecord:
    """Make an item of a failed result; `result.stage` is where it belongs.

    Args:
        result: it keeps its metadata and carrier to itself.
        sequence_id: the item's number in this run.
        priority: used if the result has none, as one that no run has made.

    Raises:
        ValueError: the result is not a failure.
    """
    if result.error is None or result.stage is None:
        raise ValueError(
            f"The result of item {result.id!r} is not a failure, and only failures can be fed "
            "again; feed its value, or Item(result.value, id=result.id)"
        )
    own = checked_priority(getattr(result, "priority", priority))
    metadata = dict(result.metadata) or None
    item = ItemRecord(result.id, result.value, sequence_id, own, metadata)
    if result.carrier:
        item.carrier = dict(result.carrier)
    return item
