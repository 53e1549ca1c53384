"""`async with pipeline.running():` starts a pipeline, and stops it at the end of the block."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, TooManyFailuresError
from tests.helpers.runs import (
    CustomExit,
    double,
    fail,
    left,
    raised_by,
    same,
    sleep_long,
    stage,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle


def piped(*tasks: Any, **fields: Any) -> Pipeline:
    return Pipeline([stage(*tasks, **fields)], name="books")


async def slow_double(value: int) -> int:
    await asyncio.sleep(5)
    return 2 * value


@simulated()
async def test_all_items_are_finished_on_leaving() -> None:
    pipeline = piped(slow_double)
    async with pipeline.running() as entered:
        assert entered is pipeline
        await pipeline.feed([1, 2])
        handle = await pipeline.submit(3)
    assert values(pipeline.results) == [2, 4]
    assert (await handle).value == 6
    assert left(pipeline) == []
    assert not others()


@simulated()
async def test_after_an_exception_attempts_are_cancelled() -> None:
    pipeline = piped(sleep_long)
    handles, error = list[Any](), ValueError("of the block")

    async def serve() -> None:
        async with pipeline.running():
            handles.append(await pipeline.submit(1))
            await pipeline.feed([2])
            await settle()
            raise error

    assert await raised_by(serve()) is error
    assert sorted(left(pipeline)) == [1, 2]
    assert isinstance(await raised_by(handles[0]), PipelineError)
    assert not others()


@simulated()
async def test_cancelling_the_block_cancels_attempts() -> None:
    pipeline = piped(sleep_long)

    async def serve() -> None:
        async with pipeline.running():
            await pipeline.feed([1])
            await asyncio.sleep(1e6)

    serving = await begun(serve())
    serving.cancel()
    await asyncio.wait([serving])
    assert serving.cancelled()
    assert left(pipeline) == [1]
    assert not others()


@simulated()
async def test_cancelling_while_the_block_drains_cancels_attempts() -> None:
    pipeline = piped(sleep_long)

    async def serve() -> None:
        async with pipeline.running():
            await pipeline.feed([1])

    serving = await begun(serve())
    serving.cancel()
    await asyncio.wait([serving])
    assert serving.cancelled()
    assert left(pipeline) == [1]
    assert not others()


@simulated()
async def test_too_many_failures_are_raised_on_leaving() -> None:
    pipeline = Pipeline([stage(fail)], name="books", max_failures=0)

    async def serve() -> None:
        async with pipeline.running():
            handle = await pipeline.submit(1)
            assert (await handle).outcome == "failed"

    async def submit_again() -> None:
        async with pipeline.running():
            await pipeline.feed([1])
            await asyncio.sleep(1)
            await pipeline.submit(2)

    for use in (serve, submit_again):
        assert isinstance(await raised_by(use()), TooManyFailuresError)


@simulated()
async def test_what_ends_the_run_is_raised_on_leaving() -> None:
    error = CustomExit()

    async def exit_with(value: Any) -> Any:
        raise error

    async def serve() -> None:
        pipeline = piped(exit_with)
        async with pipeline.running():
            await pipeline.feed([1])
            await asyncio.sleep(1)

    assert await raised_by(serve()) is error


@simulated()
async def test_a_block_whose_pipeline_was_stopped_inside_ends() -> None:
    pipeline = piped(double)
    async with pipeline.running():
        await pipeline.feed([1])
        await pipeline.shutdown(drain=True)
    async with pipeline.running():
        await pipeline.feed([2])
        await pipeline.join()
    assert values(pipeline.results) == [4]


@simulated()
async def test_blocks_may_follow_each_other_but_not_overlap() -> None:
    pipeline = piped(same)
    for number in range(2):
        async with pipeline.running():
            assert (await pipeline.process(number)).value == number
            with pytest.raises(PipelineError):
                async with pipeline.running():
                    pass
            assert (await pipeline.process(number)).value == number


@simulated()
async def test_a_handle_can_be_cancelled_while_the_block_drains() -> None:
    gate = Gate()
    pipeline = piped(gate)

    async def serve(handles: list[Any]) -> None:
        async with pipeline.running():
            handles += [await pipeline.submit(number) for number in range(2)]
            await settle()

    handles = list[Any]()
    serving = await begun(serve(handles))
    assert not serving.done()
    for handle in handles:
        assert handle.cancel()
    await serving
    assert [(await handle).reason for handle in handles] == ["cancelled"] * 2
    assert left(pipeline) == []
