"""The events of an item: which there are, and in which order.

Most tests run for one stage and for the second of three, with plain and with asynchronous hooks.
Events are compared in short: a status as "queued A", with "!" behind the item's last one, and an
attempt as "start A.task 1".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from antflow import Stage, StatusEvent, StatusTracker, hookimpl
from tests.helpers.events import (
    LONG,
    ONCE,
    Chain,
    Stop,
    Task,
    Watcher,
    check_laws,
    give_up,
    passing,
    run,
    short,
    watched,
)
from tests.helpers.hooks import check
from tests.helpers.runs import CustomExit, Failing, same, start_with, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import others, simulate


async def leave(value: Any) -> Any:
    raise CustomExit


def plain(value: int) -> int:
    return value


def refuse(value: int) -> bool:
    raise KeyError(value)


class Life(NamedTuple):
    """A stage of these tasks and settings, and the events of an item that goes through it."""

    tasks: Callable[[], list[Any]]
    fields: dict[str, Any]
    events: str


PER_STAGE: dict[str, Any] = {"retry": "per_stage"}
PASSED = "queued, in_progress, start task 1, complete task 1, completed"
FAILED = "queued, in_progress, start task 1, fail task 1, failed"
LIVES = {
    "success": Life(lambda: [Failing(0)], {}, PASSED),
    "several tasks": Life(
        lambda: [Failing(0, "one"), Failing(0, "two")],
        {},
        "queued, in_progress, start one 1, complete one 1, start two 1, complete two 1, completed",
    ),
    "a plain function": Life(lambda: [plain], {}, PASSED.replace("task", "plain")),
    "retries of a task": Life(
        lambda: [Failing(2)],
        {"task_attempts": 3},
        "queued, in_progress, start task 1, retry task 1, start task 2, retry task 2, "
        "start task 3, complete task 3, completed",
    ),
    "a retry does not repeat the task before": Life(
        lambda: [Failing(0, "one"), Failing(1, "two")],
        {},
        "queued, in_progress, start one 1, complete one 1, start two 1, retry two 1, "
        "start two 2, complete two 2, completed",
    ),
    "the last attempt fails": Life(
        lambda: [Failing(9)],
        {"task_attempts": 2},
        "queued, in_progress, start task 1, retry task 1, start task 2, fail task 2, failed",
    ),
    "a retry of the stage": Life(
        lambda: [Failing(0, "one"), Failing(1, "two")],
        PER_STAGE,
        "queued, in_progress, start one 1, complete one 1, start two 1, retry two 1, "
        "retrying, in_progress, start one 2, complete one 2, start two 2, "
        "complete two 2, completed",
    ),
    "the last attempt at the stage fails": Life(
        lambda: [Failing(9)],
        {**PER_STAGE, "stage_attempts": 2},
        "queued, in_progress, start task 1, retry task 1, retrying, in_progress, "
        "start task 2, fail task 2, failed",
    ),
    "the only attempt fails": Life(lambda: [Failing(9)], ONCE, FAILED),
    "the only one at the stage fails": Life(lambda: [Failing(9)], {**PER_STAGE, **ONCE}, FAILED),
    "CancelledError is raised": Life(lambda: [Task(give_up)], {}, FAILED),
    "CancelledError is raised, per stage": Life(lambda: [Task(give_up)], PER_STAGE, FAILED),
    "skipped": Life(lambda: [Failing(9)], {"skip_if": lambda value: True}, "queued, skipped"),
    "not skipped, as skip_if raises": Life(lambda: [Failing(0)], {"skip_if": refuse}, PASSED),
}


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_the_events_of_an_item(watcher: Watcher, chain: Chain, life: Life) -> None:
    tasks = life.tasks()
    pipeline = run(watcher, chain.stages(*tasks, **life.fields), threads=plain in tasks)
    assert watcher.of(0) == chain.expect(life.events)
    assert len(pipeline.failures) == life.events.endswith("failed")


@pytest.mark.parametrize("fields", [{}, PER_STAGE])
def test_all_items_have_the_same_events(
    watcher: Watcher, chain: Chain, fields: dict[str, Any]
) -> None:
    pipeline = run(watcher, chain.stages(Failing(2), workers=3, **fields), range(9))
    assert values(pipeline.results) == list(range(9))
    lines = watcher.lines()
    assert len(lines) == 9
    assert len(set(map(tuple, lines.values()))) == 1


def test_a_stage_that_pulls_has_the_same_events(watcher: Watcher) -> None:
    run(watcher, [Stage("A", 1, [same]), Stage("B", 1, [same], pull=True)], range(4))
    for item_id in range(4):
        assert watcher.of(item_id) == [*passing("A"), *passing("B")[:-1], "completed B!"]


def test_on_success_is_called_between_completed_and_queued() -> None:
    order: list[str] = []
    tracker = StatusTracker(lambda event: order.append(short(event)))
    stage = Stage("A", 1, [same], on_success=lambda *_: order.append("on_success"))
    simulate(watched([stage, Stage("B", 1, [same])], tracker).run([0]))
    assert order[2:5] == ["completed A", "on_success", "queued B"]


@simulated()
async def test_a_base_exception_of_a_task_fails_the_item_and_ends_the_run(
    watcher: Watcher, chain: Chain
) -> None:
    with pytest.raises(CustomExit):
        await watched(chain.stages(Task(leave)), watcher).run([0])
    assert not others()
    check_laws(watcher)
    assert watcher.of(0) == chain.expect(FAILED)


# Processing, feeding, feeding again


@pytest.mark.parametrize(("failures", "events"), [(0, PASSED), (9, FAILED)])
@simulated()
async def test_process_returns_after_all_events_of_the_item(
    watcher: Watcher, chain: Chain, failures: int, events: str
) -> None:
    pipeline = watched(chain.stages(Failing(failures), task_attempts=1), watcher)
    await pipeline.start()
    result = await pipeline.process({"id": "x", "value": 7})
    assert watcher.of("x") == chain.expect(events)
    assert result.is_success == (not failures)
    await pipeline.join()
    check_laws(watcher)


def test_a_stream_yields_a_result_after_all_its_events(watcher: Watcher, chain: Chain) -> None:
    async def main() -> list[bool]:
        stream = watched(chain.stages(Failing(0)), watcher).stream(range(3))
        return [watcher.of(result.id)[-1].endswith("!") async for result in stream]

    assert simulate(main) == [True] * 3


@pytest.mark.parametrize("name", ["A", "B", "C"])
@simulated()
async def test_an_injected_item_has_no_events_of_earlier_stages(
    watcher: Watcher, name: str
) -> None:
    pipeline = watched([Stage(name, 1, [same]) for name in "ABC"], watcher)
    await pipeline.start()
    await pipeline.feed([0], target_stage=name)
    await pipeline.join()
    check_laws(watcher)
    expected = [line for later in "ABC" if later >= name for line in passing(later)]
    assert watcher.of(0) == [*expected[:-1], "completed C!"]


@simulated()
async def test_an_item_that_is_fed_before_the_start_is_queued_at_once(
    watcher: Watcher, chain: Chain
) -> None:
    pipeline = watched(chain.stages(Failing(0)), watcher)
    await pipeline.feed([0, 1])
    assert [short(event) for event in watcher.events] == ["queued A", "queued A"]
    await pipeline.start()
    await pipeline.join()
    check_laws(watcher)
    assert watcher.of(0) == watcher.of(1) == chain.expect(PASSED)


@simulated()
async def test_an_unprocessed_item_that_is_fed_again_goes_on_with_its_carrier(
    watcher: Watcher, chain: Chain
) -> None:
    carriers: list[dict[str, str]] = []

    class Tracer:
        @hookimpl
        def antflow_item_status(self, event: StatusEvent) -> None:
            if event.item_id == 0:
                event.item.carrier.setdefault("trace", event.run_id)
            carriers.append(dict(event.item.carrier))

    stop = Stop(chain, watcher)
    pipeline = watched(chain.stages(stop.gate, retry="per_stage"), Tracer(), watcher)
    running = asyncio.create_task(pipeline.run([0, 1]))
    await asyncio.sleep(LONG)
    left = await pipeline.shutdown(timeout=0)
    await running
    check_laws(watcher)
    trace = {"trace": watcher.events[0].run_id}
    assert {item.id: item.carrier for item in left} == {0: trace, 1: {}}
    watcher.events.clear()
    carriers.clear()
    stop.gate.open()
    await pipeline.feed(left)
    await pipeline.start()
    await pipeline.join()
    assert watcher.events[0].run_id != trace["trace"]
    assert carriers.count(trace) == carriers.count({}) == len(carriers) / 2
    check_laws(watcher)
    assert watcher.of(0) == watcher.of(1) == chain.expect(PASSED)[len(chain.before()) :]


@simulated()
async def test_an_item_that_is_fed_again_starts_at_attempt_1(watcher: Watcher) -> None:
    holding = StatusTracker(lambda event: asyncio.sleep(LONG * (event.status == "retrying")))
    stage = Stage("A", 1, [Failing(2)], retry="per_stage", stage_attempts=3)
    pipeline = watched([stage], holding, watcher)
    running = asyncio.create_task(pipeline.run([0]))
    await asyncio.sleep(LONG / 2)
    left = await pipeline.shutdown()
    await running
    watcher.events.clear()
    await pipeline.feed(left)
    await pipeline.start()
    await pipeline.join()
    attempts = [(event.event_type, event.attempt) for event in watcher.attempts()]
    assert attempts == [("start", 1), ("retry", 1), ("start", 2), ("complete", 2)]


def test_items_that_a_task_feeds_have_events(watcher: Watcher) -> None:
    async def crawl(value: int) -> int:
        if value < 3:
            await pipeline.feed([value + 1])
        return value

    pipeline = watched([Stage("A", 1, [Task(crawl)])], watcher)
    simulate(lambda: pipeline.run([0]))
    check_laws(watcher)
    assert set(watcher.lines()) == {0, 1, 2, 3}


# antflow_item_start and antflow_item_finish


class Items:
    """A plugin that records only when items start and finish."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, str, str | None]] = []

    @hookimpl
    def antflow_item_start(self, event: StatusEvent) -> None:
        assert (event.status, event.worker, event.final) == ("queued", None, False)
        self.calls.append((event.item_id, "start", event.stage))

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        assert event.final
        self.calls.append((event.item_id, event.status, event.stage))


