"""How items enter a stage while observers of `queued` take their time."""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import pytest

from antflow import Pipeline, PipelineError, Stage, StatusEvent, StatusTracker
from tests.helpers.observers import observe
from tests.helpers.runs import SEEDS, ids, indirectly, raised_by, same, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle

Enter = Callable[[Pipeline], Coroutine[Any, Any, Any]]


class Holding:
    """An observer that holds each event of one status, at `gate` by the id of its item."""

    def __init__(self, status: str = "queued", item_id: Any = None) -> None:
        self.gate = Gate()
        self.events: list[tuple[Any, str]] = []
        self._status = status
        self._item_id = item_id

    async def __call__(self, event: StatusEvent) -> None:
        self.events.append((event.item_id, f"{event.status}{'!' if event.final else ''}"))
        if event.status == self._status and self._item_id in (None, event.item_id):
            await self.gate(event.item_id)

    def of(self, item_id: Any) -> list[str]:
        return [status for each, status in self.events if each == item_id]


def observed(callback: Callable[[StatusEvent], Any], *stages: Stage, **fields: Any) -> Pipeline:
    return Pipeline(stages or [Stage("Work", 1, [same], **fields)], True, StatusTracker(callback))


def pausing(event: StatusEvent) -> Awaitable[None]:
    return asyncio.sleep(1)


def feeding(pipeline: Pipeline, *items: Any, **arguments: Any) -> asyncio.Task[None]:
    return asyncio.create_task(pipeline.feed(items, **arguments))


def named(item_id: str) -> dict[str, Any]:
    return {"id": item_id, "value": item_id}


async def finish(pipeline: Pipeline) -> list[Any]:
    """Start what was fed, wait for its end, and return the ids of the results."""
    await pipeline.start()
    await pipeline.join()
    assert not others()
    return ids(pipeline.results)


# One item enters, and what happens while the observer holds the item


@dataclass
class Entering:
    """Item 1 enters by a call, while the only worker is held by an item of its own."""

    enter: Enter
    observer: Holding = field(default_factory=lambda: Holding(item_id=1))
    gate: Gate = field(default_factory=Gate)

    async def begin(self) -> None:
        self.pipeline = observed(self.observer, Stage("Work", 1, [self.gate]))
        await self.pipeline.start()
        await self.pipeline.feed([named("held")])
        self.call = await begun(self.enter(self.pipeline))
        assert self.observer.of(1) == ["queued"]
        assert self.pipeline.get_stats().items_fed == 1

    async def stopped(self, **how: Any) -> None:
        self.gate.open()
        await settle()
        assert await self.pipeline.shutdown(**how) == []


async def go_on(entering: Entering) -> None:
    entering.observer.gate.open()
    await settle()
    assert entering.pipeline.get_stats().queue_sizes == {"Work": 1}
    entering.gate.open()
    await entering.pipeline.join()


async def join(entering: Entering) -> None:
    entering.gate.open()
    joining = await begun(entering.pipeline.join())
    assert not joining.done()
    entering.observer.gate.open()
    await joining


async def cancel_the_caller(entering: Entering) -> None:
    entering.call.cancel()
    await settle()
    assert entering.call.cancelled()
    entering.observer.gate.open()
    entering.gate.open()
    await entering.pipeline.join()


async def close_the_run(entering: Entering) -> None:
    stopping = await begun(entering.pipeline.shutdown())
    entering.observer.gate.open()
    await settle()
    entering.gate.open()
    assert ids(await stopping) == [1]


async def end_the_run(entering: Entering) -> None:
    await entering.stopped()
    entering.observer.gate.open()


async def end_the_run_and_cancel(entering: Entering) -> None:
    await entering.stopped()
    entering.call.cancel()


PASSED = ["queued", "in_progress", "completed!"]
LEFT = ["queued", "unprocessed!"]
NOT_TAKEN = PipelineError, r"was not fed|was stopped"
ENTER: dict[str, Enter] = {
    "value": lambda pipeline: pipeline.feed(["x"]),
    "dict": lambda pipeline: pipeline.feed([{"id": 1, "value": "x"}]),
    "process": lambda pipeline: pipeline.process("x"),
}


@pytest.mark.parametrize("enter", ENTER.values(), ids=ENTER)
@pytest.mark.parametrize(
    ("happen", "statuses", "error"),
    [
        (go_on, PASSED, None),
        (join, PASSED, None),
        (cancel_the_caller, PASSED, (asyncio.CancelledError, None)),
        (close_the_run, LEFT, None),
        (end_the_run, LEFT, NOT_TAKEN),
        (end_the_run_and_cancel, LEFT, (asyncio.CancelledError, None)),
    ],
)
@pytest.mark.parametrize("seed", SEEDS[:4])
@simulated()
async def test_an_item_enters_once_its_observers_are_done(
    enter: Enter,
    happen: Callable[[Entering], Coroutine[Any, Any, None]],
    statuses: list[str],
    error: tuple[type[BaseException], str | None] | None,
    seed: int | None,
) -> None:
    entering = Entering(enter)
    await entering.begin()
    await happen(entering)
    is_processed = enter is ENTER["process"]
    if is_processed and happen is close_the_run:
        error = NOT_TAKEN
    if error is None:
        await entering.call
    else:
        with pytest.raises(error[0], match=error[1]):
            await entering.call
    assert entering.observer.of(1) == statuses
    pipeline = entering.pipeline
    is_kept = statuses == PASSED and not (is_processed and error is None)
    assert ids(pipeline.results) == ["held", 1] if is_kept else ["held"]
    assert ids(pipeline.unprocessed) == ([1] if happen is close_the_run else [])
    was_fed = statuses == PASSED or happen is close_the_run
    assert pipeline.get_stats().items_fed == 1 + was_fed


