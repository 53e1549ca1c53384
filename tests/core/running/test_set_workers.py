"""`set_workers` changes how many workers a stage has, for the rest of the run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from antflow import ItemHandle, Limit, Pipeline, PipelineError, TaskEvent, hookimpl
from antflow.testing import Clock
from tests.helpers.runs import (
    SEEDS,
    fail_later,
    same,
    seconds_of,
    stage,
    start_with,
    stats_of,
    values,
    workers_of,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, settle


class Sleeper:
    """A task that takes a second, and knows how many calls run at once and since when."""

    __name__ = "sleeper"

    def __init__(self) -> None:
        self.running = 0
        self.began: list[float] = []

    async def __call__(self, value: Any) -> Any:
        self.running += 1
        self.began.append(round(asyncio.get_running_loop().time(), 3))
        try:
            await asyncio.sleep(1)
        finally:
            self.running -= 1
        return value


class Observer:
    """Makes workers serve their items in the slower way."""

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        pass


def names_of(pipeline: Pipeline, name: str = "Work") -> list[str]:
    """Return the names of a stage's workers, which must be the same wherever they are listed."""
    names = list(pipeline.get_worker_names()[name])
    states = pipeline.get_worker_states().values()
    assert [state.worker_name for state in states if state.stage == name] == names
    metrics = pipeline.get_worker_metrics().values()
    assert [each.worker_name for each in metrics if each.stage == name] == names
    return names


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two tasks": {"tasks": 2},
    "observed": {"is_observed": True},
    "limit": {"limits": [Limit(concurrency=100)]},
    "keyed limit": {"limits": [Limit(concurrency=100, key=lambda value: value % 3)]},
    "pull": {"pull": True},
    "skip_if": {"skip_if": lambda value: False},
}
"""What chooses the loops and the channels."""


def made(kind: str, task: Any, **fields: Any) -> Pipeline:
    """Return a pipeline whose second stage "Work" is of a kind."""
    options = dict(KINDS[kind])
    tasks = [task] if options.pop("tasks", 1) == 1 else [same, task]
    plugins = [Observer()] if options.pop("is_observed", False) else []
    first = stage(same, name="First")
    return Pipeline([first, stage(*tasks, **{**options, **fields})], plugins=plugins)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS[:3])
@simulated(tick=0.0)
async def test_more_workers_start_at_once_and_surplus_ones_stop_after_their_item(
    kind: str, seed: int | None
) -> None:
    sleeper = Sleeper()
    pipeline = made(kind, sleeper, workers=2)
    await pipeline.start()
    feeding = asyncio.ensure_future(pipeline.feed(range(20)))
    await settle()
    assert sleeper.running == 2
    pipeline.set_workers("Work", 5)
    assert sum(workers_of(pipeline)) == 5
    await settle()
    assert sleeper.running == 5
    await asyncio.sleep(0.5)
    pipeline.set_workers("Work", 1)
    assert sum(workers_of(pipeline)) == 5  # all are at work
    await asyncio.sleep(0.75)
    assert sleeper.running == 1
    assert sum(workers_of(pipeline)) == 1
    await feeding
    await pipeline.join()
    assert sorted(values(pipeline.results)) == list(range(20))
    assert sleeper.began == [0.0] * 5 + [float(second) for second in range(1, 16)]


@pytest.mark.parametrize("kind", ["plain", "observed", "limit"])
def test_surplus_workers_stop_though_they_never_wait(kind: str) -> None:
    clock, before, after = Clock(), set[str](), set[str]()
    names = before

    def leave_one() -> None:
        nonlocal names
        pipeline.set_workers("Work", 1)
        names = after

    async def compute(value: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        names.add(task.get_name())
        clock.advance(0.0012)
        if value == 100:
            asyncio.get_running_loop().call_soon(leave_one)

    pipeline = made(kind, compute, workers=3)
    clock.run(pipeline.run(range(300)))
    assert (len(before), len(after)) == (3, 1)


@simulated(tick=0.0)
async def test_a_surplus_worker_takes_no_item_after_one_that_was_not_attempted() -> None:
    gate, handles = Gate(), dict[int, ItemHandle[Any]]()

    class Canceller:
        @hookimpl
        def antflow_task_start(self, event: TaskEvent) -> None:
            if event.item_id == 1:
                handles[1].cancel()
                pipeline.set_workers("Work", 1)

    pipeline: Pipeline[Any, Any] = Pipeline([stage(gate, workers=2)], plugins=[Canceller()])
    async with pipeline.running():
        for value in range(4):
            handles[value] = pipeline.submit_nowait(value)
        await settle()
        assert gate.entered == [0]
        gate.open()
    assert gate.entered == [0, 2, 3]


@simulated()
async def test_idle_workers_stop_at_once_and_those_not_started_vanish() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, workers=6)])
    await start_with(pipeline, range(3))
    gate.open()
    await settle()
    pipeline.set_workers("Work", 2)
    assert workers_of(pipeline) == [2, 0, 0, 0]
    assert len(names_of(pipeline)) == 2
    await settle()
    tasks = {task.get_name() for task in asyncio.all_tasks()}
    assert sorted(name for name in tasks if name.startswith("Work-W")) == names_of(pipeline)
    await pipeline.feed(range(3, 9))
    await pipeline.join()
    assert sorted(values(pipeline.results)) == list(range(9))


