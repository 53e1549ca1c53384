"""The books of the attempts in one run: of each, what the function and those who watch saw."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Protocol

from antflow import TaskEvent

from .audit import Audit
from .watched import Hook, ObserverPlan, Watched

Call = tuple[int, int, int]

EVENT_TYPES: dict[Hook, str] = {
    "task_start": "start",
    "task_success": "complete",
    "task_retry": "retry",
    "task_failure": "fail",
    "task_cancelled": "cancel",
}
TICKS_OF_A_CALL = 10


class TaskWatcher(Protocol):
    """What these books ask of an observer."""

    number: int
    plan: ObserverPlan
    mark: ContextVar[Attempt | None]

    def hears(self, hook: Hook, since: float) -> bool:
        """Whether it listens to a hook, and did at the event of that number."""


@dataclass(eq=False)
class Attempt:
    """One attempt at a task: who was told that it starts and how it ends, in their order.

    Errors and asyncio's tasks are known by their `id`: who keeps an error keeps its frames.
    """

    call: Call
    number: int
    worker: str
    began: float
    task: int
    is_late: bool
    started: dict[TaskWatcher, Token[Attempt | None]] = field(default_factory=dict)
    ended: dict[TaskWatcher, Hook] = field(default_factory=dict)
    entered_at: float | None = None
    took: float | None = None
    error: int | None = None
    error_type: type[BaseException] | None = None

    def possible_ends(self) -> tuple[Hook, ...]:
        """Which hooks may tell of its end."""
        if self.took is None:
            return ("task_cancelled",)
        if self.error_type is None:
            return ("task_success",)
        if issubclass(self.error_type, asyncio.CancelledError):
            return ("task_failure", "task_cancelled")
        return ("task_retry", "task_failure", "task_cancelled")


class Attempts:
    """Follows what each worker attempts; `moment` numbers what observers are told.

    Who was cancelled while it told an observer is `struck`, and begins nothing more.
    """

    def __init__(self, audit: Audit, scenario: Watched, watchers: Sequence[TaskWatcher]) -> None:
        self.moment = 1.0
        self.struck: set[str] = set()
        self._audit = audit
        self._scenario = scenario
        self._watchers = watchers
        self._present: dict[str, Attempt] = {}

    # What is told

    def started(self, watcher: TaskWatcher, key: int, event: TaskEvent) -> None:
        """An observer is told that an attempt starts."""
        self.moment += 1
        call = (key, self._audit.number(event.stage), int(event.task_name.removeprefix("task")))
        attempt = self._present.get(event.worker)
        if (
            attempt is None
            or attempt.entered_at is not None
            or attempt.ended
            or (watcher in attempt.started)
        ):
            attempt = self._begin(call, event.worker)
        require = self._audit.require
        require(attempt.call == call, "{} is attempted: {}", attempt.call, event)
        require(
            all(other.number < watcher.number for other in attempt.started),
            "{} told of the start after {}",
            watcher,
            attempt.started,
        )
        self._check(event, "task_start", attempt)
        has_rest = event.error is None and event.delay is None and event.queue_wait >= 0
        require(has_rest, "wrong start: {}", event)
        attempt.started[watcher] = watcher.mark.set(attempt)

    def ended(self, watcher: TaskWatcher, key: int, hook: Hook, event: TaskEvent) -> None:
        """An observer is told how an attempt has ended."""
        self.moment += 1
        require = self._audit.require
        attempt = self._present.get(event.worker)
        if attempt is None:
            self._audit.complain(f"nothing was attempted: {event}")
            return
        require(attempt.call[0] == key, "{} was attempted: {}", attempt.call, event)
        require(watcher not in attempt.ended, "{} told twice: {}", watcher, event)
        require(hook in attempt.possible_ends(), "{} ends, told as {}", attempt, event)
        require(set(attempt.ended.values()) <= {hook}, "{} ends, told as {}", attempt, event)
        attempt.ended[watcher] = hook
        self._check(event, hook, attempt)
        CHECKS[hook](self, attempt, event)
        if watcher in attempt.started:
            require(watcher.mark.get() is attempt, "{} lost its mark at {}", watcher, event)
            self._reset(watcher, attempt)

    def _reset(self, watcher: TaskWatcher, attempt: Attempt) -> None:
        try:
            watcher.mark.reset(attempt.started[watcher])
        except ValueError:
            self._audit.complain(f"{watcher} told in another context: {attempt}")

    def _check(self, event: TaskEvent, hook: Hook, attempt: Attempt) -> None:
        require = self._audit.require
        require(event.event_type == EVENT_TYPES[hook], "{} told {}", hook, event)
        require(event.attempt == attempt.number, "attempt {}: {}", attempt.number, event)
        require(id(asyncio.current_task()) == attempt.task, "told in another task: {}", event)
        if attempt.took is None or hook == "task_start":
            require(event.duration is None, "not called, but took time: {}", event)
        else:
            slack = TICKS_OF_A_CALL * self._scenario.tick + 1e-9
            is_right = event.duration is not None and abs(event.duration - attempt.took) <= slack
            require(is_right, "took {} s: {}", attempt.took, event)

    def _check_success(self, _: Attempt, event: TaskEvent) -> None:
        is_right = event.error is None and event.delay is None
        self._audit.require(is_right, "wrong success: {}", event)

    def _check_retry(self, attempt: Attempt, event: TaskEvent) -> None:
        plan = self._scenario.stages[attempt.call[1]]
        delay = 0.0 if plan.per_stage else plan.wait
        is_right = event.delay == delay and id(event.error) == attempt.error
        is_right &= isinstance(event.error, Exception) and attempt.number < plan.attempts
        self._audit.require(is_right, "wrong retry: {}", event)

    def _check_failure(self, attempt: Attempt, event: TaskEvent) -> None:
        is_right = event.delay is None and id(event.error) == attempt.error
        is_last = attempt.number == self._scenario.stages[attempt.call[1]].attempts
        is_right &= is_last or not isinstance(event.error, Exception) or self._audit.interrupted
        self._audit.require(is_right, "wrong failure: {}", event)

    def _check_cancelled(self, attempt: Attempt, event: TaskEvent) -> None:
        is_right = event.delay is None and isinstance(event.error, asyncio.CancelledError)
        if attempt.error is not None:  # it might be tried again, and the run is closed
            is_right |= event.delay is None and id(event.error) == attempt.error
        self._audit.require(is_right and self._audit.interrupted, "wrong cancellation: {}", event)

    # What the function sees

    def enter(self, call: Call) -> Attempt:
        """The function of a task is called: all who listen have been told."""
        self.moment += 1
        worker = present_worker()
        attempt = self._present.get(worker)
        if attempt is None or attempt.entered_at is not None:
            attempt = self._begin(call, worker)
        require = self._audit.require
        require(attempt.call == call, "{} was told, {} is called", attempt, call)
        require(not attempt.ended, "it was told as ended, and is called: {}", attempt)
        require(worker not in self.struck, "{} was cancelled, and begins {}", worker, attempt)
        due = [w for w in self._watchers if w.hears("task_start", attempt.began)]
        missing = [watcher for watcher in due if watcher not in attempt.started]
        require(not missing, "{} were not told of {}", missing, attempt)
        unmarked = [watcher for watcher in attempt.started if watcher.mark.get() is not attempt]
        require(not unmarked, "the marks of {} are not seen in {}", unmarked, attempt)
        attempt.entered_at = _now()
        return attempt

    def leave(self, attempt: Attempt, error: BaseException | None) -> None:
        """The function has returned or raised."""
        assert attempt.entered_at is not None
        attempt.took = _now() - attempt.entered_at
        if error is not None:
            attempt.error, attempt.error_type = id(error), type(error)

    # What has to be told in the end

    def close(self, worker: str) -> None:
        """A worker is done with its attempt: all who listen have been told how it ended."""
        attempt = self._present.pop(worker, None)
        if attempt is None:
            return
        if attempt.entered_at is not None and attempt.took is None:
            self._audit.complain(f"it has not ended: {attempt}")
            return
        due = self._due(attempt)
        if due is not None:
            missing = [w for w in due if w not in attempt.ended]
            self._audit.require(not missing, "{} not told of the end of {}", missing, attempt)
        if attempt.took is None and attempt.ended:  # all are told of the start, then of the end
            missing = [w for w in self._watchers if w.hears("task_start", attempt.began)]
            missing = [w for w in missing if w not in attempt.started]
            self._audit.require(not missing, "{} not told of the start of {}", missing, attempt)

    def settle(self) -> None:
        """The run is over, and so is every attempt."""
        for worker in list(self._present):
            self.close(worker)

    def _due(self, attempt: Attempt) -> list[TaskWatcher]:
        """Who surely had to be told of an attempt's end."""
        told = set(attempt.ended.values()) or attempt.possible_ends()
        is_told = attempt.took is not None or attempt.started or attempt.ended
        watchers = self._watchers if is_told else []
        return [w for w in watchers if all(w.hears(hook, attempt.began) for hook in told)]

    def _begin(self, call: Call, worker: str) -> Attempt:
        self.close(worker)
        attempt = Attempt(
            call,
            self._audit.coming_attempt(*call),
            worker,
            self.moment,
            id(asyncio.current_task()),
            self._audit.stops,
        )
        self._present[worker] = attempt
        return attempt


CHECKS: dict[Hook, Callable[[Attempts, Attempt, TaskEvent], None]] = {
    "task_success": Attempts._check_success,
    "task_retry": Attempts._check_retry,
    "task_failure": Attempts._check_failure,
    "task_cancelled": Attempts._check_cancelled,
}


def present_worker() -> str:
    """Name of the worker that runs this, or of another task."""
    task = asyncio.current_task()
    assert task is not None
    return task.get_name()


def _now() -> float:
    return asyncio.get_running_loop().time()
