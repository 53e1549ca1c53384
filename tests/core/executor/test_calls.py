"""Calls of an executor, beside what the documentation of `concurrent.futures` says."""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from functools import partial
from math import inf, nan
from types import TracebackType
from typing import Any

import pytest

from antflow import (
    AsyncExecutor,
    AsyncFuture,
    ExecutorShutdownError,
    PipelineError,
    PluginError,
    WaitStrategy,
    hookimpl,
)
from tests.helpers.runs import cancel, now, raised_by
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import begun, others, settle


async def after(seconds: float, result: Any = None) -> Any:
    """Return, or raise, after some seconds."""
    await asyncio.sleep(seconds)
    if isinstance(result, BaseException):
        raise result
    return result


def at_once(result: Any) -> Any:
    return result


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def all_of(iterator: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in iterator]


async def yielded(iterator: AsyncIterator[Any]) -> tuple[list[Any], BaseException | None]:
    """Return what an iterator yields, and the error that ends it."""
    seen: list[Any] = []
    try:
        async for each in iterator:
            seen.append(each)  # noqa: PERF401 - before the error
    except Exception as error:
        return seen, error
    return seen, None


def failing(number: int) -> ValueError:
    return ValueError(number)


# What each call gives, and when: seconds of virtual time


def calls(executor: AsyncExecutor, *seconds: float) -> list[AsyncFuture[float]]:
    """Submit calls that take so long and return that."""
    return [executor.submit(after, each, each) for each in seconds]


async def submitted(executor: AsyncExecutor) -> Any:
    return await executor.submit(after, 2, result="value")


async def in_a_thread(executor: AsyncExecutor) -> Any:
    future = executor.submit(threading.get_ident)
    return await future == threading.get_ident()


async def awaited_twice(executor: AsyncExecutor) -> Any:
    future = executor.submit(after, 1, "value")
    return await future, await future.result(), future.exception()


async def at_most_two(executor: AsyncExecutor) -> Any:
    return await executor.map(after, [1, 1, 1, 1], "abcd")


async def shortest(executor: AsyncExecutor) -> Any:
    return await executor.map(after, [3, 1], "abc")


async def mapped_plain(executor: AsyncExecutor) -> Any:
    return await executor.map(at_once, range(250))


async def iterated(executor: AsyncExecutor) -> Any:
    return await all_of(executor.map_iter(after, [3, 1, 1], "abc"))


async def nothing_mapped(executor: AsyncExecutor) -> Any:
    return await executor.map(after, []), await all_of(executor.map_iter(after, []))


async def completed(executor: AsyncExecutor) -> Any:
    futures = calls(executor, 3, 1, 1)
    return [await each async for each in executor.as_completed([*futures, futures[0]])]


async def completed_already(executor: AsyncExecutor) -> Any:
    futures = calls(executor, 1, 2)
    await executor.wait(futures)
    return [await each async for each in executor.as_completed(reversed(futures))]


async def with_a_callback(executor: AsyncExecutor) -> Any:
    future, called = executor.submit(after, 1, "value"), list[Any]()
    future.add_done_callback(lambda each: called.append(("first", each is future, each.done())))
    future.add_done_callback(lambda each: called.append("second"))
    await future
    future.add_done_callback(lambda each: called.append("at once"))
    return called


async def numbered(executor: AsyncExecutor) -> Any:
    return [future.sequence_id for future in calls(executor, 1, 0, 2)]


GIVES: dict[str, tuple[Callable[[AsyncExecutor], Any], Any, float]] = {
    "submit": (submitted, "value", 2),
    "a plain function runs in a thread": (in_a_thread, False, 0),
    "a future may be awaited again": (awaited_twice, ("value", "value", None), 1),
    "two workers": (at_most_two, ["a", "b", "c", "d"], 2),
    "map stops with the shortest": (shortest, ["a", "b"], 3),
    "map of a plain function": (mapped_plain, list(range(250)), 0),
    "map_iter keeps the order": (iterated, ["a", "b", "c"], 4),
    "map of nothing": (nothing_mapped, ([], []), 0),
    "as_completed, each once": (completed, [1, 1, 3], 3),
    "as_completed of ended calls": (completed_already, [2, 1], 2),
    "callbacks in their order": (with_a_callback, [("first", True, True), "second", "at once"], 1),
    "sequence ids": (numbered, [0, 1, 2], 2),
}

