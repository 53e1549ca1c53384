"""The fuzz is worth something only if it finds bugs: here some are planted in the engine.

Each is one that a person could well write: a wake-up that is lost now and then, an item that is
dropped on cancellation, a count that is off by one.
"""

from __future__ import annotations

import asyncio
import gc
from asyncio import CancelledError, Semaphore
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from math import inf
from typing import Any, cast
from unittest.mock import Mock

import pytest

from antflow import AttemptTimeoutError, ItemHandle, RetryAfter, retry
from antflow._engine.base.outcome import FIRST, UNMADE, Kind, Outcome
from antflow._engine.base.run_state import RunState
from antflow._engine.channels.channel import Channel, ReadyItems
from antflow._engine.channels.parking import ParkedItems
from antflow._engine.channels.pull_channel import PullChannel
from antflow._engine.channels.result_queue import ResultQueue
from antflow._engine.channels.waiters import Receivers, RoomWaiters
from antflow._engine.feeding.dropping import Dropper
from antflow._engine.feeding.feeder import Feeder
from antflow._engine.limiting.key_lines import KeyLines
from antflow._engine.limiting.limit_waiter import LimitWaiter
from antflow._engine.limiting.limited_channel import LimitedChannel
from antflow._engine.limiting.limiter import Limiter
from antflow._engine.running.display import Display
from antflow._engine.running.lifecycle import Lifecycle
from antflow._engine.running.run import Run
from antflow._engine.workers import attempt_steps, exits, loops
from antflow._engine.workers.attempt import Attempt
from antflow._engine.workers.stage_runtime import StageRuntime
from antflow._engine.workers.worker import Worker
from antflow._limits import call_limits
from antflow._limits.grant import Grant
from antflow._limits.meter import Meter
from antflow._limits.meters import Meters
from antflow._limits.window import Window
from antflow._plugins.dispatcher import Dispatcher, Observer
from antflow._runners import timeouts
from antflow._stats.counters import StageCounters
from tests.core.fuzzing.scenarios import Mode, Scenario
from tests.core.fuzzing.test_fuzz import drawn, quiet
from tests.core.fuzzing.trial import run_scenario

__all__ = ["quiet"]

SCENARIOS = 1000
STREAM: tuple[Mode, int] = ("stream", 0)
"""A mode and a seed of scenarios; a bug has others if they find it sooner."""

PLANTED: dict[str, tuple[tuple[Mode, int], Callable[[pytest.MonkeyPatch], None]]] = {}
"""By its description, each bug with the mode and the seed."""


def plant(
    bug: str, owner: Any, name: str, replacement: object, drawing: tuple[Mode, int] = STREAM
) -> None:
    """Register a bug that replaces an attribute."""
    PLANTED[bug] = drawing, lambda patch: patch.setattr(owner, name, replacement)