@simulated()
async def test_a_feed_that_is_cancelled_twice_has_fed_all_the_same() -> None:
    first, second = Holding(), Holding()
    pipeline = Pipeline([Stage("Work", 1, [same])])
    observe(pipeline, StatusTracker(first), StatusTracker(second))
    feed = feeding(pipeline, "x", "never read")
    await settle()
    feed.cancel()
    await settle()
    assert second.gate.waiting == [0]
    feed.cancel()
    await asyncio.wait([feed])
    first.gate.open()
    second.gate.open()
    assert await finish(pipeline) == [0]


@simulated()
async def test_a_feed_is_cancelled_while_observers_learn_that_it_came_too_late() -> None:
    observer = Holding("unprocessed")
    pipeline = observed(lambda event: asyncio.gather(observer(event), asyncio.sleep(10)))
    await pipeline.start()
    feed = feeding(pipeline, "x")
    await settle()
    await pipeline.shutdown()
    await asyncio.sleep(20)
    assert observer.gate.waiting == [0]
    feed.cancel()
    assert isinstance(await raised_by(feed), asyncio.CancelledError)
    assert observer.of(0) == LEFT


@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_an_item_of_an_early_stage_that_is_late_is_observed_like_any_other(
    seed: int | None,
) -> None:
    observer = Holding("unprocessed")

    async def pause_first(event: StatusEvent) -> None:
        if (event.item_id, event.status) == ("late", "queued"):
            await asyncio.sleep(10)
        await observer(event)

    pipeline = observed(pause_first, Stage("A", 1, [same]), Stage("B", 1, [same]))
    await pipeline.feed([named("x")], target_stage="B")
    feed = feeding(pipeline, named("late"))
    await settle()
    stopping = await begun(pipeline.shutdown())
    assert observer.gate.waiting == ["x"]
    await feed
    observer.gate.open()
    assert ids(await stopping) == ["late", "x"]
    assert observer.of("late") == observer.of("x") == LEFT


# Order, and when the wait begins


@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_items_are_read_one_by_one_and_go_in_in_that_order(seed: int | None) -> None:
    read: list[int] = []
    order: list[int] = []
    waits: list[float] = []

    def numbers() -> Any:
        for number in range(5):
            assert len(read) == len(order)
            read.append(number)
            yield number

    async def pause(event: StatusEvent) -> None:
        if event.status == "queued":
            await asyncio.sleep(100)
            order.append(event.item_id)

    tracker = StatusTracker(pause, on_task_start=lambda event: waits.append(event.queue_wait))
    pipeline = Pipeline([Stage("Work", 1, [same])], status_tracker=tracker)
    await pipeline.run(numbers())
    assert order == read == values(pipeline.results) == [0, 1, 2, 3, 4]
    assert waits == [pytest.approx(0, abs=1)] * 5


@simulated()
async def test_of_several_feeds_the_one_whose_observers_are_done_first_goes_in_first() -> None:
    observer = Holding()
    pipeline = observed(observer)
    feeds = [feeding(pipeline, named("late"), priority=5), feeding(pipeline, named("a"))]
    feeds.append(feeding(pipeline, named("b"), priority=5))
    await settle()
    for item_id in ("a", "b", "late"):
        observer.gate.let(item_id)
        await settle()
    await asyncio.gather(*feeds)
    await finish(pipeline)
    started = [item_id for item_id, status in observer.events if status == "in_progress"]
    assert started == ["b", "late", "a"]


# Capacity


@pytest.mark.parametrize(("capacity", "held"), [(1, 1), (2, 2), (5, 5), (0, 20)])
@pytest.mark.parametrize("make", [str, named])
@simulated()
async def test_an_item_that_observers_hold_counts_for_the_capacity(
    capacity: int, held: int, make: Callable[[str], Any]
) -> None:
    observer = Holding()
    pipeline = observed(observer, queue_capacity=capacity)
    feeds = [feeding(pipeline, make(str(number))) for number in range(20)]
    await settle()
    first, *rest = observer.gate.waiting
    assert len(rest) == held - 1
    if rest:
        observer.gate.let(rest[-1])
        await settle()
        assert pipeline.get_stats().queue_sizes == {"Work": 1}
        assert observer.gate.waiting == [first, *rest[:-1]]
    observer.gate.open()
    await settle()
    assert pipeline.get_stats().queue_sizes == {"Work": held}
    assert len(await finish(pipeline)) == 20
    await asyncio.gather(*feeds)


