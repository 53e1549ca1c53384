"""The laws of the engine, each with a test that fails when the law is broken."""

from __future__ import annotations

import asyncio
import copy
import importlib
import itertools
import logging
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from antflow import Pipeline, Stage
from tests.helpers.runs import fail, now, same, start_with, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, settle, simulate

# Bounded memory


class Living:
    """A value that counts how many of its kind there are."""

    count = 0
    most = 0

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_tried = False
        Living.count += 1
        Living.most = max(Living.most, Living.count)

    def __del__(self) -> None:
        Living.count -= 1

    @classmethod
    def numbers(cls, count: int) -> Iterator[Living]:
        """Make values, holding none of them."""
        return map(cls, range(count))


async def fail_once(value: Living) -> Living:
    if value.number % 4 == 0 and not value.is_tried:
        value.is_tried = True
        raise ValueError
    return value


@pytest.mark.parametrize("use", ["run", "stream", "slow stream", "feed"])
def test_memory_is_bounded_whatever_the_length_of_the_input(use: str) -> None:
    async def work(count: int) -> None:
        pipeline = Pipeline(
            [
                Stage("Made", 2, [same], queue_capacity=2),
                Stage("Tried", 2, [fail_once], "per_stage", queue_capacity=2),
                Stage("Again", 1, [fail_once], task_wait_seconds=0, queue_capacity=2),
                Stage("Pull", 1, [same], pull=True),
            ],
            collect_results=False,
        )
        if use == "run":
            await pipeline.run(Living.numbers(count))
        elif use == "feed":
            await pipeline.start()
            feeds = [pipeline.feed(Living.numbers(count), name) for name in ("Made", "Tried")]
            await asyncio.gather(*feeds)
            await pipeline.join()
        else:
            async for _ in pipeline.stream(Living.numbers(count), buffer_size=2):
                if use == "slow stream":
                    await asyncio.sleep(1)

    def most_living(count: int) -> int:
        Living.most = Living.count = 0
        simulate(lambda: work(count))
        return Living.most

    # Per stage: capacity, workers, what blocked senders deposited; then buffer and consumer.
    assert most_living(50) <= 30
    assert most_living(400) <= 30


# Structured concurrency


async def end_run(pipeline: Pipeline) -> None:
    await pipeline.run(range(5))


async def end_stream(pipeline: Pipeline) -> None:
    async with pipeline.stream(range(5)) as stream:
        async for _ in stream:
            pass


async def close_stream(pipeline: Pipeline) -> None:
    async with pipeline.stream(range(5)) as stream:
        await anext(stream)


async def join(pipeline: Pipeline) -> None:
    await pipeline.start()
    await pipeline.feed(range(5))
    await pipeline.join()


async def shut_down(pipeline: Pipeline) -> None:
    await start_with(pipeline, range(5))
    await pipeline.shutdown()


@pytest.mark.parametrize("use", [end_run, end_stream, close_stream, join, shut_down])
@pytest.mark.parametrize("cancel_after", [None, 0, 1.5])
@simulated()
async def test_no_task_is_left_and_cancelling_the_caller_cancels_at_once(
    use: Callable[[Pipeline], Awaitable[None]], cancel_after: float | None
) -> None:
    running: set[int] = set()

    async def work(value: int) -> int:
        running.add(value)
        try:
            await asyncio.sleep(1 if value == 0 or cancel_after is None else 1000)
        finally:
            await asyncio.sleep(0)  # cleaning up takes a step of the loop
            running.discard(value)
        return value

    def note_tasks(caller: asyncio.Future[None]) -> None:
        left.append({task for task in asyncio.all_tasks() if task not in (caller, main)})

    main = asyncio.current_task()
    left: list[set[asyncio.Task[Any]]] = []
    pipeline = Pipeline([Stage("Work", 3, [work]), Stage("Last", 1, [same])])
    began = now()
    caller = asyncio.ensure_future(use(pipeline))
    if cancel_after is not None:
        await asyncio.sleep(cancel_after)
        await settle()
        caller.cancel()
    caller.add_done_callback(note_tasks)
    await asyncio.wait([caller])
    assert left == [set()]
    assert running == set()
    if cancel_after is not None:
        assert now() - began < cancel_after + 0.001
    else:
        await caller


# Fairness


