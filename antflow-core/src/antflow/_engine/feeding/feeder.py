"""Feeding: reads an input, waits for room, and deposits its items."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import AsyncIterable, Awaitable, Iterable
from typing import Any

from antflow._cancellation import delivered_cancellations
from antflow._engine.base.item import SPECIAL, new_item
from antflow._engine.base.reentrancy import ACTIVE_RUNS, runs_with
from antflow._engine.base.run_state import RunState
from antflow._engine.workers.stage_runtime import StageRuntime
from antflow._plugins.dispatcher import Dispatcher
from antflow.results import PipelineResult

from .item_factory import ItemFactory
from .sources import Source

MAX_PLAIN_TYPES = 100
"""Classes of values that are remembered, of programs that make ever more of them."""


class Feeder:
    """Feeds the stages of one run, as they have room."""

    def __init__(self, run: RunState, items: ItemFactory, dispatcher: Dispatcher) -> None:
        self.depositor = Depositor(run, dispatcher)
        self._run = run
        self._items = items
        self._dispatcher = dispatcher
        self._warnings = FeedWarnings(run)
        self._plain: set[type] = set()

    async def feed(self, source: Source, stage: StageRuntime, priority: int) -> bool:
        """Feed items to a stage as it has room for them.

        Args:
            source: values to be wrapped as items, or items that an earlier run left unprocessed.
            stage: where they enter, but for the latter, which go to where they were.
            priority: lower first.

        Returns:
            False when the run was closed before everything was fed; the value that was read last
            has then not been fed, unless it is the run itself that reads.
        """
        inside = self._run.is_inside()
        self._items.note_priority(priority)
        self._run.active_feeds += 1
        try:
            if isinstance(source, AsyncIterable):
                async for value in source:
                    if not await self._put_value(value, stage, priority, inside):
                        return False
                    del value  # or it would live until the input yields the next
                return True
            return await self._feed_fast(source, stage, priority, inside)
        finally:
            self._run.active_feeds -= 1
            self._run.check_done()

    async def _feed_fast(
        self, source: Iterable[Any], stage: StageRuntime, priority: int, inside: bool
    ) -> bool:
        """Feed from an iterable, at the price of no call for a value that has room at once."""
        run, input_, entry, ids = self._run, stage.input, stage.entry, self._items.ids
        queue, budget, clock, capacity = input_.queue, run.budget, run.clock, input_.capacity
        dispatcher, plain, waiters = self._dispatcher, self._plain, input_.waiters
        for value in source:
            listeners = dispatcher.item_start
            if (
                not input_.append_directly  # nor is it when the run is closed
                or waiters.any
                or len(queue) >= capacity
                or value.__class__ not in plain
                or (now := clock()) > budget.until
                or not run.accepts_input
                or waiters.reserved
            ):
                if not await self._put_value(value, stage, priority, inside):
                    return False
                self._note_plain(value)
                continue
            # The steps of `_put`, without a call or a coroutine per value.
            number = ids.next
            ids.next = number + 1
            item = new_item(number, value, number, priority)
            if listeners:
                pending = self.depositor.emit_queued(item, stage)
                if pending is not None or run.is_finalized:
                    deposited = await self.depositor.deposit_later(pending, item, stage)
                    if not (deposited and self._is_accepted(inside)):
                        return False
                    continue
            item.queued_at = now
            entry.received += 1
            if input_.append_directly:
                queue.append(item)
            else:
                input_.put(item)
        return True

    def _note_plain(self, value: Any) -> None:
        """Note the class of a value that says no more of its item, to be looked at only once."""
        kind = value.__class__
        is_new = kind not in self._plain and len(self._plain) < MAX_PLAIN_TYPES
        if is_new and not isinstance(value, SPECIAL):
            self._plain.add(kind)

    async def take_unread(self, values: list[Any], stage: StageRuntime, priority: int) -> None:
        """Take what the run has read ahead of the end of reading: only the run has these values.

        Raises:
            CancelledError: the caller was cancelled; all values are taken nonetheless.
        """
        cancelled: CancelledError | None = None
        for value in values:
            try:
                pending = self.depositor.deposit(*self._items.make(value, stage, priority))
                if pending is not None:
                    await pending
            except CancelledError as error:
                cancelled = error
            except ValueError:  # it cannot be fed, and there is another reason to stop
                continue
        if cancelled is not None:
            raise cancelled

    async def feed_item(self, item: PipelineResult, stage: StageRuntime) -> bool:
        """Feed one item as soon as there is room; False when the run was closed before."""
        self._run.active_feeds += 1
        try:
            return await self._put(item, stage, inside=self._run.is_inside())
        finally:
            self._run.active_feeds -= 1
            self._run.check_done()

    async def _put_value(
        self, value: Any, stage: StageRuntime, priority: int, inside: bool
    ) -> bool:
        item, stage = self._items.make(value, stage, priority)
        return await self._put(item, stage, inside)

    async def _put(self, item: PipelineResult, stage: StageRuntime, inside: bool) -> bool:
        """Deposit an item when there is room; False when the run does not take it any more.

        What the run itself has read it takes even then: nothing else has that item.
        """
        run, input_ = self._run, stage.input
        try:
            now = run.clock()
            if now > run.budget.until and run.budget.should_yield(now, now):
                await run.budget.yield_now()
            if not input_.has_room():
                if inside:  # to wait there could make the pipeline wait for itself
                    self._warnings.warn_of_growth(stage)
                else:
                    self._warnings.warn_if_not_started(stage)
                    await input_.waiters.wait_as_feeder()
        except CancelledError:
            if not run.reentrancy.is_reader() or run.is_finalized:
                self._items.ids.give_back(item.sequence_id)
            elif (pending := self.depositor.deposit(item, stage)) is not None:
                await pending
            raise
        accepted = self._is_accepted(inside)
        if not accepted and (run.is_finalized or not run.reentrancy.is_reader()):
            input_.waiters.wake()  # of the place that this feeder leaves free
            self._items.ids.give_back(item.sequence_id)
            return False
        pending = self.depositor.deposit(item, stage)
        return (pending is None or await pending) and accepted

    def accepts(self) -> bool:
        """Return whether items are still taken from the present code."""
        return self._run.accepts_input or self._is_accepted(self._run.is_inside())

    def _is_accepted(self, inside: bool) -> bool:
        """Return whether items are still taken; those of the run's own tasks until it is over."""
        run = self._run
        return not run.is_finalized and (run.accepts_input or (inside and not run.is_over))


