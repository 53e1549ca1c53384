"""Ends items as dropped: those that are cancelled, and those that expire."""

from __future__ import annotations

from asyncio import current_task
from collections.abc import Sequence
from functools import partial
from weakref import ref

from antflow._engine.base.run_state import RunState
from antflow._engine.channels.handle import ItemHandle
from antflow._engine.channels.parking import ParkedItems
from antflow._engine.channels.result_queue import ResultQueue
from antflow._engine.workers.stage_runtime import StageRuntime
from antflow._engine.workers.worker import WORKING, Worker
from antflow._engine.workers.worker_pool import WorkerPool
from antflow._plugins.dispatcher import Dispatcher
from antflow.results import PipelineResult

MIN_PRUNED = 1000
"""So many entries may be kept until they are due, though their items have ended."""


class Dropper:
    """Drops items of one run: at once where they wait, else when they next wait."""

    def __init__(
        self,
        run: RunState,
        stages: Sequence[StageRuntime],
        workers: WorkerPool,
        results: ResultQueue,
        dispatcher: Dispatcher,
    ) -> None:
        self._run = run
        self._stages = stages
        self._workers = workers
        self._results = results
        self._dispatcher = dispatcher
        # Weakly, or they would keep results until they are due. `results` has the handles of items
        # that have not ended.
        self._expiring = ParkedItems[ref[ItemHandle]](_expire, lambda: None)

    def drop(self, item: PipelineResult, reason: str, *, interrupts: bool) -> None:
        """Drop an item that has not ended.

        Args:
            reason: why, as in `PipelineResult.reason`.
            interrupts: whether to cancel an attempt that runs.
        """
        details = item.get_details()
        if details.drop_reason is None or interrupts:  # a cancellation stands
            details.drop_reason = reason
        for stage in self._stages:
            if stage.input.remove(item):
                self._end(stage, item)
                return
        # A worker holds it, or an observer of its "queued" event is awaited: it is dropped when it
        # is deposited next. A value that the last stage returns stands.
        for stage in self._stages:
            stage.input.drop_deposited(partial(self._end, stage))
        if interrupts:
            self._interrupt(item)

    def expire_after(self, handle: ItemHandle, seconds: float) -> None:
        """Drop the item of a handle after some seconds, unless it has ended by then."""
        self._expiring.add(ref(handle), seconds)
        # Those of items that have ended would otherwise be kept until they are due.
        if len(self._expiring) > MIN_PRUNED + 2 * self._results.expected:
            self._expiring.retain(_may_expire)

    def stop(self) -> None:
        """Let nothing expire any more."""
        self._expiring.clear()

    def is_running(self, item: PipelineResult) -> bool:
        """Return whether a worker holds an item."""
        return self._holder(item) is not None

    def _holder(self, item: PipelineResult) -> Worker | None:
        return next(
            (
                worker
                for worker in self._workers.begun()
                if worker.attempt.item is item and worker.state in WORKING
            ),
            None,
        )

    def _interrupt(self, item: PipelineResult) -> None:
        """Cancel the attempt at an item, if it is running, and nothing of its worker."""
        worker = self._holder(item)
        if worker is None or worker.task is None or not worker.attempt.is_calling:
            return
        if worker.task is current_task():  # its cancellation could come when the attempt has ended
            assert self._run.loop is not None
            self._run.loop.call_soon(self._interrupt, item)
        else:
            worker.interrupt()

    def _end(self, stage: StageRuntime, item: PipelineResult) -> None:
        """End an item that is not in a channel any more."""
        details = item.get_details()
        reason = details.drop_reason
        item.outcome, item.reason = "dropped", reason
        item.stage, item.attempts = stage.name, _attempts_made(item, stage)
        details.retry = None  # or the result would keep the input of a task
        stage.counters.dropped += 1
        self._run.ended_early += 1
        if self._dispatcher.item_finish:
            pending = self._dispatcher.emit_status(
                item, stage.name, "dropped", metadata={"reason": reason}, final=True
            )
            if pending is not None:
                self._run.spawn(pending)
        self._results.put(item)
        if self._run.loop is not None:  # not at once: a worker may be depositing the item
            self._run.loop.call_soon(self._run.check_done)


def _expire(handle: ref[ItemHandle]) -> None:
    if (kept := handle()) is not None:
        kept.expire()


def _may_expire(handle: ref[ItemHandle]) -> bool:
    return (kept := handle()) is not None and not kept.done()


def _attempts_made(item: PipelineResult, stage: StageRuntime) -> int:
    """Return how many attempts a stage has made at an item that it is not done with."""
    details = item.get_details()
    if details.attempted_by == stage.name:
        return details.attempts
    retry = details.retry
    return max(retry[1:3]) - 1 if retry is not None and retry[0] == stage.name else 0
