"""The model of `Stage(limits=)`: how much starts within any time, how much runs, what may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from antflow import Adaptive, Limit, Pipeline, PipelineStats, RetryAfter, Stage, StageStats
from antflow._limits import window

from .audit import Audit
from .policies import OWN_CANCELLATION
from .prompt_starts import PromptStarts
from .scenarios import PAUSE_SECONDS, RivalPlan, Scenario, StageLimitPlan, Trouble

ROUNDING = 1e-9
CATCH_UP_SECONDS = 0.01
"""Seconds by which a start that waited for the spacing may be late without a loss of rate."""

RIVAL_KEYS = 5_000
RIVAL = "rival"
Place = tuple[int, int | None]
"""The number of a limit, and a key."""


@dataclass(eq=False)
class Units:
    """Units that started at one time."""

    at: float
    units: float


@dataclass(eq=False)
class Gauge:
    """What is in use of one limit for one key.

    `caught_up` is the latest time at which the spacing may have caught up, `lenient` the earliest.
    """

    log: list[Units] = field(default_factory=list)
    inside: dict[int, int] = field(default_factory=dict)
    caught_up: float = -inf
    lenient: float = -inf
    paused_until: float = -inf
    allowed: int = 0
    successes: int = 0
    generation: int = 0
    has_started: bool = False

    def overload(self, minimum: int, generation: int | None) -> None:
        """Halve what is allowed, if the generation is the present one."""
        is_present = self.has_started if generation is None else generation == self.generation
        if is_present:
            self.allowed = max(minimum, self.allowed // 2)
            self.generation += 1
            self.successes, self.has_started = 0, False

    def succeed(self, maximum: int) -> None:
        """Allow one more after as many successes as are allowed at once."""
        self.successes += 1
        if self.successes >= self.allowed:
            self.allowed, self.successes = min(self.allowed + 1, maximum), 0


class StageLimitBook:
    """What has started under each limit, over all runs, and what is in use of it.

    Where observers or callbacks hold items up, the time of a start and of a release is not known:
    then it `is_exact` no more, and only what cannot depend on that is checked.
    """

    audit: Audit

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._plans = scenario.stage_limits
        self.limits = [_limit(number, plan) for number, plan in enumerate(self._plans)]
        self._gauges: dict[Place, Gauge] = {}
        self._units: dict[tuple[int, int], list[Units]] = {}
        self._all_paused_until = [_now() + plan.paused for plan in self._plans]
        for limit, plan in zip(self.limits, self._plans, strict=True):
            limit.pause(plan.paused)
        self._resuming: set[int] = set()
        has_slow_skip_if = scenario.has("skip", "skip raises") and any(
            plan.callbacks for plan in scenario.stages
        )
        self._is_timed = scenario.is_ordered and not has_slow_skip_if
        self._is_exact = self._is_timed and not any(
            plan.callbacks.startswith("async") or plan.policy.item_timeout is not None
            for plan in scenario.stages
        )
        self.is_rival_running = False
        self._rival: Pipeline | None = None
        self._slack = 300 * scenario.tick + ROUNDING
        self._prompt_starts = PromptStarts(self._slack)

    def of(self, stage: int) -> list[Limit]:
        """Return the limits of a stage."""
        return [self.limits[number] for number in self._scenario.stage_limits_of(stage)]

    # What tasks do

    def begin(self, key: int, stage: int, task: int) -> None:
        """A task begins with a key; it takes the limits unless it follows another task."""
        is_start = task == 0 or key in self._resuming
        self._resuming.discard(key)
        if is_start and self._is_timed and key in self.audit.entries:
            priority = self.audit.entries[key].priority
            starts = self._prompt_starts.check_start(self.audit.pipeline, stage, priority)
            self.audit.complain_of(starts)
        self._begin(key, self._scenario.stage_limits_of(stage), is_start=is_start)

    def _begin(self, key: int, numbers: Iterable[int], *, is_start: bool = True) -> None:
        now = _now()
        for number, gauge in self._gauges_of(key, numbers):
            plan = self._plans[number]
            if is_start:
                self._check_start(key, number, gauge, now)
                self._start(key, number, gauge, now)
            gauge.inside[key] = gauge.generation
            running, most = len(gauge.inside), plan.concurrency
            if plan.adaptive_to is not None and most is not None:
                most = max(most, plan.adaptive_to)
            is_right = most is None or running <= most
            self.audit.require(is_right, "{} run under limit {} of {}", running, number, most)

    def _check_start(self, key: int, number: int, gauge: Gauge, now: float) -> None:
        plan, require = self._plans[number], self.audit.require
        allowed = gauge.allowed if self._is_exact and plan.concurrency else inf
        require(len(gauge.inside) < allowed, "{} exceeds {} under limit {}", key, allowed, number)
        if not self._is_timed:
            return
        pause = max(gauge.paused_until, self._all_paused_until[number])
        require(now >= pause - self._slack, "{} begins in a pause until {}", key, pause)
        if plan.rate is None:
            return
        units, burst = plan.cost(key), plan.burst or 1
        used = units + sum(e.units for e in gauge.log if e.at + plan.per > now + self._slack)
        is_right = used <= plan.rate * (1 + ROUNDING)
        require(is_right, "{} units start within {} s under limit {}", used, plan.per, number)
        spaced = gauge.lenient - max(0.0, burst - units) * plan.per / plan.rate
        is_right = now >= spaced - self._slack - ROUNDING
        require(is_right, "{} begins before {} under limit {}", key, spaced, number)

    def _start(self, key: int, number: int, gauge: Gauge, now: float) -> None:
        plan = self._plans[number]
        gauge.has_started = True
        if plan.rate is not None:
            units = Units(now, plan.cost(key))
            self._units[key, number] = [units]
            gauge.log.append(units)
            span = units.units * plan.per / plan.rate
            gauge.caught_up = max(gauge.caught_up, now) + span
            gauge.lenient = max(gauge.lenient, now - CATCH_UP_SECONDS) + span

    def end(self, key: int, stage: int) -> None:
        """A task ends with a key, returning or raising."""
        self._end(key, self._scenario.stage_limits_of(stage))

    def _end(self, key: int, numbers: Iterable[int]) -> None:
        for _, gauge in self._gauges_of(key, numbers):
            gauge.inside.pop(key, None)

    def fails(self, key: int, stage: int, error: BaseException) -> None:
        """A task raises."""
        self._resuming.add(key)
        numbers = self._scenario.stage_limits_of(stage)
        is_timeout = isinstance(error, asyncio.CancelledError) and error.args != (OWN_CANCELLATION,)
        if is_timeout and self.audit.interrupted:  # by a time limit, or by the interruption
            self._is_exact, is_timeout = False, False
        if not (is_timeout or isinstance(error, TimeoutError | RetryAfter)):
            return
        for number, gauge in self._gauges_of(key, numbers):
            minimum = self._plans[number].concurrency or 0
            gauge.overload(minimum, gauge.inside.get(key))
            pause = getattr(error, "pause", False)
            if isinstance(error, RetryAfter) and (pause is True or pause == f"L{number}"):
                gauge.paused_until = max(gauge.paused_until, _now() + error.seconds)

    def passes(self, key: int, stage: int) -> None:
        """The last task of a stage returned."""
        self._pass(key, self._scenario.stage_limits_of(stage))

    def _pass(self, key: int, numbers: Iterable[int]) -> None:
        for number, gauge in self._gauges_of(key, numbers):
            plan = self._plans[number]
            if plan.concurrency is not None and plan.adaptive_to is not None:
                gauge.succeed(max(plan.adaptive_to, plan.concurrency))

    def act(self, trouble: Trouble) -> None:
        """Pause or correct the limits of a task's stage, from inside of the task."""
        key, now = trouble.key, _now()
        for number in self._scenario.stage_limits_of(trouble.stage):
            plan, limit = self._plans[number], self.limits[number]
            gauge = self._gauge(number, plan.key(key))
            if trouble.kind == "pause":
                limit.pause(PAUSE_SECONDS)
                until = now + PAUSE_SECONDS
                self._all_paused_until[number] = max(self._all_paused_until[number], until)
                for place, each in self._gauges.items():
                    if place[0] == number:
                        each.overload(plan.concurrency or 0, None)
            elif trouble.kind == "pause key":
                if plan.keys and gauge is not None:
                    limit.pause(PAUSE_SECONDS, key=plan.key(key))
                    gauge.paused_until = max(gauge.paused_until, now + PAUSE_SECONDS)
                    gauge.overload(plan.concurrency or 0, None)
            elif plan.rate is not None:
                units = plan.cost(key) + 2 if trouble.kind == "correct up" else 0.0
                limit.correct(units)
                if gauge is not None:
                    self._correct(key, number, gauge, units)

    def _correct(self, key: int, number: int, gauge: Gauge, units: float) -> None:
        plan, parts, now = self._plans[number], self._units[key, number], _now()
        assert plan.rate is not None
        change = units - sum(part.units for part in parts)
        if change > 0:
            parts.append(Units(now, change))
            gauge.log.append(parts[-1])
            gauge.caught_up = max(gauge.caught_up, now)
            gauge.lenient = max(gauge.lenient, now)
        elif change < 0:
            change = -self._give_back(parts, -change, now - plan.per)
        gauge.caught_up += change * plan.per / plan.rate
        gauge.lenient += change * plan.per / plan.rate

    @staticmethod
    def _give_back(parts: list[Units], units: float, since: float) -> float:
        """Take back units, the latest first, of those that count; return how many."""
        left = units
        for part in reversed(parts):
            given = min(left, part.units)
            part.units, left = part.units - given, left - given * (part.at > since)
        return units - left

    # The other pipeline

    async def run_rival(self, plan: RivalPlan) -> None:
        """Run a pipeline that shares limits with the one of the trial."""
        numbers = [n for n, each in enumerate(self._plans) if each.rivals and each.bounds]

        async def work(key: int) -> int:
            self._begin(key, numbers)
            try:
                if plan.duration:
                    await asyncio.sleep(max(0.0, plan.duration))
            finally:
                self._end(key, numbers)
            self._pass(key, numbers)
            return key

        limits = [self.limits[number] for number in numbers]
        stage = Stage(RIVAL, plan.workers, [work], limits=limits)
        pipeline, keys = Pipeline([stage], name=RIVAL), range(RIVAL_KEYS, RIVAL_KEYS + plan.items)
        self._rival = pipeline
        for _ in range(plan.runs):
            await asyncio.sleep(plan.pause)
            self.is_rival_running = True
            await pipeline.start()
            await pipeline.feed(keys)
            await pipeline.join()
            self.is_rival_running = False
            found = sorted(result.value for result in pipeline.results)
            self.audit.require(found == list(keys), "the rival returned {}", found)

    # What must hold

    def check_prompt_starts(self) -> None:
        """Nothing moves: no worker is idle beside an item that may start."""
        pipelines = [self.audit.pipeline] + ([] if self._rival is None else [self._rival])
        self.audit.complain_of(self._prompt_starts.check_quiet(pipelines))

    def check_quiet(self, stats: PipelineStats) -> None:
        """Nothing moves: what is in use is counted, and what waits has a reason."""
        require = self.audit.require
        for number, (limit, plan) in enumerate(zip(self.limits, self._plans, strict=True)):
            found, inside = limit.stats(), self._inside(number)
            is_right = found.in_use == inside if self._is_exact else found.in_use >= inside
            require(is_right, "{} run, but in limit {}: {}", inside, number, found)
            waiting = sum(stage.limits[f"L{number}"].waiting for stage in _with(stats, number))
            is_right = found.waiting >= waiting if plan.rivals else found.waiting == waiting
            require(is_right, "{} wait in stages, but in limit {}: {}", waiting, number, found)
            if self._is_exact and plan.adaptive_to and plan.concurrency and not plan.keys:
                allowed = self._place(number, 0).allowed
                is_right = found.concurrency == allowed
                require(is_right, "limit {} allows {}, not {}", number, found.concurrency, allowed)
        for stage, each in enumerate(stats.stage_stats.values()):
            if each.limits:
                self._check_quiet_stage(stage, each)

    def _check_quiet_stage(self, stage: int, stats: StageStats) -> None:
        if any(found.waiting for found in stats.limits.values()):
            is_right = not stats.workers["idle"]
            self.audit.require(is_right, "items wait for limits, but workers are idle: {}", stats)
        plan = self._scenario.stages[stage]
        if not self._is_exact or self._scenario.tick >= 1e-3:
            return
        if self.audit.free_workers(plan, stats):
            are_full = stats.parked_items >= self.audit.most_parked(stage)
            self._check_reasons(stage, are_full)

    def _check_reasons(self, stage: int, are_lines_full: bool) -> None:
        """Workers are free: each item that surely waits does so for a limit, or behind one."""
        numbers, blocked = self._scenario.stage_limits_of(stage), set[Place]()
        waiting = self.audit.waiting_in(stage)
        has_reason: list[bool] = []
        retried = [key for key, at in self.audit.retrying.items() if at == stage]
        unkeyed = [n for n in numbers if not self._plans[n].keys]
        if any(
            self._is_blocked(key, (n, self._plans[n].key(key))) for key in retried for n in unkeyed
        ):
            return  # if it is due, it is the first, and holds up the stage
        for key in waiting:
            places = [(n, self._plans[n].key(key)) for n in numbers]
            full = [place for place in places if self._is_blocked(key, place)]
            if any(not self._plans[number].keys for number, _ in full):
                return  # this holds up the stage
            blocked.update(full)
            has_reason.append(bool(full))
        if are_lines_full:
            return  # the first of those that wait for their keys may hold up the others
        for key, has in zip(waiting, has_reason, strict=True):
            places = [(n, self._plans[n].key(key)) for n in numbers]
            is_right = has or any(place in blocked for place in places)
            self.audit.require(is_right, "{} waits in {}, and no limit holds it up", key, stage)

    def _is_blocked(self, key: int, place: Place) -> bool:
        """Return whether a limit may hold up a key now."""
        number, at = place
        if at is None:
            return False
        plan, gauge, now = self._plans[number], self._place(*place), _now() - self._slack
        if max(gauge.paused_until, self._all_paused_until[number]) > now:
            return True
        if plan.concurrency is not None and len(gauge.inside) >= gauge.allowed:
            return True
        if plan.concurrency and plan.adaptive_to and plan.keys:
            return True  # a key may have been forgotten, and begins with the minimum
        if plan.rate is None:
            return False
        is_shared = plan.rivals or len(plan.stages) > 1  # an item that costs more may go first
        units = min(plan.costs, plan.rate) if is_shared else plan.cost(key)
        spaced = gauge.caught_up - max(0.0, (plan.burst or 1) - units) * plan.per / plan.rate
        per = plan.per * (1 + window.MERGED_SHARE)
        used = units + sum(entry.units for entry in gauge.log if entry.at + per > now)
        return spaced > now or used > plan.rate * (1 + ROUNDING)

    def check_end(self, stats: PipelineStats) -> None:
        """The run is over: it holds nothing, and nothing waits."""
        for name, stage in stats.stage_stats.items():
            for limit, found in stage.limits.items():
                is_right = found.in_use == found.waiting == 0
                self.audit.require(is_right, "at the end {} of {}: {}", limit, name, found)

    def check_all_released(self) -> list[str]:
        """Both pipelines are over: return what is wrong with the limits."""
        found = [limit.stats() for limit in self.limits]
        return [f"at the end {each}" for each in found if each.in_use or each.waiting]

    def _inside(self, number: int) -> int:
        return sum(len(gauge.inside) for place, gauge in self._gauges.items() if place[0] == number)

    def _gauges_of(self, key: int, numbers: Iterable[int]) -> list[tuple[int, Gauge]]:
        found = [(number, self._gauge(number, self._plans[number].key(key))) for number in numbers]
        return [(number, gauge) for number, gauge in found if gauge is not None]

    def _gauge(self, number: int, key: int | None) -> Gauge | None:
        return None if key is None else self._place(number, key)

    def _place(self, number: int, key: int | None) -> Gauge:
        allowed = self._plans[number].concurrency or 0
        return self._gauges.setdefault((number, key), Gauge(allowed=allowed))


def _limit(number: int, plan: StageLimitPlan) -> Limit:
    """Return a new limit; one that bounds nothing is not used."""
    concurrency: int | Adaptive | None = plan.concurrency
    if plan.concurrency is not None and plan.adaptive_to is not None:
        concurrency = Adaptive(plan.concurrency, max(plan.concurrency, plan.adaptive_to))
    has_rate = plan.rate is not None
    return Limit(
        rate=plan.rate,
        per=plan.per,
        burst=plan.burst if has_rate else None,
        concurrency=concurrency if plan.bounds else 1,
        key=plan.key if plan.keys else None,
        cost=plan.cost if has_rate and plan.costs > 1 else None,
        name=f"L{number}",
    )


def _with(stats: PipelineStats, number: int) -> list[StageStats]:
    return [stage for stage in stats.stage_stats.values() if f"L{number}" in stage.limits]


def _now() -> float:
    return asyncio.get_running_loop().time()
