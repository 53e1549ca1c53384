"""How a pipeline is driven: by run, by stream, or as a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sized
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from antflow import PipelineError, PipelineResult
from tests.helpers.virtual_time import settle

from .audit import Audit, Feeder
from .scenarios import RunPlan, ServicePlan, StreamPlan
from .users import Users
from .world import LONG_SECONDS, SHORT_SECONDS, Fatal, LeaveError, World, pause

Plan = TypeVar("Plan")

TIMEOUTS_EACH = 3


async def drive(world: World, users: Users) -> None:
    """Drive a run of the pipeline to its end, as the scenario says."""
    plan = world.scenario.drive
    if isinstance(plan, RunPlan):
        await RunDriver(world, users, plan).drive()
    elif isinstance(plan, StreamPlan):
        await StreamDriver(world, users, plan).drive()
    else:
        await ServiceDriver(world, users, plan).drive()


class Driver(Generic[Plan]):
    """What the drivers share."""

    def __init__(self, world: World, users: Users, plan: Plan) -> None:
        self._world = world
        self._users = users
        self._plan = plan
        self._pipeline = world.pipeline

    @property
    def _audit(self) -> Audit:
        return self._world.audit

    def _start_users(self, plan: RunPlan | StreamPlan) -> tuple[Feeder, Any]:
        """Start feeders and bystanders; return the main feeder and its input."""
        self._users.start_feeders()
        self._users.plan_resizes()
        if plan.stop is not None:
            shutdown = partial(self._users.shutdown, plan.stop.drain, plan.stop.timeout)
            self._users.disturb(self._users.disturb_at(plan.stop.at, shutdown))
        feeder = Feeder(interrupted=True)
        return feeder, self._users.source(plan.main, feeder, 0, is_main=True)

    async def _end_users(self, feeder: Feeder) -> None:
        feeder.interrupted = self._audit.interrupted
        await self._users.end_users()

    def _display(self, source: Any) -> dict[str, Any]:
        """Return the arguments that ask for the scenario's dashboard, if it has one."""
        dashboard = self._world.dashboard
        if dashboard is None:
            return {}
        dashboard.total_items = len(source) if isinstance(source, Sized) else None
        return {"custom_dashboard": dashboard, "dashboard_update_interval": dashboard.interval}


class RunDriver(Driver[RunPlan]):
    """Calls run, and perhaps cancels it."""

    async def drive(self) -> None:
        """Drive it to the end of the run."""
        plan, users = self._plan, self._users
        feeder, source = self._start_users(plan)
        call = partial(
            self._pipeline.run,
            source,
            return_exceptions=plan.return_exceptions,
            **self._display(source),
        )
        run = users.spawn(users.checked(call))
        if plan.cancel_at is not None:
            users.later(plan.cancel_at, users.cancel, run, plan.cancel_again)
        if plan.intruder_at is not None:
            users.disturb(users.disturb_at(plan.intruder_at, users.intrude))
        returned = await users.outcome(run)
        await self._end_users(feeder)
        if returned is not None:
            self._check_returned(returned)

    def _check_returned(self, returned: list[PipelineResult]) -> None:
        sequence = [result.sequence_id for result in returned]
        self._audit.require(sequence == sorted(sequence), "results out of order: {}", sequence)
        expected = list(self._pipeline.results)
        if self._plan.return_exceptions:
            expected += self._pipeline.failures
        found, due = (sorted(result.value for result in each) for each in (returned, expected))
        is_right = found == due or not self._world.collects
        self._audit.require(is_right, "returned {}, not {}", found, due)