WAITS: dict[str, tuple[WaitStrategy, list[Any], Any, float]] = {
    "all": (WaitStrategy.ALL_COMPLETED, ["a", failing(1)], ([0, 1], []), 2),
    "the first": (WaitStrategy.FIRST_COMPLETED, ["a", "b"], ([0], [1]), 1),
    "an exception": (WaitStrategy.FIRST_EXCEPTION, [failing(1), "b"], ([0], [1]), 1),
    "no exception": (WaitStrategy.FIRST_EXCEPTION, ["a", "b"], ([0, 1], []), 2),
}


@pytest.mark.parametrize(("call", "expected", "seconds"), GIVES.values(), ids=GIVES)
@simulated()
async def test_a_call_gives(call: Any, expected: Any, seconds: float) -> None:
    async with AsyncExecutor(max_workers=2) as executor:
        assert await call(executor) == expected
    assert now() == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize(("strategy", "results", "expected", "seconds"), WAITS.values(), ids=WAITS)
@simulated()
async def test_wait_returns_what_is_done(
    strategy: WaitStrategy, results: list[Any], expected: Any, seconds: float
) -> None:
    async with AsyncExecutor(max_workers=2) as executor:
        futures = [executor.submit(after, each + 1, result) for each, result in enumerate(results)]
        found = await executor.wait(iter(futures), return_when=strategy)
        assert tuple(sorted(each.sequence_id for each in part) for part in found) == expected
        assert now() == pytest.approx(seconds, abs=0.01)
        await executor.wait(futures)
    assert [each.exception() for each in futures if each.exception()] == [
        each for each in results if isinstance(each, ValueError)
    ]


# What each raises


async def time_limit_of_a_result(executor: AsyncExecutor) -> None:
    future = executor.submit(after, 3, "value")
    assert isinstance(await raised_by(future.result(timeout=1)), TimeoutError)
    assert now() == pytest.approx(1, abs=0.01)
    assert await future == "value"  # the call goes on


async def time_limit_of_a_wait(executor: AsyncExecutor) -> None:
    futures = calls(executor, 1, 3)
    assert isinstance(await raised_by(executor.wait(futures, 2)), TimeoutError)
    for strategy in (WaitStrategy.FIRST_COMPLETED, WaitStrategy.FIRST_EXCEPTION):
        done, pending = await executor.wait(futures[1:], 0.1, strategy)
        assert (done, pending) == (set(), {futures[1]})
    assert await futures[1] == 3


async def time_limit_of_as_completed(executor: AsyncExecutor) -> None:
    futures = calls(executor, 1, 3)
    seen, error = await yielded(executor.as_completed(futures, timeout=2))
    assert (seen, type(error)) == ([futures[0]], TimeoutError)
    assert await futures[1] == 3


async def time_limit_of_map(executor: AsyncExecutor) -> None:
    assert isinstance(await raised_by(executor.map(after, [1, 9, 9, 9], timeout=2)), TimeoutError)
    await settle()
    assert now() == pytest.approx(2, abs=0.01)
    assert executor.get_stats().items_dropped == 3


async def time_limit_of_map_iter(executor: AsyncExecutor) -> None:
    results = executor.map_iter(after, [1, 9, 9, 9], "abcd", timeout=2)
    seen, error = await yielded(results)
    assert (seen, type(error)) == (["a"], TimeoutError)
    await settle()
    assert executor.get_stats().items_in_flight == 0


async def time_limits_that_are_none(executor: AsyncExecutor) -> None:
    future = executor.submit(after, 1)
    for timeout in (nan, "1", Decimal(1)):
        limit: Any = timeout
        for call in (
            executor.map(after, [1], timeout=limit),
            all_of(executor.map_iter(after, [1], timeout=limit)),
            executor.wait([future], limit),
            all_of(executor.as_completed([future], limit)),
            future.result(limit),
        ):
            error = await raised_by(call)
            assert isinstance(error, ValueError)
            assert str(error) == f"timeout is {timeout!r}; give seconds, or None for no limit"
    assert executor.get_stats().items_fed == 1
    assert isinstance(await raised_by(future.result(-1)), TimeoutError)
    assert await executor.map(at_once, [1], timeout=inf) == [1]


