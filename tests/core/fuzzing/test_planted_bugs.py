"""The fuzz is worth something only if it finds bugs: here some are planted in the engine.

Each is one that a person could well write: a wake-up that is lost now and then, an item that falls
between two chairs on cancellation, a count that is off by one.
"""

from __future__ import annotations

import asyncio
import gc
from asyncio import CancelledError, Semaphore
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from antflow._engine import loops, outcome
from antflow._engine import processing as visit
from antflow._engine.attempt import FIRST, UNMADE, Kind, Outcome, classify_error
from antflow._engine.channel import Channel
from antflow._engine.depositor import Depositor
from antflow._engine.display import Display
from antflow._engine.feeder import Feeder
from antflow._engine.lifecycle import Lifecycle
from antflow._engine.parking import ParkedItems
from antflow._engine.pull_channel import PullChannel
from antflow._engine.result_queue import ResultQueue
from antflow._engine.run import Run
from antflow._engine.run_state import RunState
from antflow._engine.waiters import Receivers, RoomWaiters
from antflow._engine.worker import Worker
from antflow._plugins.dispatcher import Dispatcher, Observer
from tests.core.fuzzing.scenarios import Mode, Scenario
from tests.core.fuzzing.test_fuzz import drawn, quiet
from tests.core.fuzzing.trial import run_scenario

__all__ = ["quiet"]

SCENARIOS = 1000
MODES: dict[str, Mode] = {
    "a turn is lost with a cancelled feeder": "service",
    "senders are forgotten at the close": "run",
    "newly due items go before those that were due earlier": "run",
    "any number of items is parked": "run",
    "retries resume at the first task": "service",
    "failures after the close are final": "service",
    "a second cancellation leaves tasks": "run",
    "cancellations are forgotten": "run",
    "swallowed cancellations are not forgiven": "run",
    "items that are fed late are not reported": "service",
    "callbacks set later are not called": "service",
}
"""The mode that finds a bug sooner than "stream" does."""

Plant = Callable[[pytest.MonkeyPatch], None]


def sometimes_forgotten(owner: Any, name: str, every: int = 3) -> Plant:
    """A function or method that does nothing every so many times that it is called."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original, turns = getattr(owner, name), count(1)

        def forgetful(*arguments: Any) -> Any:
            return None if next(turns) % every == 0 else original(*arguments)

        patch.setattr(owner, name, forgetful)

    return plant


def always(owner: type, name: str, answer: object) -> Plant:
    """A method that returns always the same answer."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, name, lambda *_arguments: answer)

    return plant