class StreamDriver(Driver[StreamPlan]):
    """Consumes a stream, and perhaps leaves it early."""

    async def drive(self) -> None:
        """Drive it to the end of the run."""
        leave = self._plan.leave
        feeder, source = self._start_users(self._plan)
        consume = self._consume_with_timeouts if leave == "timeouts" else self._consume
        consumer = self._users.spawn(consume(source))
        del source
        if leave == "cancel":
            self._users.later(self._plan.cancel_at, self._users.cancel, consumer, None)
        await self._users.outcome(consumer)
        del consumer
        self._users.forget_past_timers()
        if leave in ("break", "cancel"):  # what is cancelled then is not waited for
            await asyncio.sleep(LONG_SECONDS)
        self._users.check_no_task_left()
        await self._end_users(feeder)

    def _stream(self, source: Any) -> Any:
        display = self._display(source)
        return self._pipeline.stream(source, buffer_size=self._plan.buffer, **display)

    async def _consume(self, source: Any) -> None:
        stream = self._stream(source)
        if self._plan.leave == "error in with":
            async with stream:
                await self._take(stream)
                raise LeaveError
        await self._take(stream)
        if self._plan.leave == "aclose":
            await stream.aclose()
            self._users.check_no_task_left()

    async def _take(self, stream: AsyncIterator[PipelineResult]) -> None:
        taken = 0
        leaves = self._plan.leave not in ("end", "cancel")
        while not leaves or taken < self._plan.after:
            if await self._next(stream) is None:
                self._users.check_no_task_left()
                return
            taken += 1
            if leaves and taken == self._plan.after:
                break
            # The run may be about to end by itself.
            may_feed = taken <= self._plan.feeds and not self._audit.closing
            if may_feed and self._audit.is_alive():
                await self._users.feed_children(0, may_be_late=True)
            await pause(self._plan.pause)
        self._audit.causes.add("left")

    async def _next(
        self, stream: AsyncIterator[PipelineResult], patience: float | None = None
    ) -> PipelineResult | None:
        self._audit.consumer_waits = True
        try:
            result = await self._step(stream, patience)
        finally:
            self._audit.consumer_waits = False
        if result is not None:
            self._audit.delivered.append(result)
        return result

    async def _step(
        self, stream: AsyncIterator[PipelineResult], patience: float | None
    ) -> PipelineResult | None:
        if patience is None:
            return await anext(stream, None)
        step = self._users.spawn(self._step(stream, None))
        try:
            return await asyncio.wait_for(step, patience)
        except TimeoutError:
            if step.cancelled():
                raise
            return step.result()  # wait_for loses what comes at the very moment of the timeout

    async def _consume_with_timeouts(self, source: Any) -> None:
        stream = self._stream(source)
        timeouts = 0
        while True:
            is_patient = timeouts >= TIMEOUTS_EACH * self._plan.after
            try:
                result = await self._next(stream, None if is_patient else self._plan.patience)
            except TimeoutError:
                timeouts += 1
                continue
            if result is None:
                break
            await pause(self._plan.pause)
        await stream.aclose()


class ServiceDriver(Driver[ServicePlan]):
    """Starts the pipeline, has it fed and called, and ends it."""

    async def drive(self) -> None:
        """Drive it to the end of the run."""
        plan, users = self._plan, self._users
        users.start_feeders(before_start=True)
        await settle()
        waiting = set(self._audit.entries) if users.have_fed() else set()
        users.begin()
        ending = users.spawn(self._start_and_end())
        if plan.cancel_at is not None:
            users.later(plan.cancel_at, users.cancel, ending, None)
        await users.outcome(ending)
        if "cancel" in self._audit.causes:  # perhaps before it had begun to wait for the end
            with suppress(PipelineError, Fatal):
                await self._pipeline.shutdown(timeout=0)
        await users.end_users()
        first = self._world.scenario.stages[0]
        is_one_lane = self._world.scenario.most_workers(0) == 1 and not first.per_stage
        is_one_lane &= not self._world.scenario.keyed_limits_of(0)
        is_one_lane &= not any(feeding.stage for feeding in self._world.scenario.feedings)
        if len(waiting) == len(self._audit.entries) and is_one_lane:
            self._audit.check_priorities(waiting)

    async def _start_and_end(self) -> None:
        if self._plan.end.startswith("leave"):
            await self._users.checked(self._start_and_leave)
            return
        await self._start()
        if self._plan.end == "join":
            self._audit.causes.add("closing")
            await self._join()
        elif self._plan.end == "shutdown":
            await self._users.shutdown(self._plan.drain, self._plan.timeout)
        else:
            await self._join_and_shutdown()

    async def _start_and_leave(self) -> None:
        async with self._pipeline:
            await self._start()
            self._audit.causes.add("shutdown")
            if self._plan.end == "leave by error":
                raise LeaveError

    async def _start(self) -> None:
        await self._pipeline.start()
        self._audit.is_started = True
        self._users.start_feeders()
        self._users.plan_resizes()
        for number, call in enumerate(self._plan.calls):
            self._users.start_caller(number, call)
        await asyncio.sleep(self._plan.at)

    async def _join_and_shutdown(self) -> None:
        self._audit.causes |= {"closing", "shutdown"}
        join = self._users.spawn(self._pipeline.join())
        try:
            await asyncio.sleep(SHORT_SECONDS)
            await self._users.shutdown(self._plan.drain, self._plan.timeout)
        except asyncio.CancelledError:
            join.cancel()
            raise
        finally:
            await asyncio.wait({join})
            if not join.cancelled():
                join.exception()

    async def _join(self) -> None:
        join = self._users.spawn(self._users.checked(self._pipeline.join))
        try:
            await settle()
            if not join.done() and not self._audit.interrupted:
                await self._feed_too_late()
            await join
        except asyncio.CancelledError:
            join.cancel()
            await asyncio.wait({join})
            raise

    async def _feed_too_late(self) -> None:
        feeder = Feeder()
        with suppress(PipelineError):
            await self._pipeline.feed(self._users.keys(feeder, [-1]))
            self._audit.complain("a feed that began after join was not refused")
        self._audit.require(not feeder.keys, "a feed that was refused has read its input")