def replaces(
    owner: Any, name: str, drawing: tuple[Mode, int] = STREAM
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function, which takes the original first, as a bug of its name."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        original = getattr(owner, name)
        bug = function.__name__.replace("_", " ")
        plant(bug, owner, name, lambda *args, **kw: function(original, *args, **kw), drawing)
        return function

    return register


def forgets(owner: Any, name: str, every: int = 3) -> Callable[..., Any]:
    """Return a method that does nothing every so many times that it is called."""
    original, calls = getattr(owner, name), count(1)
    return lambda *args: None if next(calls) % every == 0 else original(*args)


# The channel

plant("a receiver is not woken", Receivers, "wake", forgets(Receivers, "wake"))
plant(
    "a receiver that arrives wakes no more",
    Receivers,
    "_wake_more",
    forgets(Receivers, "_wake_more"),
)
plant("a sender is not woken", RoomWaiters, "wake", forgets(RoomWaiters, "wake"))
plant("senders never wait", Channel, "is_overfull", lambda _: False, ("stream", 2))
plant("feeders never wait", Channel, "has_room", lambda _: True)
plant(
    "room is not reserved while observers are called",
    RoomWaiters,
    "reserved",
    property(lambda _: 0, lambda _self, _value: None),
)
plant(
    "the buffer stays closed to senders that have ended",
    ResultQueue,
    "unbound",
    lambda _: None,
    ("stream", 106),
)
plant(
    "newly due items go before those that were due earlier",
    ReadyItems,
    "insert_due",
    lambda self, item: self.appendleft(item),
    ("run", 4),
)
plant(
    "a parked item is not released",
    ParkedItems,
    "_release_due",
    forgets(ParkedItems, "_release_due"),
)
plant("parked items are lost at the close", ParkedItems, "clear", lambda _: [])
plant(
    "receivers are not kept for items tried again",
    PullChannel,
    "_free_receivers",
    property(lambda _: 99),
    ("stream", 1),
)
plant("a sender of a pull stage is not woken", PullChannel, "_may_sender_go", lambda *_: False)


@replaces(Channel, "put")
def items_are_not_in_order(original: Any, self: Channel, item: Any) -> None:
    queue = list(self.queue)
    original(self, item)
    if any(other is item for other in self.queue):
        self.queue.clear()
        self.queue.extend([*queue, item])


@replaces(Channel, "put")
def an_item_is_lost_after_the_close(original: Any, self: Channel, item: Any) -> None:
    if not self.closed or item.sequence_id % 3:
        original(self, item)


@replaces(Receivers, "arrive", ("stream", 17))
def a_wake_up_is_lost_with_a_cancelled_receiver(
    original: Any, self: Receivers, takes: int = 1
) -> None:
    if takes:
        original(self, takes)


@replaces(RoomWaiters, "wait_as_feeder", ("service", 8))
async def room_is_lost_with_a_cancelled_feeder(original: Any, self: RoomWaiters) -> None:
    try:
        await original(self)
    except CancelledError:
        self.reserved += 1
        raise


@replaces(Channel, "close", ("stream", 106))
def senders_are_forgotten_at_the_close(original: Any, self: Channel) -> None:
    self.waiters.senders.clear()
    original(self)


@replaces(Channel, "__init__", ("stream", 8))
def any_number_of_items_is_parked(
    original: Any, self: Channel, capacity: float, max_parked: int | None = None
) -> None:
    original(self, capacity, max_parked)
    self._max_parked = 10**9


# Dropping items

plant(
    "the sender of a removed item is not woken in front of a pull stage",
    PullChannel,
    "remove",
    lambda self, item: self.queue.take_out(item),
    ("service", 129),
)
plant(
    "the cancellation of an attempt is left on its worker",
    Worker,
    "end_interrupt",
    lambda _: None,
    ("service", 56),
)


@replaces(ItemHandle, "expire", ("service", 0))
def an_item_that_has_ended_expires(_original: Any, self: ItemHandle) -> None:
    self._canceller.drop(self._item, "expired", interrupts=False)
    self._canceller._end(self._canceller._stages[0], self._item)  # type: ignore[attr-defined]


@replaces(Dropper, "drop", ("service", 47))
def a_cancelled_item_is_dropped_only_where_it_waits(
    _original: Any, self: Dropper, item: Any, reason: str, *, interrupts: bool
) -> None:
    item.get_details().drop_reason = reason
    for each in self._stages:
        if each.input.remove(item):
            self._end(each, item)


@replaces(PullChannel, "remove", ("contended", 15))
def a_dropped_retry_keeps_its_receiver(_original: Any, self: PullChannel, item: Any) -> bool:
    is_retried = self.queue.is_retried(item)
    if not Channel.remove(self, item):
        return False
    if is_retried:
        item.get_details().retried_in = None
        self._retrying -= 1
    self._fed.discard(id(item))
    self.waiters.wake()
    return True


# The number of workers

plant(
    "a surplus worker takes another item",
    Receivers,
    "surplus",
    property(lambda _: 0, lambda _self, _number: None),
)
plant(
    "workers that have stopped are counted",
    StageCounters,
    "add",
    lambda self, workers, now, add=StageCounters.add: add(self, max(workers, 0), now),
)
plant(
    "a pull stage takes as many items as before",
    StageRuntime,
    "resize",
    lambda self, workers: setattr(self, "workers", workers),
    ("run", 1),
)


@replaces(StageCounters, "add", ("stream", 1))
def workers_that_have_stopped_wait_when_items_are_parked(
    original: Any, self: StageCounters, workers: int, now: float
) -> None:
    idle = self._idle_workers
    original(self, workers, now)
    self._idle_workers = max(self._idle_workers, idle)


@replaces(Receivers, "wait")
async def a_wake_up_is_lost_with_a_surplus_worker(
    original: Any, self: Receivers, *leave: Callable[[], None]
) -> bool:
    goes_on: bool = await original(self, *leave)
    self._woken += not goes_on
    return goes_on


# Attempts and outcomes

plant(
    "attempts are numbered by task",
    Attempt,
    "number",
    property(lambda self: (self.counts or FIRST).task),
    ("stream", 2),
)


@replaces(exits, "_retry_stage", ("stream", 2))
def stage_attempts_are_not_counted(original: Any, worker: Any, failed: Outcome, now: float) -> None:
    item = worker.attempt.item
    original(worker, failed, now)
    item.details.retry = (*item.details.retry[:2], 1, *item.details.retry[3:])


@replaces(exits, "retry_task", ("stream", 11))
def retries_resume_at_the_first_task(
    original: Any, worker: Worker, failed: Outcome, now: float
) -> None:
    worker.attempt.index = 0
    original(worker, failed, now)


def cancelled_items_are_not_given_back(patch: pytest.MonkeyPatch) -> None:
    def give_back(worker: Worker, error: BaseException) -> None:
        if not worker.run.is_closed:
            worker.run.abort(error)

    for module in (exits, attempt_steps):
        patch.setattr(module, "give_back", give_back)


PLANTED["cancelled items are not given back"] = STREAM, cancelled_items_are_not_given_back


@replaces(attempt_steps, "_emit_end", ("run", 4))
async def retries_are_emitted_as_failures(
    original: Any, worker: Worker, ended: Outcome, took: Any
) -> None:
    kind = Kind.CANCEL if ended.kind is Kind.CANCEL else Kind.FAIL
    await original(worker, replace(ended, kind=kind), took)


def attempts_that_are_not_made_do_not_end(patch: pytest.MonkeyPatch) -> None:
    async def end_unmade(*_arguments: Any) -> Outcome:
        return UNMADE

    patch.setattr(loops, "end_unmade", end_unmade)


PLANTED["attempts that are not made do not end"] = ("run", 3), attempts_that_are_not_made_do_not_end


@replaces(attempt_steps, "classify_error", ("service", 8))
def failures_after_the_close_are_final(
    original: Any, error: BaseException, *arguments: Any, **options: Any
) -> Outcome:
    found: Outcome = original(error, *arguments, **options)
    is_exception = found.kind is Kind.CANCEL and isinstance(error, Exception)
    return Outcome(Kind.FAIL, error) if is_exception else found


# Retry policies and time limits

plant("give-ups are tried again", retry, "FINAL", ())
plant(
    "waits exceed their maximum",
    retry.Backoff,
    "seconds",
    lambda self, attempt, chance: (
        self.initial * self.factor ** (attempt - 1) * (chance if self.jitter else 1.0)
    ),
    ("run", 1),
)


@replaces(Channel, "__init__", ("stream", 60))
def max_parked_is_ignored(
    original: Any, self: Channel, capacity: float, _max_parked: int | None = None
) -> None:
    original(self, capacity)


@replaces(attempt_steps, "_set_deadline", ("run", 3))
def the_time_of_an_item_goes_on_in_the_next_stage(
    _original: Any, worker: Any, seconds: float
) -> None:
    details = worker.attempt.item.get_details()
    if details.deadline is None:
        details.deadline = worker.attempt.since + seconds


@replaces(attempt_steps, "_set_deadline", ("stream", 44))
def the_time_of_an_item_begins_with_each_attempt(
    _original: Any, worker: Any, seconds: float
) -> None:
    worker.attempt.item.get_details().deadline = worker.attempt.since + seconds


@replaces(attempt_steps, "_begin_of_first", ("run", 3))
def retry_timeout_counts_from_the_last_attempt(
    _original: Any, _worker: Worker, _attempt: Any, begun: float
) -> float:
    return begun


@replaces(attempt_steps, "classify_error", ("run", 0))
def the_seconds_of_retry_after_are_ignored(
    original: Any, error: BaseException, *arguments: Any, **options: Any
) -> Outcome:
    found: Outcome = original(error, *arguments, **options)
    return replace(found, delay=0.0) if isinstance(error, RetryAfter) else found


@replaces(attempt_steps, "classify_error", ("run", 1))
def errors_that_are_never_retried_are(
    original: Any, error: BaseException, attempt: Any, *policies: Any, **options: Any
) -> Outcome:
    policies = tuple(replace(policy, never=()) for policy in policies)
    return cast("Outcome", original(error, attempt, *policies, **options))


@replaces(attempt_steps, "judge", ("stream", 45))
def timeouts_of_items_alone_are_counted(original: Any, worker: Any, *arguments: Any) -> Outcome:
    counters = worker.stage.counters
    before = counters.timeouts
    found: Outcome = original(worker, *arguments)
    if isinstance(found.error, AttemptTimeoutError):
        counters.timeouts = before
    return found


@replaces(timeouts._Timeout, "__exit__")
def a_timeout_is_taken_for_a_cancellation_of_the_worker(
    _original: Any, self: Any, *_raised: Any
) -> None:
    self._timer.cancel()


@replaces(timeouts._Timeout, "__exit__")
def the_timer_of_a_timeout_is_left_behind(original: Any, self: Any, *raised: Any) -> None:
    self._timer = Mock()
    original(self, *raised)


@replaces(timeouts._Timeout, "__exit__", ("run", 6))
def the_cancellation_of_a_timeout_is_not_taken_back(original: Any, self: Any, *raised: Any) -> None:
    self._task = Mock(wraps=self._task, uncancel=self._task.cancelling)
    self._before += 1
    original(self, *raised)


# The run

plant("the end is not noticed", RunState, "check_done", forgets(RunState, "check_done"))
plant("tasks are not cancelled", Run, "abort", lambda *_: None)
plant("the input is read on", Run, "_stop_reading", lambda *_: None, ("stream", 4))
plant(
    "waits for limits are not cancelled",
    Worker,
    "cancel_waits",
    lambda *_: None,
    ("service", 2),
)
plant("cancellations are forgotten", Worker, "is_cancelled", property(lambda _: False), ("run", 0))
plant(
    "swallowed cancellations are not forgiven",
    Worker,
    "uncancel_swallowed",
    lambda *_: None,
    ("run", 44),
)


def an_item_is_not_counted_as_ended(patch: pytest.MonkeyPatch) -> None:
    calls = count(1)

    def set_ended(self: Any, value: int) -> None:
        if not hasattr(self, "_ended_early") or next(calls) % 9:
            self._ended_early = value

    patch.setattr(RunState, "ended_early", property(lambda s: s._ended_early, set_ended), False)


PLANTED["an item is not counted as ended"] = STREAM, an_item_is_not_counted_as_ended


@replaces(Feeder, "_put")
async def an_item_is_counted_before_it_waits(
    original: Any, self: Feeder, item: Any, stage: Any, inside: bool
) -> bool:
    stage.entry.received += 1
    try:
        put: bool = await original(self, item, stage, inside)
        return put
    finally:
        stage.entry.received -= 1


@replaces(Run, "wait_closed", ("run", 50))
async def a_second_cancellation_leaves_tasks(_original: Any, self: Run) -> None:
    await self.finished.wait()


@replaces(Run, "abort", ("stream", 37))
def cancelled_workers_are_not_missed(
    original: Any, self: Run, error: BaseException | None = None
) -> None:
    if "was cancelled from outside" not in str(error):
        original(self, error)


class ForgetfulSemaphore(Semaphore):
    calls = 0

    def release(self) -> None:
        ForgetfulSemaphore.calls += 1
        if self.calls % 4:
            super().release()


plant("permits are not given back", call_limits, "Semaphore", ForgetfulSemaphore)


# The limits of stages


def limits_are_released_after_the_wait_for_room(patch: pytest.MonkeyPatch) -> None:
    forward, conclude = exits.forward, loops._conclude
    held: dict[Worker, Grant] = {}

    def forward_first(worker: Worker) -> None:
        grant = worker.attempt.take_grant()
        if grant is not None:
            held[worker] = grant
        forward(worker)

    async def conclude_and_release(worker: Worker, start: float) -> float:
        try:
            return await conclude(worker, start)
        finally:
            if worker in held:
                held.pop(worker).release(worker.run.clock(), has_succeeded=True)

    patch.setattr(exits, "forward", forward_first)
    patch.setattr(loops, "_conclude", conclude_and_release)
    patch.setattr(Channel, "append_directly", property(lambda _: False, lambda *_: None))


PLANTED["limits are released after the wait for room"] = (
    ("service", 1),
    limits_are_released_after_the_wait_for_room,
)
plant("turns are not passed on", LimitWaiter, "goes_first", lambda _: True, ("stream", 147))
plant(
    "a call of a limit is dropped",
    LimitWaiter,
    "call",
    forgets(LimitWaiter, "call"),
    ("service", 0),
)
plant(
    "a limit that becomes due calls nobody",
    LimitWaiter,
    "call_by_clock",
    forgets(LimitWaiter, "call_by_clock"),
    ("service", 0),
)


@replaces(Limiter, "begin")
def limits_are_taken_at_an_old_time(
    original: Any, self: Limiter, clock: Callable[[], float], waiting_for: Any
) -> None:
    readings = [clock()]

    def read() -> float:
        readings.append(clock())
        return readings.pop(0)

    original(self, read, waiting_for)


@replaces(Window, "__init__")
def spacing_alone_bounds_a_window(original: Any, self: Window, *arguments: float) -> None:
    original(self, *arguments)
    self._most = inf


@replaces(Window, "_enter", ("stream", 57))
def entries_are_merged_under_their_earliest_time(
    original: Any, self: Window, units: float, now: float
) -> Any:
    last = self._entries[-1] if self._entries else None
    at = 0.0 if last is None else last.at
    entry = original(self, units, now)
    if last is not None and entry is last:
        last.at = at
    return entry


@replaces(LimitedChannel, "_set_aside", ("stream", 15))
def the_lines_of_keys_are_lost_at_the_close(original: Any, self: LimitedChannel) -> None:
    for line in self._lines:
        line.candidates.clear()
    original(self)


def cancelled_items_keep_their_limits(patch: pytest.MonkeyPatch) -> None:
    original = exits.give_back

    def give_back(worker: Worker, error: BaseException) -> None:
        worker.attempt.grant = None
        original(worker, error)

    for module in (exits, attempt_steps, loops):
        patch.setattr(module, "give_back", give_back)


PLANTED["cancelled items keep their limits"] = STREAM, cancelled_items_keep_their_limits


plant("skipped items keep their units", Grant, "refund", lambda _: None, ("stream", 19))
plant("keys in use are forgotten", Meter, "is_idle", lambda *_: True)
plant("a pause of all keys is forgotten", Meters, "pause", lambda *_: None)


@replaces(LimitWaiter, "stop", ("contended", 15))
def what_stops_to_wait_passes_nothing_on(_original: Any, self: LimitWaiter) -> None:
    meter, self.meter, self.need = self.meter, None, None
    if meter is not None:
        meter.waiters.pop(self, None)


plant(
    "priorities are ignored among free keys",
    KeyLines,
    "move_most_urgent_first",
    lambda _: None,
    ("contended", 7),
)


# Observers and displays

plant("callbacks set later are not called", Observer, "changed", lambda *_: None, ("stream", 3))


@replaces(Lifecycle, "_report_unprocessed")
async def unprocessed_items_are_not_reported(_original: Any, _self: Lifecycle) -> None:
    return


@replaces(Lifecycle, "_report_unprocessed", ("stream", 6))
async def items_that_are_fed_late_are_not_reported(_original: Any, self: Lifecycle) -> None:
    for stage in self._stages:
        for item in list(stage.input.unprocessed):
            pending = self._dispatcher.emit_status(item, stage.name, "unprocessed", final=True)
            if pending is not None:
                await pending


@replaces(Dispatcher, "_on_error")
def faults_of_observers_are_not_caught(
    original: Any, self: Dispatcher, listener: Any, error: BaseException, event: Any
) -> None:
    if isinstance(error, Exception):
        raise error
    original(self, listener, error, event)


@replaces(Dispatcher, "_on_error")
def a_cancelled_hook_stops_the_others(
    original: Any, self: Dispatcher, listener: Any, error: BaseException, event: Any
) -> None:
    if isinstance(error, CancelledError):
        raise error
    original(self, listener, error, event)


@replaces(Dispatcher, "_await")
async def observers_are_called_in_another_context(
    original: Any, self: Dispatcher, *arguments: Any
) -> Any:
    return await asyncio.create_task(original(self, *arguments))


@replaces(Display, "_call")
async def a_dashboard_does_not_finish_when_the_run_is_aborted(
    original: Any, self: Display, method: str, *arguments: Any
) -> None:
    run: Any = getattr(self._abort, "__self__", None)
    if method != "on_finish" or not run.is_aborted:
        await original(self, method, *arguments)


@pytest.fixture
def tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no coroutine behind that a planted bug kept from being awaited."""
    yield
    monkeypatch.setattr("sys.unraisablehook", lambda _unraisable: None)
    gc.collect()


@pytest.mark.usefixtures("quiet", "tidy")
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (mode, seed), patch = PLANTED[bug]
    patch(monkeypatch)
    assert any(is_broken(scenario) for scenario in drawn(mode, SCENARIOS, seed))


def is_broken(scenario: Scenario) -> bool:
    """Return whether a scenario fails, but not because there is nothing to plant the bug in."""
    try:
        run_scenario(scenario)
    except (AttributeError, NameError, KeyboardInterrupt):
        raise
    except BaseException:
        return True
    return False
