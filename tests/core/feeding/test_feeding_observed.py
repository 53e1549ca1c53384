"""Where items enter, while observers are told that they are queued: places, order, races."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from weakref import WeakSet

import pytest

from antflow import Pipeline, PipelineError, Stage, StatusEvent, StatusTracker, UnprocessedItem
from tests.helpers.observers import observe
from tests.helpers.runs import SEEDS, ids, raised_by, same
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate


class Teller:
    """A tracker's callback that holds every event of one status until the test lets it go.

    What is held is in `gate`, by the ids of the items; `lines` has all that was told.
    """

    def __init__(self, status: str = "queued") -> None:
        self.gate = Gate()
        self.lines: list[str] = []
        self._status = status

    async def __call__(self, event: StatusEvent) -> None:
        self.lines.append(f"{event.item_id} {event.status}{'!' if event.final else ''}")
        if event.status == self._status:
            await self.gate(event.item_id)

    def of(self, item_id: Any) -> list[str]:
        """What an item was told to be."""
        return [line.partition(" ")[2] for line in self.lines if line.startswith(f"{item_id} ")]


def told_by(callback: Callable[[StatusEvent], Any], *stages: Stage, **fields: Any) -> Pipeline:
    stages = stages or (Stage("Work", 1, [same], **fields),)
    return Pipeline(stages, status_tracker=StatusTracker(callback))


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


# Telling comes first


def test_an_item_is_told_to_be_queued_before_it_can_be_taken() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        await pipeline.start()
        feeder = feeding(pipeline, "a")
        await settle()
        assert teller.lines == ["0 queued"]
        assert pipeline.get_stats().items_fed == 0
        teller.gate.open()
        await feeder
        await pipeline.join()

    simulate(main)
    assert teller.lines == ["0 queued", "0 in_progress", "0 completed!"]


@pytest.mark.parametrize("item", ["x", {"id": 0, "value": "x"}])
def test_an_item_is_fed_when_all_is_told(item: Any) -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        feeder = feeding(pipeline, item)
        await settle()
        assert pipeline.get_stats().queue_sizes == {"Work": 0}
        teller.gate.open()
        await feeder
        assert pipeline.get_stats().queue_sizes == {"Work": 1}
        assert await finish(pipeline) == [0]

    simulate(main)


def test_plain_callbacks_are_told_as_the_items_go_in() -> None:
    told: list[tuple[Any, int]] = []

    async def main() -> None:
        pipeline = told_by(
            lambda event: told.append((event.item_id, pipeline.get_stats().items_fed))
        )
        await pipeline.feed([7, named("x"), 8])
        await pipeline.shutdown()

    simulate(main)
    assert told[:3] == [(0, 0), ("x", 1), (2, 2)]


def test_the_input_is_not_read_on_while_an_item_is_told() -> None:
    teller = Teller()
    read: list[int] = []

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            read.append(number)
            yield number

    async def main() -> None:
        pipeline = told_by(teller)
        feeder = asyncio.create_task(pipeline.feed(numbers()))
        for number in range(3):
            await settle()
            assert read == list(range(number + 1))
            teller.gate.let(number)
        await feeder
        assert await finish(pipeline) == [0, 1, 2]

    simulate(main)


def test_the_wait_in_front_of_a_stage_begins_when_all_is_told() -> None:
    waits: list[float] = []

    async def main() -> None:
        tracker = StatusTracker(
            lambda event: asyncio.sleep(100 * (event.status == "queued")),
            on_task_start=lambda event: waits.append(event.queue_wait),
        )
        pipeline = Pipeline([Stage("Work", 1, [same])], status_tracker=tracker)
        await pipeline.run([7])

    simulate(main)
    assert waits == [pytest.approx(0, abs=1)]


@pytest.mark.parametrize("seed", SEEDS)
def test_items_go_in_in_the_order_in_which_they_are_read(seed: int | None) -> None:
    order: list[Any] = []

    async def note(value: Any) -> None:
        order.append(value)

    async def main() -> None:
        pipeline = told_by(lambda event: asyncio.sleep(1), Stage("Work", 1, [note]))
        await pipeline.run(range(20))

    simulate(main, seed=seed)
    assert order == list(range(20))


def test_who_is_told_first_goes_in_first_and_priority_counts() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        feeders = [feeding(pipeline, named("late"), priority=5), feeding(pipeline, named("a"))]
        feeders.append(feeding(pipeline, named("b"), priority=5))
        await settle()
        for item_id in ("a", "b", "late"):
            teller.gate.let(item_id)
            await settle()
        await asyncio.gather(*feeders)
        teller.gate.open()
        await pipeline.start()
        await pipeline.join()

    simulate(main)
    taken = [line for line in teller.lines if "in_progress" in line]
    assert taken == ["b in_progress", "late in_progress", "a in_progress"]


def test_numbers_are_given_once_however_long_it_takes_to_tell() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        feeders = [feeding(pipeline, "a", "b") for _ in range(3)]
        await settle()
        teller.gate.open()
        await asyncio.gather(*feeders)
        assert sorted(await finish(pipeline)) == list(range(6))

    simulate(main)


def test_a_callback_that_raises_does_not_keep_the_item_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(event: StatusEvent) -> None:
        await asyncio.sleep(1)
        raise ValueError

    async def main() -> None:
        pipeline = told_by(fail)
        await pipeline.feed([7, named("x")])
        assert await finish(pipeline) == [0, "x"]

    simulate(main)
    assert len(caplog.records) == 1


# Places


@pytest.mark.parametrize("capacity", [1, 2, 5])
@pytest.mark.parametrize("make", [str, named])
def test_so_many_items_are_told_as_there_is_room_for(
    capacity: int, make: Callable[[str], Any]
) -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller, queue_capacity=capacity)
        feeders = [feeding(pipeline, make(str(number))) for number in range(8)]
        await settle()
        assert len(teller.gate.waiting) == capacity
        teller.gate.open()
        await settle()
        assert len(teller.lines) == capacity
        assert pipeline.get_stats().queue_sizes == {"Work": capacity}
        assert len(await finish(pipeline)) == 8
        await asyncio.gather(*feeders)

    simulate(main)


def test_without_a_capacity_there_is_room_for_all() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller, queue_capacity=0)
        feeders = [feeding(pipeline, number) for number in range(50)]
        await settle()
        assert len(teller.gate.waiting) == 50
        teller.gate.open()
        await asyncio.gather(*feeders)
        assert len(await finish(pipeline)) == 50

    simulate(main)


def test_a_place_is_not_taken_by_others_while_it_is_told() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller, queue_capacity=2)
        first = feeding(pipeline, named("a"))
        await settle()
        second, third = feeding(pipeline, named("b")), feeding(pipeline, named("c"))
        await settle()
        assert teller.gate.waiting == ["a", "b"]
        teller.gate.let("b")
        await settle()
        assert pipeline.get_stats().queue_sizes == {"Work": 1}
        assert teller.gate.waiting == ["a"]
        teller.gate.open()
        await asyncio.gather(first, second)
        assert sorted(await finish(pipeline)) == ["a", "b", "c"]
        await third

    simulate(main)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_capacity_holds_while_workers_take_and_feeders_are_told(seed: int | None) -> None:
    queued: set[Any] = set()
    most = 0

    async def note(event: StatusEvent) -> None:
        nonlocal most
        if event.status == "queued":
            queued.add(event.item_id)
            most = max(most, len(queued))
            await asyncio.sleep(event.item_id % 3)
        elif event.status == "in_progress":
            queued.discard(event.item_id)

    async def main() -> None:
        pipeline = told_by(note, queue_capacity=3)
        await pipeline.start()
        await asyncio.gather(*(feeding(pipeline, *range(5)) for _ in range(6)))
        await pipeline.join()
        assert len(pipeline.results) == 30

    simulate(main, seed=seed)
    assert most == 3


def test_a_place_that_a_cancelled_feeder_had_is_used() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller, queue_capacity=1)
        first, second = feeding(pipeline, named("a")), feeding(pipeline, named("b"))
        await settle()
        first.cancel()
        await settle()
        assert first.cancelled()
        assert teller.gate.waiting == []
        teller.gate.open()
        assert await finish(pipeline) == ["a", "b"]
        await second

    simulate(main)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stage_that_pulls_goes_on_while_a_feeder_is_told(seed: int | None) -> None:
    teller = Teller()

    async def main() -> None:
        stages = Stage("First", 1, [same]), Stage("Pull", 1, [same], pull=True)
        pipeline = told_by(lambda event: teller(event) if event.item_id == "x" else None, *stages)
        await pipeline.start()
        feeder = feeding(pipeline, named("x"), target_stage="Pull")
        await pipeline.feed(range(5))
        await settle()
        assert len(pipeline.results) == 5
        teller.gate.open()
        await feeder
        await pipeline.join()
        assert len(pipeline.results) == 6

    simulate(main, seed=seed)


# A feeder that is cancelled


@pytest.mark.parametrize("item", ["x", {"id": 0, "value": "x"}])
def test_what_is_being_told_when_its_feeder_is_cancelled_goes_in(item: Any) -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        feeder = feeding(pipeline, item, "never", "read")
        await settle()
        feeder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await feeder
        teller.gate.open()
        assert await finish(pipeline) == [0]

    simulate(main)
    assert teller.lines == ["0 queued", "0 in_progress", "0 completed!"]


def test_a_feeder_that_is_cancelled_twice_has_fed_all_the_same() -> None:
    first, second = Teller(), Teller()

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [same])])
        observe(pipeline, StatusTracker(first), StatusTracker(second))
        feeder = feeding(pipeline, "x")
        await settle()
        feeder.cancel()
        await settle()
        assert second.gate.waiting == [0]
        feeder.cancel()
        await asyncio.wait([feeder])
        first.gate.open()
        second.gate.open()
        assert await finish(pipeline) == [0]

    simulate(main)


def test_a_feeder_that_is_cancelled_before_there_is_room_has_told_nothing() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller, queue_capacity=1)
        teller.gate.open()
        await pipeline.feed([named("a")])
        feeder = feeding(pipeline, named("b"))
        await settle()
        feeder.cancel()
        await settle()
        assert await finish(pipeline) == ["a"]

    simulate(main)
    assert teller.of("b") == []


def test_the_reader_of_a_cancelled_run_leaves_what_it_was_telling() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        running = await begun(pipeline.run(["a", "b"]))
        running.cancel()
        await asyncio.wait([running])
        assert not others()
        assert ids(pipeline.unprocessed) == [0]

    simulate(main)
    assert teller.lines == ["0 queued", "0 unprocessed!"]


@pytest.mark.parametrize("drain", [False, True])
def test_the_reader_of_a_run_that_is_shut_down_has_fed_what_it_was_telling(drain: bool) -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        running = await begun(pipeline.run(["a", "b"]))
        assert ids(await pipeline.shutdown(drain=drain)) == ([] if drain else [0])
        assert ids(await running) == ([0] if drain else [])

    simulate(main)
    ending = ["in_progress", "completed!"] if drain else ["unprocessed!"]
    assert teller.of(0) == ["queued", *ending]
    assert teller.of(1) == []


# A run that ends while a feeder is told


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_told_while_a_run_closes_is_left(seed: int | None) -> None:
    teller, gate = Teller(), Gate()

    async def main() -> None:
        pipeline = told_by(teller, Stage("Work", 1, [gate]))
        running = feeding(pipeline, named("held"))
        await settle()
        teller.gate.let("held")
        await running
        await pipeline.start()
        feeder = feeding(pipeline, named("x"))
        await settle()
        stopping = await begun(pipeline.shutdown())
        teller.gate.let("x")
        await feeder
        gate.open()
        assert ids(await stopping) == ["x"]
        assert pipeline.get_stats().items_fed == 2

    simulate(main, seed=seed)
    assert teller.of("x") == ["queued", "unprocessed!"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("item", ["x", {"id": 0, "value": "x"}])
def test_what_is_told_until_a_run_is_over_was_not_fed(item: Any, seed: int | None) -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        await pipeline.start()
        feeder = feeding(pipeline, item)
        await settle()
        assert await pipeline.shutdown() == []
        teller.gate.open()
        with pytest.raises(PipelineError, match="was not fed"):
            await feeder
        assert pipeline.unprocessed == []
        assert pipeline.get_stats().items_fed == 0

    simulate(main, seed=seed)
    assert teller.lines == ["0 queued", "0 unprocessed!"]


def test_who_is_cancelled_when_the_run_is_over_learns_that() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        await pipeline.start()
        feeder = feeding(pipeline, "x")
        await settle()
        await pipeline.shutdown()
        feeder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await feeder

    simulate(main)
    assert teller.lines == ["0 queued", "0 unprocessed!"]


def test_who_is_cancelled_while_it_learns_that_it_is_late_is_cancelled() -> None:
    teller = Teller("unprocessed")

    async def main() -> None:
        pipeline = told_by(lambda event: asyncio.gather(teller(event), asyncio.sleep(10)))
        await pipeline.start()
        feeder = feeding(pipeline, "x")
        await settle()
        await pipeline.shutdown()
        await asyncio.sleep(20)
        assert teller.gate.waiting == [0]
        feeder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await feeder

    simulate(main)
    assert teller.lines == ["0 queued", "0 unprocessed!"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_late_item_of_an_early_stage_is_told_like_any_other(seed: int | None) -> None:
    """The end is being told of a later stage when a feeder adds to an earlier one."""
    teller = Teller("unprocessed")

    async def tell(event: StatusEvent) -> None:
        if (event.item_id, event.status) == ("late", "queued"):
            await asyncio.sleep(10)
        await teller(event)

    async def main() -> None:
        pipeline = told_by(tell, Stage("A", 1, [same]), Stage("B", 1, [same]))
        await pipeline.feed([named("x")], target_stage="B")
        feeder = feeding(pipeline, named("late"))
        await settle()
        stopping = await begun(pipeline.shutdown())
        assert teller.gate.waiting == ["x"]
        await feeder
        teller.gate.open()
        assert ids(await stopping) == ["late", "x"]

    simulate(main, seed=seed)
    assert teller.of("late") == ["queued", "unprocessed!"]
    assert teller.of("x") == ["queued", "unprocessed!"]


@pytest.mark.parametrize("seed", SEEDS)
def test_join_waits_for_who_is_being_told(seed: int | None) -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        await pipeline.start()
        feeder = feeding(pipeline, "a", "b")
        await settle()
        joining = await begun(pipeline.join())
        assert not joining.done()
        teller.gate.open()
        await joining
        await feeder
        assert ids(pipeline.results) == [0, 1]

    simulate(main, seed=seed)


def test_what_comes_after_join_tells_nothing() -> None:
    teller, gate = Teller(), Gate()
    teller.gate.open()

    async def main() -> None:
        pipeline = told_by(teller, Stage("Work", 1, [gate]))
        await pipeline.start()
        await pipeline.feed([named("a")])
        joining = await begun(pipeline.join())
        with pytest.raises(PipelineError, match="about to end"):
            await pipeline.feed([named("b")])
        gate.open()
        await joining

    simulate(main)
    assert teller.of("b") == []


# Observers that end the run


EXITS = [KeyboardInterrupt(), SystemExit(3)]


def exits(error: BaseException, status: str = "queued") -> Callable[[StatusEvent], None]:
    def leave(event: StatusEvent) -> None:
        told.append(f"{event.item_id} {event.status}{'!' if event.final else ''}")
        if event.status == status:
            raise error

    told: list[str] = []
    vars(leave)["told"] = told
    return leave


@pytest.mark.parametrize("error", EXITS)
@pytest.mark.parametrize("item", ["x", {"id": 0, "value": "x"}])
@pytest.mark.parametrize("is_slow", [False, True])
def test_an_observer_may_end_a_run_that_has_no_worker_yet(
    error: BaseException, item: Any, is_slow: bool
) -> None:
    leave = exits(error)

    async def leave_later(event: StatusEvent) -> None:
        await asyncio.sleep(1)
        leave(event)

    async def main() -> None:
        await Pipeline([Stage("Other", 1, [same])]).run([1])  # so that the turn has begun
        pipeline = told_by(leave_later if is_slow else leave)
        await pipeline.start()
        fed = await raised_by(pipeline.feed([item]))
        assert fed is None or isinstance(fed, PipelineError)
        assert await raised_by(pipeline.join()) is error
        assert len(pipeline.unprocessed) == (fed is None)

    simulate(main)
    assert vars(leave)["told"] == ["0 queued", "0 unprocessed!"]


@pytest.mark.parametrize("error", EXITS)
def test_an_observer_may_end_a_run_that_is_not_started(error: BaseException) -> None:
    leave = exits(error)

    async def main() -> None:
        pipeline = told_by(leave)
        await raised_by(pipeline.feed(["x"]))
        assert await raised_by(pipeline.shutdown()) is error

    simulate(main)
    assert vars(leave)["told"] == ["0 queued", "0 unprocessed!"]


@pytest.mark.parametrize("error", EXITS)
def test_an_observer_may_end_the_run_of_who_processes(error: BaseException) -> None:
    leave = exits(error)

    async def main() -> None:
        pipeline = told_by(leave)
        await pipeline.start()
        assert isinstance(await raised_by(pipeline.process("x")), PipelineError)
        assert await raised_by(pipeline.join()) is error

    simulate(main)
    assert vars(leave)["told"] == ["0 queued", "0 unprocessed!"]


@pytest.mark.parametrize("error", EXITS)
def test_an_observer_may_end_a_run_while_its_input_is_read(error: BaseException) -> None:
    leave = exits(error)

    async def main() -> None:
        pipeline = told_by(leave)
        assert await raised_by(pipeline.run(["a", "b"])) is error
        assert ids(pipeline.unprocessed) == [0, 1]

    simulate(main)
    assert vars(leave)["told"] == ["0 queued", "1 queued", "0 unprocessed!", "1 unprocessed!"]


# Processing


def test_a_processed_item_is_told_before_it_goes_in() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        await pipeline.start()
        processing = await begun(pipeline.process(named("x")))
        assert teller.lines == ["x queued"]
        teller.gate.open()
        assert (await processing).id == "x"
        assert pipeline.results == []
        await pipeline.join()

    simulate(main)


def test_a_processed_item_goes_on_when_its_caller_is_cancelled_while_it_is_told() -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        await pipeline.start()
        processing = await begun(pipeline.process(named("x")))
        processing.cancel()
        await settle()
        assert processing.cancelled()
        await pipeline.join()
        assert ids(pipeline.results) == ["x"]

    simulate(main)
    assert teller.lines == ["x queued", "x in_progress", "x completed!"]


def test_the_result_is_kept_of_whom_nobody_waits_for_though_others_wait() -> None:
    teller, gate = Teller(), Gate()

    async def main() -> None:
        pipeline = told_by(teller, Stage("Work", 2, [gate]))
        await pipeline.start()
        given_up = asyncio.create_task(pipeline.process(named("x")))
        waiting = await begun(pipeline.process(named("y")))
        given_up.cancel()
        teller.gate.let("y")
        await settle()
        gate.let("x")
        await settle()
        assert ids(pipeline.results) == ["x"]
        gate.open()
        assert (await waiting).id == "y"
        await pipeline.join()
        assert ids(pipeline.results) == ["x"]

    simulate(main)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_processed_item_that_is_told_until_the_run_is_over_was_not_taken(
    seed: int | None,
) -> None:
    teller = Teller()

    async def main() -> None:
        pipeline = told_by(teller)
        await pipeline.start()
        processing = await begun(pipeline.process(named("x")))
        await pipeline.shutdown()
        teller.gate.open()
        with pytest.raises(PipelineError, match="was stopped"):
            await processing
        assert pipeline.unprocessed == []

    simulate(main, seed=seed)
    assert teller.lines == ["x queued", "x unprocessed!"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_processed_item_that_is_told_while_the_run_closes_is_left(seed: int | None) -> None:
    teller, gate = Teller(), Gate()

    async def main() -> None:
        pipeline = told_by(
            lambda event: teller(event) if event.item_id == "x" else None, Stage("Work", 1, [gate])
        )
        await pipeline.start()
        await pipeline.feed([named("held")])
        processing = await begun(pipeline.process(named("x")))
        stopping = await begun(pipeline.shutdown())
        teller.gate.open()
        await settle()
        gate.open()
        assert ids(await stopping) == ["x"]
        with pytest.raises(PipelineError, match="was stopped"):
            await processing

    simulate(main, seed=seed)
    assert teller.of("x") == ["queued", "unprocessed!"]


# Observers that feed


def test_an_observer_may_feed_past_the_capacity(caplog: pytest.LogCaptureFixture) -> None:
    async def feed_more(event: StatusEvent) -> None:
        if (event.item_id, event.status) == ("x", "queued"):
            await pipeline.feed([named("a"), "b"])
            await pipeline.feed([named("c")])

    pipeline = told_by(feed_more, queue_capacity=1)

    async def main() -> None:
        await pipeline.feed([named("x")])
        assert len(await finish(pipeline)) == 4

    simulate(main)
    warnings = [record for record in caplog.records if "past its capacity" in record.getMessage()]
    assert len(warnings) == 1


@pytest.mark.parametrize("start", ["create_task", "wait_for", "gather"])
def test_a_task_of_an_observer_may_feed_past_the_capacity(start: str) -> None:
    async def feed_more(event: StatusEvent) -> None:
        if (event.item_id, event.status) != ("x", "queued"):
            return
        feeding = pipeline.feed([named("a")])
        if start == "create_task":
            await asyncio.create_task(feeding)
        elif start == "wait_for":
            await asyncio.wait_for(feeding, 5)
        else:
            await asyncio.gather(feeding)

    pipeline = told_by(feed_more, queue_capacity=1)

    async def main() -> None:
        await pipeline.feed([named("x")])
        assert sorted(await finish(pipeline)) == ["a", "x"]

    simulate(main)


def test_a_plain_observer_may_return_what_feeds() -> None:
    def feed_more(event: StatusEvent) -> Awaitable[Any] | None:
        if (event.item_id, event.status) == ("x", "queued"):
            return asyncio.gather(pipeline.feed([named("a")]), pipeline.feed([named("b")]))
        return None

    pipeline = told_by(feed_more, queue_capacity=1)

    async def main() -> None:
        await pipeline.feed([named("x")])
        assert sorted(await finish(pipeline)) == ["a", "b", "x"]

    simulate(main)


@pytest.mark.parametrize("status", ["in_progress", "completed"])
def test_an_observer_may_feed_for_a_worker(status: str) -> None:
    async def feed_more(event: StatusEvent) -> None:
        if (event.item_id, event.status) == ("x", status):
            await pipeline.feed([named("a"), named("b"), named("c")])

    pipeline = told_by(feed_more, queue_capacity=1)

    async def main() -> None:
        await pipeline.feed([named("x")])
        assert sorted(await finish(pipeline)) == ["a", "b", "c", "x"]

    simulate(main)


def test_an_observer_of_the_end_may_feed_what_is_left_then() -> None:
    told: list[tuple[Any, str]] = []

    async def feed_more(event: StatusEvent) -> None:
        told.append((event.item_id, event.status))
        if (event.item_id, event.status) == ("x", "unprocessed"):
            await pipeline.feed([named("a")])

    gate = Gate()
    pipeline = told_by(feed_more, Stage("A", 1, [same]), Stage("B", 1, [gate]))

    async def main() -> None:
        await pipeline.start()
        await pipeline.feed([named("held"), named("x")], target_stage="B")
        await settle()
        stopping = await begun(pipeline.shutdown())
        gate.open()
        assert ids(await stopping) == ["a", "x"]
        assert ids(pipeline.unprocessed) == ["a", "x"]

    simulate(main)
    assert told[-4:] == [
        ("held", "completed"),
        ("x", "unprocessed"),
        ("a", "queued"),
        ("a", "unprocessed"),
    ]


def refused(pipeline: Pipeline, call: Callable[[], Awaitable[Any]], errors: list[Any]) -> Any:
    async def ask(event: StatusEvent) -> None:
        if event.item_id == "x":
            if event.status == "queued":
                await pipeline.feed([named("more")])
            errors.append(await raised_by(call()))

    return ask


@pytest.mark.parametrize("name", ["join", "shutdown", "process"])
def test_an_observer_cannot_wait_for_the_run_that_waits_for_it(name: str) -> None:
    errors: list[Any] = []
    tracker = StatusTracker()
    pipeline = Pipeline([Stage("Work", 1, [same])], status_tracker=tracker)
    arguments = ["y"] if name == "process" else []
    tracker.on_status_change = refused(
        pipeline, lambda: getattr(pipeline, name)(*arguments), errors
    )

    async def main() -> None:
        await pipeline.start()
        await pipeline.feed([named("x")])
        await pipeline.join()
        assert sorted(ids(pipeline.results)) == ["more", "x"]

    simulate(main)
    assert [type(error) for error in errors] == [PipelineError] * 3


def test_what_an_observer_leaves_running_does_not_hold_who_feeds() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def feed_later(event: StatusEvent) -> None:
        if (event.item_id, event.status) == ("x", "queued"):
            tasks.append(feeding(pipeline, named("a")))

    pipeline = told_by(feed_later)

    async def main() -> None:
        await pipeline.start()
        await pipeline.feed([named("x")])
        await asyncio.gather(*tasks)
        await pipeline.join()
        assert sorted(ids(pipeline.results)) == ["a", "x"]

    simulate(main)


# Feeding from inside


def test_a_task_feeds_past_the_capacity_while_observers_wait() -> None:
    async def crawl(value: int) -> int:
        if value < 20:
            await pipeline.feed([2 * value + 1, 2 * value + 2])
        return value

    pipeline = told_by(lambda event: asyncio.sleep(1), Stage("Crawl", 1, [crawl], queue_capacity=1))
    simulate(lambda: pipeline.run([0]))
    assert sorted(result.value for result in pipeline.results) == list(range(41))


def test_a_task_that_is_cancelled_while_it_feeds_has_fed() -> None:
    teller = Teller()

    async def crawl(value: str) -> str:
        if value == "x":
            await pipeline.feed([named("a"), named("b")])
        return value

    pipeline = told_by(
        lambda event: teller(event) if event.item_id == "a" else None, Stage("Crawl", 1, [crawl])
    )

    async def main() -> None:
        running = await begun(pipeline.run([named("x")]))
        running.cancel()
        await asyncio.wait([running])
        assert sorted(ids(pipeline.unprocessed)) == ["a", "x"]

    simulate(main)
    assert teller.of("a") == ["queued", "unprocessed!"]


def test_the_consumer_of_a_stream_may_feed_while_observers_wait() -> None:
    pipeline = told_by(lambda event: asyncio.sleep(1), queue_capacity=1)

    async def main() -> None:
        seen: list[Any] = []
        async for result in pipeline.stream([named("x")], buffer_size=0):
            seen.append(result.id)
            if result.id == "x":
                await pipeline.feed([named("a"), named("b"), named("c")])
        assert seen in (["x"], ["x", "a", "b", "c"])

    simulate(main)


def test_an_unprocessed_item_is_told_at_its_own_stage() -> None:
    told: list[tuple[Any, str | None, str]] = []

    async def main() -> None:
        pipeline = told_by(
            lambda event: told.append((event.item_id, event.stage, event.status)),
            Stage("A", 1, [same]),
            Stage("B", 1, [same]),
        )
        left = UnprocessedItem("x", 7, {"size": "L"}, 5, "B", 3, {"trace": "t"})
        await pipeline.feed([left, named("y")])
        await finish(pipeline)
        assert [(result.id, result.sequence_id) for result in pipeline.results] == [
            ("x", 3),
            ("y", 4),
        ]

    simulate(main)
    assert told[:2] == [("x", "B", "queued"), ("y", "A", "queued")]


# What feeders leave behind


def test_feeders_that_are_done_leave_nothing_behind() -> None:
    tasks: WeakSet[asyncio.Task[Any]] = WeakSet()

    async def main() -> None:
        pipeline = told_by(lambda event: asyncio.sleep(0))
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

    simulate(main)


def test_no_warning_is_given_without_need(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def main() -> None:
        pipeline = told_by(lambda event: asyncio.sleep(1), queue_capacity=1)
        await pipeline.run(range(5))

    simulate(main)
    assert caplog.records == []
