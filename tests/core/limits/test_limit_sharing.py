"""One `Limit` for several stages, pipelines and event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from antflow import Limit, Pipeline
from antflow._limits import meters
from tests.helpers.attempts import Attempts, run_limited, worst_window
from tests.helpers.runs import now, same, stage, start_with, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle

PATIENCE_SECONDS = 10
"""How long a test that is broken waits for a thread."""

NEVER = 1e6
"""Seconds until items look again by themselves, where they have to be woken."""

some_seeds = pytest.mark.parametrize("seed", [None, *range(5)])


@some_seeds
@pytest.mark.parametrize("capacity", [1, None])
@simulated()
async def test_the_stages_of_a_pipeline_share_a_limit(
    capacity: int | None, seed: int | None
) -> None:
    first, second = Attempts(0.5), Attempts(0.5)
    limit = Limit(rate=4, per=2, concurrency=1)
    fields: dict[str, Any] = {"workers": 2, "limits": [limit], "queue_capacity": capacity}
    stages = [stage(first, name="First", **fields), stage(second, name="Second", **fields)]
    pipeline = Pipeline(stages)
    await pipeline.run(range(10))
    times = sorted(first.times + second.times)
    assert worst_window([(each, 1) for each in times], 2 - 1e-4) <= 4
    assert (len(times), first.most, second.most) == (20, 1, 1)
    assert now() <= 10.6  # neither stage waits for the other without a need


@some_seeds
@simulated()
async def test_pipelines_that_share_a_limit_take_turns(seed: int | None) -> None:
    tasks, limit = [Attempts(), Attempts()], Limit(rate=10)
    pipelines = [Pipeline([stage(task, workers=3, limits=[limit])]) for task in tasks]
    await asyncio.gather(*(pipeline.run(range(40)) for pipeline in pipelines))
    for task in tasks:
        assert sum(time <= 4 for time in task.times) == pytest.approx(20, abs=2)


@some_seeds
@simulated()
async def test_a_stage_whose_workers_are_busy_does_not_hold_up_another(seed: int | None) -> None:
    gate, task, limit = Gate(), Attempts(0.1), Limit(rate=10, concurrency=5)
    busy = Pipeline([stage(gate, limits=[limit])])
    await start_with(busy, range(5))
    await Pipeline([stage(task, workers=3, limits=[limit])]).run(range(20))
    assert now() < 2.5
    gate.open()
    await busy.join()


@some_seeds
@simulated()
async def test_a_limit_is_released_before_a_worker_waits_for_room(seed: int | None) -> None:
    limit = Limit(concurrency=1)
    fields: dict[str, Any] = {"limits": [limit], "queue_capacity": 1}
    stages = [stage(Attempts(0.1), name=f"S{number}", **fields) for number in range(3)]
    assert len(await Pipeline(stages).run(range(20))) == 20


@some_seeds
@simulated()
async def test_stages_wait_for_two_shared_limits_without_end(seed: int | None) -> None:
    one = Limit(rate=3, per=2, concurrency=2, key=lambda value: value % 2)
    two = Limit(rate=2, per=2, burst=0.5, key=lambda value: value % 3)
    total = Limit(rate=5, concurrency=1)
    stages = [
        stage(Attempts(0.2), name="First", workers=2, limits=[one, two, total]),
        stage(Attempts(0.2), name="Second", workers=3, limits=[total, two, one], max_parked=1),
    ]
    assert len(await Pipeline(stages).run(range(12))) == 12
    for limit in (one, two, total):
        assert (limit.stats().in_use, limit.stats().waiting) == (0, 0)


@pytest.mark.parametrize("key", [None, lambda value: "all"], ids=["no keys", "a key"])
@some_seeds
@simulated()
async def test_a_wait_that_ends_is_passed_on(key: Any, seed: int | None) -> None:
    gate, limit = Gate(), Limit(concurrency=1, key=key)
    pipelines = [Pipeline([stage(gate, limits=[limit])], name=name) for name in "abc"]
    for number, pipeline in enumerate(pipelines):
        await start_with(pipeline, [number])
    assert gate.waiting == [0]
    await pipelines[1].shutdown()
    gate.let(0)
    await settle()
    assert gate.waiting == [2]
    gate.open()
    for pipeline in pipelines:
        await pipeline.join()


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@simulated()
async def test_pull_stages_share_a_limit(seed: int | None) -> None:
    limit = Limit(rate=10, concurrency=1)
    first = stage(Attempts(0.3), name="First", workers=2, limits=[limit])
    second = stage(Attempts(0.3), name="Second", workers=2, limits=[limit], pull=True)
    assert len(await Pipeline([first, second]).run(range(10))) == 10
    assert now() == pytest.approx(6, abs=0.1)


# Several event loops


def test_two_event_loops_share_a_limit() -> None:
    looked_at, starts = dict[tuple[int, int], float](), list[tuple[float, float]]()
    running, most, lock = 0, 0, threading.Lock()

    def cost(value: int) -> int:
        looked_at[threading.get_ident(), value] = time.perf_counter()
        return 1

    async def task(value: int) -> int:
        nonlocal running, most
        with lock:
            starts.append((looked_at[threading.get_ident(), value], time.perf_counter()))
            running += 1
            most = max(most, running)
        await asyncio.sleep(0.001)
        with lock:
            running -= 1
        return value

    limit = Limit(rate=20, per=0.2, concurrency=1, burst=5, cost=cost)

    def run(_number: int) -> list[Any]:
        pipeline = Pipeline([stage(task, workers=4, limits=[limit])])
        return values(asyncio.run(pipeline.run(range(30))))

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(2)))
    assert results == [[*range(30)]] * 2
    assert most == 1
    # Each was allowed between the look at its cost and its start.
    assert all(
        start - looked >= 0.2 for (looked, _), (_, start) in zip(starts, starts[20:], strict=False)
    )
    assert (limit.stats().in_use, limit.stats().waiting) == (0, 0)


@pytest.mark.parametrize("key", [None, lambda value: "all"], ids=["no keys", "a key"])
def test_what_another_loop_releases_wakes_this_one(
    key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "RECHECK", NEVER)
    limit, holds, may_end = Limit(concurrency=1, key=key), threading.Event(), threading.Event()

    async def hold(value: int) -> None:
        holds.set()
        while not may_end.is_set():
            await asyncio.sleep(0.001)

    def run_holder() -> None:
        asyncio.run(Pipeline([stage(hold, limits=[limit])]).run([1]))

    async def wait_for_it() -> list[Any]:
        pipeline = Pipeline([stage(same, limits=[limit])])
        run = asyncio.ensure_future(pipeline.run([2]))
        while not limit.stats().waiting:
            await asyncio.sleep(0)
        may_end.set()
        return values(await asyncio.wait_for(run, PATIENCE_SECONDS))

    thread = threading.Thread(target=run_holder)
    thread.start()
    try:
        holds.wait()
        assert asyncio.run(wait_for_it()) == [2]
    finally:
        may_end.set()
        thread.join()


def test_a_loop_that_waits_first_and_is_busy_holds_up_no_other() -> None:
    limit, waits, may_end = Limit(concurrency=1), threading.Event(), threading.Event()

    async def wait_and_be_busy() -> None:
        run = asyncio.ensure_future(Pipeline([stage(same, limits=[limit])]).run([1]))
        while not limit.stats().waiting:
            await asyncio.sleep(0)
        waits.set()
        may_end.wait(PATIENCE_SECONDS)
        await run

    async def use_it() -> None:
        gate, thread = Gate(), threading.Thread(target=lambda: asyncio.run(wait_and_be_busy()))
        held = Pipeline([stage(gate, limits=[limit])])
        await held.start()
        await held.feed([1])
        while not gate.waiting:
            await asyncio.sleep(0)
        thread.start()
        await asyncio.to_thread(waits.wait, PATIENCE_SECONDS)
        runs = [Pipeline([stage(same, limits=[limit])]).run(range(4)) for _ in range(3)]
        all_runs = asyncio.gather(*runs)
        while limit.stats().waiting < 1 + 3 * 4:
            await asyncio.sleep(0)
        gate.open()
        await asyncio.wait_for(all_runs, PATIENCE_SECONDS / 2)
        may_end.set()
        await held.join()
        await asyncio.to_thread(thread.join)

    try:
        asyncio.run(use_it())
    finally:
        may_end.set()


def test_a_key_may_wait_for_another_thread_that_uses_a_limit() -> None:
    def key(value: int) -> str:
        thread = threading.Thread(target=limit.pause, args=(0.0,))
        thread.start()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
        return "all"

    limit = Limit(rate=20, key=key)
    pipeline: Pipeline[int, int] = Pipeline([stage(same, limits=[limit])])
    assert len(asyncio.run(pipeline.run(range(4)))) == 4
    assert not pipeline.failures


@pytest.mark.parametrize("key", [None, lambda value: "all"], ids=["no keys", "a key"])
@pytest.mark.parametrize("bound", [{"concurrency": 1}, {"rate": 1, "per": 0.01}], ids=str)
def test_a_closed_loop_holds_nothing_and_waits_for_nothing(
    bound: Any, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "RECHECK", NEVER)
    limit = Limit(**bound, key=key)
    lost = [Pipeline([stage(Gate(), workers=2, limits=[limit])])]
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        await lost[0].start()
        await lost[0].feed([1, 2])
        while not limit.stats().waiting:
            await asyncio.sleep(0)

    loop.run_until_complete(begin())
    loop.close()
    assert limit.stats().in_use == 1

    async def use_it() -> None:
        pipelines = [Pipeline([stage(same, limits=[limit])]) for _ in range(3)]
        await asyncio.gather(*(pipeline.run([3, 4]) for pipeline in pipelines))

    asyncio.run(asyncio.wait_for(use_it(), PATIENCE_SECONDS))
    if "concurrency" in bound:
        assert (limit.stats().in_use, limit.stats().waiting) == (0, 0)
    lost.clear()
    with pytest.warns(ResourceWarning, match="its event loop closed"):
        gc.collect()


@simulated(tick=0.0)
async def test_a_pause_from_a_thread_holds_for_all_stages() -> None:
    task, limit = Attempts(), Limit(concurrency=5)
    await asyncio.to_thread(limit.pause, 3)
    await asyncio.gather(
        *(run_limited([number], limit, task=task) for number in range(3)),
    )
    assert task.times == [3, 3, 3]


@simulated()
async def test_the_statistics_of_a_stage_are_its_own_share() -> None:
    gate, limit = Gate(), Limit(concurrency=2, name="calls")
    pipelines = [Pipeline([stage(gate, workers=3, limits=[limit])]) for _ in range(2)]
    runs = [await begun(pipeline.run(range(3))) for pipeline in pipelines]
    shares = [pipeline.get_stats().stage_stats["Work"].limits["calls"] for pipeline in pipelines]
    assert [(share.in_use, share.waiting) for share in shares] == [(2, 1), (0, 3)]
    assert (limit.stats().in_use, limit.stats().waiting) == (2, 4)
    gate.open()
    await asyncio.wait(runs)
