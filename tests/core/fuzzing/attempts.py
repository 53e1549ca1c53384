"""The model of the attempts in one run: of each, what the function and the observers saw."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from math import inf

from antflow import AttemptTimeoutError, ItemTimeoutError, StatusTracker, TaskEvent

from .audit import Audit
from .scenarios import Hook, ObserverPlan, PolicyPlan, Scenario

Call = tuple[int, int, int]

EVENT_TYPES: dict[Hook, str] = {
    "task_start": "start",
    "task_success": "complete",
    "task_retry": "retry",
    "task_failure": "fail",
    "task_cancelled": "cancel",
}
TICKS_OF_A_CALL = 10


class Watcher:
    """One observer, as the model knows it: since which event it listens to which hook."""

    def __init__(self, number: int, plan: ObserverPlan) -> None:
        self.number = number
        self.plan = plan
        self.mark: ContextVar[Attempt | None] = ContextVar(f"mark of {number}", default=None)
        self.since: dict[Hook, float] = dict.fromkeys(plan.hooks, 0)
        self.tracker: StatusTracker | None = None
        self._is_whole = not any(change.hook == "item_status" for change in plan.changes)

    def __repr__(self) -> str:
        return f"observer {self.number}"

    def listens(self, hook: Hook, since: float) -> bool:
        """Whether it listens to a hook, and did at the event of that number."""
        return self.since.get(hook, inf) <= since

    def sees_each_status(self) -> bool:
        """Whether it is called for every status of every item."""
        return self._is_whole and "item_status" in self.since


@dataclass(eq=False)
class Attempt:
    """One attempt at a task: the observers called for its start and its end, in their order.

    Errors and asyncio's tasks are known by their `id`: an error would keep its frames.
    """

    call: Call
    number: int
    worker: str
    began: float
    task: int
    is_late: bool
    policy: PolicyPlan
    started: dict[Watcher, Token[Attempt | None]] = field(default_factory=dict)
    ended: dict[Watcher, Hook] = field(default_factory=dict)
    entered_at: float | None = None
    took: float | None = None
    error: int | None = None
    cause: int | None = None
    error_type: type[BaseException] | None = None

    def possible_ends(self) -> tuple[Hook, ...]:
        """Which hooks may be called for its end."""
        if self.took is None:
            is_limited = self.policy.item_timeout is not None
            return ("task_cancelled", "task_failure") if is_limited else ("task_cancelled",)
        if self.error_type is None:
            return ("task_success",)
        if issubclass(self.error_type, asyncio.CancelledError) and not self.policy.is_timed:
            return ("task_failure", "task_cancelled")
        return ("task_retry", "task_failure", "task_cancelled")


class Attempts:
    """Follows what each worker attempts; `moment` numbers the calls of observers.

    A worker that was cancelled while it called an observer is `struck`, and begins nothing more.
    """

    def __init__(self, audit: Audit, scenario: Scenario, watchers: Sequence[Watcher]) -> None:
        self.moment = 1.0
        self.struck: set[str] = set()
        self._audit = audit
        self._scenario = scenario
        self._watchers = watchers
        self._present: dict[str, Attempt] = {}

    # What observers see

    def started(self, watcher: Watcher, key: int, event: TaskEvent) -> None:
        """An observer is called for the start of an attempt."""
        self.moment += 1
        call = (key, self._audit.number(event.stage), int(event.task_name.removeprefix("task")))
        attempt = self._present.get(event.worker)
        is_over = attempt is None or attempt.entered_at is not None or attempt.ended
        if attempt is None or is_over or watcher in attempt.started:
            attempt = self._begin(call, event.worker)
        require = self._audit.require
        require(attempt.call == call, "{} is attempted: {}", attempt.call, event)
        is_ordered = all(other.number < watcher.number for other in attempt.started)
        require(is_ordered, "{} called for the start after {}", watcher, attempt.started)
        self._check(event, "task_start", attempt)
        has_rest = event.error is None and event.delay is None and event.queue_wait >= 0
        require(has_rest, "wrong start: {}", event)
        attempt.started[watcher] = watcher.mark.set(attempt)

    def ended(self, watcher: Watcher, key: int, hook: Hook, event: TaskEvent) -> None:
        """An observer is called for the end of an attempt."""
        self.moment += 1
        require = self._audit.require
        attempt = self._present.get(event.worker)
        if _is_too_late(attempt, key, event):
            task = int(event.task_name.removeprefix("task"))
            attempt = self._begin((key, self._audit.number(event.stage), task), event.worker)
        if attempt is None:
            self._audit.complain(f"nothing was attempted: {event}")
            return
        require(attempt.call[0] == key, "{} was attempted: {}", attempt.call, event)
        require(watcher not in attempt.ended, "{} called twice: {}", watcher, event)
        is_possible = hook in attempt.possible_ends() and set(attempt.ended.values()) <= {hook}
        require(is_possible, "{} ends by {}", attempt, event)
        attempt.ended[watcher] = hook
        self._check(event, hook, attempt)
        require(self._is_right_end(hook, attempt, event), "wrong {}: {}", hook, event)
        if watcher in attempt.started:
            require(watcher.mark.get() is attempt, "{} lost its mark at {}", watcher, event)
            self._reset(watcher, attempt)

    def _reset(self, watcher: Watcher, attempt: Attempt) -> None:
        try:
            watcher.mark.reset(attempt.started[watcher])
        except ValueError:
            self._audit.complain(f"{watcher} called in another context: {attempt}")

    def _check(self, event: TaskEvent, hook: Hook, attempt: Attempt) -> None:
        require = self._audit.require
        require(event.event_type == EVENT_TYPES[hook], "{} has {}", hook, event)
        require(event.attempt == attempt.number, "attempt {}: {}", attempt.number, event)
        require(id(asyncio.current_task()) == attempt.task, "in another task: {}", event)
        if attempt.took is None and hook == "task_failure":
            require(event.duration is not None, "it began, but took no time: {}", event)
        elif attempt.took is None or hook == "task_start":
            require(event.duration is None, "not called, but took time: {}", event)
        else:
            slack = TICKS_OF_A_CALL * self._scenario.tick + 1e-9
            is_right = event.duration is not None and abs(event.duration - attempt.took) <= slack
            require(is_right, "took {} s: {}", attempt.took, event)

    def _is_right_end(self, hook: Hook, attempt: Attempt, event: TaskEvent) -> bool:
        """Return whether an end of this kind has the right error and delay, and may be the last."""
        verdict = self._audit.policies.verdicts.get(attempt.call[0])
        interrupted = self._audit.interrupted or attempt.call[0] in self._audit.doomed
        if hook == "task_retry":
            is_right = event.delay is not None and self._is_error_of(attempt, event)
            if verdict is None:
                return is_right and interrupted
            slack = 1e-9
            is_timely = verdict.least - slack <= (event.delay or 0.0) <= verdict.most + slack
            return is_right and is_timely and verdict.may_retry
        if event.delay is not None:
            return False
        if hook == "task_success":
            return event.error is None
        if hook == "task_failure":
            if isinstance(event.error, ItemTimeoutError):
                return attempt.policy.item_timeout is not None
            is_final = not isinstance(event.error, Exception) or interrupted
            is_right = self._is_error_of(attempt, event)
            return is_right and (is_final or (verdict is not None and verdict.may_fail))
        # Also what might be tried again, but the run is closed.
        is_cancelled = isinstance(event.error, asyncio.CancelledError)
        return interrupted and (is_cancelled or self._is_error_of(attempt, event))

    def _is_error_of(self, attempt: Attempt, event: TaskEvent) -> bool:
        """Whether it has what the function raised: its cause if that is final, or the timeout."""
        if isinstance(event.error, AttemptTimeoutError):
            error_type = attempt.error_type
            is_cancelled = error_type is not None and issubclass(error_type, asyncio.CancelledError)
            return is_cancelled and attempt.policy.task_timeout is not None
        is_final = event.event_type == "fail" and attempt.cause is not None
        return id(event.error) == (attempt.cause if is_final else attempt.error)

    # What the function sees

    def enter(self, call: Call) -> Attempt:
        """The function of a task is called, after all observers that listen."""
        self.moment += 1
        worker = present_worker()
        attempt = self._present.get(worker)
        if attempt is None or attempt.entered_at is not None:
            attempt = self._begin(call, worker)
        require = self._audit.require
        require(attempt.call == call, "{} was announced, {} is called", attempt, call)
        require(not attempt.ended, "it has ended, and is called: {}", attempt)
        require(worker not in self.struck, "{} was cancelled, and begins {}", worker, attempt)
        self._require_started(attempt)
        unmarked = [watcher for watcher in attempt.started if watcher.mark.get() is not attempt]
        require(not unmarked, "the marks of {} are not seen in {}", unmarked, attempt)
        attempt.entered_at = _now()
        return attempt

    def strike(self, worker: str) -> None:
        """A worker is cancelled in an observer, but not by the time limit of a task that feeds."""
        attempt = self._present.get(worker)
        is_inside = attempt is not None and attempt.entered_at is not None and attempt.took is None
        if not (is_inside and attempt is not None and attempt.policy.is_timed):
            self.struck.add(worker)

    def leave(self, attempt: Attempt, error: BaseException | None) -> None:
        """The function has returned or raised."""
        assert attempt.entered_at is not None
        attempt.took = _now() - attempt.entered_at
        if error is not None:
            attempt.error, attempt.error_type = id(error), type(error)
            cause = getattr(error, "cause", None)
            attempt.cause = None if cause is None else id(cause)

    # What must have been called in the end

    def close(self, worker: str) -> None:
        """A worker is done with its attempt: all that listen have been called for its end."""
        attempt = self._present.pop(worker, None)
        if attempt is None:
            return
        if attempt.entered_at is not None and attempt.took is None:
            self._audit.complain(f"it has not ended: {attempt}")
            return
        if attempt.took is not None or attempt.started or attempt.ended:
            hooks = set(attempt.ended.values()) or attempt.possible_ends()
            missing = [
                watcher
                for watcher in self._watchers
                if watcher not in attempt.ended
                and all(watcher.listens(hook, attempt.began) for hook in hooks)
            ]
            self._audit.require(not missing, "{} missed the end of {}", missing, attempt)
        if attempt.took is None and attempt.ended:  # first the starts are called, then the ends
            self._require_started(attempt)

    def _require_started(self, attempt: Attempt) -> None:
        due = [w for w in self._watchers if w.listens("task_start", attempt.began)]
        missing = [watcher for watcher in due if watcher not in attempt.started]
        self._audit.require(not missing, "{} missed the start of {}", missing, attempt)

    def settle(self) -> None:
        """The run is over, and so is every attempt."""
        for worker in list(self._present):
            self.close(worker)

    def _begin(self, call: Call, worker: str) -> Attempt:
        self.close(worker)
        attempt = Attempt(
            call,
            self._audit.coming_attempt(*call),
            worker,
            self.moment,
            id(asyncio.current_task()),
            self._audit.stops,
            self._scenario.stages[call[1]].policy,
        )
        self._present[worker] = attempt
        return attempt


def _is_too_late(attempt: Attempt | None, key: int, event: TaskEvent) -> bool:
    """Return whether an attempt ends of which nothing was seen: its item's time was over."""
    if not isinstance(event.error, ItemTimeoutError) or event.error.__cause__ is not None:
        return False
    if attempt is None:
        return True
    seen = attempt.call[0], f"task{attempt.call[2]}", attempt.number
    return seen != (key, event.task_name, event.attempt)


def present_worker() -> str:
    """Name of the worker that runs this, or of another task."""
    task = asyncio.current_task()
    assert task is not None
    return task.get_name()


def _now() -> float:
    return asyncio.get_running_loop().time()