@simulated()
async def test_new_workers_get_the_lowest_free_numbers_and_go_on_counting() -> None:
    pipeline = Pipeline([stage(Sleeper(), workers=3)])
    await start_with(pipeline, range(3))
    for _ in range(5):
        pipeline.set_workers("Work", 1)
        await asyncio.sleep(2)
        assert len(names_of(pipeline)) == 1
        pipeline.set_workers("Work", 4)
        assert names_of(pipeline) == [f"Work-W{number}" for number in range(4)]
        await pipeline.feed(range(4))
        await settle()
        assert workers_of(pipeline) == [0, 4, 0, 0]
    await pipeline.join()
    assert names_of(pipeline) == [f"Work-W{number}" for number in range(4)]
    done = [metrics.items_processed for metrics in pipeline.get_worker_metrics().values()]
    assert sum(done) == stats_of(pipeline).completed_items == 23
    assert min(done) >= 5


@simulated()
async def test_names_are_listed_where_some_numbers_are_free() -> None:
    gates = [Gate() for _ in range(5)]

    async def wait(number: int) -> None:
        await gates[number](number)

    pipeline = Pipeline([stage(wait, workers=5)])
    await start_with(pipeline, range(5))
    pipeline.set_workers("Work", 2)
    for number in 0, 1, 3:
        gates[number].open()
    await settle()
    assert names_of(pipeline) == ["Work-W2", "Work-W4"]
    pipeline.set_workers("Work", 4)
    assert names_of(pipeline) == ["Work-W0", "Work-W1", "Work-W2", "Work-W4"]
    pipeline.set_workers("Work", 7)
    assert names_of(pipeline) == [f"Work-W{number}" for number in range(7)]
    pipeline.set_workers("Work", 100_000)
    assert len(pipeline.get_worker_names()["Work"]) == 100_000
    for gate in gates:
        gate.open()
    await pipeline.join()


@simulated(tick=0.0)
async def test_the_seconds_of_workers_are_those_that_were_there() -> None:
    sleeper = Sleeper()
    pipeline = Pipeline([stage(sleeper, workers=2)])
    await start_with(pipeline, range(2))  # two are busy for a second
    pipeline.set_workers("Work", 4)  # and two idle
    await asyncio.sleep(0.5)
    pipeline.set_workers("Work", 1)
    assert workers_of(pipeline) == [0, 2, 0, 0]
    assert seconds_of(pipeline) == [1.0, 1.0, 0.0, 0.0]
    await asyncio.sleep(1.5)
    assert workers_of(pipeline) == [1, 0, 0, 0]
    assert seconds_of(pipeline) == [2.0, 2.0, 0.0, 0.0]
    await pipeline.join()
    assert seconds_of(pipeline) == [2.0, 2.0, 0.0, 0.0]


@simulated(tick=0.0)
async def test_workers_that_wait_for_a_retry_are_counted_as_before() -> None:
    pipeline = Pipeline([stage(fail_later, workers=5, task_attempts=2, task_wait_seconds=10)])
    await start_with(pipeline, [1])
    await asyncio.sleep(2)
    assert workers_of(pipeline) == [0, 0, 5, 0]
    pipeline.set_workers("Work", 2)
    assert workers_of(pipeline) == [0, 0, 2, 0]
    pipeline.set_workers("Work", 3)
    assert workers_of(pipeline) == [0, 0, 3, 0]
    await pipeline.join()
    assert len(pipeline.failures) == 1


@simulated()
async def test_the_next_run_begins_with_the_number_of_the_stage() -> None:
    pipeline = Pipeline([stage(same, workers=2)])
    await pipeline.start()
    pipeline.set_workers("Work", 7)
    await pipeline.join()
    assert len(names_of(pipeline)) == 7
    await pipeline.start()
    assert len(names_of(pipeline)) == 2
    await pipeline.join()
    assert pipeline.stages[0].workers == 2


@simulated()
async def test_the_capacity_stays() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate, workers=2)])
    await pipeline.start()
    pipeline.set_workers("Work", 1)
    feeding = asyncio.ensure_future(pipeline.feed(range(100)))
    await settle()
    stats = stats_of(pipeline)
    assert (stats.capacity, stats.pending_items, stats.in_progress_items) == (20, 20, 1)
    gate.open()
    await feeding
    await pipeline.join()


