"""`submit` and `submit_nowait`: one item in, and a handle of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from antflow import (
    ItemHandle,
    Pipeline,
    PipelineError,
    PipelineFullError,
    StatusEvent,
    UnprocessedItem,
    hookimpl,
)
from tests.helpers.runs import (
    Failing,
    cancel,
    double,
    left,
    raised_by,
    refuse_odd,
    same,
    stage,
    stats_of,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate


async def started(*tasks: Any, plugins: Any = (), **fields: Any) -> Pipeline:
    pipeline = Pipeline([stage(*tasks, **fields)], name="books", plugins=plugins)
    await pipeline.start()
    return pipeline


async def by_submit(pipeline: Pipeline, item: Any) -> ItemHandle:
    return await pipeline.submit(item)


async def by_submit_nowait(pipeline: Pipeline, item: Any) -> ItemHandle:
    return pipeline.submit_nowait(item)


each_way = pytest.mark.parametrize("submit", [by_submit, by_submit_nowait])


# The result


@each_way
@simulated()
async def test_the_result_is_the_handle_s_and_kept_nowhere_else(submit: Any) -> None:
    pipeline = await started(double)
    handle = await submit(pipeline, {"id": "x", "value": 2, "size": "L"})
    assert (handle.id, handle.status, handle.done()) == ("x", "waiting", False)
    result = await handle
    assert (result.id, result.value, result.metadata) == ("x", 4, {"size": "L"})
    assert (handle.status, handle.done(), handle.cancel()) == ("succeeded", True, False)
    await pipeline.feed([5])
    await pipeline.join()
    assert values(pipeline.results) == [10]
    assert (await handle).value == 4


@simulated()
async def test_a_failure_is_returned_as_a_result_and_kept_nowhere_else() -> None:
    pipeline = await started(refuse_odd)
    handle = await pipeline.submit(3)
    result = await handle
    assert (result.outcome, str(result.error), handle.status) == ("failed", "3 is odd", "failed")
    await pipeline.join()
    assert pipeline.failures == []
    assert pipeline.get_stats().items_failed == 1


@simulated()
async def test_a_handle_is_awaited_several_times_and_by_several_tasks() -> None:
    gate = Gate()
    pipeline = await started(gate)
    handle = await pipeline.submit(1)
    calls = [await begun(_await(handle)) for _ in range(3)]
    gate.open()
    results = [*await asyncio.gather(*calls), await handle, await handle]
    assert len({id(result) for result in results}) == 1
    await pipeline.join()


async def _await(handle: ItemHandle) -> Any:
    return await handle


@simulated()
async def test_cancelling_what_awaits_a_handle_does_not_cancel_its_item() -> None:
    gate = Gate()
    pipeline = await started(gate)
    handle = await pipeline.submit(1)
    first, second = await begun(_await(handle)), await begun(_await(handle))
    first.cancel()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(handle, 1)
    assert (first.cancelled(), handle.status) == (True, "running")
    gate.open()
    assert (await second).value == (await handle).value == 1
    await pipeline.join()
    assert pipeline.results == []


@simulated()
async def test_a_handle_says_where_its_item_is() -> None:
    gate, failing = Gate(), Failing(1)
    pipeline = Pipeline([stage(gate, failing, name="First", task_attempts=2, retry_wait=5.0)])
    await pipeline.start()
    handle = await pipeline.submit("x")
    seen = [handle.status]
    await settle()
    seen.append(handle.status)
    gate.open()
    await settle()
    seen.append(handle.status)
    await handle
    seen.append(handle.status)
    assert seen == ["waiting", "running", "waiting", "succeeded"]
    assert "x" not in repr(handle).partition(" ")[0]
    assert repr(handle) == "<ItemHandle 0: succeeded>"
    await pipeline.join()


# Room


@simulated()
async def test_submit_waits_for_room_and_submit_nowait_does_not() -> None:
    gate = Gate()
    pipeline = await started(gate, queue_capacity=1)
    await pipeline.feed([1, 2])
    await settle()
    call = await begun(pipeline.submit(3))
    assert not call.done()
    with pytest.raises(PipelineFullError, match=r"'books' has no room .* 'Work' is full"):
        pipeline.submit_nowait(4)
    assert pipeline.get_stats().items_fed == 2
    gate.let(1)
    await settle()
    assert call.done()
    with pytest.raises(PipelineFullError):
        pipeline.submit_nowait(4)
    gate.open()
    assert (await (await call)).value == 3
    assert (await pipeline.submit_nowait(5)).value == 5
    await pipeline.join()


@each_way
@simulated()
async def test_there_is_room_if_the_stage_where_an_item_was_left_has_room(submit: Any) -> None:
    first, second = Gate(), Gate()
    pipeline = Pipeline(
        [stage(first, name="A", queue_capacity=1), stage(second, name="B", queue_capacity=1)]
    )
    left = UnprocessedItem("x", 0, {}, 100, "B", 0)
    await pipeline.start()
    await pipeline.feed([1, 2])
    await settle()
    with pytest.raises(PipelineFullError, match="stage 'A' is full"):
        pipeline.submit_nowait(3)
    handles = [await submit(pipeline, left)]
    await settle()
    handles.append(await submit(pipeline, left))
    with pytest.raises(PipelineFullError, match="stage 'B' is full"):
        pipeline.submit_nowait(left)
    first.open()
    second.open()
    assert values([await handle for handle in handles]) == [0, 0]
    await pipeline.join()


@simulated()
async def test_a_submit_that_is_cancelled_before_there_is_room_feeds_nothing() -> None:
    gate = Gate()
    pipeline = await started(gate, queue_capacity=1)
    await pipeline.feed([1, 2])
    await settle()
    call = await begun(pipeline.submit(3))
    call.cancel()
    await asyncio.wait([call])
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == [1, 2]
    assert pipeline.get_stats().items_fed == 2


@simulated()
async def test_a_lower_priority_goes_first() -> None:
    gate = Gate()
    pipeline = await started(gate)
    await pipeline.feed(["held", "waiting"])
    await settle()
    handles = [await pipeline.submit("urgent", 1), pipeline.submit_nowait("first", 0)]
    gate.open()
    await asyncio.gather(*map(_await, handles))
    await pipeline.join()
    assert gate.entered == ["held", "first", "urgent", "waiting"]


class SlowStart:
    """A plugin that holds items while "queued" is emitted."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.ended: list[tuple[Any, str]] = []

    @hookimpl
    async def antflow_item_start(self, event: StatusEvent) -> None:
        await self.gate(event.item_id)

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        self.ended.append((event.item_id, event.status))


