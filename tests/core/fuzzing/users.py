"""The users of the pipeline of a trial: they feed it, disturb it, and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Any, TypeVar

from antflow import Item, ItemHandle, PipelineError, PipelineFullError, PipelineResult
from tests.helpers.virtual_time import others

from .audit import Audit, Feeder
from .scenarios import CALL_KEYS, FEEDING_KEYS, Call, Feeding, Resize
from .world import LONG_SECONDS, SHORT_SECONDS, Fatal, InputError, LeaveError, World, now

T = TypeVar("T")

CHILDREN = 3
ITEM_EVERY = 3
"""Every so many keys are fed as an `Item`, and every second of these has a priority of its own."""


def as_item(key: int, priority: int) -> tuple[Any, int]:
    """Return what is fed of a key, and its priority."""
    if key % ITEM_EVERY:
        return key, priority
    if key % (2 * ITEM_EVERY):
        return Item(key, id=f"item {key}", metadata={"key": key}), priority
    return Item(key, priority=priority + 10), priority + 10


class Sized:
    """An iterable with a length, as a list is, that shows what is read from it."""

    def __init__(self, items: Iterator[Any], length: int) -> None:
        self._items = items
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return self._items


class Users:
    """The tasks and inputs of a trial, apart from the engine's own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._own: set[asyncio.Task[Any]] = set()
        self._feeders: list[asyncio.Task[None]] = []
        self._bystanders: list[asyncio.Task[None]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._sources: list[AsyncGenerator[Any, None]] = []
        self._begun = asyncio.Event()
        self._cancelled_at: float | None = None

    @property
    def _audit(self) -> Audit:
        return self._world.audit

    def adopt_current_task(self) -> None:
        """Count the present task as one of the trial's own."""
        task = asyncio.current_task()
        assert task is not None
        self._own.add(task)

    def begin(self) -> None:
        """Start those that wait for the first item to be read."""
        self._begun.set()

    # Inputs

    def keys(
        self, feeder: Feeder, keys: Iterable[int], stage: int = 0, priority: int = 100
    ) -> Iterator[Any]:
        """Yield keys, some as an `Item`, and note when the engine takes each and asks for more."""
        for key in keys:
            item, own = as_item(key, priority)
            self._audit.read(key, stage, own, feeder)
            yield item
            self._audit.asked(feeder)

    def source(self, feeding: Feeding, feeder: Feeder, first: int, *, is_main: bool = False) -> Any:
        """Make the input of a feeding; the main one ends after the other feeders."""
        numbers = range(first, first + feeding.items)
        keys = self.keys(feeder, numbers, feeding.stage, feeding.priority)
        if feeding.source in ("async", "slow", "stuck") or (is_main and self._feeders):
            self._sources.append(self._read_slowly(feeding, feeder, keys, is_main))
            return self._sources[-1]
        source = self._read(feeding, keys, is_main)
        return Sized(source, feeding.items) if feeding.source == "list" else source

    def _read(self, feeding: Feeding, keys: Iterator[Any], is_main: bool) -> Iterator[Any]:
        if is_main:
            self.begin()
        yield from keys
        if feeding.source == "broken":
            if is_main:
                self._audit.causes.add("input")
            raise InputError

    async def _read_slowly(
        self, feeding: Feeding, feeder: Feeder, keys: Iterator[Any], is_main: bool
    ) -> AsyncGenerator[Any, None]:
        for key in self._read(replace(feeding, source="async"), keys, is_main):
            yield key
            if feeding.source == "slow":
                self._audit.asked(feeder)
                await asyncio.sleep(SHORT_SECONDS)
        if feeding.source == "stuck":
            self._audit.asked(feeder)
            await asyncio.sleep(LONG_SECONDS)
        if is_main and self._feeders:  # a feed that begins once the input has ended is refused
            await asyncio.wait(self._feeders)
        for _ in self._read(feeding, iter(()), is_main):
            pass

    async def feed(
        self,
        feeder: Feeder,
        source: Any,
        stage: int | None,
        priority: int,
        *,
        may_be_late: bool = False,
    ) -> None:
        """Feed, and check that it is refused only when the run is about to end."""
        feeder.interrupted = True
        target = None if stage is None else f"S{stage}"
        try:
            await self._world.pipeline.feed(source, target_stage=target, priority=priority)
        except PipelineError as error:
            is_late = may_be_late and not feeder.keys
            self._audit.require(self._audit.interrupted or is_late, "feed was refused: {}", error)
            return
        except InputError:
            pass
        finally:
            feeder.waits_at = None
        feeder.interrupted = False
        self._audit.asked(feeder)

    async def _feeder(self, number: int, feeding: Feeding) -> None:
        """Feed at some time, while the pipeline is known to take items."""
        if feeding.at is not None:
            await self._begun.wait()
            await asyncio.sleep(feeding.at)
        if self._audit.closing:
            return
        feeder = Feeder()
        source = self.source(feeding, feeder, FEEDING_KEYS * number)
        await self.feed(feeder, source, feeding.stage, feeding.priority)

    def start_feeders(self, before_start: bool = False) -> None:
        """Start the feeders of the time before the start of the pipeline, or those after it."""
        for number, feeding in enumerate(self._world.scenario.feedings, start=1):
            if (feeding.at is None) == before_start:
                task = self.spawn(self._feeder(number, feeding))
                self._feeders.append(task)
                if feeding.cancel_at is not None:
                    self.later(feeding.cancel_at, task.cancel)

    async def feed_children(self, stage: int, *, may_be_late: bool = False) -> None:
        """Feed from inside of the run: from a task, or from the consumer of the stream."""
        feeder = Feeder(inside=True)
        keys = [next(self._world.children) for _ in range(CHILDREN)]
        source = self.keys(feeder, keys, stage)
        await self.feed(feeder, source, stage, 100, may_be_late=may_be_late)

    async def misuse(self) -> None:
        """Call from inside of the run what would wait for its end, which has to be refused."""
        pipeline = self._world.pipeline
        for use in (pipeline.join, pipeline.shutdown, pipeline.start, lambda: pipeline.process(-1)):
            await self._require_refused(use)
        await self.intrude()

    async def intrude(self) -> None:
        """Call run while a run is on, which has to be refused."""
        await self._require_refused(lambda: self._world.pipeline.run(self.keys(Feeder(), [-1])))

    async def _require_refused(self, use: Callable[[], Awaitable[Any]]) -> None:
        with suppress(PipelineError):
            await use()
            self._audit.complain(f"this was not refused: {use}")

    async def _process(self, key: int, call: Call) -> None:
        await asyncio.sleep(call.at)
        if self._audit.closing:
            return
        feeder = Feeder(interrupted=True)
        if call.may_drop:
            self._audit.doomed.add(key)
        self._audit.read(key, 0, call.priority, feeder)
        feeder.waits_at = None  # it may wait for room or for its reply
        if call.how != "process":
            await self._submit(key, call, feeder)
            return
        task = asyncio.current_task()
        if call.cancel_at is not None and task is not None:
            self.later(call.cancel_at, task.cancel)
        self._audit.unanswered.add(key)
        process = self._world.pipeline.process
        try:
            reply = await process(key, priority=call.priority, expires_in=call.expires_in)
        except PipelineError as error:
            self._audit.require(self._audit.interrupted, "process failed: {!r}", error)
        else:
            self._audit.replies[key] = reply
            self._audit.unanswered.discard(key)

    async def _submit(self, key: int, call: Call, feeder: Feeder) -> None:
        pipeline, audit = self._world.pipeline, self._audit
        arguments: dict[str, Any] = {"priority": call.priority, "expires_in": call.expires_in}
        try:
            if call.how == "submit":
                handle = await pipeline.submit(key, **arguments)
            else:
                handle = pipeline.submit_nowait(key, **arguments)
        except PipelineFullError:
            return
        except PipelineError as error:
            audit.require(audit.interrupted, "submit failed: {!r}", error)
            return
        feeder.interrupted = False
        if call.drop_at is not None:
            self.later(call.drop_at, self._drop, handle, key)
        waiter = self.spawn(_result_of(handle))
        if call.cancel_at is not None:
            self.later(call.cancel_at, waiter.cancel)
        await asyncio.wait([waiter])
        if not waiter.cancelled():
            waiter.exception()
        try:
            audit.replies[key] = await handle
        except PipelineError as error:
            audit.require(audit.interrupted, "a handle failed: {!r}", error)
            audit.require(handle.status == "unprocessed", "it failed, but is {}", handle)
        else:
            audit.require(handle.status == audit.replies[key].outcome, "it is not {}", handle)
            is_same = waiter.cancelled() or waiter.result() is audit.replies[key]
            audit.require(is_same, "there are two results of {}", handle)

    def _drop(self, handle: ItemHandle, key: int) -> None:
        was_done = handle.done()
        if not was_done:
            self._audit.cancelled.add(key)
        has_dropped = handle.cancel()
        self._audit.require(has_dropped != was_done, "cancelling returned {}", has_dropped)

    def start_caller(self, number: int, call: Call) -> None:
        """Start one call of process."""
        self._feeders.append(self.spawn(self._process(CALL_KEYS + number, call)))

    def plan_resizes(self) -> None:
        """Have numbers of workers changed at their times, from now on."""
        for resize in self._world.scenario.resizes:
            self.later(resize.at, self._resize, resize)

    def _resize(self, resize: Resize) -> None:
        audit = self._audit
        try:
            self._world.pipeline.set_workers(f"S{resize.stage}", resize.workers)
        except PipelineError as error:
            is_right = audit.closing or not (audit.entries and audit.is_alive())
            audit.require(is_right, "set_workers was refused: {}", error)
        else:
            audit.resized(resize.stage, resize.workers)

    def have_fed(self) -> bool:
        """Whether all feeders that were started have come to an end."""
        return all(task.done() for task in self._feeders)

    # Bystanders

    def disturb(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start a bystander, whom no input waits for."""
        self._bystanders.append(self.spawn(coroutine))

    async def disturb_at(self, at: float, call: Callable[[], Awaitable[Any]]) -> None:
        """Await a call so long after the first item was read, if the run is on then."""
        await self._begun.wait()
        await asyncio.sleep(at)
        if self._audit.is_alive() and not self._audit.closing:
            with suppress(PipelineError, Fatal):  # raised there or where the run is awaited
                await call()

    async def stop_at_once(self, *, drain: bool) -> None:
        """Call shutdown at once, maybe before the first item was read.

        An observer's is refused if the observers are called for the end by then.
        """
        self._expect_shutdown(drain)
        with suppress(PipelineError, Fatal, InputError):
            await self._world.pipeline.shutdown(drain=drain)

    def _expect_shutdown(self, drain: bool) -> None:
        audit = self._audit
        audit.causes.add("shutdown")
        audit.refuses = True
        audit.stops = not drain

    async def shutdown(self, drain: bool, timeout: float | None) -> None:
        """Call shutdown, and check that it takes no longer than it may."""
        self._expect_shutdown(drain)
        began = now()
        left = await self.checked(
            lambda: self._world.pipeline.shutdown(drain=drain, timeout=timeout)
        )
        allowed = inf if timeout is None else timeout
        if not drain:
            allowed = min(allowed, self._world.longest_attempt())
        self._check_time("shutdown", began, allowed)
        self._audit.require(left == self._world.pipeline.unprocessed, "shutdown returned {}", left)

    def _check_time(self, what: str, began: float, allowed: float) -> None:
        """Check how long something took, apart from what observers and stubborn tasks took."""
        if self._world.is_timed:
            took = now() - began - self._world.watch.slept_since(began)
            allowed += self._world.stubborn_seconds() + 0.01
            self._audit.require(took <= allowed, "{} took {} s, not {}", what, took, allowed)

    # Tasks and their ends

    def forget_cancellation(self) -> None:
        """Measure no more how long a cancellation takes: it was that of an earlier run."""
        self._cancelled_at = None

    def forget_past_timers(self) -> None:
        """Let go of the timers that went off, and of the tasks that they hold."""
        self._timers = [timer for timer in self._timers if timer.when() > now()]

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task of the trial's own."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._own.add(task)
        task.add_done_callback(self._own.discard)
        return task

    def later(self, delay: float, call: Callable[..., Any], *arguments: Any) -> None:
        """Call a function after some seconds, unless the run has ended by then."""
        self._timers.append(asyncio.get_running_loop().call_later(delay, call, *arguments))

    def cancel(self, task: asyncio.Task[Any], again: float | None) -> None:
        """Cancel the driver of the pipeline, perhaps a second time some seconds later."""
        if task.done():
            return
        self._audit.causes.add("cancel")
        if self._cancelled_at is None:
            self._cancelled_at = now()
        task.cancel()
        if again is not None:
            self.later(again, self.cancel, task, None)

    async def checked(self, call: Callable[[], Awaitable[T]]) -> T:
        """Check, at the very moment at which a call ends, that it left nothing behind."""
        try:
            return await call()
        finally:
            self.check_no_task_left()
            if self._cancelled_at is not None and not self._bystanders:
                self._check_time("cancelling", self._cancelled_at, 0.0)

    def check_no_task_left(self) -> None:
        """Check that no task of the engine is left."""
        if self._world.stage_limits.is_rival_running:
            return  # which has tasks, too
        left = others() - self._own
        self._audit.require(not left, "tasks left: {}", left)

    async def outcome(self, task: asyncio.Task[T]) -> T | None:
        """Wait for a driver to end, and check that it ended as it has reason to."""
        await asyncio.wait({task})
        causes = self._audit.causes
        if task.cancelled():
            self._audit.require("cancel" in causes, "cancelled without a cancellation")
            return None
        error = task.exception()
        if error is None:
            due = causes & {"cancel", "fatal", "suicide", "input"}
            is_right = not due or causes & {"shutdown", "left"}
            self._audit.require(bool(is_right), "returned in spite of {}", due)
            return task.result()
        allowed = (
            any(error is fatal for fatal in self._world.fatal)
            or (isinstance(error, InputError) and "input" in causes)
            or (isinstance(error, PipelineError) and bool({"suicide", "late suicide"} & causes))
            or isinstance(error, LeaveError)
        )
        if not allowed:
            self._audit.complain(f"raised {error!r}, caused by {causes}")
            raise error
        return None

    async def end_users(self) -> None:
        """Wait for those that feed or call to end by themselves once the run is over."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        users = [*self._feeders, *self._bystanders]
        if not self._begun.is_set():
            for task in users:
                task.cancel()
        if users:
            await asyncio.wait(users)
        for task in users:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, Fatal):
                raise error
        self._feeders.clear()
        self._bystanders.clear()
        for source in self._sources:  # they are ours to close, not the engine's
            await source.aclose()
        self._sources.clear()


async def _result_of(handle: ItemHandle) -> PipelineResult:
    return await handle
