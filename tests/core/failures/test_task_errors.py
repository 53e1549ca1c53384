"""Tasks that raise CancelledError or another BaseException, or meddle with their worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, Stage
from tests.helpers.runs import (
    CustomExit,
    cancel,
    left,
    piped,
    run,
    same,
    stage,
    start_with,
    values,
    watched_or_not,
)
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

Callback = Callable[..., Any]


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

    async def wait(*_: Any) -> None:
        await asyncio.sleep(1)

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [gate], on_failure=wait)])
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


PLAIN = pytest.param(
    False,
    id="plain",
    marks=pytest.mark.xfail(
        strict=True, reason="the fast loop does not look at cancelling() after a success"
    ),
)


@pytest.mark.parametrize("watched", [PLAIN, pytest.param(True, id="watched")])
def test_a_cancellation_that_a_task_kept_is_forgotten(watched: bool) -> None:
    async def keep(value: int) -> int:
        if value == 0:
            try:
                cancel_own_worker()
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                return value
        if value == 1:
            raise asyncio.CancelledError  # of its own, and not the worker's
        return value

    async def main() -> None:
        pipeline = piped(stage(keep), watched=watched)
        assert values(await pipeline.run(range(3))) == [0, 2]
        assert values(pipeline.failures) == [1]

    simulate(main)


@pytest.mark.parametrize("watched", [False, True])
def test_a_task_that_cancels_its_worker_and_returns_at_once_ends_the_run(watched: bool) -> None:
    async def cancel_and_return(value: int) -> int:
        cancel_own_worker()
        return value

    async def main() -> None:
        pipeline = piped(stage(cancel_and_return), watched=watched)
        with pytest.raises(PipelineError, match="cancelled from outside"):
            await pipeline.run([1])
        assert values(pipeline.results) == [1]

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
