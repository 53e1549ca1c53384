"""Calling observers: which, in which order, and what becomes of those that raise."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Generator
from time import time
from typing import Any
from weakref import ref

import pytest

from antflow import StatusEvent, StatusTracker, TaskEvent
from antflow._engine.item import new_item
from antflow._plugins.dispatcher import Dispatcher, Observer, cancellations, listeners_of
from antflow.exceptions import PluginError
from tests.helpers.observers import Unmarked
from tests.helpers.runs import CustomExit
from tests.helpers.virtual_time import begun, settle, simulate

HOOKS = {
    "antflow_item_start": ["item_start"],
    "antflow_item_status": ["item_start", "status", "item_finish"],
    "antflow_item_finish": ["item_finish"],
    "antflow_task_start": ["task_start"],
    "antflow_task_success": ["task_success"],
    "antflow_task_retry": ["task_retry"],
    "antflow_task_failure": ["task_failure"],
    "antflow_task_cancelled": ["task_cancelled"],
}
LISTENERS = sorted({name for names in HOOKS.values() for name in names})


class Calls:
    """Observers of the status that note in one log what happens to them, by their name."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.aborts: list[BaseException] = []

    def plain(self, name: str, error: BaseException | None = None) -> object:
        """Return an observer that returns, or raises, at once."""

        def call(event: Any) -> None:
            self.log.append(name)
            if error is not None:
                raise error

        return StatusTracker(call)

    def slow(self, name: str, error: BaseException | None = None, *, stays: bool = False) -> object:
        """Return an observer that takes a second; one that `stays` keeps a cancellation back."""

        async def call(event: Any) -> None:
            self.log.append(name)
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                self.log.append(f"{name} is cancelled")
                if not stays:
                    raise
                return
            self.log.append(f"{name} is done")
            if error is not None:
                raise error

        return StatusTracker(call)

    def cancelling(self, name: str) -> object:
        """Return an observer that cancels the task that calls it."""

        def call(event: Any) -> None:
            self.log.append(name)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        return StatusTracker(call)

    def dispatcher(self, *observers: object) -> Dispatcher:
        return dispatcher_of(*observers, abort=self.aborts.append)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def dispatcher_of(
    *observers: object, abort: Callable[[BaseException], None] = lambda error: None
) -> Dispatcher:
    dispatcher = Dispatcher("pipeline", abort)
    dispatcher.listen(Unmarked(*observers))
    return dispatcher


def emit(dispatcher: Dispatcher) -> Any:
    return dispatcher.emit_status(new_item("x", 7, 0, 100), "Work", "queued")


async def emit_all(dispatcher: Dispatcher) -> int:
    """Emit a status to the end, and return how often this task was cancelled in the meantime."""
    pending = emit(dispatcher)
    if pending is not None:
        assert await pending is None
    return cancellations()


# Which listen


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("is_set", [True, False])
def test_one_function_is_enough_to_listen(hook: str, is_set: bool) -> None:
    function = (lambda self, event: None) if is_set else None
    observer = type("One", (), {hook: function})()
    dispatcher = dispatcher_of(object(), observer)
    assert dispatcher.is_silent == (not is_set)
    assert dispatcher.observes_tasks == (is_set and "task" in hook)
    for name in LISTENERS:
        expected = [observer] if is_set and name in HOOKS[hook] else []
        assert [listener.observer for listener in getattr(dispatcher, name)] == expected


def test_an_item_s_first_event_starts_it_and_its_last_finishes_it() -> None:
    hooks = ("antflow_item_finish", "antflow_item_status", "antflow_item_start")
    observer = type("All", (), {hook: lambda self, event: None for hook in hooks})()
    dispatcher = dispatcher_of(observer)
    assert [each.hook for each in dispatcher.item_start] == [hooks[2], hooks[1]]
    assert [each.hook for each in dispatcher.item_finish] == [hooks[1], hooks[0]]


def test_observers_may_be_replaced_also_while_an_event_is_emitted(calls: Calls) -> None:
    async def main() -> None:
        dispatcher = calls.dispatcher(calls.slow("a"))
        pending = await begun(emit_all(dispatcher))
        dispatcher.listen(Unmarked(calls.plain("b")))
        await pending
        await emit_all(dispatcher)
        dispatcher.listen(Unmarked())
        assert dispatcher.is_silent
        assert emit(dispatcher) is None

    simulate(main)
    assert calls.log == ["a", "a is done", "b"]


def test_listeners_are_found_by_the_names_of_their_plugins() -> None:
    one, two = StatusTracker(on_task_start=print), StatusTracker(on_task_start=print)
    listeners = dispatcher_of(one, two).task_start
    assert listeners_of(listeners, {listeners[1].name}) == listeners[1:]
    assert listeners_of(listeners, ()) == ()


# Events