def constant(owner: type, name: str, value: object) -> Plant:
    """A property that has always the same value."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, name, property(lambda _self: value))

    return plant


# The channel


def deposit_without_order(patch: pytest.MonkeyPatch) -> None:
    original = Channel.put

    def put(self: Channel, item: Any) -> None:
        queue = list(self.queue)
        original(self, item)
        if any(other is item for other in self.queue):
            self.queue.clear()
            self.queue.extend([*queue, item])

    patch.setattr(Channel, "put", put)


def items_lost_after_the_close(patch: pytest.MonkeyPatch) -> None:
    original, turns = Channel.put, count(1)

    def put(self: Channel, item: Any) -> None:
        if not self.closed or next(turns) % 3:
            original(self, item)

    patch.setattr(Channel, "put", put)


def wake_up_lost_with_a_cancelled_receiver(patch: pytest.MonkeyPatch) -> None:
    original = Receivers.arrive

    def arrive(self: Receivers, takes: int = 1) -> None:
        if takes:
            original(self, takes)

    patch.setattr(Receivers, "arrive", arrive)


def turn_lost_with_a_cancelled_feeder(patch: pytest.MonkeyPatch) -> None:
    original = RoomWaiters.wait_as_feeder

    async def wait_as_feeder(self: RoomWaiters) -> None:
        try:
            await original(self)
        except CancelledError:
            self.reserved += 1
            raise

    patch.setattr(RoomWaiters, "wait_as_feeder", wait_as_feeder)


def senders_forgotten_at_the_close(patch: pytest.MonkeyPatch) -> None:
    original = Channel.close

    def close(self: Channel) -> None:
        self.waiters.senders.clear()
        original(self)

    patch.setattr(Channel, "close", close)


def place_not_reserved_for_observers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RoomWaiters, "reserved", property(lambda _: 0, lambda _self, _value: None))


def newly_due_items_go_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Channel, "_insert_due", lambda self, item: self.queue.appendleft(item))


def any_number_of_items_parked(patch: pytest.MonkeyPatch) -> None:
    original = Channel.__init__

    def init(self: Channel, capacity: float) -> None:
        original(self, capacity)
        self._max_parked = 10**9

    patch.setattr(Channel, "__init__", init)


def parked_items_lost_at_the_close(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ParkedItems, "clear", lambda _self: [])


# Attempts and outcomes


def stage_attempts_not_counted(patch: pytest.MonkeyPatch) -> None:
    original = outcome._retry_stage

    def retry(worker: Worker, item: Any, failed: Outcome, now: float) -> None:
        original(worker, item, failed, now)
        item.details.retry = (*item.details.retry[:2], 1, 0, None)

    patch.setattr(outcome, "_retry_stage", retry)


def retries_resume_at_the_first_task(patch: pytest.MonkeyPatch) -> None:
    original = outcome.retry_task

    def retry(worker: Worker, item: Any, failed: Outcome, now: float, *_task: Any) -> None:
        original(worker, item, failed, now)

    patch.setattr(outcome, "retry_task", retry)


def cancelled_items_not_given_back(patch: pytest.MonkeyPatch) -> None:
    def give_back(worker: Worker, _item: Any, error: BaseException) -> None:
        if not worker.run.is_closed:
            worker.run.abort(error)

    for module in (outcome, visit):
        patch.setattr(module, "give_back", give_back)


def retries_emitted_as_failures(patch: pytest.MonkeyPatch) -> None:
    original = visit._emit_end

    async def emit(worker: Worker, item: Any, bound: Any, ended: Outcome, took: Any) -> None:
        kind = Kind.CANCEL if ended.kind is Kind.CANCEL else Kind.FAIL
        await original(worker, item, bound, ended._replace(kind=kind), took)

    patch.setattr(visit, "_emit_end", emit)


def attempts_numbered_by_task(patch: pytest.MonkeyPatch) -> None:
    number = property(lambda self: (self.attempt or FIRST).task)
    patch.setattr(Worker, "attempt_number", number)


def unmade_attempts_not_ended(patch: pytest.MonkeyPatch) -> None:
    async def end_unmade(*_arguments: Any) -> Outcome:
        return UNMADE

    for module in (visit, loops):
        patch.setattr(module, "end_unmade", end_unmade)


def failures_after_the_close_are_final(patch: pytest.MonkeyPatch) -> None:
    original = classify_error

    def judge(error: BaseException, *arguments: Any, **options: Any) -> Outcome:
        judged = original(error, *arguments, **options)
        if judged.kind is Kind.CANCEL and isinstance(error, Exception):
            return Outcome(Kind.FAIL, error)
        return judged

    patch.setattr(visit, "classify_error", judge)


# The run


def items_that_end_not_counted(patch: pytest.MonkeyPatch) -> None:
    turns = count(1)

    def set_ended(self: Any, value: int) -> None:
        if not hasattr(self, "_ended_items") or next(turns) % 9:
            self._ended_items = value

    patch.setattr(RunState, "ended_items", property(lambda s: s._ended_items, set_ended), False)


def items_counted_before_they_wait(patch: pytest.MonkeyPatch) -> None:
    original_put, original_deposit = Feeder._put, Depositor._put

    async def put(self: Feeder, item: Any, stage: Any, inside: bool) -> bool:
        stage.counters.fed += 1
        return await original_put(self, item, stage, inside)

    def deposit(self: Depositor, item: Any, stage: Any) -> None:
        stage.counters.fed -= 1
        original_deposit(self, item, stage)

    patch.setattr(Feeder, "_put", put)
    patch.setattr(Depositor, "_put", deposit)


def second_cancellation_leaves_tasks(patch: pytest.MonkeyPatch) -> None:
    async def wait_closed(self: Run) -> None:
        await self.finished.wait()

    patch.setattr(Run, "wait_closed", wait_closed)


def cancelled_workers_not_missed(patch: pytest.MonkeyPatch) -> None:
    original = Run.abort

    def abort(self: Run, error: BaseException | None = None) -> None:
        if "was cancelled from outside" not in str(error):
            original(self, error)

    patch.setattr(Run, "abort", abort)


def permits_not_given_back(patch: pytest.MonkeyPatch) -> None:
    turns = count(1)

    class Forgetful(Semaphore):
        def release(self) -> None:
            if next(turns) % 4:
                super().release()

    patch.setattr("antflow._limits.stage_limits.Semaphore", Forgetful)


# Observers and displays


def unprocessed_items_not_reported(patch: pytest.MonkeyPatch) -> None:
    async def report(_: Lifecycle) -> None:
        return

    patch.setattr(Lifecycle, "_report_unprocessed", report)


def items_fed_late_not_reported(patch: pytest.MonkeyPatch) -> None:
    async def report(self: Lifecycle) -> None:
        for stage in self._stages:
            for item in list(stage.input.unprocessed):
                pending = self._dispatcher.emit_status(item, stage.name, "unprocessed", final=True)
                if pending is not None:
                    await pending

    patch.setattr(Lifecycle, "_report_unprocessed", report)


def faults_of_observers_not_caught(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher._on_error

    def on_error(self: Dispatcher, listener: Any, error: BaseException, event: Any) -> None:
        if isinstance(error, Exception):
            raise error
        original(self, listener, error, event)

    patch.setattr(Dispatcher, "_on_error", on_error)


def cancelled_hook_stops_the_others(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher._on_error

    def on_error(self: Dispatcher, listener: Any, error: BaseException, event: Any) -> None:
        if isinstance(error, CancelledError):
            raise error
        original(self, listener, error, event)

    patch.setattr(Dispatcher, "_on_error", on_error)


def observers_called_in_another_context(patch: pytest.MonkeyPatch) -> None:
    original = Dispatcher._await

    async def call(self: Dispatcher, *arguments: Any) -> Any:
        return await asyncio.create_task(original(self, *arguments))

    patch.setattr(Dispatcher, "_await", call)


def dashboard_does_not_finish_when_aborted(patch: pytest.MonkeyPatch) -> None:
    original = Display._call

    async def call(self: Display, method: str, *arguments: Any) -> None:
        run: Any = getattr(self._abort, "__self__", None)
        if method != "on_finish" or not run.is_aborted:
            await original(self, method, *arguments)

    patch.setattr(Display, "_call", call)


PLANTED: dict[str, Plant] = {
    "a receiver is not woken": sometimes_forgotten(Receivers, "wake"),
    "a receiver that arrives wakes no more": sometimes_forgotten(Receivers, "_wake_more"),
    "a sender is not woken": sometimes_forgotten(RoomWaiters, "wake"),
    "a wake-up is lost with a cancelled receiver": wake_up_lost_with_a_cancelled_receiver,
    "a turn is lost with a cancelled feeder": turn_lost_with_a_cancelled_feeder,
    "senders are forgotten at the close": senders_forgotten_at_the_close,
    "an interrupted item is lost": items_lost_after_the_close,
    "items are not in order": deposit_without_order,
    "senders never wait": always(Channel, "is_overfull", False),
    "feeders never wait": always(Channel, "has_room", True),
    "a place is not reserved while observers are called": place_not_reserved_for_observers,
    "the buffer stays closed to those who have ended": sometimes_forgotten(
        ResultQueue, "unbound", 1
    ),
    "newly due items go before those that were due earlier": newly_due_items_go_first,
    "any number of items is parked": any_number_of_items_parked,
    "a parked item is not released": sometimes_forgotten(ParkedItems, "_release_due"),
    "parked items are lost at the close": parked_items_lost_at_the_close,
    "receivers are not kept for items tried again": constant(PullChannel, "_free_receivers", 99),
    "a sender of a pull stage is not woken": always(PullChannel, "_may_sender_go", False),
    "stage attempts are not counted": stage_attempts_not_counted,
    "retries resume at the first task": retries_resume_at_the_first_task,
    "cancelled items are not given back": cancelled_items_not_given_back,
    "retries are emitted as failures": retries_emitted_as_failures,
    "failures after the close are final": failures_after_the_close_are_final,
    "attempts are numbered by task": attempts_numbered_by_task,
    "an item is not counted as ended": items_that_end_not_counted,
    "an item is counted before it waits": items_counted_before_they_wait,
    "the end is not noticed": sometimes_forgotten(RunState, "check_done"),
    "tasks are not cancelled": sometimes_forgotten(Run, "abort", every=1),
    "cancelled workers are not missed": cancelled_workers_not_missed,
    "the input is read on": sometimes_forgotten(Run, "_stop_reading", every=1),
    "a second cancellation leaves tasks": second_cancellation_leaves_tasks,
    "permits are not given back": permits_not_given_back,
    "waits for limits are not cancelled": sometimes_forgotten(Worker, "cancel_limit_wait", 1),
    "cancellations are forgotten": constant(Worker, "is_cancelled", False),
    "swallowed cancellations are not forgiven": sometimes_forgotten(
        Worker, "uncancel_swallowed", every=1
    ),
    "unprocessed items are not reported": unprocessed_items_not_reported,
    "items that are fed late are not reported": items_fed_late_not_reported,
    "attempts that are not made do not end": unmade_attempts_not_ended,
    "faults of observers are not caught": faults_of_observers_not_caught,
    "a cancelled hook stops the others": cancelled_hook_stops_the_others,
    "observers are called in another context": observers_called_in_another_context,
    "callbacks set later are not called": sometimes_forgotten(Observer, "changed", every=1),
    "a dashboard does not finish when the run is aborted": dashboard_does_not_finish_when_aborted,
}


@pytest.fixture
def tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no coroutine behind that a planted bug kept from being awaited."""
    yield
    monkeypatch.setattr("sys.unraisablehook", lambda _unraisable: None)
    gc.collect()


@pytest.mark.usefixtures("quiet", "tidy")
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[bug](monkeypatch)
    assert any(is_broken(scenario) for scenario in drawn(MODES.get(bug, "stream"), SCENARIOS))


def is_broken(scenario: Scenario) -> bool:
    """Return whether a scenario fails, but not because there is nothing to plant the bug in."""
    try:
        run_scenario(scenario)
    except (AttributeError, NameError, KeyboardInterrupt):
        raise
    except BaseException:
        return True
    return False
