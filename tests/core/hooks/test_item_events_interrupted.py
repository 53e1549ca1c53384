"""What observers are told where a run, a worker or one of them is interrupted.

The short form in which it is compared is that of `test_item_events.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, Stage, StatusTracker, TaskEvent, concurrency_limit
from tests.helpers.events import (
    LONG,
    ONCE,
    Chain,
    Event,
    SlowWatcher,
    Stop,
    Task,
    Watcher,
    cancel,
    check_laws,
    give_up,
    passing,
    short,
    under_way,
    watched,
    worker,
)
from tests.helpers.runs import Failing, same, start_with, values
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

# Cancellation of the run


def test_a_run_that_is_cancelled(stop: Stop) -> None:
    async def main() -> None:
        _, running = await stop.running()
        await cancel(running)

    simulate(main)
    stop.check("queued, in_progress, start task 1, cancel task 1, unprocessed")


@pytest.mark.parametrize("way", ["cancel", "shutdown"])
@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"task_wait_seconds": 10 * LONG}, "retry task 1, unprocessed"),
        ({"retry": "per_stage"}, "retry task 1, retrying, unprocessed"),
    ],
    ids=["per_task", "per_stage"],
)
def test_an_item_that_is_to_be_tried_again_when_the_run_stops_is_left(
    stop: Stop, fields: dict[str, Any], end: str, way: str
) -> None:
    async def main() -> None:
        pipeline, running = await stop.running(**fields)
        stop.gate.fail(0, ValueError())
        await asyncio.sleep(LONG)
        assert stop.gate.waiting == [1]
        if way == "cancel":
            await cancel(running)
        else:
            assert len(await pipeline.shutdown(timeout=1)) == 2
            await running

    simulate(main)
    check_laws(stop.watcher)
    assert stop.watcher.of(0) == stop.chain.expect(f"queued, in_progress, start task 1, {end}")
    entries = "queued, in_progress, start task 1, cancel task 1, unprocessed"
    assert stop.watcher.of(1) == stop.chain.expect(entries)


def test_a_task_that_answers_its_cancellation_has_succeeded(watcher: Watcher, chain: Chain) -> None:
    async def answer(value: int) -> int:
        try:
            await asyncio.sleep(10 * LONG)
        except asyncio.CancelledError:
            return value
        return value

    async def main() -> None:
        running = await under_way(watched(chain.stages(Task(answer)), watcher).run([0]))
        await cancel(running)

    simulate(main)
    check_laws(watcher)
    entries = "queued, in_progress, start task 1, complete task 1, completed"
    assert watcher.of(0) == chain.expect_stop(entries)


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_a_task_that_answers_its_cancellation_by_an_error_is_cancelled_with_that_error(
    watcher: Watcher, chain: Chain, retry: str
) -> None:
    async def convert(value: int) -> None:
        try:
            await asyncio.sleep(10 * LONG)
        except asyncio.CancelledError:
            raise ValueError from None

    async def main() -> None:
        stages = chain.stages(Task(convert), retry=retry)
        running = await under_way(watched(stages, watcher).run([0]))
        await cancel(running)

    simulate(main)
    check_laws(watcher)
    entries = "queued, in_progress, start task 1, cancel task 1, unprocessed"
    assert watcher.of(0) == chain.expect(entries)
    (cancelled,) = (event for event in watcher.attempts() if event.event_type == "cancel")
    assert isinstance(cancelled.error, ValueError)
    assert cancelled.duration is not None


# Cancellation of a worker


def test_a_worker_that_is_cancelled_from_outside(stop: Stop) -> None:
    async def main() -> None:
        _, running = await stop.running()
        worker(f"{stop.chain.name}-W0").cancel()
        with pytest.raises(PipelineError, match="was cancelled"):
            await running

    simulate(main)
    stop.check("queued, in_progress, start task 1, cancel task 1, unprocessed")


async def end_oneself(value: Any) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return value


async def end_oneself_and_wait(value: Any) -> None:
    await end_oneself(value)
    await asyncio.sleep(LONG)


def test_a_task_that_cancels_its_worker(watcher: Watcher, chain: Chain) -> None:
    async def main() -> None:
        pipeline = watched(chain.stages(Task(end_oneself_and_wait)), watcher)
        with pytest.raises(PipelineError, match="was cancelled"):
            await pipeline.run([0])

    simulate(main)
    check_laws(watcher)
    entries = "queued, in_progress, start task 1, cancel task 1, unprocessed"
    assert watcher.of(0) == chain.expect(entries)


def test_a_task_that_cancels_its_worker_and_returns(watcher: Watcher, chain: Chain) -> None:
    async def main() -> None:
        pipeline = watched(chain.stages(Task(end_oneself)), watcher)
        with pytest.raises(PipelineError, match="was cancelled"):
            await pipeline.run([0, 1])

    simulate(main)
    check_laws(watcher)
    lines = watcher.of(0)
    assert f"complete {chain.name}.task 1" in lines
    assert lines[lines.index(f"complete {chain.name}.task 1") + 1].startswith("completed")
    assert watcher.of(1)[-1].startswith("unprocessed")


# Shutdown


def test_shutdown_lets_an_attempt_end_and_its_item_move_on(stop: Stop) -> None:
    async def main() -> None:
        pipeline, running = await stop.running()
        stopping = await under_way(pipeline.shutdown())
        stop.gate.open()
        left = await stopping
        assert sorted(item.id for item in left) == ([1] if stop.chain.is_last else [0, 1])
        await running

    simulate(main)
    stop.check("queued, in_progress, start task 1, complete task 1, completed")


def test_shutdown_leaves_an_item_between_two_tasks(watcher: Watcher, chain: Chain) -> None:
    gate = Gate("one")

    async def main() -> None:
        pipeline = watched(chain.stages(gate, Failing(0, "two")), watcher)
        running = await under_way(pipeline.run([0]))
        stopping = await under_way(pipeline.shutdown())
        gate.open()
        assert values(await stopping) == [0]
        await running

    simulate(main)
    check_laws(watcher)
    entries = "queued, in_progress, start one 1, complete one 1, unprocessed"
    assert watcher.of(0) == chain.expect(entries)


@pytest.mark.parametrize(
    ("fields", "left", "end"),
    [({}, 2, "cancel task 1, unprocessed"), (ONCE, 1, "fail task 1, failed")],
    ids=["first", "last"],
)
@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_an_attempt_that_fails_in_a_shutdown_is_followed_by_none(
    stop: Stop, retry: str, fields: dict[str, Any], left: int, end: str
) -> None:
    async def main() -> None:
        pipeline, running = await stop.running(retry=retry, **fields)
        stopping = await under_way(pipeline.shutdown())
        stop.gate.fail(0, ValueError())
        assert len(await stopping) == left
        await running

    simulate(main)
    check_laws(stop.watcher)
    entries = f"queued, in_progress, start task 1, {end}"
    assert stop.watcher.of(0) == stop.chain.expect(entries)


def test_shutdown_cuts_the_wait_for_a_task_s_limit_before_it_starts(
    watcher: Watcher, chain: Chain
) -> None:
    gate = Gate("task")

    async def main() -> None:
        stages = chain.stages(gate, workers=2, task_concurrency_limits={"task": 1})
        pipeline = watched(stages, watcher)
        running = await under_way(pipeline.run([0, 1]))
        stopping = await under_way(pipeline.shutdown())
        gate.open()
        await stopping
        await running

    simulate(main)
    check_laws(watcher)
    assert watcher.of(1) == chain.expect("queued, in_progress, unprocessed")


def test_shutdown_cuts_an_attempt_that_waits_for_a_limit(watcher: Watcher, chain: Chain) -> None:
    gate = Gate("gate")

    async def limited(value: int) -> Any:
        async with concurrency_limit():
            return await gate(value)

    async def main() -> None:
        pipeline = watched(chain.stages(Task(limited), workers=2, call_concurrency=1), watcher)
        running = await under_way(pipeline.run([0, 1]))
        stopping = await under_way(pipeline.shutdown())
        gate.open()
        await stopping
        await running

    simulate(main)
    check_laws(watcher)
    entries = "queued, in_progress, start task 1, cancel task 1, unprocessed"
    assert watcher.of(1) == chain.expect(entries)
    (cancelled,) = (event for event in watcher.attempts() if event.event_type == "cancel")
    assert isinstance(cancelled.error, asyncio.CancelledError)
    assert cancelled.duration is not None


def test_shutdown_that_drains(stop: Stop) -> None:
    async def main() -> None:
        pipeline, running = await stop.running()
        stopping = await under_way(pipeline.shutdown(drain=True))
        stop.gate.open()
        assert await stopping == []
        await running

    simulate(main)
    check_laws(stop.watcher)
    entries = "queued, in_progress, start task 1, complete task 1, completed"
    assert stop.watcher.of(0) == stop.watcher.of(1) == stop.chain.expect(entries)


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize("timeout", [0, 5])
def test_shutdown_at_its_time_limit(stop: Stop, drain: bool, timeout: int) -> None:
    async def main() -> None:
        pipeline, running = await stop.running()
        assert len(await pipeline.shutdown(drain=drain, timeout=timeout)) == 2
        await running

    simulate(main)
    stop.check("queued, in_progress, start task 1, cancel task 1, unprocessed")


def test_shutdown_before_the_start(watcher: Watcher, chain: Chain) -> None:
    async def main() -> None:
        pipeline = watched(chain.stages(Failing(0)), watcher)
        await pipeline.feed([0], target_stage=chain.name)
        assert len(await pipeline.shutdown()) == 1
        assert not others()

    simulate(main)
    check_laws(watcher)
    assert watcher.of(0) == [f"queued {chain.name}", f"unprocessed {chain.name}!"]


def test_all_is_told_when_shutdown_returns(watcher: Watcher) -> None:
    async def main() -> None:
        pipeline = watched([Stage("A", 1, [same])], watcher)
        await pipeline.feed(range(5))
        left = await pipeline.shutdown()
        finals = [event.item_id for event in watcher.statuses() if event.final]
        assert finals == [item.id for item in left] == [0, 1, 2, 3, 4]

    simulate(main)


# A stream that is left early


@pytest.mark.parametrize("way", ["aclose", "with", "break"])
def test_a_stream_that_is_left_early(watcher: Watcher, chain: Chain, way: str) -> None:
    gate = Gate("task")

    async def leave_early(pipeline: Pipeline) -> None:
        stream = pipeline.stream([0, 1, 2])
        if way == "with":
            async with stream:
                await anext(stream)
            return
        await anext(stream)
        if way == "aclose":
            await stream.aclose()

    async def main() -> None:
        pipeline = watched(chain.stages(gate), watcher)
        leaving = await under_way(leave_early(pipeline))
        gate.let(0)
        await leaving
        await asyncio.sleep(LONG)
        assert not others()

    simulate(main)
    check_laws(watcher)
    passed = "queued, in_progress, start task 1, complete task 1, completed"
    assert watcher.of(0) == chain.expect(passed)
    assert all(watcher.of(item_id)[-1].startswith("unprocessed") for item_id in (1, 2))


def test_what_a_stream_did_not_deliver_has_ended(watcher: Watcher) -> None:
    async def main() -> None:
        pipeline = watched([Stage("A", 1, [same])], watcher)
        async with pipeline.stream([0, 1]) as stream:
            await anext(stream)
            await asyncio.sleep(LONG)
        assert values(pipeline.undelivered) == [1]

    simulate(main)
    check_laws(watcher)
    assert watcher.of(1) == [*passing("A")[:-1], "completed A!"]


def test_a_result_of_a_stream_comes_when_all_of_it_is_told(watcher: Watcher, chain: Chain) -> None:
    async def main() -> list[bool]:
        pipeline = watched(chain.stages(Failing(0)), watcher)
        return [
            watcher.of(result.id)[-1].endswith("!") async for result in pipeline.stream(range(3))
        ]

    assert simulate(main) == [True] * 3


# Cancelled inside a start hook


class Held(Watcher):
    """Holds for ever what it is told, of one kind, after noting it."""

    def __init__(self, kind: str, item_id: Any = 0) -> None:
        super().__init__()
        self._kind = kind
        self._item_id = item_id
        self.was_cancelled = 0

    async def told(self, event: Event) -> None:
        self.events.append(event)
        if (short(event), event.item_id) != (self._kind, self._item_id):
            return
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.was_cancelled += 1
            raise


class OnlyCancelled:
    """An observer of cancellations alone."""

    def __init__(self) -> None:
        self.events: list[TaskEvent] = []

    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        self.events.append(event)


class Cut:
    """A run of two items in stages A and B, cut short while a hook holds the first one.

    `cut` is cancelled: the run, or the worker from outside.
    """

    def __init__(self, kind: str, stage: Stage | None = None) -> None:
        self.first, self.held, self.last = Watcher(), Held(kind), Watcher()
        self.only = OnlyCancelled()
        self.task = Failing(0)
        self.stages = [stage or Stage("A", 1, [self.task]), Stage("B", 1, [same])]

    async def __call__(self, way: str) -> Pipeline:
        pipeline = watched(self.stages, self.first, self.held, self.last, self.only)
        running = await begun(pipeline.run([0, 1]))
        if way == "run":
            await cancel(running)
        elif way == "timeout":
            await pipeline.shutdown(timeout=1)
            await running
        else:
            worker("A-W0").cancel()
            with pytest.raises(PipelineError, match="'A-W0' was cancelled"):
                await running
        assert not others()
        assert self.held.was_cancelled == 1
        check_laws(self.first)
        check_laws(self.held)
        return pipeline

    def run(self, way: str) -> Pipeline:
        pipeline: Pipeline = simulate(lambda: self(way))
        return pipeline


WAYS = ["run", "timeout", "worker"]


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_inside_a_start_hook_the_task_is_not_called(way: str) -> None:
    cut = Cut("start A.task 1")
    pipeline = cut.run(way)
    assert cut.task.calls == []
    assert values(pipeline.unprocessed) == [0, 1]
    assert pipeline.get_stats().stage_stats["A"].tasks["task"].attempts == 0


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_inside_a_start_hook_all_get_the_start_and_its_end(way: str) -> None:
    cut = Cut("start A.task 1")
    cut.run(way)
    expected = ["queued A", "in_progress A", "start A.task 1", "cancel A.task 1", "unprocessed A!"]
    assert cut.first.of(0) == cut.held.of(0) == cut.last.of(0) == expected
    assert [short(event) for event in cut.only.events] == ["cancel A.task 1"]


def test_who_watches_cancellations_alone_learns_of_those_of_the_task() -> None:
    only = OnlyCancelled()

    async def main() -> None:
        running = await begun(watched([Stage("A", 1, [Gate()])], only).run([0]))
        await cancel(running)

    simulate(main)
    assert [short(event) for event in only.events] == ["cancel A.gate 1"]


def test_an_attempt_cancelled_inside_a_start_hook_has_an_error_and_no_duration() -> None:
    cut = Cut("start A.task 1")
    cut.run("run")
    (event,) = (event for event in cut.first.attempts() if event.event_type == "cancel")
    assert isinstance(event.error, asyncio.CancelledError)
    assert event.duration is None


def test_cancelled_inside_a_start_hook_that_keeps_it_the_task_is_not_called() -> None:
    task, watcher = Failing(0), Watcher()

    async def stay(event: TaskEvent) -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            return

    async def main() -> None:
        staying = StatusTracker(on_task_start=stay)
        running = await begun(watched([Stage("A", 1, [task])], watcher, staying).run([0]))
        await cancel(running)

    simulate(main)
    check_laws(watcher)
    assert task.calls == []


@pytest.mark.parametrize("in_hook", [False, True])
def test_a_cancellation_that_is_kept_does_not_make_a_worker_spin(in_hook: bool) -> None:
    watcher = SlowWatcher()

    async def keep(_: Any) -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            return

    async def main() -> None:
        hook = StatusTracker(on_task_start=keep if in_hook else None)
        stage = Stage("A", 1, [Task(same if in_hook else keep)])
        running = asyncio.create_task(watched([stage], watcher, hook).run([0, 1]))
        await asyncio.sleep(LONG / 2)
        worker("A-W0").cancel()
        await asyncio.wait([running])
        assert isinstance(running.exception(), PipelineError) == in_hook

    simulate(main)
    check_laws(watcher)
    assert len(watcher.attempts()) == (2 if in_hook else 4)


@pytest.mark.parametrize("is_error", [False, True])
def test_a_cancellation_that_a_task_kept_is_forgotten(watcher: Watcher, is_error: bool) -> None:
    async def keep(value: int) -> int:
        try:
            await asyncio.sleep(LONG * (value == 0))
        except asyncio.CancelledError:
            if is_error:
                raise ValueError from None
        return await give_up(value) if value == 1 else value

    async def main() -> Pipeline:
        pipeline = watched([Stage("A", 1, [keep], task_attempts=1)], watcher)
        running = asyncio.create_task(pipeline.run(range(3)))
        await asyncio.sleep(LONG / 2)
        worker("A-W0").cancel()
        await running
        return pipeline

    pipeline = simulate(main)
    check_laws(watcher)
    assert values(pipeline.results) == ([2] if is_error else [0, 2])
    assert watcher.of(1)[-2:] == ["fail A.keep 1", "failed A!"]


def test_a_start_hook_of_a_second_attempt_that_is_cancelled() -> None:
    task = Failing(9)
    cut = Cut("start A.task 2", Stage("A", 1, [task], task_wait_seconds=0))
    pipeline = cut.run("run")
    assert task.calls == [0]
    assert cut.first.of(0)[-2:] == ["cancel A.task 2", "unprocessed A!"]
    assert values(pipeline.unprocessed) == [0, 1]


def test_when_a_run_is_closed_inside_a_start_hook_the_task_is_not_called(chain: Chain) -> None:
    watcher, task = Watcher(), Failing(0)
    waiting = StatusTracker(on_task_start=lambda event: asyncio.sleep(LONG))

    async def main() -> None:
        pipeline = watched(chain.stages(task), waiting, watcher)
        running = asyncio.create_task(pipeline.run([0]))
        await asyncio.sleep(chain.at * LONG + LONG / 2)
        await pipeline.shutdown()
        await running

    simulate(main)
    check_laws(watcher)
    assert task.calls == []
    assert watcher.of(0) == chain.expect(
        "queued, in_progress, start task 1, cancel task 1, unprocessed"
    )


@pytest.mark.parametrize(
    "kind",
    [
        "in_progress A",
        "start A.task 1",
        "complete A.task 1",
        "completed A!",
    ],
)
def test_no_item_is_lost_though_the_worker_s_coroutine_is_closed_inside_a_hook(kind: str) -> None:
    """As the garbage collector does with the tasks of a loop that was closed too early."""
    cut = Cut(kind)

    async def main() -> None:
        pipeline = watched(cut.stages[:1], cut.held)
        running = await begun(pipeline.run([0]))
        coroutine: Any = worker("A-W0").get_coro()
        coroutine.close()
        running.cancel()
        await asyncio.wait([running])
        assert values(pipeline.results) + values(pipeline.unprocessed) == [0]

    simulate(main)


# Cancelled inside the hook of an end, or of a status


def onward(way: str) -> list[str]:
    """Say how an item ends that A has passed on: while its worker ends, B takes it."""
    passed = [*passing("B")[:-1], "completed B!"]
    return passed if way == "worker" else ["queued B", "unprocessed B!"]


def check_onward(pipeline: Pipeline, way: str) -> None:
    left = [(item.id, item.stage) for item in pipeline.unprocessed]
    assert left == ([(1, "A")] if way == "worker" else [(1, "A"), (0, "B")])
    assert values(pipeline.results) == ([0] if way == "worker" else [])


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_inside_a_success_hook_the_item_has_completed(way: str) -> None:
    cut = Cut("complete A.task 1")
    pipeline = cut.run(way)
    expected = ["queued A", "in_progress A", "start A.task 1", "complete A.task 1", "completed A"]
    expected += onward(way)
    assert cut.first.of(0) == cut.held.of(0) == cut.last.of(0) == expected
    check_onward(pipeline, way)
    assert cut.task.calls == [0]


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_inside_the_last_success_hook_the_result_is_kept(way: str) -> None:
    cut = Cut("complete A.task 1")
    cut.stages.pop()
    pipeline = cut.run(way)
    assert values(pipeline.results) == [0]
    assert values(pipeline.unprocessed) == [1]
    assert cut.last.of(0)[-1] == "completed A!"


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_inside_a_success_hook_before_another_task_the_item_is_left(way: str) -> None:
    one, two = Failing(0, "one"), Failing(0, "two")
    cut = Cut("complete A.one 1", Stage("A", 1, [one, two]))
    pipeline = cut.run(way)
    assert cut.last.of(0)[-2:] == ["complete A.one 1", "unprocessed A!"]
    assert two.calls == []
    assert values(pipeline.unprocessed) == [0, 1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wait", [0, LONG])
def test_cancelled_inside_a_retry_hook_no_attempt_follows(way: str, wait: float) -> None:
    task = Failing(9)
    cut = Cut("retry A.task 1", Stage("A", 1, [task], task_wait_seconds=wait))
    pipeline = cut.run(way)
    assert cut.last.of(0)[-2:] == ["retry A.task 1", "unprocessed A!"]
    assert task.calls == [0]
    assert values(pipeline.unprocessed) == [0, 1]


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_inside_a_retry_hook_of_a_stage_no_attempt_follows(way: str) -> None:
    task = Failing(9)
    cut = Cut("retry A.task 1", Stage("A", 1, [task], retry="per_stage"))
    pipeline = cut.run(way)
    assert "retry A.task 1" in cut.last.of(0)
    assert cut.last.of(0)[-1] == "unprocessed A!"
    assert task.calls == [0]
    assert sorted(values(pipeline.unprocessed)) == [0, 1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["fail A.task 1", "failed A!"])
def test_cancelled_inside_a_failure_hook_the_item_has_failed(way: str, kind: str) -> None:
    task = Failing(9)
    cut = Cut(kind, Stage("A", 1, [task], task_attempts=1))
    pipeline = cut.run(way)
    assert cut.last.of(0)[-2:] == ["fail A.task 1", "failed A!"]
    assert [failure.id for failure in pipeline.failures] == [0]
    assert values(pipeline.unprocessed) == [1]


def test_cancelled_once_more_inside_a_cancelled_hook() -> None:
    gate = Gate("task")
    cut = Cut("cancel A.task 1", Stage("A", 1, [gate]))

    async def main() -> Pipeline:
        pipeline = watched(cut.stages, cut.first, cut.held, cut.last)
        running = await begun(pipeline.run([0, 1]))
        running.cancel()
        await settle()
        assert not running.done()
        await cancel(running)
        return pipeline

    pipeline = simulate(main)
    assert cut.held.was_cancelled == 1
    assert cut.last.of(0)[-2:] == ["cancel A.task 1", "unprocessed A!"]
    assert values(pipeline.unprocessed) == [0, 1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fields", [{}, {"skip_if": lambda value: False}], ids=["one", "general"])
def test_cancelled_inside_an_in_progress_hook_the_task_is_not_called(
    way: str, fields: dict[str, Any]
) -> None:
    task = Failing(0)
    cut = Cut("in_progress A", Stage("A", 1, [task], **fields))
    pipeline = cut.run(way)
    check_laws(cut.last)
    assert cut.last.statuses_of(0) == ["queued A", "in_progress A", "unprocessed A!"]
    assert task.calls == []
    assert values(pipeline.unprocessed) == [0, 1]


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_inside_a_completed_hook_the_item_is_at_the_next_stage(way: str) -> None:
    cut = Cut("completed A")
    pipeline = cut.run(way)
    assert cut.last.of(0)[4:] == ["completed A", *onward(way)]
    check_onward(pipeline, way)


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_inside_a_skipped_hook_the_item_is_at_the_next_stage(way: str) -> None:
    cut = Cut("skipped A", Stage("A", 1, [same], skip_if=lambda value: True))
    pipeline = cut.run(way)
    assert cut.last.of(0) == ["queued A", "skipped A", *onward(way)]
    check_onward(pipeline, way)


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_inside_a_retrying_hook_the_item_is_left(way: str) -> None:
    task = Failing(9)
    cut = Cut("retrying A", Stage("A", 1, [task], retry="per_stage"))
    pipeline = cut.run(way)
    assert cut.last.of(0)[-2:] == ["retrying A", "unprocessed A!"]
    assert task.calls == [0]
    assert sorted(values(pipeline.unprocessed)) == [0, 1]


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_when_the_next_stage_is_told_the_item_is_there(way: str) -> None:
    cut = Cut("queued B")
    pipeline = cut.run(way)
    assert cut.last.of(0)[4:] == ["completed A", *onward(way)]
    check_onward(pipeline, way)


def test_a_cancelled_callback_of_the_stage_does_not_hide_where_the_item_went() -> None:
    async def wait(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    watcher = Watcher()

    async def main() -> None:
        stages = [Stage("A", 1, [same], on_success=wait), Stage("B", 1, [same])]
        running = await begun(watched(stages, watcher).run([0]))
        await cancel(running)

    simulate(main)
    check_laws(watcher)
    assert watcher.of(0)[-3:] == ["completed A", "queued B", "unprocessed B!"]


@pytest.mark.parametrize("seed", [None, *range(5)])
@pytest.mark.parametrize("kind", ["in_progress A", "start A.one 1", "complete A.one 1"])
def test_what_a_cancelled_worker_gives_back_is_not_taken_by_another(
    kind: str, seed: int | None
) -> None:
    one, held = Failing(0, "one"), Held(kind)

    async def main() -> Pipeline:
        pipeline = watched([Stage("A", 3, [one, Failing(0, "two")])], held)
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


def test_a_worker_cancelled_in_a_status_hook_does_not_wait_for_a_limit() -> None:
    gate = Gate("task")
    held = Held("in_progress A", item_id=1)

    async def main() -> None:
        stage = Stage("A", 2, [gate], task_concurrency_limits={"task": 1})
        running = await begun(watched([stage], held).run([0, 1]))
        worker("A-W1").cancel()
        with pytest.raises(PipelineError, match="'A-W1' was cancelled"):
            await running

    simulate(main)
    check_laws(held)


@pytest.mark.parametrize("kind", ["start A.task 1", "complete A.task 1"])
def test_a_hook_that_waits_for_a_limit_is_cut_short_by_a_shutdown(kind: str) -> None:
    first, last = Watcher(), Watcher()

    class Limited(Watcher):
        async def told(self, event: Event) -> None:
            if short(event) == kind:
                async with concurrency_limit():
                    await asyncio.sleep(LONG)

    async def main() -> Pipeline:
        stage = Stage("A", 2, [Failing(0)], call_concurrency=1)
        pipeline = watched([stage], first, Limited(), last)
        running = await begun(pipeline.run(range(5)))
        await pipeline.shutdown()
        await running
        return pipeline

    pipeline = simulate(main)
    check_laws(first)
    if kind.startswith("start"):
        assert values(pipeline.unprocessed) == list(range(5))
        assert first.of(1)[-2:] == ["cancel A.task 1", "unprocessed A!"]
        assert last.of(1) == first.of(1)
    else:
        assert values(pipeline.results) == [0, 1]
        assert last.of(1)[-1] == "completed A!"
