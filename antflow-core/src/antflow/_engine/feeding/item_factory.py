"""Makes the items of one run: their numbers, where they enter, and whether they are sorted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from antflow._engine.base.item import from_failed, from_unprocessed, make_item
from antflow._engine.workers.stage_runtime import StageRuntime, stage_named
from antflow.results import PipelineResult, UnprocessedItem

EARLIER = UnprocessedItem, PipelineResult
"""Types of fed values that are items of an earlier run."""


class ItemFactory:
    """Makes items of values, and of items that an earlier run has left."""

    def __init__(self, pipeline: str, stages: Sequence[StageRuntime]) -> None:
        self.ids = SequenceIds()
        self._pipeline = pipeline
        self._stages = stages
        self._priority: int | None = None  # until the first item

    def number_of(self, value: Any) -> int:
        """Return the `sequence_id` that a value gets if it is the next to be fed.

        An item of an earlier run keeps the one it has, unless another item of this run has that.
        """
        if isinstance(value, EARLIER):
            return self.ids.id_for(value.sequence_id)
        return self.ids.next

    def make(
        self, value: Any, stage: StageRuntime, priority: int
    ) -> tuple[PipelineResult, StageRuntime]:
        """Return an item for a value, and the stage that it enters.

        Args:
            value: the value, or an item of an earlier run.
            stage: where values enter; an item of an earlier run goes to where it was.
            priority: of items that have none of their own; noted already.

        Raises:
            ValueError: an item of an earlier run did not fail, or there is no stage of that name.
        """
        if isinstance(value, EARLIER):
            number = self.number_of(value)
            if isinstance(value, PipelineResult):
                item = from_failed(value, number, priority)
            else:
                item = from_unprocessed(value, number)
            stage = self.stage_for(value, stage)
            self.ids.take(number)
        else:
            item = make_item(value, self.ids.next, priority)
            self.ids.next += 1
        if item.priority != priority:
            self.note_priority(item.priority)
        return item, stage

    def stage_for(self, value: Any, stage: StageRuntime) -> StageRuntime:
        """Return the stage that a value enters.

        Args:
            value: the value, or an item of an earlier run, which goes to where it was.
            stage: where values enter, and results that belong to no stage, which `make` refuses.

        Raises:
            ValueError: there is no stage of that name.
        """
        if isinstance(value, EARLIER) and value.stage is not None:
            return stage_named(self._stages, value.stage, self._pipeline, value)
        return stage

    def note_priority(self, priority: int) -> None:
        """Have items sorted from the second priority on."""
        if self._priority not in (None, priority):
            for stage in self._stages:
                stage.input.expect_priorities()
        self._priority = priority


class SequenceIds:
    """Gives new items their ids, and lets items of an earlier run keep theirs.

    `next` is the id of the next new item. Where an item that is fed back has a greater one, those
    in between are left to others that are fed back.
    """

    __slots__ = ("_left_from", "_left_until", "_taken", "next")

    def __init__(self) -> None:
        self.next = 0
        self._taken: set[int] = set()
        self._left_from: list[int] = []
        self._left_until: list[int] = []

    def id_for(self, own: int) -> int:
        """Return the id for an item that had one in an earlier run: that, if it is free."""
        return own if self._is_free(own) else self.next

    def take(self, number: int) -> None:
        """Give an id to no other item."""
        if number >= self.next:
            self._left_from.append(self.next)
            self._left_until.append(number + 1)
            self.next = number + 1
        self._taken.add(number)

    def give_back(self, number: int) -> None:
        """Make an id that was taken free again: its item was not fed."""
        self._taken.discard(number)

    def _is_free(self, number: int) -> bool:
        if number >= self.next:
            return True
        at = bisect_right(self._left_from, number) - 1
        return at >= 0 and number < self._left_until[at] and number not in self._taken