@simulated()
async def test_room_is_kept_for_items_whose_observers_are_awaited() -> None:
    slow = SlowStart()
    pipeline = await started(same, queue_capacity=2, plugins=[slow])
    handles = [pipeline.submit_nowait(number) for number in range(2)]
    with pytest.raises(PipelineFullError):
        pipeline.submit_nowait(2)
    slow.gate.open()
    assert values([await handle for handle in handles]) == [0, 1]
    await pipeline.join()


async def join(pipeline: Pipeline) -> None:
    await pipeline.join()


async def drain(pipeline: Pipeline) -> None:
    await pipeline.shutdown(drain=True)


@pytest.mark.parametrize("end", [join, drain])
@simulated()
async def test_the_end_waits_for_items_whose_observers_are_awaited(
    end: Callable[[Pipeline], Any],
) -> None:
    slow = SlowStart()
    pipeline = await started(same, plugins=[slow])
    await settle()
    handle = pipeline.submit_nowait(1)
    ending = asyncio.create_task(end(pipeline))
    await settle()
    assert not ending.done()
    slow.gate.open()
    await ending
    assert (await handle).value == 1


@pytest.mark.parametrize("seed", range(10))
@simulated()
async def test_an_abort_loses_no_item_whose_observers_are_awaited(seed: int) -> None:
    slow = SlowStart()
    pipeline = await started(same, plugins=[slow])
    await settle()
    handle = pipeline.submit_nowait(1)
    await pipeline.shutdown(timeout=0)
    assert left(pipeline) == [1]
    assert slow.ended == [(0, "unprocessed")]
    with pytest.raises(PipelineError):
        await handle
    assert not others()


# Errors


@simulated()
async def test_a_handle_of_an_unprocessed_item_raises() -> None:
    gate = Gate()
    pipeline = await started(gate)
    running, waiting = await pipeline.submit(1), await pipeline.submit(2)
    await settle()
    waiter = await begun(_await(waiting))
    await pipeline.shutdown(timeout=0)
    assert sorted(left(pipeline)) == [1, 2]
    for handle in running, waiting:
        assert (handle.status, handle.done(), handle.cancel()) == ("unprocessed", True, False)
        for _ in range(2):
            with pytest.raises(PipelineError, match=r"'books' was stopped .*unprocessed"):
                await handle
    assert isinstance(await raised_by(waiter), PipelineError)


@each_way
@simulated()
async def test_a_handle_is_not_awaited_in_a_task_of_the_same_run(submit: Any) -> None:
    handles, errors, gate = list[ItemHandle](), list[str](), Gate()

    async def task(value: int) -> int:
        if value == 1:
            return int(await gate(value))
        if value == 0:
            handles.append(await submit(pipeline, 1))
            for wait in (_await(handles[0]), asyncio.create_task(_await(handles[0]))):
                error = await raised_by(wait)
                assert isinstance(error, PipelineError)
                errors.append(str(error))
        return value

    pipeline = await started(task, workers=2)
    outer = await pipeline.submit(0)
    assert (await outer).outcome == "succeeded"
    gate.open()
    assert (await handles[0]).value == 1
    assert len(errors) == 2
    assert "cannot wait for an item of the same pipeline" in errors[0]
    await pipeline.join()


