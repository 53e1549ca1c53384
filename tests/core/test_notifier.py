"""Telling observers: who is called, in which order, and what becomes of those that raise."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from time import time
from typing import Any
from weakref import ref

import pytest

from antflow import StatusEvent, StatusTracker, TaskEvent
from antflow._item import ItemRecord
from antflow._notifier import Listener, Notifier, Observer, cancellations, those_of
from tests.core.observing import Unmarked
from tests.core.run_parts import CustomExit
from tests.core.simulation import begun, settle, simulate

HOOKS = {
    "antflow_item_status": "status",
    "antflow_task_start": "task_start",
    "antflow_task_success": "task_success",
    "antflow_task_retry": "task_retry",
    "antflow_task_failure": "task_failure",
    "antflow_task_cancelled": "task_cancelled",
}
FAULTS = [ValueError("of the hook"), asyncio.CancelledError(), GeneratorExit()]


class Aborts:
    """Notes what the notifier would end the run with."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def __call__(self, error: BaseException) -> None:
        self.errors.append(error)


class Watcher:
    """An observer of the status that notes its name in a common list."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told

    def antflow_item_status(self, event: StatusEvent) -> Any:
        self.told.append(self.name)


class Slow(Watcher):
    """Notes when it is called, when it is done after a second, and when it is cancelled."""

    async def antflow_item_status(self, event: StatusEvent) -> None:
        self.told.append(f"{self.name} is called")
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.told.append(f"{self.name} is cancelled")
            raise
        self.told.append(f"{self.name} is done")


class Raising(Watcher):
    """Raises when it is called."""

    def __init__(self, error: BaseException, told: list[str] | None = None) -> None:
        super().__init__("raising", [] if told is None else told)
        self.error = error

    def antflow_item_status(self, event: StatusEvent) -> Any:
        self.told.append(self.name)
        raise self.error


class RaisingLater(Raising):
    """Raises while it is awaited."""

    async def antflow_item_status(self, event: StatusEvent) -> None:
        await asyncio.sleep(1)
        super().antflow_item_status(event)


class Starting:
    """An observer of starts and cancellations that calls back."""

    def __init__(self, start: Callable[[TaskEvent], Any]) -> None:
        self.antflow_task_start = start
        self.antflow_task_cancelled = start


def notifier_of(*observers: object, abort: Aborts | None = None) -> Notifier:
    notifier = Notifier("pipeline", abort or Aborts())
    notifier.listen(Unmarked(*observers))
    return notifier


def tell(notifier: Notifier, item_id: str = "x") -> Awaitable[Any] | None:
    return notifier.tell_status(ItemRecord(item_id, 7, 0, 100), "Work", "queued")


async def tell_out(notifier: Notifier) -> Any:
    told = tell(notifier)
    return None if told is None else await told


def start_event() -> TaskEvent:
    return TaskEvent("x", "Work", "task", "Work-W0", "start", 1, 0.0)


async def start_out(notifier: Notifier) -> tuple[list[Any], Any]:
    told = notifier.tell_start(start_event())
    if told is None:
        return [listener.observer for listener in notifier.task_start], None
    called, cut = await told
    return [listener.observer for listener in called], cut


async def cancel_while(awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
    """Run to the first wait, cancel, and let it come to its end; the cancellation may be kept."""
    task = asyncio.ensure_future(awaitable)
    assert isinstance(task, asyncio.Task)
    await settle()
    task.cancel()
    await asyncio.wait([task])
    return task


async def while_being_cancelled(awaitable: Awaitable[Any]) -> Any:
    """Await something in a task that has been cancelled and does not end yet."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    assert cancellations()
    return await awaitable


# Who listens


def test_nobody_listens() -> None:
    notifier = notifier_of()
    assert notifier.is_silent
    assert not notifier.watches_tasks
    assert tell(notifier) is None


def test_an_observer_without_hooks_costs_nothing() -> None:
    assert notifier_of(object()).is_silent


def test_who_listens_to_the_status_only_watches_no_tasks() -> None:
    notifier = notifier_of(Watcher("one", []))
    assert not notifier.is_silent
    assert not notifier.watches_tasks


@pytest.mark.parametrize("hook", list(HOOKS))
def test_one_function_is_enough_to_listen(hook: str) -> None:
    observer = type("One", (), {hook: lambda self, event: None})()
    notifier = notifier_of(observer)
    assert not notifier.is_silent
    assert notifier.watches_tasks == (hook != "antflow_item_status")
    for name, listeners in HOOKS.items():
        expected = [observer] if name == hook else []
        assert [listener.observer for listener in getattr(notifier, listeners)] == expected


@pytest.mark.parametrize("hook", list(HOOKS))
def test_none_in_the_place_of_a_function_does_not_listen(hook: str) -> None:
    assert notifier_of(type("One", (), {hook: None})()).is_silent


