"""`process`: one item in, its own result out."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from antflow import Pipeline, PipelineError, PipelineResult
from tests.helpers.runs import double, left, refuse_odd, same, stage, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle


async def started(*tasks: Any, **fields: Any) -> Pipeline:
    pipeline = Pipeline([stage(*tasks, **fields)], name="books")
    await pipeline.start()
    return pipeline


@simulated()
async def test_the_result_goes_to_the_caller_and_is_not_kept() -> None:
    pipeline = await started(double, double)
    result = await pipeline.process({"id": "x", "value": 1, "size": "L"})
    assert (result.id, result.value, result.metadata) == ("x", 4, {"size": "L"})
    await pipeline.feed([5])
    await pipeline.join()
    assert values(pipeline.results) == [20]
    assert pipeline.get_stats().items_processed == 2


@simulated()
async def test_a_failure_is_returned_as_a_result() -> None:
    pipeline = await started(refuse_odd)
    result = await pipeline.process(3)
    assert (result.value, result.stage, str(result.error)) == (3, "Work", "3 is odd")
    await pipeline.join()
    assert pipeline.failures == []
    assert pipeline.get_stats().items_failed == 1


@simulated()
async def test_each_caller_gets_the_result_of_its_own_item() -> None:
    async def sleep_that_long(value: int) -> int:
        await asyncio.sleep(value)
        return value

    pipeline = await started(sleep_that_long, workers=3, queue_capacity=1)
    numbers = [3, 1, 2, 5, 4]
    assert values(await asyncio.gather(*map(pipeline.process, numbers))) == numbers
    await pipeline.join()
    assert pipeline.results == []


@simulated()
async def test_a_lower_priority_goes_first() -> None:
    gate = Gate()
    pipeline = await started(gate)
    await pipeline.feed(["held", "waiting"])
    call = await begun(pipeline.process("urgent", priority=1))
    gate.open()
    await call
    await pipeline.join()
    assert gate.entered == ["held", "urgent", "waiting"]


# Cancelled


@simulated()
async def test_the_item_of_a_cancelled_call_goes_on_and_its_result_is_kept() -> None:
    gate = Gate()
    pipeline = await started(gate)
    call = await begun(pipeline.process(1))
    call.cancel()
    await asyncio.wait([call])
    assert gate.waiting == [1]
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == [1]


@simulated()
async def test_a_result_that_comes_as_the_call_is_cancelled_is_not_lost() -> None:
    pipeline = await started(same)
    call = asyncio.create_task(pipeline.process(1))
    while not pipeline.get_stats().items_processed:
        await asyncio.sleep(0)
    assert not call.done()  # its result is there, and it has not run since
    call.cancel()
    await asyncio.wait([call])
    await pipeline.join()
    taken = [] if call.cancelled() else [call.result()]
    assert values(pipeline.results + taken) == [1]


@simulated()
async def test_a_call_cancelled_while_the_stage_is_full_feeds_nothing() -> None:
    gate = Gate()
    pipeline = await started(gate, queue_capacity=1)
    await pipeline.feed([1, 2])
    call = await begun(pipeline.process(3))
    call.cancel()
    await asyncio.wait([call])
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == [1, 2]
    assert pipeline.get_stats().items_fed == 2


@pytest.mark.parametrize("steps", range(10))
@simulated()
async def test_a_call_cancelled_as_the_run_ends_is_cancelled(steps: int) -> None:
    pipeline = await started(Gate())
    call = await begun(pipeline.process(1))
    stop = asyncio.create_task(pipeline.shutdown(timeout=0))
    for _ in range(steps):
        await asyncio.sleep(0)
    was_waiting = call.cancel()
    await asyncio.wait([call, stop])
    assert call.cancelled() == was_waiting
    if not was_waiting:
        assert isinstance(call.exception(), PipelineError)


# The end of the run


@simulated()
async def test_a_shutdown_ends_the_calls_that_wait() -> None:
    gate = Gate()
    pipeline = await started(gate, queue_capacity=1)
    calls = [asyncio.create_task(pipeline.process(number)) for number in range(3)]
    await settle()
    shutdown = await begun(pipeline.shutdown())
    gate.open()
    assert values(await shutdown) == [1]
    running, waiting, outside = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(running, PipelineResult)
    assert running.value == 0
    for error, text in (
        (waiting, "pipeline.unprocessed"),
        (outside, "'books' was stopped before it took the item"),
    ):
        assert isinstance(error, PipelineError)
        assert "'books'" in str(error)
        assert text in str(error)


def test_a_call_whose_item_ends_the_run_raises() -> None:
    def refuse(*_: Any, **__: Any) -> asyncio.Task[Any]:
        raise RuntimeError("no more tasks")

    async def main() -> None:
        pipeline = await started(same)
        loop = asyncio.get_running_loop()
        loop.set_task_factory(cast(Any, refuse))
        with pytest.raises(PipelineError, match=r"pipeline\.unprocessed"):
            await pipeline.process(1)
        loop.set_task_factory(None)
        assert left(pipeline) == [1]

    asyncio.run(main())


@simulated()
async def test_join_waits_for_the_item_and_a_later_call_is_refused() -> None:
    gate = Gate()
    pipeline = await started(gate)
    call = await begun(pipeline.process(1))
    join = await begun(pipeline.join())
    assert not join.done()
    with pytest.raises(PipelineError, match="'books' is about to end"):
        await pipeline.process(2)
    gate.open()
    await join
    assert (await call).value == 1
