"""Runs one scenario of the fuzz against the engine, on the simulated loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from contextlib import suppress
from itertools import count
from math import inf
from typing import Any, TypeVar

from antflow import Pipeline, PipelineError, PipelineResult, Stage

from .audit import Audit, Cause, Feeder, Violation
from .scenarios import (
    AGAIN_KEYS,
    CALL_KEYS,
    CHILD_KEYS,
    FEEDING_KEYS,
    Call,
    Feeding,
    RunPlan,
    Scenario,
    ServicePlan,
    StagePlan,
    Stop,
    StreamPlan,
    Trouble,
    TroubleKind,
)
from .simulation import SimulatedLoop, others, settle, simulate

T = TypeVar("T")

MAX_STEPS = 50_000
STUBBORN_SECONDS = 0.5
CALLBACK_SECONDS = 0.25
LONG_SECONDS = 50.0
SHORT_SECONDS = 0.25
CHILDREN = 3
TIMEOUTS_EACH = 3
AGAIN_ITEMS = 5
REFEEDS = 4


class TaskError(Exception):
    """A task fails."""


class Fatal(BaseException):
    """A task raises what is no Exception."""


class InputError(Exception):
    """An input raises half-way."""


class LeaveError(Exception):
    """The body of an `async with` raises."""


class Sized:
    """An iterable with a length, as a list is, that shows what is read from it."""

    def __init__(self, items: Iterator[Any], length: int) -> None:
        self._items = items
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return self._items


def run_scenario(scenario: Scenario) -> None:
    """Run a scenario and check every law.

    Raises:
        AssertionError: a law was broken; the text has the scenario as Python.
    """
    try:
        simulate(
            lambda: Trial(scenario).main(),
            scenario.seed or None,
            tick=scenario.tick,
            max_steps=MAX_STEPS,
        )
    except BaseException as error:
        error.add_note(f"reproduce it by:\nrun_scenario(\n    {scenario!r}\n)")
        raise


class Trial:
    """One pipeline, those who use it, and the audit of its present run."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        drive = scenario.drive
        self._skips = [
            any(
                trouble.stage == number and trouble.kind in ("skip", "skip raises")
                for trouble in scenario.troubles
            )
            for number in range(len(scenario.stages))
        ]
        self.collects = not isinstance(drive, RunPlan) or drive.collect
        self.pipeline = Pipeline(
            [self._stage(number, plan) for number, plan in enumerate(scenario.stages)],
            collect_results=self.collects,
        )
        self.audit = Audit(scenario, self.pipeline, Counter())
        self._mine: set[asyncio.Task[Any]] = set()
        self._feeders: list[asyncio.Task[None]] = []
        self._bystanders: list[asyncio.Task[None]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._sources: list[AsyncGenerator[int, None]] = []
        self._begun = asyncio.Event()
        self._children = count(CHILD_KEYS)
        self._fatal: list[BaseException] = []
        self._cancelled_at: float | None = None

    async def main(self) -> None:
        """Drive the pipeline as the scenario says, and once more if it says so."""
        main = asyncio.current_task()
        loop = asyncio.get_running_loop()
        assert main is not None
        assert isinstance(loop, SimulatedLoop)
        self._mine.add(main)
        loop.when_quiet = lambda: self.audit.check_quiet()
        drive = self.scenario.drive
        if isinstance(drive, RunPlan):
            await self._run(drive)
        elif isinstance(drive, StreamPlan):
            await self._stream(drive)
        else:
            await self._serve(drive)
        self._finish_audit()
        if self.scenario.then == "refeed":
            await self._refeed()
        elif self.scenario.then == "again":
            await self._again()

    # The pipeline and what its tasks do

    def _stage(self, number: int, plan: StagePlan) -> Stage:
        callbacks = plan.callbacks
        return Stage(
            name=f"S{number}",
            workers=plan.workers,
            tasks=[self._task(number, task) for task in range(len(plan.durations))],
            retry="per_stage" if plan.per_stage else "per_task",
            task_attempts=plan.attempts,
            stage_attempts=plan.attempts,
            task_wait_seconds=plan.wait,
            queue_capacity=plan.capacity,
            pull=plan.pull,
            skip_if=self._skip_if(number) if self._skips[number] else None,
            on_success=self._callback("success", number) if callbacks else None,
            on_failure=self._callback("failure", number) if callbacks else None,
            on_skip=self._callback("skip", number) if callbacks else None,
        )

    def _task(self, stage: int, task: int) -> Callable[[int], Awaitable[int]]:
        async def work(key: int) -> int:
            if task == 0 and not self._skips[stage]:
                self.audit.take(key, stage)
            call = self.audit.begin(key, stage, task)
            troubles = [
                trouble
                for trouble in self.scenario.trouble(key, stage, task)
                if call <= trouble.times
            ]
            try:
                await self._work(key, stage, task, troubles)
            except Exception:
                if self.audit.is_retried(key, stage, task):
                    self.audit.arrives(key, stage)
                raise
            finally:
                self.audit.end(key)
            self.audit.passed(key, stage, task)
            if task == last and not self._calls_back_later(stage):
                self.audit.arrives(key, stage + 1)
            return key

        last = len(self.scenario.stages[stage].durations) - 1
        work.__name__ = f"task{task}"
        return work

    def _calls_back_later(self, stage: int) -> bool:
        return self.scenario.stages[stage].callbacks.startswith("async")

    async def _work(self, key: int, stage: int, task: int, troubles: list[Trouble]) -> None:
        durations = self.scenario.stages[stage].durations[task]
        kinds = {trouble.kind for trouble in troubles}
        try:
            await self._take_time(durations[key % len(durations)], kinds)
            for trouble in troubles:
                await self._make(trouble)
        finally:
            if "stubborn" in kinds:
                await asyncio.sleep(STUBBORN_SECONDS)

    async def _take_time(self, seconds: float, kinds: set[TroubleKind]) -> None:
        try:
            await pause(seconds)
        except asyncio.CancelledError:
            if "convert" in kinds:
                raise TaskError("was cancelled") from None
            if "swallow" not in kinds:
                raise

    async def _make(self, trouble: Trouble) -> None:
        match trouble.kind:
            case "fail":
                raise TaskError(trouble)
            case "cancelled":
                raise asyncio.CancelledError
            case "fatal":
                self.audit.causes.add("fatal")
                self._fatal.append(Fatal(trouble))
                raise self._fatal[-1]
            case "suicide":
                self.audit.causes.add("suicide")
                cancel_current_task()
                await asyncio.sleep(1)
            case "late suicide":
                self.audit.causes.add("late suicide")
                cancel_current_task()
            case "feed":
                await self._feed_children(trouble.target)
            case "misuse":
                await self._misuse()

    async def _feed_children(self, stage: int, *, may_be_late: bool = False) -> None:
        """Feed from inside of the run: from a task, or from who consumes the stream."""
        feeder = Feeder(inside=True)
        keys = [next(self._children) for _ in range(CHILDREN)]
        source = self._keys(feeder, keys, stage)
        await self._feed(feeder, source, stage, 100, may_be_late=may_be_late)

    async def _misuse(self) -> None:
        feeder = Feeder()
        for use in (
            self.pipeline.join,
            self.pipeline.shutdown,
            self.pipeline.start,
            lambda: self.pipeline.process(-1),
            lambda: self.pipeline.run(self._keys(feeder, [-1], 0)),
        ):
            try:
                await use()
            except PipelineError:
                continue
            self.audit.complain(f"a task may call {use}")

    def _skip_if(self, stage: int) -> Callable[[int], Any]:
        def is_skipped(key: int) -> bool:
            self.audit.take(key, stage)
            return judge(key)

        async def is_skipped_later(key: int) -> bool:
            self.audit.take(key, stage)
            await asyncio.sleep(0)
            return judge(key)

        def judge(key: int) -> bool:
            for trouble in self.scenario.troubles:
                if trouble.kind == "skip raises" and (trouble.key, trouble.stage) == (key, stage):
                    raise TaskError(trouble)
            skipped = self.scenario.is_skipped(key, stage)
            if skipped and not self._calls_back_later(stage):
                self.audit.arrives(key, stage + 1)
            return skipped

        return is_skipped_later if self.scenario.stages[stage].callbacks else is_skipped

    def _callback(self, event: str, stage: int) -> Callable[[Any, Any, dict[str, Any]], Any]:
        kind = self.scenario.stages[stage].callbacks

        def called(_id: Any, _value: Any, item: dict[str, Any]) -> None:
            self.audit.callbacks[event, item["value"], stage] += 1
            if kind == "sync raises":
                raise TaskError(event)

        async def called_later(id_: Any, value: Any, item: dict[str, Any]) -> None:
            called(id_, value, item)
            try:
                await asyncio.sleep(CALLBACK_SECONDS)
            finally:
                if event != "failure":
                    self.audit.arrives(item["value"], stage + 1)
            if kind == "async raises":
                raise TaskError(event)

        return called_later if kind.startswith("async") else called

    # Inputs

    def _keys(
        self, feeder: Feeder, keys: Iterable[int], stage: int, priority: int = 100
    ) -> Iterator[int]:
        for key in keys:
            self.audit.read(key, stage, priority, feeder)
            yield key
            self.audit.asked(feeder)

    def _source(
        self, feeding: Feeding, feeder: Feeder, first: int, *, is_main: bool = False
    ) -> Any:
        keys = self._keys(
            feeder, range(first, first + feeding.items), feeding.stage, feeding.priority
        )
        if feeding.source in ("async", "slow", "stuck") or (is_main and self._feeders):
            self._sources.append(self._read_slowly(feeding, feeder, keys, is_main))
            return self._sources[-1]
        source = self._read(feeding, keys, is_main)
        return Sized(source, feeding.items) if feeding.source == "list" else source

    def _read(self, feeding: Feeding, keys: Iterator[int], is_main: bool) -> Iterator[int]:
        if is_main:
            self._begun.set()
        yield from keys
        if feeding.source == "broken":
            self._break(is_main)

    async def _read_slowly(
        self, feeding: Feeding, feeder: Feeder, keys: Iterator[int], is_main: bool
    ) -> AsyncGenerator[int, None]:
        if is_main:
            self._begun.set()
        for key in keys:
            yield key
            if feeding.source == "slow":
                self.audit.asked(feeder)
                await asyncio.sleep(SHORT_SECONDS)
        if feeding.source == "stuck":
            self.audit.asked(feeder)
            await asyncio.sleep(LONG_SECONDS)
        if is_main and self._feeders:  # a feed that begins once the input has ended is refused
            await asyncio.wait(self._feeders)
        if feeding.source == "broken":
            self._break(is_main)

    def _break(self, is_main: bool) -> None:
        if is_main:
            self.audit.causes.add("input")
        raise InputError

    async def _feed(
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
            await self.pipeline.feed(source, target_stage=target, priority=priority)
        except PipelineError as error:
            is_late = may_be_late and not feeder.keys
            self.audit.require(self.audit.interrupted or is_late, f"feed was refused: {error!r}")
            return
        except InputError:
            pass
        finally:
            feeder.waits_at = None
        feeder.interrupted = False
        self.audit.asked(feeder)

    async def _feeder(self, number: int, feeding: Feeding) -> None:
        """Feed at some time, while the pipeline is known to take items."""
        if feeding.at is not None:
            await self._begun.wait()
            await asyncio.sleep(feeding.at)
        if self.audit.closing:
            return
        feeder = Feeder()
        source = self._source(feeding, feeder, FEEDING_KEYS * number)
        await self._feed(feeder, source, feeding.stage, feeding.priority)

    def _start_feeders(self, before_start: bool = False) -> None:
        for number, feeding in enumerate(self.scenario.feedings, start=1):
            if (feeding.at is None) == before_start:
                task = self._spawn(self._feeder(number, feeding))
                self._feeders.append(task)
                if feeding.cancel_at is not None:
                    self._later(feeding.cancel_at, task.cancel)

    # Driven by run

    async def _run(self, plan: RunPlan) -> None:
        self._start_feeders()
        feeder = Feeder(interrupted=True)
        source = self._source(plan.main, feeder, 0, is_main=True)
        run = self._spawn(
            self._checked(
                lambda: self.pipeline.run(source, return_exceptions=plan.return_exceptions)
            )
        )
        if plan.cancel_at is not None:
            self._later(plan.cancel_at, self._cancel, run, plan.cancel_again)
        if plan.intruder_at is not None:
            self._bystanders.append(self._spawn(self._intrude(plan.intruder_at)))
        if plan.stop is not None:
            self._bystanders.append(self._spawn(self._stop(plan.stop)))
        returned = await self._outcome(run)
        feeder.interrupted = self.audit.interrupted
        await self._end_users()
        if returned is not None:
            self._check_returned(plan, returned)

    def _check_returned(self, plan: RunPlan, returned: list[PipelineResult]) -> None:
        sequence = [result.sequence_id for result in returned]
        self.audit.require(sequence == sorted(sequence), f"results out of order: {sequence}")
        expected = list(self.pipeline.results)
        if plan.return_exceptions:
            expected += self.pipeline.failures
        if self.collects:
            self.audit.require(
                sorted(r.value for r in returned) == sorted(r.value for r in expected),
                f"returned {returned}, but results and failures are {expected}",
            )

    async def _intrude(self, at: float) -> None:
        await self._begun.wait()
        await asyncio.sleep(at)
        if self.audit.is_alive() and not self.audit.closing:
            try:
                await self.pipeline.run(self._keys(Feeder(), [-1], 0))
            except PipelineError:
                return
            self.audit.complain("two runs at once")

    async def _stop(self, stop: Stop) -> None:
        await self._begun.wait()
        await asyncio.sleep(stop.at)
        if self.audit.is_alive() and not self.audit.closing:
            with suppress(PipelineError, Fatal):  # raised there or where the run is awaited
                await self._shutdown(stop.drain, stop.timeout)

    # Driven by stream

    async def _stream(self, plan: StreamPlan) -> None:
        self._start_feeders()
        feeder = Feeder(interrupted=True)
        source = self._source(plan.main, feeder, 0, is_main=True)
        if plan.stop is not None:
            self._bystanders.append(self._spawn(self._stop(plan.stop)))
        consume = self._consume_by_turns if plan.leave == "timeouts" else self._consume
        consumer = self._spawn(consume(plan, source))
        del source
        if plan.leave == "cancel":
            self._later(plan.cancel_at, self._cancel, consumer, None)
        await self._outcome(consumer)
        del consumer
        self._timers = [timer for timer in self._timers if timer.when() > now()]
        if plan.leave in ("break", "cancel"):  # nobody waits for what is cancelled then
            await asyncio.sleep(LONG_SECONDS)
        self._check_nobody_left()
        feeder.interrupted = self.audit.interrupted
        await self._end_users()

    async def _consume(self, plan: StreamPlan, source: Any) -> None:
        stream = self.pipeline.stream(source, buffer_size=plan.buffer)
        if plan.leave == "error in with":
            async with stream:
                await self._take(plan, stream)
                raise LeaveError
        await self._take(plan, stream)
        if plan.leave == "aclose":
            await stream.aclose()
            self._check_nobody_left()

    async def _take(self, plan: StreamPlan, stream: AsyncIterator[PipelineResult]) -> None:
        taken = 0
        leaves = plan.leave not in ("end", "cancel")
        if leaves and plan.after == 0:
            self.audit.causes.add("left")
            return
        while await self._next(stream) is not None:
            taken += 1
            if leaves and taken == plan.after:
                self.audit.causes.add("left")
                return
            if taken <= plan.feeds and not self.audit.closing:
                await self._feed_from_consumer()
            await pause(plan.pause)
        self._check_nobody_left()

    async def _next(
        self, stream: AsyncIterator[PipelineResult], patience: float | None = None
    ) -> PipelineResult | None:
        self.audit.consumer_waits = True
        try:
            if patience is None:
                result = await self._step(stream)
            else:
                result = await asyncio.wait_for(self._spawn(self._step(stream)), patience)
        finally:
            self.audit.consumer_waits = False
        if result is not None:
            self.audit.delivered.append(result)
        return result

    async def _step(self, stream: AsyncIterator[PipelineResult]) -> PipelineResult | None:
        try:
            return await anext(stream)
        except StopAsyncIteration:
            return None

    async def _feed_from_consumer(self) -> None:
        """Feed unless the run may be over; it may still be about to end by itself."""
        if self.audit.is_alive():
            await self._feed_children(0, may_be_late=True)

    async def _consume_by_turns(self, plan: StreamPlan, source: Any) -> None:
        stream = self.pipeline.stream(source, buffer_size=plan.buffer)
        timeouts = 0
        while True:
            try:
                patience = plan.patience if timeouts < TIMEOUTS_EACH * plan.after else None
                result = await self._next(stream, patience)
            except TimeoutError:
                timeouts += 1
                continue
            if result is None:
                break
            await pause(plan.pause)
        await stream.aclose()

    # Driven by start, feed, process, join and shutdown

    async def _serve(self, plan: ServicePlan) -> None:
        self._start_feeders(before_start=True)
        await settle()
        waiting = set(self.audit.entries) if all(t.done() for t in self._feeders) else set()
        self._begun.set()
        ending = self._spawn(self._start_and_end(plan))
        if plan.cancel_at is not None:
            self._later(plan.cancel_at, self._cancel, ending, None)
        await self._outcome(ending)
        if "cancel" in self.audit.causes:  # perhaps before it had begun to wait for the end
            with suppress(PipelineError, Fatal):
                await self.pipeline.shutdown(timeout=0)
        await self._end_users()
        if len(waiting) == len(self.audit.entries) and self._is_one_lane():
            self.audit.check_priorities(waiting)

    def _is_one_lane(self) -> bool:
        first = self.scenario.stages[0]
        return (
            first.workers == 1
            and not first.per_stage
            and not any(feeding.stage for feeding in self.scenario.feedings)
        )

    async def _start_and_end(self, plan: ServicePlan) -> None:
        if plan.end.startswith("leave"):
            await self._checked(lambda: self._start_and_leave(plan))
            return
        await self._start(plan)
        if plan.end == "join":
            self.audit.causes.add("closing")
            await self._join()
        elif plan.end == "shutdown":
            await self._shutdown(plan.drain, plan.timeout)
        else:
            await self._join_and_shutdown(plan)

    async def _start_and_leave(self, plan: ServicePlan) -> None:
        async with self.pipeline:
            await self._start(plan)
            self.audit.causes.add("shutdown")
            if plan.end == "leave by error":
                raise LeaveError

    async def _start(self, plan: ServicePlan) -> None:
        await self.pipeline.start()
        self.audit.is_started = True
        self._start_feeders()
        for number, call in enumerate(plan.calls):
            self._feeders.append(self._spawn(self._call(CALL_KEYS + number, call)))
        await asyncio.sleep(plan.at)

    async def _join_and_shutdown(self, plan: ServicePlan) -> None:
        self.audit.causes |= {"closing", "shutdown"}
        join = self._spawn(self.pipeline.join())
        try:
            await asyncio.sleep(SHORT_SECONDS)
            await self._shutdown(plan.drain, plan.timeout)
        except asyncio.CancelledError:
            join.cancel()
            raise
        finally:
            await asyncio.wait({join})
            if not join.cancelled():
                join.exception()

    async def _join(self) -> None:
        join = self._spawn(self._checked(self.pipeline.join))
        try:
            await settle()
            if not join.done() and not self.audit.interrupted:
                await self._feed_too_late()
            await join
        except asyncio.CancelledError:
            join.cancel()
            await asyncio.wait({join})
            raise

    async def _feed_too_late(self) -> None:
        feeder = Feeder()
        try:
            await self.pipeline.feed(self._keys(feeder, [-1], 0))
        except PipelineError:
            pass
        else:
            self.audit.complain("a feed that began after join was not refused")
        self.audit.require(not feeder.keys, "a feed that was refused has read its input")

    async def _shutdown(self, drain: bool, timeout: float | None) -> None:
        audit = self.audit
        audit.causes.add("shutdown")
        audit.refuses = True
        audit.stops = not drain
        began = now()
        left = await self._checked(lambda: self.pipeline.shutdown(drain=drain, timeout=timeout))
        allowed = self._stubborn_seconds() + (inf if timeout is None else timeout)
        if not drain:
            allowed = min(allowed, self._stubborn_seconds() + self._longest_attempt())
        if self.scenario.tick < 1e-3:
            took = now() - began
            audit.require(took <= allowed + 0.01, f"shutdown took {took} s, not {allowed}")
        audit.require(left == self.pipeline.unprocessed, "another list from shutdown")

    def _longest_attempt(self) -> float:
        """How long an attempt that has begun may take, with the callback after it."""
        callback = any(self._calls_back_later(n) for n in range(len(self.scenario.stages)))
        durations = [d for plan in self.scenario.stages for task in plan.durations for d in task]
        suicide = 1.0 if self.scenario.has("suicide") else 0.0
        return max(*durations, 0.0) + CALLBACK_SECONDS * callback + suicide

    async def _call(self, key: int, call: Call) -> None:
        await asyncio.sleep(call.at)
        if self.audit.closing:
            return
        feeder = Feeder(interrupted=True)
        self.audit.read(key, 0, call.priority, feeder)
        feeder.waits_at = None  # it may wait for room or for its reply
        task = asyncio.current_task()
        if call.cancel_at is not None and task is not None:
            self._later(call.cancel_at, task.cancel)
        self.audit.unanswered.add(key)
        try:
            self.audit.replies[key] = await self.pipeline.process(key, priority=call.priority)
            self.audit.unanswered.discard(key)
        except PipelineError as error:
            if not self.audit.interrupted:
                self.audit.complain(f"process failed: {error!r}")

    # Once more

    async def _refeed(self) -> None:
        """Feed what was left over, until nothing is."""
        for _ in range(REFEEDS):
            if not self.pipeline.unprocessed:
                return
            self._begin_audit()
            await self._outcome(self._spawn(self._checked(self._start_refeed_join)))
            self._finish_audit()
        self.audit.require(
            self.audit.interrupted or not self.pipeline.unprocessed, "left over again"
        )

    async def _start_refeed_join(self) -> None:
        left = self.pipeline.unprocessed
        feeder = Feeder()
        names = list(self.pipeline.get_worker_names())

        def source() -> Iterator[Any]:
            for item in left:
                self.audit.read(item.value, names.index(item.stage), item.priority, feeder)
                yield item
                self.audit.asked(feeder)

        await self.pipeline.start()
        await self._feed(feeder, source(), None, 100)
        self.audit.causes.add("closing")
        await self.pipeline.join()

    async def _again(self) -> None:
        """Run once more, which starts from nothing and meets no trouble."""
        self._begin_audit()
        feeder = Feeder(interrupted=True)
        keys = range(AGAIN_KEYS, AGAIN_KEYS + AGAIN_ITEMS)
        returned = await self._outcome(
            self._spawn(self._checked(lambda: self.pipeline.run(self._keys(feeder, keys, 0))))
        )
        feeder.interrupted = False
        if self.collects:
            self.audit.require(
                returned is not None and [result.value for result in returned] == list(keys),
                f"a second run returned {returned}",
            )
        self._finish_audit()

    # Tasks, ends and checks

    def _begin_audit(self) -> None:
        self.audit = Audit(self.scenario, self.pipeline, self.audit.all_calls)
        self._fatal.clear()
        self._cancelled_at = None

    def _finish_audit(self) -> None:
        self.audit.settle_accounts(self.collects)
        if self.audit.violations:
            raise Violation("\n".join(self.audit.violations))

    def _spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._mine.add(task)
        task.add_done_callback(self._mine.discard)
        return task

    def _later(self, delay: float, call: Callable[..., Any], *arguments: Any) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay, call, *arguments))

    def _cancel(self, task: asyncio.Task[Any], again: float | None) -> None:
        if task.done():
            return
        self.audit.causes.add("cancel")
        if self._cancelled_at is None:
            self._cancelled_at = now()
        task.cancel()
        if again is not None:
            self._later(again, self._cancel, task, None)

    async def _checked(self, call: Callable[[], Awaitable[T]]) -> T:
        """Check, at the very moment at which a call ends, that it left nothing behind."""
        try:
            return await call()
        finally:
            self._check_nobody_left()
            at = self._cancelled_at
            if at is not None and self.scenario.tick < 1e-3 and not self._bystanders:
                took = now() - at
                self.audit.require(
                    took <= self._stubborn_seconds() + 0.01, f"cancelling took {took} s"
                )

    def _stubborn_seconds(self) -> float:
        """How long the tasks that do not end when they are cancelled may take altogether."""
        each = dict.fromkeys(("swallow", "convert"), CALLBACK_SECONDS)
        each["stubborn"] = STUBBORN_SECONDS + CALLBACK_SECONDS
        return sum(each.get(trouble.kind, 0.0) for trouble in self.scenario.troubles)

    def _check_nobody_left(self) -> None:
        left = others() - self._mine
        self.audit.require(not left, f"tasks left: {left}")

    async def _outcome(self, task: asyncio.Task[T]) -> T | None:
        """Wait for a driver to end, and check that it ended as it has reason to."""
        await asyncio.wait({task})
        causes = self.audit.causes
        if task.cancelled():
            self.audit.require("cancel" in causes, "cancelled by nobody")
            return None
        error = task.exception()
        if error is None:
            self._check_returning(causes)
            return task.result()
        allowed = (
            (isinstance(error, Fatal) and any(error is fatal for fatal in self._fatal))
            or (isinstance(error, InputError) and "input" in causes)
            or (isinstance(error, PipelineError) and bool({"suicide", "late suicide"} & causes))
            or isinstance(error, LeaveError)
        )
        if not allowed:
            self.audit.complain(f"raised {error!r}, caused by {causes}")
            raise error
        return None

    def _check_returning(self, causes: set[Cause]) -> None:
        if causes & {"shutdown", "left"}:
            return
        due = causes & {"cancel", "fatal", "suicide", "input"}
        self.audit.require(not due, f"returned in spite of {due}")

    async def _end_users(self) -> None:
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


async def pause(seconds: float) -> None:
    """Sleep; give way once if it is negative, and do not suspend at all if it is 0."""
    if seconds:
        await asyncio.sleep(max(seconds, 0.0))


def now() -> float:
    """Return the time on the running loop."""
    return asyncio.get_running_loop().time()


def cancel_current_task() -> None:
    """Cancel who runs this: of a task of a stage, its worker."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
