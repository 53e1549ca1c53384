"""Feeding: makes items of values, waits for room, and deposits them."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import AsyncIterable, Iterable, Sequence
from typing import Any, cast

from antflow._errors.texts import shown
from antflow._plugins.dispatcher import Dispatcher
from antflow.exceptions import PipelineError, PipelineFullError
from antflow.results import PipelineResult, UnprocessedItem

from .depositor import Depositor
from .handle import Canceller, ItemHandle
from .item import SPECIAL, from_failed, from_unprocessed, make_item, new_item
from .result_queue import ResultQueue
from .run_state import RunState
from .sequence_ids import SequenceIds
from .sources import Source
from .stage_runtime import StageRuntime

MAX_PLAIN_TYPES = 100
"""Classes of values that are remembered, of programs that make ever more of them."""

_logger = logging.getLogger(__name__)


class Feeder:
    """Feeds the stages of one run, as they have room.

    Args:
        run: the state of the run.
        stages: its stages.
        results: where items end.
        dispatcher: calls the run's observers.
    """

    def __init__(
        self,
        run: RunState,
        stages: Sequence[StageRuntime],
        results: ResultQueue,
        dispatcher: Dispatcher,
    ) -> None:
        self.depositor = Depositor(run, dispatcher)
        self._run = run
        self._stages = stages
        self._results = results
        self._dispatcher = dispatcher
        self._ids = SequenceIds()
        self._priority: int | None = None  # until the first item
        self._warned: set[str] = set()
        self._plain: set[type] = set()

    def number_of(self, value: Any) -> int:
        """Return the `sequence_id` that a value gets if it is the next to be fed.

        An item of an earlier run keeps the one it has, unless another item of this run has that.
        """
        if isinstance(value, UnprocessedItem | PipelineResult):
            return self._ids.id_for(value.sequence_id)
        return self._ids.next

    def stage_named(self, name: str, item: PipelineResult | None = None) -> StageRuntime:
        """Return a stage by its name.

        Args:
            name: the name.
            item: an item of an earlier run that goes back there.

        Raises:
            ValueError: there is none of that name.
        """
        for stage in self._stages:
            if stage.name == name:
                return stage
        names = ", ".join(repr(stage.name) for stage in self._stages)
        text = f"Stage {name!r} not found in pipeline {self._run.name!r}; it has {names}"
        if item is not None:
            text += (
                f"; item {shown(item.id)} was there: feed its value, or an Item, to another stage"
            )
        raise ValueError(text)

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
        self._note_priority(priority)
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
        run, input_, counters, ids = self._run, stage.input, stage.counters, self._ids
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
                pending = self.depositor.deposit(*self._make_item(value, stage, priority))
                if pending is not None:
                    await pending
            except CancelledError as error:
                cancelled = error
            except ValueError:  # it cannot be fed, and there is another reason to stop
                continue
        if cancelled is not None:
            raise cancelled

    async def submit(self, source: Any, priority: int, canceller: Canceller) -> ItemHandle:
        """Feed one item as soon as there is room, and return its handle."""
        handle, item, stage = self._new_handle(source, priority, canceller)
        is_accepted = False
        try:
            is_accepted = await self._put_alone(item, stage)
        finally:
            if not is_accepted:
                self.withdraw(handle)
        if not is_accepted:
            raise self._refusal()
        if self._run.is_over and not handle.done():
            raise self._unanswered()
        return handle

    def submit_at_once(self, source: Any, priority: int, canceller: Canceller) -> ItemHandle | None:
        """Feed one item and return its handle; None if there is no room."""
        run = self._run
        if not (run.accepts_input and self._stages[0].input.has_room()):
            return None
        handle, item, stage = self._new_handle(source, priority, canceller)
        if not stage.input.has_room():  # where an earlier run has left the item
            self.withdraw(handle)
            self._ids.give_back(item.sequence_id)
            return None
        pending = self.depositor.deposit(item, stage)
        if pending is not None:
            run.spawn(pending)
        return handle

    def submit_nowait(self, source: Any, priority: int, canceller: Canceller) -> ItemHandle:
        """Feed one item, and return its handle.

        Raises:
            PipelineFullError: there is no room.
        """
        handle = self.submit_at_once(source, priority, canceller)
        if handle is not None:
            return handle
        if not self._run.accepts_input:
            raise self._refusal()
        raise PipelineFullError(
            f"Pipeline {self._run.name!r} has no room for another item: stage "
            f"{self._stages[0].name!r} is full; await submit(), or refuse the request"
        )

    @property
    def is_observed(self) -> bool:
        """Whether observers are called before an item is deposited."""
        return bool(self._dispatcher.item_start)

    def withdraw(self, handle: ItemHandle) -> None:
        """Keep the item's result like any other: nothing waits for it."""
        handle.item.get_details().handle = None
        self._results.withdraw(handle)

    def fail_handles(self) -> None:
        """Give an error to the handles of the items that were left."""
        self._results.fail_handles(self._unanswered)

    def _new_handle(
        self, source: Any, priority: int, canceller: Canceller
    ) -> tuple[ItemHandle, PipelineResult, StageRuntime]:
        self._note_priority(priority)
        item, stage = self._make_item(source, self._stages[0], priority)
        handle = item.get_details().handle = ItemHandle(item, self._run, canceller)
        self._results.expect(handle)
        return handle, item, stage

    def _refusal(self) -> PipelineError:
        return PipelineError(
            f"Pipeline {self._run.name!r} was stopped before it took the item; start() it again"
        )

    def _unanswered(self) -> PipelineError:
        error = PipelineError(
            f"Pipeline {self._run.name!r} was stopped before the item ended; it is in "
            "pipeline.unprocessed"
        )
        error.__cause__ = self._run.error
        return error

    async def _put_alone(self, item: PipelineResult, stage: StageRuntime) -> bool:
        self._run.active_feeds += 1
        try:
            return await self._put(item, stage, inside=self._run.is_inside())
        finally:
            self._run.active_feeds -= 1
            self._run.check_done()

    def _make_item(
        self, value: Any, stage: StageRuntime, priority: int
    ) -> tuple[PipelineResult, StageRuntime]:
        """Return an item for a value, and the stage that it enters."""
        if isinstance(value, UnprocessedItem | PipelineResult):
            number = self.number_of(value)
            if isinstance(value, PipelineResult):
                item = from_failed(value, number, priority)
            else:
                item = from_unprocessed(value, number)
            stage = self.stage_named(cast("str", value.stage), item)
            self._ids.take(number)
        else:
            item = make_item(value, self._ids.next, priority)
            self._ids.next += 1
        if item.priority != priority:
            self._note_priority(item.priority)
        return item, stage

    def _note_priority(self, priority: int) -> None:
        """Have items sorted from the second priority on."""
        if self._priority not in (None, priority):
            for stage in self._stages:
                stage.input.expect_priorities()
        self._priority = priority

    async def _put_value(
        self, value: Any, stage: StageRuntime, priority: int, inside: bool
    ) -> bool:
        item, stage = self._make_item(value, stage, priority)
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
                    self._warn_of_growth(stage)
                else:
                    self._warn_if_not_started(stage)
                    await input_.waiters.wait_as_feeder()
        except CancelledError:
            if not run.reentrancy.is_reader() or run.is_finalized:
                self._ids.give_back(item.sequence_id)
            elif (pending := self.depositor.deposit(item, stage)) is not None:
                await pending
            raise
        accepted = self._is_accepted(inside)
        if not accepted and (run.is_finalized or not run.reentrancy.is_reader()):
            input_.waiters.wake()  # of the place that this feeder leaves free
            self._ids.give_back(item.sequence_id)
            return False
        pending = self.depositor.deposit(item, stage)
        return (pending is None or await pending) and accepted

    def _is_accepted(self, inside: bool) -> bool:
        """Return whether items are still taken; those of the run's own tasks until it is over."""
        run = self._run
        return not run.is_finalized and (run.accepts_input or (inside and not run.is_over))

    def _warn_of_growth(self, stage: StageRuntime) -> None:
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

    def _warn_if_not_started(self, stage: StageRuntime) -> None:
        if self._run.is_new:
            self._warn_once(
                "start",
                "Pipeline %r is not started, and stage %r is full: feed waits. Call start() first, "
                "or use run().",
                self._run.name,
                stage.name,
            )

    def _warn_once(self, topic: str, text: str, *arguments: object) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            _logger.warning(text, *arguments)
