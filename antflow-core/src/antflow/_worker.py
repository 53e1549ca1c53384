"""One worker: take an item, run the stage's tasks on it, hand it on."""

from __future__ import annotations

import logging
from asyncio import CancelledError, Task, current_task
from collections.abc import Callable, Coroutine
from contextlib import suppress
from inspect import isawaitable
from math import inf
from typing import Any, Protocol

from ._accounting import BLOCKED, BUSY, IDLE, WAITING
from ._channel import Channel
from ._histogram import EDGES, SUM, add, bucket
from ._item import Item
from ._stage_run import StageRun, Step
from ._turn import Turns
from .context import CURRENT_WORKER
from .stage import ItemCallback

WORKING = (BUSY, WAITING)
"""The states of a worker that holds an item which it is not done with."""

_logger = logging.getLogger(__name__)


class Control(Protocol):
    """What a worker asks of its run."""

    clock: Callable[[], float]
    turns: Turns
    host: object | None

    def ended(self, items: int) -> None:
        """Learn that so many items more have ended."""

    def check(self) -> None:
        """See whether everything is done; asked by who has nothing left to do."""

    async def pause(self, seconds: float) -> bool:
        """Wait; False when the run was closed before the time was over."""

    def abort(self, error: BaseException | None = None) -> None:
        """End the run at once."""

    def lose(self, worker_name: str) -> None:
        """Learn that a worker is being cancelled; unless the run does that, it has to end."""


class _InterruptedError(Exception):
    """The run was closed while an item was between two attempts."""


