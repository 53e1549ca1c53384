"""Feeding: reads an input, waits for room, and deposits its items."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterable, Iterable
from typing import Any

from antflow._plugins.dispatcher import Dispatcher
from antflow.results import PipelineResult

from .depositor import Depositor
from .feed_warnings import FeedWarnings
from .item import SPECIAL, new_item
from .item_factory import ItemFactory
from .run_state import RunState
from .sources import Source
from .stage_runtime import StageRuntime

MAX_PLAIN_TYPES = 100
"""Classes of values that are remembered, of programs that make ever more of them."""


class Feeder:
    """Feeds the stages of one run, as they have room.

    Args:
        run: the state of the run.
        items: makes the items.
        dispatcher: calls the run's observers.
    """

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
        run, input_, counters, ids = self._run, stage.input, stage.counters, self._items.ids
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
            counters.fed += 1
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