async def error_of_map(executor: AsyncExecutor) -> None:
    results = ["a", failing(1), failing(2), "d"]
    error = await raised_by(executor.map(after, [9, 1, 1, 9], results))
    assert error is results[1]
    assert now() == pytest.approx(1, abs=0.01)


async def error_of_map_iter(executor: AsyncExecutor) -> None:
    error = failing(1)
    results = executor.map_iter(after, [1, 1, 9], ["a", error, "c"])
    assert await yielded(results) == (["a"], error)


async def error_of_an_iterable(executor: AsyncExecutor) -> None:
    def broken() -> Iterator[int]:
        yield from (9, 8, 7)
        raise OSError

    seen, error = await yielded(executor.map_iter(after, broken(), "abcd"))
    assert (seen, type(error)) == (["a", "b", "c"], OSError)  # no result is lost
    assert isinstance(await raised_by(executor.map(after, broken())), OSError)
    assert isinstance(await raised_by(all_of(executor.map_iter(after, broken()))), OSError)
    await settle()
    assert executor.get_stats().items_in_flight == 0


async def end_of_an_executor_that_maps(executor: AsyncExecutor) -> None:
    results = executor.map_iter(after, [1] * 9, range(9))
    first = await anext(results)
    await executor.shutdown(wait=False)
    seen, error = await yielded(results)  # of the calls that were submitted before
    assert ([first, *seen], type(error)) == ([0, 1, 2], ExecutorShutdownError)


async def error_of_a_call(executor: AsyncExecutor) -> None:
    error = failing(1)
    future = executor.submit(after, 1, error)
    with pytest.raises(asyncio.InvalidStateError, match="not ended"):
        future.exception()
    assert await raised_by(future) is error
    assert future.exception() is error
    assert (future.done(), future.cancelled(), future.cancel()) == (True, False, False)


async def bad_arguments(executor: AsyncExecutor) -> None:
    for kind, match, call in (
        (TypeError, "cannot call 1", partial(executor.submit, 1)),
        (ValueError, "retries is -1", partial(executor.submit, at_once, retries=-1)),
        (
            ValueError,
            "retry_delay is nan",
            partial(executor.submit, at_once, retry_delay=nan),
        ),
        (TypeError, "semaphore is 1", partial(executor.submit, at_once, semaphore=1)),
    ):
        with pytest.raises(kind, match=match):
            call()
    assert isinstance(await raised_by(executor.map(after)), TypeError)
    assert isinstance(await raised_by(executor.wait([], return_when="all")), ValueError)  # type: ignore[arg-type]
    for workers in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="max_workers must be at least 1"):
            AsyncExecutor(workers)  # type: ignore[arg-type]


async def deadlocks(executor: AsyncExecutor) -> None:
    async def inside() -> None:
        future = executor.submit(at_once, 1)
        for call in (
            future.result(),
            executor.wait([future]),
            all_of(executor.as_completed([future])),
        ):
            assert isinstance(await raised_by(call), PipelineError)
        assert isinstance(await raised_by(executor.shutdown()), PipelineError)

    await executor.submit(inside)


RAISES = [
    time_limit_of_a_result,
    time_limit_of_a_wait,
    time_limit_of_as_completed,
    time_limit_of_map,
    time_limit_of_map_iter,
    time_limits_that_are_none,
    error_of_map,
    error_of_map_iter,
    error_of_an_iterable,
    end_of_an_executor_that_maps,
    error_of_a_call,
    bad_arguments,
    deadlocks,
]


@pytest.mark.parametrize("check", RAISES, ids=[each.__name__ for each in RAISES])
@simulated()
async def test_errors_and_time_limits(check: Any) -> None:
    executor = AsyncExecutor(max_workers=2)
    await check(executor)
    await executor.shutdown()


# Cancelling


