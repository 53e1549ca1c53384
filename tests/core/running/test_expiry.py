"""`expires_in`: an item that waits too long is dropped at that moment."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from typing import Any

import pytest

from antflow import ItemHandle, Pipeline, StatusEvent, hookimpl
from tests.helpers.runs import Failing, now, same, stage, values, watched_or_not
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle


class Ends:
    """A plugin that lists how items end, and when."""

    def __init__(self) -> None:
        self.ends: list[tuple[Any, str, dict[str, Any], float]] = []

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        metadata = {key: value for key, value in event.metadata.items() if key == "reason"}
        self.ends.append((event.item_id, event.status, metadata, round(now())))


async def started(*stages: Any, watched: bool = False) -> tuple[Pipeline, Ends]:
    ends = Ends()
    pipeline = Pipeline(stages, name="books", plugins=[ends] if watched else [])
    await pipeline.start()
    return pipeline, ends


async def check_expired(handle: ItemHandle, at: float) -> None:
    result = await handle
    assert (result.outcome, result.reason, handle.status) == ("dropped", "expired", "dropped")
    assert now() == pytest.approx(at, abs=0.01)


@watched_or_not
@pytest.mark.parametrize("seconds", [0, 2, 3])
@simulated()
async def test_an_item_that_waits_is_dropped_at_its_time(seconds: int, watched: bool) -> None:
    gate = Gate()
    pipeline, ends = await started(stage(gate), watched=watched)
    await pipeline.feed(["first"])
    await settle()
    handle = await pipeline.submit("x", expires_in=seconds)
    await pipeline.feed(["behind"])
    await check_expired(handle, now() + seconds)
    gate.open()
    await pipeline.join()
    assert gate.entered == values(pipeline.results) == ["first", "behind"]
    assert pipeline.get_stats().items_dropped == 1
    if watched:
        assert ends.ends[0] == (1, "dropped", {"reason": "expired"}, seconds)
        assert [status for _, status, _, _ in ends.ends[1:]] == ["completed", "completed"]


@watched_or_not
@pytest.mark.parametrize("pull", [False, True])
@simulated()
async def test_in_front_of_the_second_stage(pull: bool, watched: bool) -> None:
    gate = Gate()
    pipeline, _ = await started(stage(same, name="First"), stage(gate, pull=pull), watched=watched)
    await pipeline.feed(["first"])
    await settle()
    handle = pipeline.submit_nowait("x", expires_in=2)
    await pipeline.feed(["behind"])
    await check_expired(handle, now() + 2)
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == ["first", "behind"]


@watched_or_not
@simulated()
async def test_while_it_is_parked_for_a_retry(watched: bool) -> None:
    failing = Failing(1)
    pipeline, _ = await started(stage(failing, task_attempts=2, retry_wait=50.0), watched=watched)
    handle = await pipeline.submit("x", expires_in=5)
    await check_expired(handle, 5)
    assert (await handle).attempts == 1
    await pipeline.join()
    assert failing.calls == ["x"]


@watched_or_not
@simulated()
async def test_an_attempt_that_runs_may_end_and_its_success_stands(watched: bool) -> None:
    gate = Gate()
    pipeline, ends = await started(stage(gate), watched=watched)
    handle = await pipeline.submit("x", expires_in=2)
    await asyncio.sleep(5)
    assert (gate.waiting, handle.status) == (["x"], "running")
    gate.open()
    result = await handle
    assert (result.value, result.outcome, result.reason) == ("x", "succeeded", None)
    await pipeline.join()
    assert pipeline.get_stats().items_dropped == 0
    assert [end[1] for end in ends.ends] == ["completed"] * watched


@watched_or_not
@pytest.mark.parametrize("pull", [False, True])
@simulated()
async def test_an_attempt_that_runs_may_end_but_the_item_does_not_wait_again(
    pull: bool, watched: bool
) -> None:
    gate, last = Gate(), Gate()
    pipeline, _ = await started(stage(gate, name="First"), stage(last, pull=pull), watched=watched)
    handle = await pipeline.submit("x", expires_in=2)
    await asyncio.sleep(5)
    gate.open()
    await check_expired(handle, 5)
    await pipeline.feed(["behind"])
    last.open()
    await pipeline.join()
    assert last.entered == values(pipeline.results) == ["behind"]
    assert pipeline.get_stats().stage_stats["Work"].dropped_items == 1


@watched_or_not
@simulated()
async def test_all_tasks_of_the_stage_that_runs_are_called(watched: bool) -> None:
    gate, second = Gate(), Gate("second")
    second.open()
    pipeline, _ = await started(stage(gate, second), watched=watched)
    handle = await pipeline.submit("x", expires_in=2)
    await asyncio.sleep(5)
    gate.open()
    assert (await handle).outcome == "succeeded"
    assert second.entered == ["x"]
    await pipeline.join()


@watched_or_not
@simulated()
async def test_an_attempt_that_fails_after_the_time_is_not_retried(watched: bool) -> None:
    calls = list[float]()

    async def fail_late(value: str) -> str:
        calls.append(now())
        await asyncio.sleep(5)
        raise ValueError(value)

    pipeline, _ = await started(stage(fail_late, task_attempts=3), watched=watched)
    handle = await pipeline.submit("x", expires_in=2)
    await check_expired(handle, 5)
    assert len(calls) == 1
    await pipeline.join()
    assert pipeline.failures == []


@simulated()
async def test_a_last_attempt_that_fails_after_the_time_is_a_failure() -> None:
    gate = Gate()
    pipeline, _ = await started(stage(gate))
    handle = await pipeline.submit("x", expires_in=2)
    await asyncio.sleep(5)
    gate.fail("x", ValueError("late"))
    assert (await handle).outcome == "failed"
    await pipeline.join()


@simulated()
async def test_a_cancellation_before_or_after_the_time_gives_the_reason() -> None:
    async def slow_to_end(value: str) -> str:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(5)
        return value

    pipeline, _ = await started(stage(slow_to_end, workers=2))
    first = await pipeline.submit("cancelled before", expires_in=2)
    second = await pipeline.submit("cancelled after", expires_in=2)
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.sleep(3)
    second.cancel()
    assert [(await handle).reason for handle in (first, second)] == ["cancelled"] * 2
    await pipeline.join()
    assert pipeline.get_stats().items_dropped == 2


@simulated()
async def test_process_returns_a_dropped_result() -> None:
    gate = Gate()
    pipeline, _ = await started(stage(gate))
    await pipeline.feed(["first"])
    result = await pipeline.process("x", expires_in=3)
    assert (result.outcome, result.reason, round(now())) == ("dropped", "expired", 3)
    future = pipeline.process_threadsafe("y", expires_in=3)
    result = await asyncio.wrap_future(future)
    assert (result.reason, round(now())) == ("expired", 6)
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == ["first"]


@simulated()
async def test_the_item_of_a_cancelled_call_of_process_expires_too() -> None:
    gate = Gate()
    pipeline, ends = await started(stage(gate), watched=True)
    await pipeline.feed(["first"])
    await settle()
    calls = [await begun(pipeline.process(value, expires_in=3)) for value in "xy"]
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    gate.let("first")
    await settle()
    assert gate.waiting == ["x"]
    await asyncio.sleep(5)
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == ["first", "x"]
    assert (2, "dropped", {"reason": "expired"}, 3) in ends.ends


@simulated()
async def test_an_item_that_has_ended_does_not_expire() -> None:
    pipeline, ends = await started(stage(same), watched=True)
    handle = await pipeline.submit("x", expires_in=2)
    assert (await handle).outcome == "succeeded"
    await asyncio.sleep(5)
    assert handle.status == "succeeded"
    await pipeline.join()
    assert pipeline.get_stats().items_dropped == 0
    assert len(ends.ends) == 1


@simulated()
async def test_nothing_expires_after_the_end_of_the_run() -> None:
    gate = Gate()
    pipeline, _ = await started(stage(gate))
    handles = [await pipeline.submit(number, expires_in=5) for number in range(2)]
    await pipeline.shutdown(timeout=0)
    await asyncio.sleep(10)
    assert [handle.status for handle in handles] == ["unprocessed"] * 2
    assert pipeline.get_stats().items_dropped == 0
    assert not others()


@simulated(tick=0.0)
async def test_a_result_goes_with_its_handle_though_that_expires_late() -> None:
    class Answer:
        """A result that can be referred to weakly."""

    async def answer(_: int) -> Answer:
        return Answer()

    pipeline, _ = await started(stage(answer))
    handle = await pipeline.submit(0, expires_in=1e6)
    result = weakref.ref((await handle).value)
    assert result() is not None
    del handle
    await settle()
    gc.collect()
    assert result() is None
    await pipeline.join()


@pytest.mark.parametrize("way", ["submit", "process", "cancelled process"])
@simulated(tick=0.0)
async def test_memory_does_not_grow_with_handles_that_expire_late(way: str) -> None:
    pipeline, _ = await started(stage(same))

    async def use(times: int) -> int:
        for number in range(times):
            if way == "submit":
                await (await pipeline.submit(number, expires_in=1e6))
            elif way == "process":
                await pipeline.process(number, expires_in=1e6)
            else:
                call = asyncio.create_task(pipeline.process(number, expires_in=1e6))
                await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait([call])
        gc.collect()
        return sum(isinstance(each, ItemHandle | weakref.ref) for each in gc.get_objects())

    if "__pypy__" in sys.builtin_module_names:
        pytest.skip("counts objects")
    before = await use(0)
    assert await use(3000) <= before + 1100
    assert await use(3000) <= before + 1100
    await pipeline.join()
