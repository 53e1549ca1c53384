"""Tasks of every kind: coroutine functions, plain ones, unpacked arguments, what they may raise."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antflow import Pipeline, Stage, TaskFunc
from tests.helpers.runs import CustomExit, Failing, fail, left, run, same, stage, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import others
from tests.naming import id_of

Callback = Callable[..., Any]


# Several tasks


def test_each_task_gets_what_the_one_before_returned() -> None:
    async def add(value: int) -> int:
        return value + 1

    async def double(value: int) -> int:
        return value * 2

    assert values(run([Stage("Work", 1, [add, double, add])], [1, 2]).results) == [5, 7]


def test_the_tasks_after_a_failed_one_are_not_run() -> None:
    last = Failing(0)
    run([stage(fail, last)], [1])
    assert last.calls == []


# On the loop, or in a thread


def where(value: Any) -> str:
    return threading.current_thread().name


async def where_async(value: Any, mark: str = "") -> str:
    return where(value)


class AsyncCallable:
    async def __call__(self, value: Any) -> str:
        return where(value)


class PlainCallable:
    def __call__(self, value: Any) -> str:
        return where(value)


@functools.wraps(where_async)
def wrapped(value: Any) -> Awaitable[str]:
    return where_async(value)


def starting(value: Any) -> Awaitable[str]:
    return where_async(value)  # is awaited on the loop


def done(value: Any) -> Any:
    future: asyncio.Future[str] = loops[-1].create_future()
    future.set_result(where(value))
    return future


loops: list[asyncio.AbstractEventLoop] = []


@pytest.mark.parametrize(
    ("task", "thread"),
    [
        (where_async, None),
        (functools.partial(where_async, mark="x"), None),
        (functools.partial(functools.partial(where_async)), None),
        (AsyncCallable(), None),
        (AsyncCallable().__call__, None),
        (wrapped, None),
        (starting, None),
        (where, "Work-T0"),
        (functools.partial(where), "Work-T0"),
        (PlainCallable(), "Work-T0"),
        (done, "Work-T0"),
    ],
    ids=id_of,
)
@pytest.mark.parametrize("unpack_args", [False, True])
@simulated(threads=True)
async def test_coroutine_functions_run_on_the_loop_and_plain_ones_in_a_thread(
    task: TaskFunc, thread: str | None, unpack_args: bool
) -> None:
    loops.append(asyncio.get_running_loop())
    pipeline = Pipeline([stage(task, unpack_args=unpack_args)])
    await pipeline.run([7])
    loops.clear()
    assert values(pipeline.results) == [thread or threading.current_thread().name]


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
    pipeline = run([stage(task, unpack_args=unpack_args)], [1], threads=True)
    assert values(pipeline.results) == [expected]


# unpack_args


def spread(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


async def spread_async(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize("task", [spread, spread_async])
@pytest.mark.parametrize(
    ("value", "args", "kwargs"),
    [
        ({"a": 1, "b": 2}, (), {"a": 1, "b": 2}),
        ({}, (), {}),
        ([1, 2], (1, 2), {}),
        ((1, 2), (1, 2), {}),
        ([], (), {}),
        ([[1, 2]], ([1, 2],), {}),
        ("ab", ("ab",), {}),
        (b"ab", (b"ab",), {}),
        (7, (7,), {}),
        (None, (None,), {}),
        ({1, 2}, ({1, 2},), {}),
        (range(2), (range(2),), {}),
        (Text("ab"), (Text("ab"),), {}),
    ],
    ids=id_of,
)
def test_unpack_args_spreads_a_dict_a_list_or_a_tuple(
    task: TaskFunc, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    unpacked = run([stage(task, unpack_args=True)], [value], threads=True)
    assert values(unpacked.results) == [(args, kwargs)]
    whole = run([stage(task)], [value], threads=True)
    assert values(whole.results) == [((value,), {})]


def test_unpack_args_counts_for_every_task_of_the_stage() -> None:
    async def swap(first: int, second: int) -> tuple[int, int]:
        return second, first

    async def minus(first: int, second: int) -> int:
        return first - second

    assert values(run([stage(swap, minus, unpack_args=True)], [(1, 5)]).results) == [4]


@pytest.mark.parametrize("task", [lambda a, b: b, lambda a, *, c: c])
def test_arguments_that_do_not_fit_are_a_failure_of_the_item(task: Callback) -> None:
    pipeline = run([stage(task, unpack_args=True)], [{"depth": 1}, (1, 2, 3)], threads=True)
    assert [type(failure.error) for failure in pipeline.failures] == [TypeError] * 2


# What a task raises


async def raise_async(error: BaseException) -> None:
    raise error


def raise_plainly(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("task", [raise_plainly, raise_async])
@pytest.mark.parametrize(
    "error",
    [ValueError("bad"), StopIteration(), StopAsyncIteration("end"), asyncio.CancelledError("own")],
    ids=id_of,
)
def test_what_a_task_raises_fails_its_item_only(task: TaskFunc, error: BaseException) -> None:
    one = stage(task, skip_if=lambda value: value is not error)
    pipeline = run([one], [0, error, 2], threads=True)
    assert values(pipeline.results) == [0, 2]
    (failure,) = pipeline.failures
    assert failure.attempts == 1
    raised = failure.error
    if isinstance(error, StopIteration):  # as a coroutine raises it
        assert isinstance(raised, RuntimeError)
        raised = raised.__cause__
    assert raised is error


@pytest.mark.parametrize("task", [raise_plainly, raise_async])
@pytest.mark.parametrize("error", [CustomExit(), SystemExit(3), KeyboardInterrupt()], ids=id_of)
@simulated(threads=True)
async def test_an_exception_outside_exception_ends_the_run(
    task: TaskFunc, error: BaseException
) -> None:
    pipeline = Pipeline([stage(task)])
    with pytest.raises(type(error)) as caught:
        await pipeline.run([error, 2])
    assert caught.value is error
    assert not others()
    assert (values(pipeline.failures), left(pipeline)) == ([error], [2])