@simulated()
async def test_a_call_is_cancelled_where_it_waits_and_where_it_runs() -> None:
    async with AsyncExecutor(max_workers=1) as executor:
        running, waiting, last = calls(executor, 9, 9, 1)
        await settle()
        assert [repr(each) for each in (running, waiting)] == [
            "<AsyncFuture 0: running>",
            "<AsyncFuture 1: waiting>",
        ]
        assert waiting.cancel()
        assert waiting.cancelled()
        assert running.cancel()
        for future in running, waiting:
            assert isinstance(await raised_by(future), asyncio.CancelledError)
            assert future.cancelled()
            assert not future.cancel()
            with pytest.raises(asyncio.CancelledError):
                future.exception()
        assert await last == 1
    assert now() == pytest.approx(1, abs=0.01)


@simulated()
async def test_cancelling_what_awaits_a_call_does_not_cancel_it() -> None:
    async with AsyncExecutor() as executor:
        (future,) = calls(executor, 2)
        waiting = await begun(future.result())
        await cancelled(waiting)
        assert await future == 2


@pytest.mark.parametrize("left_by", ["break", "cancel", "error", "error of an iterator"])
@simulated()
async def test_a_map_that_is_left_cancels_its_calls(left_by: str) -> None:
    async with AsyncExecutor(max_workers=2) as executor:
        if left_by == "cancel":
            await cancelled(await begun(executor.map(after, [9, 9, 9])))
        elif left_by == "error":
            await raised_by(executor.map(after, [1, 9, 9], [failing(1), "b", "c"]))
        elif left_by == "error of an iterator":
            await raised_by(all_of(executor.map_iter(after, [1, 9, 9], [failing(1), "b", "c"])))
        else:
            results = executor.map_iter(after, [1, 9, 9])
            async for _ in results:
                break
            await results.aclose()  # type: ignore[attr-defined]
        await settle()
        assert executor.get_stats().items_in_flight == 0


def test_a_map_that_is_closed_when_its_loop_is_gone_raises_nothing() -> None:
    async def main() -> Any:
        mapping = AsyncExecutor().map(after, [9])
        mapping.send(None)
        return mapping

    asyncio.run(main()).close()


@simulated()
async def test_map_iter_reads_no_more_than_it_runs() -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    async with AsyncExecutor(max_workers=3) as executor:
        results = executor.map_iter(after, numbers())
        for taken in range(1, 20):
            await anext(results)
            await settle()
            assert len(read) <= taken + 3
        await results.aclose()  # type: ignore[attr-defined]


# Shutting down


@simulated()
async def test_shutdown_waits_for_all_calls() -> None:
    executor = AsyncExecutor(max_workers=1)
    futures = calls(executor, 1, 1)
    await executor.shutdown()
    assert all(each.done() for each in futures)
    assert now() == pytest.approx(2, abs=0.01)
    with pytest.raises(ExecutorShutdownError, match="'executor' was shut down"):
        executor.submit(at_once, 1)
    await executor.shutdown()  # again


@simulated()
async def test_shutdown_without_waiting_returns_at_once_and_the_calls_go_on() -> None:
    executor = AsyncExecutor(max_workers=1)
    futures = calls(executor, 1, 1)
    await executor.shutdown(wait=False)
    assert now() == pytest.approx(0, abs=0.01)
    assert [await each for each in futures] == [1, 1]
    await settle()
    assert not others()


@simulated()
async def test_shutdown_cancels_what_waits_and_lets_running_calls_end() -> None:
    executor = AsyncExecutor(max_workers=1)
    running, waiting = calls(executor, 1, 1)
    await settle()
    await executor.shutdown(cancel_futures=True)
    assert (await running, waiting.cancelled()) == (1, True)
    assert now() == pytest.approx(1, abs=0.01)


@simulated()
async def test_shutdown_cancels_in_the_order_in_which_calls_wait() -> None:
    # Each is then the first that waits: in another order, finding them takes seconds for thousands.
    executor, cancelled = AsyncExecutor(max_workers=1), list[int]()
    running, *waiting = calls(executor, *[1] * 300)
    for future in waiting:
        future.add_done_callback(lambda each: cancelled.append(each.sequence_id))
    await settle()
    await executor.shutdown(cancel_futures=True)
    assert cancelled == list(range(1, 300))
    assert await running == 1


