"""Submitting: feeds single items, and gives their callers handles."""

from __future__ import annotations

from typing import Any

from antflow._engine.base.run_state import RunState
from antflow._engine.channels.handle import ItemHandle
from antflow._engine.channels.result_queue import ResultQueue
from antflow._engine.workers.stage_runtime import StageRuntime
from antflow.exceptions import PipelineError, PipelineFullError
from antflow.results import PipelineResult

from .dropping import Dropper
from .feeder import Feeder
from .item_factory import ItemFactory


class Submitter:
    """Submits items to one run."""

    def __init__(
        self,
        run: RunState,
        stage: StageRuntime,
        items: ItemFactory,
        feeder: Feeder,
        results: ResultQueue,
        dropper: Dropper,
    ) -> None:
        self._run = run
        self._stage = stage
        self._items = items
        self._feeder = feeder
        self._depositor = feeder.depositor
        self._results = results
        self._dropper = dropper

    @property
    def is_observed(self) -> bool:
        """Whether observers are called before an item is deposited, and may have to be awaited."""
        return self._depositor.is_observed

    async def submit(self, source: Any, priority: int, expires_in: float | None) -> ItemHandle:
        """Feed one item as soon as there is room, and return its handle.

        Args:
            source: a value, or an item that an earlier run has left.
            priority: lower first.
            expires_in: seconds after which the item is dropped where it waits; None for never.

        Raises:
            PipelineError: the run was stopped before it took the item.
        """
        handle, item, stage = self._new_handle(source, priority)
        is_accepted = False
        try:
            is_accepted = await self._feeder.feed_item(item, stage)
        finally:
            if not is_accepted:  # nothing waits for it
                self._results.withdraw(handle)
        if not is_accepted:
            raise self._not_taken()
        if self._run.is_over and not handle.done():
            raise self._not_ended()
        if expires_in is not None:
            self._dropper.expire_after(handle, expires_in)
        return handle

    def submit_at_once(
        self, source: Any, priority: int, expires_in: float | None
    ) -> ItemHandle | None:
        """Feed one item and return its handle; None if the run takes no more, or has no room."""
        stage = self._items.stage_for(source, self._stage)
        if not (self._feeder.accepts() and stage.input.has_room()):
            return None
        handle, item, stage = self._new_handle(source, priority)
        pending = self._depositor.deposit(item, stage)
        if pending is not None:
            self._run.spawn(pending)
        if expires_in is not None:
            self._dropper.expire_after(handle, expires_in)
        return handle

    def submit_nowait(self, source: Any, priority: int, expires_in: float | None) -> ItemHandle:
        """Feed one item, and return its handle.

        Raises:
            PipelineFullError: there is no room.
            PipelineError: the run takes no more items.
        """
        handle = self.submit_at_once(source, priority, expires_in)
        if handle is not None:
            return handle
        if not self._feeder.accepts():
            raise self._not_taken()
        full = self._items.stage_for(source, self._stage)
        raise PipelineFullError(
            f"Pipeline {self._run.name!r} has no room for another item: stage {full.name!r} is "
            "full; await submit(), or refuse the request"
        )

    def fail_handles(self) -> None:
        """Give an error to the handles of the items that were left."""
        self._results.fail_handles(self._not_ended)

    def _new_handle(
        self, source: Any, priority: int
    ) -> tuple[ItemHandle, PipelineResult, StageRuntime]:
        self._items.note_priority(priority)
        item, stage = self._items.make(source, self._stage, priority)
        handle = ItemHandle(item, self._run, self._dropper)
        self._results.expect(handle)
        return handle, item, stage

    def _not_taken(self) -> PipelineError:
        return PipelineError(
            f"Pipeline {self._run.name!r} was stopped before it took the item; start() it again"
        )

    def _not_ended(self) -> PipelineError:
        error = PipelineError(
            f"Pipeline {self._run.name!r} was stopped before the item ended; it is in "
            "pipeline.unprocessed"
        )
        error.__cause__ = self._run.error
        return error