@pytest.mark.parametrize("final", [True, False])
def test_a_status_event_has_everything_and_is_one_for_all(final: bool) -> None:
    seen: list[StatusEvent] = []
    dispatcher = dispatcher_of(StatusTracker(seen.append), StatusTracker(seen.append))
    item, before = new_item("x", 7, 0, 100), time()
    given = {"worker": "Work-W3", "metadata": {"error": "e"}} if final else {}
    assert dispatcher.emit_status(item, "Work", "failed", final=final, **given) is None  # type: ignore[arg-type]
    event, same = seen
    assert event is same
    assert (event.item_id, event.stage, event.status) == ("x", "Work", "failed")
    assert (event.worker, event.metadata) == (given.get("worker"), given.get("metadata", {}))
    assert (event.pipeline, event.run_id) == ("pipeline", dispatcher.run_id)
    assert event.final == final
    assert before <= event.timestamp <= time()
    assert event.item.value == 7


def test_run_ids_begin_with_the_pipeline_s_name_and_differ() -> None:
    run_ids = {dispatcher_of().run_id for _ in range(3)}
    assert len(run_ids) == 3
    assert all(run_id.startswith("pipeline-") for run_id in run_ids)


# Order


def test_plain_functions_are_called_at_once_and_in_order(calls: Calls) -> None:
    assert emit(calls.dispatcher(*map(calls.plain, "abc"))) is None
    assert calls.log == ["a", "b", "c"]


def test_each_observer_waits_for_the_ones_before_it(calls: Calls) -> None:
    observers = [calls.plain("a"), calls.slow("b"), calls.plain("c"), calls.slow("d")]
    pending = emit(calls.dispatcher(*observers))
    assert calls.log == ["a"]
    assert pending is not None

    async def main() -> None:
        assert await pending is None

    simulate(main)
    assert calls.log == ["a", "b", "b is done", "c", "d", "d is done"]


class Promise:
    """An awaitable that is no coroutine."""

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(1).__await__()
        self._log.append("kept")


def answering(answer: Any) -> StatusTracker:
    return StatusTracker(lambda event: answer)


def test_whatever_can_be_awaited_is_and_any_other_answer_is_ignored() -> None:
    log: list[str] = []

    async def main() -> None:
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(5, done.set_result, None)
        for answer in (Promise(log), done):
            pending = emit(dispatcher_of(answering(answer)))
            assert pending is not None
            await pending
        assert done.done()

    simulate(main)
    assert log == ["kept"]
    assert emit(dispatcher_of(answering("an answer"))) is None


def test_the_answers_to_a_call_are_returned_by_plugin(calls: Calls) -> None:
    class Asked:
        def __init__(self, answer: Any) -> None:
            self._answer = answer

        async def antflow_pipeline_start(self, arguments: dict[str, Any]) -> Any:
            if isinstance(self._answer, Exception):
                raise self._answer
            return self._answer, arguments

    dispatcher = calls.dispatcher(Asked(1), Asked(ValueError()), object(), Asked(2))
    found = simulate(dispatcher.call_hook("antflow_pipeline_start", {"total_items": 3}))
    assert list(found.values()) == [(1, {"total_items": 3}), None, (2, {"total_items": 3})]
    assert list(found) == ["Asked", "Asked-2", "Asked-3"]
    assert dispatcher.faults == {"Asked-2": 1}


# Observers that raise


@pytest.mark.parametrize("is_slow", [True, False])
@pytest.mark.parametrize(
    "error", [ValueError("of the hook"), asyncio.CancelledError(), CustomExit()], ids=repr
)
def test_an_error_is_logged_and_the_other_observers_are_called(
    calls: Calls, is_slow: bool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    raising = (calls.slow if is_slow else calls.plain)("raising", error)
    dispatcher = calls.dispatcher(calls.plain("a"), raising, calls.plain("b"))
    assert simulate(emit_all(dispatcher)) == 0
    assert (calls.log[0], calls.log[1], calls.log[-1]) == ("a", "raising", "b")
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "antflow._plugins.dispatcher")
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.exc_info[2] is not None
    for word in ("'pipeline'", "antflow_item_status", "StatusTracker-2", "'x'", "'Work'"):
        assert word in record.getMessage()
    assert calls.aborts == []


def test_a_generator_exit_of_a_plain_function_is_a_fault_like_any_other(calls: Calls) -> None:
    dispatcher = calls.dispatcher(calls.plain("a", GeneratorExit()), calls.plain("b"))
    assert emit(dispatcher) is None
    assert calls.log == ["a", "b"]
    assert dispatcher.faults == {"StatusTracker": 1}


def test_when_the_loop_is_gone_the_rest_is_not_awaited(calls: Calls) -> None:
    dispatcher = calls.dispatcher(calls.slow("a"), calls.slow("b"))
    pending = emit(dispatcher)
    waiting = pending.__await__()
    asyncio.run(_step(waiting))
    waiting.close()
    assert calls.log == ["a"]
    assert not dispatcher.faults


async def _step(waiting: Generator[Any, None, None]) -> None:
    next(waiting)


