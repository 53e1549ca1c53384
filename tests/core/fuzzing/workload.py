"""The pipeline of a trial: what its tasks, predicates and callbacks do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from antflow import Backoff, GiveUp, RetryAfter, Stage, current_item, set_task_status

from .attempts import present_worker
from .audit import Audit
from .policies import OWN_CANCELLATION
from .scenarios import (
    GROWTH_SECONDS,
    LIMIT_CALLS,
    MAX_WAIT_SECONDS,
    PAUSE_SECONDS,
    RETRY_AFTER_SECONDS,
    RETRY_SECONDS,
    PolicyPlan,
    Scenario,
    StagePlan,
    Trouble,
    TroubleKind,
)
from .users import Users
from .world import (
    CALLBACK_SECONDS,
    HANG_SECONDS,
    LONG_SECONDS,
    STUBBORN_SECONDS,
    SUICIDE_SECONDS,
    Fatal,
    FinalError,
    TaskError,
    World,
    pause,
)

RESISTING = ("swallow", "convert", "stubborn", "feed", "misuse")
"""Troubles with which an attempt may take longer than its time; observers are called in a feed."""


class Workload:
    """Makes the stages of a scenario."""

    def __init__(self, world: World, users: Users) -> None:
        self._world = world
        self._users = users
        self._scenario = world.scenario

    @property
    def _audit(self) -> Audit:
        return self._world.audit

    def stages(self) -> list[Stage]:
        """Make all stages."""
        return [self._stage(number, plan) for number, plan in enumerate(self._scenario.stages)]

    def _stage(self, number: int, plan: StagePlan) -> Stage:
        callbacks = plan.callbacks
        skips = self._skips(number)
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
            skip_if=self._skip_if(number) if skips else None,
            on_success=self._callback("success", number) if callbacks else None,
            on_failure=self._callback("failure", number) if callbacks else None,
            on_skip=self._callback("skip", number) if callbacks else None,
            limits=self._world.stage_limits.of(number),
            **self._limits(number, len(plan.durations)),
            **_policy(plan.policy),
        )

    def _limits(self, number: int, tasks: int) -> dict[str, Any]:
        plan = self._scenario.limits_of(number)
        is_limited = plan.tasks is not None and plan.task < tasks
        return {
            "task_concurrency_limits": {f"task{plan.task}": plan.tasks} if is_limited else {},
            "call_concurrency": plan.calls,
            "call_rate": plan.rate,
            "call_rate_period": plan.period,
        }

    def _task(self, stage: int, task: int) -> Callable[[int], Awaitable[int]]:
        is_taken_by_skip_if = self._skips(stage)

        async def work(key: int) -> int:
            attempts, error = self._world.watch.attempts, None
            attempt = attempts.enter((key, stage, task))
            if task == 0 and not is_taken_by_skip_if:
                self._audit.take(key, stage)
            call = self._audit.begin(key, stage, task, is_late=attempt.is_late)
            self._world.stage_limits.begin(key, stage, task)
            troubles = [t for t in self._scenario.trouble(key, stage, task) if call <= t.times]
            try:
                with self._world.limits.in_task(stage, task):
                    await self._work(key, stage, task, troubles)
            except BaseException as raised:
                error = raised
                self._audit.fails(key, stage, task, raised)
                self._world.stage_limits.fails(key, stage, raised)
                raise
            finally:
                resists = any(t.kind in RESISTING for t in troubles)
                self._audit.policies.check_time(key, stage, resists=resists)
                self._audit.end(key)
                self._world.stage_limits.end(key, stage)
                attempts.leave(attempt, error)
                error = None
            self._audit.passed(key, stage, task)
            if task == last:
                self._world.stage_limits.passes(key, stage)
            if task == last and not self._world.calls_back_later(stage):
                self._audit.arrives(key, stage + 1)
            return key

        last = len(self._scenario.stages[stage].durations) - 1
        work.__name__ = f"task{task}"
        return work

    def _skips(self, stage: int) -> bool:
        return any(
            trouble.stage == stage and trouble.kind in ("skip", "skip raises")
            for trouble in self._scenario.troubles
        )

    async def _work(self, key: int, stage: int, task: int, troubles: list[Trouble]) -> None:
        durations = self._scenario.stages[stage].durations[task]
        kinds = {trouble.kind for trouble in troubles}
        is_timed = self._scenario.stages[stage].policy.is_timed
        try:
            if self._scenario.asks:
                self._ask(key, stage, task)
            with resisting(kinds), self._striking(kinds, stage):
                await pause(HANG_SECONDS if kinds & {"hang", "strike"} else 0.0)
                await pause(durations[key % len(durations)] if durations else 0.0)
                # What fails first of all fails inside of a call.
                is_failing = bool(troubles) and troubles[0].kind == "fail"
                failure = TaskError(troubles[0]) if is_failing else None
                await self._world.limits.call(key, stage, failure, self._users.spawn)
            is_vague = is_timed and "swallow" in kinds
            for trouble in troubles:
                if trouble.kind in LIMIT_CALLS:
                    self._world.stage_limits.act(trouble)
                elif trouble.kind != "cancelled" or not is_vague:  # or it looks like a timeout
                    await self._make(trouble)
        finally:
            is_decided = is_timed and kinds & {"fatal", "suicide"}  # or a time limit may hide that
            if "stubborn" in kinds and not is_decided:
                await asyncio.sleep(STUBBORN_SECONDS)

    def _ask(self, key: int, stage: int, task: int) -> None:
        """Ask what a task may ask about itself, and say what it does."""
        audit, item = self._audit, current_item()
        name, number = present_worker(), audit.attempt(key, stage, task)
        if item is None:
            audit.complain(f"there is no item in task {task} of {stage}")
            return
        text = f"at {key}"
        said = set_task_status(text), set_task_status("too early", min_interval=LONG_SECONDS)
        audit.require(said == (True, False), "saying something returned {}", said)
        state = self._world.pipeline.get_worker_states()[name]
        seen = (item.stage, item.attempt, item.priority, state.current_item_id, state.current_task)
        entry = audit.entries[key]
        right = (f"S{stage}", number, entry.priority, item.id, text)
        audit.require(seen == right, "{} is seen in a task, not {}", seen, right)
        audit.require(
            (state.status, state.task_name, state.attempt) == ("busy", f"task{task}", number),
            "{} is seen in {}",
            state,
            (key, stage, task),
        )
        passed = {
            f"S{at}" for at in range(entry.stage, stage) if not self._scenario.is_skipped(key, at)
        }
        audit.require(passed <= item.carrier.keys(), "{} carries {}", key, item.carrier)
        item.carrier[f"S{stage}"] = "seen"

    async def _make(self, trouble: Trouble) -> None:
        match trouble.kind:
            case "fail":
                raise TaskError(trouble)
            case "timeout":
                cancel_current_task()
                with resisting({"convert"}):
                    await asyncio.sleep(0)
            case "cancelled":
                raise asyncio.CancelledError(OWN_CANCELLATION)
            case "final" | "retry after" | "retry after pause" | "give up":
                raise decisive_error(self._scenario, trouble)
            case "fatal":
                self._audit.causes.add("fatal")
                self._world.fatal.append(Fatal(trouble))
                raise self._world.fatal[-1]
            case "suicide":
                self._audit.causes.add("suicide")
                cancel_current_task()
                await asyncio.sleep(SUICIDE_SECONDS)
            case "late suicide":
                self._audit.causes.add("late suicide")
                cancel_current_task()
            case "feed":
                await self._users.feed_children(trouble.target)
            case "misuse":
                await self._users.misuse()

    @contextmanager
    def _striking(self, kinds: set[TroubleKind], stage: int) -> Iterator[None]:
        """Have the worker cancelled from outside at the moment of a time limit."""
        policy, audit = self._scenario.stages[stage].policy, self._audit
        seconds = policy.task_timeout or policy.item_timeout
        if "strike" not in kinds or seconds is None:
            yield
            return
        task = asyncio.current_task()
        assert task is not None

        def strike() -> None:
            audit.causes.add("late suicide")
            task.cancel()

        timer = asyncio.get_running_loop().call_later(seconds, strike)
        try:
            yield
        finally:
            timer.cancel()

    def _skip_if(self, stage: int) -> Callable[[int], Any]:
        def is_skipped(key: int) -> bool:
            self._audit.take(key, stage)
            return judge(key)

        async def is_skipped_later(key: int) -> bool:
            self._audit.take(key, stage)
            await asyncio.sleep(0)
            return judge(key)

        def judge(key: int) -> bool:
            for trouble in self._scenario.troubles:
                if trouble.kind == "skip raises" and (trouble.key, trouble.stage) == (key, stage):
                    raise TaskError(trouble)
            skipped = self._scenario.is_skipped(key, stage)
            if skipped and not self._world.calls_back_later(stage):
                self._audit.arrives(key, stage + 1)
            return skipped

        return is_skipped_later if self._scenario.stages[stage].callbacks else is_skipped

    def _callback(self, event: str, stage: int) -> Callable[[Any, Any, dict[str, Any]], Any]:
        kind = self._scenario.stages[stage].callbacks

        def called(_id: Any, _value: Any, item: dict[str, Any]) -> None:
            self._audit.callbacks[event, item["value"], stage] += 1
            if kind == "sync raises":
                raise TaskError(event)

        async def called_later(id_: Any, value: Any, item: dict[str, Any]) -> None:
            called(id_, value, item)
            try:
                await asyncio.sleep(CALLBACK_SECONDS)
            finally:
                if event != "failure":
                    self._audit.arrives(item["value"], stage + 1)
            if kind == "async raises":
                raise TaskError(event)

        return called_later if kind.startswith("async") else called


def _policy(plan: PolicyPlan) -> dict[str, Any]:
    """Return the arguments of a stage with this policy."""
    waits: dict[str, Any] = {
        "seconds": RETRY_SECONDS,
        "backoff": Backoff(GROWTH_SECONDS, maximum=MAX_WAIT_SECONDS, jitter=False),
        "jitter": Backoff(GROWTH_SECONDS, maximum=MAX_WAIT_SECONDS),
        "function": lambda attempt, _error: GROWTH_SECONDS * attempt,
    }
    kinds = (TaskError, TimeoutError)
    on: dict[str, Any] = {
        "": Exception,
        "type": TaskError,
        "tuple": kinds,
        "function": lambda error: isinstance(error, kinds),
    }
    return {
        "retry_wait": waits.get(plan.wait),
        "retry_on": on[plan.on],
        "never_retry": FinalError if plan.never else (),
        "retry_timeout": plan.timeout,
        "max_parked": plan.max_parked,
        "task_timeout": plan.task_timeout,
        "item_timeout": plan.item_timeout,
    }


@contextmanager
def resisting(kinds: set[TroubleKind]) -> Iterator[None]:
    """Raise or return, as the troubles are, when the present task is cancelled in here."""
    try:
        yield
    except asyncio.CancelledError:
        if "convert" in kinds:
            raise TaskError("was cancelled") from None
        if "swallow" not in kinds:
            raise


def decisive_error(scenario: Scenario, trouble: Trouble) -> Exception:
    """Return an error that says by itself whether another attempt follows."""
    cause = TaskError(trouble)
    match trouble.kind:
        case "retry after":
            return RetryAfter(RETRY_AFTER_SECONDS, cause if trouble.target else None)
        case "retry after pause":
            limits = scenario.stage_limits_of(trouble.stage)
            by_name = limits and trouble.target
            return RetryAfter(PAUSE_SECONDS, pause=f"L{limits[-1]}" if by_name else True)
        case "give up":
            return GiveUp(cause)
        case _:
            return FinalError(trouble)


def cancel_current_task() -> None:
    """Cancel the current task: in a task of a stage, its worker."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