@simulated()
async def test_a_start_hook_is_waited_for_before_new_workers_start() -> None:
    gate, begin = Gate(), asyncio.Event()

    class Plugin:
        @hookimpl
        async def antflow_pipeline_start(self) -> None:
            await begin.wait()

    pipeline = Pipeline([stage(gate, workers=1)], plugins=[Plugin()])
    starting = asyncio.ensure_future(pipeline.start())
    await settle()
    pipeline.set_workers("Work", 3)
    feeding = asyncio.ensure_future(pipeline.feed(range(3)))
    await settle()
    assert workers_of(pipeline) == [3, 0, 0, 0]
    begin.set()
    await asyncio.gather(starting, feeding)
    await settle()
    assert workers_of(pipeline) == [0, 3, 0, 0]
    gate.open()
    await pipeline.join()


# What workers wait for


@pytest.mark.parametrize("numbers", [(1,), (5,), (1, 5), (5, 1), (1, 3, 2)], ids=str)
@pytest.mark.parametrize("pull", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_workers_that_are_blocked_lose_nothing(
    numbers: tuple[int, ...], pull: bool, seed: int | None
) -> None:
    gate = Gate()
    options: dict[str, Any] = {"pull": True} if pull else {"queue_capacity": 1}
    pipeline = Pipeline([stage(same, workers=3), stage(gate, name="Last", **options)])
    await pipeline.start()
    feeding = asyncio.ensure_future(pipeline.feed(range(30)))
    await settle()
    assert workers_of(pipeline) == [0, 0, 0, 3]
    for number in numbers:
        pipeline.set_workers("Work", number)
    await settle()
    gate.open()
    await feeding
    await settle()
    assert sum(workers_of(pipeline)) == numbers[-1]
    await pipeline.join()
    assert sorted(values(pipeline.results)) == list(range(30))


@pytest.mark.parametrize("shared", ["concurrency", "rate"])
@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_stages_that_share_a_limit_go_on_when_one_loses_its_idle_workers(
    shared: str, seed: int | None
) -> None:
    limit = Limit(concurrency=1) if shared == "concurrency" else Limit(rate=1)
    sleeper = Sleeper()
    pipeline = Pipeline(
        [
            stage(sleeper, workers=4, limits=[limit]),
            stage(sleeper, name="Last", workers=4, queue_capacity=1, limits=[limit]),
        ]
    )
    await pipeline.start()
    feeding = asyncio.ensure_future(pipeline.feed(range(12)))
    for number in 1, 3, 1, 2, 6, 1:
        await asyncio.sleep(1.5)
        pipeline.set_workers("Work", number)
        pipeline.set_workers("Last", 7 - number)
    await feeding
    await pipeline.join()
    assert sorted(values(pipeline.results)) == list(range(12))


@pytest.mark.parametrize("key", [None, lambda value: 0], ids=["plain", "keyed"])
@pytest.mark.parametrize("seed", SEEDS)
@simulated(tick=0.0)
async def test_a_stage_that_loses_its_idle_workers_passes_its_turn_on(
    key: Any, seed: int | None
) -> None:
    async def first(value: int) -> int:
        if value == 0:  # then its worker waits for room
            await pipeline.feed(range(10, 15), target_stage="Last")
        return value

    async def last(value: int) -> int:
        await asyncio.sleep(1)
        if len(done) == 0:  # the limit is free, and it is the turn of "Work" with its idle worker
            asyncio.get_running_loop().call_soon(pipeline.set_workers, "Work", 1)
        done.append(value)
        return value

    done: list[int] = []
    limits = [Limit(concurrency=1, key=key)]
    pipeline = Pipeline(
        [
            stage(first, workers=2, limits=limits),
            stage(last, name="Last", queue_capacity=1, limits=limits),
        ]
    )
    assert len(await pipeline.run(range(5))) == 10


@simulated()
async def test_a_pull_stage_takes_as_many_items_as_it_has_workers() -> None:
    gate = Gate()
    pipeline = made("pull", gate, workers=1)
    await pipeline.start()
    feeding = asyncio.ensure_future(pipeline.feed(range(20)))
    await settle()
    assert stats_of(pipeline).in_progress_items == 1
    pipeline.set_workers("Work", 4)
    await settle()
    assert stats_of(pipeline).in_progress_items == 4
    pipeline.set_workers("Work", 2)
    gate.open()
    await feeding
    await pipeline.join()
    assert sorted(values(pipeline.results)) == list(range(20))


def test_threads_follow() -> None:
    names: set[str] = set()

    def work(value: int) -> int:
        names.add(threading.current_thread().name)
        barriers[0].wait(10)
        return value

    async def main() -> None:
        pipeline = Pipeline([stage(work, workers=1)])
        await pipeline.start()
        pipeline.set_workers("Work", 4)
        await pipeline.feed(range(4))
        while stats_of(pipeline).completed_items < 4:
            await asyncio.sleep(0.001)
        assert names == {f"Work-T{number}" for number in range(4)}
        pipeline.set_workers("Work", 1)
        while len(alive()) > 1:
            await asyncio.sleep(0.001)
        barriers[0] = threading.Barrier(1)
        await pipeline.feed(range(3))
        await pipeline.join()
        assert len(pipeline.results) == 7
        assert len(names) == 4

    def alive() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name in names]

    barriers = [threading.Barrier(4)]
    asyncio.run(main())


