"""What tasks do under limits, and the books of it: no limit is exceeded, and none is too strict."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

from antflow import PipelineStats, concurrency_limit, current_item, rate_limit

from .audit import Audit
from .watched import LimitPlan, Watched

FAN = 2
SLACK = 0.05
Kind = Literal["calls", "rate"]


class LimitBook:
    """Who is inside of which limit, and who waits for it; rates are watched over all runs."""

    def __init__(self, scenario: Watched) -> None:
        self._scenario = scenario
        self._in_task: Counter[tuple[int, int]] = Counter()
        self._inside: Counter[int] = Counter()
        self._waiting: Counter[tuple[Kind, int]] = Counter()
        self._passes: dict[int, deque[float]] = {
            plan.stage: deque(maxlen=64) for plan in scenario.limits
        }
        self._levels = {plan.stage: (0.0, 0.0) for plan in scenario.limits}

    @contextmanager
    def in_task(self, audit: Audit, stage: int, task: int) -> Iterator[None]:
        """A worker is inside of a task."""
        plan = self._scenario.limits_of(stage)
        self._in_task[stage, task] += 1
        if plan.places is not None and task == plan.task:
            inside = self._in_task[stage, task]
            audit.require(inside <= plan.places, "{} in task {} of {}", inside, task, stage)
        try:
            yield
        finally:
            self._in_task[stage, task] -= 1

    @asynccontextmanager
    async def called(self, audit: Audit, key: int, plan: LimitPlan) -> AsyncIterator[None]:
        """Be inside of all limits on calls that the stage has."""
        if plan.calls is None:
            await self._pass(audit, key, plan)
            yield
            return
        with self._await(audit, key, "calls", plan.stage) as arrive:
            async with concurrency_limit():
                self._check_uncut(audit, plan, arrive())
                self._inside[plan.stage] += 1
                inside = self._inside[plan.stage]
                audit.require(inside <= plan.calls, "{} call at once in {}", inside, plan.stage)
                try:
                    await self._pass(audit, key, plan)
                    yield
                finally:
                    self._inside[plan.stage] -= 1
        audit.require(current_item() is not None, "there is no item any more")

    async def _pass(self, audit: Audit, key: int, plan: LimitPlan) -> None:
        if plan.rate is None:
            return
        with self._await(audit, key, "rate", plan.stage) as arrive:
            async with rate_limit():
                self._check_uncut(audit, plan, arrive())
                self._check_rate(audit, plan)

    def _check_uncut(self, audit: Audit, plan: LimitPlan, is_late: bool) -> None:
        """Check that a wait ended before shutdown began; who fans out may get through."""
        audit.require(bool(plan.fan) or not is_late, "a wait in {} was not cut", plan.stage)

    def _check_rate(self, audit: Audit, plan: LimitPlan) -> None:
        """Check that no more calls pass in any time than may at once and then in that time."""
        assert plan.rate is not None
        now = asyncio.get_running_loop().time()
        self._levels[plan.stage] = (self._level(plan, now) + 1, now)
        passes = self._passes[plan.stage]
        passes.append(now)
        for number, then in enumerate(reversed(passes), start=1):
            most = max(plan.rate, 1) + (now - then) * plan.rate / plan.period + SLACK
            audit.require(number <= most, "{} calls in {} s in {}", number, now - then, plan.stage)

    @contextmanager
    def _await(self, audit: Audit, key: int, kind: Kind, stage: int) -> Iterator[_Arrive]:
        """Count a key as waiting, from the entry until it arrives or gives up."""
        arrive = _Arrive(audit, key, self._waiting, (kind, stage))
        try:
            yield arrive
        finally:
            arrive()

    def check_quiet(self, audit: Audit, stats: PipelineStats) -> None:
        """Nobody does anything at this instant: who waits for a limit finds it reached."""
        for plan, stage in zip(self._plans(), stats.stage_stats.values(), strict=True):
            if not stage.parked_items:  # or workers without an item count as waiting, too
                self._check_workers(audit, plan, stage.workers["waiting"])
            if self._waiting["calls", plan.stage]:
                inside = self._inside[plan.stage]
                audit.require(inside == plan.calls, "a call waits in {}, {} do", plan.stage, inside)
            if self._waiting["rate", plan.stage]:
                self._check_wait_for_rate(audit, plan)

    def _check_workers(self, audit: Audit, plan: LimitPlan, waiting: int) -> None:
        """Check that so many workers wait for a call, for a retry, or for a task that is full."""
        here = [key for key, stage in audit.active.items() if stage == plan.stage]
        calls = sum(1 for key in here if audit.waiting[key])
        retries = sum(1 for stage in audit.retrying.values() if stage == plan.stage)
        audit.require(calls <= waiting, "{} call, {} wait in {}", calls, waiting, plan.stage)
        if waiting > calls + retries and self._scenario.is_prompt:
            inside = self._in_task[plan.stage, plan.task]
            audit.require(inside == plan.places, "waits in {}, with {} in", plan.stage, inside)

    def _check_wait_for_rate(self, audit: Audit, plan: LimitPlan) -> None:
        assert plan.rate is not None
        level = self._level(plan, asyncio.get_running_loop().time())
        is_full = level + 1 + SLACK > max(plan.rate, 1)
        audit.require(is_full, "a call waits in {}, at {}", plan.stage, level)

    def _level(self, plan: LimitPlan, now: float) -> float:
        """How many calls the bucket of a stage holds, which leak out of it with time."""
        assert plan.rate is not None
        level, then = self._levels[plan.stage]
        return max(level - (now - then) * plan.rate / plan.period, 0.0)

    def _plans(self) -> list[LimitPlan]:
        return [self._scenario.limits_of(stage) for stage in range(len(self._scenario.stages))]


class _Arrive:
    """Ends a wait, the first time that it is called; tells whether shutdown began meanwhile."""

    def __init__(
        self,
        audit: Audit,
        key: int,
        waiting: Counter[tuple[Kind, int]],
        place: tuple[Kind, int],
    ) -> None:
        self._audit, self._key = audit, key
        self._waiting, self._place = waiting, place
        self._is_over = False
        self._is_late = audit.stops
        audit.waiting[key] += 1
        waiting[place] += 1

    def __call__(self) -> bool:
        if not self._is_over:
            self._is_over = True
            self._audit.waiting[self._key] -= 1
            self._waiting[self._place] -= 1
        return self._audit.stops and not self._is_late


async def call(
    book: LimitBook,
    audit: Audit,
    key: int,
    plan: LimitPlan,
    failure: BaseException | None,
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
) -> None:
    """Call under the limits of a stage, perhaps twice at once; fail inside if there is a reason."""
    if plan.calls is None and plan.rate is None:
        if failure is not None:
            raise failure
        return
    if not plan.fan:
        await _call_once(book, audit, key, plan, failure)
    elif plan.fan == "group":
        await _call_in_group(book, audit, key, plan, failure)
    else:
        calls = [spawn(_call_once(book, audit, key, plan, None)) for _ in range(FAN)]
        for error in await asyncio.gather(*calls, return_exceptions=plan.fan == "gather"):
            if error is not None:
                raise error
        if failure is not None:
            raise failure


async def _call_in_group(
    book: LimitBook, audit: Audit, key: int, plan: LimitPlan, failure: BaseException | None
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_call_once(book, audit, key, plan, failure))
            for _ in range(FAN - 1):
                group.create_task(_call_once(book, audit, key, plan, None))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _call_once(
    book: LimitBook, audit: Audit, key: int, plan: LimitPlan, failure: BaseException | None
) -> None:
    async with book.called(audit, key, plan):
        if plan.hold:
            await asyncio.sleep(plan.hold)
        if failure is not None:
            raise failure