@pytest.mark.parametrize("seed", SEEDS)
@simulated()
async def test_a_pull_stage_goes_on_while_observers_hold_an_item_for_it(seed: int | None) -> None:
    observer = Holding(item_id="x")
    pipeline = observed(observer, Stage("First", 1, [same]), Stage("Pull", 1, [same], pull=True))
    await pipeline.start()
    feed = feeding(pipeline, named("x"), target_stage="Pull")
    await pipeline.feed(range(5))
    await settle()
    assert len(pipeline.results) == 5
    observer.gate.open()
    await feed
    await pipeline.join()
    assert len(pipeline.results) == 6


# Observers that end the run


ENTER_TO_EXIT: dict[str, Enter] = {**ENTER, "run": lambda pipeline: pipeline.run(["x", "y"])}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("name", ENTER_TO_EXIT)
@pytest.mark.parametrize("is_slow", [False, True])
@pytest.mark.parametrize("is_started", [False, True])
@simulated()
async def test_an_observer_may_end_a_run_before_its_first_item(
    error: BaseException, name: str, is_slow: bool, is_started: bool
) -> None:
    statuses: dict[Any, list[str]] = defaultdict(list)

    def leave(event: StatusEvent) -> Awaitable[None] | None:
        statuses[event.item_id].append(f"{event.status}{'!' if event.final else ''}")
        if is_slow:
            return leave_later(event)
        if event.status == "queued":
            raise error
        return None

    async def leave_later(event: StatusEvent) -> None:
        await asyncio.sleep(1)
        if event.status == "queued":
            raise error

    pipeline = observed(leave)
    if name == "run":
        assert await raised_by(ENTER_TO_EXIT[name](pipeline)) is error
    elif is_started or name == "process":
        await pipeline.start()
        entered = await raised_by(ENTER[name](pipeline))
        assert entered is None or isinstance(entered, PipelineError)
        assert await raised_by(pipeline.join()) is error
    else:
        await raised_by(ENTER[name](pipeline))
        assert await raised_by(pipeline.shutdown()) is error
    assert next(iter(statuses.values())) == LEFT


# Observers that feed


@pytest.mark.parametrize("how", ["await", "gather", "wait_for", "task", "plain"])
@pytest.mark.parametrize("status", ["queued", "in_progress", "completed"])
@simulated()
async def test_an_observer_may_feed_past_the_capacity(
    how: str, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def feed() -> None:
        await pipeline.feed([named("a"), named("b")])
        await pipeline.feed(["c"])

    async def feed_in_a_coroutine(event: StatusEvent) -> None:
        if (event.item_id, event.status) == ("x", status):
            await (feed() if how == "await" else indirectly(feed, how))

    def feed_by_what_is_returned(event: StatusEvent) -> Awaitable[Any] | None:
        is_due = (event.item_id, event.status) == ("x", status)
        return asyncio.gather(feed()) if is_due else None

    callback = feed_by_what_is_returned if how == "plain" else feed_in_a_coroutine
    pipeline = observed(callback, queue_capacity=1)
    await pipeline.feed([named("x")])
    assert len(await finish(pipeline)) == 4
    warnings = [each for each in caplog.records if "past its capacity" in each.getMessage()]
    assert len(warnings) == 1


@pytest.mark.parametrize("name", ["join", "shutdown", "process"])
@simulated()
async def test_an_observer_cannot_wait_for_the_run_that_waits_for_it(name: str) -> None:
    errors: list[Any] = []

    async def wait(event: StatusEvent) -> None:
        if event.item_id == "x":
            if event.status == "queued":
                await pipeline.feed([named("more")])
            arguments = ["y"] if name == "process" else []
            errors.append(await raised_by(getattr(pipeline, name)(*arguments)))

    pipeline = observed(wait)
    await pipeline.start()
    await pipeline.feed([named("x")])
    await pipeline.join()
    assert sorted(ids(pipeline.results)) == ["more", "x"]
    assert [type(error) for error in errors] == [PipelineError] * 3


@simulated()
async def test_a_feed_does_not_wait_for_a_task_that_an_observer_leaves_running() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def feed_later(event: StatusEvent) -> None:
        if (event.item_id, event.status) == ("x", "queued"):
            tasks.append(feeding(pipeline, named("a")))

    pipeline = observed(feed_later)
    await pipeline.start()
    await pipeline.feed([named("x")])
    await asyncio.gather(*tasks)
    await pipeline.join()
    assert sorted(ids(pipeline.results)) == ["a", "x"]


@simulated()
async def test_calls_that_are_done_leave_nothing_behind_and_warn_of_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
    pipeline = observed(pausing, queue_capacity=1)
    await pipeline.start()
    for number in range(20):
        task = asyncio.create_task(pipeline.process(number))
        tasks.add(task)
        await task
        del task
    await settle()
    gc.collect()
    assert len(tasks) == 0
    await pipeline.join()
    assert caplog.records == []
