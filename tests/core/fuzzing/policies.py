"""The model of retry policies and time limits: what may follow each attempt, and when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from antflow import (
    AttemptTimeoutError,
    GiveUp,
    ItemTimeoutError,
    PipelineResult,
    RetryAfter,
    StageStats,
)

from .scenarios import Scenario, StagePlan

if TYPE_CHECKING:
    from .audit import Audit

OWN_CANCELLATION = "a task's own"
SLACK_TICKS = 1000


class Verdict(NamedTuple):
    """What may follow an attempt that raised: another one after some seconds, or a failure."""

    stage: int
    at: float
    may_retry: bool
    may_fail: bool
    least: float = 0.0
    most: float = 0.0

    @property
    def is_retried(self) -> bool:
        """Whether another attempt surely follows."""
        return self.may_retry and not self.may_fail


class PolicyBook:
    """When attempts began and ended, and what may follow them; `verdicts` has the latest by key.

    What is held up by observers or limits before it begins is taken at a time that is not known:
    then the model's times are too late, and its limits are too generous.
    """

    def __init__(self, audit: Audit, scenario: Scenario) -> None:
        self.verdicts: dict[int, Verdict] = {}
        self._audit = audit
        self._scenario = scenario
        self._slack = SLACK_TICKS * scenario.tick + 1e-6
        self._is_exact = scenario.is_ordered
        self._first_begun: dict[tuple[int, int, int], float] = {}
        self._began: dict[int, float] = {}
        self._seen: dict[tuple[int, int], float] = {}
        self._give_ups: Counter[int] = Counter()
        self._timed_out: Counter[int] = Counter()

    def seen(self, key: int, stage: int) -> float:
        """Note that a stage has a key, and return since when."""
        return self._seen.setdefault((key, stage), _now())

    def begin(self, key: int, stage: int, task: int) -> None:
        """An attempt begins: it may, and neither too early nor too late."""
        now, plan, require = _now(), self._scenario.stages[stage], self._audit.require
        verdict = self.verdicts.pop(key, None)
        if verdict is not None and verdict.stage == stage:
            require(verdict.may_retry, "{} is tried again in spite of {}", key, verdict)
            is_due = now >= verdict.at + verdict.least - self._slack
            require(is_due, "{} is tried again before its time: {}", key, verdict)
        self._began[key] = now
        self._first_begun.setdefault((key, stage, 0 if plan.per_stage else task), now)
        since, seconds = self.seen(key, stage), plan.policy.item_timeout
        is_in_time = seconds is None or now <= since + seconds + self._slack
        require(is_in_time, "{} begins in {} though it is there since {}", key, stage, since)

    def end(self, key: int, stage: int, task: int, error: BaseException) -> Verdict | None:
        """An attempt raised: return what may follow, if that is known."""
        verdict = self._judge(key, stage, task, error)
        if verdict is not None:
            self.verdicts[key] = verdict
        return verdict

    def _judge(self, key: int, stage: int, task: int, error: BaseException) -> Verdict | None:
        plan, now = self._scenario.stages[stage], _now()
        failure = Verdict(stage, now, may_retry=False, may_fail=True)
        if isinstance(error, GiveUp):
            self._give_ups[stage] += 1
            return failure
        is_cancelled = isinstance(error, asyncio.CancelledError)
        if is_cancelled and error.args != (OWN_CANCELLATION,):
            limits = self._limits_reached(key, stage, plan)
            if self._audit.interrupted or key in self._audit.cancelled:
                return None
            self._audit.require(bool(limits), "{} is cancelled in {} of {}", key, task, stage)
            self._timed_out[stage] += 1
            is_repeated, may_fail = "task" in limits, "item" in limits
        else:
            is_repeated, may_fail = isinstance(error, Exception), False
        is_repeated &= isinstance(error, RetryAfter) or plan.policy.repeats(_kind(error))
        attempt = self._audit.attempt(key, stage, task)
        if attempt >= plan.attempts or not is_repeated:
            return failure
        waits = plan.waits(attempt)
        if isinstance(error, RetryAfter):
            waits = (error.seconds, error.seconds)
        return self._in_time(key, stage, task, Verdict(stage, now, True, may_fail, *waits))

    def _in_time(self, key: int, stage: int, task: int, verdict: Verdict) -> Verdict:
        """Return what may follow an attempt, given how much time is left for another."""
        plan, now = self._scenario.stages[stage], verdict.at
        _, _, may_retry, may_fail, least, most = verdict
        if plan.policy.timeout is not None:
            begun = self._first_begun[key, stage, 0 if plan.per_stage else task]
            left = plan.policy.timeout - (now - begun)
            may_retry = least <= left + self._slack
            may_fail |= most >= left - self._slack or (plan.per_stage and not self._is_exact)
        if plan.policy.item_timeout is not None:
            left = self.seen(key, stage) + plan.policy.item_timeout - now
            may_retry &= least <= left + self._slack
            may_fail = True  # when no worker was free in time, too
        return verdict._replace(may_retry=may_retry, may_fail=may_fail or not may_retry)

    def _limits_reached(self, key: int, stage: int, plan: StagePlan) -> set[str]:
        """Return which time limits an attempt may have reached that is cancelled now."""
        now, policy, reached = _now(), plan.policy, set()
        if policy.task_timeout is not None:
            took = now - self._began[key]
            if took >= policy.task_timeout - self._slack:
                reached.add("task")
        if policy.item_timeout is not None:
            took = now - self.seen(key, stage)
            if took >= policy.item_timeout - self._slack or not self._is_exact:
                reached.add("item")
        return reached

    def check_time(self, key: int, stage: int, *, resists: bool) -> None:
        """An attempt ends, returning or raising: it took no longer than it may."""
        policy, now = self._scenario.stages[stage].policy, _now()
        if resists or self._scenario.tick >= 1e-3:
            return
        for since, seconds in (
            (self._began[key], policy.task_timeout),
            (self.seen(key, stage), policy.item_timeout),
        ):
            is_in_time = seconds is None or now - since <= seconds + self._slack
            self._audit.require(is_in_time, "{} ends in {}, began at {}", key, stage, since)

    # What must hold

    def check_parked(self, number: int, parked: int) -> None:
        """Nothing moves: what waits for its time is parked, and nothing is for longer."""
        if not self._is_exact:
            return
        now = _now()
        has_fewer = self._scenario.stages[number].pull and self._scenario.resizes
        # Once it is due: for a limit, or for one of the workers that a pull stage has left.
        may_wait = bool(self._scenario.stage_limits_of(number) or has_fewer)
        here = [verdict for verdict in self.verdicts.values() if verdict.stage == number]
        doomed = [self.verdicts.get(key) for key in self._audit.doomed]
        least = sum(
            v.is_retried and v.at + v.least > now + self._slack and v not in doomed for v in here
        )
        most = sum(v.may_retry and v.at + v.most >= now - self._slack for v in here)
        is_right = least <= parked and (parked <= most or may_wait)
        self._audit.require(is_right, "{} parked in {}, not {} to {}", parked, number, least, most)

    def check_failure(self, result: PipelineResult, stage: int) -> None:
        """An item failed: its last attempt allowed that, and its error says what happened."""
        error, require = result.error, self._audit.require
        policy = self._scenario.stages[stage].policy
        is_late = isinstance(error, ItemTimeoutError)
        is_right = policy.item_timeout is not None or not is_late
        is_right &= policy.task_timeout is not None or not isinstance(error, AttemptTimeoutError)
        is_right &= not isinstance(error, GiveUp)
        is_right &= not isinstance(error, RetryAfter) or error.cause is None
        require(is_right, "{} failed with {!r}", result, error)
        verdict = self.verdicts.get(result.value)
        if verdict is not None and verdict.stage == stage:
            require(verdict.may_fail, "{} failed in spite of {}", result, verdict)
        elif not (self._audit.interrupted or result.value in self._audit.cancelled):
            require(is_late, "{} failed, but no attempt did", result)

    def check_statistics(
        self, number: int, stats: StageStats, failures: Iterable[PipelineResult]
    ) -> None:
        """The run is over: timeouts and give-ups were counted."""
        require, found = self._audit.require, (stats.timeouts, stats.give_ups)
        late = [f.error for f in failures if isinstance(f.error, ItemTimeoutError)]
        # Those with a traceback ended an attempt, which is counted already.
        uncounted = sum(error.__traceback__ is None for error in late if error is not None)
        timeouts = self._timed_out[number] + uncounted
        require(stats.give_ups == self._give_ups[number], "wrong give-ups in {}: {}", number, found)
        is_vague = self._audit.interrupted or bool(self._audit.cancelled)
        is_right = is_vague or stats.timeouts == timeouts
        require(is_right, "{} timeouts in {}: {}", timeouts, number, found)


def _kind(error: BaseException) -> Literal["task", "final", "timeout"]:
    if isinstance(error, asyncio.CancelledError):
        return "timeout"
    return "final" if type(error).__name__ == "FinalError" else "task"


def _now() -> float:
    return asyncio.get_running_loop().time()
