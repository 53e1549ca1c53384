"""Which run a call is for, while an earlier one ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, StatusEvent, hookimpl
from antflow.logs import UNPROCESSED_LOGGER
from tests.helpers.runs import CustomExit, same, stage, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import settle


class SlowEnd:
    """Takes a second to note that an item has ended."""

    @hookimpl
    async def antflow_item_finish(self, event: StatusEvent) -> None:
        await asyncio.sleep(1)


class Finish:
    """Has something to do at the end of a run."""

    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        await asyncio.sleep(1)


async def stopped_before_its_start(plugins: Any) -> tuple[Pipeline, asyncio.Task[Any]]:
    """Return a pipeline that was fed and is being stopped, and the call that stops it."""
    pipeline = Pipeline([stage(same)], plugins=plugins)
    await pipeline.feed(["early"])
    stopping = asyncio.create_task(pipeline.shutdown())
    await settle()
    assert not stopping.done()
    return pipeline, stopping


@simulated()
async def test_what_is_fed_while_start_waits_for_an_earlier_end_is_not_lost() -> None:
    pipeline, stopping = await stopped_before_its_start([SlowEnd()])
    starting = asyncio.create_task(pipeline.start())
    await settle()
    await pipeline.feed(["late"])
    await asyncio.gather(starting, stopping)
    await pipeline.join()
    assert values(pipeline.results) == ["late"]
    assert values(await stopping) == ["early"]


@simulated()
async def test_of_two_starts_that_wait_for_an_earlier_end_one_is_refused() -> None:
    pipeline, stopping = await stopped_before_its_start([SlowEnd()])
    answers = await asyncio.gather(pipeline.start(), pipeline.start(), return_exceptions=True)
    (refused,) = [answer for answer in answers if answer is not None]
    assert isinstance(refused, PipelineError)
    assert "already running" in str(refused)
    await stopping
    await pipeline.shutdown()


@simulated()
async def test_a_pipeline_is_running_until_its_end_or_until_its_stream_is_dropped() -> None:
    pipeline = Pipeline([stage(same)])
    seen = [pipeline.is_running]
    async with pipeline.running():
        seen.append(pipeline.is_running)
    seen.append(pipeline.is_running)
    stream = pipeline.stream(range(3))
    await anext(stream)
    seen.append(pipeline.is_running)
    del stream
    seen.append(pipeline.is_running)
    assert seen == [False, True, False, True, False]
    assert values(await pipeline.run([1])) == [1]


@simulated()
async def test_a_run_that_leaves_items_warns_by_a_logger_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = Pipeline([stage(same)])
    await pipeline.feed([1])
    await pipeline.shutdown()
    (record,) = caplog.records
    assert (record.name, record.levelname) == (UNPROCESSED_LOGGER, "WARNING")
    assert "1 item was returned unprocessed" in record.getMessage()


@simulated()
async def test_an_interrupt_in_the_length_of_an_input_leaves_the_last_results() -> None:
    class Broken(list[int]):
        def __len__(self) -> int:
            raise CustomExit

    pipeline = Pipeline([stage(same)])
    await pipeline.run([1])
    with pytest.raises(CustomExit):
        await pipeline.run(Broken())
    assert values(pipeline.results) == [1]


@simulated()
async def test_a_task_that_a_worker_left_behind_may_call_shutdown_after_the_end() -> None:
    left: list[asyncio.Task[Any]] = []

    async def leave(value: int) -> int:
        async def stop_later() -> None:
            await asyncio.sleep(5)
            await pipeline.shutdown()

        left.append(asyncio.create_task(stop_later()))
        return value

    pipeline = Pipeline([stage(leave)], plugins=[Finish()])
    await pipeline.start()
    await pipeline.feed([1])
    await pipeline.join()
    await left[0]
