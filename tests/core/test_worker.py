"""What a worker does with one item: attempts, skipping, callbacks, threads, all ways to fail."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, PipelineResult, Stage, TaskFunc
from tests.core.run_parts import (
    CustomExit,
    Failing,
    cancel,
    double,
    fail,
    piped,
    same,
    stage,
    start_with,
    values,
    watched_or_not,
)
from tests.core.simulation import Gate, begun, others, settle, simulate

Callback = Callable[..., Any]


def left(pipeline: Pipeline) -> list[Any]:
    return [item.value for item in pipeline.unprocessed]


def run(stages: list[Stage], items: Iterable[Any], **arguments: Any) -> Pipeline:
    """Run items through stages on the simulated loop, and return the pipeline to be asked."""

    async def main() -> Pipeline:
        pipeline = Pipeline(stages)
        await pipeline.run(items)
        assert not others()
        return pipeline

    return simulate(main, **arguments)


# Retries per task


def test_a_task_is_tried_again_after_the_wait() -> None:
    task = Failing(2)
    pipeline = run([Stage("Work", 1, [task], task_attempts=3, task_wait_seconds=60)], [7], tick=0.0)
    assert values(pipeline.results) == [7]
    assert pipeline.results[0].attempts == 3
    assert task.times == pytest.approx([0, 60, 120])


def test_by_default_a_task_is_tried_three_times_a_second_apart() -> None:
    task = Failing(99)
    pipeline = run([Stage("Work", 1, [task])], [7], tick=0.0)
    (failure,) = pipeline.failures
    assert (failure.attempts, str(failure.error)) == (3, "7, attempt 3")
    assert task.times == pytest.approx([0, 1, 2])


def test_one_attempt_is_not_tried_again() -> None:
    task = Failing(99)
    pipeline = run([Stage("Work", 1, [task], task_attempts=1)], [7])
    assert pipeline.failures[0].attempts == len(task.calls) == 1


def test_a_wait_of_nothing_takes_no_time() -> None:
    task = Failing(99)
    run([Stage("Work", 1, [task], task_attempts=50, task_wait_seconds=0)], [7], tick=0.0)
    assert task.times == [0.0] * 50


def test_a_worker_that_waits_for_a_retry_keeps_its_item_and_others_work_on() -> None:
    task = Failing(1)

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 2, [task], task_wait_seconds=100)])
        task.calls.append("good")  # its next call succeeds
        results = await pipeline.run(["bad", "good", "good"])
        assert values(results) == ["bad", "good", "good"]

    simulate(main)
    assert task.calls == ["good", "bad", "good", "good", "bad"]


def test_each_task_has_attempts_of_its_own_and_earlier_ones_are_not_repeated() -> None:
    first, second = Failing(2, "first"), Failing(2, "second")
    pipeline = run([Stage("Work", 1, [first, second], task_wait_seconds=1)], [7])
    assert values(pipeline.results) == [7]
    assert (len(first.calls), len(second.calls)) == (3, 3)


def test_attempts_are_those_of_the_last_task() -> None:
    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [Failing(2), same])])
        (result,) = await pipeline.run([7])
        assert result.attempts == 1
        (result,) = await Pipeline([Stage("Work", 1, [same, Failing(1)])]).run([7])
        assert result.attempts == 2

    simulate(main)


def test_attempts_are_those_of_the_stage_that_the_item_ended_in() -> None:
    retried, plain = Stage("Retried", 1, [Failing(1)]), Stage("Plain", 1, [same])
    assert run([retried, plain], [7]).results[0].attempts == 1
    retried.tasks = [Failing(1)]
    assert run([plain, retried], [7]).results[0].attempts == 2
    retried.tasks = [Failing(1)]
    once = Stage("Once", 1, [fail], task_attempts=1)
    assert run([retried, once], [7]).failures[0].attempts == 1


def test_the_error_is_that_of_the_last_attempt() -> None:
    pipeline = run([Stage("Work", 1, [Failing(99)], task_attempts=4)], [7])
    assert str(pipeline.failures[0].error) == "7, attempt 4"


# Retries per stage


def test_a_whole_stage_is_tried_again_from_its_first_task_without_a_wait() -> None:
    first, second = Failing(0, "first"), Failing(2, "second")
    stage = Stage("Work", 1, [first, second], retry="per_stage", task_wait_seconds=50)
    pipeline = run([stage], [7], tick=0.0)
    assert values(pipeline.results) == [7]
    assert pipeline.results[0].attempts == 3
    assert (first.times, second.times) == ([0.0] * 3, [0.0] * 3)


def test_a_stage_is_tried_three_times_by_default() -> None:
    task = Failing(99)
    pipeline = run([Stage("Work", 1, [same, task], retry="per_stage")], [7])
    assert pipeline.failures[0].attempts == len(task.calls) == 3


def test_task_attempts_do_not_count_when_the_stage_is_retried() -> None:
    task = Failing(99)
    run([Stage("Work", 1, [task], "per_stage", task_attempts=5, stage_attempts=2)], [7])
    assert len(task.calls) == 2


def test_an_item_tried_anew_starts_with_the_value_that_entered_the_stage() -> None:
    entered: list[int] = []

    async def add(value: int) -> int:
        entered.append(value)
        return value + 1

    pipeline = run([Stage("Work", 1, [add, Failing(1)], retry="per_stage")], [7])
    assert entered == [7, 7]
    assert values(pipeline.results) == [8]


def test_an_item_tried_anew_goes_behind_those_that_wait_at_its_priority() -> None:
    task = Failing(1)

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [task], retry="per_stage")])
        await pipeline.feed(["a", "b"], priority=5)
        await pipeline.feed(["later"], priority=6)
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    assert task.calls == ["a", "b", "a", "b", "later", "later"]


def test_stage_attempts_start_afresh_in_the_next_stage() -> None:
    stages = [Stage(name, 1, [Failing(2)], retry="per_stage") for name in ("First", "Second")]
    pipeline = run(stages, [7])
    assert values(pipeline.results) == [7]
    assert pipeline.results[0].attempts == 3


def test_a_failure_of_a_whole_stage_keeps_what_entered_it() -> None:
    async def add(value: int) -> int:
        return value + 1

    pipeline = run([Stage("Add", 1, [add]), Stage("Work", 1, [add, fail], "per_stage")], [7])
    (failure,) = pipeline.failures
    assert (failure.value, failure.stage, failure.attempts) == (8, "Work", 3)


# The plain path and the general one

PATHS: dict[str, dict[str, Any]] = {
    "plain": {},
    "several tasks": {"tasks": "before"},
    "skip_if": {"skip_if": lambda value: False},
    "on_success": {"on_success": lambda *_: None},
}


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("fails", [0, 1, 2, 3])
def test_every_path_gives_the_same_outcome(path: str, fails: int) -> None:
    fields = dict(PATHS[path])
    task = Failing(fails, "task")
    tasks: list[Any] = [same, task] if fields.pop("tasks", None) else [task]
    stage = Stage("Work", 2, tasks, task_wait_seconds=10, **fields)
    pipeline = run([stage, Stage("Last", 1, [same])], ["a", "b", "c"], tick=0.0)
    is_success = fails < 3
    ended = pipeline.results if is_success else pipeline.failures
    assert values(ended) == ["a", "b", "c"]
    assert [result.attempts for result in ended] == [1 if is_success else 3] * 3
    assert [result.stage for result in ended] == [None if is_success else "Work"] * 3
    stats = pipeline.get_stats().stage_stats["Work"]
    assert (stats.completed_items, stats.failed_items) == ((3, 0) if is_success else (0, 3))
    assert stats.retried_attempts == 3 * min(fails, 2)
    assert stats.tasks["task"].attempts == 3 * min(fails + 1, 3)
    assert stats.seconds["waiting"] == pytest.approx(20 * min(fails, 2))


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("error", [asyncio.CancelledError(), CustomExit(), SystemExit(3)])
def test_every_path_fails_alike_by_what_is_no_exception(path: str, error: BaseException) -> None:
    fields = dict(PATHS[path])

    async def task(value: int) -> int:
        if value == 1:
            raise error
        return value

    async def main() -> None:
        tasks = [same, task] if fields.pop("tasks", None) else [task]
        pipeline = Pipeline([Stage("Work", 1, tasks, **fields)])
        if isinstance(error, asyncio.CancelledError):
            await pipeline.run(range(3))
        else:
            with pytest.raises(type(error)):
                await pipeline.run(range(3))
        (failure,) = pipeline.failures
        assert (failure.value, failure.attempts, failure.error) == (1, 1, error)

    simulate(main)


# Several tasks


def test_each_task_gets_what_the_one_before_returned() -> None:
    async def add(value: int) -> int:
        return value + 1

    async def double(value: int) -> int:
        return value * 2

    assert values(run([Stage("Work", 1, [add, double, add])], [1, 2]).results) == [5, 7]


def test_what_follows_a_failed_task_is_not_run() -> None:
    follower = Failing(0)
    run([Stage("Work", 1, [fail, follower], task_attempts=1)], [1])
    assert follower.calls == []


# Skipping


def sync_skip(value: int) -> bool:
    return value == 1


async def async_skip(value: int) -> bool:
    await asyncio.sleep(1)
    return value == 1


@pytest.mark.parametrize("skip_if", [sync_skip, async_skip])
def test_a_skipped_item_keeps_its_value_and_goes_on(skip_if: Callback) -> None:
    task = Failing(0)

    async def double(value: int) -> int:
        await task(value)
        return 2 * value

    stages = [Stage("Work", 1, [double], skip_if=skip_if), Stage("Last", 1, [same])]
    pipeline = run(stages, [1, 2])
    assert values(pipeline.results) == [1, 4]
    assert task.calls == [2]
    stats = pipeline.get_stats().stage_stats["Work"]
    assert (stats.completed_items, stats.skipped_items) == (2, 1)
    assert pipeline.get_stats().items_processed == 2


def test_the_attempts_of_a_skipped_item_are_none() -> None:
    assert run([Stage("Work", 1, [same], skip_if=sync_skip)], [1]).results[0].attempts == 0


def test_a_skip_counts_by_its_truth() -> None:
    stage = Stage("Work", 1, [fail], task_attempts=1, skip_if=lambda value: value)
    pipeline = run([stage], ["text", ""])
    assert values(pipeline.results) == ["text"]
    assert values(pipeline.failures) == [""]


def test_skip_if_is_asked_once_an_item_and_not_once_an_attempt() -> None:
    asked: list[int] = []
    run([Stage("Work", 1, [Failing(2)], skip_if=asked.append)], [7])
    assert asked == [7]


async def async_refusal(value: int) -> bool:
    raise KeyError(value)


def sync_refusal(value: int) -> bool:
    raise KeyError(value)


async def cancelled_refusal(value: int) -> bool:
    raise asyncio.CancelledError


@pytest.mark.parametrize("skip_if", [sync_refusal, async_refusal, cancelled_refusal])
def test_an_item_is_not_skipped_if_the_predicate_raises(
    skip_if: Callback, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = run([Stage("Work", 1, [same], skip_if=skip_if)], [{"id": "x", "value": 7}])
    assert values(pipeline.results) == [7]
    assert pipeline.get_stats().stage_stats["Work"].skipped_items == 0
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    for word in ("'Work'", "skip_if", "'x'"):
        assert word in record.getMessage()


def test_a_base_exception_of_skip_if_ends_the_run() -> None:
    def leave(value: int) -> bool:
        raise CustomExit

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [same], skip_if=leave)])
        with pytest.raises(CustomExit):
            await pipeline.run([1, 2])
        assert not others()
        stats = pipeline.get_stats()
        assert stats.items_fed == 2
        assert stats.items_processed + stats.items_failed + stats.items_unprocessed == 2

    simulate(main)


# Callbacks


class Recorder:
    """A callback of each kind that notes what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, dict[str, Any]]] = []

    def sync(self, *arguments: Any) -> None:
        self.calls.append(arguments)

    async def awaited(self, *arguments: Any) -> None:
        await asyncio.sleep(1)
        self.sync(*arguments)

    def returns_an_awaitable(self, *arguments: Any) -> Awaitable[None]:
        return self.awaited(*arguments)

    def callable_object(self, *arguments: Any) -> Any:
        return AsyncObject(self)(*arguments)


