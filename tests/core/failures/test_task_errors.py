"""Tasks that raise CancelledError or another BaseException, and workers that are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, Stage
from tests.helpers.runs import (
    CustomExit,
    cancel,
    left,
    piped,
    raised_by,
    run,
    same,
    stage,
    start_with,
    values,
    watched_or_not,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

# A task that raises CancelledError, or another BaseException


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_a_cancelled_error_of_a_task_fails_its_item_and_is_not_retried(retry: Any) -> None:
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
@simulated()
async def test_another_base_exception_ends_the_run_and_is_raised_as_it_is(
    error: type[BaseException], retry: Any
) -> None:
    gate, raised = Gate(), error("as it is")

    pipeline = Pipeline([Stage("Work", 3, [gate], retry), Stage("Last", 1, [same])])
    running = await begun(raised_by(pipeline.run(range(10))))
    gate.let(0)
    await settle()
    gate.fail(1, raised)
    assert await running is raised
    assert not others()
    assert gate.waiting == []
    assert values(pipeline.results) == [0]
    assert [(result.value, result.error) for result in pipeline.failures] == [(1, raised)]
    assert left(pipeline) == [2, 3, 4, 5, 6, 7, 8, 9]


@simulated()
async def test_a_base_exception_ends_a_started_pipeline_at_join() -> None:
    async def leave(value: int) -> None:
        raise CustomExit

    pipeline = Pipeline([Stage("Work", 1, [leave])])
    await start_with(pipeline, [1])
    with pytest.raises(CustomExit):
        await pipeline.join()
    assert values(pipeline.failures) == [1]


@simulated()
async def test_the_first_of_two_base_exceptions_is_raised() -> None:
    async def leave_again(value: int) -> None:
        try:
            await asyncio.sleep(value)
        except asyncio.CancelledError:
            raise CustomExit("second") from None
        raise CustomExit("first")

    pipeline = Pipeline([Stage("Work", 2, [leave_again])])
    with pytest.raises(CustomExit, match="first"):
        await pipeline.run([1, 2])


@simulated()
async def test_generator_exit_of_a_task_ends_the_run_and_loses_nothing() -> None:
    async def leave(value: int) -> int:
        if value == 1:
            raise GeneratorExit
        return value

    pipeline = Pipeline([Stage("Work", 1, [leave])])
    with pytest.raises(GeneratorExit):
        await pipeline.run(range(4))
    assert not others()
    assert values(pipeline.results) == [0]
    assert sorted(values(pipeline.failures) + left(pipeline)) == [1, 2, 3]


@simulated()
async def test_a_worker_whose_coroutine_is_closed_awaits_nothing() -> None:
    """As the garbage collector does with the tasks of a loop that was closed too early."""
    gate = Gate()

    async def wait(*_: Any) -> None:
        await asyncio.sleep(1)

    pipeline = Pipeline([Stage("Work", 1, [gate], on_failure=wait)])
    running = await begun(pipeline.run([1]))
    (worker,) = (task for task in others() if task.get_name() == "Work-W0")
    coroutine: Any = worker.get_coro()
    coroutine.close()  # RuntimeError if it awaits on
    assert pipeline.failures == []
    running.cancel()
    await asyncio.wait([running])
    assert left(pipeline) == [1]


# Workers that are cancelled


def cancel_own_worker() -> None:
    worker = asyncio.current_task()
    assert worker is not None
    worker.cancel()


@watched_or_not
@pytest.mark.parametrize(
    ("items", "waits", "ended"),
    [(range(4), True, [0]), (range(4), False, [0, 1]), ([1], False, [1])],
    ids=["waits", "returns", "returns-last"],
)
@simulated()
async def test_a_task_that_cancels_its_own_worker_ends_the_run_with_the_remedy(
    items: Sequence[int], waits: bool, ended: list[int], watched: bool
) -> None:
    async def cancel_worker(value: int) -> int:
        if value == 1:
            cancel_own_worker()
        if value != 1 or waits:
            await asyncio.sleep(1)
        return value

    pipeline = piped(stage(cancel_worker), watched=watched)
    with pytest.raises(PipelineError, match=r"'Work-W0' was cancelled from outside.*Raise"):
        await pipeline.run(items)
    assert not others()
    assert values(pipeline.results) == ended
    assert left(pipeline) == [value for value in items if value not in ended]


@pytest.mark.parametrize("name", ["First-W0", "Second-W1"], ids=["idle", "busy"])
@simulated()
async def test_a_worker_that_is_cancelled_from_outside_ends_the_run(name: str) -> None:
    stages = [Stage("First", 1, [same]), Stage("Second", 2, [Gate()])]
    pipeline = Pipeline(stages, name="books")
    running = await begun(pipeline.run(range(4)))
    (worker,) = (task for task in others() if task.get_name() == name)
    worker.cancel()
    with pytest.raises(PipelineError, match=f"'books'.*'{name}' was cancelled"):
        await running
    assert sorted(left(pipeline)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "watched",
    [
        pytest.param(
            False,
            marks=pytest.mark.xfail(
                strict=True, reason="the fast loop does not look at cancelling() after a success"
            ),
        ),
        True,
    ],
    ids=["plain", "watched"],
)
@simulated()
async def test_a_cancellation_that_a_task_kept_is_forgotten(watched: bool) -> None:
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

    pipeline = piped(stage(keep), watched=watched)
    assert values(await pipeline.run(range(3))) == [0, 2]
    assert values(pipeline.failures) == [1]


# Tasks that do not let themselves be cancelled


def cancel_run_of(task: Callable[..., Any], **fields: Any) -> Pipeline:
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


@pytest.mark.parametrize(
    ("fields", "failed"),
    [({"retry": "per_task"}, []), ({"retry": "per_stage"}, []), ({"task_attempts": 1}, [0])],
    ids=str,
)
def test_an_error_in_place_of_a_cancellation_is_not_retried_after_the_end(
    fields: dict[str, Any], failed: list[int]
) -> None:
    calls: list[int] = []

    async def convert(value: int) -> None:
        calls.append(value)
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            raise ValueError("converted") from None

    pipeline = cancel_run_of(convert, **fields)
    assert calls == [0]
    assert values(pipeline.failures) == failed
    assert left(pipeline) == [0, 1, 2][len(failed) :]


@simulated()
async def test_a_cancelled_attempt_leaves_its_item_unprocessed_in_its_stage() -> None:
    async def add(value: int) -> int:
        return value + 1

    async def wait(value: int) -> None:
        await asyncio.sleep(100)

    pipeline = Pipeline([Stage("Add", 1, [add]), Stage("Wait", 1, [add, wait])])
    running = await begun(pipeline.run([0]))
    running.cancel()
    await asyncio.wait([running])
    assert [(item.value, item.stage) for item in pipeline.unprocessed] == [(1, "Wait")]