@pytest.mark.parametrize("others", [(), (Watcher(),)], ids=["alone", "beside another plugin"])
def test_an_item_starts_once_and_finishes_once(others: tuple[object, ...]) -> None:
    items = Items()
    first = Stage("First", 1, [same, check], retry="per_stage", stage_attempts=2)
    last = Stage("Last", 1, [same], skip_if=lambda value: value == "skipped")
    pipeline = watched([first, last], *others, items)
    simulate(pipeline.run(["fine", "skipped", "never", "once"]))
    assert sorted(items.calls) == [
        (0, "completed", "Last"),
        (0, "start", "First"),
        (1, "skipped", "Last"),
        (1, "start", "First"),
        (2, "failed", "First"),
        (2, "start", "First"),
        (3, "completed", "Last"),
        (3, "start", "First"),
    ]


@simulated()
async def test_an_item_that_is_left_finishes_as_unprocessed() -> None:
    items = Items()
    pipeline = watched([Stage("Work", 1, [check])], items)
    await start_with(pipeline, ["long", "waits"])
    assert len(await pipeline.shutdown(timeout=0)) == 2
    kinds = [kind for _, kind, _ in items.calls]
    assert kinds == ["start", "start", "unprocessed", "unprocessed"]


@simulated()
async def test_an_observer_of_one_run_gets_the_start_of_items_that_were_fed_before() -> None:
    items = Items()

    class Joining:
        @hookimpl
        def antflow_pipeline_start(self) -> object:
            return items

    pipeline = watched([Stage("Work", 1, [same])], Joining())
    await pipeline.feed([1])
    await pipeline.start()
    await pipeline.join()
    assert items.calls == [(0, "start", "Work"), (0, "completed", "Work")]
