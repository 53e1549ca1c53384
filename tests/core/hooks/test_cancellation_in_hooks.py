"""A run or a worker is cancelled while an asynchronous hook waits: no event and no item is lost.

The hook ends, all remaining hooks are called, and the outcome of the attempt stands. Events are
compared in the short form of `test_order_of_events.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from antflow import (
    Pipeline,
    PipelineError,
    Stage,
    StatusTracker,
    TaskEvent,
    concurrency_limit,
    hookimpl,
)
from tests.helpers.events import (
    LONG,
    Chain,
    Event,
    SlowWatcher,
    Task,
    Watcher,
    cancel,
    check_laws,
    passing,
    short,
    watched,
    worker,
)
from tests.helpers.runs import Failing, ids, same, start_with, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate


class Held(Watcher):
    """Records events, and waits for ever at one of them."""

    def __init__(self, kind: str, item_id: Any = 0) -> None:
        super().__init__()
        self._moment = kind, item_id
        self.was_cancelled = 0

    async def record(self, event: Event) -> None:
        self.events.append(event)
        if (short(event), event.item_id) == self._moment:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.was_cancelled += 1
                raise


class OnlyCancelled:
    """A plugin with the hook of cancelled attempts and no other."""

    def __init__(self) -> None:
        self.events: list[TaskEvent] = []

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        self.events.append(event)


class Interrupted:
    """Two items run through stages A and B, until something is cancelled in a hook at the first."""

    def __init__(self, kind: str, stage: Stage, *, is_last: bool = False) -> None:
        self.first, self.held, self.last = Watcher(), Held(kind), Watcher()
        self.only = OnlyCancelled()
        self.stages = [stage] if is_last else [stage, Stage("B", 1, [same])]

    async def __call__(self, cause: str) -> Pipeline:
        pipeline = watched(self.stages, self.first, self.held, self.last, self.only)
        running = await begun(pipeline.run([0, 1]))
        if cause == "run":
            await cancel(running)
        elif cause == "timeout":
            await pipeline.shutdown(timeout=1)
            await running
        else:
            worker("A-W0").cancel()
            with pytest.raises(PipelineError, match="'A-W0' was cancelled"):
                await running
        assert not others()
        assert self.held.was_cancelled == 1
        return pipeline


CAUSES = ["run", "timeout", "worker"]
LEFT = ["unprocessed A!"]
MOVED = ["completed A", "moves on"]


class Case(NamedTuple):
    """The event whose hook waits, those that follow it, and the settings of stage A."""

    kind: str
    follow: list[str]
    fields: dict[str, Any]
    failures: int = 0
    calls: int = 1
    tasks: Callable[[Failing], list[Any]] = lambda task: [task]
    is_last: bool = False


PER_STAGE = {"retry": "per_stage"}
CASES = {
    "queued": Case("queued B", ["moves on"], {}),
    "in_progress": Case("in_progress A", LEFT, {}, calls=0),
    "in_progress, with skip_if": Case(
        "in_progress A", LEFT, {"skip_if": lambda value: False}, calls=0
    ),
    "start": Case("start A.task 1", ["cancel A.task 1", *LEFT], {}, calls=0),
    "start of a retry": Case(
        "start A.task 2", ["cancel A.task 2", *LEFT], {"task_wait_seconds": 0}, failures=9
    ),
    "success": Case("complete A.task 1", MOVED, {}),
    "success in the last stage": Case("complete A.task 1", ["completed A!"], {}, is_last=True),
    "success before another task": Case(
        "complete A.task 1", LEFT, {}, tasks=lambda task: [task, Failing(0, "two")]
    ),
    "retry": Case("retry A.task 1", LEFT, {"task_wait_seconds": 0}, failures=9),
    "retry after a wait": Case("retry A.task 1", LEFT, {"task_wait_seconds": LONG}, failures=9),
    "retry of the stage": Case("retry A.task 1", ["retrying A", *LEFT], PER_STAGE, failures=9),
    "retrying": Case("retrying A", LEFT, PER_STAGE, failures=9),
    "failure": Case("fail A.task 1", ["failed A!"], {"task_attempts": 1}, failures=9),
    "failed": Case("failed A!", [], {"task_attempts": 1}, failures=9),
    "skipped": Case("skipped A", ["moves on"], {"skip_if": lambda value: True}, calls=0),
    "completed": Case("completed A", ["moves on"], {}),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_cancellation_in_a_hook_loses_no_event_and_no_item(case: Case, cause: str) -> None:
    task = Failing(case.failures)
    stage = Stage("A", 1, case.tasks(task), **case.fields)
    interrupted = Interrupted(case.kind, stage, is_last=case.is_last)
    pipeline = simulate(lambda: interrupted(cause))
    follow = list(case.follow)
    if follow[-1:] == ["moves on"]:
        # while its worker ends, the worker of B takes the item
        moved = [*passing("B")[:-1], "completed B!"]
        moved = moved if cause == "worker" else ["queued B", "unprocessed B!"]
        follow[-1:] = moved[1:] if case.kind == "queued B" else moved
    events = interrupted.first.of(0)
    assert events[events.index(case.kind) + 1 :] == follow
    assert interrupted.held.of(0) == interrupted.last.of(0) == events
    assert list(map(short, interrupted.only.events)) == [
        each for each in follow if each.startswith("cancel")
    ]
    check_laws(interrupted.last)
    assert task.calls == [0] * case.calls
    end = events[-1]
    assert ids(pipeline.results) == [0] * end.startswith("completed")
    assert ids(pipeline.failures) == [0] * end.startswith("failed")
    left = sorted((item.id, item.stage) for item in pipeline.unprocessed)
    assert left == [(0, end[-2])] * end.startswith("unprocessed") + [(1, "A")]


def test_an_attempt_that_is_cancelled_in_its_start_hook_was_not_made() -> None:
    interrupted = Interrupted("start A.task 1", Stage("A", 1, [Failing(0)]))
    pipeline = simulate(lambda: interrupted("run"))
    (event,) = interrupted.first.attempts("cancel")
    assert isinstance(event.error, asyncio.CancelledError)
    assert event.duration is None
    assert pipeline.get_stats().stage_stats["A"].tasks["task"].attempts == 0


@simulated()
async def test_the_hook_of_cancelled_attempts_needs_no_other_hook() -> None:
    only = OnlyCancelled()
    await cancel(await begun(watched([Stage("A", 1, [Gate()])], only).run([0])))
    assert [short(event) for event in only.events] == ["cancel A.gate 1"]


@simulated()
async def test_a_hook_of_a_cancelled_attempt_may_be_cancelled_itself() -> None:
    first, held, last = Watcher(), Held("cancel A.task 1"), Watcher()
    pipeline = watched([Stage("A", 1, [Gate("task")])], first, held, last)
    running = await begun(pipeline.run([0, 1]))
    running.cancel()
    await settle()
    assert not running.done()
    await cancel(running)
    assert held.was_cancelled == 1
    assert values(pipeline.unprocessed) == [0, 1]
    assert last.of(0)[-2:] == ["cancel A.task 1", "unprocessed A!"]


async def swallow(_: Any) -> None:
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError:
        return


@pytest.mark.parametrize("in_hook", [False, True])
@simulated()
async def test_a_swallowed_cancellation_of_a_worker_does_not_make_it_spin(in_hook: bool) -> None:
    """In a hook, it ends the run all the same; in a task, the task succeeds and the run goes on."""
    watcher = SlowWatcher()
    tracker = StatusTracker(on_task_start=swallow if in_hook else None)
    stage = Stage("A", 1, [Task(same if in_hook else swallow)])
    running = asyncio.create_task(watched([stage], watcher, tracker).run([0, 1]))
    await asyncio.sleep(LONG / 2)
    worker("A-W0").cancel()
    await asyncio.wait([running])
    assert isinstance(running.exception(), PipelineError) == in_hook
    check_laws(watcher)
    ends = [event.event_type for event in watcher.attempts() if event.event_type != "start"]
    assert ends == (["cancel"] if in_hook else ["complete", "complete"])


@simulated()
async def test_no_task_is_called_after_a_shutdown_during_its_start_hook(chain: Chain) -> None:
    watcher, task = Watcher(), Failing(0)
    waiting = StatusTracker(on_task_start=lambda event: asyncio.sleep(LONG))
    pipeline = watched(chain.stages(task), waiting, watcher)
    running = asyncio.create_task(pipeline.run([0]))
    await asyncio.sleep(chain.at * LONG + LONG / 2)
    await pipeline.shutdown()
    await running
    check_laws(watcher)
    assert task.calls == []
    expected = "queued, in_progress, start task 1, cancel task 1, unprocessed"
    assert watcher.of(0) == chain.expect(expected)


@pytest.mark.parametrize(
    "kind", ["in_progress A", "start A.task 1", "complete A.task 1", "completed A!"]
)
@simulated()
async def test_no_item_is_lost_if_the_worker_s_coroutine_is_closed_in_a_hook(kind: str) -> None:
    """As the garbage collector does with the tasks of a loop that was closed too early."""
    pipeline = watched([Stage("A", 1, [Failing(0)])], Held(kind))
    running = await begun(pipeline.run([0]))
    coroutine: Any = worker("A-W0").get_coro()
    coroutine.close()
    running.cancel()
    await asyncio.wait([running])
    assert values(pipeline.results) + values(pipeline.unprocessed) == [0]
    assert not pipeline.plugin_faults


@simulated()
async def test_an_item_moves_on_though_on_success_is_cancelled() -> None:
    async def wait(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    watcher = Watcher()
    stages = [Stage("A", 1, [same], on_success=wait), Stage("B", 1, [same])]
    await cancel(await begun(watched(stages, watcher).run([0])))
    check_laws(watcher)
    assert watcher.of(0)[-3:] == ["completed A", "queued B", "unprocessed B!"]


@pytest.mark.parametrize("seed", [None, *range(5)])
@pytest.mark.parametrize("kind", ["in_progress A", "start A.one 1", "complete A.one 1"])
def test_no_other_worker_takes_the_item_of_a_cancelled_worker(kind: str, seed: int | None) -> None:
    held = Held(kind)

    async def main() -> Pipeline:
        pipeline = watched([Stage("A", 3, [Failing(0, "one"), Failing(0, "two")])], held)
        await start_with(pipeline, ["x", "y", "z"])
        held_by = {event.item_id: event.worker for event in held.events if short(event) == kind}
        worker(f"{held_by[0]}").cancel()
        with pytest.raises(PipelineError, match="was cancelled"):
            await pipeline.join()
        return pipeline

    pipeline = simulate(main, seed=seed)
    check_laws(held)
    assert values(pipeline.unprocessed) == ["x"]
    assert held.of(0).count("in_progress A") == 1


@simulated()
async def test_a_worker_that_is_cancelled_in_a_hook_does_not_wait_for_a_limit() -> None:
    held = Held("in_progress A", item_id=1)
    stage = Stage("A", 2, [Gate("task")], task_concurrency_limits={"task": 1})
    running = await begun(watched([stage], held).run([0, 1]))
    worker("A-W1").cancel()
    with pytest.raises(PipelineError, match="'A-W1' was cancelled"):
        await running
    check_laws(held)


@pytest.mark.parametrize("kind", ["start A.task 1", "complete A.task 1"])
@simulated()
async def test_a_shutdown_cancels_a_hook_that_waits_for_a_limit(kind: str) -> None:
    first, last = Watcher(), Watcher()

    class Limited(Watcher):
        async def record(self, event: Event) -> None:
            if short(event) == kind:
                async with concurrency_limit():
                    await asyncio.sleep(LONG)

    stage = Stage("A", 2, [Failing(0)], call_concurrency=1)
    pipeline = watched([stage], first, Limited(), last)
    running = await begun(pipeline.run(range(5)))
    await pipeline.shutdown()
    await running
    check_laws(first)
    assert last.of(1) == first.of(1)
    if kind.startswith("start"):
        assert values(pipeline.unprocessed) == list(range(5))
        assert first.of(1)[-2:] == ["cancel A.task 1", "unprocessed A!"]
    else:
        assert values(pipeline.results) == [0, 1]
        assert last.of(1)[-1] == "completed A!"
