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
from ._desk import Control, Desk
from ._histogram import EDGES, SUM, add, bucket
from ._item import Item
from ._notifier import Cut, Listeners, is_cancellation_coming, those_of
from ._stage_run import StageRun, Step
from .context import CURRENT_WORKER, obtain
from .events import StatusType, TaskEvent, TaskEventType
from .stage import ItemCallback
from .types import FailedItem

_logger = logging.getLogger(__name__)


class _InterruptedError(Exception):
    """The run was closed while an item was between two attempts, or waited for a limit."""


class Worker(Desk):
    """Works on the items of one stage, one at a time, until the stage's channel is closed.

    Args:
        name: names the worker.
        post: the stage in this run.
        run: the run.
    """

    __slots__ = ("_counted", "_cut", "_waited")

    def __init__(self, name: str, post: StageRun, run: Control) -> None:
        super().__init__(name, post, run)
        self._counted = 0
        self._waited = 0.0
        self._cut: Cut = None  # raised when what is done with the item is told

    def work(self) -> Coroutine[Any, Any, None]:
        """Return what serves until there is nothing more to take, to be run as a task."""
        return self._serve_plainly() if self.post.is_plain else self._serve()

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

    def _sift(self, error: BaseException | None) -> BaseException | None:
        """Take back the cancellation that cut a wait short, and call it what it is."""
        if not self.is_cut_short or self.task is None:
            return error
        self.is_cut_short = False
        self.task.uncancel()
        if isinstance(error, CancelledError) and not self._is_final(error):
            return _InterruptedError()
        return error

    async def _breathe(self, start: float) -> float:
        """Give way to others where the turn of the loop is held too long; return the time.

        Args:
            start: when what was just done began, on the run's clock.
        """
        run = self.run
        now = run.clock()
        if now > run.turns.until and run.turns.over(now, start):
            await run.turns.rest()
            now = run.clock()
        return now

    # The two ways to serve: all that any stage may ask for, and the one call that most items need

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
                if self._cut is not None or (outlet is not None and outlet.is_over()):
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
                    may_be_over = is_bounded and len(passed) > capacity
                else:
                    outlet.put(item)
                    may_be_over = True
                if may_be_over and outlet.is_over():
                    self.since = now = await self._wait_for_room(outlet)
                if now > turns.until and turns.over(now, now - duration):
                    self.item = None
                    await turns.rest()
                    self.since = now = clock()

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
        if outlet is not None and outlet.is_over():
            await self._wait_for_room(outlet)
        self.item = None
        now = self.run.clock()
        return now if now <= self.run.turns.until else await self._breathe(start)

    # One visit of one item to the stage; each returns the channel that the item went to, if any

    async def _visit(self, item: Item) -> Channel | None:
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

    async def _recover(self, item: Item, error: BaseException, start: float) -> Channel | None:
        """Go on with an item whose first attempt, on the plain path, has failed."""
        step = self.post.steps[0]
        add(step.account.duration, self.run.clock() - start)
        self.resume()
        self.step, self.attempt = step, 1
        if not isinstance(error, CancelledError):
            self._forget_swallowed()
        try:
            value = await self._try_again(step, item.value, self._sift(error) or error, start)
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
                if isinstance(error, _InterruptedError):
                    raise error
                delay = self.post.task_policy.delay(self.attempt, error)
                if delay is None:
                    raise error
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
            raise _InterruptedError
        await obtain(self, places)
        try:
            return await self._make(step, value)
        finally:
            places.release()

    async def _make(self, step: Step, value: Any) -> Any:
        """Make one attempt: the one place, but for the plain path, where a task is called."""
        post, notifier = self.post, self.post.notifier
        if post.inbox.closed or self._cut is not None:
            raise _InterruptedError
        if notifier.task_start:
            told = notifier.tell_start(self._task_event(step, "start"))
            if told is not None or post.inbox.closed:
                await self._hear_start(told, step)
        start = self.run.clock()
        try:
            result = await step.call(value)
        except BaseException as error:
            if await self._is_cut(step, error, self.run.clock() - start):
                raise _InterruptedError from None
            raise
        duration = self.run.clock() - start
        add(step.account.duration, duration)
        if self._cancellations():
            self._sift(None)
            self._forget_swallowed()
        if self.activity == WAITING:
            self.resume()
        if notifier.task_success:
            ended = self._task_event(step, "complete", duration)
            heard = notifier.tell(notifier.task_success, ended)
            if heard is not None:
                await self._hear(heard)
        return result

    async def _is_cut(self, step: Step, raised: BaseException, duration: float) -> bool:
        """Conclude an attempt that raised; tell whether that was a wait that was cut short."""
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
            raise _InterruptedError

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

    def _complete(self, item: Item, value: Any) -> Coroutine[Any, Any, Channel]:
        item.value = value
        if item.extra is not None or self.attempt != 1:
            self._note_attempts(item)
        return self._pass_on(item, "completed", self.post.stage.on_success)

    def _skip(self, item: Item) -> Coroutine[Any, Any, Channel]:
        self.attempt = 0
        self._note_attempts(item)
        return self._pass_on(item, "skipped", self.post.stage.on_skip)

    async def _pass_on(
        self, item: Item, status: StatusType, callback: ItemCallback | None
    ) -> Channel:
        """Hand an item on; its outcome stands, whatever becomes of observers and the callback."""
        post, outlet = self.post, self.post.outlet
        is_told = bool(post.notifier.status)
        try:
            if is_told:
                told = self._tell(item, status, final=post.follower is None)
                if told is not None:
                    await self._hear(told)
            if callback is not None:
                await self._call_back(callback, item, item.value)
            if is_told and post.follower is not None:
                told = post.notifier.tell_status(item, post.follower.name, "queued")
                if told is not None:
                    await self._hear(told)
        finally:
            self.processed += 1
            post.account.skipped += status == "skipped"
            self.completed_at = item.queued_at = self.run.clock()
            if item.extra is not None:
                item.extra.stage_attempt = 1
            outlet.put(item)
        return outlet

    async def _fall_short(self, item: Item, error: BaseException) -> Channel | None:
        """Sort out what follows for an item that the stage could not complete."""
        post = self.post
        if isinstance(error, _InterruptedError):
            if self._cut is not None:
                self.run.lose(self.name)  # at once, or another worker might take the item
            post.inbox.put(item)
            return None
        if self._is_final(error):
            with suppress(RuntimeError):  # the loop is closed already
                self._give_up(error)
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

    def _give_up(self, error: BaseException) -> None:
        if isinstance(error, CancelledError):
            self.run.lose(self.name)
        else:
            self.run.abort(error)

    async def _start_anew(self, item: Item, attempt: int, error: BaseException) -> None:
        """Put an item back into the stage's own queue, past its capacity: it is counted already."""
        inbox = self.post.inbox
        if self.step is not None:
            self._count_error(self.step, is_followed=not inbox.closed)
        try:
            if self.post.notifier.status and not inbox.closed:
                coming = {"attempt": attempt + 1, "retry": True, **_described(error)}
                await self._hear(self._tell(item, "retrying", coming))
        finally:
            item.more().stage_attempt = attempt + 1
            item.queued_at = self.run.clock()
            inbox.put(item)

    async def _fail(self, item: Item, error: BaseException) -> None:
        post = self.post
        if self.step is not None:
            self._count_error(self.step, is_followed=False)
        self._note_attempts(item)
        item.error, item.stage = error, post.name
        described = _described(error)
        try:
            if post.notifier.status:
                await self._hear(self._tell(item, "failed", described, final=True))
            if post.stage.on_failure is not None:
                await self._call_back(post.stage.on_failure, item, error)
        finally:
            self.failed += 1
            self.failed_at = self.run.clock()
            post.account.count_failure(error)
            self.run.ended(1)
            attempts = item.extra.attempts if item.extra else 1
            post.results.failed_items.append(
                FailedItem(
                    item_id=item.id,
                    error=described["error"],
                    error_type=described["error_type"],
                    stage=post.name,
                    attempts=attempts,
                    timestamp=time(),
                )
            )
            post.results.put(item)

    def _note_attempts(self, item: Item) -> None:
        """Note on an item how many attempts this stage made, the plain path making but one."""
        extra = item.extra
        if extra is None:
            if self.attempt == 1:
                return
            extra = item.more()
        extra.noted_by = self.post.name
        extra.attempts = extra.stage_attempt if extra.stage_attempt > 1 else self.attempt

    # Telling observers

    def _tell(
        self,
        item: Item,
        status: StatusType,
        metadata: dict[str, Any] | None = None,
        *,
        final: bool = False,
    ) -> Awaitable[Cut] | None:
        """Tell that the item has changed its status here; what is returned is to be heard out."""
        return self.post.notifier.tell_status(
            item, self.post.name, status, self.name, metadata, final=final
        )

    async def _hear(self, told: Awaitable[Cut] | None) -> None:
        """Wait until all has been told; a cancellation is kept until the item is dealt with."""
        if told is not None and (cut := await told) is not None and self._sift(cut) is cut:
            self._cut = cut

    async def _hear_start(self, told: Awaitable[tuple[Listeners, Cut]] | None, step: Step) -> None:
        """Wait until a start has been told; where the attempt is not to be made, it is cancelled.

        Raises:
            _InterruptedError: it is not to be made, since the run was closed meanwhile, or the
                worker is being cancelled.
        """
        notifier = self.post.notifier
        called, cut = (notifier.task_start, None) if told is None else await told
        if cut is None and not self.post.inbox.closed:
            return
        if cut is not None and self._sift(cut) is cut:
            self._cut = cut
        listeners = those_of(notifier.task_cancelled, called)
        if listeners:
            event = self._task_event(step, "cancel", error=cut or CancelledError())
            await self._hear(notifier.tell(listeners, event))
        raise _InterruptedError

    async def _tell_failure(self, step: Step, duration: float, error: BaseException) -> None:
        """Tell what became of an attempt that raised.

        Args:
            step: the task.
            duration: seconds that the function took.
            error: what it raised.
        """
        kind: TaskEventType
        notifier, delay = self.post.notifier, None
        if isinstance(error, _InterruptedError) or self._is_final(error):
            kind, listeners = "cancel", notifier.task_cancelled
        elif (delay := self._delay(error)) is not None:
            kind, listeners = "retry", notifier.task_retry
        else:
            kind, listeners = "fail", notifier.task_failure
        if listeners:
            event = self._task_event(step, kind, duration, error, delay)
            await self._hear(notifier.tell(listeners, event))

    def _delay(self, error: BaseException) -> float | None:
        """Return the seconds until the attempt that follows a failed one; None if none follows."""
        if self.post.inbox.closed:
            return None
        delay = self.post.task_policy.delay(self.attempt, error)
        if delay is None:
            delay = self.post.stage_policy.delay(self.attempt_number, error)
        return delay

    def _task_event(
        self,
        step: Step,
        kind: TaskEventType,
        duration: float | None = None,
        error: BaseException | None = None,
        delay: float | None = None,
    ) -> TaskEvent:
        item, notifier = self.item, self.post.notifier
        assert item is not None
        event = TaskEvent(
            item.id,
            self.post.name,
            step.name,
            self.name,
            kind,
            self.attempt_number,
            time(),
            CancelledError() if isinstance(error, _InterruptedError) else error,
            duration,
            delay,
            self._waited,
            notifier.pipeline,
            notifier.run_id,
        )
        return event.about(item)

    # The user's other functions

    async def _is_skipped(self, skip_if: Callable[[Any], Any], item: Item) -> bool:
        try:
            answer = skip_if(item.value)
            return bool(await answer if isawaitable(answer) else answer)
        except BaseException as error:
            if self._is_final(error):
                raise
            self._take_note(error, "skip_if", item)
            return False

    async def _call_back(self, callback: ItemCallback, item: Item, argument: Any) -> None:
        try:
            answer = callback(item.id, argument, item.describe())
            if isawaitable(answer):
                await answer
        except GeneratorExit:
            raise
        except BaseException as error:
            if self._sift(error) is not error:
                return
            if isinstance(error, CancelledError) and self._is_final(error):
                self._cut = error
            else:
                self._take_note(error, "callback", item)

    def _take_note(self, error: BaseException, role: str, item: Item) -> None:
        """Log what a function beside the tasks raised; only what no task may raise ends the run."""
        if not isinstance(error, Exception | CancelledError):
            self.run.abort(error)
            return
        _logger.error(
            "Stage %r: the %s of item %r raised; the item goes on regardless.",
            self.post.name,
            role,
            item.id,
            exc_info=error,
        )

    def _is_final(self, error: BaseException) -> bool:
        """Tell whether an error means that this worker itself has to end."""
        if isinstance(error, CancelledError):
            return self._cancellations() > 0
        return isinstance(error, GeneratorExit)

    def _forget_swallowed(self) -> None:
        """Take back cancellations that came to nothing, as a TaskGroup leaves before Python 3.13.

        One that is still to be delivered stands.
        """
        if self.task is not None and not is_cancellation_coming(self.task):
            while self.task.cancelling():
                self.task.uncancel()

    def _cancellations(self) -> int:
        """Return how often this worker has been asked to end."""
        return 0 if self.task is None else self.task.cancelling()

    async def _wait_for_room(self, outlet: Channel) -> float:
        """Wait, the item being handed over, until the next stage takes more; return the time."""
        self.turn_to(BLOCKED)
        try:
            await outlet.wait_for_room()
        finally:
            now = self.turn_to(BUSY)
        return now


def _described(error: BaseException) -> dict[str, str]:
    """Return an error as events and summaries show it: its text and the name of its class."""
    try:
        text = str(error)
    except Exception as problem:
        text = f"(no text: {type(problem).__name__} in __str__)"
    return {"error": text, "error_type": type(error).__name__}
