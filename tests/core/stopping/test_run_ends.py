"""How a run ends: by shutdown or cancellation, without a lost item or a task that is left."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

from antflow import Pipeline, PipelineError, TaskFunc
from tests.helpers.runs import (
    SEEDS,
    Counted,
    assert_all_are_somewhere,
    cancel,
    double,
    fail,
    fail_later,
    ids,
    indirectly,
    left,
    now,
    same,
    same_later,
    sleep_long,
    stage,
    start_with,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

# Shutdown


async def one_and_no_end() -> AsyncIterator[int]:
    """An input that never comes to its second item, nor to its end."""
    yield 1
    await asyncio.get_running_loop().create_future()


@simulated()
async def test_shutdown_accounts_for_items_that_are_everywhere() -> None:
    first, second = Gate("first"), Gate("second")

    async def fail_some(value: int) -> int:
        if value in {2, 3}:
            raise ValueError
        return value

    pipeline = Pipeline(
        [
            stage(first, fail_some, name="First", workers=2, queue_capacity=3),
            stage(second, name="Second", workers=2, queue_capacity=2),
            stage(same, name="Last"),
        ]
    )
    await pipeline.start()
    feed = asyncio.create_task(pipeline.feed(range(20)))
    for value in range(8):
        await settle()
        first.let(value)
    await settle()
    second.let(0)
    await settle()
    shutdown = await begun(pipeline.shutdown())
    first.open()
    second.open()
    unprocessed = await shutdown
    with pytest.raises(PipelineError):
        await feed
    assert not others()
    assert unprocessed == pipeline.unprocessed
    assert {item.stage for item in unprocessed} == {"First", "Second", "Last"}
    assert ids(pipeline.failures) == [2, 3]
    assert 0 in ids(pipeline.results)
    assert_all_are_somewhere(pipeline, range(pipeline.get_stats().items_fed))


IN_WORK, IN_LAST = [(4, "Work")], [(8, "Last")]


@pytest.mark.parametrize(
    ("tasks", "fails", "fields", "unprocessed"),
    [
        ("double, gate", False, {}, IN_LAST),
        ("double, gate, double", False, {}, IN_WORK),
        ("double, gate", True, {}, []),
        ("double, gate", True, {"task_attempts": 2}, IN_WORK),
        ("double, gate", True, {"retry": "per_stage", "stage_attempts": 2}, IN_WORK),
    ],
)
@simulated()
async def test_an_attempt_that_ends_after_a_shutdown_is_the_last(
    tasks: str, fails: bool, fields: dict[str, Any], unprocessed: list[tuple[int, str]]
) -> None:
    gate = Gate()
    functions = [{"double": double, "gate": gate}[name] for name in tasks.split(", ")]
    pipeline = Pipeline([stage(*functions, **fields), stage(same, name="Last")])
    await start_with(pipeline, [4])
    shutdown = await begun(pipeline.shutdown())
    if fails:
        gate.fail(8, ValueError())
    gate.open()
    assert [(item.value, item.stage) for item in await shutdown] == unprocessed
    assert values(pipeline.failures) == ([] if unprocessed else [4])


@pytest.mark.parametrize("wait", [0, 5])
@simulated()
async def test_shutdown_ends_a_task_that_would_be_retried_for_ever(wait: float) -> None:
    pipeline = Pipeline([stage(fail_later, task_attempts=10**9, task_wait_seconds=wait)])
    await pipeline.start()
    await pipeline.feed([1])
    await asyncio.sleep(9.5)
    assert values(await pipeline.shutdown()) == [1]
    assert now() < 10.5


@simulated()
async def test_shutdown_with_drain_finishes_everything_fed() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate), stage(same, name="Last")])
    await pipeline.start()
    await pipeline.feed(range(5))
    shutdown = await begun(pipeline.shutdown(drain=True))
    with pytest.raises(PipelineError, match="about to end"):
        await pipeline.feed([9])
    gate.open()
    assert await shutdown == []
    assert values(pipeline.results) == [0, 1, 2, 3, 4]


@simulated()
async def test_shutdown_with_drain_ends_feeds_that_are_under_way() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, queue_capacity=1)])
    await pipeline.start()
    feed = await begun(pipeline.feed(range(5)))
    shutdown = asyncio.create_task(pipeline.shutdown(drain=True))
    with pytest.raises(PipelineError, match="was stopped"):
        await feed
    gate.open()
    assert await shutdown == []
    assert values(pipeline.results) == [0, 1]


@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_draining_ends_though_feeders_wait_at_a_full_stage(seed: int | None) -> None:
    gate = Gate()
    pipeline = Pipeline([stage(same, name="First"), stage(gate, name="Second", queue_capacity=1)])
    await start_with(pipeline, range(6))
    feeds = [asyncio.create_task(pipeline.feed([10 + n], "Second")) for n in range(6)]
    await settle()
    gate.open()
    assert await pipeline.shutdown(drain=True) == []
    outcomes = await asyncio.gather(*feeds, return_exceptions=True)
    fed = [10 + n for n, outcome in enumerate(outcomes) if outcome is None]
    assert sorted(values(pipeline.results)) == [*range(6), *fed]
    assert {type(outcome) for outcome in outcomes if outcome} <= {PipelineError}


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize("timeout", [0, 30])
@simulated(tick=0.0)
async def test_attempts_are_cancelled_at_the_time_limit_of_a_shutdown(
    timeout: float, drain: bool
) -> None:
    pipeline = Pipeline([stage(sleep_long, workers=2)])
    await start_with(pipeline, range(4))
    unprocessed = await pipeline.shutdown(drain=drain, timeout=timeout)
    assert now() == timeout
    assert not others()
    assert values(unprocessed) == [0, 1, 2, 3]


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize("timeout", ["5", -1])
@simulated()
async def test_a_bad_timeout_is_refused_before_anything_is_closed(
    timeout: Any, drain: bool
) -> None:
    pipeline = Pipeline([stage(same_later)])
    await pipeline.start()
    await pipeline.feed([1])
    with pytest.raises(ValueError, match=f"timeout.*{re.escape(repr(timeout))}"):
        await pipeline.shutdown(drain=drain, timeout=timeout)
    await pipeline.feed([2])
    await pipeline.join()
    assert values(pipeline.results) == [1, 2]


@simulated()
async def test_shutdown_of_what_never_ran_is_harmless() -> None:
    pipeline = Pipeline([stage(same)])
    assert await pipeline.shutdown() == []
    await pipeline.feed([1])
    assert values(await pipeline.shutdown()) == [1]
    assert left(pipeline) == [1]


@pytest.mark.parametrize("drain", [False, True])
@simulated()
async def test_shutdown_after_the_end_changes_nothing(drain: bool) -> None:
    pipeline = Pipeline([stage(same)])
    await pipeline.run([1])
    assert await pipeline.shutdown(drain=drain) == []
    assert values(pipeline.results) == [1]


@simulated()
async def test_several_shutdowns_at_once_give_the_same_list() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate)])
    await start_with(pipeline, [1, 2])
    calls = [asyncio.create_task(pipeline.shutdown()) for _ in range(2)]
    await settle()
    gate.open()
    assert [values(await call) for call in calls] == [[2], [2]]


@simulated()
async def test_a_second_shutdown_makes_an_impatient_end_of_a_patient_one() -> None:
    pipeline = Pipeline([stage(sleep_long)])
    await pipeline.start()
    await pipeline.feed([1])
    patient = await begun(pipeline.shutdown(drain=True))
    assert values(await pipeline.shutdown(timeout=5)) == [1]
    assert values(await patient) == [1]
    assert now() == pytest.approx(5, abs=1)


@pytest.mark.parametrize("drain", [False, True])
@simulated()
async def test_a_shutdown_ends_reading_an_input_that_never_comes(drain: bool) -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate)])
    run = await begun(pipeline.run(one_and_no_end()))
    shutdown = await begun(pipeline.shutdown(drain=drain))
    gate.open()
    assert await shutdown == []
    assert values(await run) == [1]


@simulated()
async def test_a_cancelled_shutdown_cancels_attempts_and_is_cancelled() -> None:
    pipeline = Pipeline([stage(sleep_long)])
    await start_with(pipeline, [1])
    shutdown = await begun(pipeline.shutdown())
    await cancel(shutdown)
    assert now() < 1
    assert left(pipeline) == [1]


# The warning of what was left


async def shut_down(pipeline: Pipeline, items: Any) -> None:
    await start_with(pipeline, items)
    await pipeline.shutdown(timeout=0)


async def leave_it(pipeline: Pipeline, items: Any) -> None:
    async with pipeline:
        await start_with(pipeline, items)
        pipeline.stages[-1].tasks[0].open()  # type: ignore[attr-defined]


async def cancel_the_run(pipeline: Pipeline, items: Any) -> None:
    await cancel(await begun(pipeline.run(items)))


async def leave_the_stream(pipeline: Pipeline, items: Any) -> None:
    stream = pipeline.stream(items)
    first = await begun(stream.__anext__())
    first.cancel()
    await stream.aclose()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (shut_down, "4 items were returned unprocessed (4 in 'Second')"),
        (leave_it, "3 items were discarded unprocessed (3 in 'Second')"),
        (cancel_the_run, "4 items were discarded unprocessed (4 in 'Second')"),
        (leave_the_stream, "4 items were discarded unprocessed (4 in 'Second')"),
    ],
)
@simulated()
async def test_a_warning_says_how_many_items_were_left_and_where(
    end: Callable[[Pipeline, Any], Awaitable[None]], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    stages = stage(same, name="First"), stage(Gate(), name="Second")
    await end(Pipeline(stages, name="books"), range(4))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for word in ("'books'", said, "feed()"):
        assert word in record.getMessage()
    assert "'First'" not in record.getMessage()


@pytest.mark.parametrize("count", [1, 2])
def test_the_number_agrees_with_its_noun(count: int, caplog: pytest.LogCaptureFixture) -> None:
    simulate(lambda: shut_down(Pipeline([stage(Gate())]), range(count)))
    assert ["1 item was returned", "2 items were returned"][count - 1] in caplog.text


@simulated()
async def test_nothing_left_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline([stage(same)])
    await pipeline.run([1])
    await pipeline.shutdown()
    assert not caplog.records


# Cancelling


@simulated()
async def test_cancelling_run_cancels_tasks_that_sleep() -> None:
    pipeline = Pipeline([stage(sleep_long, workers=3)])
    run = await begun(pipeline.run(range(5)))
    await cancel(run)
    assert now() < 1
    assert_all_are_somewhere(pipeline, range(5))
    assert left(pipeline) == [0, 1, 2, 3, 4]


@simulated(threads=True)
async def test_cancelling_run_abandons_threads_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = threading.Event()

    def wait(value: int) -> bool:
        return ended.wait(10)

    pipeline = Pipeline([stage(wait, workers=2)])
    run = await begun(pipeline.run(range(3)))
    await cancel(run)
    assert left(pipeline) == [0, 1, 2]
    assert pipeline.get_stats().stage_stats["Work"].abandoned_threads == 2
    ended.set()
    while pipeline.get_stats().stage_stats["Work"].abandoned_threads:
        await asyncio.sleep(0.001)
    messages = [r.getMessage() for r in caplog.records if "abandoned" in r.getMessage()]
    assert len(messages) == 1  # once for each function
    for word in ("'Work'", "wait", "time limit"):
        assert word in messages[0]


@simulated(threads=True)
async def test_a_run_after_one_with_abandoned_threads_has_threads_of_its_own() -> None:
    ended, is_first = threading.Event(), True

    def wait_at_first(value: int) -> int:
        if is_first:
            ended.wait(10)
        return value

    pipeline = Pipeline([stage(wait_at_first)])
    run = await begun(pipeline.run([1]))
    await cancel(run)
    is_first = False
    assert values(await pipeline.run([2])) == [2]
    ended.set()


@pytest.mark.parametrize(
    ("make_input", "unprocessed"), [(Counted, [0, 1, 2, 3]), (one_and_no_end, [1])]
)
@simulated()
async def test_cancelling_run_while_its_input_waits_for_room_or_for_more(
    make_input: Callable[[], Any], unprocessed: list[int]
) -> None:
    items = make_input()
    pipeline = Pipeline([stage(sleep_long, queue_capacity=2)])
    await cancel(await begun(pipeline.run(items)))
    assert left(pipeline) == unprocessed
    assert not isinstance(items, Counted) or items.read == 4


@simulated()
async def test_cancelling_join_cancels_everything_also_feeds() -> None:
    pipeline = Pipeline([stage(sleep_long, queue_capacity=1)])
    await pipeline.start()
    feed = await begun(pipeline.feed(range(9)))
    join = await begun(pipeline.join())
    join.cancel()
    await asyncio.wait([join])
    assert join.cancelled()
    with pytest.raises(PipelineError, match="was stopped"):
        await feed
    assert not others()
    assert left(pipeline) == [0, 1]


@simulated()
async def test_cancelling_run_before_it_had_a_turn() -> None:
    pipeline = Pipeline([stage(same)])
    run = asyncio.create_task(pipeline.run([1]))
    run.cancel()
    await asyncio.wait([run])
    assert run.cancelled()
    assert values(await pipeline.run([2])) == [2]


@pytest.mark.parametrize("how", ["gather", "wait_for", "task"])
@pytest.mark.parametrize("method", ["join", "shutdown"])
@simulated()
async def test_cancelling_run_ends_a_task_that_waits_for_the_end(method: str, how: str) -> None:
    async def wait(_: int) -> None:
        await indirectly(getattr(pipeline, method), how)

    pipeline = Pipeline([stage(wait)])
    run = await begun(pipeline.run([1, 2]))
    run.cancel()
    await asyncio.wait([run])
    assert not others()


# The next run waits already


T = TypeVar("T")


async def once_free(call: Callable[[], Awaitable[T]]) -> T:
    """Call again and again until the pipeline is free."""
    while True:
        try:
            return await call()
        except PipelineError:
            await asyncio.sleep(0)


@pytest.mark.parametrize("task", [same, fail])
@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_run_returns_its_own_outcomes_though_others_wait_to_run(
    seed: int | None, task: TaskFunc
) -> None:
    pipeline = Pipeline([stage(task)])

    async def run(item: str) -> list[Any]:
        results = await once_free(lambda: pipeline.run([item], return_exceptions=True))
        assert [result.is_success for result in results] == [task is same]
        return values(results)

    assert await asyncio.gather(*map(run, "abc")) == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_shutdown_returns_its_own_items_though_the_next_start_waits(seed: int | None) -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate)])
    await start_with(pipeline, range(5))
    stop = await begun(pipeline.shutdown())
    restart = asyncio.create_task(once_free(pipeline.start))
    gate.open()
    assert values(await stop) == [1, 2, 3, 4]
    await restart
    await pipeline.shutdown()