_logger = logging.getLogger(__name__)


class FeedWarnings:
    """Warns of feeds that make memory grow, and of those that wait for a start."""

    def __init__(self, run: RunState) -> None:
        self._run = run
        self._logged: set[str] = set()

    def warn_of_growth(self, stage: StageRuntime) -> None:
        """Warn of a task or callback that feeds a full stage, where it does not wait."""
        self._warn_once(
            "growth",
            "Pipeline %r: a task or callback feeds stage %r past its capacity of %d, since waiting "
            "there for room could make the pipeline wait for itself; so memory grows with what "
            "they feed. If that is intended, %s. If memory must stay bounded, feed less there or "
            "from outside of the pipeline.",
            self._run.name,
            stage.name,
            stage.stage.capacity,
            "leave out pull and set queue_capacity=0 on the stage"
            if stage.stage.pull
            else "set queue_capacity=0 on the stage",
        )

    def warn_if_not_started(self, stage: StageRuntime) -> None:
        """Warn of a feed that waits for room in a pipeline that is not started."""
        if self._run.is_new:
            self._warn_once(
                "start",
                "Pipeline %r is not started, and stage %r is full: feed waits. Call start() first, "
                "or use run().",
                self._run.name,
                stage.name,
            )

    def _warn_once(self, topic: str, text: str, *arguments: object) -> None:
        if topic not in self._logged:
            self._logged.add(topic)
            _logger.warning(text, *arguments)


class Depositor:
    """Emits that items are queued, and deposits them."""

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
        stage.entry.received += 1
        stage.input.put_fed(item)