# The end


@pytest.mark.parametrize("number", [1, 2, 8])
@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_the_end_is_reached_while_workers_stop(
    number: int, drain: bool, seed: int | None
) -> None:
    pipeline = Pipeline([stage(Sleeper(), workers=4), stage(Sleeper(), name="Last", workers=4)])
    await pipeline.start()
    await pipeline.feed(range(10))
    await settle()
    stopping = asyncio.ensure_future(pipeline.shutdown(drain=drain))
    pipeline.set_workers("Work", number)
    pipeline.set_workers("Last", number)
    left = await stopping
    assert len(left) + len(pipeline.results) == 10
    assert not (drain and left)


@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_the_last_item_of_a_surplus_worker_ends_the_run(seed: int | None) -> None:
    pipeline = Pipeline([stage(Sleeper(), workers=2)])
    await pipeline.start()
    await pipeline.feed(range(2))
    await settle()
    joining = asyncio.ensure_future(pipeline.join())
    pipeline.set_workers("Work", 1)
    await joining
    assert len(pipeline.results) == 2


@simulated()
async def test_a_task_may_change_its_own_stage() -> None:
    async def work(value: int) -> int:
        pipeline.set_workers("Work", 1 + value % 4)
        await asyncio.sleep(0.1)
        pipeline.set_workers("Work", 1 + value % 3)
        return value

    pipeline = Pipeline([stage(work, workers=3)])
    assert len(await pipeline.run(range(50))) == 50


# What is refused


@pytest.mark.parametrize("n", [0, -1, True, 1.5, "2", None, 100_001])
@simulated()
async def test_what_is_no_number_of_workers_is_refused(n: Any) -> None:
    pipeline = Pipeline([stage(same)])
    await pipeline.start()
    with pytest.raises(ValueError, match=r"'Work' of pipeline .*from 1 to 100,000"):
        pipeline.set_workers("Work", n)
    await pipeline.join()


@simulated()
async def test_an_unknown_stage_is_refused() -> None:
    pipeline = Pipeline([stage(same), stage(same, name="Last")])
    await pipeline.start()
    with pytest.raises(ValueError, match=r"'Wrok' not found .* it has 'Work', 'Last'"):
        pipeline.set_workers("Wrok", 2)
    await pipeline.join()


@simulated()
async def test_without_an_active_run_it_is_refused() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(gate)])
    refused = partial(pytest.raises, PipelineError)
    with refused(match="is not running; call start"):
        pipeline.set_workers("Work", 2)
    await pipeline.feed([1])
    with refused(match="is not running; call start"):
        pipeline.set_workers("Work", 2)
    await pipeline.start()
    await settle()
    stopping = asyncio.ensure_future(pipeline.shutdown())
    await settle()
    with refused(match=r"about to end .* stage 'Work' stay"):
        pipeline.set_workers("Work", 2)
    gate.open()
    await stopping
    with refused(match="is not running; call start"):
        pipeline.set_workers("Work", 2)
    assert len(names_of(pipeline)) == 1


def in_a_thread(call: Callable[[], Any]) -> Any:
    return asyncio.to_thread(call)


async def on_another_loop(call: Callable[[], Any]) -> None:
    async def main() -> None:
        call()

    await asyncio.to_thread(asyncio.run, main())


@pytest.mark.parametrize("where", [in_a_thread, on_another_loop])
@simulated(threads=True)
async def test_in_another_thread_it_is_refused_and_the_remedy_works(where: Any) -> None:
    pipeline = Pipeline([stage(same)])
    await pipeline.start()
    with pytest.raises(PipelineError, match=r"call_soon_threadsafe\(pipeline.set_workers"):
        await where(lambda: pipeline.set_workers("Work", 2))
    assert len(names_of(pipeline)) == 1
    loop = asyncio.get_running_loop()
    await where(lambda: loop.call_soon_threadsafe(pipeline.set_workers, "Work", 2))
    await settle()
    assert len(names_of(pipeline)) == 2
    await pipeline.join()
