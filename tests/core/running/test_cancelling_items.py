"""`ItemHandle.cancel`, wherever the item is: it is dropped, and nothing else changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import pytest

from antflow import (
    ItemHandle,
    Limit,
    Pipeline,
    RetryAfter,
    Stage,
    StatusEvent,
    TaskEvent,
    UnprocessedItem,
    concurrency_limit,
    hookimpl,
)
from tests.helpers.runs import Failing, same, stage, values, watched_or_not
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

REASON = {"reason": "cancelled"}


class Watching:
    """A plugin that lists the events of each item, and checks the counts at each of them."""

    def __init__(self) -> None:
        self.statuses: dict[Any, list[str]] = {}
        self.attempts: list[tuple[Any, str]] = []
        self.finished: dict[Any, StatusEvent] = {}
        self.pipeline: Pipeline | None = None

    @hookimpl
    def antflow_pipeline_start(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        self.statuses.setdefault(event.item_id, []).append(event.status)
        assert self.pipeline is not None
        check_conservation(self.pipeline)

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        assert event.item_id not in self.finished
        self.finished[event.item_id] = event

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        self.attempts.append((event.item_id, event.event_type))

    antflow_task_success = antflow_task_start
    antflow_task_retry = antflow_task_start
    antflow_task_failure = antflow_task_start
    antflow_task_cancelled = antflow_task_start


def check_conservation(pipeline: Pipeline) -> None:
    stats = pipeline.get_stats()
    ended = stats.items_processed + stats.items_failed + stats.items_dropped
    assert stats.items_fed == ended + stats.items_unprocessed + stats.items_outstanding
    for each in stats.stage_stats.values():
        waiting = each.pending_items + each.parked_items + each.in_progress_items
        gone = each.completed_items + each.failed_items + each.dropped_items
        assert each.fed_items == gone + waiting + each.unprocessed_items
        assert min(each.pending_items, each.parked_items, each.in_progress_items) >= 0


class Scene:
    """A pipeline in which the item "x" is to be cancelled, beside others."""

    def __init__(self, watched: bool) -> None:
        self.gate = Gate()
        self.watching = Watching() if watched else None
        self.others: list[Any] = []

    async def start(self, *stages: Stage, plugins: Any = ()) -> Pipeline:
        watching = () if self.watching is None else (self.watching,)
        self.pipeline = Pipeline(stages, name="books", plugins=[*watching, *plugins])
        await self.pipeline.start()
        return self.pipeline

    async def feed(self, *items: Any) -> None:
        self.others += items
        await self.pipeline.feed(items)
        await settle()

    async def submit(self) -> ItemHandle:
        handle = await self.pipeline.submit({"id": "x", "value": "x"})
        await settle()
        return handle

    async def check_dropped(self, handle: ItemHandle, *, started: int = 0) -> None:
        """Cancel, and check that "x" is dropped at once, and the others are served."""
        is_running = handle.status == "running"
        assert handle.cancel()
        await settle()
        check_conservation(self.pipeline)
        assert (handle.done(), handle.status) == (True, "dropped")
        result = await handle
        assert (result.id, result.outcome, result.reason) == ("x", "dropped", "cancelled")
        assert not result.is_success
        assert not handle.cancel()
        await self.check_others(is_running=is_running, started=started)

    async def check_others(self, *, is_running: bool, started: int) -> None:
        pipeline = self.pipeline
        for number in range(2):
            self.others.append(f"later {number}")
            await pipeline.feed([f"later {number}"])
        await settle()
        self.gate.open()
        await pipeline.join()
        assert not others()
        assert sorted(values(pipeline.results)) == sorted(self.others)
        assert (pipeline.failures, pipeline.unprocessed) == ([], [])
        stats = pipeline.get_stats()
        assert (stats.items_dropped, stats.items_fed) == (1, len(self.others) + 1)
        assert pipeline.get_error_summary().total_failed == 0
        if self.watching is not None:
            self.check_events(self.watching, is_running=is_running, started=started)

    def check_events(self, watching: Watching, *, is_running: bool, started: int) -> None:
        event = watching.finished["x"]
        assert (event.status, event.final, dict(event.metadata)) == ("dropped", True, REASON)
        assert watching.statuses["x"][-1] == "dropped"
        ended = [kind for item_id, kind in watching.attempts if item_id == "x" and kind != "start"]
        assert watching.attempts.count(("x", "start")) == len(ended)
        assert ended.count("cancel") == is_running
        assert len(ended) == started + is_running
        assert all(e.status == "completed" for i, e in watching.finished.items() if i != "x")


# Where it waits


async def ready(scene: Scene) -> ItemHandle:
    await scene.start(stage(scene.gate))
    await scene.feed("first")
    handle = await scene.submit()
    await scene.feed("behind")
    return handle


async def ready_in_the_second_stage(scene: Scene) -> ItemHandle:
    await scene.start(stage(same, name="First"), stage(scene.gate))
    await scene.feed("first")
    return await scene.submit()


async def held_by_a_sender_that_waits(scene: Scene) -> ItemHandle:
    await scene.start(stage(same, name="First"), stage(scene.gate, queue_capacity=1))
    await scene.feed("first", "second")
    handle = await scene.submit()
    await scene.feed("behind")
    return handle


async def in_front_of_a_pull_stage(scene: Scene) -> ItemHandle:
    await scene.start(stage(same, name="First"), stage(scene.gate, pull=True))
    await scene.feed("first")
    handle = await scene.submit()
    await scene.feed("behind")
    return handle


async def in_front_of_a_pull_stage_behind_others(scene: Scene) -> ItemHandle:
    await scene.start(stage(same, name="First", workers=3), stage(scene.gate, pull=True))
    await scene.feed("first", "second")
    handle = await scene.submit()
    await scene.feed("behind")
    return handle


async def fed_to_a_pull_stage(scene: Scene) -> ItemHandle:
    await scene.start(stage(same, name="First"), stage(scene.gate, pull=True))
    await scene.feed("first")
    left = UnprocessedItem("x", "x", {}, priority=100, stage="Work", sequence_id=7)
    handle = await scene.pipeline.submit(left)
    await settle()
    return handle


async def at_the_limit_of_its_key(scene: Scene) -> ItemHandle:
    limit = Limit(concurrency=1, key=lambda value: value[0], name="initial")
    await scene.start(stage(scene.gate, workers=4, limits=[limit]))
    await scene.feed("x1")
    handle = await scene.submit()
    await scene.feed("x2", "y1")
    return handle


async def alone_at_the_limit_of_its_key(scene: Scene) -> ItemHandle:
    limit = Limit(concurrency=1, key=lambda value: value[0], name="initial")
    await scene.start(stage(scene.gate, workers=4, limits=[limit]))
    await scene.feed("x1")
    return await scene.submit()


async def where_the_lines_are_full(scene: Scene) -> ItemHandle:
    limit = Limit(concurrency=1, key=lambda value: value[0], name="initial")
    await scene.start(stage(scene.gate, workers=4, limits=[limit], max_parked=1))
    await scene.feed("x1", "x2")
    handle = await scene.submit()
    await scene.feed("y1")
    return handle


async def at_a_limit_without_keys(scene: Scene) -> ItemHandle:
    limit = Limit(concurrency=1, name="all")
    await scene.start(stage(scene.gate, workers=4, limits=[limit]))
    await scene.feed("first")
    handle = await scene.submit()
    await scene.feed("behind")
    return handle


async def at_a_rate(scene: Scene) -> ItemHandle:
    await scene.start(stage(same, workers=4, limits=[Limit(rate=1, per=1000.0, name="all")]))
    await scene.feed("first")
    handle = await scene.submit()
    await scene.feed("behind")
    return handle


async def at_a_limit_of_two_stages(scene: Scene) -> ItemHandle:
    limit = Limit(concurrency=1, name="all")
    await scene.start(
        stage(scene.gate, workers=2, limits=[limit]),
        stage(same, name="Last", workers=2, limits=[limit]),
    )
    await scene.feed("first")
    handle = await scene.submit()
    await scene.feed("behind")
    return handle


async def at_a_limit_of_a_pull_stage(scene: Scene) -> ItemHandle:
    limit = Limit(concurrency=1, name="all")
    await scene.start(
        stage(same, name="First", workers=2),
        stage(scene.gate, workers=2, limits=[limit], pull=True),
    )
    await scene.feed("first")
    handle = await scene.submit()
    await scene.feed("behind")
    return handle


WAITING = (
    *(ready, ready_in_the_second_stage, held_by_a_sender_that_waits, in_front_of_a_pull_stage),
    *(in_front_of_a_pull_stage_behind_others, fed_to_a_pull_stage, at_the_limit_of_its_key),
    *(alone_at_the_limit_of_its_key, where_the_lines_are_full, at_a_limit_without_keys, at_a_rate),
    *(at_a_limit_of_two_stages, at_a_limit_of_a_pull_stage),
)


@watched_or_not
@pytest.mark.parametrize("situation", WAITING)
@simulated()
async def test_an_item_that_waits_is_dropped_at_once(
    situation: Callable[[Scene], Coroutine[Any, Any, ItemHandle]], watched: bool
) -> None:
    scene = Scene(watched)
    handle = await situation(scene)
    assert handle.status == "waiting"
    is_at_the_first = situation in (at_a_limit_of_two_stages, fed_to_a_pull_stage)
    has_passed_one = len(scene.pipeline.stages) > 1 and not is_at_the_first
    await scene.check_dropped(handle, started=has_passed_one)


@watched_or_not
@pytest.mark.parametrize("fields", [{}, {"pull": True}, {"retry": "per_stage"}])
@simulated()
async def test_an_item_that_is_parked_for_a_retry_is_dropped_at_once(
    fields: dict[str, Any], watched: bool
) -> None:
    scene, failing = Scene(watched), Failing(1)

    async def task(value: str) -> str:
        return str(await (failing(value) if value == "x" else scene.gate(value)))

    retried = {"task_attempts": 2, "stage_attempts": 2, "retry_wait": 50.0, **fields}
    await scene.start(stage(same, name="First"), stage(task, **retried))
    handle = await scene.submit()
    assert handle.status == "waiting"
    await scene.check_dropped(handle, started=2)
    assert failing.calls == ["x"]
    assert (await handle).attempts == 1


# While it is attempted


@simulated(tick=0.0)
async def test_an_item_that_kept_the_worker_of_a_pull_stage_lets_the_next_one_go() -> None:
    async def task(value: int) -> float:
        if value == 0:
            raise RetryAfter(100)
        return asyncio.get_running_loop().time()

    stages = [stage(same, name="First", workers=2), stage(task, pull=True, task_attempts=2)]
    pipeline = Pipeline(stages)
    async with pipeline.running():
        parked, following = [await pipeline.submit(number) for number in range(2)]
        await asyncio.sleep(1)
        parked.cancel()
        assert (await following).value == 1


def holding(scene: Scene) -> Callable[[Any], Any]:
    """Return a task that holds "x" for long, and others at the gate."""

    async def task(value: str) -> str:
        if value == "x":
            await asyncio.sleep(1000)
        return str(await scene.gate(value))

    return task


class Running(NamedTuple):
    """The fields of a stage, and how its task holds "x" until it is cancelled."""

    hold: Callable[[], Coroutine[Any, Any, Any]]
    fields: dict[str, Any]


async def sleep_long() -> None:
    await asyncio.sleep(1000)


async def in_a_task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(sleep_long())


async def in_a_gather() -> None:
    await asyncio.gather(sleep_long(), sleep_long())


async def in_a_timeout() -> None:
    async with asyncio.timeout(500):
        await sleep_long()


async def in_wait_for() -> None:
    await asyncio.wait_for(sleep_long(), 500)


async def with_a_slow_cleanup() -> None:
    try:
        await sleep_long()
    finally:
        await asyncio.sleep(0)


RUNNING = {
    "sleep": Running(sleep_long, {}),
    "group": Running(in_a_task_group, {}),
    "gather": Running(in_a_gather, {}),
    "timeout": Running(in_a_timeout, {}),
    "wait_for": Running(in_wait_for, {}),
    "cleanup": Running(with_a_slow_cleanup, {}),
    "task_timeout": Running(sleep_long, {"task_timeout": 500.0}),
    "item_timeout": Running(sleep_long, {"item_timeout": 500.0}),
    "limit": Running(sleep_long, {"limits": [Limit(concurrency=1, name="all")]}),
    "callback": Running(sleep_long, {"on_success": lambda *_: None}),
    "pull": Running(sleep_long, {"pull": True}),
    "task limit": Running(sleep_long, {"task_concurrency_limits": {"task": 1}}),
}


@watched_or_not
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("running", RUNNING.values(), ids=RUNNING)
@simulated()
async def test_a_running_attempt_is_cancelled_and_its_worker_stays(
    running: Running, workers: int, watched: bool
) -> None:
    scene = Scene(watched)

    async def task(value: str) -> str:
        if value == "x":
            await running.hold()
        return str(await scene.gate(value))

    fields = {"task_attempts": 3, "workers": workers, **running.fields}
    await scene.start(stage(same, name="First"), stage(task, **fields))
    handle = await scene.submit()
    await scene.feed("behind")
    assert handle.status == "running"
    await scene.check_dropped(handle, started=1)
    assert len(scene.pipeline.get_worker_names()["Work"]) == workers


@watched_or_not
@simulated()
async def test_of_several_tasks_none_follows(watched: bool) -> None:
    scene, called = Scene(watched), list[str]()

    async def swallow(value: str) -> str:
        if value == "x":
            try:
                await sleep_long()
            except asyncio.CancelledError:
                called.append("swallowed")
        return value

    async def second(value: str) -> str:
        called.append(value)
        return value

    await scene.start(stage(swallow, second))
    handle = await scene.submit()
    assert handle.cancel()
    await settle()
    assert (await handle).outcome == "dropped"
    assert called == ["swallowed"]
    await scene.check_others(is_running=False, started=1)


@watched_or_not
@pytest.mark.parametrize("is_last", [False, True])
@simulated()
async def test_a_task_that_swallows_the_cancellation(is_last: bool, watched: bool) -> None:
    scene = Scene(watched)

    async def swallow(value: str) -> str:
        if value == "x":
            try:
                await sleep_long()
            except asyncio.CancelledError:
                return "swallowed"
        return str(await scene.gate(value))

    last = () if is_last else (stage(same, name="Last"),)
    await scene.start(stage(swallow), *last)
    handle = await scene.submit()
    if not is_last:
        handle.cancel()
        await settle()
        result = await handle
        assert (result.outcome, result.reason) == ("dropped", "cancelled")
        await scene.check_others(is_running=False, started=1)
        return
    assert handle.cancel()
    await settle()
    result = await handle
    assert (result.outcome, result.value, result.reason) == ("succeeded", "swallowed", None)
    await scene.feed("behind")
    scene.gate.open()
    await scene.pipeline.join()
    assert scene.pipeline.get_stats().items_dropped == 0
    assert values(scene.pipeline.results) == ["behind"]


@watched_or_not
@simulated()
async def test_a_task_that_raises_something_instead_is_not_retried(watched: bool) -> None:
    scene, calls = Scene(watched), list[str]()

    async def convert(value: str) -> str:
        if value == "x":
            calls.append(value)
            try:
                await sleep_long()
            except asyncio.CancelledError:
                raise ValueError("cancelled") from None
        return str(await scene.gate(value))

    await scene.start(stage(convert, task_attempts=5))
    handle = await scene.submit()
    handle.cancel()
    await settle()
    assert (await handle).reason == "cancelled"
    assert calls == ["x"]
    await scene.check_others(is_running=True, started=0)


@watched_or_not
@simulated()
async def test_an_attempt_that_waits_for_a_limit_of_its_task(watched: bool) -> None:
    scene = Scene(watched)

    async def task(value: str) -> str:
        return str(await scene.gate(value))

    await scene.start(stage(task, workers=3, task_concurrency_limits={"task": 1}))
    await scene.feed("first")
    handle = await scene.submit()
    await scene.feed("behind")
    assert handle.cancel()
    await settle()
    assert (await handle).reason == "cancelled"
    await scene.check_others(is_running=False, started=0)


@watched_or_not
@simulated()
async def test_an_attempt_that_waits_for_a_limit_of_calls(watched: bool) -> None:
    scene = Scene(watched)

    async def task(value: str) -> str:
        async with concurrency_limit():
            return str(await scene.gate(value))

    await scene.start(stage(task, workers=3, call_concurrency=1))
    await scene.feed("first")
    handle = await scene.submit()
    await scene.feed("behind")
    await scene.check_dropped(handle)


@watched_or_not
@simulated()
async def test_a_callback_that_waits_is_not_cancelled(watched: bool) -> None:
    scene, called = Scene(watched), list[str]()

    async def call_back(item_id: Any, *_: Any) -> None:
        if item_id == "x":
            async with concurrency_limit():
                called.append(item_id)

    async def task(value: str) -> str:
        if value == "x":
            return value
        async with concurrency_limit():
            return str(await scene.gate(value))

    work = stage(task, workers=3, call_concurrency=1, on_success=call_back)
    await scene.start(work, stage(same, name="Last"))
    await scene.feed("first")
    handle = await scene.submit()
    handle.cancel()
    await settle()
    assert not handle.done()
    scene.gate.open()
    assert (await handle).reason == "cancelled"
    assert called == ["x"]
    await scene.check_others(is_running=False, started=1)


@pytest.mark.parametrize("is_last", [False, True])
@watched_or_not
@simulated()
async def test_a_task_cancels_its_own_item(watched: bool, is_last: bool) -> None:
    scene, handles = Scene(watched), list[ItemHandle]()

    async def task(value: str) -> str:
        if value == "x":
            await asyncio.sleep(0)
            assert handles[0].cancel()
            await sleep_long()
        return str(await scene.gate(value))

    await scene.start(stage(task), *(() if is_last else (stage(same, name="Last"),)))
    handles.append(await scene.pipeline.submit({"id": "x", "value": "x"}))
    assert (await handles[0]).reason == "cancelled"
    await settle()
    await scene.check_others(is_running=True, started=0)


@watched_or_not
@simulated()
async def test_a_task_that_cancels_its_own_item_and_returns(watched: bool) -> None:
    scene, handles = Scene(watched), list[ItemHandle]()

    async def task(value: str) -> str:
        if value == "x":
            await asyncio.sleep(0)
            assert handles[0].cancel()
            return value
        return str(await scene.gate(value))

    await scene.start(stage(task), stage(same, name="Last"))
    handles.append(await scene.pipeline.submit({"id": "x", "value": "x"}))
    assert (await handles[0]).reason == "cancelled"
    await settle()
    await scene.check_others(is_running=False, started=1)


@watched_or_not
def test_a_thread_is_abandoned_and_its_worker_serves_others(
    watched: bool, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    def work(value: str) -> str:
        if value == "x":
            release.wait(10)
        return value

    async def main() -> None:
        scene = Scene(watched)
        await scene.start(stage(work))
        handle = await scene.pipeline.submit({"id": "x", "value": "x"})
        while handle.status != "running":
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await scene.pipeline.feed(["behind"])
        assert handle.cancel()
        assert (await handle).reason == "cancelled"
        release.set()
        await scene.pipeline.join()
        assert values(scene.pipeline.results) == ["behind"]
        assert scene.pipeline.get_stats().items_dropped == 1

    simulate(main, threads=True)
    assert "was abandoned" in caplog.text


# In a hook


class SlowHook:
    """A plugin one of whose hooks waits at a gate for item "x"."""

    def __init__(self, hook: str) -> None:
        self.gate = Gate()

        async def wait(event: Any) -> None:
            if event.item_id == "x":
                await self.gate(event.item_id)

        setattr(self, hook, hookimpl(wait))


@pytest.mark.parametrize("hook", ["item_start", "item_status"])
@simulated()
async def test_an_item_that_is_not_deposited_yet(hook: str) -> None:
    scene, slow = Scene(True), SlowHook(f"antflow_{hook}")
    await scene.start(stage(scene.gate), plugins=[slow])
    handle = scene.pipeline.submit_nowait({"id": "x", "value": "x"})
    await settle()
    assert handle.status == "waiting"
    assert handle.cancel()
    await settle()
    slow.gate.open()
    await settle()
    assert (await handle).reason == "cancelled"
    await scene.check_others(is_running=False, started=0)


@pytest.mark.parametrize("hook", ["task_start", "task_success", "task_retry"])
@pytest.mark.parametrize("tasks", [1, 2])
@simulated()
async def test_an_async_hook_is_not_cancelled_and_no_attempt_follows(tasks: int, hook: str) -> None:
    scene, slow, failing = Scene(True), SlowHook(f"antflow_{hook}"), Failing(1)

    async def task(value: str) -> Any:
        return await (failing(value) if value == "x" and hook == "task_retry" else same(value))

    work = stage(task, *([same] * (tasks - 1)), task_attempts=2, retry_wait=0.0)
    await scene.start(work, stage(same, name="Last"), plugins=[slow])
    handle = await scene.submit()
    assert slow.gate.waiting == ["x"]
    assert handle.cancel()
    await settle()
    assert slow.gate.waiting == ["x"]
    slow.gate.open()
    await settle()
    assert (await handle).reason == "cancelled"
    assert failing.calls == ["x"][: hook == "task_retry"]
    await scene.check_others(is_running=hook == "task_start", started=hook != "task_start")


@simulated()
async def test_a_plain_hook_that_cancels_the_item_before_its_attempt() -> None:
    handles, called = list[ItemHandle](), list[str]()

    class Cancelling:
        @hookimpl
        def antflow_task_start(self, event: TaskEvent) -> None:
            handles[0].cancel()

    async def task(value: str) -> str:
        called.append(value)
        return value

    pipeline = Pipeline([stage(task)], plugins=[Cancelling()])
    async with pipeline.running():
        handles.append(await pipeline.submit("x"))
        assert (await handles[0]).reason == "cancelled"
    assert called == []


# Whatever the order of events


@watched_or_not
@pytest.mark.parametrize("seed", range(80))
@simulated()
async def test_a_cancellation_at_any_moment_drops_or_comes_too_late(
    seed: int, watched: bool
) -> None:
    scene, failing = Scene(watched), Failing(1)

    async def first(value: int) -> Any:
        for _ in range(value % 4):
            await asyncio.sleep(value % 2)
        return await (failing(value) if value % 3 == 0 else same(value))

    fields: dict[str, Any] = {"task_attempts": 2, "retry_wait": seed % 3 / 2}
    pipeline = await scene.start(
        stage(first, workers=2, **fields),
        stage(first, name="Second", workers=2, pull=seed % 2 == 1, **fields),
        stage(same, name="Last", queue_capacity=1),
    )
    handles = list[ItemHandle]()

    async def cancel_later(handle: ItemHandle, number: int) -> bool:
        for _ in range((seed * 7 + number * 3) % 11):
            await asyncio.sleep(number % 2 / 4)
        return handle.cancel()

    cancelling = list[asyncio.Task[bool]]()
    for number in range(12):
        handles.append(await pipeline.submit(number))
        if number % 2 == 0:
            cancelling.append(asyncio.create_task(cancel_later(handles[-1], number)))
    await pipeline.join()
    were_cancelled = await asyncio.gather(*cancelling)
    outcomes = [(await handle).outcome for handle in handles]
    assert outcomes[1::2] == ["succeeded"] * 6
    for was_cancelled, outcome in zip(were_cancelled, outcomes[::2], strict=True):
        assert outcome in (("dropped", "succeeded") if was_cancelled else ("succeeded",))
    stats = pipeline.get_stats()
    assert (stats.items_fed, stats.items_dropped) == (12, outcomes.count("dropped"))
    check_conservation(pipeline)
    assert not others()


@simulated()
async def test_a_shutdown_leaves_no_item_of_a_handle_twice() -> None:
    scene = Scene(True)
    pipeline = await scene.start(stage(scene.gate))
    running, waiting = await scene.submit(), await pipeline.submit("waiting")
    shutdown = await begun(pipeline.shutdown())
    assert running.cancel()
    await shutdown
    assert (await running).reason == "cancelled"
    assert waiting.status == "unprocessed"
    assert values(pipeline.unprocessed) == ["waiting"]
    assert not waiting.cancel()


@simulated()
async def test_a_drop_while_observers_are_called_makes_room_for_the_next_feeder() -> None:
    class Slow:
        @hookimpl
        async def antflow_item_start(self, event: StatusEvent) -> None:
            await asyncio.sleep(1)

    gate = Gate()
    work = stage(gate, workers=1, queue_capacity=1)
    pipeline = Pipeline([work], plugins=[Slow()], autoload=False)
    await pipeline.start()
    await pipeline.feed([0])
    await settle()  # it is in the gate
    handle = pipeline.submit_nowait(1)  # whose deposit waits for the observer
    feeding = await begun(pipeline.feed([2]))
    handle.cancel()
    await asyncio.sleep(3)
    assert feeding.done()  # though the worker still holds the first item
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == [0, 2]
