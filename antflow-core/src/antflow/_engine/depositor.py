"""Emits that an item is queued, and deposits it: in this order, and both or neither."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable

from antflow._plugins.dispatcher import Dispatcher, delivered_cancellations
from antflow.results import PipelineResult

from .reentrancy import ACTIVE_RUNS, runs_with
from .run_state import RunState
from .stage_runtime import StageRuntime


class Depositor:
    """Emits that items are queued, and deposits them.

    Args:
        run: the state of the run.
        dispatcher: calls the run's observers.
    """

    def __init__(self, run: RunState, dispatcher: Dispatcher) -> None:
        self.announced: dict[int, tuple[PipelineResult, StageRuntime]] = {}  # not deposited yet
        self._run = run
        self._dispatcher = dispatcher

    @property
    def is_observed(self) -> bool:
        """Whether observers are called before an item is deposited."""
        return bool(self._dispatcher.item_start)

    def deposit(self, item: PipelineResult, stage: StageRuntime) -> Awaitable[bool] | None:
        """Emit that an item is queued, before any other event of it, and deposit it."""
        # Emitted first: once it is deposited, a worker could emit `in_progress` before `queued`.
        if self._dispatcher.item_start:
            pending = self.emit_queued(item, stage)
            if pending is not None or self._run.is_finalized:
                return self.deposit_later(pending, item, stage)
        self._put(item, stage)
        return None

    def emit_queued(self, item: PipelineResult, stage: StageRuntime) -> Awaitable[None] | None:
        """Emit that an item is queued, as code of the run."""
        token = ACTIVE_RUNS.set(runs_with(self._run))
        try:
            dispatcher = self._dispatcher
            return dispatcher.emit_status(
                item, stage.name, "queued", listeners=dispatcher.item_start
            )
        finally:
            ACTIVE_RUNS.reset(token)

    def deposit_later(
        self, pending: Awaitable[None] | None, item: PipelineResult, stage: StageRuntime
    ) -> Awaitable[bool]:
        """Announce an item, and return an awaitable that deposits it, whatever happens.

        That awaits the observers first. Only where the run is settled by then, the item is reported
        as unprocessed.

        Returns:
            An awaitable of whether it was deposited. It raises CancelledError if the caller was
            cancelled; the item is deposited nonetheless.
        """
        self.announced[id(item)] = item, stage
        stage.input.waiters.reserved += 1  # the room that was found, until the deposit
        self._run.announced_items += 1
        return self._deposit_after(pending, item, stage)

    async def _deposit_after(
        self, pending: Awaitable[None] | None, item: PipelineResult, stage: StageRuntime
    ) -> bool:
        before = delivered_cancellations()
        with self._run.reentrancy.observing():
            try:
                if pending is not None:
                    await pending
            finally:
                stage.input.waiters.reserved -= 1
                self._run.announced_items -= 1
                del self.announced[id(item)]
                is_late = self._run.is_finalized
                if not is_late:
                    self._put(item, stage)
            if is_late:
                late = self._dispatcher.emit_status(item, stage.name, "unprocessed", final=True)
                if late is not None:
                    await late
        if delivered_cancellations() > before:
            raise CancelledError
        return not is_late

    def _put(self, item: PipelineResult, stage: StageRuntime) -> None:
        item.queued_at = self._run.clock()
        stage.counters.fed += 1
        stage.input.put_fed(item)
