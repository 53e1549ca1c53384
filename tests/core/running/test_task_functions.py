"""Tasks of every kind: several in a row, coroutine functions, plain ones, unpacked arguments."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from antflow import Pipeline, Stage, TaskFunc
from tests.helpers.runs import CustomExit, Failing, fail, left, run, same, stage, values
from tests.helpers.virtual_time import begun, others, simulate

Callback = Callable[..., Any]


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
