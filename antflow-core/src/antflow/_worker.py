"""One worker: take an item, run the stage's tasks on it, hand it on."""

from __future__ import annotations

import logging
from asyncio import CancelledError, current_task
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from inspect import isawaitable
from math import inf
from time import time
from typing import Any

from ._accounting import BLOCKED, BUSY, IDLE, WAITING
from ._channel import Channel
from ._desk import RunForWorker
from ._faults import log_error
from ._histogram import EDGES, SUM, add, bucket
from ._item import ItemRecord
from ._notifier import Cut
from ._stage_run import StageRun, Step
from ._telling import InterruptedAttemptError, Teller, error_fields
from ._tracebacks import location, remove_own_frames, reraise, unchanged_traceback
from .context import CURRENT_WORKER, obtain
from .events import StatusType
from .stage import ItemCallback
from .types import FailedItem

_logger = logging.getLogger(__name__)


class Worker(Teller):
    """Works on the items of one stage, one at a time, until the stage's channel is closed.

    Args:
        name: names the worker.
        post: the stage in this run.
        run: the run.
    """

    __slots__ = ("_counted",)

    def __init__(self, name: str, post: StageRun, run: RunForWorker) -> None:
        super().__init__(name, post, run)
        self._counted = 0

    def work(self) -> Coroutine[Any, Any, None]:
        """Return what serves until there is nothing more to take, to be run as a task."""
        if not self.post.is_simple:
            return self._serve()
        return self._serve_plainly() if self.post.notifier.is_silent else self._serve_watched()

    def _enter(self) -> None:
        CURRENT_WORKER.set(self)
        self.task = current_task()
        self.post.inbox.arrived()

    # Receiving

    async def _receive(self) -> float | None:
        """Return the time at which there is an item to take, or None when there will be none."""
        inbox = self.post.inbox
        self.item = None
        self._report()
        while not inbox.queue:
            self.turn_to(IDLE)
            if not inbox.closed:
                self.run.check()
            if inbox.closed:
                return None
            await inbox.wait_for_item()
        self.since = self.turn_to(BUSY)
        return self.since

    def _report(self) -> None:
        if self.post.outlet is self.post.results:
            self.run.ended(self.processed - self._counted)
            self._counted = self.processed

    async def _breathe(self, start: float) -> float:
        """Give way to others where the turn of the loop is held too long; return the time.

        Args:
            start: when what was just done began, on the run's clock.
        """
        run = self.run
        now = run.clock()
        if now > run.turns.until and run.turns.should_rest(now, start):
            await run.turns.rest()
            now = run.clock()
        return now

    # Three ways to serve: all that a stage may ask for; the one call that most items need; and the
    # one call with those who watch it

    async def _serve(self) -> None:
        self._enter()
        inbox, waits = self.post.inbox, self.post.account.queue_wait
        queue, clock, turns = inbox.queue, self.run.clock, self.run.turns
        while (now := await self._receive()) is not None:
            while queue:
                item = queue.popleft()
                if inbox.crowded:
                    inbox.make_room()
                self._waited = now - item.queued_at
                add(waits, self._waited)
                self.item = item
                self.since = start = now
                outlet = await self._visit(item)
                if self._cut is not None or (outlet is not None and outlet.is_overfull()):
                    now = await self._settle(start, outlet)
                    continue
                self.item = self.step = None
                self.attempt = 1
                now = clock()
                if now > turns.until:
                    now = await self._breathe(start)

    async def _serve_plainly(self) -> None:
        """Serve a stage of one task, at the price of one clock reading and no call an item.

        An item that fails, and one whose sender has to wait, leaves this path.
        """
        self._enter()
        post, run, turns = self.post, self.run, self.run.turns
        inbox, outlet = post.inbox, post.outlet
        queue, passed, capacity = inbox.queue, outlet.queue, outlet.capacity
        is_bounded = capacity < inf
        take, pass_on = queue.popleft, passed.append
        call, clock = post.steps[0].call, run.clock
        waits, durations, total = post.account.queue_wait, post.steps[0].account.duration, SUM
        wait_above = wait_up_to = duration_above = duration_up_to = 0.0
        wait_bucket = duration_bucket = 0
        while (now := await self._receive()) is not None:
            while queue:
                item = take()
                if inbox.crowded:
                    inbox.make_room()
                waited = now - item.queued_at
                if not wait_above < waited <= wait_up_to:
                    wait_bucket = bucket(waited)
                    wait_above, wait_up_to = EDGES[wait_bucket : wait_bucket + 2]
                waits[wait_bucket] += 1
                waits[total] += waited
                self.item = item
                try:
                    value = await call(item.value)
                except BaseException as error:
                    self.since = now = await self._settle(
                        now, await self._recover(item, error, now)
                    )
                    continue
                end = clock()
                duration = end - now
                if not duration_above < duration <= duration_up_to:
                    duration_bucket = bucket(duration)
                    duration_above, duration_up_to = EDGES[duration_bucket : duration_bucket + 2]
                durations[duration_bucket] += 1
                durations[total] += duration
                self.processed += 1
                self.completed_at = now = item.queued_at = end
                item.value = value
                if outlet.direct:
                    pass_on(item)
                    may_be_overfull = is_bounded and len(passed) > capacity
                else:
                    outlet.put(item)
                    may_be_overfull = True
                if may_be_overfull and outlet.is_overfull():
                    self.since = now = await self._wait_for_room(outlet)
                if now > turns.until and turns.should_rest(now, now - duration):
                    self.item = None
                    await turns.rest()
                    self.since = now = clock()

    async def _serve_watched(self) -> None:
        """Serve a stage of one task, and tell those who watch, at little more than their price.

        An item that does not go straight through leaves this path.
        """
        self._enter()
        post, clock, turns = self.post, self.run.clock, self.run.turns
        inbox, outlet, step = post.inbox, post.outlet, post.steps[0]
        queue, call, waits = inbox.queue, step.call, post.account.queue_wait
        notifier, is_last = post.notifier, post.follower is None
        while (now := await self._receive()) is not None:
            while queue:
                item = queue.popleft()
                if inbox.crowded:
                    inbox.make_room()
                self._waited = now - item.queued_at
                add(waits, self._waited)
                self.item, self.step, self._remark = item, step, None
                self.since = begun = start = now
                try:
                    opened = self._open(item, step) if notifier.status else self._begin(step)
                    if opened is not None:
                        await opened
                    start = clock()
                    value = await call(item.value)
                except BaseException as error:
                    now = await self._settle(begun, await self._recover(item, error, start))
                    continue
                ended = self._end_well(step, clock() - start)
                if ended is not None:
                    await ended
                if item.extra is None and not (notifier.finished if is_last else notifier.status):
                    item.value = value
                    self.processed += 1
                    self.completed_at = item.queued_at = clock()
                    outlet.put(item)
                elif (handed := self._hand_on(item, value)) is not None:
                    await handed
                now = self.completed_at
                if self._cut is not None or outlet.is_overfull() or now > turns.until:
                    now = await self._settle(begun, outlet)
                self.item = self.step = None

    async def _settle(self, start: float, outlet: Channel | None) -> float:
        """Conclude a visit that began at `start`; return the time.

        Args:
            start: on the run's clock.
            outlet: where the item went, to be waited for if it is past its capacity.
        """
        self.step, self.attempt = None, 1
        if self._cut is not None:
            cut, self._cut = self._cut, None
            try:
                raise cut
            finally:
                del cut  # or its traceback and this frame would keep each other
        if outlet is not None and outlet.is_overfull():
            await self._wait_for_room(outlet)
        self.item = None
        now = self.run.clock()
        return now if now <= self.run.turns.until else await self._breathe(start)

    # One visit of one item to the stage; each returns the channel that the item went to, if any

    async def _visit(self, item: ItemRecord) -> Channel | None:
        value, stage, skipped = item.value, self.post.stage, False
        self._remark = None
        try:
            if stage.skip_if is not None:
                skipped = await self._is_skipped(stage.skip_if, item)
            if self.post.notifier.status and not skipped:
                told = self._tell(item, "in_progress")
                if told is not None:
                    await self._hear(told)
            for step in () if skipped else self.post.steps:
                self.step, self.attempt = step, 1
                begun = self.run.clock()
                attempt = self._make if step.places is None else self._make_when_allowed
                try:
                    value = await attempt(step, value)
                except BaseException as error:
                    failed = error
                else:
                    continue
                try:
                    value = await self._try_again(step, value, failed, begun)
                finally:
                    del failed  # or its traceback and this frame would keep each other
        except BaseException as error:
            return await self._fall_short(item, self._sift(error) or error)
        return await (self._skip(item) if skipped else self._complete(item, value))

    async def _recover(
        self, item: ItemRecord, error: BaseException, start: float
    ) -> Channel | None:
        """Go on with an item that does not go straight through a stage of one task.

        Args:
            item: the item.
            error: what the first attempt raised, or why it was not made.
            start: when that began, on the run's clock.
        """
        step = self.post.steps[0]
        self.step, self.attempt = step, 1
        try:
            is_made = not isinstance(error, InterruptedAttemptError)
            if is_made and await self._end_badly(step, error, self.run.clock() - start):
                raise InterruptedAttemptError from None
            value = await self._try_again(step, item.value, error, start)
        except BaseException as last:
            return await self._fall_short(item, self._sift(last) or last)
        return await self._complete(item, value)

    async def _try_again(self, step: Step, value: Any, error: BaseException, start: float) -> Any:
        """Run one task until an attempt succeeds, and return its result.

        Args:
            step: the task.
            value: what it is called with.
            error: what the first attempt has raised.
            start: when that began, on the run's clock.

        Raises:
            BaseException: what the last attempt raised.
        """
        attempt = self._make if step.places is None else self._make_when_allowed
        try:
            while True:
                if isinstance(error, InterruptedAttemptError):
                    raise error
                delay = self.post.task_policy.delay(self.attempt, error)
                if delay is None:
                    reraise(error)
                await self._wait_to_retry(step, delay, start)
                start = self.run.clock()
                self.attempt += 1
                try:
                    return await attempt(step, value)
                except BaseException as raised:
                    error = raised
        finally:
            del error  # or its traceback and this frame would keep each other

    async def _make_when_allowed(self, step: Step, value: Any) -> Any:
        """Make one attempt, as soon as the task's limit allows it."""
        places = step.places
        assert places is not None
        if self.post.inbox.closed or self._cut is not None:
            raise InterruptedAttemptError
        await obtain(self, places)
        try:
            return await self._make(step, value)
        finally:
            places.release()

    async def _make(self, step: Step, value: Any) -> Any:
        """Make one attempt: the one place, but for the plain path, where a task is called."""
        opened = self._begin(step)
        if opened is not None:
            await opened
        start = self.run.clock()
        try:
            result = await step.call(value)
        except BaseException as error:
            if await self._end_badly(step, error, self.run.clock() - start):
                raise InterruptedAttemptError from None
            raise
        ended = self._end_well(step, self.run.clock() - start)
        if ended is not None:
            await ended
        return result

    def _open(self, item: ItemRecord, step: Step) -> Awaitable[None] | None:
        """Tell that a visit begins, then begin its first attempt, as `_begin` does."""
        told = self._tell(item, "in_progress")
        return self._begin(step) if told is None else self._open_later(told, step)

    async def _open_later(self, told: Awaitable[Cut], step: Step) -> None:
        await self._hear(told)
        opened = self._begin(step)
        if opened is not None:
            await opened

    def _begin(self, step: Step) -> Awaitable[None] | None:
        """Tell that an attempt begins; what is returned is to be awaited before it is made.

        Raises:
            InterruptedAttemptError: it is not to be made.
        """
        if self.post.inbox.closed or self._cut is not None:
            raise InterruptedAttemptError
        if not self.post.notifier.task_start:
            return None
        told = self.post.notifier.tell_start(self._task_event(step, "start"))
        if told is not None or self.post.inbox.closed:
            return self._hear_start(told, step)
        return None

    def _end_well(self, step: Step, duration: float) -> Awaitable[None] | None:
        """Conclude an attempt that returned; what is returned is to be awaited."""
        add(step.account.duration, duration)
        if self.task is not None and self.task.cancelling():
            self._sift(None)
            self._forget_swallowed()
        if self.activity == WAITING:
            self.resume()
        listeners = self.post.notifier.task_success
        if not listeners:
            return None
        event = self._task_event(step, "complete", duration)
        told = self.post.notifier.tell(listeners, event)
        return None if told is None else self._hear(told)

    async def _end_badly(self, step: Step, raised: BaseException, duration: float) -> bool:
        """Conclude an attempt that raised; tell whether it was merely cut short as it waited."""
        add(step.account.duration, duration)
        self.resume()
        error = self._sift(raised) or raised
        if not isinstance(error, CancelledError):
            self._forget_swallowed()
        if self.post.notifier.watches_tasks and not isinstance(error, GeneratorExit):
            await self._tell_failure(step, duration, error)
        return error is not raised

    async def _wait_to_retry(self, step: Step, delay: float, start: float) -> None:
        is_open = False
        try:
            await self._pause(delay, start)
            is_open = not self.post.inbox.closed and self._cut is None
        finally:
            self._count_error(step, is_followed=is_open)
        if not is_open:
            raise InterruptedAttemptError

    def _count_error(self, step: Step, *, is_followed: bool) -> None:
        """Count an attempt that failed, by whether another follows."""
        if is_followed:
            step.account.retried += 1
            self.post.account.retried += 1
        else:
            step.account.failed += 1

    async def _pause(self, seconds: float, start: float) -> None:
        """Wait between two attempts, the first of which began at `start`."""
        if seconds > 0 and not self.post.inbox.closed and self._cut is None:
            self.turn_to(WAITING)
            try:
                await self.run.pause(seconds)
            finally:
                self.turn_to(BUSY)
        else:
            await self._breathe(start)

    # How a visit ends

    def _complete(self, item: ItemRecord, value: Any) -> Coroutine[Any, Any, Channel]:
        item.value = value
        if item.extra is not None or self.attempt != 1:
            self._note_attempts(item)
        return self._pass_on(item, "completed", self.post.stage.on_success)

    def _skip(self, item: ItemRecord) -> Coroutine[Any, Any, Channel]:
        self.attempt = 0
        self._note_attempts(item)
        return self._pass_on(item, "skipped", self.post.stage.on_skip)

    async def _pass_on(
        self, item: ItemRecord, status: StatusType, callback: ItemCallback | None
    ) -> Channel:
        """Hand an item on; its outcome stands, whatever becomes of observers and the callback."""
        post, outlet = self.post, self.post.outlet
        try:
            if self._is_told_of_success():
                told = self._tell(item, status, final=post.follower is None)
                if told is not None:
                    await self._hear(told)
            if callback is not None:
                await self._call_back(callback, item, item.value)
            if post.notifier.status and post.follower is not None:
                told = post.notifier.tell_status(item, post.follower.name, "queued")
                if told is not None:
                    await self._hear(told)
        finally:
            self._put_through(item, skipped=status == "skipped")
        return outlet

    def _is_told_of_success(self) -> bool:
        """Tell whether anybody listens to what becomes of an item that goes through."""
        post = self.post
        return bool(post.notifier.finished if post.follower is None else post.notifier.status)

    def _hand_on(self, item: ItemRecord, value: Any) -> Awaitable[None] | None:
        """Hand a completed item on at once, unless somebody has to be waited for before that."""
        item.value = value
        if item.extra is not None:
            self._note_attempts(item)
        post, notifier = self.post, self.post.notifier
        if self._is_told_of_success():
            told = self._tell(item, "completed", final=post.follower is None)
            if told is not None:
                return self._hand_on_later(item, told, post.follower)
            if post.follower is not None:
                told = notifier.tell_status(item, post.follower.name, "queued")
                if told is not None:
                    return self._hand_on_later(item, told, None)
        self._put_through(item)
        return None

    async def _hand_on_later(
        self, item: ItemRecord, told: Awaitable[Cut], follower: StageRun | None
    ) -> None:
        """Hear out who is told, tell that the item is queued for the follower, and hand it on."""
        try:
            await self._hear(told)
            if follower is not None:
                notifier = self.post.notifier
                await self._hear(notifier.tell_status(item, follower.name, "queued"))
        finally:
            self._put_through(item)

    def _put_through(self, item: ItemRecord, *, skipped: bool = False) -> None:
        self.processed += 1
        if skipped:
            self.post.account.skipped += 1
        self.completed_at = item.queued_at = self.run.clock()
        if item.extra is not None:
            item.extra.stage_attempt = 1
        self.post.outlet.put(item)

    async def _fall_short(self, item: ItemRecord, error: BaseException) -> Channel | None:
        """Sort out what follows for an item that the stage could not complete."""
        post = self.post
        if isinstance(error, InterruptedAttemptError):
            if self._cut is not None:
                self.run.lose_worker(self.name)  # at once, or another worker might take the item
            post.inbox.put(item)
            return None
        if self._ends_worker(error):
            with suppress(RuntimeError):  # the loop is closed already
                if isinstance(error, CancelledError):
                    self.run.lose_worker(self.name)
                else:
                    self.run.abort(error)
            post.inbox.put(item)
            raise error
        attempt = item.extra.stage_attempt if item.extra else 1
        if post.stage_policy.delay(attempt, error) is not None:
            await self._start_anew(item, attempt, error)
            return None
        await self._fail(item, error)
        if not isinstance(error, Exception | CancelledError):
            self.run.abort(error)
        return post.results

    async def _start_anew(self, item: ItemRecord, attempt: int, error: BaseException) -> None:
        """Put an item back into the stage's own queue, past its capacity: it is counted already."""
        inbox = self.post.inbox
        if self.step is not None:
            self._count_error(self.step, is_followed=not inbox.closed)
        try:
            if self.post.notifier.status and not inbox.closed:
                coming = {"attempt": attempt + 1, "retry": True, **error_fields(error)}
                await self._hear(self._tell(item, "retrying", coming))
        finally:
            item.more().stage_attempt = attempt + 1
            item.queued_at = self.run.clock()
            inbox.put(item)

    async def _fail(self, item: ItemRecord, error: BaseException) -> None:
        post = self.post
        if self.step is not None:
            self._count_error(self.step, is_followed=False)
        self._note_attempts(item)
        remove_own_frames(error)
        item.error, item.stage = error, post.name
        described = error_fields(error)
        try:
            with unchanged_traceback(error):
                if post.notifier.finished:
                    await self._hear(self._tell(item, "failed", described, final=True))
                if post.stage.on_failure is not None:
                    await self._call_back(post.stage.on_failure, item, error)
        finally:
            self.failed += 1
            self.failed_at = self.run.clock()
            post.account.count_failure(error)
            self.run.ended(1)
            attempts = item.extra.attempts if item.extra else 1
            failed = FailedItem(
                item_id=item.id,
                error=described["error"],
                error_type=described["error_type"],
                stage=post.name,
                attempts=attempts,
                timestamp=time(),
                location=location(error),
            )
            post.results.fail(item, failed)
            self.run.note_failure()

    def _note_attempts(self, item: ItemRecord) -> None:
        """Note on an item how many attempts this stage made, the plain path making but one."""
        extra = item.extra
        if extra is None:
            if self.attempt == 1:
                return
            extra = item.more()
        extra.noted_by = self.post.name
        extra.attempts = extra.stage_attempt if extra.stage_attempt > 1 else self.attempt

    # The user's other functions

    async def _is_skipped(self, skip_if: Callable[[Any], Any], item: ItemRecord) -> bool:
        try:
            answer = skip_if(item.value)
            return bool(await answer if isawaitable(answer) else answer)
        except BaseException as error:
            if self._ends_worker(error):
                raise
            self._take_note(error, "skip_if", item)
            return False

    async def _call_back(self, callback: ItemCallback, item: ItemRecord, argument: Any) -> None:
        try:
            answer = callback(item.id, argument, item.describe())
            if isawaitable(answer):
                await answer
        except GeneratorExit:
            raise
        except BaseException as error:
            if self._sift(error) is not error:
                return
            if isinstance(error, CancelledError) and self._ends_worker(error):
                self._cut = error
            else:
                self._take_note(error, "callback", item)

    def _take_note(self, error: BaseException, role: str, item: ItemRecord) -> None:
        """Log what a function beside the tasks raised; only what no task may raise ends the run."""
        if not isinstance(error, Exception | CancelledError):
            self.run.abort(error)
            return
        log_error(
            _logger,
            error,
            "Stage %r: the %s of item %r raised; the item goes on regardless.",
            self.post.name,
            role,
            item.id,
        )

    async def _wait_for_room(self, outlet: Channel) -> float:
        """Wait, the item being handed over, until the next stage takes more; return the time."""
        self.turn_to(BLOCKED)
        try:
            await outlet.wait_for_room()
        finally:
            now = self.turn_to(BUSY)
        return now