@simulated()
async def test_a_block_that_is_cancelled_cancels_its_calls() -> None:
    futures: list[AsyncFuture[float]] = []

    async def main() -> None:
        async with AsyncExecutor(max_workers=1) as executor:
            futures.extend(calls(executor, 9, 9))
            await asyncio.sleep(5)

    await cancel(await begun(main()))
    assert all(each.cancelled() for each in futures)
    assert not others()


@simulated()
async def test_a_block_that_raises_waits_for_its_calls() -> None:
    executor = AsyncExecutor()

    async def main() -> None:
        async with executor:
            calls(executor, 1)
            raise LookupError

    assert isinstance(await raised_by(main()), LookupError)
    assert executor.get_stats().items_processed == 1


@simulated()
async def test_an_executor_that_was_never_used_ends_without_a_run() -> None:
    await AsyncExecutor().shutdown()
    async with AsyncExecutor() as executor:
        await executor.shutdown()
        with pytest.raises(ExecutorShutdownError):
            executor.submit(at_once, 1)


def test_a_call_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncExecutor().submit(at_once, 1)


async def submit(executor: AsyncExecutor, future: AsyncFuture[Any]) -> Any:
    return await executor.submit(at_once, 1)


async def map_over(executor: AsyncExecutor, future: AsyncFuture[Any]) -> Any:
    return (await executor.map(at_once, [1]))[0]


async def await_future(executor: AsyncExecutor, future: AsyncFuture[Any]) -> Any:
    return await future


async def cancel_future(executor: AsyncExecutor, future: AsyncFuture[Any]) -> Any:
    return future.cancel()


async def shut_down(executor: AsyncExecutor, future: AsyncFuture[Any]) -> Any:
    await executor.shutdown()


ELSEWHERE: dict[Any, tuple[str, Any]] = {
    submit: ("run_coroutine_threadsafe(coroutine, loop), with a coroutine that", 1),
    map_over: ("run_coroutine_threadsafe(coroutine, loop), with a coroutine that", 1),
    await_future: ("run_coroutine_threadsafe(future.result(), loop)", "value"),
    cancel_future: ("call_soon_threadsafe(future.cancel)", True),
    shut_down: ("run_coroutine_threadsafe(executor.shutdown(), loop)", None),
}


@pytest.mark.parametrize("use", ELSEWHERE, ids=lambda use: use.__name__)
def test_on_another_loop_an_executor_names_the_call_for_other_loops(use: Any) -> None:
    remedy, expected = ELSEWHERE[use]

    async def main() -> None:
        executor, loop = AsyncExecutor(name="calls"), asyncio.get_running_loop()
        may_end = asyncio.Event()

        async def wait_and_return(value: str) -> str:
            await may_end.wait()
            return value

        future = executor.submit(wait_and_return, "value")

        def elsewhere() -> Any:
            with pytest.raises(PipelineError, match="'calls' belongs to another") as raised:
                asyncio.run(use(executor, future))
            assert remedy in str(raised.value)
            if use is not cancel_future:
                loop.call_soon_threadsafe(may_end.set)
            return asyncio.run_coroutine_threadsafe(use(executor, future), loop).result()

        assert await asyncio.to_thread(elsewhere) == expected
        await executor.shutdown()
        assert future.cancel() is False

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:.*its event loop closed:ResourceWarning")
@pytest.mark.parametrize("use", ELSEWHERE, ids=lambda use: use.__name__)
def test_an_executor_whose_loop_was_closed_asks_for_another(use: Any) -> None:
    async def begin() -> tuple[AsyncExecutor, AsyncFuture[Any]]:
        executor = AsyncExecutor(name="calls")
        return executor, executor.submit(after, 9, "value")

    loop = asyncio.new_event_loop()
    executor, future = loop.run_until_complete(begin())
    loop.close()
    with pytest.raises(PipelineError, match="executor 'calls' was closed"):
        asyncio.run(use(executor, future))
    del executor, future
    gc.collect()


# Lost errors