@pytest.mark.parametrize("tasks", [[same], [same, same]])
@pytest.mark.parametrize("workers", [1, 10])
def test_other_work_runs_every_few_milliseconds(tasks: list[Any], workers: int) -> None:
    async def main() -> list[float]:
        stages = [Stage(name, workers, tasks, queue_capacity=0) for name in ("A", "B", "C")]
        pipeline = Pipeline(stages, collect_results=False)
        working = asyncio.ensure_future(work(pipeline))
        gaps, last = [], now()
        while not working.done():
            await asyncio.sleep(0)
            gaps.append(now() - last)
            last = now()
        await working
        return gaps

    async def work(pipeline: Pipeline) -> None:
        await pipeline.feed(range(2_000))
        await pipeline.start()
        await pipeline.feed(range(2_000))
        await pipeline.join()
        await pipeline.run(range(2_000))

    gaps = sorted(simulate(main, tick=5e-6))
    assert sum(gaps) > 0.1  # or there was nothing to be fair about
    assert gaps[int(len(gaps) * 0.99)] < 0.010
    assert gaps[-1] < 0.030


# Clocks


@simulated(tick=0.0)
async def test_durations_are_of_the_clock_of_the_run_and_timestamps_are_unix_time() -> None:
    gate = Gate()
    pipeline = Pipeline([Stage("Work", 1, [gate])])
    run = asyncio.ensure_future(pipeline.run([1, 2]))
    await asyncio.sleep(40)  # of virtual time: by the clock of the day next to none
    gate.let(1)
    await asyncio.sleep(30)
    state = pipeline.get_worker_states()["Work-W0"]
    metrics = pipeline.get_worker_metrics()["Work-W0"]
    stats = pipeline.get_stats().stage_stats["Work"]
    for unix in (state.processing_since, metrics.last_active, stats.last_completion):
        assert unix is not None
        assert time.time() - unix == pytest.approx(30, abs=5)
    assert stats.seconds["busy"] == 70
    assert stats.queue_wait.sum == stats.tasks["gate"].duration.sum == 40
    assert metrics.total_processing_time == 40
    gate.open()
    await run


def import_again(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in [name for name in sys.modules if name.split(".")[0] == "antflow"]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("antflow")


def test_the_clock_of_a_run_is_monotonic(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = itertools.count(0, 1000)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(readings)))
    fresh = import_again(monkeypatch)
    pipeline = fresh.Pipeline([fresh.Stage("Work", 1, [same])])
    asyncio.run(pipeline.run([0]))
    seconds = pipeline.get_stats().stage_stats["Work"].tasks["same"].duration.sum
    assert seconds >= 1000
    assert time.get_clock_info("perf_counter").monotonic


# No logging is configured, nothing is printed, no signal handler is installed


def process_state() -> list[Any]:
    loggers = [logging.getLogger(), logging.getLogger("antflow")]
    return [
        [(logger.handlers[:], logger.level, logger.disabled) for logger in loggers],
        logging.lastResort,
        {number: signal.getsignal(number) for number in signal.valid_signals()},
        (sys.stdout, sys.stderr, sys.excepthook, threading.excepthook, sys.unraisablehook),
    ]


def test_importing_and_running_leaves_the_process_alone(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = process_state()
    fresh = import_again(monkeypatch)
    assert process_state() == before
    during: list[Any] = []

    async def look(value: int) -> int:
        during.append(process_state())
        if value == 1:
            raise ValueError
        return value

    async def main() -> None:
        before[:] = process_state()  # with the signal handler of asyncio.run
        one = fresh.Stage("Work", 1, [look], task_attempts=1, on_success=fail)
        pipeline = fresh.Pipeline([one])
        await pipeline.run([0, 1, 2])
        await pipeline.feed([3])
        await pipeline.shutdown()
        assert process_state() == before

    asyncio.run(main())
    assert during == [before] * 3
    assert caplog.records  # there was something to say
    assert capfd.readouterr() == ("", "")


# A definition is data


def test_a_definition_executes_nothing_and_serves_several_runs_at_once() -> None:
    called: list[int] = []

    async def note(value: int) -> int:
        called.append(value)
        await asyncio.sleep(1)
        return value

    threads = threading.active_count()
    stages = [Stage("First", 2, [note, note], "per_stage"), Stage("Last", 1, [note])]
    as_defined = [copy.copy(stage) for stage in stages]
    one, other = Pipeline(stages), Pipeline(stages)  # there is no loop yet
    source = iter(range(3))
    stream = one.stream(source)
    for pipeline in (one, other):
        pipeline.get_stats()
        pipeline.get_worker_names()
        pipeline.get_worker_states()
    assert called == []
    assert threading.active_count() <= threads
    assert list(itertools.islice(source, 1)) == [0]

    async def read() -> list[Any]:
        return sorted([result.value async for result in stream])

    async def run_both() -> None:
        of_stream, of_run = await asyncio.gather(read(), other.run(range(3)))
        assert of_stream == [1, 2]
        assert values(of_run) == [0, 1, 2]

    simulate(run_both)
    simulate(lambda: other.run(range(3)))  # the same definition, on another loop
    assert stages == as_defined