class AsyncObject:
    """A callable object whose `__call__` is a coroutine function."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def __call__(self, *arguments: Any) -> None:
        await self._recorder.awaited(*arguments)


each_role = pytest.mark.parametrize("role", ["on_success", "on_failure", "on_skip"])
KINDS = ["sync", "awaited", "returns_an_awaitable", "callable_object"]
ITEM = {"id": "x", "value": 1, "size": "L"}


@pytest.mark.parametrize("kind", KINDS)
def test_on_success_gets_the_new_value_and_the_item(kind: str) -> None:
    recorder, unwanted = Recorder(), Recorder()
    stage = Stage(
        "Work",
        1,
        [double],
        on_success=getattr(recorder, kind),
        on_failure=unwanted.sync,
        on_skip=unwanted.sync,
    )
    run([stage], [ITEM])
    assert recorder.calls == [("x", 2, {"id": "x", "value": 2, "size": "L"})]
    assert unwanted.calls == []


@pytest.mark.parametrize("kind", KINDS)
def test_on_failure_gets_the_last_error_and_the_item_as_it_entered(kind: str) -> None:
    recorder, unwanted = Recorder(), Recorder()
    stage = Stage(
        "Work",
        1,
        [same, Failing(99)],
        on_failure=getattr(recorder, kind),
        on_success=unwanted.sync,
        on_skip=unwanted.sync,
    )
    pipeline = run([stage], [ITEM])
    assert recorder.calls == [
        ("x", pipeline.failures[0].error, {"id": "x", "value": 1, "size": "L"})
    ]
    assert unwanted.calls == []


@pytest.mark.parametrize("kind", KINDS)
def test_on_skip_gets_the_value_and_the_item(kind: str) -> None:
    recorder, unwanted = Recorder(), Recorder()
    stage = Stage(
        "Work",
        1,
        [fail],
        skip_if=lambda value: True,
        on_skip=getattr(recorder, kind),
        on_success=unwanted.sync,
        on_failure=unwanted.sync,
    )
    run([stage], [ITEM])
    assert recorder.calls == [("x", 1, {"id": "x", "value": 1, "size": "L"})]
    assert unwanted.calls == []


def test_a_callback_is_called_once_an_item_however_often_it_was_tried() -> None:
    success, failure = Recorder(), Recorder()
    for policy in ("per_task", "per_stage"):
        stage = Stage("Work", 1, [Failing(1)], policy, on_success=success.sync)
        run([stage], [1])
        stage = Stage("Work", 1, [Failing(9)], policy, on_failure=failure.sync)
        run([stage], [1])
    assert len(success.calls) == len(failure.calls) == 2


def test_what_a_callback_does_to_its_dict_does_not_reach_the_item() -> None:
    def spoil(item_id: Any, value: Any, item: dict[str, Any]) -> None:
        item.clear()

    pipeline = run([Stage("Work", 1, [same], on_success=spoil)], [ITEM])
    assert pipeline.results[0].metadata == {"size": "L"}


def raise_now(*_: Any) -> None:
    raise KeyError("callback")


async def raise_later(*_: Any) -> None:
    await asyncio.sleep(1)
    raise KeyError("callback")


async def raise_cancelled(*_: Any) -> None:
    raise asyncio.CancelledError


class RaisingObject:
    """A callable object whose `__call__` raises."""

    async def __call__(self, *_: Any) -> None:
        await raise_later()


def calling(role: str, callback: Callback) -> Stage:
    """Return a stage whose items fail, are skipped or succeed, so that this callback is called."""
    task = fail if role == "on_failure" else same
    return stage(task, skip_if=lambda value: role == "on_skip", **{role: callback})


def ended_by(role: str, pipeline: Pipeline) -> list[PipelineResult]:
    return pipeline.failures if role == "on_failure" else pipeline.results


@pytest.mark.parametrize("callback", [raise_now, raise_later, raise_cancelled, RaisingObject()])
@each_role
def test_a_callback_that_raises_is_logged_and_changes_nothing(
    callback: Callback, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    stages = [calling(role, callback), Stage("Last", 1, [same])]
    pipeline = run(stages, [ITEM, {"id": "y", "value": 2}])
    assert values(ended_by(role, pipeline)) == [1, 2]
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR] * 2
    assert caplog.records[0].exc_info
    for word in ("'Work'", "callback", "'x'"):
        assert word in caplog.records[0].getMessage()


@each_role
def test_an_outcome_stands_though_its_callback_is_cancelled(role: str) -> None:
    async def wait_for_ever(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        pipeline = Pipeline([calling(role, wait_for_ever)])
        running = await begun(pipeline.run([1, 2]))
        running.cancel()
        await asyncio.wait([running])
        assert values(ended_by(role, pipeline)) == [1]
        assert left(pipeline) == [2]

    simulate(main)


@each_role
def test_a_base_exception_of_a_callback_ends_the_run_and_the_outcome_stands(role: str) -> None:
    def leave(*_: Any) -> None:
        raise CustomExit

    async def main() -> None:
        pipeline = Pipeline([calling(role, leave)])
        with pytest.raises(CustomExit):
            await pipeline.run([1, 2])
        assert not others()
        assert values(ended_by(role, pipeline)) == [1]
        assert left(pipeline) == [2]

    simulate(main)


# unpack_args


async def area(width: int, height: int = 10) -> int:
    return width * height


def plain_area(width: int, height: int = 10) -> int:
    return width * height


@pytest.mark.parametrize("task", [area, plain_area])
@pytest.mark.parametrize(
    ("value", "expected"),
    [({"width": 2, "height": 3}, 6), ([2, 3], 6), ((2, 3), 6), (2, 20), ({"width": 2}, 20)],
)
def test_unpack_args_spreads_dicts_lists_and_tuples(
    task: Callback, value: Any, expected: int
) -> None:
    pipeline = run([Stage("Work", 1, [task], unpack_args=True)], [value], threads=True)
    assert values(pipeline.results) == [expected]


def test_unpack_args_counts_for_every_task_of_the_stage() -> None:
    async def swap(first: int, second: int) -> tuple[int, int]:
        return second, first

    async def minus(first: int, second: int) -> int:
        return first - second

    pipeline = run([Stage("Work", 1, [swap, minus], unpack_args=True)], [(1, 5)])
    assert values(pipeline.results) == [4]


def test_without_unpack_args_nothing_is_spread() -> None:
    pipeline = run([Stage("Work", 1, [same])], [[1, 2], {"a": 1}])
    assert values(pipeline.results) == [[1, 2], {"a": 1}]


def test_arguments_that_do_not_fit_are_the_item_s_failure() -> None:
    stage = Stage("Work", 1, [area], task_attempts=1, unpack_args=True)
    pipeline = run([stage], [{"depth": 1}, (1, 2)])
    assert values(pipeline.results) == [2]
    assert isinstance(pipeline.failures[0].error, TypeError)


# What kind of function a task is


class AsyncTask:
    """A callable object that runs on the loop."""

    async def __call__(self, value: int) -> str:
        return f"{value} in {threading.current_thread().name}"


def where(value: int) -> str:
    return f"{value} in {threading.current_thread().name}"


async def where_async(value: int, mark: str = "") -> str:
    return where(value)


@functools.wraps(where_async)
def wrapped(value: int) -> Awaitable[str]:
    return where_async(value)


@pytest.mark.parametrize(
    "task", [where_async, functools.partial(where_async, mark="x"), AsyncTask(), wrapped]
)
def test_coroutine_functions_of_every_kind_run_on_the_loop(task: Callback) -> None:
    pipeline = run([Stage("Work", 1, [task])], [7])
    assert values(pipeline.results) == [f"7 in {threading.current_thread().name}"]


@pytest.mark.parametrize("task", [where, functools.partial(where)])
def test_a_plain_function_runs_in_a_thread_of_its_stage(task: Callback) -> None:
    pipeline = run([Stage("Work", 1, [task])], [7], threads=True)
    assert values(pipeline.results) == ["7 in Work-T0"]


def test_an_awaitable_that_a_plain_function_returns_is_awaited_on_the_loop() -> None:
    def start(value: int) -> Awaitable[str]:
        return where_async(value)

    pipeline = run([Stage("Work", 1, [start])], [7], threads=True)
    assert values(pipeline.results) == [f"7 in {threading.current_thread().name}"]


def answering_at_once(task: Callable[[Any], Awaitable[Any]]) -> TaskFunc:
    """Decorate a coroutine function with what returns a plain value, as a cache does."""

    @functools.wraps(task)
    def answer(value: Any) -> Any:
        return ("cached", value)

    return answer


class Elastic:
    """An object that has whatever attribute is asked for."""

    def __getattr__(self, name: str) -> Any:
        return Elastic()

    def __call__(self, value: Any) -> Any:
        return ("elastic", value)


@pytest.mark.parametrize("unpack_args", [False, True])
@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (answering_at_once(same), ("cached", 1)),
        (functools.partial(answering_at_once(same)), ("cached", 1)),
        (Elastic(), ("elastic", 1)),
    ],
    ids=["wraps", "partial of wraps", "dynamic attributes"],
)
def test_an_unusual_callable_works_as_a_task(
    task: TaskFunc, expected: Any, unpack_args: bool
) -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage(task, unpack_args=unpack_args)])
        return values(await pipeline.run([1], return_exceptions=True))

    assert simulate(main, threads=True) == [expected]


def test_as_many_plain_functions_run_at_once_as_there_are_workers() -> None:
    meeting = threading.Barrier(40, timeout=10)

    def meet(value: int) -> int:
        meeting.wait()
        return value

    pipeline = run([Stage("Work", 40, [meet], task_attempts=1)], range(80), threads=True)
    assert values(pipeline.results) == list(range(80))


def test_a_plain_function_does_not_hold_the_loop() -> None:
    ended = threading.Event()

    def wait(value: int) -> bool:
        return ended.wait(10)

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [wait])])
        running = await begun(pipeline.run([1]))
        assert pipeline.get_worker_states()["Work-W0"].status == "busy"
        ended.set()
        assert values(await running) == [True]

    simulate(main, threads=True)


def test_a_plain_function_sees_the_context_of_its_worker() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def main() -> None:
        variable.set("of the caller")
        pipeline = Pipeline([Stage("Work", 1, [lambda value: variable.get()])])
        assert values(await pipeline.run([1])) == ["of the caller"]

    simulate(main, threads=True)


def test_a_plain_function_is_retried_like_any_other() -> None:
    calls = itertools.count(1)

    def fail_twice(value: int) -> int:
        if next(calls) < 3:
            raise ValueError
        return value

    pipeline = run([Stage("Work", 1, [fail_twice])], [7], threads=True)
    assert pipeline.results[0].attempts == 3


def test_a_plain_function_that_raises_a_base_exception_ends_the_run() -> None:
    def leave(value: int) -> None:
        raise CustomExit

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [leave])])
        with pytest.raises(CustomExit):
            await pipeline.run([1, 2])
        assert not others()
        assert values(pipeline.failures) == [1]
        assert left(pipeline) == [2]

    simulate(main, threads=True)


def test_cancelled_error_of_a_plain_function_is_that_item_s_failure() -> None:
    def give_up(value: int) -> int:
        if value == 1:
            raise asyncio.CancelledError
        return value

    pipeline = run([Stage("Work", 1, [give_up])], range(3), threads=True)
    assert values(pipeline.results) == [0, 2]
    assert [(result.value, result.attempts) for result in pipeline.failures] == [(1, 1)]


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
def test_a_task_that_raises_the_end_of_an_iteration_fails_its_item_only(
    error: type[Exception],
) -> None:
    def stop(value: int) -> int:
        if value == 1:
            raise error
        return value

    async def stop_async(value: int) -> int:
        return stop(value)

    for task in (stop, stop_async):
        pipeline = run([Stage("Work", 1, [task], task_attempts=1)], [0, 1, 2], threads=True)
        assert values(pipeline.results) == [0, 2]
        assert values(pipeline.failures) == [1]


# A task that raises CancelledError, or another BaseException


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_cancelled_error_of_a_task_is_that_item_s_failure_and_not_retried(retry: Any) -> None:
    calls: list[int] = []

    async def give_up(value: int) -> int:
        calls.append(value)
        if value == 1:
            raise asyncio.CancelledError("given up")
        return value

    pipeline = run([Stage("Work", 1, [give_up], retry)], [0, 1, 2])
    assert values(pipeline.results) == [0, 2]
    (failure,) = pipeline.failures
    assert (failure.value, failure.attempts, str(failure.error)) == (1, 1, "given up")
    assert calls == [0, 1, 2]
    assert pipeline.get_stats().stage_stats["Work"].errors_by_type == {"CancelledError": 1}


def test_a_task_that_awaits_what_somebody_cancels_fails() -> None:
    async def await_cancelled(value: int) -> None:
        inner = asyncio.ensure_future(asyncio.sleep(100))
        asyncio.get_running_loop().call_later(1, inner.cancel)
        await inner

    pipeline = run([Stage("Work", 1, [await_cancelled])], [1])
    assert isinstance(pipeline.failures[0].error, asyncio.CancelledError)


def test_a_time_limit_inside_a_task_is_an_ordinary_error() -> None:
    calls: list[int] = []

    async def time_out(value: int) -> None:
        calls.append(value)
        async with asyncio.timeout(5):
            await asyncio.sleep(100)

    pipeline = run([Stage("Work", 1, [time_out])], [1])
    assert isinstance(pipeline.failures[0].error, TimeoutError)
    assert len(calls) == 3


@pytest.mark.parametrize("error", [CustomExit, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_another_base_exception_ends_the_run_and_is_raised_as_it_is(
    error: type[BaseException], retry: Any
) -> None:
    gate, raised = Gate(), error("as it is")

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 3, [gate], retry), Stage("Last", 1, [same])])
        running = await begun(catch(pipeline.run(range(10))))
        gate.let(0)
        await settle()
        gate.fail(1, raised)
        assert await running is raised
        assert not others()
        assert gate.waiting == []
        assert values(pipeline.results) == [0]
        assert [(result.value, result.error) for result in pipeline.failures] == [(1, raised)]
        assert left(pipeline) == [2, 3, 4, 5, 6, 7, 8, 9]

    async def catch(awaitable: Awaitable[Any]) -> BaseException | None:
        try:
            await awaitable
        except BaseException as caught:
            return caught
        return None

    simulate(main)


def test_a_base_exception_ends_a_started_pipeline_at_join() -> None:
    async def leave(value: int) -> None:
        raise CustomExit

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [leave])])
        await start_with(pipeline, [1])
        with pytest.raises(CustomExit):
            await pipeline.join()
        assert values(pipeline.failures) == [1]

    simulate(main)


def test_the_first_of_two_base_exceptions_is_raised() -> None:
    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 2, [leave_again])])
        with pytest.raises(CustomExit, match="first"):
            await pipeline.run([1, 2])

    async def leave_again(value: int) -> None:
        try:
            await asyncio.sleep(value)
        except asyncio.CancelledError:
            raise CustomExit("second") from None
        raise CustomExit("first")

    simulate(main)


def test_generator_exit_of_a_task_ends_the_run_and_loses_nothing() -> None:
    async def leave(value: int) -> int:
        if value == 1:
            raise GeneratorExit
        return value

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [leave])])
        with pytest.raises(GeneratorExit):
            await pipeline.run(range(4))
        assert not others()
        assert values(pipeline.results) == [0]
        assert sorted(values(pipeline.failures) + left(pipeline)) == [1, 2, 3]

    simulate(main)


def test_a_worker_whose_coroutine_is_closed_awaits_nothing() -> None:
    """As the garbage collector does with the tasks of a loop that was closed too early."""
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [gate], on_failure=raise_later)])
        running = await begun(pipeline.run([1]))
        (worker,) = (task for task in others() if task.get_name() == "Work-W0")
        coroutine: Any = worker.get_coro()
        coroutine.close()  # RuntimeError if it awaits on
        assert pipeline.failures == []
        running.cancel()
        await asyncio.wait([running])
        assert left(pipeline) == [1]

    simulate(main)


# A task that meddles with its own worker


def cancel_own_worker() -> None:
    worker = asyncio.current_task()
    assert worker is not None
    worker.cancel()


def test_a_task_that_cancels_its_own_worker_ends_the_run_and_is_told_so() -> None:
    async def cancel_and_wait(value: int) -> int:
        if value == 1:
            cancel_own_worker()
            await asyncio.sleep(1)
        return value

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [cancel_and_wait])], name="books")
        with pytest.raises(PipelineError, match=r"'books'.*'Work-W0' was cancelled.*Raise"):
            await pipeline.run(range(4))
        assert not others()
        assert values(pipeline.results) == [0]
        assert left(pipeline) == [1, 2, 3]

    simulate(main)


@watched_or_not
def test_a_task_that_cancels_its_own_worker_and_returns_ends_the_run_too(watched: bool) -> None:
    async def cancel_and_return(value: int) -> int:
        if value == 1:
            cancel_own_worker()
        else:
            await asyncio.sleep(1)
        return value

    async def main() -> None:
        pipeline = piped(stage(cancel_and_return), watched=watched)
        with pytest.raises(PipelineError, match="'Work-W0' was cancelled"):
            await pipeline.run(range(4))
        assert not others()
        assert values(pipeline.results) == [0, 1]
        assert left(pipeline) == [2, 3]

    simulate(main)


def test_a_worker_that_is_cancelled_from_outside_ends_the_run() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 2, [gate])])
        running = await begun(pipeline.run(range(4)))
        (worker,) = (task for task in others() if task.get_name() == "Work-W1")
        worker.cancel()
        with pytest.raises(PipelineError, match="'Work-W1' was cancelled"):
            await running
        assert sorted(left(pipeline)) == [0, 1, 2, 3]

    simulate(main)


def test_an_idle_worker_that_is_cancelled_ends_the_run() -> None:
    gate = Gate()

    async def main() -> None:
        pipeline = Pipeline([Stage("First", 1, [same]), Stage("Second", 1, [gate])])
        running = await begun(pipeline.run([1]))
        (worker,) = (task for task in others() if task.get_name() == "First-W0")
        worker.cancel()
        with pytest.raises(PipelineError, match="'First-W0' was cancelled"):
            await running
        assert left(pipeline) == [1]

    simulate(main)


# Tasks that do not let themselves be cancelled


def cancel_run_of(task: Callback, **fields: Any) -> Pipeline:
    async def main() -> Pipeline:
        pipeline = Pipeline([Stage("Work", 1, [task], **fields), Stage("Last", 1, [same])])
        running = await begun(pipeline.run(range(3)))
        await cancel(running)
        return pipeline

    return simulate(main)


def test_what_a_task_returns_in_spite_of_its_cancellation_moves_on() -> None:
    async def swallow(value: int) -> str:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return "swallowed"
        return "slept"

    pipeline = cancel_run_of(swallow)
    assert [(item.value, item.stage) for item in pipeline.unprocessed] == [
        (1, "Work"),
        (2, "Work"),
        ("swallowed", "Last"),
    ]


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_an_error_in_place_of_a_cancellation_is_not_retried_after_the_end(retry: Any) -> None:
    calls: list[int] = []

    async def convert(value: int) -> None:
        calls.append(value)
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            raise ValueError("converted") from None

    pipeline = cancel_run_of(convert, retry=retry)
    assert calls == [0]
    assert left(pipeline) == [0, 1, 2]
    assert pipeline.failures == []


def test_the_last_attempt_s_error_in_place_of_a_cancellation_is_a_failure() -> None:
    async def convert(value: int) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            raise ValueError("converted") from None

    pipeline = cancel_run_of(convert, task_attempts=1)
    assert values(pipeline.failures) == [0]
    assert left(pipeline) == [1, 2]


def test_a_cancelled_attempt_leaves_its_item_unprocessed_in_its_stage() -> None:
    async def add(value: int) -> int:
        return value + 1

    async def wait(value: int) -> None:
        await asyncio.sleep(100)

    async def main() -> None:
        pipeline = Pipeline([Stage("Add", 1, [add]), Stage("Wait", 1, [add, wait])])
        running = await begun(pipeline.run([0]))
        running.cancel()
        await asyncio.wait([running])
        assert [(item.value, item.stage) for item in pipeline.unprocessed] == [(1, "Wait")]

    simulate(main)