@pytest.mark.parametrize("is_asked", [True, False])
@simulated()
async def test_an_error_that_nothing_asks_for_is_logged(
    is_asked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExecutor() as executor:
        future = executor.submit(after, 1, failing(7))
        if is_asked:
            await raised_by(future)
    del future
    gc.collect()
    logged = [record.getMessage() for record in caplog.records]
    assert logged == (
        [] if is_asked else ["The error of <AsyncFuture 0: failed> was never asked for"]
    )


ENDS = {"a call": KeyboardInterrupt(), "a plugin": PluginError("no database")}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@simulated()
async def test_an_error_that_ends_the_executor_is_the_cause_of_what_its_futures_raise(
    end: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        @hookimpl
        def antflow_pipeline_start(self) -> None:
            if isinstance(end, PluginError):
                raise end

    executor = AsyncExecutor(max_workers=1, plugins=[Broken()], autoload=False)
    first, left = executor.submit(after, 0, end), executor.submit(after, 0)
    for future in (first, left) if isinstance(end, PluginError) else (left,):
        error = await raised_by(future)
        assert isinstance(error, ExecutorShutdownError)
        assert error.__cause__ is end
        assert not future.cancelled()
    assert await raised_by(executor.shutdown()) is end
    first.exception()
    assert not caplog.records  # no advice for items of a pipeline


@simulated()
async def test_a_block_that_is_cancelled_at_its_end_cancels_its_calls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    futures: list[AsyncFuture[float]] = []

    async def main() -> None:
        async with AsyncExecutor(max_workers=1) as executor:
            futures.extend(calls(executor, 9, 9))

    await cancel(await begun(main()))
    assert all(each.cancelled() for each in futures)
    assert not caplog.records


WAYS: dict[str, Callable[[AsyncExecutor], Any]] = {
    "await": lambda executor: executor.submit(fail),
    "result": lambda executor: executor.submit(fail).result(9),
    "map": lambda executor: executor.map(fail, [0]),
    "map_iter": lambda executor: all_of(executor.map_iter(fail, [0])),
}


class OwnError(Exception):
    """An error to which there are weak references."""


async def fail(value: Any = None) -> None:
    raise OwnError(value)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@simulated()
async def test_an_error_is_freed_without_the_garbage_collector(
    way: Callable[[AsyncExecutor], Any],
) -> None:
    async def user() -> weakref.ref[BaseException]:
        try:
            await way(executor)
        except OwnError as error:
            return weakref.ref(error)
        raise AssertionError

    async with AsyncExecutor(max_workers=1) as executor:
        gc.disable()
        try:
            error = await user()
            await executor.submit(after, 0)  # or the worker holds its last call
            assert error() is None
        finally:
            gc.enable()


@simulated()
async def test_the_traceback_of_an_error_does_not_grow() -> None:
    async with AsyncExecutor() as executor:
        future = executor.submit(fail)
        lengths = {len(traceback.extract_tb(_traceback(await raised_by(future)))) for _ in "abc"}
    assert len(lengths) == 1


def _traceback(error: BaseException | None) -> TracebackType | None:
    assert error is not None
    return error.__traceback__


@simulated()
async def test_a_callback_may_raise_the_cancellation_of_its_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with AsyncExecutor(max_workers=1) as executor:
        running, waiting, last = calls(executor, 9, 9, 1)
        await settle()
        for future in running, waiting:
            future.add_done_callback(AsyncFuture.exception)
            assert future.cancel()
        assert await last == 1
    assert len(caplog.records) == 2


@simulated()
async def test_a_refused_as_completed_leaves_no_callback() -> None:
    async with AsyncExecutor() as other, AsyncExecutor() as executor:
        (future,) = calls(other, 1)

        async def inside() -> None:
            assert isinstance(
                await raised_by(all_of(executor.as_completed([future, *calls(executor, 1)]))),
                PipelineError,
            )

        await executor.submit(inside)
        assert not future._callbacks


@simulated()
async def test_an_error_of_a_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExecutor() as executor:
        future, called = executor.submit(after, 1, "value"), list[str]()
        future.add_done_callback(lambda each: called[0])
        future.add_done_callback(lambda each: called.append("next"))
        assert await future == "value"
    assert called == ["next"]
    assert [record.getMessage() for record in caplog.records] == [
        "A callback of <AsyncFuture 0: succeeded> failed"
    ]