def test_a_function_of_the_object_itself_listens_too() -> None:
    told: list[str] = []
    observer = Watcher("one", [])
    vars(observer)["antflow_item_status"] = lambda event: told.append(event.item_id)
    tell(notifier_of(observer))
    assert told == ["x"]


def test_who_listens_may_be_replaced() -> None:
    told: list[str] = []
    notifier = notifier_of(Watcher("one", told))
    tell(notifier)
    notifier.listen(Unmarked(Watcher("two", told)))
    tell(notifier)
    notifier.listen(Unmarked())
    tell(notifier)
    assert told == ["one", "two"]
    assert notifier.is_silent


def test_run_ids_begin_with_the_pipeline_s_name_and_differ() -> None:
    ids = {notifier_of().run_id for _ in range(3)}
    assert len(ids) == 3
    assert all(run_id.startswith("pipeline-") for run_id in ids)


# Events


def test_a_status_event_says_everything() -> None:
    seen: list[StatusEvent] = []
    notifier = notifier_of(StatusTracker(seen.append))
    item, before = ItemRecord("x", 7, 0, 100), time()
    assert notifier.tell_status(item, "Work", "failed", "Work-W3", {"error": "e"}) is None
    (event,) = seen
    assert (event.item_id, event.stage, event.status) == ("x", "Work", "failed")
    assert (event.worker, event.metadata) == ("Work-W3", {"error": "e"})
    assert (event.pipeline, event.run_id) == ("pipeline", notifier.run_id)
    assert not event.final
    assert before <= event.timestamp <= time()
    assert event.item.value == 7


def test_what_is_not_said_of_a_status_is_empty() -> None:
    seen: list[StatusEvent] = []
    notifier = notifier_of(StatusTracker(seen.append))
    notifier.tell_status(ItemRecord("x", 7, 0, 100), "Work", "unprocessed", final=True)
    (event,) = seen
    assert (event.worker, event.metadata, event.final) == (None, {}, True)


def test_all_observers_get_one_and_the_same_event() -> None:
    seen: list[StatusEvent] = []
    tell(notifier_of(StatusTracker(seen.append), StatusTracker(seen.append)))
    first, second = seen
    assert first is second


# Order


def test_plain_functions_are_called_at_once_and_in_order() -> None:
    told: list[str] = []
    assert tell(notifier_of(*(Watcher(name, told) for name in "abc"))) is None
    assert told == ["a", "b", "c"]


def test_each_observer_waits_for_the_ones_before_it() -> None:
    told: list[str] = []
    notifier = notifier_of(
        Watcher("a", told), Slow("b", told), Watcher("c", told), Slow("d", told), Watcher("e", told)
    )
    assert simulate(tell_out(notifier)) is None
    assert told == [
        "a",
        "b is called",
        "b is done",
        "c",
        "d is called",
        "d is done",
        "e",
    ]