@pytest.mark.parametrize("is_slow", [True, False])
def test_a_fault_is_logged_once_for_each_plugin_hook_and_run_and_counted_each_time(
    calls: Calls, is_slow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    make = calls.slow if is_slow else calls.plain
    observers: list[Any] = [make("a", ValueError("one")), make("b", ValueError("two"))]
    observers[0].on_task_start = observers[0].on_status_change
    dispatcher = calls.dispatcher(*observers)

    async def main() -> None:
        for _ in range(3):
            await emit_all(dispatcher)
            event = TaskEvent("x", "Work", "task", "Work-W0", "start", 1, 0.0)
            pending = dispatcher.emit(dispatcher.task_start, event)
            if pending is not None:
                await pending
        await emit_all(calls.dispatcher(observers[1]))

    simulate(main)
    hooks = ["antflow_item_status", "antflow_item_status", "antflow_task_start"]
    logged = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert logged == ["one", "two", "one", "two"]
    for hook, record in zip(hooks, caplog.records, strict=False):
        assert hook in record.getMessage()
    assert dispatcher.faults == {"StatusTracker": 6, "StatusTracker-2": 3}


@pytest.mark.parametrize("is_slow", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_observer_may_end_the_run_and_the_others_are_called(
    calls: Calls, is_slow: bool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    ending = (calls.slow if is_slow else calls.plain)("ending", error)
    dispatcher = calls.dispatcher(ending, calls.plain("a"))
    simulate(emit_all(dispatcher))
    assert calls.aborts == [error]
    assert calls.log[-1] == "a"
    assert caplog.records == []
    assert not dispatcher.faults


def test_a_fault_ends_a_strict_run_and_the_others_are_called(calls: Calls) -> None:
    error = ValueError("of the hook")
    dispatcher = calls.dispatcher(calls.plain("a", error), calls.plain("b"))
    dispatcher.strict = True
    assert emit(dispatcher) is None
    assert calls.log == ["a", "b"]
    (abort,) = calls.aborts
    assert isinstance(abort, PluginError)
    assert (abort.plugin, abort.hook) == ("StatusTracker", "antflow_item_status")
    assert abort.item_id == "x"
    assert abort.__cause__ is error


# Cancellation: it ends the hook that it meets, and the task remembers it


@pytest.mark.parametrize(
    ("observers", "cancelled", "log"),
    [
        ("Ab", 1, "A,A is cancelled,b"),
        ("aAB", 1, "a,A,A is cancelled,B,B is done"),
        ("ABC", 2, "A,A is cancelled,B,B is cancelled,C,C is done"),
        ("!bC", 0, "!,b,C,C is cancelled"),  # between two observers: the next that waits
        ("A!C", 0, "A,A is done,!,C,C is cancelled"),
        ("?b", 1, "?,? is cancelled,b"),  # an observer cannot keep it from the task
        ("?A", 1, "?,? is cancelled,A,A is done"),
    ],
)
def test_a_cancellation_ends_one_hook_and_the_others_are_called(
    calls: Calls, observers: str, cancelled: int, log: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Capitals wait, "!" cancels, "?" waits and goes on after a cancellation."""

    def observer(name: str) -> object:
        if name == "!":
            return calls.cancelling(name)
        if name == "?" or name.isupper():
            return calls.slow(name, stays=name == "?")
        return calls.plain(name)

    dispatcher = calls.dispatcher(*map(observer, observers))

    async def main() -> None:
        task = await begun(emit_all(dispatcher))
        for _ in range(cancelled):
            task.cancel()
            await settle()
        assert await task == max(1, cancelled)

    simulate(main)
    assert ",".join(calls.log) == log
    assert caplog.records == []
    assert not dispatcher.faults


def test_in_a_cancelled_task_a_plain_function_s_cancelled_error_is_no_fault(calls: Calls) -> None:
    observers = [calls.cancelling("!"), calls.plain("a", asyncio.CancelledError())]
    dispatcher = calls.dispatcher(*observers, calls.plain("b"))

    async def main() -> None:
        assert emit(dispatcher) is None
        assert cancellations() == 1
        with pytest.raises(asyncio.CancelledError):  # which is still to be delivered
            await asyncio.sleep(0)

    simulate(main)
    assert calls.log == ["!", "a", "b"]
    assert not dispatcher.faults


def test_outside_of_a_task_there_is_no_cancellation() -> None:
    async def main() -> None:
        seen: list[int] = []
        asyncio.get_running_loop().call_soon(lambda: seen.append(cancellations()))
        await settle()
        assert seen == [0]

    simulate(main)


# Observers that begin and cease to listen


def test_observers_begin_and_cease_to_listen_and_keep_their_order() -> None:
    first, second = StatusTracker(), StatusTracker(on_task_start=print)
    assert isinstance(first, Observer)
    dispatchers = [dispatcher_of(first, second), dispatcher_of(first, second)]
    for function, expected in ((print, [first, second]), (None, [second])):
        first.on_task_start = function
        for dispatcher in dispatchers:
            assert [listener.observer for listener in dispatcher.task_start] == expected


def test_an_observer_does_not_keep_a_dispatcher() -> None:
    tracker = StatusTracker()
    kept = ref(dispatcher_of(tracker))
    gc.collect()
    assert kept() is None
    tracker.on_task_start = print  # and nothing happens