class Worker:
    """Works on the items of one stage, one at a time, until the stage's channel is closed.

    Args:
        name: names the worker.
        post: the stage in this run.
        run: the run.
    """

    __slots__ = (
        "_activity",
        "_counted",
        "_spent",
        "_task",
        "_took_up_at",
        "attempt",
        "completed_at",
        "failed",
        "failed_at",
        "item",
        "name",
        "post",
        "processed",
        "run",
        "since",
        "step",
    )

    def __init__(self, name: str, post: StageRun, run: Control) -> None:
        self.name = name
        self.post = post
        self.run = run
        self.item: Item | None = None
        self.step: Step | None = None
        self.attempt = 1
        self.since = 0.0
        self.completed_at = 0.0
        self.failed_at = 0.0
        self.processed = 0
        self.failed = 0
        self._activity = IDLE
        self._spent = 0.0
        self._took_up_at = 0.0
        self._counted = 0
        self._task: Task[Any] | None = None

    def work(self) -> Coroutine[Any, Any, None]:
        """Return what serves until there is nothing more to take, to be run as a task."""
        return self._serve_plainly() if self.post.is_plain else self._serve()

    def _enter(self) -> None:
        CURRENT_WORKER.set(self)
        self._task = current_task()
        self.post.inbox.arrived()

    # Receiving

    async def _receive(self) -> float | None:
        """Return the time at which there is an item to take, or None when there will be none."""
        inbox = self.post.inbox
        self.item = None
        self._report()
        while not inbox.queue:
            self._turn_to(IDLE)
            if not inbox.closed:
                self.run.check()
            if inbox.closed:
                return None
            await inbox.wait_for_item()
        self.since = self._turn_to(BUSY)
        return self.since

    def _report(self) -> None:
        if self.post.outlet is self.post.results:
            self.run.ended(self.processed - self._counted)
            self._counted = self.processed

    def _turn_to(self, activity: int) -> float:
        """Change to another activity, and return the time."""
        now = self.run.clock()
        if activity != self._activity:
            self.post.account.move(self._activity, activity, now)
            works = activity in WORKING
            if works != (self._activity in WORKING):
                if not works:
                    self._spent += now - self._took_up_at
                self._took_up_at = now
            self._activity = activity
        return now

    @property
    def taken_at(self) -> float:
        """When the worker took the item that it holds, on the run's clock."""
        return max(self.since, self.completed_at)

    @property
    def seconds(self) -> float:
        """Seconds spent on items that it is done with, the waits between attempts included."""
        if self._activity not in WORKING:
            return self._spent
        return self._spent + max(0.0, self.taken_at - self._took_up_at)

    def retire(self) -> None:
        """Hold nothing any more, the run being over."""
        self.item = None
        self._spent = self.seconds
        self._activity = IDLE

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
        post = self.post
        while (now := await self._receive()) is not None:
            while post.inbox.queue:
                item = post.inbox.queue.popleft()
                if post.inbox.crowded:
                    post.inbox.make_room()
                add(post.account.queue_wait, now - item.queued_at)
                self.item = item
                self.since = now
                now = await self._settle(now, await self._visit(item))

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
        if outlet is not None and outlet.is_over():
            await self._wait_for_room(outlet)
        self.item = None
        return await self._breathe(start)

    # One visit of one item to the stage; each returns the channel that the item went to, if any

    async def _visit(self, item: Item) -> Channel | None:
        value = item.value
        try:
            skipped = await self._is_skipped(item)
            for step in () if skipped else self.post.steps:
                value = await self._perform(step, value)
        except BaseException as error:
            return await self._fall_short(item, error)
        return await (self._skip(item) if skipped else self._complete(item, value))

    async def _recover(self, item: Item, error: BaseException, start: float) -> Channel | None:
        """Go on with an item whose first attempt, on the plain path, has failed."""
        step = self.post.steps[0]
        add(step.account.duration, self.run.clock() - start)
        self.step, self.attempt = step, 1
        try:
            value = await self._perform(step, item.value, error)
        except BaseException as last:
            return await self._fall_short(item, last)
        return await self._complete(item, value)

    async def _perform(self, step: Step, value: Any, error: BaseException | None = None) -> Any:
        """Run one task until an attempt succeeds, and return its result.

        Args:
            step: the task.
            value: what it is called with.
            error: what a first attempt has raised already, if one was made.

        Raises:
            BaseException: what the last attempt raised.
        """
        self.step, self.attempt = step, 1
        start = self.run.clock()
        try:
            while True:
                if error is None:
                    try:
                        return await self._attempt(step, value)
                    except _InterruptedError:
                        raise
                    except BaseException as raised:
                        error = raised
                delay = self.post.task_policy.delay(self.attempt, error)
                if delay is None:
                    raise error
                await self._wait_to_retry(step, delay, start)
                start = self.run.clock()
                self.attempt += 1
                error = None
        finally:
            error = None  # or its traceback and this frame would keep each other

    async def _attempt(self, step: Step, value: Any) -> Any:
        """Make one attempt: the one place, but for the plain path, where a task is called."""
        if self.post.inbox.closed:
            raise _InterruptedError
        start = self.run.clock()
        try:
            return await step.call(value)
        finally:
            add(step.account.duration, self.run.clock() - start)

    async def _wait_to_retry(self, step: Step, delay: float, start: float) -> None:
        is_open = False
        try:
            await self._pause(delay, start)
            is_open = not self.post.inbox.closed
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
        if seconds > 0 and not self.post.inbox.closed:
            self._turn_to(WAITING)
            try:
                await self.run.pause(seconds)
            finally:
                self._turn_to(BUSY)
        else:
            await self._breathe(start)

    # How a visit ends

    async def _complete(self, item: Item, value: Any) -> Channel:
        item.value = value
        self._note_attempts(item)
        return await self._pass_on(item, self.post.stage.on_success)

    async def _skip(self, item: Item) -> Channel:
        self.attempt = 0
        self._note_attempts(item)
        return await self._pass_on(item, self.post.stage.on_skip, skipped=1)

    async def _pass_on(
        self, item: Item, callback: ItemCallback | None, *, skipped: int = 0
    ) -> Channel:
        """Hand an item on; its outcome stands, whatever becomes of the callback."""
        outlet = self.post.outlet
        try:
            if callback is not None:
                await self._call_back(callback, item, item.value)
        finally:
            self.processed += 1
            self.post.account.skipped += skipped
            self.completed_at = item.queued_at = self.run.clock()
            outlet.put(item)
        return outlet

    async def _fall_short(self, item: Item, error: BaseException) -> Channel | None:
        """Sort out what follows for an item that the stage could not complete."""
        post = self.post
        if isinstance(error, _InterruptedError):
            post.inbox.put(item)
            return None
        if self._is_final(error):
            with suppress(RuntimeError):  # the loop is closed already
                self._give_up(error)
            post.inbox.put(item)
            raise error
        attempt = item.extra.stage_attempt if item.extra else 1
        if post.stage_policy.delay(attempt, error) is not None:
            self._start_anew(item, attempt)
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

    def _start_anew(self, item: Item, attempt: int) -> None:
        """Put an item back into the stage's own queue, past its capacity: it is counted already."""
        if self.step is not None:
            self._count_error(self.step, is_followed=not self.post.inbox.closed)
        item.more().stage_attempt = attempt + 1
        item.queued_at = self.run.clock()
        self.post.inbox.put(item)

    async def _fail(self, item: Item, error: BaseException) -> None:
        post = self.post
        if self.step is not None:
            self._count_error(self.step, is_followed=False)
        self._note_attempts(item)
        item.error, item.stage = error, post.name
        try:
            if post.stage.on_failure is not None:
                await self._call_back(post.stage.on_failure, item, error)
        finally:
            self.failed += 1
            self.failed_at = self.run.clock()
            post.account.count_failure(error)
            self.run.ended(1)
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
        extra.stage_attempt = 1

    # The user's other functions

    async def _is_skipped(self, item: Item) -> bool:
        skip_if = self.post.stage.skip_if
        if skip_if is None:
            return False
        try:
            answer = skip_if(item.value)
            return bool(await answer if isawaitable(answer) else answer)
        except BaseException as error:
            self._take_note(error, "skip_if", item)
            return False

    async def _call_back(self, callback: ItemCallback, item: Item, argument: Any) -> None:
        try:
            answer = callback(item.id, argument, item.describe())
            if isawaitable(answer):
                await answer
        except BaseException as error:
            self._take_note(error, "callback", item)

    def _take_note(self, error: BaseException, role: str, item: Item) -> None:
        """Log what a function beside the tasks raised; only what no task may raise ends the run."""
        if self._is_final(error):
            raise error
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
            return self._task is not None and self._task.cancelling() > 0
        return isinstance(error, GeneratorExit)

    async def _wait_for_room(self, outlet: Channel) -> float:
        """Wait, the item being handed over, until the next stage takes more; return the time."""
        self._turn_to(BLOCKED)
        try:
            await outlet.wait_for_room()
        finally:
            now = self._turn_to(BUSY)
        return now