class Promise:
    """An awaitable that is no coroutine."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(1).__await__()
        self._told.append("kept")


def test_whatever_can_be_awaited_is() -> None:
    told: list[str] = []

    async def main() -> None:
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(5, done.set_result, None)
        await tell_out(notifier_of(StatusTracker(lambda event: Promise(told))))
        await tell_out(notifier_of(StatusTracker(lambda event: done)))
        assert done.done()

    simulate(main)
    assert told == ["kept"]


def test_what_cannot_be_awaited_is_ignored() -> None:
    assert tell(notifier_of(StatusTracker(lambda event: "an answer"))) is None


def test_who_comes_while_an_event_is_told_gets_the_next() -> None:
    told: list[str] = []

    async def main() -> None:
        notifier = notifier_of(Slow("a", told))
        telling = await begun(tell_out(notifier))
        notifier.listen(Unmarked(Watcher("b", told)))
        await telling
        await tell_out(notifier)

    simulate(main)
    assert told == ["a is called", "a is done", "b"]


# Observers that raise


@pytest.mark.parametrize("kind", [Raising, RaisingLater])
@pytest.mark.parametrize("error", [*FAULTS[:2], CustomExit()])
def test_an_observer_that_raises_is_logged_and_the_others_are_told(
    kind: type[Raising], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    abort = Aborts()
    notifier = notifier_of(Watcher("a", told), kind(error), Watcher("b", told), abort=abort)
    assert simulate(tell_out(notifier)) is None
    assert told == ["a", "b"]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.name == "antflow._notifier"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.exc_info[2] is not None
    for word in ("'pipeline'", "antflow_item_status", kind.__name__, "'x'", "'Work'"):
        assert word in record.getMessage()
    assert abort.errors == []


def test_a_generator_exit_of_a_plain_function_is_a_fault_like_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []
    assert tell(notifier_of(Raising(GeneratorExit()), Watcher("a", told))) is None
    assert told == ["a"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", [Raising, RaisingLater])
def test_a_fault_is_logged_once_and_counted_each_time(
    kind: type[Raising], caplog: pytest.LogCaptureFixture
) -> None:
    notifier = notifier_of(kind(ValueError()))

    async def main() -> None:
        for _ in range(5):
            await tell_out(notifier)

    simulate(main)
    assert len(caplog.records) == 1
    assert list(notifier.faults.values()) == [5]


def test_faults_are_logged_once_for_each_hook(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Any) -> None:
        raise ValueError

    tracker = StatusTracker(fail, on_task_start=fail)
    notifier = notifier_of(tracker)
    for _ in range(3):
        tell(notifier)
        notifier.tell_start(start_event())
    assert len(caplog.records) == 2
    assert list(notifier.faults.values()) == [6]
    assert "antflow_item_status" in caplog.records[0].getMessage()
    assert "antflow_task_start" in caplog.records[1].getMessage()


def test_faults_are_logged_once_for_each_observer(caplog: pytest.LogCaptureFixture) -> None:
    notifier = notifier_of(Raising(ValueError("one")), Raising(ValueError("two")))
    for _ in range(3):
        tell(notifier)
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [str(error) for error in errors] == ["one", "two"]
    assert sorted(notifier.faults.values()) == [3, 3]


def test_faults_are_logged_once_for_each_run(caplog: pytest.LogCaptureFixture) -> None:
    observer = Raising(ValueError())
    for notifier in (notifier_of(observer), notifier_of(observer)):
        tell(notifier)
        tell(notifier)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("kind", [Raising, RaisingLater])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_observer_may_end_the_run_and_the_others_are_told(
    kind: type[Raising], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    abort = Aborts()
    notifier = notifier_of(kind(error), Watcher("a", told), abort=abort)
    assert simulate(tell_out(notifier)) is None
    assert abort.errors == [error]
    assert told == ["a"]
    assert caplog.records == []
    assert not notifier.faults


# Cancellation


def test_a_cancellation_interrupts_one_observer_and_the_others_are_told() -> None:
    told: list[str] = []
    notifier = notifier_of(Slow("a", told), Slow("b", told), Watcher("c", told))

    async def main() -> None:
        task = await cancel_while(tell_out(notifier))
        assert isinstance(task.result(), asyncio.CancelledError)

    simulate(main)
    assert told == ["a is called", "a is cancelled", "b is called", "b is done", "c"]


def test_a_cancellation_between_observers_is_found_by_the_next_that_waits() -> None:
    told: list[str] = []

    def cancel(event: StatusEvent) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    notifier = notifier_of(StatusTracker(cancel), Watcher("a", told), Slow("b", told))
    cut = simulate(tell_out(notifier))
    assert isinstance(cut, asyncio.CancelledError)
    assert told == ["a", "b is called", "b is cancelled"]


def test_two_cancellations_interrupt_two_observers() -> None:
    told: list[str] = []
    notifier = notifier_of(Slow("a", told), Slow("b", told), Slow("c", told))

    async def main() -> None:
        task = asyncio.ensure_future(tell_out(notifier))
        for _ in range(2):
            await settle()
            task.cancel()
        assert isinstance(await task, asyncio.CancelledError)

    simulate(main)
    assert told == [
        "a is called",
        "a is cancelled",
        "b is called",
        "b is cancelled",
        "c is called",
        "c is done",
    ]


def test_a_cancellation_is_not_logged_and_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    notifier = notifier_of(Slow("a", []))
    simulate(cancel_while(tell_out(notifier)))
    assert caplog.records == []
    assert not notifier.faults


def test_a_plain_function_s_cancelled_error_is_a_cancellation_in_a_cancelled_task() -> None:
    error = asyncio.CancelledError()
    told: list[str] = []
    notifier = notifier_of(Raising(error), Watcher("a", told))
    cut = simulate(while_being_cancelled(tell_out(notifier)))
    assert isinstance(cut, asyncio.CancelledError)
    assert told == ["a"]
    assert not notifier.faults


def test_an_observer_cannot_keep_a_cancellation_to_itself() -> None:
    told: list[str] = []

    async def stay(event: StatusEvent) -> None:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            told.append("kept")

    async def main() -> None:
        notifier = notifier_of(StatusTracker(stay), Watcher("a", told))
        cut = (await cancel_while(tell_out(notifier))).result()
        assert isinstance(cut, asyncio.CancelledError)

    simulate(main)
    assert told == ["kept", "a"]


def test_a_cancellation_that_is_still_to_come_is_not_told_of_by_one_who_does_not_wait() -> None:
    told: list[str] = []

    async def at_once(event: StatusEvent) -> None:
        told.append("at once")

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        notifier = notifier_of(StatusTracker(at_once))
        task.cancel()
        assert await tell_out(notifier) is None
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        task.uncancel()

    simulate(main)
    assert told == ["at once"]


def test_what_is_told_from_no_task_is_not_being_cancelled() -> None:
    async def main() -> None:
        seen: list[int] = []
        asyncio.get_running_loop().call_soon(lambda: seen.append(cancellations()))
        await settle()
        assert seen == [0]

    simulate(main)


# A start


def test_a_start_is_told_to_all() -> None:
    told: list[str] = []

    async def wait(event: TaskEvent) -> None:
        await asyncio.sleep(1)
        told.append("waited")

    observers = [Starting(lambda event: told.append("at once")), Starting(wait), Starting(wait)]
    assert simulate(start_out(notifier_of(*observers))) == (observers, None)
    assert told == ["at once", "waited", "waited"]


def test_a_start_that_plain_functions_hear_is_told_at_once() -> None:
    assert notifier_of(Starting(lambda event: None)).tell_start(start_event()) is None


def test_a_start_that_is_interrupted_is_not_told_any_further() -> None:
    told: list[str] = []

    async def wait(event: TaskEvent) -> None:
        await asyncio.sleep(1)

    observers = [
        Starting(lambda event: told.append("a")),
        Starting(wait),
        Starting(lambda event: told.append("c")),
    ]

    async def main() -> None:
        task = await cancel_while(start_out(notifier_of(*observers)))
        called, cut = task.result()
        assert called == observers[:2]
        assert isinstance(cut, asyncio.CancelledError)

    simulate(main)
    assert told == ["a"]


def test_a_start_is_interrupted_in_a_plain_function_too() -> None:
    def give_up(event: TaskEvent) -> None:
        raise asyncio.CancelledError

    observers = [Starting(lambda event: None), Starting(give_up), Starting(give_up)]
    called, cut = simulate(while_being_cancelled(start_out(notifier_of(*observers))))
    assert called == observers[:2]
    assert isinstance(cut, asyncio.CancelledError)


@pytest.mark.parametrize("error", FAULTS[:2])
def test_a_start_is_told_on_after_a_fault(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fail(event: TaskEvent) -> None:
        raise error

    async def fail_later(event: TaskEvent) -> None:
        await asyncio.sleep(1)
        raise error

    observers = [
        Starting(fail),
        Starting(lambda event: told.append("b")),
        Starting(fail_later),
        Starting(lambda event: told.append("d")),
    ]
    assert simulate(start_out(notifier_of(*observers))) == (observers, None)
    assert told == ["b", "d"]
    assert caplog.records


def test_those_of_some_observers_are_found_by_the_observer_itself() -> None:
    class Alike(Starting):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    first, second = Alike(print), Alike(print)
    notifier = notifier_of(first, second)
    (found,) = those_of(notifier.task_cancelled, notifier.task_start[:1])
    assert found.observer is first
    assert found.hook == "antflow_task_cancelled"


def test_who_was_called_and_has_no_other_function_is_left_out() -> None:
    def listener(observer: object, hook: str) -> Listener:
        return Listener(observer, "name", hook, print)

    one, two = object(), object()
    ends = (listener(two, "end"),)
    assert those_of(ends, (listener(one, "start"),)) == ()
    assert those_of(ends, (listener(one, "start"), listener(two, "start"))) == ends


# Observers that begin and cease to listen


def test_an_observer_begins_and_ceases_to_listen() -> None:
    tracker = StatusTracker()
    notifier = notifier_of(tracker)
    assert notifier.task_start == ()
    tracker.on_task_start = print
    assert len(notifier.task_start) == 1
    tracker.on_task_start = None
    assert notifier.task_start == ()


def test_all_who_tell_an_observer_learn_of_its_change() -> None:
    tracker = StatusTracker()
    notifiers = [notifier_of(tracker), notifier_of(tracker)]
    tracker.on_task_retry = print
    assert [len(notifier.task_retry) for notifier in notifiers] == [1, 1]


def test_the_order_of_observers_lasts_when_one_begins_to_listen() -> None:
    first, second = StatusTracker(), StatusTracker(on_task_start=print)
    notifier = notifier_of(first, second)
    first.on_task_start = print
    assert [listener.observer for listener in notifier.task_start] == [first, second]


def test_an_observer_does_not_keep_who_tells_it() -> None:
    tracker = StatusTracker()
    kept = ref(notifier_of(tracker))
    gc.collect()
    assert kept() is None
    tracker.on_task_start = print  # and nobody is told


def test_a_tracker_is_an_observer() -> None:
    assert isinstance(StatusTracker(), Observer)
