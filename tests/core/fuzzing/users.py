"""Those who use the pipeline of a trial: who feeds it, who disturbs it, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from math import inf
from typing import Any, TypeVar

from antflow import Item, PipelineError
from tests.core.fuzzing.scenarios import CALL_KEYS, FEEDING_KEYS, Call, Feeding, Stop
from tests.helpers.virtual_time import others

from .audit import Cause, Feeder
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

    def adopt_current_task(self) -> None:
        """Count the present task as one of the trial's own."""
        task = asyncio.current_task()
        assert task is not None
        self._own.add(task)

    def begin(self) -> None:
        """Let those begin who wait for the first item to be read."""
        self._begun.set()

    # Inputs

    def keys(
        self, feeder: Feeder, keys: Iterable[int], stage: int, priority: int = 100
    ) -> Iterator[Any]:
        """Yield keys, some as an `Item`, and note when the engine takes each and asks for more."""
        for key in keys:
            item, own = as_item(key, priority)
            self._world.audit.read(key, stage, own, feeder)
            yield item
            self._world.audit.asked(feeder)

    def source(self, feeding: Feeding, feeder: Feeder, first: int, *, is_main: bool = False) -> Any:
        """Make the input of a feeding; the main one outlasts the other feeders."""
        keys = self.keys(
            feeder, range(first, first + feeding.items), feeding.stage, feeding.priority
        )
        if feeding.source in ("async", "slow", "stuck") or (is_main and self._feeders):
            self._sources.append(self._read_slowly(feeding, feeder, keys, is_main))
            return self._sources[-1]
        source = self._read(feeding, keys, is_main)
        return Sized(source, feeding.items) if feeding.source == "list" else source

    def _read(self, feeding: Feeding, keys: Iterator[Any], is_main: bool) -> Iterator[Any]:
        if is_main:
            self._begun.set()
        yield from keys
        if feeding.source == "broken":
            self._break(is_main)

    async def _read_slowly(
        self, feeding: Feeding, feeder: Feeder, keys: Iterator[Any], is_main: bool
    ) -> AsyncGenerator[Any, None]:
        if is_main:
            self._begun.set()
        for key in keys:
            yield key
            if feeding.source == "slow":
                self._world.audit.asked(feeder)
                await asyncio.sleep(SHORT_SECONDS)
        if feeding.source == "stuck":
            self._world.audit.asked(feeder)
            await asyncio.sleep(LONG_SECONDS)
        if is_main and self._feeders:  # a feed that begins once the input has ended is refused
            await asyncio.wait(self._feeders)
        if feeding.source == "broken":
            self._break(is_main)

    def _break(self, is_main: bool) -> None:
        if is_main:
            self._world.audit.causes.add("input")
        raise InputError

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
            self._world.audit.require(
                self._world.audit.interrupted or is_late, f"feed was refused: {error!r}"
            )
            return
        except InputError:
            pass
        finally:
            feeder.waits_at = None
        feeder.interrupted = False
        self._world.audit.asked(feeder)

    async def _feeder(self, number: int, feeding: Feeding) -> None:
        """Feed at some time, while the pipeline is known to take items."""
        if feeding.at is not None:
            await self._begun.wait()
            await asyncio.sleep(feeding.at)
        if self._world.audit.closing:
            return
        feeder = Feeder()
        source = self.source(feeding, feeder, FEEDING_KEYS * number)
        await self.feed(feeder, source, feeding.stage, feeding.priority)

    def start_feeders(self, before_start: bool = False) -> None:
        """Start those who feed before the start of the pipeline, or those who feed after it."""
        for number, feeding in enumerate(self._world.scenario.feedings, start=1):
            if (feeding.at is None) == before_start:
                task = self.spawn(self._feeder(number, feeding))
                self._feeders.append(task)
                if feeding.cancel_at is not None:
                    self.later(feeding.cancel_at, task.cancel)

    async def feed_children(self, stage: int, *, may_be_late: bool = False) -> None:
        """Feed from inside of the run: from a task, or from who consumes the stream."""
        feeder = Feeder(inside=True)
        keys = [next(self._world.children) for _ in range(CHILDREN)]
        source = self.keys(feeder, keys, stage)
        await self.feed(feeder, source, stage, 100, may_be_late=may_be_late)

    async def misuse(self) -> None:
        """Call from inside of the run what would wait for its end, which has to be refused."""
        pipeline = self._world.pipeline
        for use in (
            pipeline.join,
            pipeline.shutdown,
            pipeline.start,
            lambda: pipeline.process(-1),
            lambda: pipeline.run(self.keys(Feeder(), [-1], 0)),
        ):
            try:
                await use()
            except PipelineError:
                continue
            self._world.audit.complain(f"who is inside may call {use}")

    async def _process(self, key: int, call: Call) -> None:
        await asyncio.sleep(call.at)
        if self._world.audit.closing:
            return
        feeder = Feeder(interrupted=True)
        self._world.audit.read(key, 0, call.priority, feeder)
        feeder.waits_at = None  # it may wait for room or for its reply
        task = asyncio.current_task()
        if call.cancel_at is not None and task is not None:
            self.later(call.cancel_at, task.cancel)
        self._world.audit.unanswered.add(key)
        try:
            self._world.audit.replies[key] = await self._world.pipeline.process(
                key, priority=call.priority
            )
            self._world.audit.unanswered.discard(key)
        except PipelineError as error:
            if not self._world.audit.interrupted:
                self._world.audit.complain(f"process failed: {error!r}")

    def start_caller(self, number: int, call: Call) -> None:
        """Start one call of process."""
        self._feeders.append(self.spawn(self._process(CALL_KEYS + number, call)))

    def have_fed(self) -> bool:
        """Whether all feeders that were started have come to an end."""
        return all(task.done() for task in self._feeders)

    # Bystanders

    def disturb(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start a bystander, whom no input waits for."""
        self._bystanders.append(self.spawn(coroutine))

    async def intrude(self, at: float) -> None:
        """Call run while a run is on, which has to be refused."""
        await self._begun.wait()
        await asyncio.sleep(at)
        if self._world.audit.is_alive() and not self._world.audit.closing:
            try:
                await self._world.pipeline.run(self.keys(Feeder(), [-1], 0))
            except PipelineError:
                return
            self._world.audit.complain("two runs at once")

    async def stop(self, stop: Stop) -> None:
        """Call shutdown while a run or a stream is on."""
        await self._begun.wait()
        await asyncio.sleep(stop.at)
        if self._world.audit.is_alive() and not self._world.audit.closing:
            with suppress(PipelineError, Fatal):  # raised there or where the run is awaited
                await self.shutdown(stop.drain, stop.timeout)

    async def stop_at_once(self, *, drain: bool) -> None:
        """Call shutdown at once, maybe before the first item was read.

        Who was started by an observer is refused if the run is telling of its end by then.
        """
        self._expect_shutdown(drain)
        with suppress(PipelineError, Fatal, InputError):
            await self._world.pipeline.shutdown(drain=drain)

    def _expect_shutdown(self, drain: bool) -> None:
        audit = self._world.audit
        audit.causes.add("shutdown")
        audit.refuses = True
        audit.stops = not drain

    async def shutdown(self, drain: bool, timeout: float | None) -> None:
        """Call shutdown, and check that it takes no longer than it may."""
        audit = self._world.audit
        self._expect_shutdown(drain)
        began = now()
        left = await self.checked(
            lambda: self._world.pipeline.shutdown(drain=drain, timeout=timeout)
        )
        allowed = self._world.stubborn_seconds() + (inf if timeout is None else timeout)
        if not drain:
            allowed = min(allowed, self._world.stubborn_seconds() + self._world.longest_attempt())
        if self._world.is_timed:
            took = now() - began - self._world.watch.slept_since(began)
            audit.require(took <= allowed + 0.01, f"shutdown took {took} s, not {allowed}")
        audit.require(left == self._world.pipeline.unprocessed, "another list from shutdown")

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
        """Cancel whoever drives the pipeline, perhaps a second time some seconds later."""
        if task.done():
            return
        self._world.audit.causes.add("cancel")
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
            self.check_nobody_left()
            at = self._cancelled_at
            if at is not None and self._world.is_timed and not self._bystanders:
                took = now() - at - self._world.watch.slept_since(at)
                self._world.audit.require(
                    took <= self._world.stubborn_seconds() + 0.01, f"cancelling took {took} s"
                )

    def check_nobody_left(self) -> None:
        """Check that the engine has no task left."""
        left = others() - self._own
        self._world.audit.require(not left, f"tasks left: {left}")

    async def outcome(self, task: asyncio.Task[T]) -> T | None:
        """Wait for a driver to end, and check that it ended as it has reason to."""
        await asyncio.wait({task})
        causes = self._world.audit.causes
        if task.cancelled():
            self._world.audit.require("cancel" in causes, "cancelled by nobody")
            return None
        error = task.exception()
        if error is None:
            self._check_returning(causes)
            return task.result()
        allowed = (
            (isinstance(error, Fatal) and any(error is fatal for fatal in self._world.fatal))
            or (isinstance(error, InputError) and "input" in causes)
            or (isinstance(error, PipelineError) and bool({"suicide", "late suicide"} & causes))
            or isinstance(error, LeaveError)
        )
        if not allowed:
            self._world.audit.complain(f"raised {error!r}, caused by {causes}")
            raise error
        return None

    def _check_returning(self, causes: set[Cause]) -> None:
        if causes & {"shutdown", "left"}:
            return
        due = causes & {"cancel", "fatal", "suicide", "input"}
        self._world.audit.require(not due, f"returned in spite of {due}")

    async def end_users(self) -> None:
        """Whoever feeds or calls comes to an end by itself once the run is over."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if not self._begun.is_set():
            for task in self._feeders:
                task.cancel()
            for task in self._bystanders:
                task.cancel()
        users = [*self._feeders, *self._bystanders]
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