@simulated()
async def test_a_task_that_submits_to_its_own_full_pipeline_does_not_wait() -> None:
    async def task(value: int) -> int:
        if value == 0:
            for number in range(1, 6):
                await pipeline.submit(number)
        return value

    pipeline = await started(task, queue_capacity=1)
    assert (await (await pipeline.submit(0))).value == 0
    await pipeline.join()
    assert pipeline.get_stats().items_processed == 6
    assert pipeline.results == []


@each_way
@pytest.mark.parametrize("is_observed", [False, True])
@simulated()
async def test_a_task_submits_while_its_pipeline_drains(submit: Any, is_observed: bool) -> None:
    async def visit(url: str) -> str:
        await asyncio.sleep(1)
        if len(url) < 3:
            for page in "ab":
                await submit(pipeline, url + page)
        return url

    observer = SlowStart()
    observer.gate.open()
    pipeline = Pipeline([stage(visit)], plugins=[observer] if is_observed else ())
    async with pipeline.running():
        await submit(pipeline, "/")
    stats = pipeline.get_stats()
    assert (stats.items_processed, stats.items_failed) == (7, 0)


@simulated()
async def test_the_consumer_of_a_stream_does_not_await_a_handle() -> None:
    pipeline = Pipeline([stage(same)], name="books")
    handle: ItemHandle | None = None
    async for result in pipeline.stream(range(100), buffer_size=1):
        if result.value == 1:
            handle = await pipeline.submit(200)
            with pytest.raises(PipelineError, match="consumer of its stream"):
                await handle
    assert handle is not None
    assert (await handle).value == 200


@each_way
@simulated()
async def test_no_item_is_taken_before_the_start_or_after_the_end(submit: Any) -> None:
    pipeline = Pipeline([stage(same)], name="books")
    with pytest.raises(PipelineError, match="'books' is not running"):
        await submit(pipeline, 1)
    await pipeline.start()
    joining = asyncio.create_task(pipeline.join())
    await asyncio.sleep(0)
    with pytest.raises(PipelineError):
        await submit(pipeline, 1)
    await joining
    with pytest.raises(PipelineError):
        await submit(pipeline, 1)


@each_way
@simulated()
async def test_wrong_arguments_are_refused(submit: Any) -> None:
    pipeline = await started(same)
    result = await (await submit(pipeline, 1))
    with pytest.raises(ValueError, match="not a failure"):
        await submit(pipeline, result)
    with pytest.raises(ValueError, match="priority"):
        await pipeline.submit(1, "high")  # type: ignore[arg-type]
    for seconds in (-1, "soon", float("nan")):
        with pytest.raises(ValueError, match="expires_in of pipeline 'books'"):
            pipeline.submit_nowait(1, expires_in=seconds)  # type: ignore[arg-type]
    assert pipeline.get_stats().items_fed == 1
    await pipeline.join()


def test_a_handle_belongs_to_the_loop_of_its_run() -> None:
    errors = list[BaseException | None]()

    async def main() -> None:
        gate = Gate()
        pipeline = await started(gate)
        handle = await pipeline.submit(1)

        async def use() -> None:
            errors.append(await raised_by(pipeline.submit(2)))
            errors.append(await raised_by(by_submit_nowait(pipeline, 2)))
            errors.append(await raised_by(_await(handle)))
            errors.append(await raised_by(_cancel(handle)))

        await asyncio.to_thread(asyncio.run, use())
        await asyncio.to_thread(_cancel_in_a_thread, handle)
        gate.open()
        assert (await handle).value == 1
        assert await asyncio.to_thread(asyncio.run, _await(handle)) is await handle
        await pipeline.join()

    async def _cancel(handle: ItemHandle) -> bool:
        return handle.cancel()

    def _cancel_in_a_thread(handle: ItemHandle) -> None:
        assert threading.current_thread() is not threading.main_thread()
        with pytest.raises(PipelineError, match="call_soon_threadsafe"):
            handle.cancel()

    simulate(main, threads=True)
    assert [type(error) for error in errors] == [PipelineError] * 4
    assert all("another event loop" in str(error) for error in errors)
    assert "process_threadsafe" in str(errors[2])


@simulated()
async def test_a_cancelled_submit_whose_observers_are_awaited_feeds_its_item() -> None:
    slow = SlowStart()
    pipeline = await started(same, plugins=[slow])
    call = await begun(pipeline.submit(1))
    call.cancel()
    slow.gate.open()
    await asyncio.wait([call])
    await pipeline.join()
    assert values(pipeline.results) == [1]
    assert stats_of(pipeline).completed_items == 1


@simulated()
async def test_cancelling_the_join_leaves_handles_with_an_error() -> None:
    pipeline = await started(Gate())
    handle = await pipeline.submit(1)
    await cancel(await begun(pipeline.join()))
    assert isinstance(await raised_by(handle), PipelineError)
