"""What tasks do under limits, and their model: no limit is exceeded, and none is too strict."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

from antflow import PipelineStats, concurrency_limit, current_item, rate_limit

from .audit import Audit
from .scenarios import LimitPlan, Scenario

FAN = 2
SLACK = 0.05
Kind = Literal["calls", "rate"]


class LimitBook:
    """What is inside of which limit, and what waits for it; rates are watched over all runs."""

    audit: Audit

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._in_task: Counter[tuple[int, int]] = Counter()
        self._inside: Counter[int] = Counter()
        self._waiting: Counter[tuple[Kind, int]] = Counter()
        self._passes: dict[int, deque[float]] = {
            plan.stage: deque(maxlen=64) for plan in scenario.limits
        }
        self._levels = {plan.stage: (0.0, 0.0) for plan in scenario.limits}

    # Calls

    async def call(
        self,
        key: int,
        stage: int,
        failure: BaseException | None,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        """Call under the limits of a stage, perhaps twice at once; fail inside if it has to."""
        plan = self._scenario.limits_of(stage)
        is_limited = plan.calls is not None or plan.rate is not None
        if is_limited and not plan.fan:
            await self._call_once(key, plan, failure)
        elif is_limited and plan.fan == "group":
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._call_once(key, plan, failure))
                    for _ in range(FAN - 1):
                        group.create_task(self._call_once(key, plan))
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None
        elif is_limited:
            calls = [spawn(self._call_once(key, plan)) for _ in range(FAN)]
            for error in await asyncio.gather(*calls, return_exceptions=plan.fan == "gather"):
                if error is not None:
                    raise error
        if failure is not None:
            raise failure

    async def _call_once(
        self, key: int, plan: LimitPlan, failure: BaseException | None = None
    ) -> None:
        async with self._called(key, plan):
            if plan.hold:
                await asyncio.sleep(plan.hold)
            if failure is not None:
                raise failure

    @contextmanager
    def in_task(self, stage: int, task: int) -> Iterator[None]:
        """A worker is inside of a task."""
        plan = self._scenario.limits_of(stage)
        self._in_task[stage, task] += 1
        inside = self._in_task[stage, task]
        is_right = plan.tasks is None or task != plan.task or inside <= plan.tasks
        self.audit.require(is_right, "{} in task {} of {}", inside, task, stage)
        try:
            yield
        finally:
            self._in_task[stage, task] -= 1

    @asynccontextmanager
    async def _called(self, key: int, plan: LimitPlan) -> AsyncIterator[None]:
        """Be inside of all limits on calls that the stage has."""
        if plan.calls is None:
            await self._pass(key, plan)
            yield
            return
        audit, stage = self.audit, plan.stage
        with self._await(key, "calls", plan) as arrive:
            async with concurrency_limit():
                arrive()
                self._inside[stage] += 1
                inside = self._inside[stage]
                audit.require(inside <= plan.calls, "{} call at once in {}", inside, stage)
                try:
                    await self._pass(key, plan)
                    yield
                finally:
                    self._inside[stage] -= 1
        audit.require(current_item() is not None, "there is no item any more")

    async def _pass(self, key: int, plan: LimitPlan) -> None:
        if plan.rate is not None:
            with self._await(key, "rate", plan) as arrive:
                async with rate_limit():
                    arrive()
                    self._check_rate(plan, plan.rate)

    @contextmanager
    def _await(self, key: int, kind: Kind, plan: LimitPlan) -> Iterator[Callable[[], None]]:
        """Count a key as waiting, until it calls what this yields, or gives up.

        It checks that the wait ended before shutdown began; one of a fan may end later.
        """
        audit, is_late = self.audit, self.audit.stops
        is_waiting = True

        def count(number: int) -> None:
            audit.waiting[key] += number
            self._waiting[kind, plan.stage] += number

        def arrive() -> None:
            nonlocal is_waiting
            is_waiting = False
            count(-1)
            is_right = bool(plan.fan) or is_late or not audit.stops
            audit.require(is_right, "a wait in {} was not ended by shutdown", plan.stage)

        count(1)
        try:
            yield arrive
        finally:
            if is_waiting:
                count(-1)

    # Checks

    def _check_rate(self, plan: LimitPlan, rate: float) -> None:
        """Check that no more calls pass in any time than may at once and then in that time."""
        now = asyncio.get_running_loop().time()
        self._levels[plan.stage] = (self._level(plan, now) + 1, now)
        passes = self._passes[plan.stage]
        passes.append(now)
        for number, then in enumerate(reversed(passes), start=1):
            most = max(rate, 1) + (now - then) * rate / plan.period + SLACK
            is_right = number <= most
            self.audit.require(is_right, "{} calls in {} s in {}", number, now - then, plan.stage)

    def check_quiet(self, stats: PipelineStats) -> None:
        """Nothing moves at this instant: a limit that is waited for is reached."""
        require = self.audit.require
        for stage, found in enumerate(stats.stage_stats.values()):
            plan = self._scenario.limits_of(stage)
            if not (
                found.parked_items or found.limits
            ):  # or workers without an item count as waiting, too
                self._check_workers(plan, found.workers["waiting"])
            if self._waiting["calls", stage]:
                inside = self._inside[stage]
                require(inside == plan.calls, "a call waits in {}, {} do", stage, inside)
            if self._waiting["rate", stage] and plan.rate is not None:
                level = self._level(plan, asyncio.get_running_loop().time())
                # A timer is late by the callbacks that ran before it.
                late = 50 * self._scenario.tick * plan.rate / plan.period
                is_full = level + 1 + SLACK + late > max(plan.rate, 1)
                require(is_full, "a call waits in {}, at {}", stage, level)

    def _check_workers(self, plan: LimitPlan, waiting: int) -> None:
        """Check that so many workers wait for a call, for a retry, or for a task that is full."""
        audit, stage = self.audit, plan.stage
        calls = sum(at == stage and audit.waiting[key] > 0 for key, at in audit.active.items())
        retries = sum(at == stage for at in audit.retrying.values())
        audit.require(calls <= waiting, "{} call, {} wait in {}", calls, waiting, stage)
        if waiting > calls + retries and self._scenario.is_prompt:
            inside = self._in_task[stage, plan.task]
            audit.require(inside == plan.tasks, "waits in {}, with {} in", stage, inside)

    def _level(self, plan: LimitPlan, now: float) -> float:
        """How many calls the bucket of a stage holds, which leak out of it with time."""
        assert plan.rate is not None
        level, then = self._levels[plan.stage]
        return max(level - (now - then) * plan.rate / plan.period, 0.0)
